//! Search for bytes and literals, in place.
//!
//! Copying first and searching the copy costs a quarter of the speed. So the scan reads mapped memory
//! directly, by guarded vector instructions: it looks for the rarest bytes of the literal at their
//! distances, and only a place that has them is copied and compared. Where that goes wrong (a literal of
//! bytes that are everywhere), the search falls back to copying blocks and a linear-time search in them.

#![allow(unsafe_code, reason = "guarded scans of owned ranges; listed in docs/SOUNDNESS.md")]

use crate::error::{Fault, FaultKind, Result};
use crate::fault::raw::{self, Literal, Trap};
use crate::map::region::ATTEMPTS;
use crate::map::{Access, Readable};

use super::View;

/// What a candidate that fails costs, in bytes scanned instead: with more failures than one in so many bytes,
/// the scan in place is given up.
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
    /// For literals of four bytes and more: what the fast scan looks for.
    literal: Option<Literal>,
}

impl<'needle> Finder<'needle> {
    /// Prepares a literal.
    #[must_use]
    pub fn new(needle: &'needle [u8]) -> Self {
        let rarest = rarest(needle);
        let (one, other) = (rarest[0].min(rarest[1]), rarest[0].max(rarest[1]));
        let literal = needle.first_chunk().map(|&first_four| {
            let bytes = rarest.map(|index| needle[index]);
            Literal { rarest: bytes, gaps: rarest, first_four }
        });
        Self { needle, first: one, gap: other - one, literal }
    }

    /// Finds the first occurrence at or after `from`.
    ///
    /// # Errors
    /// What the file says where it can no longer be read, unless the literal was found before that place;
    /// `OutOfBounds` where `from` lies beyond the end.
    ///
    /// ```
    /// # use mapwright_core::{Finder, Map};
    /// # let path = tempfile::NamedTempFile::new().unwrap();
    /// # std::fs::write(&path, b"one fish two fish").unwrap();
    /// let map = Map::open(&path)?;
    /// let fish = Finder::new(b"fish");
    /// assert_eq!(fish.find(map.view(), 5)?, Some(13));
    /// assert_eq!(fish.find(map.view(), 14)?, None);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
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
    ///
    /// ```
    /// # use mapwright_core::{Finder, Map};
    /// # let path = tempfile::NamedTempFile::new().unwrap();
    /// # std::fs::write(&path, b"banana").unwrap();
    /// let map = Map::open(&path)?;
    /// let places: Vec<usize> = Finder::new(b"ana").find_all(map.view()).collect::<Result<_, _>>()?;
    /// assert_eq!(places, [1, 3]);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn find_all<'map, A: Readable>(&self, view: View<'map, A>) -> Matches<'map, 'needle, A> {
        Matches { finder: self.clone(), view, from: Some(0) }
    }

    /// Scans `starts` places from `from` on; returns a place where the literal may begin.
    fn scan<A: Readable>(
        &self,
        view: View<'_, A>,
        from: usize,
        starts: usize,
    ) -> Result<Option<usize>, Fault> {
        let (mut found, mut scanned) = (None, starts);
        let covered = starts + self.needle.len() - 1;
        let result = view.scan(from, covered, |source, len| {
            scanned = len.saturating_sub(self.needle.len() - 1);
            // SAFETY: `scan` hands out a part of the view of `len` bytes, in which so many literals can
            // begin.
            let (end, lead) = unsafe { self.scan_in(source, scanned) };
            found = (end.code == 0).then(|| end.address.wrapping_sub(view.address(from + lead)));
            end
        });
        match found.filter(|&place| place < scanned) {
            Some(place) => Ok(Some(from + place)),
            None => result.map(|()| None),
        }
    }

    /// Scans by the best routine there is. What it found counts from `source + lead`.
    ///
    /// # Safety
    /// The bytes of `starts` literals from `source` on lie in address space that a `Region` owns.
    unsafe fn scan_in(&self, source: *const u8, starts: usize) -> (Trap, usize) {
        if let Some(literal) = &self.literal {
            // SAFETY: by this function's contract; the gaps and the first four bytes lie in the literal.
            if let Some(end) = unsafe { raw::scan_literal(source, starts, literal) } {
                return (end, 0);
            }
        }
        let (first, second) = (self.needle[self.first], self.needle[self.first + self.gap]);
        // SAFETY: the first byte's place lies in the literal.
        let source = unsafe { source.add(self.first) };
        // SAFETY: by this function's contract; both bytes lie in the literal.
        (unsafe { raw::scan_pair(source, starts, self.gap, first, second) }, self.first)
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
///
/// ```
/// # use mapwright_core::{Finder, Map};
/// # let path = tempfile::NamedTempFile::new().unwrap();
/// # std::fs::write(&path, b"a,b,c\n").unwrap();
/// let map = Map::open(&path)?;
/// let mut commas = Finder::new(b",").find_all(map.view());
/// assert_eq!(commas.next().transpose()?, Some(1));
/// assert_eq!(commas.count(), 1);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
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
    ///
    /// ```
    /// # use mapwright_core::Map;
    /// # let path = tempfile::NamedTempFile::new().unwrap();
    /// # std::fs::write(&path, b"four words of text").unwrap();
    /// let map = Map::open(&path)?;
    /// assert_eq!(map.view().find(b"words")?, Some(5));
    /// assert_eq!(map.view().find_byte(b' ')?, Some(4));
    /// assert_eq!(map.view().find(b"verse")?, None);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
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

/// The places of a literal's three rarest bytes, the rarest first; the same place twice in a literal of fewer
/// bytes.
fn rarest(needle: &[u8]) -> [usize; 3] {
    let mut places = [0; 3];
    let mut taken = 0;
    while taken < places.len() {
        let free = |index: &usize| !places[..taken].contains(index);
        let commonness = |index: &usize| commonness(needle[*index]);
        let Some(place) = (0..needle.len()).filter(free).min_by_key(commonness) else { break };
        places[taken] = place;
        taken += 1;
    }
    let last = places[taken.saturating_sub(1)];
    places[taken..].fill(last);
    places
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::FaultKind;
    use crate::map::{Map, MapOptions};
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn find_all_finds_what_windows_find(
            bytes in proptest::collection::vec(0u8..3, 0..700),
            needle in proptest::collection::vec(0u8..3, 1..9),
        ) {
            let map = MapOptions::new().shared_memory(bytes.len()).unwrap();
            map.view().copy_from(0, &bytes).unwrap();
            let wanted: Vec<usize> =
                (0..bytes.len()).filter(|&at| bytes[at..].starts_with(&needle)).collect();
            let found: Result<Vec<usize>, Fault> = Finder::new(&needle).find_all(map.view()).collect();
            prop_assert_eq!(found.unwrap(), wanted);
        }
    }

    #[test]
    fn a_literal_before_the_new_end_is_found_and_one_behind_it_is_a_fault() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let mut content = vec![b'a'; 300_000];
        content[40_000..40_006].copy_from_slice(b"needle");
        std::fs::write(&file, &content).unwrap();
        let map = Map::open(&file).unwrap();
        file.as_file().set_len(40_960).unwrap();
        assert_eq!(map.view().find(b"needle").unwrap(), Some(40_000));
        assert_eq!(map.view().find(b"ne").unwrap(), Some(40_000));
        let fault = map.view().find(b"absent").unwrap_err();
        assert_eq!((fault.kind(), fault.offset()), (FaultKind::Truncated, 40_960));
    }

    #[test]
    fn a_literal_of_bytes_that_are_everywhere_is_found_by_the_other_road() {
        let map = MapOptions::new().shared_memory(1 << 20).unwrap();
        map.view().fill(.., b'a').unwrap();
        let mut needle = vec![b'a'; 100];
        needle[50] = b'b';
        assert_eq!(map.view().find(&needle).unwrap(), None);
        map.view().copy_from(900_000, &needle).unwrap();
        assert_eq!(map.view().find(&needle).unwrap(), Some(900_000));
    }
}
