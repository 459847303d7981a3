//! Owned address space: maps, bounded views of them, and faults that are errors instead of signals.
//!
//! ```
//! use mapwright_core::{FaultKind, Map};
//! # let file = tempfile::NamedTempFile::new().unwrap();
//! # let path = file.path();
//! std::fs::write(path, vec![1u8; 1 << 20])?;
//! let map = Map::open(path)?;
//! assert_eq!(map.view().load::<u32>(4096)?, 0x0101_0101);
//!
//! // Somebody truncates the file. Plain mmap(2) would now kill the process at the next access.
//! std::fs::OpenOptions::new().write(true).open(path)?.set_len(0)?;
//! assert_eq!(map.view().load::<u32>(4096).unwrap_err().kind(), FaultKind::Truncated);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! Modules stand in the order in which they depend on each other: `error` and `span` → `sys` (one file per
//! kernel door) → `fault` (signal → error) → `map` (who unmaps, and when) → `view` (how you may look) → what
//! is built on them. (`map` alone names what follows it: `Map::view` and `Map::create`.) All unsafe code of
//! Mapwright is in this crate, but for what the drop-in for memmap2 needs; `docs/SOUNDNESS.md` argues why its
//! safe API is sound.

#[cfg(not(all(
    target_os = "linux",
    target_pointer_width = "64",
    any(target_arch = "x86_64", target_arch = "aarch64")
)))]
compile_error!("Mapwright runs on Linux 5.10 or newer, on x86-64 and aarch64; this target is neither");

mod span;

mod error;

mod sync;

mod sys;

mod fault;

mod map;

mod view;

mod changes;

mod probe;

mod frozen;

mod ring;

mod intent;

mod plain;

mod vec;

pub mod peer;

pub use changes::*;
pub use error::{Error, ErrorKind, Fault, FaultKind, Result};
pub use fault::{HandlerState, SignalReport, signal_report};
pub use frozen::*;
pub use intent::*;
#[doc(hidden)]
pub use map::mapping;
pub use map::{
    Access, Commitment, CopyOnWrite, CoreDump, Executable, FileLock, ForkPolicy, HugePages, IntoSource, Map,
    MapOptions, Memory, Placement, Populate, RawMap, ReadOnly, ReadWrite, Readable, Source, Unmap, Writable,
    mapped_here,
};
pub use plain::*;
pub use probe::*;
pub use span::{OutOfBounds, Span};
pub use vec::*;
pub use view::{AtomicView, AtomicWord, Chunks, Cursor, Finder, Lines, Matches, Pieces, View};
