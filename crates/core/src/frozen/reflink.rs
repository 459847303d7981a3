//! Clones that share a file's blocks: a snapshot of any size without a copy.
//!
//! ```text
//!  the file       ▓▓▓▓▓▓▓▓▓▓▓▓     others go on writing: their blocks are replaced, not ours
//!                   │ shared │
//!  the clone        ▓▓▓▓▓▓▓▓       no name and never one (O_TMPFILE | O_EXCL), mode 0400, one descriptor:
//!                                  ours, opened again for reading; the writable one is closed by then
//! ```
//! So no call by name reaches the clone, and no descriptor writes it. Only file systems whose blocks this
//! kernel alone manages count: a network file system's server could change the clone (and NFS does have
//! the call).
//!
//! Every refusal (no rights in the folder, another file system, blocks that cannot be shared) ends in a
//! copy instead.

#![allow(unsafe_code, reason = "adopts a clone that nobody else can reach; listed in docs/SOUNDNESS.md")]

use std::io;
use std::os::fd::{AsFd, OwnedFd};

use super::slice::{Frozen, FrozenBy};
use crate::map::{MapOptions, Source};
use crate::span::Span;
use crate::sys::file::{self, Kind};
use crate::sys::file_system::{self, FileSystem};
use crate::sys::reflink::{self, Extent};

/// Ranges below this size are copied. A clone takes 0.1 ms whatever its size (6 ms where the file's dirty
/// pages must go to the disk first), but its pages are read from the disk again: 16 MiB of a cached file were
/// cloned and read through in 4.8 ms, and copied in 2.5. What it saves is memory.
const WORTH_IT_FROM: usize = 16 << 20;

/// Clones a range of a file, or returns `None` where that cannot be had or is not worth it.
pub(super) fn clone_of(source: &Source, span: Span) -> Option<Frozen> {
    let local = || matches!(file_system::of(source.fd()), Ok(FileSystem::Xfs | FileSystem::Btrfs));
    if span.len() < WORTH_IT_FROM || !local() {
        return None;
    }
    let (clone, lead) = private_clone(source, span).ok()?;
    let options = MapOptions::new().offset(u64::try_from(lead).ok()?).len(span.len());
    // Fails where somebody has shortened the file between the question for its length and the clone: the
    // copy will say so.
    let region = options.map(clone).ok()?.into_region();
    // SAFETY: the clone was made above, on a file system whose blocks this kernel alone manages. It has
    // no name, its only descriptor is the region's and can only read, and the blocks that it shares are
    // replaced, not written, when somebody writes the file (module doc). So nobody writes its bytes, and
    // nobody shortens it.
    Some(unsafe { Frozen::from_region(region, FrozenBy::Reflink) })
}

/// Makes a clone that can only be read. Returns it with how far into it the range begins, since whole
/// blocks are shared.
fn private_clone(source: &Source, span: Span) -> io::Result<(OwnedFd, usize)> {
    let description = file::describe(source.fd())?;
    let (Kind::Regular { len }, Ok(block)) = (description.kind, usize::try_from(description.block)) else {
        return Err(io::ErrorKind::Unsupported.into());
    };
    let block = if block.is_power_of_two() { block } else { crate::sys::page::size() };
    let blocks = span.outward(block).ok_or(io::ErrorKind::InvalidInput)?;
    let end = u64::try_from(blocks.end()).unwrap_or(u64::MAX);
    let bytes = u64::try_from(blocks.len()).unwrap_or(u64::MAX);
    let extent = if end >= len { Extent::ToTheEnd } else { Extent::Bytes(bytes) };
    let path = file::remembered_path(source.fd()).ok_or(io::ErrorKind::NotFound)?;
    let folder = path.parent().ok_or(io::ErrorKind::NotFound)?;
    let writable = reflink::nameless(folder)?;
    reflink::share(
        writable.as_fd(),
        source.fd(),
        u64::try_from(blocks.offset()).unwrap_or(u64::MAX),
        extent,
    )?;
    let readable = file::reopen(writable.as_fd(), rustix::fs::OFlags::RDONLY)?;
    Ok((readable, span.offset() - blocks.offset()))
}
