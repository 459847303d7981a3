//! What processes that share memory need of the machine: words, waiting, who is alive, locks that the kernel
//! lets go of.
//!
//! The crates above build queues, locks and tables of it without a line of unsafe code. Everything here is
//! sound whatever another process writes into the shared memory, and whatever a safe caller does.
//!
//! - [`Word32`], [`Word64`]: atomic words of shared memory; the seam for the model checkers and for tests
//!   that kill a process at a numbered point ([`points`])
//! - [`Area`], [`Placed`]: shared memory, and structures of words at checked places in it
//! - [`copy_in`], [`copy_out`]: bytes that others may write
//! - [`Deadline`], [`wait`], [`wake`]: sleeping until a word changes
//! - [`Bell`]: waking whoever waits, at no cost while nobody does
//! - [`Turn`]: letting whoever has waited for long go first
//! - [`Roster`], [`Identity`]: who takes part, and whether they are alive
//! - [`RobustWord`]: a lock word that the kernel lets go of when its holder dies
//!
//! Deliberately absent: policy. What a queue looks like, whom to wake, and what becomes of the dead one's
//! messages is decided above.

mod area;
mod barrier;
mod bell;
mod bytes;
mod deadline;
mod life;
pub mod points;
mod robust;
mod roster;
mod thread;
mod turn;
mod wait;
#[cfg(loom)]
mod weaken;
mod word;

#[cfg(all(test, not(any(loom, shuttle))))]
#[allow(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on fails")]
mod tests;

/// A file that gets its name when it is whole.
#[doc(hidden)]
pub use crate::sys::unnamed::Unnamed;
pub use area::{Area, Lookable, Placed, Shared};
pub use barrier::{heavy_fence, light_fence, others_fence};
pub use bell::{Bell, Ticket};
pub use bytes::{copy_in, copy_out, fetch, look_at_eight, look_out};
pub use deadline::Deadline;
pub use life::{Life, Mark};
pub use mapwright_derive::{Lookable, Shared};
pub use robust::{Acquired, Held, RobustWord, Taker};
pub use roster::{Identity, MAX_SEATS, Oracle, Roster, Seat, SeatState, pid_namespace};
pub use turn::Turn;
pub use wait::{MAX_WAITS, Waited, wait, wait_any, wake};
pub use word::{Line, LookWord32, LookWord64, Ordering, Word32, Word64, fence, relax};

/// Returns a number that differs between a process and the children that it forks, at the price of one load.
/// Children of a raw clone(2) have their parent's.
#[doc(hidden)]
#[must_use]
pub fn process_epoch() -> u64 {
    crate::sys::fork::epoch_number()
}
