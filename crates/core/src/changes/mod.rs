//! Changes to a map while it lives, and questions about it.
//!
//! Callers name bytes; the kernel changes pages. `range` checks the first against the map or file, `pages`
//! finds the second, and nothing else here computes an address.
//!
//! - `residency` (with `states`, `window`): which pages are in memory
//! - `cache`: the same in totals; making a file's cache smaller or larger

mod cache;
mod pages;
mod range;
mod residency;
mod states;
#[cfg(test)]
mod testing;
mod window;

pub use cache::{CacheUsage, ToldBy, cache_usage, evict, warm};
pub use residency::{residency, residency_in_detail};
pub use states::{PageRun, PageState, PageTotals, Question, Residency, WhyUntold};

use crate::error::{Error, Result};
use crate::map::Source;
use crate::sys::file;

/// Reserves disk space for a range of a file, which grows to hold it.
pub(crate) fn reserve(source: &Source, offset: u64, len: u64) -> Result<()> {
    file::reserve(source.fd(), offset, len)
        .map_err(|cause| Error::os("reserve space in", source.name(), cause))
}
