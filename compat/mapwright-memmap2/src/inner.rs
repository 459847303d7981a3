//! What all three kinds of map own: one mapping.

#![allow(unsafe_code, reason = "hands the promises of memmap2's callers on to core")]

use std::io;
use std::os::fd::RawFd;

use mapwright_core::mapping::{Mapping, Place, Request};
use mapwright_core::{Span, Unmap};

use crate::write_back;

/// One mapping.
pub(crate) struct Inner {
    mapping: Mapping,
    /// Whether stores reach a file.
    is_shared: bool,
}

/// Whether stores reach the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Sharing {
    Shared,
    Private,
}

impl Inner {
    /// Maps a file.
    pub(crate) fn of_file(
        fd: RawFd,
        offset: u64,
        len: usize,
        sharing: Sharing,
        protection: i32,
        flags: i32,
    ) -> io::Result<Self> {
        let is_shared = sharing == Sharing::Shared;
        let flags = flags | if is_shared { libc::MAP_SHARED } else { libc::MAP_PRIVATE };
        let mapping = Mapping::new(&Request { len, protection, flags, fd, offset })?;
        Ok(Self { mapping, is_shared })
    }

    /// Maps private memory.
    pub(crate) fn of_memory(len: usize, flags: i32) -> io::Result<Self> {
        let protection = libc::PROT_READ | libc::PROT_WRITE;
        let is_huge = flags & libc::MAP_HUGETLB != 0;
        let flags = flags | libc::MAP_PRIVATE | libc::MAP_ANONYMOUS;
        let mut mapping = Mapping::new(&Request { len, protection, flags, fd: -1, offset: 0 })?;
        // Nothing else hangs on memory, so nobody can tell that it goes a little later: a file would stay
        // locked, busy or mounted meanwhile, and the next map may wait for huge pages.
        if !is_huge {
            mapping.unmap(Unmap::InBackground);
        }
        Ok(Self { mapping, is_shared: false })
    }

    #[inline]
    pub(crate) fn ptr(&self) -> *mut u8 {
        self.mapping.as_ptr()
    }

    #[inline]
    pub(crate) fn len(&self) -> usize {
        self.mapping.len()
    }

    /// Changes the protection.
    ///
    /// # Safety
    /// No reference into the map is left that needs an access which this takes away.
    pub(crate) unsafe fn protect(&mut self, protection: i32) -> io::Result<()> {
        // SAFETY: by this function's contract.
        unsafe { self.mapping.protect(protection) }
    }

    /// Gives advice about a range.
    ///
    /// # Safety
    /// Where the advice changes bytes, nobody relies on them.
    pub(crate) unsafe fn advise(&self, advice: i32, offset: usize, len: usize) -> io::Result<()> {
        let span = self.span(offset, len)?;
        // SAFETY: by this function's contract.
        unsafe { self.mapping.advise(span, advice) }
    }

    pub(crate) fn flush(&self, offset: usize, len: usize) -> io::Result<()> {
        self.mapping.sync(self.span(offset, len)?)
    }

    pub(crate) fn flush_async(&self, offset: usize, len: usize) -> io::Result<()> {
        let span = self.span(offset, len)?;
        if self.is_shared && !span.is_empty() {
            let start = self.ptr().addr() + span.offset();
            write_back::start(start..start + span.len());
        }
        Ok(())
    }

    pub(crate) fn lock(&self) -> io::Result<()> {
        self.mapping.lock()
    }

    pub(crate) fn unlock(&self) -> io::Result<()> {
        self.mapping.unlock()
    }

    /// Changes the length.
    ///
    /// # Safety
    /// No reference into the map is held, and nothing beyond the file's end is touched.
    pub(crate) unsafe fn remap(&mut self, len: usize, place: Place) -> io::Result<()> {
        let len = checked_len(u64::try_from(len).unwrap_or(u64::MAX))?;
        // SAFETY: by this function's contract.
        unsafe { self.mapping.remap(len, place) }
    }

    /// Checks a range as a whole.
    fn span(&self, offset: usize, len: usize) -> io::Result<Span> {
        Span::at(offset, len, self.len()).map_err(|error| io::Error::new(io::ErrorKind::InvalidInput, error))
    }
}

/// Refuses what no slice can be as long as.
pub(crate) fn checked_len(len: u64) -> io::Result<usize> {
    match isize::try_from(len).map(isize::unsigned_abs) {
        Ok(len) => Ok(len),
        Err(_) => {
            let why = format!("cannot map {len} bytes: no slice is longer than {} bytes", isize::MAX);
            Err(io::Error::new(io::ErrorKind::InvalidData, why))
        }
    }
}
