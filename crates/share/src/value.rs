//! Plain values in shared words.

use mapwright_core::Plain;
use mapwright_core::peer::{Word64, copy_in, copy_out};

/// Returns how many words hold a value.
pub(crate) const fn words_of<T>() -> usize {
    size_of::<T>().div_ceil(8)
}

/// Copies a value out of words. Torn where somebody writes meanwhile: the caller finds out.
#[inline]
pub(crate) fn load<T: Plain>(words: &[Word64]) -> T {
    let mut value = T::new_zeroed();
    copy_out(exactly::<T>(words), value.as_mut_bytes());
    value
}

/// Copies a value into words.
#[inline]
pub(crate) fn store<T: Plain>(words: &[Word64], value: &T) {
    copy_in(exactly::<T>(words), value.as_bytes());
}

/// As many words as a value has: then no word is asked whether it is there.
#[inline]
fn exactly<T>(words: &[Word64]) -> &[Word64] {
    words.get(..words_of::<T>()).unwrap_or(words)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_comes_back_whatever_its_size() {
        let words: Vec<Word64> = (0..8).map(Word64::new).collect();
        store(&words, &[7u8; 13]);
        assert_eq!(load::<[u8; 13]>(&words), [7; 13]);
        store(&words, &[-1i64; 8]);
        assert_eq!(load::<[i64; 8]>(&words), [-1; 8]);
        assert_eq!((words_of::<[u8; 13]>(), words_of::<u64>(), words_of::<[u64; 8]>()), (2, 1, 8));
    }
}
