//! Numbers in bytes: what the chapter's files are full of.

/// How much is moved by one call in every way that is compared.
pub(super) const PIECE: usize = 1 << 20;

/// Bytes that hold the numbers from `first` on, in the machine's order.
pub(super) fn count_into(bytes: &mut [u8], first: u64) {
    let (words, _) = bytes.as_chunks_mut::<8>();
    for (number, word) in (first..).zip(words) {
        *word = number.to_ne_bytes();
    }
}

/// The sum of all numbers in bytes, wrapping around; what is left over at the end counts byte by byte.
pub(super) fn sum(bytes: &[u8]) -> u64 {
    let (words, rest) = bytes.as_chunks::<8>();
    let words = words.iter().map(|word| u64::from_ne_bytes(*word));
    words.chain(rest.iter().map(|&byte| u64::from(byte))).fold(0, u64::wrapping_add)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_counted_sums_up() {
        let mut bytes = vec![0; 83];
        count_into(&mut bytes, 5);
        assert_eq!(sum(&bytes), (5..15).sum::<u64>());
        assert_eq!(sum(&[1, 1]), 2);
    }
}
