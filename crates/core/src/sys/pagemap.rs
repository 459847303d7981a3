//! What the kernel says about single pages of this process: `/proc/self/pagemap` and `/proc/kpageflags`
//! (proc(5)).

#![allow(unsafe_code, reason = "one ioctl that fills a local array; listed in docs/SOUNDNESS.md")]

use std::fs::File;
use std::io;
use std::ops::Range;
use std::os::fd::AsRawFd;
use std::os::unix::fs::FileExt;

use linux_raw_sys::general::{page_region, pm_scan_arg};

use super::{page, request};

/// A page that is in memory (`PAGE_IS_PRESENT`).
pub(crate) const IS_PRESENT: u64 = 1 << 3;

/// A page that is mapped as part of a huge page (`PAGE_IS_HUGE`).
pub(crate) const IS_HUGE: u64 = 1 << 6;

/// Bits of `/proc/kpageflags`: not evictable, and locked by mlock(2).
pub(crate) const KPF_UNEVICTABLE: u64 = 1 << 18;
/// See [`KPF_UNEVICTABLE`].
pub(crate) const KPF_MLOCKED: u64 = 1 << 33;

/// `_IOWR('f', 16, struct pm_scan_arg)`.
const PAGEMAP_SCAN: u32 = 0xC060_6610;
const _: () = assert!(size_of::<pm_scan_arg>() == 0x60);

/// Finds the ranges of addresses whose pages are in all of the given categories (Linux 6.7; `ENOTTY` before).
pub(crate) fn scan(
    range: Range<usize>,
    categories: u64,
    mut each: impl FnMut(Range<usize>),
) -> io::Result<()> {
    let pagemap = File::open("/proc/self/pagemap")?;
    let nothing = page_region { start: 0, end: 0, categories: 0 };
    let mut found = [nothing; 256];
    let mut from = wide(range.start);
    while from < wide(range.end) {
        let mut arguments = pm_scan_arg {
            size: wide(size_of::<pm_scan_arg>()),
            flags: 0,
            start: from,
            end: wide(range.end),
            walk_end: 0,
            vec: wide(found.as_mut_ptr().expose_provenance()),
            vec_len: wide(found.len()),
            max_pages: 0,
            category_inverted: 0,
            category_mask: categories,
            category_anyof_mask: 0,
            return_mask: categories,
        };
        // SAFETY: both structures are locals laid out as the kernel's (linux/fs.h), and the array's length is
        // given. The call only reads about address space.
        let count = unsafe { libc::ioctl(pagemap.as_raw_fd(), request(PAGEMAP_SCAN), &raw mut arguments) };
        let count = usize::try_from(count).map_err(|_| io::Error::last_os_error())?;
        for region in &found[..count] {
            each(narrow(region.start)..narrow(region.end));
        }
        if arguments.walk_end <= from {
            return Ok(());
        }
        from = arguments.walk_end;
    }
    Ok(())
}

/// Tells the kernel's flags of each page that is present in a range of addresses; needs the superuser.
pub(crate) fn flags(range: Range<usize>, mut each: impl FnMut(usize, u64)) -> io::Result<()> {
    const PRESENT: u64 = 1 << 63;
    const FRAME: u64 = (1 << 55) - 1;
    let (pagemap, kpageflags) = (File::open("/proc/self/pagemap")?, File::open("/proc/kpageflags")?);
    let first = range.start / page::size();
    let count = range.len().div_ceil(page::size());
    let mut entries = vec![0u8; 8 * count.min(8192)];
    let mut done = 0;
    while done < count {
        let step = (count - done).min(entries.len() / 8);
        pagemap.read_exact_at(&mut entries[..8 * step], wide(first + done) * 8)?;
        let frames: Vec<u64> = entries[..8 * step].chunks_exact(8).map(word).collect();
        let mut at = 0;
        while at < step {
            if frames[at] & PRESENT == 0 {
                at += 1;
                continue;
            }
            let frame = frames[at] & FRAME;
            if frame == 0 {
                // Frame numbers are blanked for those who may not know them.
                return Err(io::Error::from_raw_os_error(libc::EPERM));
            }
            let follows = |&(distance, &entry): &(usize, &u64)| {
                entry & PRESENT != 0 && entry & FRAME == frame + wide(distance)
            };
            let run = frames[at..].iter().enumerate().take_while(follows).count();
            let mut bytes = vec![0u8; 8 * run];
            kpageflags.read_exact_at(&mut bytes, frame * 8)?;
            for (index, flags) in bytes.chunks_exact(8).map(word).enumerate() {
                each((first + done + at + index) * page::size(), flags);
            }
            at += run;
        }
        done += step;
    }
    Ok(())
}

/// Tells whether anything is mapped at an address, accessible or not.
pub(crate) fn is_mapped(address: usize) -> bool {
    let mut answer = 0u8;
    let page_start = std::ptr::without_provenance_mut(page::round_down(address));
    // SAFETY: mincore touches no memory but the answer, one byte for the one page asked about.
    unsafe { libc::mincore(page_start, page::size(), &raw mut answer) == 0 }
}

/// Tells whether the kernel knows a kind of advice: it says so before it looks at the range, which is empty
/// here.
pub(crate) fn knows_advice(advice: i32) -> bool {
    let anywhere = std::ptr::without_provenance_mut(page::size());
    // SAFETY: advice about no byte changes nothing.
    unsafe { libc::madvise(anywhere, 0, advice) == 0 }
}

fn word(bytes: &[u8]) -> u64 {
    bytes.try_into().map_or(0, u64::from_ne_bytes)
}

/// Addresses and lengths are 64 bits wide on every platform that we build for.
fn wide(number: usize) -> u64 {
    u64::try_from(number).unwrap_or(u64::MAX)
}

fn narrow(number: u64) -> usize {
    usize::try_from(number).unwrap_or(usize::MAX)
}
