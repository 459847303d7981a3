//! An owned range of address space: who unmaps, and when.
//!
//! ```text
//!  base                start                        start + len      start + capacity
//!   │ guard │ lead      │ visible bytes …            │ room to grow   │ guard │
//!   └───────┴───────────┴────────────────────────────┴────────────────┴───────┘
//!   ◀──────────────────────────────── owned ────────────────────────────────▶
//! ```
//! `lead` is what page alignment adds before a file offset that is not a multiple of the page size.
//!
//! # Invariants
//! 1. While a `Region` lives, `base..base+owned` is address space that nobody else maps, unmaps or moves
//!    (`owned` is 0 where nothing is mapped: an empty region). What is mapped there may change, fault or be
//!    inaccessible.
//! 2. `start..start+capacity` lies inside; `len <= capacity`.
//! 3. `base`, `owned`, `capacity` change only through `&mut Region`, which no view and no owned handle
//!    shares.
//! 4. Dropping unmaps the range exactly once, and only in a process that inherited it.

#![allow(unsafe_code, reason = "owns mappings; listed in docs/SOUNDNESS.md")]

use std::io;
use std::ptr::NonNull;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use crate::error::{Error, ErrorKind, Fault, FaultKind, Result};
use crate::fault::raw::{self, Trap};
use crate::map::origin::{Diagnosis, Origin, Wanted};
use crate::map::reaper;
use crate::map::registry::Ticket;
use crate::map::source::Source;
use crate::sys::absent;
use crate::sys::fork::Generation;
use crate::sys::{fork, memory, page, seal};

/// Ranges from this size on are unmapped by another thread.
pub(crate) const DEFER_FROM: usize = 64 << 20;

/// How often an access is tried again while the world keeps changing under it.
pub(crate) const ATTEMPTS: usize = 64;

/// An owned range of address space; see the module's invariants.
pub(crate) struct Region {
    base: NonNull<u8>,
    owned: usize,
    /// From `base` to the first visible byte.
    before: usize,
    len: AtomicUsize,
    capacity: usize,
    origin: Origin,
    ticket: Option<Ticket>,
    release: Release,
    /// The size of a page of this mapping: more than the kernel's small page for huge page files.
    unit: usize,
    /// Whether anybody ever got a way to the bytes: what nobody looked at is unmapped in no time.
    looked_at: AtomicBool,
    /// Asks background helpers, who hold the region too, to let go.
    stop: AtomicBool,
    /// Whether the reaper counts the range among those that are to be unmapped.
    announced: AtomicBool,
    /// The process whose threads help, once there are any.
    helped_in: OnceLock<Generation>,
    /// Set where children do not inherit the range, or not all of it: the process that may unmap it.
    only_in: OnceLock<Generation>,
}

/// How a range is given back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Release {
    /// Large ranges by another thread, the rest at once.
    Background,
    /// Always at once.
    Now,
    /// Never: sealed, or handed out raw.
    Never,
}

/// The parts that a new region is made of.
pub(crate) struct Parts {
    pub(crate) base: NonNull<u8>,
    pub(crate) owned: usize,
    pub(crate) before: usize,
    pub(crate) len: usize,
    pub(crate) capacity: usize,
    pub(crate) origin: Origin,
    pub(crate) ticket: Option<Ticket>,
    pub(crate) release: Release,
    pub(crate) unit: usize,
    pub(crate) only_in: Option<Generation>,
}

// SAFETY: a range of address space belongs to the process, not to a thread; every access through it is
// guarded and tolerates concurrent writers, and what changes the range needs `&mut`.
unsafe impl Send for Region {}
// SAFETY: as above; the only field that changes behind `&` is an atomic.
unsafe impl Sync for Region {}

impl Region {
    /// Takes ownership of a mapped range.
    ///
    /// # Safety
    /// `base..+owned` was mapped by the caller, who gives up every claim on it, and `release` says who
    /// unmaps.
    pub(crate) unsafe fn adopt(parts: Parts) -> Self {
        let Parts { base, owned, before, len, capacity, origin, ticket, release, unit, only_in } = parts;
        assert!(len <= capacity, "a region of {len} bytes has a capacity of {capacity}");
        assert!(before.checked_add(capacity).is_some_and(|end| end <= owned || capacity == 0));
        let (len, stop, looked_at) = (AtomicUsize::new(len), AtomicBool::new(false), AtomicBool::new(false));
        let only_in = only_in.map_or_else(OnceLock::new, OnceLock::from);
        let helped_in = OnceLock::new();
        Self {
            base,
            owned,
            before,
            len,
            capacity,
            origin,
            ticket,
            release,
            unit,
            looked_at,
            stop,
            announced: AtomicBool::new(false),
            helped_in,
            only_in,
        }
    }

    /// Makes a region that maps nothing.
    pub(crate) fn empty(origin: Origin, ticket: Option<Ticket>) -> Self {
        let parts = Parts {
            base: NonNull::dangling(),
            owned: 0,
            before: 0,
            len: 0,
            capacity: 0,
            origin,
            ticket,
            release: Release::Never,
            unit: page::size(),
            only_in: None,
        };
        // SAFETY: an empty range needs no owner.
        unsafe { Self::adopt(parts) }
    }

    /// Returns the first visible byte's address.
    #[inline]
    pub(crate) fn start(&self) -> *mut u8 {
        // SAFETY: invariant 2: the visible bytes lie inside the owned range.
        unsafe { self.base.as_ptr().add(self.before) }
    }

    /// Remembers that somebody has a way to the bytes now.
    #[inline]
    pub(crate) fn look(&self) {
        // Read first: a line that many threads read must not be written by each of them.
        if !self.looked_at.load(Ordering::Relaxed) {
            self.looked_at.store(true, Ordering::Relaxed);
        }
    }

    /// Whether unmapping would hold up the caller. Pages from a pool are few, and their owner can tell when
    /// they are back.
    fn is_slow_to_unmap(&self) -> bool {
        let is_small = self.unit == page::size();
        is_small && self.owned >= DEFER_FROM && self.looked_at.load(Ordering::Relaxed)
    }

    /// Returns the number of visible bytes.
    #[inline]
    pub(crate) fn len(&self) -> usize {
        self.len.load(Ordering::Acquire)
    }

    /// Makes more or fewer bytes visible, within the capacity.
    pub(crate) fn set_len(&self, len: usize) {
        assert!(len <= self.capacity, "{len} bytes do not fit into a capacity of {}", self.capacity);
        self.len.store(len, Ordering::Release);
        self.note_end();
    }

    /// Tells the registry where in its file the map ends now.
    pub(crate) fn note_end(&self) {
        if let Some(ticket) = &self.ticket {
            ticket.set_end(self.origin.file_offset(self.len()));
        }
    }

    /// Makes at least `len` bytes visible, within the capacity.
    pub(crate) fn raise_len(&self, len: usize) {
        assert!(len <= self.capacity, "{len} bytes do not fit into a capacity of {}", self.capacity);
        self.len.fetch_max(len, Ordering::AcqRel);
        self.note_end();
    }

    pub(crate) fn capacity(&self) -> usize {
        self.capacity
    }

    pub(crate) fn base(&self) -> NonNull<u8> {
        self.base
    }

    pub(crate) fn owned(&self) -> usize {
        self.owned
    }

    /// The pages that are mapped, without the guards around them: an offset from `base`, and a length.
    pub(crate) fn body(&self) -> (usize, usize) {
        // By the address, which is aligned; a guard before it need not be a multiple of a huge page.
        let lead = self.start().addr() % self.unit;
        let from = self.before.saturating_sub(lead);
        let len = (lead + self.capacity).next_multiple_of(self.unit).min(self.owned - from);
        (from, len)
    }

    pub(crate) fn before(&self) -> usize {
        self.before
    }

    pub(crate) fn origin(&self) -> &Origin {
        &self.origin
    }

    /// Says that its pages may be written, and are private.
    pub(crate) fn will_have_copies(&mut self) {
        self.origin.has_copies = true;
    }

    pub(crate) fn ticket(&self) -> Option<&Ticket> {
        self.ticket.as_ref()
    }

    /// Returns the size of a page of this mapping.
    pub(crate) fn unit(&self) -> usize {
        self.unit
    }

    /// Asks background helpers to let go of the region.
    pub(crate) fn stop_helpers(&self) {
        self.stop.store(true, Ordering::Relaxed);
    }

    /// Whether the file is memory that can be sealed.
    pub(crate) fn is_of_a_memory_file(&self) -> bool {
        self.origin.source.as_ref().is_some_and(|source| seal::seals(source.fd()).is_ok())
    }

    /// Says that the range will be unmapped soon, by whoever lets go of it last.
    pub(crate) fn announce_end(&self) {
        self.announced.store(reaper::announce(), Ordering::Relaxed);
    }

    /// Allows background helpers again.
    pub(crate) fn allow_helpers(&self) {
        self.stop.store(false, Ordering::Relaxed);
    }

    /// Remembers that threads of this process help.
    pub(crate) fn note_helpers(&self) {
        self.helped_in.get_or_init(fork::generation);
    }

    /// Whether helpers, if there are any, are threads of this process and not of a parent.
    pub(crate) fn has_helpers_here(&self) -> bool {
        self.helped_in.get().is_some_and(|&generation| generation == fork::generation())
    }

    /// Tells a background helper whether to let go.
    pub(crate) fn helpers_must_stop(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }

    pub(crate) fn only_in(&self) -> Option<Generation> {
        self.only_in.get().copied()
    }

    /// Keeps a part of the range from children. They neither change nor unmap any of it from now on.
    ///
    /// # Safety
    /// `base..+len` is a part of the owned range, and children need nothing of it that a reference promises.
    pub(crate) unsafe fn keep_to_this_process(&self, base: NonNull<u8>, len: usize) -> io::Result<()> {
        let mut absent = absent::lock()?;
        // SAFETY: by this function's contract; nothing changes in this process.
        let advised = unsafe { memory::advise(base, len, libc::MADV_DONTFORK) };
        // SAFETY: as above. It is taken back where it was given for a part only.
        if advised.is_ok() || unsafe { memory::advise(base, len, libc::MADV_DOFORK) }.is_err() {
            absent.insert(absent::addresses(base, len));
            self.only_in.get_or_init(fork::generation);
        }
        advised
    }

    /// Gives a part of the range to children again. They still do not unmap it: they may lack another part.
    ///
    /// # Safety
    /// `base..+len` is a part of the owned range.
    pub(crate) unsafe fn share_with_children(&self, base: NonNull<u8>, len: usize) -> io::Result<()> {
        let mut absent = absent::lock()?;
        // SAFETY: by this function's contract; nothing changes in this process.
        unsafe { memory::advise(base, len, libc::MADV_DOFORK) }?;
        absent.remove(absent::addresses(base, len));
        Ok(())
    }

    /// Whether the table of what children lack may know the range. It has to be told when the range moves or
    /// ends.
    pub(crate) fn absent_in_children(&self) -> Option<absent::Locked> {
        // A table that could not be made has no entries.
        if self.only_in().is_some() { absent::lock().ok() } else { None }
    }

    /// Says that the range is about to be unmapped.
    pub(crate) fn leave_the_table(&self) {
        if let Some(mut absent) = self.absent_in_children() {
            absent.remove(absent::addresses(self.base, self.owned));
        }
    }

    /// Refuses what a child must not do with a range that it did not inherit.
    pub(crate) fn demand_here(&self, action: &'static str) -> Result<()> {
        if self.is_here() {
            return Ok(());
        }
        let name = self.origin.source.as_ref().map_or_else(|| "memory".to_owned(), Source::name);
        Err(Error::new(ErrorKind::NotFound, action, name, "this process was forked without it (DontFork)"))
    }

    /// Tells whether this process made the range or inherited it.
    pub(crate) fn is_here(&self) -> bool {
        self.only_in().is_none_or(|generation| generation == fork::generation())
    }

    pub(crate) fn release(&self) -> Release {
        self.release
    }

    pub(crate) fn set_release(&mut self, release: Release) {
        self.release = release;
    }

    /// Replaces the range after it was moved, grown or cut by the kernel.
    ///
    /// # Safety
    /// The old range is gone or part of the new one, which the caller owns and gives up.
    pub(crate) unsafe fn replace(&mut self, base: NonNull<u8>, owned: usize, capacity: usize, len: usize) {
        assert!(self.before + capacity <= owned && len <= capacity);
        self.base = base;
        self.owned = owned;
        self.capacity = capacity;
        self.len.store(len, Ordering::Release);
        self.note_end();
    }

    /// Copies out of the range after a copy has trapped. On a fault everything before it has been copied.
    ///
    /// # Safety
    /// `target` is writable for `len` bytes and lies outside of the range; `offset + len <= capacity`.
    pub(crate) unsafe fn settle_copy_out(
        &self,
        offset: usize,
        target: *mut u8,
        len: usize,
    ) -> Result<(), Fault> {
        debug_assert!(offset.checked_add(len).is_some_and(|end| end <= self.capacity));
        // SAFETY: inside the visible range by this function's contract.
        let source = unsafe { self.start().add(offset) };
        self.settle(offset, len, Wanted::Read, |from, len| {
            // SAFETY: `from` lies inside of the target.
            let target = unsafe { target.add(from) };
            // SAFETY: `from` lies inside of the source.
            let source = unsafe { source.add(from) };
            // SAFETY: as above, for a part of the same ranges.
            unsafe { raw::copy(target, source, len) }
        })
    }

    /// Copies into the range after a copy has trapped. On a fault everything before it has been copied.
    ///
    /// # Safety
    /// `source` is readable for `len` bytes and lies outside of the range; `offset + len <= capacity`;
    /// nothing refers to the target's bytes.
    pub(crate) unsafe fn settle_copy_in(
        &self,
        offset: usize,
        source: *const u8,
        len: usize,
    ) -> Result<(), Fault> {
        debug_assert!(offset.checked_add(len).is_some_and(|end| end <= self.capacity));
        // SAFETY: inside the visible range by this function's contract.
        let target = unsafe { self.start().add(offset) };
        self.settle(offset, len, Wanted::Write, |from, len| {
            // SAFETY: `from` lies inside of the target.
            let target = unsafe { target.add(from) };
            // SAFETY: `from` lies inside of the source.
            let source = unsafe { source.add(from) };
            // SAFETY: as above, for a part of the same ranges.
            unsafe { raw::copy(target, source, len) }
        })
    }

    /// Sets bytes of the range. On a fault everything before it has been set.
    ///
    /// # Safety
    /// `offset + len <= capacity`; nothing refers to these bytes.
    pub(crate) unsafe fn fill(&self, offset: usize, byte: u8, len: usize) -> Result<(), Fault> {
        debug_assert!(offset.checked_add(len).is_some_and(|end| end <= self.capacity));
        // SAFETY: inside the visible range by this function's contract.
        let target = unsafe { self.start().add(offset) };
        // SAFETY: the target is owned (invariant 1).
        let trap = unsafe { raw::fill(target, byte, len) };
        if trap.code == 0 {
            return Ok(());
        }
        self.settle(offset, len, Wanted::Write, |from, len| {
            // SAFETY: `from` lies inside of the range.
            let target = unsafe { target.add(from) };
            // SAFETY: as above, for a part of the same range.
            unsafe { raw::fill(target, byte, len) }
        })
    }

    /// Finishes an access that trapped, page by page from its beginning: a routine may touch its last bytes
    /// first, but what the caller is told is the first byte that cannot be had, with everything before it
    /// done.
    ///
    /// `again` makes a part of the access, given by its distance from the beginning and its length. It is
    /// repeated while the file says that the page can be had.
    #[cold]
    #[inline(never)]
    pub(crate) fn settle(
        &self,
        offset: usize,
        len: usize,
        wanted: Wanted,
        mut again: impl FnMut(usize, usize) -> Trap,
    ) -> Result<(), Fault> {
        let page = page::size();
        let (mut from, mut attempts) = (0, 0);
        while from < len {
            let to_page_end = page - (self.start().addr() + offset + from) % page;
            let part = to_page_end.min(len - from);
            let trap = again(from, part);
            if trap.code == 0 {
                (from, attempts) = (from + part, 0);
                continue;
            }
            attempts += 1;
            if !self.is_ours(trap, offset + from, part) {
                touch_the_private_side(trap.address, attempts);
                continue;
            }
            if trap.signal() == Some(libc::SIGSEGV) && !self.is_here() {
                return Err(self.fault(FaultKind::Gone, offset + from, 0));
            }
            match self.origin.diagnose(offset + from, wanted, trap, attempts) {
                Diagnosis::Retry if attempts < ATTEMPTS => {}
                // The file says yes and the page says no, over and over: that is an error of the file system.
                Diagnosis::Retry => return Err(self.fault(FaultKind::Io, offset + from, libc::EIO)),
                Diagnosis::Fault(kind, os_error) => return Err(self.fault(kind, offset + from, os_error)),
            }
        }
        Ok(())
    }

    /// Reads one byte of every page of a range: finds the first that cannot be had.
    #[cold]
    pub(crate) fn probe(&self, offset: usize, len: usize) -> Result<(), Fault> {
        self.settle(offset, len, Wanted::Read, |from, _| {
            let mut byte = 0u8;
            // SAFETY: inside the visible range: callers have checked `offset..+len`, and `from` lies within.
            let source = unsafe { self.start().add(offset + from) };
            // SAFETY: one byte of the owned range (invariant 1) into a local.
            unsafe { raw::copy(&raw mut byte, source, 1) }
        })
    }

    /// Touches one byte of every page of a range for writing, which changes nothing: finds the first that
    /// cannot be had.
    #[cold]
    pub(crate) fn touch_for_writing(&self, offset: usize, len: usize) -> Result<(), Fault> {
        self.settle(offset, len, Wanted::Write, |from, _| {
            // SAFETY: inside the visible range: callers have checked `offset..+len`, and `from` lies within.
            let target = unsafe { self.start().add(offset + from) };
            // SAFETY: one byte of the owned range (invariant 1), to which nothing refers.
            unsafe { raw::touch_for_writing(target) }
        })
    }

    /// A trap outside of `offset..+len` is the other side's: ours to hand on, not to explain.
    fn is_ours(&self, trap: Trap, offset: usize, len: usize) -> bool {
        // By pages: broken memory may be reported by its page alone.
        let (start, unit) = (self.start().addr() + offset, page::size());
        (start - start % unit..start + len).contains(&trap.address)
    }

    /// Makes a fault's description from an offset in the visible bytes.
    #[cold]
    pub(crate) fn fault(&self, kind: FaultKind, offset: usize, os_error: i32) -> Fault {
        Fault::new(kind, offset, self.origin.file_offset(offset), os_error)
    }
}

/// Touches the caller's own memory without a guard: it ends as a plain access would have ended, or it works
/// now (the page has come back, or a racy slice got its zeros) and the copy is tried again.
#[cold]
fn touch_the_private_side(address: usize, attempts: usize) {
    assert!(attempts < ATTEMPTS, "memory at {address:#x} faults when it is copied and not when it is read");
    let place = std::ptr::with_exposed_provenance::<u8>(address);
    // SAFETY: the caller promised that its side is readable. It has just faulted: whatever signal this raises
    // is the one that the caller's own access would have raised.
    let _byte = unsafe { place.read_volatile() };
}

impl Region {
    /// Unmaps what lies beyond the visible bytes. Room to grow has no pages, so that takes no time, however
    /// much of it there is; the reaper would go through a tebibyte piece by piece.
    fn give_up_room(&mut self) {
        let base = self.base.addr().get();
        let visible = (self.start().addr() + self.len()).next_multiple_of(self.unit) - base;
        if visible == 0 || visible >= self.owned {
            return;
        }
        // SAFETY: the end of the visible pages lies inside the owned range.
        let room = unsafe { self.base.add(visible) };
        // SAFETY: only called while the region is being dropped: nothing refers to the range any more.
        if unsafe { memory::unmap(room, self.owned - visible) }.is_ok() {
            self.owned = visible;
        }
    }
}

impl Drop for Region {
    fn drop(&mut self) {
        let _said_at_the_end = self.announced.load(Ordering::Relaxed).then(reaper::Announced::arrives);
        if self.owned == 0 || self.release == Release::Never {
            return;
        }
        // Invariant 4: a child that did not inherit the range has something else there.
        if !self.is_here() {
            return;
        }
        self.leave_the_table();
        if self.release == Release::Background && self.is_slow_to_unmap() {
            self.give_up_room();
            // SAFETY: this is the range's owner, and it is being dropped: nothing refers to the range any
            // more.
            if self.is_slow_to_unmap() && unsafe { reaper::defer(self.base, self.owned) }.is_ok() {
                return;
            }
        }
        // SAFETY: as above. Failing (no memory to split a mapping) leaks the range, which is sound.
        let _leaked = unsafe { memory::unmap(self.base, self.owned) };
    }
}

impl std::fmt::Debug for Region {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Region")
            .field("start", &self.start())
            .field("len", &self.len())
            .field("capacity", &self.capacity)
            .field("origin", &self.origin)
            .finish_non_exhaustive()
    }
}
