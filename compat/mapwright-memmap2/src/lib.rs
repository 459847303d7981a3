//! memmap2's interface over Mapwright's core.
//!
//! Every public item of memmap2 0.9.12 stands here under its own name with its own signature, so that a
//! dependent switches in its manifest alone:
//!
//! ```toml
//! [dependencies]
//! memmap2 = { package = "mapwright-memmap2", version = "0.9.12" }
//! ```
//!
//! # Caveats
//! What memmap2 leaves to its callers is left to them here, too. A slice of a file is a promise that nobody
//! changes or shortens the file; where somebody shortens it all the same, touching the slice ends the process
//! with SIGBUS. Mapwright's own `Map` returns errors instead: this crate is for code that already exists.
//!
//! # What is better
//! - Ranges are checked as a whole (offset *and* length) before any address is computed, everywhere.
//! - [`MmapMut::flush_async`] starts write-back. (`MS_ASYNC` does nothing on Linux, so memmap2's does not.)
//! - Dropping much memory (64 MiB and more) does not hold up the caller: another thread gives it back. Maps
//!   of files are gone at once, as ever: locks, seals and mounts depend on them.
//! - [`Mmap::map_if_safe`] cannot be led astray by a descriptor that is replaced while it looks, or by a file
//!   system in user space that only claims fs-verity.
//! - Maps of huge pages are unmapped and protected whole, whatever length was asked for.
//! - Code made executable is visible to instruction fetch on processors that do not see to that themselves.
//!
//! ```
//! use memmap2::MmapOptions;
//! # use mapwright_memmap2 as memmap2;
//! # let file = tempfile::NamedTempFile::new()?;
//! # std::fs::write(&file, b"some bytes of a file")?;
//! # let file = std::fs::File::open(&file)?;
//! // SAFETY: nobody else has this file.
//! let map = unsafe { MmapOptions::new().offset(5).len(5).map(&file)? };
//! assert_eq!(&map[..], b"bytes");
//! # Ok::<(), std::io::Error>(())
//! ```
//!
//! Modules: `descriptor` (what can be mapped) → `inner` (one owned mapping, and when it is unmapped) →
//! `write_back` → `calls` (what all maps can do) → the three kinds of map → `options` (how they are made).

mod advice;

mod descriptor;

mod write_back;

mod inner;

mod remap;

mod calls;

mod mmap;

mod mmap_mut;

mod mmap_raw;

mod immutable;

mod options;

pub use advice::{Advice, UncheckedAdvice};
pub use descriptor::{MmapAsRawDesc, MmapRawDescriptor};
pub use immutable::MapIfSafeError;
pub use mmap::Mmap;
pub use mmap_mut::MmapMut;
pub use mmap_raw::MmapRaw;
pub use options::MmapOptions;
pub use remap::RemapOptions;
