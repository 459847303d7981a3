//! What the kernel itself says of the page cache, by plain system calls: the other witness.
#![allow(unsafe_code, reason = "mincore and cachestat have no safe form")]

use super::plain_map::PlainMap;
use std::fs::File;
use std::io;
use std::os::fd::AsRawFd;

/// Which pages of a file are in memory, by mincore(2).
pub(crate) fn resident_pages(file: &File) -> Vec<bool> {
    let length = usize::try_from(file.metadata().unwrap().len()).unwrap();
    let mut states = vec![0u8; length.div_ceil(4096)];
    if states.is_empty() {
        return Vec::new();
    }
    let map = PlainMap::read_only(file, length).unwrap();
    // SAFETY: the range is the mapping, which lives, and there is a byte for each of its pages.
    let told = unsafe { libc::mincore(map.start().cast(), length, states.as_mut_ptr()) };
    assert_eq!(told, 0, "mincore: {}", io::Error::last_os_error());
    states.into_iter().map(|state| state & 1 == 1).collect()
}

/// How many pages of a file are in memory.
pub(crate) fn resident_count(file: &File) -> usize {
    resident_pages(file).into_iter().filter(|&is_resident| is_resident).count()
}

/// How many pages are how, in the kernel's order of words.
#[repr(C)]
#[derive(Debug, Default)]
pub(crate) struct CacheStat {
    pub(crate) cached: u64,
    pub(crate) dirty: u64,
    pub(crate) writeback: u64,
    evicted: u64,
    recently_evicted: u64,
}

/// Counts the pages of a range, by cachestat(2) of Linux 6.5; `None` before that.
pub(crate) fn stat(file: &File, offset: u64, length: u64) -> Option<CacheStat> {
    /// The same number on every architecture.
    const SYS_CACHESTAT: libc::c_long = 451;
    let (range, mut stat) = ([offset, length], CacheStat::default());
    // SAFETY: the range is two words and the answer five, as the kernel has them; both live.
    let told = unsafe { libc::syscall(SYS_CACHESTAT, file.as_raw_fd(), &raw const range, &raw mut stat, 0) };
    (told == 0).then_some(stat)
}
