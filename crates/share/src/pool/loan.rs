//! A chunk that is being written.

use std::sync::Arc;

use mapwright_core::peer::Ordering;
use mapwright_core::{Error, ErrorKind, Plain, Result};

use super::bytes::write_at;
use super::parcel::{Parcel, Published};
use super::store::{Store, to_u64};
use super::word::{State, Word};

/// A chunk of a [`Pool`](crate::Pool) that nobody else sees yet. Dropped, it goes back unsent.
#[derive(Debug)]
#[must_use = "the chunk goes back at once"]
pub struct Loan {
    store: Arc<Store>,
    index: usize,
    word: Word,
    len: usize,
    /// Whether it is this loan's to give back.
    is_mine: bool,
}

impl Loan {
    pub(super) const fn new(store: Arc<Store>, (index, word): (usize, Word)) -> Self {
        Self { store, index, word, len: 0, is_mine: true }
    }

    /// Returns how many bytes fit.
    #[must_use]
    pub fn capacity(&self) -> usize {
        self.store.chunk_len()
    }

    /// Returns how many bytes the message has: as far as was written.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.len
    }

    /// Returns whether nothing was written.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Makes the message these bytes.
    ///
    /// # Errors
    /// `OutOfBounds` where they do not fit; `Fault` where the shared memory is gone.
    pub fn copy_from(&mut self, bytes: &[u8]) -> Result<()> {
        self.write_at(0, bytes)?;
        self.len = bytes.len();
        Ok(())
    }

    /// Writes bytes somewhere in the message. Bytes that were never written are what the one before left.
    ///
    /// # Errors
    /// As [`copy_from`](Self::copy_from).
    pub fn write_at(&mut self, offset: usize, bytes: &[u8]) -> Result<()> {
        let end = self.check(offset, bytes.len())?;
        write_at(self.store.bytes(self.index), offset, bytes);
        self.len = self.len.max(end);
        Ok(())
    }

    /// Writes a value somewhere in the message.
    ///
    /// # Errors
    /// As [`copy_from`](Self::copy_from).
    pub fn store<V: Plain>(&mut self, offset: usize, value: &V) -> Result<()> {
        self.write_at(offset, value.as_bytes())
    }

    /// Makes a message of `len` bytes piece by piece: the function is given where a piece begins, and room
    /// for it that stays in the cache.
    ///
    /// # Errors
    /// As [`copy_from`](Self::copy_from).
    pub fn fill(&mut self, len: usize, mut piece: impl FnMut(usize, &mut [u8])) -> Result<()> {
        self.check(0, len)?;
        let mut room = [0; PIECE];
        for offset in (0..len).step_by(PIECE) {
            let room = &mut room[..PIECE.min(len - offset)];
            piece(offset, room);
            write_at(self.store.bytes(self.index), offset, room);
        }
        self.len = len;
        Ok(())
    }

    fn check(&self, offset: usize, len: usize) -> Result<usize> {
        self.store.check().map_err(|fault| Error::faulted(ACTION, "a chunk of a pool", fault))?;
        match offset.checked_add(len) {
            Some(end) if end <= self.capacity() => Ok(end),
            _ => {
                let why = format!("{len} bytes from {offset} on end beyond its {} bytes", self.capacity());
                Err(Error::new(ErrorKind::OutOfBounds, ACTION, "a chunk of a pool", why))
            }
        }
    }

    /// Hands the chunk over to whoever redeems the parcel first. The parcel is to be sent to them.
    ///
    /// Until it is redeemed the chunk counts as this participant's, in transit: [`Pool::recall`] takes it
    /// back. Where a parcel may not get away, [`hand_over`](Self::hand_over) is the safer way.
    ///
    /// [`Pool::recall`]: crate::Pool::recall
    #[must_use = "the chunk is in transit until the parcel is redeemed"]
    pub fn send(mut self) -> Parcel {
        self.let_go(State::Sent)
    }

    /// Hands the chunk over and sends the parcel, by a function that says whether it got away. If not, the
    /// loan comes back with the error; `None` instead of it where somebody has redeemed the parcel in
    /// spite of it.
    ///
    /// # Errors
    /// What the function says.
    pub fn hand_over<E>(
        mut self,
        send: impl FnOnce(Parcel) -> std::result::Result<(), E>,
    ) -> std::result::Result<(), (E, Option<Self>)> {
        let parcel = self.let_go(State::Sent);
        match send(parcel) {
            Ok(()) => {
                self.store.look_ahead();
                Ok(())
            }
            Err(error) => Err((error, self.take_back())),
        }
    }

    /// Lets everybody who gets the parcel read the chunk, until what this returns is dropped.
    #[must_use = "the chunk is taken back at once"]
    pub fn publish(mut self) -> (Parcel, Published) {
        let parcel = self.let_go(State::Published);
        let published = self.word.to(State::Published, self.store.me());
        (parcel, Published::new(Arc::clone(&self.store), self.index, published))
    }

    fn let_go(&mut self, state: State) -> Parcel {
        self.is_mine = false;
        let generation = self.store.chunk(self.index).map_or(0, |chunk| {
            chunk.len.store(to_u64(self.len), Ordering::Relaxed);
            chunk.generation.load(Ordering::Relaxed)
        });
        self.store.remember(self.index);
        self.store.set(self.index, self.word.to(state, self.store.me()));
        Parcel::new(self.index, generation)
    }

    /// Takes back what was just sent; its parcel is worth nothing from now on.
    fn take_back(&self) -> Option<Self> {
        let sent = self.word.to(State::Sent, self.store.me());
        Self::recall(&self.store, self.index, sent)
    }

    /// Makes a chunk that is in transit a loan of the next generation, with the message that it has.
    pub(super) fn recall(store: &Arc<Store>, index: usize, sent: Word) -> Option<Self> {
        let loaned = sent.to_loaned(store.me());
        let chunk = store.chunk(index).filter(|_| store.exchange(index, sent, loaned))?;
        let len = usize::try_from(chunk.len.load(Ordering::Relaxed)).unwrap_or(usize::MAX);
        store.begin(chunk, loaned);
        let mut loan = Self::new(Arc::clone(store), (index, loaned));
        loan.len = len.min(store.chunk_len());
        Some(loan)
    }
}

impl Drop for Loan {
    fn drop(&mut self) {
        // In a forked child the chunk is the parent's.
        if self.is_mine && self.store.check().is_ok() {
            self.store.give_back(self.index, self.word);
        }
    }
}

/// How much is written or read at a time.
pub(super) const PIECE: usize = 4096;

const ACTION: &str = "write to";
