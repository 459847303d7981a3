//! One to one: nothing is shared but the slot.
//!
//! The sender writes the value and then the slot's word, the receiver waits for that word: one line per
//! message. Each keeps its position in a line of its own, written at every message, which nobody else has in
//! its cache: the sender reads the receiver's once it has used up the room that it saw last. The receiver's
//! position is exact at every moment; the sender's is one behind where it died between the slot and its own
//! line, which the slot tells.
//!
//! Values that fill whole lines have no word: it would be on a line of its own. There the sender's position
//! says what has been sent, once for many values.

use mapwright_core::Plain;
use mapwright_core::peer::{Ordering, Word64, fetch, relax};

use super::ring::Ring;
use crate::value;

/// How often is looked for the next value before anything else is thought of: some ten microseconds.
#[cfg(not(any(loom, shuttle)))]
const LOOKS: u32 = 500;
#[cfg(any(loom, shuttle))]
const LOOKS: u32 = 0;

/// So many words of a value lie on the line of the slot's word.
const WITH_WORD: usize = 7;

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
        let position = ring.sent();
        ring.control.sender.position.store(position, Ordering::Release);
        Self { position, limit: position }
    }

    /// Writes a value where there is room.
    #[inline]
    pub(super) fn put<T: Plain>(&mut self, ring: &Ring, value: &T) -> bool {
        let is_put = self.write(ring, value);
        if is_put {
            ring.announce(self.position.wrapping_sub(1));
        }
        is_put
    }

    /// Writes as many values as there is room for; returns how many.
    pub(super) fn put_many<T: Plain>(&mut self, ring: &Ring, values: &[T]) -> usize {
        if !ring.is_dense {
            return values.iter().take_while(|&value| self.put(ring, value)).count();
        }
        let count = values.iter().take_while(|&value| self.write(ring, value)).count();
        if count > 0 {
            ring.announce(self.position.wrapping_sub(1));
        }
        count
    }

    /// Writes a value where there is room, and goes on without telling the receiver.
    #[inline]
    fn write<T: Plain>(&mut self, ring: &Ring, value: &T) -> bool {
        if self.position == self.limit && !self.find_room(ring) {
            return false;
        }
        let Some(words) = ring.value(self.position) else { return false };
        value::store(words, value);
        self.position = self.position.wrapping_add(1);
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
    /// How many values are known to be there from the position on.
    known: u64,
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
        Self { position, known: 0, is_leased: false }
    }

    /// Returns the next value, which stays; none behind one that is held.
    #[inline]
    pub(super) fn peek<T: Plain>(&mut self, ring: &Ring) -> Option<T> {
        (!self.is_leased && self.finds_next(ring)).then(|| ring.value(self.position).map(value::load))?
    }

    #[inline]
    fn finds_next(&mut self, ring: &Ring) -> bool {
        if self.known == 0 {
            self.known = ring.ahead_of(self.position);
        }
        self.known > 0
    }

    /// Tells whether a value is held.
    pub(super) const fn is_leased(&self) -> bool {
        self.is_leased
    }

    /// Waits a little while for the next value, and returns its words; none behind one that is held.
    #[inline]
    pub(super) fn wait<'a>(&mut self, ring: &'a Ring) -> Option<&'a [Word64]> {
        let words = ring.value(self.position).filter(|_| !self.is_leased)?;
        for _ in 0..LOOKS {
            if self.finds_next(ring) {
                return Some(words);
            }
            // The value's last line comes along with the word that says that it is there.
            if let Some(last) = words.last().filter(|_| words.len() > WITH_WORD) {
                fetch(last);
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
        self.known = self.known.saturating_sub(1);
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
