//! From bytes to whole pages, and what the kernel can be asked to do with those.
//!
//! Callers name bytes, the kernel changes pages. [`Pages`] is the one way from the first to the second:
//! checked against the region, rounded outward or inward, and refused in a forked child that did not inherit
//! the range, where something else may be mapped by now. All that this module does to existing mappings,
//! [`Pages`] does.

#![allow(unsafe_code, reason = "changes owned ranges of pages; listed in docs/SOUNDNESS.md")]

use std::io;
use std::ops::Range;
use std::ptr::NonNull;

use super::advice::Advice;
use crate::error::{Error, ErrorKind, Result};
use crate::map::region::Region;
use crate::map::{Access, Map, Memory, Source};
use crate::span::Span;
use crate::sys::memory::{self as kernel, OnFault};
use crate::sys::page;

/// Whole pages of a region.
//
// Invariants: 1. `from..from + len` lies inside the region's owned range, in the part that is mapped (not in
// its guards), and this process inherited the range or made it. 2. `owner` is who the region was borrowed
// from: no safe reference to a map's bytes exists, and none to a memory's bytes while it is borrowed
// exclusively.
#[derive(Clone, Copy)]
pub(super) struct Pages<'a> {
    region: &'a Region,
    from: usize,
    len: usize,
    lead: usize,
    owner: Owner,
}

/// Whose pages they are, and what references into them there may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Owner {
    /// A map's: never a safe reference.
    Map,
    /// A memory's, borrowed: shared references may exist.
    Memory,
    /// A memory's, borrowed exclusively: no reference exists now, but any may follow.
    MemoryAlone,
}

/// How a range of bytes becomes one of pages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Rounding {
    /// Every page that holds one of the bytes.
    Outward,
    /// Only pages all of whose bytes were named. A page at the map's edge counts as whole where every byte
    /// that the map shows of it was named.
    Inward,
    /// As `Inward`, but a page at the edge counts only if it was named to its last byte: the file may go on
    /// there.
    InwardStrictly,
    /// The range must begin and end at a page boundary, or at the map's edge.
    Exactly,
}

impl<'a> Pages<'a> {
    /// Finds the pages, of the mapping's own size, of a part of a map.
    pub(super) fn of_map<A: Access>(map: &'a Map<A>, span: Span, rounding: Rounding) -> Result<Self> {
        Self::find(map.region(), Owner::Map, span, rounding, map.region().unit())
    }

    /// Finds the small pages that hold a part of a map.
    pub(super) fn small_of_map<A: Access>(map: &'a Map<A>, span: Span) -> Result<Self> {
        Self::find(map.region(), Owner::Map, span, Rounding::Outward, page::size())
    }

    /// Finds the small pages that hold a part of a memory.
    pub(super) fn small_of_memory(memory: &'a Memory, span: Span) -> Result<Self> {
        Self::find(memory.region(), Owner::Memory, span, Rounding::Outward, page::size())
    }

    /// Finds the pages, of the mapping's own size, of a part of a memory.
    pub(super) fn of_memory(memory: &'a Memory, span: Span, rounding: Rounding) -> Result<Self> {
        Self::find(memory.region(), Owner::Memory, span, rounding, memory.region().unit())
    }

    /// As [`of_memory`](Self::of_memory), while no reference into the memory exists.
    pub(super) fn of_memory_alone(memory: &'a mut Memory, span: Span, rounding: Rounding) -> Result<Self> {
        Self::find(memory.region(), Owner::MemoryAlone, span, rounding, memory.region().unit())
    }

    fn find(region: &'a Region, owner: Owner, span: Span, rounding: Rounding, unit: usize) -> Result<Self> {
        assert!(span.end() <= region.capacity(), "{span} lies in {} bytes", region.capacity());
        let name = || region.origin().source.as_ref().map_or_else(|| "memory".to_owned(), Source::name);
        region.demand_here("change pages of")?;
        region.look();
        let none = Self { region, from: region.before(), len: 0, lead: 0, owner };
        if span.is_empty() {
            return Ok(none);
        }
        // Addresses, because only they are known to be aligned: a region may begin with a guard of any size.
        let start = region.start().addr();
        let bytes = Span::new(start + span.offset(), span.len()).expect("owned addresses do not overflow");
        let outer = bytes.outward(unit).expect("the mapping's last page lies in the address space");
        let first = if span.offset() == 0 { outer.offset() } else { bytes.offset() };
        let last = if span.end() == region.len() { outer.end() } else { bytes.end() };
        let to_the_edges = Span::new(first, last - first).expect("lies between owned addresses");
        let pages = match rounding {
            Rounding::Outward => outer,
            Rounding::InwardStrictly => bytes.inward(unit),
            Rounding::Inward => to_the_edges.inward(unit),
            Rounding::Exactly if to_the_edges == outer => outer,
            Rounding::Exactly => {
                let (from, to) = (outer.offset().saturating_sub(start), outer.end() - start);
                let why = format!(
                    "bytes {}..{} do not begin and end at pages of {unit} bytes; bytes {from}..{} do",
                    span.offset(),
                    span.end(),
                    to.min(region.len())
                );
                return Err(Error::new(ErrorKind::InvalidInput, "change pages of", name(), why));
            }
        };
        if pages.is_empty() {
            return Ok(none);
        }
        let from = pages.offset() - region.base().addr().get();
        let (body, body_len) = region.body();
        assert!(body <= from && from + pages.len() <= body + body_len, "pages lie in what is mapped");
        Ok(Self {
            region,
            from,
            len: pages.len(),
            lead: bytes.offset().saturating_sub(pages.offset()),
            owner,
        })
    }

    pub(super) fn len(self) -> usize {
        self.len
    }

    /// How far into the first page the first byte that was named lies.
    pub(super) fn lead(self) -> usize {
        self.lead
    }

    /// Where in the visible bytes the first page begins; the very beginning where it begins before them.
    pub(super) fn offset(self) -> usize {
        self.from.saturating_sub(self.region.before())
    }

    pub(super) fn addresses(self) -> Range<usize> {
        let start = self.base().addr().get();
        start..start + self.len
    }

    fn base(self) -> NonNull<u8> {
        // SAFETY: `from` lies inside the owned range (invariant 1).
        unsafe { self.region.base().add(self.from) }
    }

    /// Gives advice about the pages.
    pub(super) fn advise(self, advice: Advice) -> io::Result<()> {
        let sound = match self.owner {
            Owner::Map => true,
            Owner::Memory => advice.keeps_contents(),
            Owner::MemoryAlone => advice.keeps_memory_readable(),
        };
        assert!(sound, "{advice:?} would pull pages from under references");
        // SAFETY: what the advice does to the pages' contents contradicts no reference (invariant 2, and the
        // assertion).
        unsafe { self.advise_unchecked(advice) }
    }

    /// Gives advice about pages of memory, whatever it does to them.
    ///
    /// # Safety
    /// No reference into the pages is used, from now on, in a way that the advice contradicts.
    pub(super) unsafe fn advise_unchecked(self, advice: Advice) -> io::Result<()> {
        if self.len == 0 {
            return Ok(());
        }
        match advice {
            // SAFETY: the pages are the region's (invariant 1).
            Advice::DontFork => unsafe { self.region.keep_to_this_process(self.base(), self.len) },
            // SAFETY: as above.
            Advice::DoFork => unsafe { self.region.share_with_children(self.base(), self.len) },
            // SAFETY: as above; references are the caller's promise.
            _ => unsafe { kernel::advise(self.base(), self.len, advice.number()) },
        }
    }

    /// Changes what may be done to a map's pages.
    pub(super) fn protect(self, protection: i32) -> io::Result<()> {
        assert_eq!(self.owner, Owner::Map, "memory stays readable and writable");
        if self.len == 0 {
            return Ok(());
        }
        // SAFETY: the pages are the region's (invariant 1), and no reference into them exists (invariant 2).
        unsafe { kernel::protect(self.base(), self.len, protection) }
    }

    /// Locks the pages in memory.
    pub(super) fn lock(self, on_fault: OnFault) -> io::Result<()> {
        if self.len == 0 {
            return Ok(());
        }
        // SAFETY: the pages are the region's (invariant 1); locking changes no contents.
        unsafe { kernel::lock(self.base(), self.len, on_fault) }
    }

    /// Unlocks the pages.
    pub(super) fn unlock(self) -> io::Result<()> {
        if self.len == 0 {
            return Ok(());
        }
        // SAFETY: as for `lock`.
        unsafe { kernel::unlock(self.base(), self.len) }
    }

    /// Writes dirty pages to their file and waits.
    pub(super) fn sync(self) -> io::Result<()> {
        if self.len == 0 {
            return Ok(());
        }
        // SAFETY: the pages are the region's (invariant 1); writing them back changes no contents.
        unsafe { kernel::sync(self.base(), self.len) }
    }

    /// Says for each small page from the `first` on whether it is in memory: bit 0 of its byte.
    pub(super) fn residency(self, first: usize, pages: &mut [u8]) -> io::Result<()> {
        let (offset, len) = (first * page::size(), pages.len() * page::size());
        assert!(offset + len <= self.len, "pages {first}+{} lie in {} bytes", pages.len(), self.len);
        // SAFETY: the offset lies inside these pages (asserted).
        let base = unsafe { self.base().add(offset) };
        // SAFETY: the range is the region's (invariant 1), and there is one byte for each page.
        unsafe { kernel::residency(base, len, pages) }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::map::{MapOptions, ReadOnly};

    fn map(offset: u64, len: usize, guard: usize) -> Map<ReadOnly> {
        let file = tempfile::tempfile().unwrap();
        file.set_len(100_000).unwrap();
        MapOptions::new().offset(offset).len(len).guard(guard).map(file).unwrap()
    }

    #[test]
    fn the_edges_of_a_map_count_as_whole_unless_the_file_could_suffer() {
        let map = map(5000, 10_000, 0);
        let all = Span::new(0, 10_000).unwrap();
        let find = |rounding| Pages::of_map(&map, all, rounding).unwrap();
        // Bytes 5000..15000 of the file: pages 1..=3 hold them, and only page 2 holds nothing else.
        assert_eq!((find(Rounding::Outward).len(), find(Rounding::Outward).lead()), (3 * 4096, 904));
        assert_eq!(find(Rounding::Inward).len(), 3 * 4096);
        assert_eq!(
            (find(Rounding::InwardStrictly).len(), find(Rounding::InwardStrictly).offset()),
            (4096, 3192)
        );
        assert_eq!(find(Rounding::Exactly).len(), 3 * 4096);
    }

    #[test]
    fn a_range_off_the_page_boundaries_is_refused_with_the_nearest_that_are_on_them() {
        let map = map(0, 10_000, 0);
        let error = Pages::of_map(&map, Span::new(10, 5000).unwrap(), Rounding::Exactly).err().unwrap();
        assert!(error.to_string().contains("bytes 0..8192 do"), "{error}");
        let error = Pages::of_map(&map, Span::new(8192, 10).unwrap(), Rounding::Exactly).err().unwrap();
        assert!(error.to_string().contains("bytes 8192..10000 do"), "{error}");
        assert_eq!(
            Pages::of_map(&map, Span::new(8192, 1808).unwrap(), Rounding::Exactly).unwrap().len(),
            4096
        );
    }

    proptest! {
        #[test]
        fn pages_lie_inside_what_is_mapped(
            offset in 0u64..20_000,
            len in 1usize..30_000,
            guard in 0usize..9000,
            a in 0usize..30_000,
            b in 0usize..30_000,
        ) {
            let map = map(offset, len, guard);
            let (from, to) = (a.min(b).min(len), a.max(b).min(len));
            let span = Span::new(from, to - from).unwrap();
            let (body, body_len) = map.region().body();
            let first = map.region().base().addr().get() + body;
            let mapped = first..first + body_len;
            for rounding in [Rounding::Outward, Rounding::Inward, Rounding::InwardStrictly] {
                let pages = Pages::of_map(&map, span, rounding).unwrap();
                let found = pages.addresses();
                prop_assert!(found.is_empty() || (mapped.start <= found.start && found.end <= mapped.end));
                prop_assert_eq!(pages.len() % 4096, 0);
                if rounding == Rounding::Outward && !span.is_empty() {
                    let start = map.as_ptr().addr();
                    prop_assert!(found.start <= start + from && start + to <= found.end);
                    prop_assert_eq!(found.start + pages.lead(), start + from);
                }
            }
        }
    }
}
