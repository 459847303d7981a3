//! What the kernel says of this process's own mappings (`/proc/self/smaps`): the other witness.

use std::ops::Range;

/// One mapping, as the kernel has it now. It may have merged two of ours that are neighbours and alike; a
/// guard between them keeps them apart.
#[derive(Debug, Default, Clone)]
pub(crate) struct Mapping {
    pub(crate) range: Range<usize>,
    /// `rw-p` and the like.
    pub(crate) access: String,
    /// The numbers in bytes.
    fields: Vec<(String, usize)>,
    /// The two-letter words of `VmFlags`.
    flags: Vec<String>,
}

impl Mapping {
    /// A number in bytes, by its name in smaps.
    pub(crate) fn bytes(&self, field: &str) -> usize {
        let found = self.fields.iter().find(|(name, _)| name == field);
        found.unwrap_or_else(|| panic!("smaps has no {field}: {self:?}")).1
    }

    /// Whether a two-letter word is among the `VmFlags`.
    pub(crate) fn has_flag(&self, flag: &str) -> bool {
        self.flags.iter().any(|set| set == flag)
    }
}

/// All mappings, in the order of their addresses.
pub(crate) fn all() -> Vec<Mapping> {
    let mut mappings: Vec<Mapping> = Vec::new();
    for line in std::fs::read_to_string("/proc/self/smaps").unwrap().lines() {
        if let Some((range, access)) = header(line) {
            mappings.push(Mapping { range, access: access.to_owned(), ..Mapping::default() });
            continue;
        }
        let (name, value) = line.split_once(':').unwrap();
        let mapping = mappings.last_mut().unwrap();
        if name == "VmFlags" {
            mapping.flags = value.split_whitespace().map(str::to_owned).collect();
        } else if let Some(kib) = value.trim().strip_suffix(" kB") {
            mapping.fields.push((name.to_owned(), kib.trim().parse::<usize>().unwrap() << 10));
        }
    }
    mappings
}

/// The mapping that has this address.
pub(crate) fn at(address: usize) -> Option<Mapping> {
    all().into_iter().find(|mapping| mapping.range.contains(&address))
}

/// Whether anything at all is mapped in a range of addresses.
pub(crate) fn is_any_in(range: &Range<usize>) -> bool {
    // Not smaps: that walks the page tables of what is large.
    std::fs::read_to_string("/proc/self/maps").unwrap().lines().any(|line| {
        let (found, _) = header(line).unwrap();
        found.start < range.end && range.start < found.end
    })
}

/// `7f0c8a000000-7f0c8a021000 rw-p …`
fn header(line: &str) -> Option<(Range<usize>, &str)> {
    let (range, rest) = line.split_once(' ')?;
    let (start, end) = range.split_once('-')?;
    let number = |text| usize::from_str_radix(text, 16).ok();
    Some((number(start)?..number(end)?, rest.split(' ').next()?))
}
