//! One to one: nothing is shared but the slot.
//!
//! The sender writes the value and then the slot's word, the receiver waits for that word: one line per
//! message. Each keeps its position in a line of its own, written at every message, which nobody else has in
//! its cache: the sender reads the receiver's once it has used up the room that it saw last. The receiver's
//! position is exact at every moment; the sender's is one behind where it died between the slot and its own
//! line, which the slot tells.

use mapwright_core::Plain;
use mapwright_core::peer::{Ordering, Word64, relax};

use super::ring::Ring;
use crate::value;

/// How often is looked for the next value before anything else is thought of: some ten microseconds.
#[cfg(not(any(loom, shuttle)))]
const LOOKS: u32 = 500;
#[cfg(any(loom, shuttle))]
const LOOKS: u32 = 0;

/// The sender's side.
#[derive(Debug)]
pub(super) struct LaneSender {
    position: u64,
    /// The first position for which no room has been seen.
    limit: u64,
}

impl LaneSender {
    /// Goes on where the one before has stopped.
    pub(super) fn resume(ring: &Ring) -> Self {
        let mut position = ring.control.sender.position.load(Ordering::Acquire);
        let next = position.wrapping_add(1);
        if ring.slot(position).is_some_and(|(word, _)| word.load(Ordering::Acquire) == next) {
            position = next;
            ring.control.sender.position.store(position, Ordering::Release);
        }
        Self { position, limit: position }
    }

    /// Writes a value where there is room.
    #[inline]
    pub(super) fn put<T: Plain>(&mut self, ring: &Ring, value: &T) -> bool {
        if self.position == self.limit && !self.find_room(ring) {
            return false;
        }
        let Some((word, words)) = ring.slot(self.position) else { return false };
        value::store(words, value);
        self.position = self.position.wrapping_add(1);
        word.store(self.position, Ordering::Release);
        ring.control.sender.position.store(self.position, Ordering::Release);
        true
    }

    #[cold]
    fn find_room(&mut self, ring: &Ring) -> bool {
        let received = ring.control.receiver.position.load(Ordering::Acquire);
        let used = self.position.wrapping_sub(received);
        // More than all is used where somebody has scribbled over the position.
        if used >= ring.capacity {
            return false;
        }
        self.limit = received.wrapping_add(ring.capacity);
        true
    }
}

/// The receiver's side.
#[derive(Debug)]
pub(super) struct LaneReceiver {
    position: u64,
    /// The next value is leased. Nobody can ask meanwhile, unless the lease was leaked.
    is_leased: bool,
}

impl LaneReceiver {
    /// Goes on where the one before has stopped, and settles what it held.
    ///
    /// Whoever does this may die too: the tally bears the position that it counts, so nothing is counted
    /// twice.
    pub(super) fn resume(ring: &Ring) -> Self {
        let line = &ring.control.receiver;
        let mut position = line.position.load(Ordering::Acquire);
        let next = position.wrapping_add(1);
        if line.ahead.load(Ordering::Acquire) == next {
            if !line.is_counted(next) {
                line.count(next);
            }
            if ring.shape.drops {
                position = next;
                line.position.store(position, Ordering::Release);
            } else {
                line.ahead.store(position, Ordering::Release);
            }
        }
        Self { position, is_leased: false }
    }

    /// Returns the next value, which stays; none behind one that is held.
    #[inline]
    pub(super) fn peek<T: Plain>(&self, ring: &Ring) -> Option<T> {
        let (word, words) = ring.slot(self.position)?;
        let is_there = word.load(Ordering::Acquire) == self.position.wrapping_add(1);
        (is_there && !self.is_leased).then(|| value::load(words))
    }

    /// Tells whether a value is held.
    pub(super) const fn is_leased(&self) -> bool {
        self.is_leased
    }

    /// Waits a little while for the next value, and returns its words; none behind one that is held.
    #[inline]
    pub(super) fn wait<'a>(&self, ring: &'a Ring) -> Option<&'a [Word64]> {
        let (word, words) = ring.slot(self.position).filter(|_| !self.is_leased)?;
        let next = self.position.wrapping_add(1);
        for _ in 0..LOOKS {
            if word.load(Ordering::Acquire) == next {
                return Some(words);
            }
            relax();
        }
        None
    }

    /// Goes on to the next value without telling the sender.
    #[inline]
    pub(super) const fn advance(&mut self) {
        self.is_leased = false;
        self.position = self.position.wrapping_add(1);
    }

    /// Lets go of all before the next value.
    #[inline]
    pub(super) fn publish(&self, ring: &Ring) {
        ring.control.receiver.position.store(self.position, Ordering::Release);
    }

    /// Says that the next value is held; tells whether a dead one has held it before.
    pub(super) fn hold(&mut self, ring: &Ring) -> bool {
        let (line, next) = (&ring.control.receiver, self.position.wrapping_add(1));
        line.ahead.store(next, Ordering::Release);
        self.is_leased = true;
        !ring.shape.drops && line.is_counted(next)
    }

    /// Says that the next value is not held any more.
    pub(super) fn give_back(&mut self, ring: &Ring) {
        self.is_leased = false;
        ring.control.receiver.ahead.store(self.position, Ordering::Release);
    }
}
