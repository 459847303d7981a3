//! A mapping in the kernel's own words, for code that hands out references under a contract of its own.
//!
//! memmap2's interface (in `compat`) promises less than a [`Map`](crate::Map): the file is not kept open (one
//! more descriptor for each map, and closing it would give up the POSIX locks that the process holds on the
//! file), no signal handler is installed, and touching what was truncated ends the process. What remains is
//! what this type is: a range of address space with an owner. Not a part of the stable interface.
//!
//! # Invariants
//! 1. While a `Mapping` lives, `base..base+owned` is mapped and nobody else unmaps, moves or reprotects it.
//! 2. `base` and `owned` are whole pages; `start..start+len` lies inside.

#![allow(unsafe_code, reason = "owns mappings; listed in docs/SOUNDNESS.md")]

use std::io;
use std::os::fd::RawFd;
use std::ptr::NonNull;

use crate::fault::raw;
use crate::map::options::Unmap;
use crate::map::reaper;
use crate::map::region::DEFER_FROM;
use crate::span::Span;
use crate::sys::memory::{self, OnFault};
use crate::sys::page;

/// The largest page that any processor has, as a bound for a search.
const LARGEST_PAGE: usize = 16 << 30;

/// An owned mapping; see the module's invariants.
///
/// Nothing in it changes behind `&`, so that the compiler may keep address and length in registers across
/// calls. Hence nothing remembers that children did not inherit it: a child must forget such a mapping.
#[derive(Debug)]
pub struct Mapping {
    start: NonNull<u8>,
    len: usize,
    base: NonNull<u8>,
    owned: usize,
    unmap: Unmap,
}

/// What to map.
#[derive(Clone, Copy, Debug)]
pub struct Request {
    /// How many bytes are wanted. At least one page is mapped, so that an empty mapping has an address, too.
    pub len: usize,
    /// `PROT_…`
    pub protection: i32,
    /// `MAP_…`, without those that replace what is mapped already.
    pub flags: i32,
    /// The file's descriptor, which need not outlive the call; -1 for memory.
    pub fd: RawFd,
    /// The file offset of the first byte wanted. It need not be page-aligned.
    pub offset: u64,
}

// SAFETY: a range of address space belongs to the process, not to a thread; what changes it needs `&mut`, and
// the bytes in it are reached through pointers that the type's users answer for.
unsafe impl Send for Mapping {}
// SAFETY: as above.
unsafe impl Sync for Mapping {}

impl Mapping {
    /// Maps.
    ///
    /// # Errors
    /// What mmap(2) says; `ENOMEM` where the length passes the end of the address space.
    ///
    /// # Panics
    /// Where the flags ask to replace what is mapped already.
    pub fn new(request: &Request) -> io::Result<Self> {
        let Request { len, protection, flags, fd, offset } = *request;
        let replacing = libc::MAP_FIXED | libc::MAP_FIXED_NOREPLACE;
        assert_eq!(flags & replacing, 0, "a mapping replaces nothing");
        let page_bytes = u64::try_from(page::size()).map_err(|_| too_long())?;
        let before = offset % page_bytes;
        let aligned = offset - before;
        let before = usize::try_from(before).map_err(|_| too_long())?;
        let owned = owned_for(before, len)?;
        // SAFETY: without MAP_FIXED nothing that exists is touched.
        let base = unsafe { memory::map_descriptor(0, owned, protection, flags, fd, aligned) }?;
        // SAFETY: `before` is less than a page, and at least one page was mapped.
        let start = unsafe { base.add(before) };
        Ok(Self { start, len, base, owned, unmap: Unmap::AtOnce })
    }

    /// Returns the first wanted byte's address.
    #[must_use]
    #[inline]
    pub fn as_ptr(&self) -> *mut u8 {
        self.start.as_ptr()
    }

    /// Returns how many bytes were wanted.
    #[must_use]
    #[inline]
    pub fn len(&self) -> usize {
        self.len
    }

    /// Returns whether no byte was wanted.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Chooses whether dropping may leave a large mapping to another thread; until this is called it may not.
    /// That thread unmaps piece by piece, and huge pages whole.
    pub fn unmap(&mut self, when: Unmap) {
        self.unmap = when;
    }

    /// Changes the protection of all pages.
    ///
    /// Memory that becomes executable is made visible to instruction fetch.
    ///
    /// # Errors
    /// What mprotect(2) says: `EACCES` where the file was not opened for this.
    ///
    /// # Safety
    /// No reference into the mapping needs an access that this takes away.
    pub unsafe fn protect(&mut self, protection: i32) -> io::Result<()> {
        let (base, owned) = (self.base, self.owned);
        // SAFETY: the pages are owned (invariant 1), and references are the caller's promise.
        widening(owned, |len| unsafe { memory::protect(base, len, protection) })?;
        if protection & libc::PROT_EXEC != 0 {
            // SAFETY: the range is owned.
            unsafe { raw::synchronise_instructions(self.start.as_ptr(), self.len) };
        }
        Ok(())
    }

    /// Gives advice about the pages that hold a span of the wanted bytes.
    ///
    /// # Errors
    /// What madvise(2) says: `EINVAL` where the kernel does not know the advice.
    ///
    /// # Safety
    /// Where the advice discards or guards pages, no reference into them is held.
    ///
    /// # Panics
    /// Where the span lies outside of the wanted bytes.
    pub unsafe fn advise(&self, span: Span, advice: i32) -> io::Result<()> {
        let (base, len) = self.pages_of(span);
        // SAFETY: the pages are owned, and references are the caller's promise.
        unsafe { memory::advise(base, len, advice) }
    }

    /// Writes the dirty pages that hold a span of the wanted bytes to the file, and waits.
    ///
    /// # Errors
    /// What msync(2) says: `EIO` where write-back has failed.
    ///
    /// # Panics
    /// Where the span lies outside of the wanted bytes.
    pub fn sync(&self, span: Span) -> io::Result<()> {
        let (base, len) = self.pages_of(span);
        // SAFETY: the pages are owned.
        unsafe { memory::sync(base, len) }
    }

    /// Locks all pages in memory.
    ///
    /// # Errors
    /// What mlock(2) says: `ENOMEM` beyond `RLIMIT_MEMLOCK`, or where a page cannot be had.
    pub fn lock(&self) -> io::Result<()> {
        let (base, len) = self.pages_of(self.all());
        // SAFETY: the pages are owned.
        unsafe { memory::lock(base, len, OnFault::No) }
    }

    /// Unlocks all pages.
    ///
    /// # Errors
    /// What munlock(2) says.
    pub fn unlock(&self) -> io::Result<()> {
        let (base, len) = self.pages_of(self.all());
        // SAFETY: the pages are owned.
        unsafe { memory::unlock(base, len) }
    }

    /// Makes the mapping longer or shorter, at another address if it may move and must.
    ///
    /// # Errors
    /// What mremap(2) says: `ENOMEM` where it cannot grow in place and must not move, or the length passes
    /// the end of the address space. The mapping is as it was then.
    ///
    /// # Safety
    /// No reference into the mapping is held; nothing beyond the file's end is touched afterwards.
    pub unsafe fn remap(&mut self, len: usize, place: Place) -> io::Result<()> {
        let before = self.start.addr().get() - self.base.addr().get();
        let owned = owned_for(before, len)?;
        let flags = match place {
            Place::Fixed => 0,
            Place::MayMove => libc::MREMAP_MAYMOVE,
        };
        // SAFETY: the old range is owned, and no reference into it is held by this function's contract.
        let base = unsafe { memory::remap(self.base, self.owned, owned, flags) }?;
        // SAFETY: `before` is less than a page, and at least one page is mapped.
        let start = unsafe { base.add(before) };
        (self.start, self.len, self.base, self.owned) = (start, len, base, owned);
        Ok(())
    }

    fn all(&self) -> Span {
        Span::at(0, self.len, self.len).expect("all of the bytes lie inside of them")
    }

    /// The whole pages that hold a span of the wanted bytes: an address and a length.
    fn pages_of(&self, span: Span) -> (NonNull<u8>, usize) {
        assert!(span.end() <= self.len, "{span} lies outside of {} bytes", self.len);
        let before = self.start.addr().get() - self.base.addr().get();
        let shifted = Span::at(before + span.offset(), span.len(), self.owned);
        let shifted = shifted.expect("the wanted bytes lie inside of the owned range");
        // An empty span names no page, whatever it lies in the middle of.
        let pages = if shifted.is_empty() { None } else { shifted.outward(page::size()) };
        let (offset, len) = pages.map_or((0, 0), |pages| (pages.offset(), pages.len()));
        // SAFETY: the pages around owned bytes are owned: the owned range is whole pages (invariant 2).
        (unsafe { self.base.add(offset) }, len)
    }
}

/// Whether a mapping may move when it grows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// It stays where it is, or it does not grow.
    Fixed,
    /// It moves if it must.
    MayMove,
}

/// Whole pages for `len` bytes behind `before` bytes; one page at least.
fn owned_for(before: usize, len: usize) -> io::Result<usize> {
    let len = before.checked_add(len).map(|len| len.max(1)).and_then(page::round_up);
    len.ok_or_else(too_long)
}

#[cold]
fn too_long() -> io::Error {
    io::Error::from_raw_os_error(libc::ENOMEM)
}

/// Does something to a whole mapping of at least `owned` bytes.
///
/// The kernel rounds a mapping of huge pages up to whole huge pages, does not say how large those are, and
/// refuses with `EINVAL` to work on less than whole ones. Trying one page size after the other, from the
/// smallest, ends exactly at that mapping's end: what was tried before was refused, and what succeeds reaches
/// no other mapping.
pub(super) fn widening(owned: usize, call: impl Fn(usize) -> io::Result<()>) -> io::Result<()> {
    let mut unit = page::size();
    loop {
        let Some(len) = owned.checked_next_multiple_of(unit) else {
            return Err(io::Error::from_raw_os_error(libc::EINVAL));
        };
        match call(len) {
            Err(error) if error.raw_os_error() == Some(libc::EINVAL) && unit < LARGEST_PAGE => unit *= 2,
            result => return result,
        }
    }
}

impl Drop for Mapping {
    fn drop(&mut self) {
        if self.unmap == Unmap::InBackground && self.owned >= DEFER_FROM {
            // SAFETY: this is the range's owner, and it is being dropped: nothing refers to it any more.
            if unsafe { reaper::defer(self.base, self.owned) }.is_ok() {
                return;
            }
        }
        let base = self.base;
        // SAFETY: as above. Failing (no memory to split a mapping) leaks the range, which is sound.
        let _leaked = widening(self.owned, |len| unsafe { memory::unmap(base, len) });
    }
}
