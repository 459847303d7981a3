//! Search for bytes and literals, in place.
//!
//! Copying first and searching the copy costs a quarter of the speed. So the scan reads mapped memory
//! directly, by guarded vector instructions: it looks for the two rarest bytes of the literal at their
//! distance, and only a place that has both is copied and compared. Where that goes wrong (a literal of bytes
//! that are everywhere), the search falls back to copying blocks and a linear-time search in them.

use crate::error::{Fault, FaultKind, Result};
use crate::fault::raw::{self, Trap};
use crate::map::region::ATTEMPTS;
use crate::map::{Access, Readable};

use super::View;

/// What a candidate that fails costs, in bytes scanned instead: with more failures than one in so many bytes, the scan
/// in place is given up.
const CANDIDATE_COST: usize = 256;

/// How many failures are forgiven before that is judged.
const PATIENCE: usize = 64;

/// How many bytes the fallback copies at once.
const BLOCK: usize = 64 << 10;

/// A literal prepared for searching.
///
/// ```
/// use mapwright_core::{Finder, Map};
/// # let path = tempfile::NamedTempFile::new().unwrap();
/// # std::fs::write(&path, b"one fish two fish").unwrap();
/// let map = Map::open(&path)?;
/// let fish = Finder::new(b"fish");
/// let places: Vec<usize> = fish.find_all(map.view()).collect::<Result<_, _>>()?;
/// assert_eq!(places, [4, 13]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
pub struct Finder<'needle> {
    needle: &'needle [u8],
    /// Index of the first of the two rarest bytes (0 in an empty literal).
    first: usize,
    /// Distance to the second; 0 where the literal is one byte long.
    gap: usize,
}

impl<'needle> Finder<'needle> {
    /// Prepares a literal.
    #[must_use]
    pub fn new(needle: &'needle [u8]) -> Self {
        let commonness = |index: &usize| commonness(needle[*index]);
        let rarest = (0..needle.len()).min_by_key(commonness).unwrap_or(0);
        let second =
            (0..needle.len()).filter(|&index| index != rarest).min_by_key(commonness).unwrap_or(rarest);
        let first = rarest.min(second);
        Self { needle, first, gap: rarest.max(second) - first }
    }

    /// Finds the first occurrence at or after `from`.
    ///
    /// # Errors
    /// What the file says where it can no longer be read, unless the literal was found before that place;
    /// `OutOfBounds` where `from` lies beyond the end.
    pub fn find<A: Readable>(&self, view: View<'_, A>, from: usize) -> Result<Option<usize>, Fault> {
        view.check(from, 0)?;
        let length = self.needle.len();
        if length == 0 {
            return Ok(Some(from));
        }
        let (begin, mut from, mut failures) = (from, from, 0);
        while failures < PATIENCE || failures * CANDIDATE_COST < from - begin {
            let Some(starts) = (view.len() - from).checked_sub(length - 1).filter(|&starts| starts > 0)
            else {
                return Ok(None);
            };
            let Some(candidate) = self.scan(view, from, starts)? else { return Ok(None) };
            if length <= 2 || view.window(view.check(candidate, length)?).equals(self.needle)? {
                return Ok(Some(candidate));
            }
            from = candidate + 1;
            failures += 1;
        }
        self.find_in_copies(view, from)
    }

    /// Finds all occurrences, which may overlap.
    pub fn find_all<'map, A: Readable>(&self, view: View<'map, A>) -> Matches<'map, 'needle, A> {
        Matches { finder: self.clone(), view, from: Some(0) }
    }

    /// Scans `starts` places from `from` on for the pair; returns a place where the literal may begin.
    fn scan<A: Readable>(
        &self,
        view: View<'_, A>,
        from: usize,
        starts: usize,
    ) -> Result<Option<usize>, Fault> {
        let (first, second) = (self.needle[self.first], self.needle[self.first + self.gap]);
        let from_pair = from + self.first;
        let covered = starts + self.gap;
        let mut end = Trap { address: 0, code: 0 };
        let mut scanned = starts;
        let result = view.scan(from_pair, covered, |source, len| {
            scanned = len.saturating_sub(self.gap);
            // SAFETY: `scan` hands out a part of the view of `len` bytes, and the pair stays within.
            end = unsafe { raw::scan_pair(source, scanned, self.gap, first, second) };
            end
        });
        let found = end.address.wrapping_sub(view.address(from_pair));
        match result {
            _ if end.code == 0 && found < scanned => Ok(Some(from + found)),
            Ok(()) => Ok(None),
            Err(fault) => Err(fault),
        }
    }

    /// The linear-time road: copies blocks that overlap by the literal's length.
    fn find_in_copies<A: Readable>(&self, view: View<'_, A>, from: usize) -> Result<Option<usize>, Fault> {
        let finder = memchr::memmem::Finder::new(self.needle);
        let length = self.needle.len();
        let mut block = vec![0u8; BLOCK.max(length * 4)];
        let mut at = from;
        while view.len() - at >= length {
            let part = block.len().min(view.len() - at);
            let copied = view.copy_to(at, &mut block[..part]);
            let good = copied.map_or_else(|fault| fault.offset().saturating_sub(at).min(part), |()| part);
            if let Some(found) = finder.find(&block[..good]) {
                return Ok(Some(at + found));
            }
            copied?;
            at += part - (length - 1);
        }
        Ok(None)
    }
}

/// The occurrences of a literal in a view; made by [`Finder::find_all`]. Ends after the first fault.
#[derive(Clone, Debug)]
pub struct Matches<'map, 'needle, A: Access> {
    finder: Finder<'needle>,
    view: View<'map, A>,
    from: Option<usize>,
}

impl<A: Readable> Iterator for Matches<'_, '_, A> {
    type Item = Result<usize, Fault>;

    fn next(&mut self) -> Option<Self::Item> {
        let from = self.from.take().filter(|&from| from <= self.view.len())?;
        let found = self.finder.find(self.view, from).transpose()?;
        self.from = found.as_ref().ok().map(|place| place + 1);
        Some(found)
    }
}

impl<A: Readable> View<'_, A> {
    /// Finds the first occurrence of a literal.
    ///
    /// # Errors
    /// What the file says where it can no longer be read, unless the literal was found before that place.
    pub fn find(&self, needle: &[u8]) -> Result<Option<usize>, Fault> {
        Finder::new(needle).find(*self, 0)
    }

    /// Finds the first occurrence of a byte.
    ///
    /// # Errors
    /// As [`find`](Self::find).
    #[doc(alias = "memchr")]
    pub fn find_byte(&self, byte: u8) -> Result<Option<usize>, Fault> {
        self.find(&[byte])
    }

    /// Address of a byte of the view (or its end), for comparison only.
    fn address(&self, offset: usize) -> usize {
        self.start.addr() + offset
    }

    /// Runs a guarded scan over `offset..+len`, and again over the readable part where the rest has gone.
    fn scan(
        &self,
        offset: usize,
        len: usize,
        mut scan: impl FnMut(*const u8, usize) -> Trap,
    ) -> Result<(), Fault> {
        let window = self.window(self.check(offset, len)?);
        let base = self.base();
        let (mut readable, mut failure) = (len, None);
        for _ in 0..ATTEMPTS {
            if scan(window.start, readable).code == 0 {
                return failure.map_or(Ok(()), Err);
            }
            if let Err(fault) = self.region.probe(base + offset, readable) {
                readable = fault.seen_from(base + offset).offset();
                failure = Some(fault.seen_from(base));
            }
        }
        Err(self.fault(FaultKind::Io, offset, libc::EIO))
    }
}

/// How common a byte is in files at large: text, code, and binaries with their zeros. Only the order matters.
const fn commonness(byte: u8) -> u8 {
    match byte {
        0 | b' ' => 255,
        b'e' | b't' | b'a' | b'o' | b'i' | b'n' | b's' | b'r' => 240,
        b'h' | b'l' | b'd' | b'u' | b'c' | b'm' | b'\n' | 0xFF => 220,
        b'f' | b'p' | b'g' | b'w' | b'y' | b'b' | b'.' | b',' | b'_' | b'0' | b'1' => 190,
        b'v' | b'k' | b'-' | b'(' | b')' | b'"' | b'/' | b':' | b'=' | b';' | b'\t' => 160,
        b'2'..=b'9' => 150,
        b'A'..=b'Z' => 130,
        b'x' | b'j' | b'q' | b'z' => 100,
        0x01..=0x1F => 90,
        b'!'..=b'~' => 80,
        0x7F..=0xBF => 60,
        0xC0..=0xFE => 40,
    }
}
