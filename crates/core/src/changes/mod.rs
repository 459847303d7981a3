//! Changes to a map while it lives, and questions about it.
//!
//! Callers name bytes; the kernel changes pages. `range` checks the first against the map or file, `pages`
//! finds the second and is the only module that touches them; the rest says what is wanted and explains what
//! was refused.
//!
//! - `advice`, `protect`, `lock`: what the kernel is told, what may be done, what stays in memory
//! - `grow`: longer and shorter in place; `remap`: by moving; `seal`: never again
//! - `sparse`, `identity`: where the file has holes, and whether its name still means it
//! - `flush`: writing back
//! - `huge`: which pages are huge
//! - `mirror`: a ring buffer, mapped twice in a row
//! - `residency` (with `ask`, `states`, `window`): which pages are in memory
//! - `cache`: the same in totals; making a file's cache smaller or larger

mod advice;
mod ask;
mod cache;
mod flush;
mod grow;
mod huge;
mod identity;
mod lock;
mod mirror;
mod pages;
mod protect;
mod range;
mod remap;
mod residency;
mod seal;
mod sparse;
mod states;
#[cfg(test)]
pub(crate) mod testing;
mod window;

pub use advice::Advice;
pub use cache::{CacheUsage, ToldBy, cache_usage, evict, warm};
pub(crate) use grow::reserve;
pub use grow::{set_len, set_len_even_if_mapped};
pub(crate) use huge::transparent_mode;
pub use huge::{HugePool, HugeReport, HugeWish, huge_page_pools};
pub use lock::LockMode;
pub(crate) use lock::{locked_bytes, locking_limit};
pub use mirror::MirrorRing;
pub use protect::{Protected, Protection};
pub use residency::{residency, residency_in_detail};
pub use seal::Sealed;
pub use sparse::{Extent, ExtentKind, Extents, extents};
pub use states::{PageRun, PageState, PageTotals, Question, Residency, WhyUntold};
