//! Byte ranges as people write them: `a-b` up to but without `b`, `a+len`, `a-` to the end, `-b` from the
//! beginning.

use std::fmt;
use std::ops::{Bound, Range};

use crate::size;

/// A byte range that may be open on either side.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ByteRange {
    /// The first byte.
    pub(crate) from: u64,
    /// One past the last byte; to the end where there is none.
    pub(crate) to: Option<u64>,
}

impl ByteRange {
    /// Everything.
    pub(crate) const ALL: Self = Self { from: 0, to: None };

    /// The same as the library's functions take it.
    pub(crate) fn bounds(self) -> (Bound<u64>, Bound<u64>) {
        (Bound::Included(self.from), self.to.map_or(Bound::Unbounded, Bound::Excluded))
    }

    /// The part of `len` bytes that the range names.
    ///
    /// # Errors
    /// A sentence with the two numbers that disagree, where the range reaches beyond the end.
    pub(crate) fn within(self, len: u64) -> Result<Range<u64>, String> {
        let to = self.to.unwrap_or(len);
        if self.from > len || to > len {
            return Err(format!("bytes {self} were asked for, but it ends at {len}"));
        }
        Ok(self.from..to)
    }
}

/// Reads a range.
///
/// # Errors
/// A sentence that says what was not understood.
pub(crate) fn parse(text: &str) -> Result<ByteRange, String> {
    let malformed = || format!("`{text}` is not a range; write it like 0-64K, 1M+4K, 1M- or -64K");
    if let Some((from, len)) = text.split_once('+') {
        let from = size::parse(from)?;
        let to = from.checked_add(size::parse(len)?).ok_or_else(|| format!("`{text}` ends beyond 16 EiB"))?;
        return Ok(ByteRange { from, to: Some(to) });
    }
    let (from, to) = text.split_once('-').ok_or_else(malformed)?;
    if from.is_empty() && to.is_empty() {
        return Err(malformed());
    }
    let from = if from.is_empty() { 0 } else { size::parse(from)? };
    let to = if to.is_empty() { None } else { Some(size::parse(to)?) };
    match to {
        Some(to) if to < from => Err(format!("`{text}` ends at {to}, before it begins at {from}")),
        _ => Ok(ByteRange { from, to }),
    }
}

impl fmt::Display for ByteRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.to {
            Some(to) => write!(f, "{}-{to}", self.from),
            None => write!(f, "{}-", self.from),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_forms_and_both_open_ends_are_read() {
        let cases = [
            ("0-64K", 0, Some(65_536)),
            ("1M+4K", 1 << 20, Some((1 << 20) + 4096)),
            ("4096-", 4096, None),
            ("-1K", 0, Some(1024)),
            ("7-7", 7, Some(7)),
            ("0x10-0x20", 16, Some(32)),
        ];
        for (text, from, to) in cases {
            assert_eq!(parse(text), Ok(ByteRange { from, to }), "{text}");
        }
    }

    #[test]
    fn what_is_no_range_is_refused() {
        for text in ["", "-", "5", "a-b", "2-1", "16777215T+16777215T", "1-2-3", "+"] {
            assert!(parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_range_beyond_the_end_names_both_numbers() {
        let range = parse("10-20").unwrap();
        assert_eq!(range.within(20), Ok(10..20));
        assert_eq!(range.within(19), Err("bytes 10-20 were asked for, but it ends at 19".to_owned()));
        assert_eq!(ByteRange::ALL.within(0), Ok(0..0));
        assert!(parse("5-").unwrap().within(4).is_err());
    }
}
