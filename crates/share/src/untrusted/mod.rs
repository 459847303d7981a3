//! Sharing memory with somebody who is not trusted: another user, another tenant, a sandbox.
//!
//! In a [`Segment`](crate::Segment) everybody may write everything, which cooperating processes do with care.
//! Here each side writes only memory of its own, which the other side can only read:
//!
//! ```text
//!   my memory file  ──  I map it for writing, sealed so that nobody else ever can
//!   their memory file ─ I map it for reading
//! ```
//! What comes from the other side is treated as what it is, any bytes: positions are read once and checked
//! against private ones, lengths are read once, payloads are copied before anybody looks at them, and no loop
//! depends on what the other side writes. A peer can spoil its own messages. It cannot crash us, make us
//! touch other memory, or keep a call that does not block; calls with a deadline come back by it.
//!
//! How much memory a peer can make us take is limited by us, and all of it has to be there and sealed, so
//! that no page can be missing when we look. A silent peer holds no call that has a deadline.
//!
//! There are no locks here, and no owners' names: what the other side could forge is not stored where it can
//! write. Its death shows as the end of the socket through which the memory was exchanged.
//!
//! - [`Channel`]: messages of bytes in both directions
//! - [`Publisher`], [`Viewer`]: a value that one side publishes, and any number of others read

mod channel;
pub(crate) mod memory;
mod publish;
#[cfg(all(test, not(any(loom, shuttle))))]
#[allow(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on fails")]
mod tests;

pub use channel::{Channel, ChannelOptions, Misbehaviour, PeerError};
pub use publish::{Publisher, Viewer};
