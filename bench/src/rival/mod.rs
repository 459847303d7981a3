//! What several rows need of the rivals, written as their users would write it.

mod aligned;
mod direct;
mod ring;

pub(crate) use aligned::AlignedBuffer;
pub(crate) use direct::{sum_by_readers, sum_by_threads};
pub(crate) use ring::{read_blocks, sum_in_order};

/// The sum of all bytes as little-endian 8-byte words (and of what is left over, byte by byte), wrapping: the
/// least work that looks at every byte, at the speed of memory. Everybody who must look at bytes does this.
pub(crate) fn sum(bytes: &[u8]) -> u64 {
    let (words, rest) = bytes.as_chunks::<8>();
    let sum = words.iter().fold(0u64, |sum, word| sum.wrapping_add(u64::from_le_bytes(*word)));
    rest.iter().fold(sum, |sum, byte| sum.wrapping_add(u64::from(*byte)))
}
