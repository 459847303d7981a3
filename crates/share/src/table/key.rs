//! What can be a key: plain values, and bytes of any length up to a maximum.

use mapwright_core::Plain;
use mapwright_core::peer::{Ordering, Word64, copy_in};

use crate::value::{load, words_of};

/// A key of a [`Table`](super::Table): a plain value, told from others by its bytes, or `[u8]`.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be a key of a table",
    note = "keys are plain values (see `Plain`), or `[u8]` for bytes of any length up to a maximum"
)]
pub trait TableKey: sealed::Key {}

impl<T: Plain> TableKey for T {}
impl TableKey for [u8] {}

/// How keys are kept, known to this crate only.
pub(super) mod sealed {
    use super::Word64;

    /// A key and the words that it takes.
    pub trait Key {
        /// What a key is when it is taken out of the table.
        type Out;

        /// The canonical text of its type.
        fn layout() -> String;

        /// Words for a key of at most so many bytes.
        fn words(max_bytes: usize) -> usize;

        /// The longest key in bytes, where the type does not leave it open.
        fn fixed_bytes() -> Option<usize>;

        /// How many bytes this one has.
        fn bytes(&self) -> usize;

        /// Mixes it into a number.
        fn hash(&self, seed: u64) -> u64;

        /// Tells whether the words hold it.
        fn matches(&self, words: &[Word64]) -> bool;

        /// Puts it into words.
        fn put(&self, words: &[Word64]);

        /// Takes one out of words; whatever they hold.
        fn take(words: &[Word64], max_bytes: usize) -> Self::Out;

        /// Mixes the key that words hold.
        fn hash_of(words: &[Word64], max_bytes: usize, seed: u64) -> u64;
    }
}

impl<T: Plain> sealed::Key for T {
    type Out = T;

    fn layout() -> String {
        T::STRUCTURE.to_string()
    }

    fn words(_max_bytes: usize) -> usize {
        words_of::<T>()
    }

    fn fixed_bytes() -> Option<usize> {
        Some(size_of::<T>())
    }

    #[inline]
    fn bytes(&self) -> usize {
        size_of::<T>()
    }

    #[inline]
    fn hash(&self, seed: u64) -> u64 {
        hash(self.as_bytes(), seed)
    }

    #[inline]
    fn matches(&self, words: &[Word64]) -> bool {
        are(words, self.as_bytes())
    }

    #[inline]
    fn put(&self, words: &[Word64]) {
        copy_in(words, self.as_bytes());
    }

    #[inline]
    fn take(words: &[Word64], _max_bytes: usize) -> T {
        load(words)
    }

    fn hash_of(words: &[Word64], _max_bytes: usize, seed: u64) -> u64 {
        load::<T>(words).hash(seed)
    }
}

impl sealed::Key for [u8] {
    type Out = Vec<u8>;

    fn layout() -> String {
        "bytes".to_owned()
    }

    /// The first word is the length.
    fn words(max_bytes: usize) -> usize {
        max_bytes.div_ceil(8) + 1
    }

    fn fixed_bytes() -> Option<usize> {
        None
    }

    #[inline]
    fn bytes(&self) -> usize {
        self.len()
    }

    #[inline]
    fn hash(&self, seed: u64) -> u64 {
        hash(self, seed)
    }

    #[inline]
    fn matches(&self, words: &[Word64]) -> bool {
        let [len, words @ ..] = words else { return false };
        len.load(Ordering::Relaxed) == self.len() as u64 && are(words, self)
    }

    #[inline]
    fn put(&self, words: &[Word64]) {
        if let [len, words @ ..] = words {
            len.store(self.len() as u64, Ordering::Relaxed);
            copy_in(words, self);
        }
    }

    fn take(words: &[Word64], max_bytes: usize) -> Vec<u8> {
        let [len, words @ ..] = words else { return Vec::new() };
        let len = usize::try_from(len.load(Ordering::Relaxed)).unwrap_or(usize::MAX).min(max_bytes);
        let mut bytes = vec![0; len];
        mapwright_core::peer::copy_out(words, &mut bytes);
        bytes
    }

    fn hash_of(words: &[Word64], max_bytes: usize, seed: u64) -> u64 {
        hash(&Self::take(words, max_bytes), seed)
    }
}

/// Tells whether words begin with bytes.
#[inline]
fn are(words: &[Word64], bytes: &[u8]) -> bool {
    let mut words = words.iter();
    bytes.chunks(8).all(|chunk| words.next().is_some_and(|it| it.load(Ordering::Relaxed) == number(chunk)))
}

/// Up to eight bytes as a word has them.
#[inline]
fn number(chunk: &[u8]) -> u64 {
    let mut bytes = [0; 8];
    match chunk.try_into() {
        Ok(whole) => bytes = whole,
        Err(_) => bytes.iter_mut().zip(chunk).for_each(|(to, from)| *to = *from),
    }
    u64::from_ne_bytes(bytes)
}

/// Mixes bytes into a number of which every bit depends on every bit: a multiplication of 64 by 64 bits for
/// each eight bytes, and one more.
#[inline]
fn hash(bytes: &[u8], seed: u64) -> u64 {
    const LEN: u64 = 0x9E37_79B9_7F4A_7C15;
    const STEP: u64 = 0xA076_1D64_78BD_642F;
    const LAST: u64 = 0xE703_7ED1_A0B4_28DB;
    let start = seed ^ (bytes.len() as u64).wrapping_mul(LEN);
    let mixed = bytes.chunks(8).fold(start, |mixed, chunk| fold(mixed ^ number(chunk), STEP));
    fold(mixed ^ LEN, LAST)
}

/// Both halves of the product.
#[inline]
fn fold(one: u64, other: u64) -> u64 {
    let product = u128::from(one) * u128::from(other);
    let half = |it: u128| u64::try_from(it & u128::from(u64::MAX)).unwrap_or(0);
    half(product) ^ half(product >> 64)
}

#[cfg(all(test, not(any(loom, shuttle))))]
#[allow(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on fails")]
mod tests {
    use super::sealed::Key;
    use super::*;

    #[test]
    fn keys_come_out_as_they_were_put_in_and_match_only_themselves() {
        let words: Vec<Word64> = (0..5).map(|_| Word64::new(u64::MAX)).collect();
        for len in 0..=32 {
            let key: Vec<u8> = (0..len).collect();
            key.as_slice().put(&words);
            assert_eq!(<[u8] as Key>::take(&words, 32), key);
            assert!(key.as_slice().matches(&words));
            let mut other = key.clone();
            other.push(0);
            assert!(!other.as_slice().matches(&words), "a longer one");
            assert_eq!(<[u8] as Key>::hash_of(&words, 32, 5), key.as_slice().hash(5));
        }
        [7u16; 5].put(&words);
        assert!([7u16; 5].matches(&words) && ![7u16, 7, 7, 7, 8].matches(&words));
        assert_eq!(<[u16; 5] as Key>::take(&words, 0), [7; 5]);
    }

    #[test]
    fn numbers_in_a_row_spread_over_all_bits() {
        const KEYS: u32 = 1 << 14;
        for (shift, seed) in [(0, 0), (16, 0), (48, 1), (0, u64::MAX)] {
            for bits in [0..14, 25..39, 50..64] {
                let mut hit = vec![0u32; 1 << 14];
                for key in 0..KEYS {
                    let hash = (u64::from(key) << shift).hash(seed);
                    hit[usize::try_from(hash >> bits.start & 0x3fff).unwrap()] += 1;
                }
                let empty = hit.iter().filter(|&&count| count == 0).count();
                // Chance leaves 1/e of the places empty: 6027, give or take 60.
                assert!((5700..6350).contains(&empty), "{empty} empty, bits {bits:?} of keys << {shift}");
                assert!(hit.iter().all(|&count| count < 12));
            }
        }
    }
}
