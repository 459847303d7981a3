//! Bytes of files that others may go on writing, as they are now.

use std::fs::OpenOptions;
use std::ops::RangeBounds;
use std::path::Path;

use super::slice::Frozen;
use super::{copy, reflink};
use crate::error::{Error, ErrorKind, Fault, FaultKind, Result};
use crate::map::{IntoSource, Map, Readable, Source};
use crate::span::{OutOfBounds, Span};
use crate::sys::file::Kind;

impl Frozen {
    /// Opens a file and returns its bytes by the cheapest way that is sound; [`origin`](Self::origin)
    /// says which.
    ///
    /// A memory file's seal and fs-verity need no copy; anything else is a [`snapshot`](Self::snapshot).
    ///
    /// # Errors
    /// What open(2) refuses; a directory, pipe, socket or character device; as `snapshot`.
    ///
    /// # Kernel
    /// As [`from_sealed`](Self::from_sealed), [`from_verity`](Self::from_verity) and
    /// [`snapshot`](Self::snapshot), in this order.
    ///
    /// ```
    /// use mapwright_core::Frozen;
    /// # let path = tempfile::NamedTempFile::new().unwrap();
    /// std::fs::write(&path, "grüße")?;
    /// let frozen = Frozen::open(&path)?;
    /// let text = std::str::from_utf8(&frozen)?;           // checked once, true for ever
    /// std::fs::write(&path, [0xFF; 7])?;
    /// assert_eq!(text, "grüße");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn open(path: impl AsRef<Path>) -> Result<Self> {
        Self::of(Source::open(path, OpenOptions::new().read(true))?)
    }

    /// Returns an open file's bytes by the cheapest way that is sound; as [`open`](Self::open).
    ///
    /// # Errors
    /// As [`open`](Self::open).
    ///
    /// ```
    /// use mapwright_core::{Frozen, FrozenBy, MemFile, Seals};
    /// let file = MemFile::new("table", 100)?;
    /// file.seal(Seals::WRITE | Seals::SHRINK)?;
    /// assert_eq!(Frozen::of(&file)?.origin(), FrozenBy::Seal);        // nothing was copied
    /// # Ok::<(), mapwright_core::Error>(())
    /// ```
    pub fn of(source: impl IntoSource) -> Result<Self> {
        let source = source.into_source()?;
        if Self::is_sealed(&source) {
            Self::from_sealed(source)
        } else if Self::has_verity(&source) {
            Self::from_verity(source)
        } else {
            Self::snapshot(source, ..)
        }
    }

    /// Keeps a range of a file as it is now, whatever happens to the file afterwards.
    ///
    /// Where the file system can share blocks (xfs, btrfs) and the range is large, nothing is copied: a
    /// clone without a name is made in the file's folder, and shows the file at one moment. Elsewhere the
    /// bytes are copied, and may hold a mixture if somebody writes meanwhile. [`origin`](Self::origin)
    /// says which it was.
    ///
    /// # Errors
    /// Where the range ends beyond the file (also because somebody shortens it meanwhile); where the file
    /// is none that has bytes in places, or cannot be read; where no memory is left for the copy.
    ///
    /// # Kernel
    /// `FICLONERANGE` (Linux 4.5) into an `O_TMPFILE`, else pread(2) into private memory.
    ///
    /// ```
    /// use mapwright_core::Frozen;
    /// # let path = tempfile::NamedTempFile::new().unwrap();
    /// # std::fs::write(&path, b"0123456789").unwrap();
    /// let file = std::fs::File::open(&path)?;
    /// let frozen = Frozen::snapshot(&file, 2..5)?;
    /// std::fs::OpenOptions::new().write(true).open(&path)?.set_len(0)?;
    /// assert_eq!(frozen, *b"234");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn snapshot(source: impl IntoSource, range: impl RangeBounds<usize>) -> Result<Self> {
        let source = source.into_source()?;
        let (Kind::Regular { len } | Kind::Block { len }) = source.describe()?.kind else {
            let why = "a character device has no bytes in places";
            return Err(Error::new(ErrorKind::InvalidInput, "freeze", source.name(), why));
        };
        let available = usize::try_from(len).unwrap_or(usize::MAX);
        let span = Span::within(range, available).map_err(|bounds| outside(source.name(), bounds))?;
        match reflink::clone_of(&source, span) {
            Some(frozen) => Ok(frozen),
            None => copy::copied(span.len(), || fetch(&source, span), |bytes| fill(&source, span, bytes)),
        }
    }
}

impl<A: Readable> Map<A> {
    /// Keeps a range of what the map shows as it is now; as [`Frozen::snapshot`].
    ///
    /// What was written to a private map is part of it.
    ///
    /// # Errors
    /// Where the range ends beyond the map, a page cannot be read, or no memory is left for the copy.
    ///
    /// # Kernel
    /// As [`Frozen::snapshot`].
    ///
    /// ```
    /// use mapwright_core::MapOptions;
    /// let map = MapOptions::new().shared_memory(64)?;
    /// map.view().copy_from(10, b"now")?;
    /// let now = map.snapshot(10..13)?;
    /// map.view().copy_from(10, b"new")?;
    /// assert_eq!(now, *b"now");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn snapshot(&self, range: impl RangeBounds<usize>) -> Result<Frozen> {
        let span = Span::within(range, self.len()).map_err(|bounds| outside(self.name(), bounds))?;
        // Written pages of a private map are in no file.
        if !self.is_private()
            && let Some(source) = self.source()
            && let Some(in_file) = in_file(span, self.file_offset())
            && let Some(frozen) = reflink::clone_of(source, in_file)
        {
            return Ok(frozen);
        }
        let view = self.view().sub(span.range())?;
        copy::copied(span.len(), || Ok(view.to_vec()?), |bytes| Ok(view.copy_to(0, bytes)?))
    }
}

fn in_file(span: Span, first: u64) -> Option<Span> {
    Span::new(usize::try_from(first).ok()?.checked_add(span.offset())?, span.len())
}

#[cold]
fn outside(name: String, bounds: OutOfBounds) -> Error {
    Error::new(ErrorKind::OutOfBounds, "freeze", name, bounds.to_string())
}

/// Reads a file's range into a vector.
fn fetch(source: &Source, span: Span) -> Result<Vec<u8>> {
    let mut bytes = Vec::with_capacity(span.len());
    while bytes.len() < span.len() {
        let done = bytes.len();
        step(source, span, done, |at| {
            rustix::io::pread(source.fd(), rustix::buffer::spare_capacity(&mut bytes), at)
        })?;
    }
    // The vector may have got more room, and so more bytes, than was asked for.
    bytes.truncate(span.len());
    Ok(bytes)
}

/// Fills a buffer from a file's range.
fn fill(source: &Source, span: Span, bytes: &mut [u8]) -> Result<()> {
    let mut done = 0;
    while done < bytes.len() {
        done += step(source, span, done, |at| rustix::io::pread(source.fd(), &mut bytes[done..], at))?;
    }
    Ok(())
}

/// Reads once, behind the bytes of the range that were read already.
fn step(
    source: &Source,
    span: Span,
    done: usize,
    mut read: impl FnMut(u64) -> rustix::io::Result<usize>,
) -> Result<usize> {
    let at = u64::try_from(span.offset() + done).unwrap_or(u64::MAX);
    match rustix::io::retry_on_intr(|| read(at)).map_err(|cause| Error::os("read", source.name(), cause))? {
        0 => Err(Fault::new(FaultKind::Truncated, done, at, 0).into()),
        count => Ok(count),
    }
}
