//! A seqlock in one process: one writer, readers that take a copy and look whether it was written meanwhile.
//!
//! Word by word with relaxed atomics, so that a torn copy is thrown away and not undefined. Nothing is said
//! about a writer that dies half way: its readers would wait for ever.

use std::sync::atomic::{AtomicU64, Ordering, fence};

/// The value, and the count of its beginnings and ends.
pub(crate) struct Seqlock<const WORDS: usize> {
    count: AtomicU64,
    words: Box<[AtomicU64; WORDS]>,
}

impl<const WORDS: usize> Seqlock<WORDS> {
    pub(crate) fn new(value: &[u64; WORDS]) -> Self {
        let words = Box::new([const { AtomicU64::new(0) }; WORDS]);
        let made = Self { count: AtomicU64::new(0), words };
        made.write(value);
        made
    }

    /// Writes a value. There is one writer.
    pub(crate) fn write(&self, value: &[u64; WORDS]) {
        let count = self.count.load(Ordering::Relaxed);
        self.count.store(count + 1, Ordering::Relaxed);
        fence(Ordering::Release);
        for (word, value) in self.words.iter().zip(value) {
            word.store(*value, Ordering::Relaxed);
        }
        self.count.store(count + 2, Ordering::Release);
    }

    /// Copies the value out; tries again for as long as it is written meanwhile.
    pub(crate) fn read(&self, value: &mut [u64; WORDS]) {
        loop {
            let before = self.count.load(Ordering::Acquire);
            for (value, word) in value.iter_mut().zip(self.words.iter()) {
                *value = word.load(Ordering::Relaxed);
            }
            fence(Ordering::Acquire);
            if before.is_multiple_of(2) && self.count.load(Ordering::Relaxed) == before {
                return;
            }
            std::hint::spin_loop();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_written_is_read() {
        let seqlock = Seqlock::new(&[1; 8]);
        seqlock.write(&[2; 8]);
        let mut value = [0; 8];
        seqlock.read(&mut value);
        assert_eq!(value, [2; 8]);
    }
}
