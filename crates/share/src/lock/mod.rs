//! Locks whose holders may die.
//!
//! Each answers two questions for every instant of every operation: what is left when a process is killed
//! just there, and who notices. What somebody holds is always named by a word that bears the holder's
//! identity, put there by the same exchange that takes hold; so that a dead one's is known without a timeout,
//! by anybody.
//!
//! | object | what a death leaves | how it shows |
//! |---|---|---|
//! | [`Mutex`] | the last value stored whole | [`LockError::OwnerDied`](crate::LockError::OwnerDied) |
//! | [`RwLock`] | the same; a dead reader leaves nothing | the same, to readers too |
//! | [`Condvar`] | nothing: at worst a wake-up that comes 100 ms late | by the mutex |
//! | [`Semaphore`] | its permits, for whoever needs one next | [`Permit::before`] |
//! | [`Barrier`] | a broken barrier, until it is reset | [`BarrierError::Broken`] |
//! | [`Once`] | the run, for the next caller | [`Called::TookOver`] |
//! | [`Event`] | nothing | |
//!
//! None of them hands out a reference into shared memory: values are copied in and out. A peer that scribbles
//! over the words can make calls wait and values wrong, and nothing else.

mod answers;
mod barrier;
mod cell;
mod condvar;
mod event;
#[cfg(all(test, any(loom, shuttle)))]
#[allow(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on fails")]
mod models;
mod mutex;
mod once;
mod readers;
mod rwlock;
mod semaphore;
#[cfg(all(test, not(any(loom, shuttle))))]
#[allow(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on fails")]
mod tests;
mod waiting;

pub use answers::{Arrival, BarrierError, Called, Poison, WaitError};
pub use barrier::{Barrier, BarrierOptions, Member};
pub use condvar::Condvar;
pub use event::{Event, EventOptions};
pub use mutex::{Mutex, MutexGuard, MutexRecovery};
pub use once::Once;
pub use rwlock::{ReadGuard, RwLock, RwLockOptions, WriteGuard, WriteRecovery};
pub use semaphore::{Permit, Semaphore, SemaphoreOptions};
