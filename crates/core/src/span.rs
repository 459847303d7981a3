//! Checked ranges: the only place where offsets and lengths are added.
//!
//! A [`Span`] is an offset and a length that were checked against something. Everything in this crate that
//! turns a caller's range into a pointer goes through [`Span::within`], so an overflow or an end beyond the
//! end is an [`OutOfBounds`] value here and never pointer arithmetic elsewhere. Whole pages are found by
//! [`Span::outward`] and [`Span::inward`]. Deliberately absent: file offsets (`u64`), which the map options
//! check against the file.

use std::fmt;
use std::ops::{Bound, RangeBounds};

/// An offset and a length in bytes, checked against the length of something.
///
/// ```
/// use mapwright_core::Span;
/// let span = Span::within(100..200, 4096)?;
/// assert_eq!((span.offset(), span.len(), span.end()), (100, 100, 200));
/// assert_eq!((span.range(), span.is_empty()), (100..200, false));
/// # Ok::<(), mapwright_core::OutOfBounds>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Span {
    offset: usize,
    len: usize,
}

/// A range that does not fit into what it was checked against.
///
/// ```
/// use mapwright_core::{OutOfBounds, Span};
/// let error = Span::within(10..20, 16).unwrap_err();
/// assert_eq!(error, OutOfBounds { start: 10, end: 20, available: 16 });
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OutOfBounds {
    /// First byte asked for.
    pub start: usize,
    /// One past the last byte asked for; `usize::MAX` where the range overflowed.
    pub end: usize,
    /// How many bytes there are.
    pub available: usize,
}

impl fmt::Display for OutOfBounds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { start, end, available } = self;
        write!(f, "bytes {start}..{end} were asked for, but there are only {available}")
    }
}

impl std::error::Error for OutOfBounds {}

impl Span {
    /// Makes a span of `len` bytes from `offset`, or `None` where the end overflows.
    ///
    /// ```
    /// use mapwright_core::Span;
    /// assert_eq!(Span::new(4, 8).map(|span| span.end()), Some(12));
    /// assert!(Span::new(usize::MAX, 1).is_none());
    /// ```
    #[must_use]
    #[inline]
    pub const fn new(offset: usize, len: usize) -> Option<Self> {
        match offset.checked_add(len) {
            Some(_) => Some(Self { offset, len }),
            None => None,
        }
    }

    /// Resolves any range expression against `available` bytes.
    ///
    /// # Errors
    /// [`OutOfBounds`] where the range ends beyond `available`, ends before it starts, or overflows.
    ///
    /// ```
    /// use mapwright_core::Span;
    /// assert_eq!(Span::within(4.., 16).unwrap().len(), 12);
    /// assert!(Span::within(4..17, 16).is_err());
    /// ```
    #[inline]
    pub fn within(range: impl RangeBounds<usize>, available: usize) -> Result<Self, OutOfBounds> {
        let start = match range.start_bound() {
            Bound::Included(&start) => Some(start),
            Bound::Excluded(&start) => start.checked_add(1),
            Bound::Unbounded => Some(0),
        };
        let end = match range.end_bound() {
            Bound::Included(&end) => end.checked_add(1),
            Bound::Excluded(&end) => Some(end),
            Bound::Unbounded => Some(available),
        };
        match (start, end) {
            (Some(start), Some(end)) if start <= end && end <= available => {
                Ok(Self { offset: start, len: end - start })
            }
            (start, end) => Err(OutOfBounds {
                start: start.unwrap_or(usize::MAX),
                end: end.unwrap_or(usize::MAX),
                available,
            }),
        }
    }

    /// Checks `len` bytes at `offset` against `available`.
    ///
    /// # Errors
    /// [`OutOfBounds`] where the end overflows or lies beyond `available`.
    ///
    /// ```
    /// use mapwright_core::Span;
    /// assert_eq!(Span::at(4, 8, 16).map(Span::range), Ok(4..12));
    /// assert!(Span::at(4, usize::MAX, 16).is_err());
    /// ```
    #[inline]
    pub const fn at(offset: usize, len: usize, available: usize) -> Result<Self, OutOfBounds> {
        match offset.checked_add(len) {
            Some(end) if end <= available => Ok(Self { offset, len }),
            Some(end) => Err(OutOfBounds { start: offset, end, available }),
            None => Err(OutOfBounds { start: offset, end: usize::MAX, available }),
        }
    }

    /// Returns the first byte's offset.
    #[must_use]
    #[inline]
    pub const fn offset(self) -> usize {
        self.offset
    }

    /// Returns the length in bytes.
    #[must_use]
    #[inline]
    pub const fn len(self) -> usize {
        self.len
    }

    /// Returns whether the span holds no byte.
    #[must_use]
    #[inline]
    pub const fn is_empty(self) -> bool {
        self.len == 0
    }

    /// Returns one past the last byte; it cannot overflow.
    #[must_use]
    #[inline]
    pub const fn end(self) -> usize {
        self.offset + self.len
    }

    /// Returns the span as a standard range.
    #[must_use]
    pub const fn range(self) -> std::ops::Range<usize> {
        self.offset..self.end()
    }

    /// Widens to whole units of `unit` bytes (a power of two), so that every byte stays covered.
    #[must_use]
    pub(crate) const fn outward(self, unit: usize) -> Option<Self> {
        assert!(unit.is_power_of_two());
        let start = self.offset & !(unit - 1);
        match self.end().checked_next_multiple_of(unit) {
            Some(end) => Some(Self { offset: start, len: end - start }),
            None => None,
        }
    }

    /// Narrows to the whole units of `unit` bytes (a power of two) inside the span; empty where there is
    /// none.
    #[must_use]
    pub(crate) const fn inward(self, unit: usize) -> Self {
        assert!(unit.is_power_of_two());
        let end = self.end() & !(unit - 1);
        match self.offset.checked_next_multiple_of(unit) {
            Some(start) if start < end => Self { offset: start, len: end - start },
            _ => Self { offset: self.offset, len: 0 },
        }
    }
}

/// Widens a length in memory to one in a file; both are 64 bits wide on every platform that we build for.
pub(crate) const fn to_u64(bytes: usize) -> u64 {
    const { assert!(usize::BITS <= u64::BITS) };
    bytes as u64
}

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}+{}", self.offset, self.len)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn inclusive_end_at_the_maximum_overflows_into_an_error() {
        assert!(Span::within(0..=usize::MAX, usize::MAX).is_err());
        assert!(Span::within((Bound::Excluded(usize::MAX), Bound::Unbounded), usize::MAX).is_err());
    }

    #[test]
    fn reversed_range_is_refused() {
        let (start, end) = (5, 4);
        assert!(Span::within(start..end, 10).is_err());
    }

    #[test]
    fn outward_refuses_what_would_pass_the_end_of_the_address_space() {
        assert_eq!(Span::new(usize::MAX - 1, 1).unwrap().outward(4096), None);
    }

    proptest! {
        #[test]
        fn within_agrees_with_slices(start in 0usize..40, end in 0usize..40, len in 0usize..40) {
            let bytes = vec![0u8; len];
            let ours = Span::within(start..end, len).ok().map(Span::range);
            prop_assert_eq!(ours, bytes.get(start..end).map(|_| start..end));
        }

        #[test]
        fn inward_lies_inside_and_outward_around(offset in 0usize..100_000, len in 0usize..100_000) {
            let span = Span::new(offset, len).unwrap();
            let (inner, outer) = (span.inward(4096), span.outward(4096).unwrap());
            prop_assert!(outer.offset() <= span.offset() && span.end() <= outer.end());
            prop_assert!(outer.offset() % 4096 == 0 && outer.end() % 4096 == 0);
            prop_assert!(inner.is_empty() || (span.offset() <= inner.offset() && inner.end() <= span.end()));
            prop_assert!(inner.is_empty() || (inner.offset() % 4096 == 0 && inner.end() % 4096 == 0));
        }
    }
}
