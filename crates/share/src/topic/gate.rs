//! How far publishers may go: past no message that a reader they wait for has not read.
//!
//! Publishers keep a limit, and look at nobody before they have reached it. Raising it takes the lock, looks
//! at the readers that are waited for (a bit each), and sees off those that died. It is never raised by more
//! than a quarter of the ring, so that one who joins can be promised all that lies behind it: a reader's
//! cursor is never more than the ring's length behind the limit, at any moment, which is why nothing it has
//! yet to read is ever overwritten.

use mapwright_core::peer::{Acquired, Deadline, Identity, Ordering, RobustWord, Shared, Word64};

use super::board::Board;

/// Readers at most.
pub(super) const MAX_READERS: usize = 1024;

/// A reader that is told how many it missed.
pub(super) const LOSSY: u64 = 1;
/// A reader that is waited for.
pub(super) const BLOCK: u64 = 2;
/// A reader that makes publishing fail.
pub(super) const FAIL: u64 = 3;

/// What publishers look at once in a while.
#[derive(Debug, Default, Shared)]
#[shared(crate = "mapwright_core")]
#[repr(C)]
pub(super) struct Gate {
    pub(super) lock: RobustWord,
    /// Nothing is published at this position or behind it.
    pub(super) limit: Word64,
    _reserved: [Word64; 7],
    /// A bit for each reader whose cursor counts.
    waited_for: [Word64; MAX_READERS / 64],
}

/// A reader's place.
#[derive(Debug, Default, Shared)]
#[shared(crate = "mapwright_core")]
#[repr(C, align(128))]
pub(super) struct Reader {
    /// Whose it is; 0 for nobody's.
    pub(super) who: Word64,
    /// What it reads next.
    pub(super) cursor: Word64,
    /// What becomes of what it does not read in time.
    pub(super) policy: Word64,
}

/// Where publishers stand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Room {
    /// They may publish before this position.
    Before(u64),
    /// A reader has to read on, or die.
    Behind {
        /// Which one.
        reader: usize,
        /// Where it stands.
        cursor: u64,
    },
    /// A reader that nobody waits for is behind.
    Refused,
    /// Somebody else has the lock.
    Busy,
}

impl Board {
    /// Finds out whether there is room for a position.
    #[cold]
    pub(super) fn make_room(&self, position: u64, until: Deadline) -> Room {
        let gate = self.gate();
        let limit = gate.limit.load(Ordering::Acquire);
        if position < limit {
            return Room::Before(limit);
        }
        // The changes made under the lock are complete at each step: what a dead holder leaves needs no
        // repair.
        let (Acquired::Clean(held) | Acquired::Died(held)) = self.lock.acquire(self.oracle(), until) else {
            return Room::Busy;
        };
        let capacity = self.ring.capacity();
        let room = match self.slowest(position, capacity) {
            Ok(slowest) => {
                let end = position.max(self.tail()).saturating_add((capacity / 4).max(1));
                let limit = slowest.saturating_add(capacity).min(end).max(gate.limit.load(Ordering::Relaxed));
                gate.limit.store(limit, Ordering::Release);
                Room::Before(limit)
            }
            Err(room) => room,
        };
        drop(held);
        room
    }

    /// Returns where the slowest reader stands that is waited for, seeing off the dead that stand in the way
    /// of a position; or who lives and does.
    fn slowest(&self, position: u64, capacity: u64) -> Result<u64, Room> {
        let (mut slowest, mut behind, mut refused) = (u64::MAX, None, false);
        for (index, reader) in self.waited_for() {
            let cursor = reader.cursor.load(Ordering::Acquire);
            if position < cursor.saturating_add(capacity) {
                slowest = slowest.min(cursor);
                continue;
            }
            let who = reader.who.load(Ordering::Acquire);
            if !Identity::from_number(who).is_some_and(|who| self.oracle().is_alive(who)) {
                self.see_off(index, reader, who);
                continue;
            }
            refused |= reader.policy.load(Ordering::Relaxed) == FAIL;
            behind = behind.or(Some(Room::Behind { reader: index, cursor }));
        }
        match behind {
            Some(_) if refused => Err(Room::Refused),
            Some(room) => Err(room),
            None => Ok(slowest),
        }
    }

    fn see_off(&self, index: usize, reader: &Reader, who: u64) {
        self.let_pass(index);
        // Nobody sits down here meanwhile: that takes the lock. One that leaves by itself may.
        let _left = reader.who.compare_exchange(who, 0, Ordering::AcqRel, Ordering::Relaxed);
    }

    /// Returns the readers whose cursors count.
    fn waited_for(&self) -> impl Iterator<Item = (usize, &Reader)> {
        let words = self.gate().waited_for.iter().enumerate().take(self.readers.len().div_ceil(64));
        let indices = words.flat_map(|(at, word)| {
            let mut bits = word.load(Ordering::Acquire);
            std::iter::from_fn(move || {
                let bit = bits.trailing_zeros();
                let index = at * 64 + usize::try_from(bit).unwrap_or(0);
                (bits != 0).then(|| {
                    bits &= bits - 1;
                    index
                })
            })
        });
        indices.filter_map(|index| Some((index, self.readers.get(index)?)))
    }

    fn bit(&self, index: usize) -> Option<(&Word64, u64)> {
        Some((self.gate().waited_for.get(index / 64)?, 1 << (index % 64)))
    }

    /// From now on nobody waits for a reader.
    pub(super) fn let_pass(&self, index: usize) {
        if let Some((word, bit)) = self.bit(index) {
            word.fetch_and(!bit, Ordering::AcqRel);
        }
    }

    /// Tells whether a reader is waited for.
    pub(super) fn is_waited_for(&self, index: usize) -> bool {
        self.bit(index).is_some_and(|(word, bit)| word.load(Ordering::Relaxed) & bit != 0)
    }

    /// Takes a place for a reader, which begins at a position or as near to it as can be promised: its number
    /// and where it begins; `None` where all places are taken by the living, or the lock is not free in time.
    pub(super) fn sit_down(
        &self,
        policy: u64,
        wanted: impl Fn(u64) -> u64,
        until: Deadline,
    ) -> Option<(usize, u64)> {
        let (Acquired::Clean(held) | Acquired::Died(held)) = self.lock.acquire(self.oracle(), until) else {
            return None;
        };
        let found = self.readers.iter().enumerate().find_map(|(index, reader)| {
            let who = reader.who.load(Ordering::Acquire);
            let is_free = match Identity::from_number(who) {
                Some(who) => !self.oracle().is_alive(who),
                None => true,
            };
            is_free.then_some((index, reader))
        });
        let place = found.map(|(index, reader)| {
            if self.is_waited_for(index) {
                self.let_pass(index);
            }
            let tail = self.tail();
            let kept = match policy {
                LOSSY => tail.saturating_sub(self.ring.capacity()),
                _ => self.gate().limit.load(Ordering::Acquire).saturating_sub(self.ring.capacity()),
            };
            let start = wanted(tail).min(tail).max(kept);
            reader.cursor.store(start, Ordering::Relaxed);
            reader.policy.store(policy, Ordering::Relaxed);
            reader.who.store(self.oracle().me().number(), Ordering::Release);
            if let Some((word, bit)) = self.bit(index).filter(|_| policy != LOSSY) {
                word.fetch_or(bit, Ordering::AcqRel);
            }
            (index, start)
        });
        drop(held);
        place
    }

    /// Gives a reader's place back.
    pub(super) fn stand_up(&self, index: usize) {
        let Some(reader) = self.readers.get(index) else { return };
        let was_waited_for = self.is_waited_for(index);
        if was_waited_for {
            self.let_pass(index);
        }
        reader.who.store(0, Ordering::Release);
        if was_waited_for {
            self.room().ring();
        }
    }
}
