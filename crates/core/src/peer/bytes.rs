//! Bytes that others may write: copied between words of shared memory and ordinary memory.
//!
//! A racing copy is torn, never undefined. Whoever copies must find out afterwards whether somebody wrote
//! meanwhile; [`fence`](super::fence) orders the copy against that.

#![allow(unsafe_code, reason = "hands owned words to the guarded copy; listed in docs/SOUNDNESS.md")]

use super::word::{LookWord64, Ordering, Word64};

/// From how many bytes on the guarded routine beats a loop over words (measured when this was written: 1 KiB
/// takes 31 ns by words and 12 by the routine). Below, the compiler sees what becomes of the words, and keeps
/// them where they are used: a snapshot of 64 bytes is read in 3.6 ns instead of 7.5.
#[cfg(not(any(loom, shuttle, feature = "crash-points")))]
const LONG: usize = 128;

/// Copies bytes out of words.
///
/// # Panics
/// Where the words are fewer than the bytes.
#[inline]
pub fn copy_out(words: &[Word64], bytes: &mut [u8]) {
    assert!(bytes.len() <= words.len() * 8, "{} bytes are not in {} words", bytes.len(), words.len());
    #[cfg(not(any(loom, shuttle, feature = "crash-points")))]
    if bytes.len() >= LONG {
        // SAFETY: the words are readable for their whole length (they are borrowed), the buffer is ours, and
        // the routine tolerates other writers.
        let trap = unsafe { crate::fault::raw::copy(bytes.as_mut_ptr(), words.as_ptr().cast(), bytes.len()) };
        if trap.code == 0 {
            return;
        }
        // A page vanished. Word by word the handler replaces it.
    }
    out_by_words(words, bytes);
}

/// Copies bytes out of words that can only be looked at; see [`copy_out`].
///
/// # Panics
/// Where the words are fewer than the bytes.
#[inline]
pub fn look_out(words: &[LookWord64], bytes: &mut [u8]) {
    // SAFETY: `LookWord64` is a transparent `Word64`, and `copy_out` only loads.
    let words = unsafe { &*(std::ptr::from_ref(words) as *const [Word64]) };
    copy_out(words, bytes);
}

/// Loads eight words: on x86-64 two at a time, into registers in which one can go on with both. Between any
/// two words somebody may have written.
#[inline(always)]
#[must_use]
pub fn look_at_eight(words: &[LookWord64; 8]) -> [u64; 8] {
    #[cfg(all(target_arch = "x86_64", not(any(loom, shuttle))))]
    {
        use std::arch::asm;
        use std::arch::x86_64::__m128i;
        let (first, second, third, fourth): (__m128i, __m128i, __m128i, __m128i);
        // SAFETY: reads the eight words, which are borrowed. The compiler knows nothing of how, so nothing is
        // torn that it believes in; each word is aligned and half of an access.
        unsafe {
            asm!(
                "movdqu {first}, [{words}]",
                "movdqu {second}, [{words} + 16]",
                "movdqu {third}, [{words} + 32]",
                "movdqu {fourth}, [{words} + 48]",
                words = in(reg) words.as_ptr(),
                first = out(xmm_reg) first,
                second = out(xmm_reg) second,
                third = out(xmm_reg) third,
                fourth = out(xmm_reg) fourth,
                options(readonly, nostack, preserves_flags),
            );
        }
        // SAFETY: 64 bytes that mean any numbers, as 64 bytes of numbers.
        unsafe { std::mem::transmute::<[__m128i; 4], [u64; 8]>([first, second, third, fourth]) }
    }
    #[cfg(not(all(target_arch = "x86_64", not(any(loom, shuttle)))))]
    std::array::from_fn(|index| words[index].load(Ordering::Relaxed))
}

/// Asks the processor for the line that a word is on, for whoever is about to look at it.
#[inline(always)]
pub fn fetch(word: &Word64) {
    #[cfg(all(target_arch = "x86_64", not(any(loom, shuttle))))]
    {
        use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
        // SAFETY: a hint, which no address makes wrong, and which every x86-64 processor knows.
        unsafe { _mm_prefetch::<_MM_HINT_T0>(std::ptr::from_ref(word).cast()) };
    }
    #[cfg(not(all(target_arch = "x86_64", not(any(loom, shuttle)))))]
    let _no_hint_here = word;
}

/// Copies bytes into words; what the last word has beyond them becomes zero.
///
/// # Panics
/// Where the words are fewer than the bytes.
#[inline]
pub fn copy_in(words: &[Word64], bytes: &[u8]) {
    assert!(bytes.len() <= words.len() * 8, "{} bytes do not fit into {} words", bytes.len(), words.len());
    #[cfg(not(any(loom, shuttle, feature = "crash-points")))]
    if bytes.len() >= LONG {
        let whole = bytes.len() & !7;
        let target = words.as_ptr().cast::<u8>().cast_mut();
        // SAFETY: the words are borrowed and are atomics (which may be written behind `&`), the bytes are
        // ours, and the routine tolerates other accesses.
        let trap = unsafe { crate::fault::raw::copy(target, bytes.as_ptr(), whole) };
        if trap.code == 0 {
            return in_by_words(&words[whole / 8..], &bytes[whole..]);
        }
    }
    in_by_words(words, bytes);
}

#[inline]
fn out_by_words(words: &[Word64], bytes: &mut [u8]) {
    let mut chunks = bytes.chunks_exact_mut(8);
    let mut words = words.iter();
    for (chunk, word) in chunks.by_ref().zip(words.by_ref()) {
        chunk.copy_from_slice(&word.load(Ordering::Relaxed).to_ne_bytes());
    }
    let rest = chunks.into_remainder();
    if let Some(word) = words.next().filter(|_| !rest.is_empty()) {
        rest.copy_from_slice(&word.load(Ordering::Relaxed).to_ne_bytes()[..rest.len()]);
    }
}

#[inline]
fn in_by_words(words: &[Word64], bytes: &[u8]) {
    let mut chunks = bytes.chunks_exact(8);
    let mut words = words.iter();
    for (chunk, word) in chunks.by_ref().zip(words.by_ref()) {
        let mut value = [0; 8];
        value.copy_from_slice(chunk);
        word.store(u64::from_ne_bytes(value), Ordering::Relaxed);
    }
    let rest = chunks.remainder();
    if let Some(word) = words.next().filter(|_| !rest.is_empty()) {
        let mut value = [0; 8];
        value[..rest.len()].copy_from_slice(rest);
        word.store(u64::from_ne_bytes(value), Ordering::Relaxed);
    }
}

#[cfg(all(test, not(any(loom, shuttle))))]
#[allow(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on fails")]
mod tests {
    use super::*;

    #[test]
    fn what_was_copied_in_can_be_looked_at_through_the_same_words() {
        let words = crate::peer::Placed::own_many((0..4).map(|_| Word64::new(0)).collect());
        let looks = words.look();
        copy_in(&words, b"twenty-one bytes long");
        let mut back = [0; 21];
        look_out(&looks, &mut back);
        assert_eq!(&back, b"twenty-one bytes long");
        assert_eq!(looks.len(), 4);
    }

    #[test]
    fn what_was_copied_in_comes_out_at_every_length() {
        let words: Vec<Word64> = (0..64).map(|_| Word64::new(u64::MAX)).collect();
        for len in (0..=64).chain(120..=140).chain([256, 500, 512]) {
            let bytes: Vec<u8> = (0..len).map(|index| u8::try_from(index % 251).unwrap()).collect();
            copy_in(&words, &bytes);
            let mut back = vec![0; len];
            copy_out(&words, &mut back);
            assert_eq!(back, bytes, "{len} bytes");
            if let Some(last) = words.get(len / 8).filter(|_| len % 8 != 0) {
                let beyond = last.load(Ordering::Relaxed) >> (len % 8 * 8);
                assert_eq!(beyond, 0, "beyond {len} bytes");
            }
        }
    }
}
