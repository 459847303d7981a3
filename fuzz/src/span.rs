//! [`Span`] against slices: what a slice gives, a span must give, and what a slice refuses, it must refuse.

use std::ops::Bound;

use arbitrary::Arbitrary;
use mapwright_core::Span;

/// A range, and what it is asked of.
#[derive(Arbitrary, Clone, Copy, Debug)]
pub struct Question {
    start: End,
    end: End,
    available: u8,
    offset: Number,
    len: Number,
}

/// One end of a range.
#[derive(Arbitrary, Clone, Copy, Debug)]
enum End {
    Included(Number),
    Excluded(Number),
    Unbounded,
}

/// A number with a liking for the edges.
#[derive(Arbitrary, Clone, Copy, Debug)]
enum Number {
    Small(u8),
    Any(usize),
    FromTheTop(u8),
}

impl Number {
    fn value(self) -> usize {
        match self {
            Self::Small(number) => number.into(),
            Self::Any(number) => number,
            Self::FromTheTop(number) => usize::MAX - usize::from(number),
        }
    }
}

impl End {
    fn bound(self) -> Bound<usize> {
        match self {
            Self::Included(number) => Bound::Included(number.value()),
            Self::Excluded(number) => Bound::Excluded(number.value()),
            Self::Unbounded => Bound::Unbounded,
        }
    }
}

/// Asks a span and a slice.
pub fn check(question: &Question) {
    let bytes = [0u8; u8::MAX as usize];
    let bytes = &bytes[..usize::from(question.available)];
    let range = (question.start.bound(), question.end.bound());
    match (Span::within(range, bytes.len()), bytes.get(range)) {
        (Ok(span), Some(part)) => {
            assert_eq!(span.len(), part.len());
            assert_eq!(span.offset(), part.as_ptr().addr() - bytes.as_ptr().addr());
            assert_eq!((span.range().start, span.range().end), (span.offset(), span.end()));
            assert_eq!(span.is_empty(), part.is_empty());
        }
        (Err(refusal), None) => {
            assert_eq!(refusal.available, bytes.len());
            assert!(refusal.start > refusal.end || refusal.end > bytes.len() || refusal.start == usize::MAX);
        }
        (span, slice) => panic!("{range:?} of {}: {span:?}, but {slice:?}", bytes.len()),
    }
    let (offset, len) = (question.offset.value(), question.len.value());
    let end = offset.checked_add(len);
    assert_eq!(Span::new(offset, len).map(Span::end), end);
    let fits = end.is_some_and(|end| end <= bytes.len());
    assert_eq!(Span::at(offset, len, bytes.len()).is_ok(), fits);
}
