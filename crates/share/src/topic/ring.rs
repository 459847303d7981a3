//! The slots of a topic: each is a seqlock with a position in it.
//!
//! ```text
//!  sequence   position << 2 | stage: 0 nothing yet, 1 being written, 2 sent, 3 a hole (its sender died)
//!  owner      whose it is while it is being claimed and written; only where there can be several publishers
//!  message    the value, in words
//! ```
//! A reader copies the message out and looks at the sequence before and after: torn copies are never seen. A
//! publisher among several takes the owner word by one exchange, which claims the slot and names the claimer,
//! so that what a dead one left is settled at once, by whoever comes by.

use std::fmt;

use mapwright_core::Plain;
use mapwright_core::peer::{Identity, Oracle, Ordering, Placed, Word64, fence};

use crate::spin;
use crate::value;

const WRITING: u64 = 1;
const SENT: u64 = 2;
const HOLE: u64 = 3;

const fn sequence_of(position: u64, stage: u64) -> u64 {
    position << 2 | stage
}

/// What a reader finds at a position.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Found<T> {
    /// The message.
    Message(T),
    /// Nothing, and nothing will come: who claimed it died.
    Hole,
    /// Nothing yet.
    NotYet,
    /// A later one, that of this position.
    Lapped(u64),
}

/// How an attempt to claim a position ended.
pub(super) enum Claim {
    /// It is the caller's.
    Mine,
    /// It is somebody else's, or was: go on to the next.
    Taken,
    /// Something has just changed: look again.
    Again,
    /// Somebody holds the slot, and may be about to claim it.
    Contended,
}

/// The slots.
#[derive(Clone)]
pub(super) struct Ring {
    words: Placed<[Word64]>,
    mask: u64,
    /// Words from slot to slot.
    stride: usize,
    /// Words before the message.
    head: usize,
    /// Words of the message.
    body: usize,
}

impl Ring {
    /// Returns how many words a slot takes, so that it begins with a cache line.
    pub(super) const fn stride(body: usize, publishers: u64) -> usize {
        (Self::head(publishers) + body).next_multiple_of(8)
    }

    const fn head(publishers: u64) -> usize {
        if publishers == 1 { 1 } else { 2 }
    }

    /// `capacity` is a power of two, and there are as many strides of words.
    pub(super) fn new(words: Placed<[Word64]>, capacity: u64, body: usize, publishers: u64) -> Self {
        let stride = Self::stride(body, publishers);
        debug_assert_eq!(u64::try_from(words.len() / stride), Ok(capacity), "planned otherwise");
        Self { words, mask: capacity.wrapping_sub(1), stride, head: Self::head(publishers), body }
    }

    pub(super) const fn capacity(&self) -> u64 {
        self.mask + 1
    }

    #[inline]
    fn slot(&self, position: u64) -> &[Word64] {
        let start = usize::try_from(position & self.mask).unwrap_or(0) * self.stride;
        &self.words[start..start + self.stride]
    }

    #[inline]
    fn message<'a>(&self, slot: &'a [Word64]) -> &'a [Word64] {
        &slot[self.head..self.head + self.body]
    }

    /// Copies out what is at a position.
    #[inline]
    pub(super) fn read<T: Plain>(&self, position: u64) -> Found<T> {
        let slot = self.slot(position);
        let seen = slot[0].load(Ordering::Acquire);
        if seen == sequence_of(position, SENT) {
            let value = value::load(self.message(slot));
            // The copy is before the second look.
            fence(Ordering::Acquire);
            let again = slot[0].load(Ordering::Relaxed);
            return if again == seen { Found::Message(value) } else { Found::Lapped(again >> 2) };
        }
        match seen >> 2 {
            at if at > position => Found::Lapped(at),
            at if at == position && seen & 3 == HOLE => Found::Hole,
            _ => Found::NotYet,
        }
    }

    /// Tells whether a position is over: sent, a hole, or overwritten.
    pub(super) fn is_over(&self, position: u64) -> bool {
        let seen = self.slot(position)[0].load(Ordering::Acquire);
        seen >> 2 > position || (seen >> 2 == position && seen & 3 >= SENT)
    }

    /// Tells whether nothing was sent at a position that was claimed, and nothing will be.
    pub(super) fn is_hole(&self, position: u64) -> bool {
        self.slot(position)[0].load(Ordering::Acquire) == sequence_of(position, HOLE)
    }

    /// Writes a message; the position is the caller's alone.
    #[inline]
    pub(super) fn write<T: Plain>(&self, position: u64, message: &T) {
        let slot = self.slot(position);
        slot[0].store(sequence_of(position, WRITING), Ordering::Relaxed);
        // Whoever sees a word of the new message sees that the old one is gone.
        fence(Ordering::Release);
        value::store(self.message(slot), message);
        slot[0].store(sequence_of(position, SENT), Ordering::Release);
    }

    /// Claims a position, one publisher among several. All before it have been claimed.
    #[inline]
    pub(super) fn claim(&self, position: u64, oracle: &dyn Oracle) -> Claim {
        let slot = self.slot(position);
        if is_claimed(slot[0].load(Ordering::Acquire), position) {
            return Claim::Taken;
        }
        match slot[1].compare_exchange(0, oracle.me().number(), Ordering::Acquire, Ordering::Relaxed) {
            Ok(_) if is_claimed(slot[0].load(Ordering::Relaxed), position) => {
                slot[1].store(0, Ordering::Release);
                Claim::Taken
            }
            Ok(_) => Claim::Mine,
            Err(0) => Claim::Again,
            Err(owner) => self.contended(position, owner, oracle),
        }
    }

    /// Somebody holds the slot: gives them the moment that a claim takes, then asks whether they live.
    #[cold]
    fn contended(&self, position: u64, owner: u64, oracle: &dyn Oracle) -> Claim {
        let slot = self.slot(position);
        let changed = spin::look(|| {
            if is_claimed(slot[0].load(Ordering::Acquire), position) {
                return Some(Claim::Taken);
            }
            (slot[1].load(Ordering::Relaxed) != owner).then_some(Claim::Again)
        });
        if let Some(claim) = changed {
            return claim;
        }
        match Identity::from_number(owner) {
            Some(who) if oracle.is_alive(who) => Claim::Contended,
            _ => {
                self.settle(position, oracle);
                Claim::Again
            }
        }
    }

    /// Lets go of a slot that was claimed and written.
    #[inline]
    pub(super) fn release(&self, position: u64) {
        self.slot(position)[1].store(0, Ordering::Release);
    }

    /// Settles what a dead publisher left in the slot of a position, and returns whether there was anything.
    ///
    /// One exchange makes the slot the caller's; what it claimed and did not send becomes a hole. Whoever
    /// dies doing this leaves what it found, or the hole.
    pub(super) fn settle(&self, position: u64, oracle: &dyn Oracle) -> bool {
        let slot = self.slot(position);
        let Some(owner) = slot.get(1).filter(|_| self.head == 2) else { return false };
        let seen = owner.load(Ordering::Relaxed);
        let dead = seen != 0 && Identity::from_number(seen).is_none_or(|who| !oracle.is_alive(who));
        let taken = dead
            && owner
                .compare_exchange(seen, oracle.me().number(), Ordering::Acquire, Ordering::Relaxed)
                .is_ok();
        if taken {
            let sequence = slot[0].load(Ordering::Relaxed);
            if sequence & 3 == WRITING {
                slot[0].store(sequence & !3 | HOLE, Ordering::Release);
            }
            owner.store(0, Ordering::Release);
        }
        taken
    }
}

impl fmt::Debug for Ring {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Ring").field("capacity", &self.capacity()).finish_non_exhaustive()
    }
}

/// Tells whether a slot's sequence shows that a position was claimed.
const fn is_claimed(sequence: u64, position: u64) -> bool {
    sequence >> 2 > position || (sequence >> 2 == position && sequence & 3 != 0)
}
