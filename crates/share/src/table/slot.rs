//! One entry's place: a sequence that says what is in it, a key, and a value, or two places for one.
//!
//! ```text
//!  │ sequence │ key … │ value … │ other value … │     the second value where it is more than a word
//!
//!  sequence   a count, and in the last two bits: 0 empty, 1 the first value holds, 2 the second one
//! ```
//! Storing the sequence is the moment of every change but that of a single word's value, which is its own.
//! What was written before that moment, into an empty slot or into the value that does not hold, is nobody's.
//! So a death leaves the entry as it was or as it should be, and whoever reads finds out by the sequence
//! whether what it copied held all along.

use mapwright_core::Plain;
use mapwright_core::peer::{Ordering, Word64, fence, relax};

use super::key::sealed::Key;
use super::shape::Shape;
use crate::value::{load, store};

const FIRST: u64 = 1;
const SECOND: u64 = 2;
const STATE: u64 = 3;

/// How often an entry is copied anew that is changed again and again.
const TRIES: u32 = 1000;

/// An entry was changed each time that it was copied.
#[derive(Clone, Copy, Debug)]
pub(super) struct Torn;

/// A slot's words.
#[derive(Clone, Copy, Debug)]
pub(super) struct Slot<'a> {
    sequence: &'a Word64,
    key: &'a [Word64],
    first: &'a [Word64],
    /// As long as the first, or empty.
    second: &'a [Word64],
}

impl<'a> Slot<'a> {
    #[inline]
    pub(super) fn new(words: &'a [Word64], shape: &Shape) -> Option<Self> {
        let (sequence, rest) = words.split_first()?;
        let (key, rest) = rest.split_at_checked(shape.key_words)?;
        let (first, rest) = rest.split_at_checked(shape.value_words)?;
        let second = if shape.cells() == 1 { &[] } else { rest.get(..shape.value_words)? };
        Some(Self { sequence, key, first, second })
    }

    /// The words of the value that holds, by a sequence; `None` where there is no entry.
    #[inline]
    fn value(&self, sequence: u64) -> Option<&'a [Word64]> {
        match sequence & STATE {
            FIRST => Some(self.first),
            SECOND if !self.second.is_empty() => Some(self.second),
            _ => None,
        }
    }

    /// Copies an entry that matches, for whoever has no claim. Waits for nobody; repeats where it was changed
    /// meanwhile, so many times.
    ///
    /// # Errors
    /// It was changed each time.
    #[inline]
    pub(super) fn read<R>(
        &self,
        matches: impl Fn(&[Word64]) -> bool,
        copy: impl Fn(&[Word64], &[Word64]) -> R,
    ) -> Result<Option<R>, Torn> {
        for _ in 0..TRIES {
            let seen = self.sequence.load(Ordering::Acquire);
            let Some(value) = self.value(seen) else { return Ok(None) };
            // Where the key is just being replaced, the one looked for is not here in any case.
            if !matches(self.key) {
                return Ok(None);
            }
            let copied = copy(self.key, value);
            fence(Ordering::Acquire);
            if self.sequence.load(Ordering::Relaxed) == seen {
                return Ok(Some(copied));
            }
            relax();
        }
        Err(Torn)
    }

    /// Returns the hash of the key of an entry; `None` where there is none. For whoever has the claim.
    pub(super) fn hash<K: Key + ?Sized>(&self, shape: &Shape) -> Option<u64> {
        self.value(self.sequence.load(Ordering::Relaxed))?;
        Some(K::hash_of(self.key, shape.max_key, shape.seed))
    }

    /// Tells whether this is a key's entry. For whoever has the claim.
    #[inline]
    pub(super) fn holds<K: Key + ?Sized>(&self, key: &K) -> bool {
        self.value(self.sequence.load(Ordering::Relaxed)).is_some() && key.matches(self.key)
    }

    /// Returns the entry's value. For whoever has the claim.
    #[inline]
    pub(super) fn held<V: Plain>(&self) -> Option<V> {
        self.value(self.sequence.load(Ordering::Relaxed)).map(load)
    }

    /// Writes an entry into an empty slot, except for the step that makes it one. For whoever has the claim.
    #[inline]
    pub(super) fn write<K: Key + ?Sized, V: Plain>(&self, key: &K, value: &V) {
        if self.value(self.sequence.load(Ordering::Relaxed)).is_some() {
            // Only where somebody has overwritten the bucket.
            self.clear();
        }
        // Whoever sees one of the stores that follow sees also that the slot was emptied.
        fence(Ordering::Release);
        key.put(self.key);
        store(self.first, value);
    }

    /// Makes what was written an entry.
    #[inline]
    pub(super) fn commit(&self) {
        self.advance(FIRST);
    }

    /// Changes an entry's value. For whoever has the claim.
    #[inline]
    pub(super) fn replace<V: Plain>(&self, value: &V) {
        let seen = self.sequence.load(Ordering::Relaxed);
        fence(Ordering::Release);
        if self.second.is_empty() {
            store(self.first, value);
        } else if seen & STATE == FIRST {
            store(self.second, value);
            self.advance(SECOND);
        } else {
            store(self.first, value);
            self.advance(FIRST);
        }
    }

    /// Empties the slot. For whoever has the claim.
    #[inline]
    pub(super) fn clear(&self) {
        self.advance(0);
    }

    #[inline]
    fn advance(&self, state: u64) {
        let seen = self.sequence.load(Ordering::Relaxed);
        self.sequence.store((seen | STATE).wrapping_add(1) | state, Ordering::Release);
    }
}
