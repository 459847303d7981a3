//! Speed by intent: say what you are about to do, and the right road is taken.
//!
//! The kernel's defaults guess from what was touched before, and lose where the guess is wrong (measured: 9
//! thousand random reads a second where a queue gives 78 thousand). So intent is API:
//!
//! - [`View::stream`](crate::View::stream): all bytes in order, read ahead past the page cache
//! - [`View::prefetch`](crate::View::prefetch), [`View::gather`](crate::View::gather): many places at once
//! - [`DirectQueue`]: blocks of a file past the page cache, handed out as they arrive
//! - [`load`]: a whole small file, or one that cannot be mapped
//! - [`View::write_bulk`](crate::View::write_bulk): many bytes, by the cheaper of store and pwrite(2)
//!
//! What is cached already is always taken from the map. `direct` keeps a stream's reads in flight, as many as
//! `depth` finds out; `window` is the hand-over between a reader and its helper.

mod bulk;
mod cached;
mod depth;
mod direct;
mod gather;
mod load;
mod queue;
mod stream;
mod window;

pub use load::load;
pub use queue::{DirectOptions, DirectQueue};
pub use stream::{Stream, StreamOptions};
