//! Map anything into memory and get it back as an array.
//!
//! mmap(2) turns a file into an array, and everyone who uses it pays: the file shrinks and the process dies
//! of SIGBUS, somebody else writes and `&[u8]` is undefined behaviour, cold data comes one page at a time.
//! Mapwright is mmap with those pains taken away:
//!
//! ```
//! use mapwright::{FaultKind, Map};
//! # let file = tempfile::NamedTempFile::new()?;
//! # let path = file.path();
//! # std::fs::write(path, vec![b'x'; 1 << 20])?;
//!
//! let map = Map::open(path)?;                                   // no `unsafe`
//! assert_eq!(map.view().find(b"xxx")?, Some(0));                // searched in place
//! assert_eq!(map.view().load::<u32>(4096)?, u32::from_ne_bytes(*b"xxxx"));
//!
//! std::fs::OpenOptions::new().write(true).open(path)?.set_len(0)?;   // somebody truncates the file
//! let fault = map.view().load::<u32>(4096).unwrap_err();        // an error, not a signal
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
//! | `stable_deref` | `StableDeref` for `Frozen` and `Memory` |

pub use mapwright_core::*;
pub use mapwright_derive::Plain;
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

    #[doc = include_str!("../guide/limits.md")]
    pub mod limits {}
}
