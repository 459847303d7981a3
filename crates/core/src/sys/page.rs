//! The page size, and rounding to it.

use std::sync::atomic::{AtomicUsize, Ordering};

/// Returns the size of a small page in bytes. Async-signal-safe once it was called before; `handler::install`
/// sees to that.
///
/// # Kernel
/// `AT_PAGESZ` by sysconf(3).
pub(crate) fn size() -> usize {
    static SIZE: AtomicUsize = AtomicUsize::new(0);
    match SIZE.load(Ordering::Relaxed) {
        0 => {
            let size = rustix::param::page_size();
            assert!(size.is_power_of_two(), "the kernel's page size is a power of two");
            SIZE.store(size, Ordering::Relaxed);
            size
        }
        size => size,
    }
}

/// Rounds up to whole pages, or `None` beyond the address space.
pub(crate) fn round_up(len: usize) -> Option<usize> {
    // Half of the address space is the kernel's: a length with the top bit set can never be mapped.
    len.checked_next_multiple_of(size()).filter(|&rounded| isize::try_from(rounded).is_ok())
}

/// Rounds down to whole pages.
pub(crate) fn round_down(offset: usize) -> usize {
    offset & !(size() - 1)
}
