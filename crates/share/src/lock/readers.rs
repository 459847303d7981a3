//! Who reads: a slot for each seat, a gate that writers close, and how either side waits for the other.
//!
//! ```text
//!   gate    0 open · 1 poisoned by a death · 2 poisoned by a panic · else the writer's identity
//!   slot    bits 16 to 63 the incarnation · bits 0 to 15 how many of that process's threads read
//! ```
//! A reader counts itself into its own slot, *then* looks at the gate; a writer closes the gate, *then* looks
//! at the slots: at least one sees the other. (Both words are sequentially consistent, so the reader's
//! exchange is all the fence it needs, and it writes no line that anybody else writes.)

use std::sync::Arc;

use mapwright_core::Fault;
use mapwright_core::peer::{
    Bell, Deadline, Identity, Line, Oracle, Ordering, Placed, Shared, Turn, Word32, Word64, fence,
    light_fence,
};

use super::waiting::{token, wait_for};

pub(super) const OPEN: u64 = 0;
pub(super) const DIED: u64 = 1;
pub(super) const PANICKED: u64 = 2;

const COUNT_BITS: u32 = 16;
const COUNT: u64 = (1 << COUNT_BITS) - 1;

/// What readers look at, and writers change.
#[derive(Debug, Default, Shared)]
#[shared(crate = "mapwright_core")]
#[repr(C)]
pub(super) struct Gate {
    pub(super) word: Word64,
    /// Which copy of the value is current.
    pub(super) current: Word32,
    /// How often a writer's death was handed to somebody.
    pub(super) deaths: Word32,
    /// A reader that waits, and that writers let in first.
    turn: Turn,
    /// Rung when the gate opens.
    opened: Bell,
    /// Rung when a reader leaves.
    left: Bell,
    /// Seats that have ever read, or could: behind them no slot is in use.
    seats: Word32,
}

/// One participant's readers.
pub(super) type Slot = Line<Word64>;

/// How waiting at the gate ended.
pub(super) enum Entry {
    /// Inside.
    Reading,
    /// Closed by nobody who lives, or poisoned: the writers' word tells more.
    Abandoned,
    /// The deadline came.
    TimedOut,
}

/// The gate and the slots, as one participant sees them.
#[derive(Clone, Debug)]
pub(super) struct Readers {
    pub(super) gate: Placed<Gate>,
    slots: Placed<[Slot]>,
    mine: Placed<Slot>,
    pub(super) oracle: Arc<dyn Oracle>,
}

impl Readers {
    /// `None` where there is no slot for this participant's seat.
    pub(super) fn new(gate: Placed<Gate>, slots: Placed<[Slot]>, oracle: Arc<dyn Oracle>) -> Option<Self> {
        let seat = oracle.me().seat();
        let mine = slots.one(seat)?;
        // Before the slot is ever used: a writer that misses this has closed the gate before.
        gate.seats.fetch_max(u32::try_from(seat + 1).unwrap_or(u32::MAX), Ordering::SeqCst);
        Some(Self { gate, slots, mine, oracle })
    }

    /// Begins to read, if the gate is open.
    #[inline]
    pub(super) fn enter(&self) -> bool {
        if self.gate.word.load(Ordering::Relaxed) != OPEN || !self.count_in() {
            return false;
        }
        light_fence();
        if self.gate.word.load(Ordering::SeqCst) == OPEN {
            return true;
        }
        self.leave();
        false
    }

    /// Counts one more reader of this process; `false` where no more can be counted.
    #[inline]
    pub(super) fn count_in(&self) -> bool {
        let incarnation = low_incarnation(self.oracle.me());
        let mut seen = self.mine.load(Ordering::Relaxed);
        loop {
            // What an earlier participant of this seat has left counts for nothing.
            let count = if seen >> COUNT_BITS == incarnation { seen & COUNT } else { 0 };
            if count == COUNT {
                return false;
            }
            let new = incarnation << COUNT_BITS | (count + 1);
            match self.mine.compare_exchange(seen, new, Ordering::SeqCst, Ordering::Relaxed) {
                Ok(_) => return true,
                Err(now) => seen = now,
            }
        }
    }

    /// Ends reading.
    #[inline]
    pub(super) fn leave(&self) {
        let incarnation = low_incarnation(self.oracle.me());
        let mut seen = self.mine.load(Ordering::Relaxed);
        while seen >> COUNT_BITS == incarnation && seen & COUNT > 0 {
            match self.mine.compare_exchange(seen, seen - 1, Ordering::SeqCst, Ordering::Relaxed) {
                Ok(_) => break,
                Err(now) => seen = now,
            }
        }
        self.gate.left.ring();
    }

    /// Begins to read, waiting for writers. `abandoned` tells of a closed gate whether nobody stands behind
    /// it.
    pub(super) fn enter_until(
        &self,
        until: Deadline,
        abandoned: impl Fn(u64) -> bool,
    ) -> Result<Entry, Fault> {
        let mine = token(self.oracle.me());
        let mut asked = false;
        let look = || self.enter().then_some(Entry::Reading);
        let ask = || {
            let gate = self.gate.word.load(Ordering::Acquire);
            if gate != OPEN && abandoned(gate) {
                return Some(Entry::Abandoned);
            }
            // Each time: a writer that has stood back for long enough takes the word away.
            asked |= until != Deadline::now() && self.gate.turn.ask(mine);
            None
        };
        let entry = wait_for(|| self.gate.check(), &self.gate.opened, until, look, ask);
        if asked {
            self.gate.turn.done(mine);
        }
        Ok(entry?.unwrap_or(Entry::TimedOut))
    }

    /// Closes the gate behind those who read now, after letting in one that has waited.
    pub(super) fn close(&self, until: Deadline) {
        self.gate.turn.give_way(until);
        self.gate.word.store(self.oracle.me().number(), Ordering::SeqCst);
    }

    /// Opens the gate, or poisons what is behind it.
    pub(super) fn open(&self, state: u64) {
        self.gate.word.store(state, Ordering::SeqCst);
        self.gate.opened.ring();
    }

    /// Waits until nobody reads any more; the gate is closed. `false` at the deadline.
    ///
    /// # Errors
    /// Where the memory is gone, in which nobody reads.
    pub(super) fn wait_until_gone(&self, until: Deadline) -> Result<bool, Fault> {
        fence(Ordering::SeqCst);
        let seats = usize::try_from(self.gate.seats.load(Ordering::SeqCst)).unwrap_or(usize::MAX);
        for (seat, slot) in self.slots.iter().enumerate().take(seats) {
            let gone = || (slot.load(Ordering::SeqCst) & COUNT == 0).then_some(());
            let clear = || self.clear_dead(seat, slot);
            let check = || self.gate.check();
            if gone().is_none() && wait_for(check, &self.gate.left, until, gone, clear)?.is_none() {
                return Ok(false);
            }
        }
        self.gate.check().map(|()| true)
    }

    /// Clears a slot whose readers are dead.
    fn clear_dead(&self, seat: usize, slot: &Slot) -> Option<()> {
        let seen = slot.load(Ordering::SeqCst);
        if reader(seat, seen).is_some_and(|who| self.oracle.is_alive(who)) {
            return None;
        }
        // Fails where another participant has taken the seat meanwhile; then look again.
        slot.compare_exchange(seen, 0, Ordering::SeqCst, Ordering::Relaxed).ok().map(drop)
    }

    /// Returns who reads, with how many threads.
    pub(super) fn reading(slots: &[Slot]) -> Vec<(Identity, u64)> {
        let of = |(seat, slot): (usize, &Slot)| {
            let seen = slot.load(Ordering::Relaxed);
            reader(seat, seen).map(|who| (who, seen & COUNT)).filter(|&(_, count)| count > 0)
        };
        slots.iter().enumerate().filter_map(of).collect()
    }
}

/// Returns whose readers a seat's slot counts.
fn reader(seat: usize, seen: u64) -> Option<Identity> {
    let incarnation = seen >> COUNT_BITS;
    (incarnation > 0).then(|| Identity::new(seat, incarnation))
}

/// What of an incarnation fits beside the count. Takes 2^48 participants of one seat to repeat.
const fn low_incarnation(who: Identity) -> u64 {
    who.incarnation() & (u64::MAX >> COUNT_BITS)
}
