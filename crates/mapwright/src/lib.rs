//! Map anything into memory and get it back as an array.
//!
//! mmap(2) turns a file into an array, and everyone who uses it pays: the file shrinks and the process dies
//! of SIGBUS, somebody else writes and `&[u8]` is undefined behaviour, cold data comes one page at a time.
//! Mapwright is mmap with those pains taken away:
//!
//! ```standalone_crate
//! use mapwright::{FaultKind, Map};
//! # let folder = tempfile::tempdir()?;
//! # std::env::set_current_dir(&folder)?;
//! # std::fs::write("data.bin", [b"needle".repeat(1000), vec![b'x'; 1 << 20]].concat())?;
//!
//! let map = Map::open("data.bin")?;                       // no `unsafe`
//! let place = map.view().find(b"needle")?;                // searched in place, at memchr's speed
//! let number = map.view().load::<u64>(4096)?;             // one instruction, and a check
//! # assert_eq!((place, number), (Some(0), u64::from_ne_bytes(*b"leneedle")));
//!
//! std::fs::File::options().write(true).open("data.bin")?.set_len(0)?;   // somebody truncates it
//!
//! let fault = map.view().load::<u64>(4096).unwrap_err();  // plain mmap: your process is dead here
//! assert_eq!(fault.kind(), FaultKind::Truncated);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! The types, in the order in which data flows: [`MapOptions`] (how) → [`Map`] (ownership) → [`View`] (how
//! you may look) → your types. [`Memory`] is private memory as `&mut [u8]`, [`Frozen`] is bytes that nobody
//! can change any more, [`MapVec`] is a growable array on a file. The [`guide`] explains them with programs
//! that run.
//!
//! # Features
//!
//! | feature | what it adds |
//! |---|---|
//! | `bytes` | `From<Frozen> for bytes::Bytes`, without copying |
//! | `share` | [`share`]: memory between processes, with locks, queues, snapshots and tables in it |
//! | `stable_deref` | `StableDeref` for `Frozen` and `Memory` |

pub use mapwright_core::*;
pub use mapwright_derive::Plain;
#[cfg(feature = "share")]
#[doc(inline)]
pub use mapwright_share as share;
pub use zerocopy;

pub mod guide {
    //! The guide: one page a subject, every program of it compiled and run as a test.

    #[doc = include_str!("../guide/files.md")]
    pub mod files {}

    #[doc = include_str!("../guide/arrays.md")]
    pub mod arrays {}

    #[doc = include_str!("../guide/frozen.md")]
    pub mod frozen {}

    #[doc = include_str!("../guide/intent.md")]
    pub mod intent {}

    #[cfg(feature = "share")]
    #[doc = include_str!("../guide/processes.md")]
    pub mod processes {}

    #[doc = include_str!("../guide/limits.md")]
    pub mod limits {}
}
