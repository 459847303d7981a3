//! How much of a file's range the page cache holds, asked cheaply.

use std::os::fd::BorrowedFd;

use crate::sys::memory;
use crate::sys::page;

/// What the kernel says about a range.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Cached {
    /// Nothing of it is in memory.
    Nothing,
    /// Some of it is.
    Some,
    /// At least nine tenths of it are: all, where it is a few pages.
    Mostly,
    /// The kernel does not tell (Linux before 6.5, or a file of somebody else).
    Unknown,
}

/// Asks about a range of a file.
pub(super) fn ask(file: BorrowedFd<'_>, offset: u64, len: usize) -> Cached {
    let bytes = u64::try_from(len).unwrap_or(u64::MAX);
    if bytes == 0 {
        return Cached::Mostly;
    }
    match memory::cache_stat(file, offset, bytes) {
        Ok(stat) if stat.cached == 0 => Cached::Nothing,
        Ok(stat) => {
            let pages = bytes.div_ceil(u64::try_from(page::size()).unwrap_or(4096));
            if stat.cached >= pages - pages / 10 { Cached::Mostly } else { Cached::Some }
        }
        Err(_) => Cached::Unknown,
    }
}
