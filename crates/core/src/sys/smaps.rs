//! What `/proc/self/smaps` says about mappings (proc(5)). Reading it walks the page tables: for reports, not
//! for hot paths.

use std::io;
use std::ops::Range;

/// One mapping of this process.
#[derive(Debug)]
pub(crate) struct Vma {
    pub(crate) addresses: Range<usize>,
    fields: Vec<(String, u64)>,
    flags: String,
}

impl Vma {
    /// Returns a field's value in bytes; 0 where this kernel does not report it.
    pub(crate) fn bytes(&self, field: &str) -> usize {
        let kib = self.fields.iter().find(|(name, _)| name == field).map_or(0, |&(_, kib)| kib);
        usize::try_from(kib.saturating_mul(1024)).unwrap_or(usize::MAX)
    }

    /// Returns whether one of the two-letter flags is set: `lo` locked, `hg` huge pages wanted, `nh` not
    /// wanted…
    pub(crate) fn has_flag(&self, flag: &str) -> bool {
        self.flags.split_ascii_whitespace().any(|set| set == flag)
    }
}

/// Returns the mappings that touch a range of addresses, in order.
pub(crate) fn mappings(touching: &Range<usize>) -> io::Result<Vec<Vma>> {
    Ok(parse(&std::fs::read_to_string("/proc/self/smaps")?, touching))
}

fn parse(text: &str, touching: &Range<usize>) -> Vec<Vma> {
    let mut found: Vec<Vma> = Vec::new();
    let mut wanted = false;
    for line in text.lines() {
        if let Some(addresses) = header(line) {
            wanted = addresses.start < touching.end && touching.start < addresses.end;
            if wanted {
                found.push(Vma { addresses, fields: Vec::new(), flags: String::new() });
            }
            continue;
        }
        let Some((name, value)) = line.split_once(':') else { continue };
        let Some(vma) = found.last_mut().filter(|_| wanted) else { continue };
        if name == "VmFlags" {
            value.trim().clone_into(&mut vma.flags);
        } else if let Some(kib) = value.trim().strip_suffix(" kB").and_then(|kib| kib.parse().ok()) {
            vma.fields.push((name.to_owned(), kib));
        }
    }
    found
}

/// `55d0c8a00000-55d0c8a21000 rw-p …`
fn header(line: &str) -> Option<Range<usize>> {
    let (addresses, _) = line.split_once(' ')?;
    let (start, end) = addresses.split_once('-')?;
    Some(usize::from_str_radix(start, 16).ok()?..usize::from_str_radix(end, 16).ok()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "\
00001000-00003000 rw-p 00000000 00:00 0 
Size:                  8 kB
KernelPageSize:        4 kB
AnonHugePages:         0 kB
VmFlags: rd wr mr mw me ac lo 
00003000-00005000 r--s 00001000 08:01 17    /a file: odd
Size:                  8 kB
FilePmdMapped:      2048 kB
VmFlags: rd mr me ms 
";

    #[test]
    fn only_mappings_that_touch_the_range_are_told() {
        let both = parse(TEXT, &(0x2fff..0x3001));
        assert_eq!(both.len(), 2);
        assert_eq!((both[0].bytes("KernelPageSize"), both[0].bytes("NoSuchField")), (4096, 0));
        assert_eq!(
            (both[0].has_flag("lo"), both[1].has_flag("lo"), both[0].has_flag("r")),
            (true, false, false)
        );
        let second = parse(TEXT, &(0x3000..0x3001));
        assert_eq!(second.len(), 1);
        assert_eq!(
            (second[0].addresses.clone(), second[0].bytes("FilePmdMapped")),
            (0x3000..0x5000, 2 << 20)
        );
    }
}
