//! From bytes to whole pages: what the kernel can be asked to change.
//!
//! Callers name bytes, the kernel changes pages. [`Pages`] is the one way from the first to the second:
//! checked against the region, rounded outward or inward, and refused in a forked child that did not inherit
//! the range, where something else may be mapped by now.

#![allow(unsafe_code, reason = "computes addresses inside of owned ranges; listed in docs/SOUNDNESS.md")]

use std::io;
use std::ops::Range;
use std::ptr::NonNull;

use crate::error::{Error, ErrorKind, Result};
use crate::map::region::Region;
use crate::span::Span;
use crate::sys::{memory as kernel, page};

/// Whole pages of a region.
//
// Invariant: `from..from + len` lies inside the region's owned range, in the part that is mapped (not in its
// guards), and this process inherited the range or made it.
#[derive(Clone, Copy)]
pub(crate) struct Pages<'a> {
    region: &'a Region,
    from: usize,
    len: usize,
    lead: usize,
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
}

impl<'a> Pages<'a> {
    /// Finds the pages of this mapping's own size for a span of the visible bytes.
    pub(super) fn of(region: &'a Region, span: Span, rounding: Rounding) -> Result<Self> {
        Self::in_units(region, span, rounding, region.unit())
    }

    /// Finds the small pages that hold a span of the visible bytes.
    pub(super) fn small(region: &'a Region, span: Span) -> Result<Self> {
        Self::in_units(region, span, Rounding::Outward, page::size())
    }

    fn in_units(region: &'a Region, span: Span, rounding: Rounding, unit: usize) -> Result<Self> {
        assert!(span.end() <= region.capacity(), "{span} lies in {} bytes", region.capacity());
        if !region.is_here() {
            let why = "this process was forked without it (ForkPolicy::DontFork)";
            return Err(Error::new(ErrorKind::NotFound, "change", "a map", why));
        }
        if span.is_empty() {
            return Ok(Self { region, from: region.before(), len: 0, lead: 0 });
        }
        // Addresses, because only they are known to be aligned: a region may begin with a guard of any size.
        let start = region.start().addr();
        let bytes = Span::new(start + span.offset(), span.len()).expect("owned addresses do not overflow");
        let outer = bytes.outward(unit).expect("the mapping's last page lies in the address space");
        let pages = match rounding {
            Rounding::Outward => outer,
            Rounding::InwardStrictly => bytes.inward(unit),
            Rounding::Inward => {
                let first = if span.offset() == 0 { outer.offset() } else { bytes.offset() };
                let last = if span.end() == region.len() { outer.end() } else { bytes.end() };
                Span::new(first, last - first).expect("lies between owned addresses").inward(unit)
            }
        };
        let from = pages.offset() - region.base().addr().get();
        let (body, body_len) = region.body();
        assert!(pages.is_empty() || body <= from && from + pages.len() <= body + body_len);
        Ok(Self { region, from, len: pages.len(), lead: bytes.offset().saturating_sub(pages.offset()) })
    }

    pub(super) fn is_empty(self) -> bool {
        self.len == 0
    }

    pub(super) fn len(self) -> usize {
        self.len
    }

    /// How far into the first page the first byte that was named lies.
    pub(super) fn lead(self) -> usize {
        self.lead
    }

    pub(super) fn base(self) -> NonNull<u8> {
        // SAFETY: `from` lies inside the owned range (invariant).
        unsafe { self.region.base().add(self.from) }
    }

    pub(super) fn addresses(self) -> Range<usize> {
        let start = self.base().addr().get();
        start..start + self.len
    }

    /// Gives advice about the pages; does nothing where there are none.
    ///
    /// # Safety
    /// Where the advice discards, wipes or guards pages, no reference into them is held.
    pub(super) unsafe fn advise(self, advice: i32) -> io::Result<()> {
        if self.is_empty() {
            return Ok(());
        }
        // SAFETY: the pages are the region's (invariant); references are the caller's promise.
        unsafe { kernel::advise(self.base(), self.len, advice) }
    }

    /// Says for each small page from the `first` on whether it is in memory: bit 0 of its byte.
    pub(super) fn residency(self, first: usize, pages: &mut [u8]) -> io::Result<()> {
        let (offset, len) = (first * page::size(), pages.len() * page::size());
        assert!(offset + len <= self.len, "pages {first}+{} lie in {} bytes", pages.len(), self.len);
        // SAFETY: the offset lies inside these pages (asserted).
        let base = unsafe { self.base().add(offset) };
        // SAFETY: the range is the region's (invariant), and there is one byte for each page.
        unsafe { kernel::residency(base, len, pages) }
    }
}
