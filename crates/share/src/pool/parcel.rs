//! What travels instead of the bytes, and what its receiver gets for it.

use std::sync::Arc;

use mapwright_core::peer::Ordering;
use mapwright_core::{Error, ErrorKind, Plain, Result};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

use super::bytes::read_at;
use super::loan::PIECE;
use super::store::Store;
use super::word::Word;

/// Names a chunk, for one time: 16 bytes that travel through any queue or topic.
///
/// Redeemed by [`Pool::receive`](crate::Pool::receive). A parcel whose chunk was taken back, redeemed, or
/// lost with its sender is worth nothing, and is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout, Plain)]
#[plain(crate = "mapwright_core")]
#[repr(C)]
pub struct Parcel {
    chunk: u64,
    generation: u64,
}

impl Parcel {
    pub(super) fn new(index: usize, generation: u64) -> Self {
        Self { chunk: u64::try_from(index).unwrap_or(u64::MAX), generation }
    }

    pub(super) fn index(self) -> usize {
        usize::try_from(self.chunk).unwrap_or(usize::MAX)
    }

    pub(super) const fn generation(self) -> u64 {
        self.generation
    }
}

/// A chunk that everybody with its parcel may read. Dropped, it is taken back: nobody redeems it any more,
/// and it is free when the last reader has given it back.
#[derive(Debug)]
#[must_use = "the chunk is taken back at once"]
pub struct Published {
    store: Arc<Store>,
    index: usize,
    word: Word,
}

impl Published {
    pub(super) const fn new(store: Arc<Store>, index: usize, word: Word) -> Self {
        Self { store, index, word }
    }
}

impl Drop for Published {
    fn drop(&mut self) {
        // In a forked child the chunk is the parent's.
        if self.store.check().is_ok() {
            self.store.retire(self.index, self.word);
        }
    }
}

/// A chunk that was received, to be read; dropped, it is given back.
///
/// The bytes are copied out, or handed to a function word by word: the sender is trusted not to write any
/// more, but never so far that a reference could break.
#[derive(Debug)]
#[must_use = "the chunk is given back at once"]
pub struct Received {
    store: Arc<Store>,
    index: usize,
    len: usize,
    right: Right,
}

/// By what right a chunk is read.
#[derive(Clone, Copy, Debug)]
pub(super) enum Right {
    /// It is ours alone.
    Owner(Word),
    /// One hold among others'.
    Hold(usize),
}

impl Received {
    pub(super) fn new(store: Arc<Store>, index: usize, right: Right) -> Self {
        let len = store.chunk(index).map_or(0, |chunk| chunk.len.load(Ordering::Relaxed));
        let len = usize::try_from(len).unwrap_or(usize::MAX).min(store.chunk_len());
        Self { store, index, len, right }
    }

    /// Returns how many bytes the message has.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.len
    }

    /// Returns whether the message has no bytes.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Copies bytes out of the message.
    ///
    /// # Errors
    /// `OutOfBounds` where the message ends before them; `Fault` where the shared memory is gone.
    pub fn read_at(&self, offset: usize, bytes: &mut [u8]) -> Result<()> {
        self.check(offset, bytes.len())?;
        read_at(self.store.bytes(self.index), offset, bytes);
        // The memory may have been cut meanwhile.
        self.check(offset, bytes.len())
    }

    /// Copies a value out of the message.
    ///
    /// # Errors
    /// As [`read_at`](Self::read_at).
    pub fn load<V: Plain>(&self, offset: usize) -> Result<V> {
        let mut value = V::new_zeroed();
        self.read_at(offset, value.as_mut_bytes())?;
        Ok(value)
    }

    /// Copies the whole message.
    ///
    /// # Errors
    /// `Fault` where the shared memory is gone.
    pub fn to_vec(&self) -> Result<Vec<u8>> {
        let mut bytes = vec![0; self.len];
        self.read_at(0, &mut bytes)?;
        Ok(bytes)
    }

    /// Hands the message to a function piece by piece, each copied to where it stays in the cache.
    ///
    /// # Errors
    /// `Fault` where the shared memory is gone.
    pub fn for_each_piece(&self, mut piece: impl FnMut(&[u8])) -> Result<()> {
        let mut room = [0; PIECE];
        for offset in (0..self.len).step_by(PIECE) {
            let room = &mut room[..PIECE.min(self.len - offset)];
            self.read_at(offset, room)?;
            piece(room);
        }
        Ok(())
    }

    /// Hands the message to a function word by word, in place; what the last word has beyond the message's
    /// end is zero. The quickest way to sum up or to check.
    ///
    /// # Errors
    /// `Fault` where the shared memory is gone.
    #[inline]
    pub fn fold_words<A>(&self, start: A, mut step: impl FnMut(A, u64) -> A) -> Result<A> {
        self.check(0, self.len)?;
        let words = self.store.bytes(self.index);
        let whole = words.get(..self.len / 8).unwrap_or(&[]);
        let mut sum = whole.iter().fold(start, |sum, word| step(sum, word.load(Ordering::Relaxed)));
        if !self.len.is_multiple_of(8) {
            let mut last = [0; 8];
            read_at(words, self.len & !7, &mut last[..self.len % 8]);
            sum = step(sum, u64::from_ne_bytes(last));
        }
        self.check(0, self.len)?;
        Ok(sum)
    }

    fn check(&self, offset: usize, len: usize) -> Result<()> {
        const ACTION: &str = "read from";
        self.store.check().map_err(|fault| Error::faulted(ACTION, "a chunk of a pool", fault))?;
        if offset.checked_add(len).is_some_and(|end| end <= self.len) {
            return Ok(());
        }
        let why = format!("{len} bytes from {offset} on end beyond the message's {} bytes", self.len);
        Err(Error::new(ErrorKind::OutOfBounds, ACTION, "a chunk of a pool", why))
    }
}

impl Drop for Received {
    fn drop(&mut self) {
        // In a forked child the chunk is the parent's.
        if self.store.check().is_err() {
            return;
        }
        match self.right {
            Right::Owner(word) => self.store.give_back(self.index, word),
            Right::Hold(at) => self.store.let_go(self.index, at),
        }
    }
}
