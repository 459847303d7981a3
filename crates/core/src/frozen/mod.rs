//! Bytes that nobody can change any more, and so `&[u8]` without `unsafe`.
//!
//! A map's bytes may change at any time, so safe code reaches them by copies ([`View`](crate::View)).
//! [`Frozen`] bytes cannot, for one of five reasons ([`FrozenBy`]), each the promise of somebody in
//! particular:
//!
//! | by | who promises | what breaks the promise |
//! |---|---|---|
//! | `Seal` | the kernel: nothing writes a memory file with a write seal | a broken kernel |
//! | `Verity` | the kernel: it serves only bytes that match the file's hash | a broken hash |
//! | `Reflink` | we: the file has no name, nobody else has its descriptor | whoever writes the disk itself |
//! | `Copy` | we: the memory is this process's alone | |
//! | `Memory` | the caller: it gave its only handle up | |
//!
//! Beyond all five stands whoever may debug this process: ptrace(2), `/proc/PID/mem`, `/proc/PID/fd`.
//! That is true of every variable of every program, and is not guarded against.
//!
//! A copy that was made while somebody wrote may hold a mixture of old and new (so may a snapshot of a
//! map); it is stable all the same, and stable is what a reference needs. A reflink shows one moment.
//!
//! Bytes that are *there* can still become unreadable: a disk fails under a verity file or a reflink. No
//! other bytes may appear under a reference, so the process then ends, after one line on standard error
//! that names the file, the offset and the cause. [`Frozen::populate`] is the door that returns errors,
//! and a copy cannot fail later.
//!
//! - `slice`, `traits`: [`Frozen`] itself
//! - `seals`, `mem_file`, `sealed`: memory files, and what seals promise
//! - `verity`: files that the kernel checks
//! - `snapshot`, `reflink`, `copy`: bytes of files that others may go on writing
//! - `racy`: the way out for those who know better, [`RacySlice`]: `unsafe`, and zeros instead of SIGBUS
//!
//! Deliberately absent: freezing a shared file in place by a lock or a lease. Advisory locks bind nobody,
//! and a lease holds a writer up for 45 seconds at most.

mod copy;
mod mem_file;
mod racy;
mod reflink;
mod sealed;
mod seals;
mod slice;
mod snapshot;
#[cfg(feature = "stable_deref")]
mod stable;
mod traits;
mod verity;

#[cfg(test)]
#[cfg(not(loom))]
mod tests;

pub use mem_file::{MemFile, MemFileOptions};
pub use racy::RacySlice;
pub use seals::Seals;
pub use slice::{Frozen, FrozenBy, RawFrozen};
