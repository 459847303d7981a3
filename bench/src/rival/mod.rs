//! What several rows need of the rivals, written as their users would write it.

mod aligned;
mod bare;
mod direct;
mod iceoryx;
mod link;
mod locks;
mod ring;
mod ringfire;
mod seqlock;
mod socket;
mod table;

pub(crate) use aligned::AlignedBuffer;
pub(crate) use bare::{Bare, BareLines, BareRing};
pub(crate) use direct::{sum_by_readers, sum_by_threads};
pub(crate) use iceoryx::{Iceoryx, node, service_name};
pub(crate) use link::{Link, Shape, check, check_sum, fill, open};
pub(crate) use locks::{BEHIND_LOCK, Futex, Glibc, Lock};
pub(crate) use ring::{read_blocks, sum_in_order};
pub(crate) use ringfire::{Adaptive, Ringfire, RingfireBlobs, Sleep, Spin, attach, ring};
pub(crate) use seqlock::Seqlock;
pub(crate) use socket::{Bytes, Packets};
pub(crate) use table::{KeyItself, Lmdb, Sharded, Value, key_of, sharded, value_of};

/// The sum of all bytes as little-endian 8-byte words (and of what is left over, byte by byte), wrapping: the
/// least work that looks at every byte, at the speed of memory. Everybody who must look at bytes does this.
pub(crate) fn sum(bytes: &[u8]) -> u64 {
    let (words, rest) = bytes.as_chunks::<8>();
    let sum = words.iter().fold(0u64, |sum, word| sum.wrapping_add(u64::from_le_bytes(*word)));
    rest.iter().fold(sum, |sum, byte| sum.wrapping_add(u64::from(*byte)))
}

/// The bytes of words.
pub(crate) fn bytes_of(words: &[u64]) -> &[u8] {
    // SAFETY: any word is bytes.
    unsafe { words.align_to::<u8>() }.1
}

/// Words, where bytes are aligned as such.
pub(crate) fn words_of(bytes: &[u8]) -> &[u64] {
    // SAFETY: any bytes are words.
    let (before, words, after) = unsafe { bytes.align_to::<u64>() };
    assert!(before.is_empty() && after.is_empty(), "whoever allocates gives aligned room");
    words
}

/// The same, to be written.
pub(crate) fn bytes_of_mut(words: &mut [u64]) -> &mut [u8] {
    // SAFETY: any word is bytes, and any bytes are words.
    unsafe { words.align_to_mut::<u8>() }.1
}
