//! Sending records.

use mapwright_core::Result;
use mapwright_core::peer::{Deadline, Ordering, copy_in};

use super::ring::{BLOCK, Found, Head, MOST_BYTES, Ring, blocks_of};
use crate::answers::SendError;
use crate::queue::roles::PLACES;
use crate::queue::waiting::look_until;

/// Sends records to [`Records`](super::Records). Leaves its place when dropped.
///
/// A record for which there is room is accepted, whether anybody is there to receive it or not.
#[derive(Debug)]
pub struct RecordSender {
    ring: Ring,
    place: usize,
    /// A beginning of a record, before which all is claimed.
    at: u64,
    /// Where the receiver was last seen.
    received: u64,
}

impl RecordSender {
    pub(super) fn enter(ring: &Ring) -> Result<Self> {
        let limit = if ring.many_senders { PLACES } else { 1 };
        let place = ring.control.senders.enter(limit, &*ring.oracle, "send to")?;
        // What a dead one claimed in this place must not be taken for ours.
        ring.walk(|position, head, word| match head {
            Head::Writing { blocks, place: claimer } if claimer == place => {
                ring.make_hole(position, word, blocks.max(1));
            }
            _ => {}
        });
        let received = ring.received();
        let mut sender = Self { ring: ring.clone(), place, at: received, received };
        sender.follow(ring.control.sender.load(Ordering::Acquire));
        Ok(sender)
    }

    pub(super) const fn ring(&self) -> &Ring {
        &self.ring
    }

    /// Sends a record if there is room.
    ///
    /// # Errors
    /// [`SendError::Full`]; [`SendError::TooLarge`] where it is longer than
    /// [`longest`](super::Records::longest); [`SendError::NoReceiver`] where it is full and the receiver is
    /// gone; [`SendError::Fault`].
    pub fn try_send(&mut self, record: &[u8]) -> Result<(), SendError> {
        self.check(record)?;
        if self.put(record) {
            return Ok(());
        }
        self.put_slowly(record)?.ok_or(SendError::Full)
    }

    /// Sends a record, and waits for room where there is none.
    ///
    /// # Errors
    /// As [`try_send`](Self::try_send), but never `Full`.
    pub fn send(&mut self, record: &[u8]) -> Result<(), SendError> {
        self.send_until(record, Deadline::never())
    }

    /// Sends a record, and waits for room until a deadline.
    ///
    /// # Errors
    /// [`SendError::TimedOut`], and as [`send`](Self::send).
    pub fn send_until(&mut self, record: &[u8], until: Deadline) -> Result<(), SendError> {
        self.check(record)?;
        if self.put(record) {
            return Ok(());
        }
        let fast = |sender: &mut Self| sender.put(record).then_some(());
        let slow = |sender: &mut Self| sender.put_slowly(record);
        look_until(self, |sender| &sender.ring.control.room, until, fast, slow)?.ok_or(SendError::TimedOut)
    }

    fn check(&self, record: &[u8]) -> Result<(), SendError> {
        self.ring.control.check()?;
        let room = usize::try_from(self.ring.capacity).unwrap_or(0).saturating_mul(BLOCK);
        if record.len() > room.min(MOST_BYTES) { Err(SendError::TooLarge) } else { Ok(()) }
    }

    #[cold]
    fn put_slowly(&mut self, record: &[u8]) -> Result<Option<()>, SendError> {
        self.ring.control.check()?;
        if self.put(record) {
            return Ok(Some(()));
        }
        let gone = self.ring.control.receivers.are_gone(&*self.ring.oracle);
        if gone { Err(SendError::NoReceiver) } else { Ok(None) }
    }

    fn put(&mut self, record: &[u8]) -> bool {
        let blocks = blocks_of(record.len());
        for _ in 0..2 * self.ring.capacity + 2 {
            let seen = match self.look() {
                Found::Unclaimed(word) => word,
                Found::Head(head, _) => {
                    self.at = self.at.wrapping_add(head.blocks());
                    self.follow(self.ring.control.sender.load(Ordering::Acquire));
                    continue;
                }
                Found::Past => {
                    self.catch_up();
                    continue;
                }
            };
            let until_end = self.ring.until_end(self.at);
            let claim = blocks.min(until_end);
            if !self.has_room(claim) {
                // So it seems, too, to whoever is far behind.
                if self.catch_up() {
                    continue;
                }
                return false;
            }
            let round = self.ring.round(self.at);
            let head = if claim < blocks {
                Head::Pad { blocks: claim }
            } else {
                Head::Writing { blocks, place: self.place }
            };
            if !self.claim(seen, head.word(round)) {
                continue;
            }
            if claim == blocks {
                self.fill(record, round);
            }
            self.at = self.at.wrapping_add(claim);
            self.ring.control.sender.store(self.at, Ordering::Release);
            // For what was left at the end, too: the receiver makes room by passing over it.
            self.ring.control.items.ring();
            if claim == blocks {
                return true;
            }
        }
        false
    }

    /// An only sender knows that nobody has claimed what is ahead of it.
    #[inline]
    fn look(&self) -> Found {
        if self.ring.many_senders {
            self.ring.look(self.at)
        } else {
            self.ring.look_from(self.at, || self.at)
        }
    }

    /// Goes on to where others have got; tells whether that was any further.
    #[cold]
    fn catch_up(&mut self) -> bool {
        let before = self.at;
        self.follow(self.ring.control.sender.load(Ordering::Acquire));
        self.follow(self.ring.received());
        self.at != before
    }

    /// Claims a place. Whoever sees the claim sees also that the receiver has made room for it.
    fn claim(&self, seen: u64, word: u64) -> bool {
        self.ring.head(self.at).is_some_and(|head| {
            head.compare_exchange(seen, word, Ordering::AcqRel, Ordering::Relaxed).is_ok()
        })
    }

    fn fill(&self, record: &[u8], round: u32) {
        if let (Some(head), Some(words)) = (self.ring.head(self.at), self.ring.bytes(self.at, record.len())) {
            copy_in(words, record);
            head.store(Head::Full { len: record.len() }.word(round), Ordering::Release);
        }
    }

    fn has_room(&mut self, blocks: u64) -> bool {
        let fits = |at: u64, received: u64| at.wrapping_sub(received).saturating_add(blocks);
        if fits(self.at, self.received) > self.ring.capacity {
            self.received = self.ring.received();
        }
        fits(self.at, self.received) <= self.ring.capacity
    }

    /// Goes on to a later beginning.
    fn follow(&mut self, position: u64) {
        if position.wrapping_sub(self.at).cast_signed() > 0 {
            self.at = position;
        }
    }
}

impl Drop for RecordSender {
    fn drop(&mut self) {
        // In a forked child the place is its parent's.
        if self.ring.control.check().is_ok() {
            self.ring.control.senders.leave(self.place, &*self.ring.oracle);
            self.ring.control.items.ring();
        }
    }
}
