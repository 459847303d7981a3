//! Views: bounded windows on a map, and the only safe way to bytes that others may write.
//!
//! Every access copies: bytes into the caller's buffer ([`View::copy_to`]), a value by value
//! ([`View::load`]), a word atomically ([`View::atomic`]), and returns a [`Fault`] where the page cannot be
//! had. There is never a reference to mapped bytes, so others may change them at any time without anything
//! here being undefined. Read once, then check, then use.
//!
//! - here: the window itself, copies in and out, fill, comparison
//! - `typed`: values of `zerocopy` types, one by one and in batches
//! - `atomic`: atomic operations as methods
//! - `search`: bytes and literals, in place
//! - `lines`, `chunks`, `cursor`: ways to walk

#![allow(unsafe_code, reason = "guarded access to owned ranges; listed in docs/SOUNDNESS.md")]

mod atomic;
mod chunks;
mod cursor;
mod lines;
mod search;
mod typed;

use std::cmp::Ordering;
use std::marker::PhantomData;
use std::ops::RangeBounds;

pub use atomic::{AtomicView, AtomicWord};
pub use chunks::{Chunks, Pieces};
pub use cursor::Cursor;
pub use lines::Lines;
pub use search::{Finder, Matches};

use crate::error::{Fault, FaultKind, Result};
use crate::fault::raw;
use crate::map::region::Region;
use crate::map::{Access, ReadOnly, Readable, Source, Writable};
use crate::span::Span;
use crate::sys::memory::prefer_huge_pages;

/// A bounded window on a [`Map`](crate::Map).
///
/// Copying a view copies the window, not the bytes. Offsets count from the view's own beginning.
///
/// ```
/// use mapwright_core::{FaultKind, Map};
/// # let path = tempfile::NamedTempFile::new().unwrap();
/// # std::fs::write(&path, 0x0102_0304_u32.to_le_bytes().repeat(4)).unwrap();
/// let map = Map::open(&path)?;
/// let middle = map.view().sub(4..12)?;
/// assert_eq!(middle.load::<u32>(4)?, 0x0102_0304);
/// assert_eq!(middle.load::<u32>(6).unwrap_err().kind(), FaultKind::OutOfBounds);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
//
// Invariants: 1. `start..start + len` lies inside the region's owned range for as long as `'map` lasts.
// 2. `A` is the access that the region was mapped with.
#[derive(Debug)]
pub struct View<'map, A: Access = ReadOnly> {
    start: *mut u8,
    len: usize,
    region: &'map Region,
    access: PhantomData<A>,
}

impl<A: Access> Clone for View<'_, A> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<A: Access> Copy for View<'_, A> {}

// SAFETY: a view is a window on a region that is Sync, and every access through it tolerates concurrent
// writers.
unsafe impl<A: Access> Send for View<'_, A> {}
// SAFETY: as above.
unsafe impl<A: Access> Sync for View<'_, A> {}

impl<'map, A: Access> View<'map, A> {
    #[inline]
    pub(crate) fn of(region: &'map Region) -> Self {
        region.look();
        Self { start: region.start(), len: region.len(), region, access: PhantomData }
    }

    /// Returns how many bytes the view shows.
    #[must_use]
    #[inline]
    pub const fn len(&self) -> usize {
        self.len
    }

    /// Returns whether the view shows no byte.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Returns the part of the view that a range names.
    ///
    /// # Errors
    /// `OutOfBounds` where the range ends beyond the view.
    ///
    /// ```
    /// # use mapwright_core::MapOptions;
    /// let map = MapOptions::new().shared_memory(64)?;
    /// let record = map.view().sub(16..32)?;
    /// record.store(0, 7u8)?;
    /// assert_eq!((record.len(), map.view().load::<u8>(16)?), (16, 7));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[inline]
    pub fn sub(&self, range: impl RangeBounds<usize>) -> Result<Self, Fault> {
        let span = Span::within(range, self.len)?;
        Ok(self.window(span))
    }

    /// Splits into the bytes before `at` and the bytes from `at` on.
    ///
    /// # Errors
    /// `OutOfBounds` where `at` lies beyond the end.
    ///
    /// ```
    /// # use mapwright_core::MapOptions;
    /// let map = MapOptions::new().shared_memory(64)?;
    /// let (header, body) = map.view().split_at(16)?;
    /// assert_eq!((header.len(), body.len()), (16, 48));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn split_at(&self, at: usize) -> Result<(Self, Self), Fault> {
        Ok((self.sub(..at)?, self.sub(at..)?))
    }

    /// The window on a span that was checked against this view.
    #[inline]
    fn window(&self, span: Span) -> Self {
        debug_assert!(span.end() <= self.len);
        // SAFETY: the span lies inside the view (invariant 1).
        let start = unsafe { self.start.add(span.offset()) };
        Self { start, len: span.len(), ..*self }
    }

    /// The mapped file, where the file holds what the map shows (pages of a private map may differ once
    /// written).
    pub(crate) fn source(&self) -> Option<&'map Source> {
        let origin = self.region.origin();
        origin.source.as_ref().filter(|_| !origin.has_copies)
    }

    /// Translates an offset into one in the file.
    pub(crate) fn file_offset(&self, offset: usize) -> u64 {
        self.region.origin().file_offset(self.base() + offset)
    }

    /// Makes the description of a fault at an offset.
    #[cold]
    pub(crate) fn fault(&self, kind: FaultKind, offset: usize, os_error: i32) -> Fault {
        self.region.fault(kind, self.base() + offset, os_error).seen_from(self.base())
    }

    /// The region behind the view, and where in its visible bytes the view begins.
    pub(crate) fn parts(&self) -> (&'map Region, usize) {
        (self.region, self.base())
    }

    /// How far into the region's visible bytes the view begins.
    #[inline]
    fn base(&self) -> usize {
        self.start.addr() - self.region.start().addr()
    }

    #[inline]
    fn check(&self, offset: usize, len: usize) -> Result<Span, Fault> {
        Ok(Span::at(offset, len, self.len)?)
    }
}

impl<'map, A: Readable> View<'map, A> {
    /// Copies the bytes at `offset` into a buffer, which it fills.
    ///
    /// # Errors
    /// `OutOfBounds` where the view ends before; else what the file says (see
    /// [`FaultKind`](crate::FaultKind)). Bytes before the fault's offset were copied.
    ///
    /// ```
    /// # use mapwright_core::Map;
    /// # let path = tempfile::NamedTempFile::new().unwrap();
    /// # std::fs::write(&path, b"four words of text").unwrap();
    /// let map = Map::open(&path)?;
    /// let mut word = [0; 5];
    /// map.view().copy_to(5, &mut word)?;
    /// assert_eq!(&word, b"words");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[inline]
    pub fn copy_to(&self, offset: usize, buffer: &mut [u8]) -> Result<(), Fault> {
        self.check(offset, buffer.len())?;
        // SAFETY: the range was checked, and the buffer is writable and private to the caller.
        unsafe { self.copy_to_raw(offset, buffer.as_mut_ptr(), buffer.len()) }
    }

    /// Copies into memory that need not be initialised.
    ///
    /// # Safety
    /// `offset + len` was checked against the view, and `target` is writable for `len` bytes.
    #[inline]
    unsafe fn copy_to_raw(&self, offset: usize, target: *mut u8, len: usize) -> Result<(), Fault> {
        // SAFETY: by this function's contract.
        let source = unsafe { self.start.add(offset) };
        // SAFETY: the source lies in the owned range (invariant 1); the target is the caller's.
        if unsafe { raw::copy_short(target, source, len) } {
            return Ok(());
        }
        // SAFETY: as above.
        if unsafe { raw::copy(target, source, len) }.code == 0 {
            return Ok(());
        }
        // SAFETY: this function's contract is the callee's.
        unsafe { self.copy_to_raw_after_fault(offset, target, len) }
    }

    /// Copies what can be had and finds out why the rest cannot.
    ///
    /// # Safety
    /// As for `copy_to_raw`.
    #[cold]
    unsafe fn copy_to_raw_after_fault(
        &self,
        offset: usize,
        target: *mut u8,
        len: usize,
    ) -> Result<(), Fault> {
        let base = self.base();
        // SAFETY: by this function's contract, and the view lies inside the region (invariant 1).
        unsafe { self.region.settle_copy_out(base + offset, target, len) }
            .map_err(|fault| fault.seen_from(base))
    }

    /// Copies all bytes into a new vector.
    ///
    /// # Errors
    /// As [`copy_to`](Self::copy_to).
    ///
    /// ```
    /// # use mapwright_core::Map;
    /// # let path = tempfile::NamedTempFile::new().unwrap();
    /// # std::fs::write(&path, b"four words of text").unwrap();
    /// let map = Map::open(&path)?;
    /// assert_eq!(map.view().sub(..4)?.to_vec()?, b"four");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn to_vec(&self) -> Result<Vec<u8>, Fault> {
        let mut bytes = Vec::with_capacity(self.len);
        prefer_huge_pages(bytes.spare_capacity_mut());
        // SAFETY: the vector has room for the view's length.
        unsafe { self.copy_to_raw(0, bytes.as_mut_ptr(), self.len) }?;
        // SAFETY: the copy has initialised that many bytes.
        unsafe { bytes.set_len(self.len) };
        Ok(bytes)
    }

    /// Compares the bytes at the view's beginning with `other`, as slices compare.
    ///
    /// # Errors
    /// As [`copy_to`](Self::copy_to).
    ///
    /// ```
    /// use mapwright_core::Map;
    /// use std::cmp::Ordering;
    /// # let path = tempfile::NamedTempFile::new().unwrap();
    /// # std::fs::write(&path, b"beta").unwrap();
    /// let map = Map::open(&path)?;
    /// assert_eq!(map.view().compare(b"alpha")?, Ordering::Greater);
    /// assert_eq!(map.view().compare(b"beta and more")?, Ordering::Less);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn compare(&self, other: &[u8]) -> Result<Ordering, Fault> {
        let common = self.len.min(other.len());
        let mut buffer = [0u8; 4096];
        let mut done = 0;
        while done < common {
            let step = buffer.len().min(common - done);
            self.copy_to(done, &mut buffer[..step])?;
            match buffer[..step].cmp(&other[done..done + step]) {
                Ordering::Equal => done += step,
                unequal => return Ok(unequal),
            }
        }
        Ok(self.len.cmp(&other.len()))
    }

    /// Returns whether the view shows exactly `other`.
    ///
    /// # Errors
    /// As [`copy_to`](Self::copy_to); a difference in length is no access at all.
    ///
    /// ```
    /// # use mapwright_core::Map;
    /// # let path = tempfile::NamedTempFile::new().unwrap();
    /// # std::fs::write(&path, b"magic, then the rest").unwrap();
    /// let map = Map::open(&path)?;
    /// assert!(map.view().sub(..5)?.equals(b"magic")?);
    /// assert!(!map.view().equals(b"magic")?);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn equals(&self, other: &[u8]) -> Result<bool, Fault> {
        Ok(self.len == other.len() && self.compare(other)? == Ordering::Equal)
    }

    /// Walks the bytes in chunks of `size` bytes (the last may be shorter), each copied into one buffer.
    ///
    /// # Panics
    /// Where `size` is 0.
    ///
    /// See [`Chunks`] for an example.
    pub fn chunks(&self, size: usize) -> Chunks<'map, A> {
        Chunks::new(*self, size)
    }

    /// Walks the view in parts of `size` bytes, themselves views.
    ///
    /// # Panics
    /// Where `size` is 0.
    ///
    /// ```
    /// # use mapwright_core::MapOptions;
    /// let map = MapOptions::new().shared_memory(10_000)?;
    /// for (number, page) in (0u8..).zip(map.view().pieces(4096)) {
    ///     page.fill(.., number)?;
    /// }
    /// assert_eq!(map.view().load::<u8>(9_999)?, 2);
    /// assert_eq!(map.view().pieces(4096).len(), 3);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn pieces(&self, size: usize) -> Pieces<'map, A> {
        Pieces::new(*self, size)
    }

    /// Returns a position that reads (and writes, where the map allows it) and moves on.
    ///
    /// See [`Cursor`] for an example.
    #[must_use]
    pub fn cursor(&self) -> Cursor<'map, A> {
        Cursor::new(*self)
    }
}

impl<A: Writable> View<'_, A> {
    /// Copies a buffer over the bytes at `offset`.
    ///
    /// # Errors
    /// `OutOfBounds` where the view ends before; else what the file says: `NoSpace` where the disk is full
    /// and the page was a hole. Bytes before the fault's offset were copied.
    ///
    /// ```
    /// # use mapwright_core::Map;
    /// # let path = tempfile::NamedTempFile::new().unwrap();
    /// std::fs::write(&path, b"four words of text")?;
    /// let map = Map::open_mut(&path)?;
    /// map.view().copy_from(5, b"lines")?;
    /// assert_eq!(std::fs::read(&path)?, b"four lines of text");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[inline]
    pub fn copy_from(&self, offset: usize, buffer: &[u8]) -> Result<(), Fault> {
        self.check(offset, buffer.len())?;
        // SAFETY: the range was checked.
        let target = unsafe { self.start.add(offset) };
        // SAFETY: the target lies in the owned range (invariant 1), and nothing refers to mapped bytes.
        if unsafe { raw::copy_short(target, buffer.as_ptr(), buffer.len()) } {
            return Ok(());
        }
        // SAFETY: as above.
        if unsafe { raw::copy(target, buffer.as_ptr(), buffer.len()) }.code == 0 {
            return Ok(());
        }
        self.copy_from_after_fault(offset, buffer)
    }

    /// Copies what there is room for and finds out why the rest cannot be stored. The range was checked.
    #[cold]
    fn copy_from_after_fault(&self, offset: usize, buffer: &[u8]) -> Result<(), Fault> {
        let base = self.base();
        // SAFETY: the range was checked, the view lies inside the region (invariant 1), and nothing refers to
        // mapped bytes.
        unsafe { self.region.settle_copy_in(base + offset, buffer.as_ptr(), buffer.len()) }
            .map_err(|fault| fault.seen_from(base))
    }

    /// Sets all bytes of a range to one value.
    ///
    /// # Errors
    /// As [`copy_from`](Self::copy_from).
    ///
    /// ```
    /// # use mapwright_core::MapOptions;
    /// let map = MapOptions::new().shared_memory(8)?;
    /// map.view().fill(2..5, b'x')?;
    /// assert_eq!(map.view().to_vec()?, b"\0\0xxx\0\0\0");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn fill(&self, range: impl RangeBounds<usize>, byte: u8) -> Result<(), Fault> {
        let span = Span::within(range, self.len)?;
        let base = self.base();
        // SAFETY: the span was checked, the view lies inside the region (invariant 1), and nothing refers to
        // mapped bytes.
        unsafe { self.region.fill(base + span.offset(), byte, span.len()) }
            .map_err(|fault| fault.seen_from(base))
    }
}
