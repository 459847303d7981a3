//! Receiving records.

use mapwright_core::peer::{Deadline, copy_out};
use mapwright_core::{Fault, Result};

use super::ring::{Counts, Found, Head, Ring};
use crate::answers::ReceiveError;
use crate::queue::waiting::look_until;

/// Receives records from [`Records`](super::Records). Leaves its place when dropped.
#[derive(Debug)]
pub struct RecordReceiver {
    ring: Ring,
    place: usize,
    at: u64,
    counts: Counts,
    /// What [`receive_with`](Self::receive_with) shows.
    buffer: Vec<u8>,
}

impl RecordReceiver {
    pub(super) fn enter(ring: &Ring) -> Result<Self> {
        let place = ring.control.receivers.enter(1, &*ring.oracle, "receive from")?;
        let (at, counts) = ring.counts();
        Ok(Self { ring: ring.clone(), place, at, counts, buffer: Vec::new() })
    }

    pub(super) const fn ring(&self) -> &Ring {
        &self.ring
    }

    /// Takes the next record out, if there is one: the buffer holds it, and nothing else, afterwards.
    ///
    /// # Errors
    /// [`ReceiveError::Empty`]; [`ReceiveError::NoSender`] where it is empty and all senders are gone;
    /// [`ReceiveError::Fault`].
    pub fn try_receive_into(&mut self, buffer: &mut Vec<u8>) -> Result<(), ReceiveError> {
        self.receive_into_until(buffer, Deadline::now()).map_err(not_yet)
    }

    /// Takes the next record out, and waits for it.
    ///
    /// # Errors
    /// [`ReceiveError::NoSender`] where there is none and all senders are gone; [`ReceiveError::Fault`].
    pub fn receive_into(&mut self, buffer: &mut Vec<u8>) -> Result<(), ReceiveError> {
        self.receive_into_until(buffer, Deadline::never())
    }

    /// Takes the next record out, and waits for it until a deadline.
    ///
    /// # Errors
    /// [`ReceiveError::TimedOut`], and as [`receive_into`](Self::receive_into).
    pub fn receive_into_until(&mut self, buffer: &mut Vec<u8>, until: Deadline) -> Result<(), ReceiveError> {
        let len = self.find_until(until)?;
        self.copy(len, buffer)?;
        self.step(len);
        Ok(())
    }

    /// Shows the next record, if there is one, and takes it out once the function has returned.
    ///
    /// Where this process dies meanwhile, the next receiver gets it again.
    ///
    /// # Errors
    /// As [`try_receive_into`](Self::try_receive_into).
    pub fn try_receive_with<R>(&mut self, work: impl FnOnce(&[u8]) -> R) -> Result<R, ReceiveError> {
        self.receive_with_until(work, Deadline::now()).map_err(not_yet)
    }

    /// Shows the next record, waiting for it, and takes it out once the function has returned.
    ///
    /// # Errors
    /// As [`receive_into`](Self::receive_into).
    pub fn receive_with<R>(&mut self, work: impl FnOnce(&[u8]) -> R) -> Result<R, ReceiveError> {
        self.receive_with_until(work, Deadline::never())
    }

    /// Shows the next record, waiting for it until a deadline, and takes it out once the function has
    /// returned.
    ///
    /// # Errors
    /// As [`receive_into_until`](Self::receive_into_until).
    pub fn receive_with_until<R>(
        &mut self,
        work: impl FnOnce(&[u8]) -> R,
        until: Deadline,
    ) -> Result<R, ReceiveError> {
        let len = self.find_until(until)?;
        let mut buffer = std::mem::take(&mut self.buffer);
        if let Err(fault) = self.copy(len, &mut buffer) {
            return Err(fault.into());
        }
        let result = work(&buffer);
        self.buffer = buffer;
        self.step(len);
        Ok(result)
    }

    fn find_until(&mut self, until: Deadline) -> Result<usize, ReceiveError> {
        self.ring.control.check()?;
        if let Some(len) = self.find() {
            return Ok(len);
        }
        if until == Deadline::now() {
            return self.find_slowly()?.ok_or(ReceiveError::TimedOut);
        }
        look_until(self, |it| &it.ring.control.items, until, Self::find, Self::find_slowly)?
            .ok_or(ReceiveError::TimedOut)
    }

    /// Finds the next record, and stops there; returns its length.
    fn find(&mut self) -> Option<usize> {
        for _ in 0..=self.ring.capacity {
            let Found::Head(head, _) = self.ring.look(self.at) else { return None };
            match head {
                Head::Writing { .. } => return None,
                Head::Full { len } if self.ring.bytes(self.at, len).is_some() => return Some(len),
                // A length that ends beyond the ring is nobody's record.
                Head::Full { .. } | Head::Hole { .. } => {
                    self.counts.holes = self.counts.holes.wrapping_add(1);
                }
                Head::Pad { .. } => {}
            }
            self.pass(head.blocks());
        }
        None
    }

    #[cold]
    fn find_slowly(&mut self) -> Result<Option<usize>, ReceiveError> {
        self.ring.control.check()?;
        // First who is gone, then whether they have left anything.
        let gone = self.ring.control.senders.are_gone(&*self.ring.oracle);
        for _ in 0..=self.ring.capacity {
            if let Some(len) = self.find() {
                return Ok(Some(len));
            }
            if !self.settle() {
                break;
            }
        }
        if gone { Err(ReceiveError::NoSender) } else { Ok(None) }
    }

    /// Makes a hole of the claim that is in the way, where its claimer is dead; tells whether it is gone.
    fn settle(&self) -> bool {
        let Found::Head(Head::Writing { blocks, place }, word) = self.ring.look(self.at) else {
            return false;
        };
        if self.ring.control.senders.is_alive(place, &*self.ring.oracle) {
            return false;
        }
        self.ring.make_hole(self.at, word, blocks.max(1));
        true
    }

    fn copy(&self, len: usize, buffer: &mut Vec<u8>) -> Result<(), Fault> {
        buffer.resize(len, 0);
        if let Some(words) = self.ring.bytes(self.at, len) {
            copy_out(words, buffer);
        }
        // The memory may have been cut since the record was found.
        self.ring.control.check()
    }

    fn step(&mut self, len: usize) {
        self.counts.received = self.counts.received.wrapping_add(1);
        self.pass(Head::Full { len }.blocks());
    }

    fn pass(&mut self, blocks: u64) {
        self.at = self.at.wrapping_add(blocks);
        self.ring.set_counts(self.at, self.counts);
        self.ring.control.room.ring();
    }
}

const fn not_yet(error: ReceiveError) -> ReceiveError {
    match error {
        ReceiveError::TimedOut => ReceiveError::Empty,
        other => other,
    }
}

impl Drop for RecordReceiver {
    fn drop(&mut self) {
        // In a forked child the place is its parent's.
        if self.ring.control.check().is_ok() {
            self.ring.control.receivers.leave(self.place, &*self.ring.oracle);
            self.ring.control.room.ring();
        }
    }
}
