//! Many to many (or one of them many): claims in the slots themselves, which name the claimer.
//!
//! A sender claims the first free position by an exchange of its word, writes the value, and stores the word
//! again. A receiver copies the value of the first full position and takes it by an exchange to *free*: there
//! is no moment between, so a death leaves it in the queue or takes it out. A lease is an exchange to
//! *reading*. Where there is one sender or one receiver, its exchange is a store. Where positions begin is
//! only hinted at by the control lines: a hint is never beyond the truth, and whoever follows it walks on.

use mapwright_core::Plain;
use mapwright_core::peer::Ordering;

use super::ring::{Mark, Ring, State, low};
use crate::value;

/// A sender among others.
#[derive(Debug)]
pub(super) struct SlotSender {
    /// Every position before it has been claimed.
    at: u64,
}

impl SlotSender {
    pub(super) fn resume(ring: &Ring) -> Self {
        Self { at: ring.control.sender.position.load(Ordering::Acquire) }
    }

    /// Writes a value where there is room.
    #[inline]
    pub(super) fn put<T: Plain>(&mut self, ring: &Ring, value: &T) -> bool {
        for _ in 0..ring.steps() {
            let Some((mark, seen)) = self.find_room(ring) else { return false };
            let Some((word, words)) = ring.slot(self.at) else { return false };
            if ring.shape.many_senders {
                let who = low(u64::from(ring.oracle.me().short()));
                let claim = Mark { lap: mark.lap, state: State::Writing, again: false, who }.word();
                if word.compare_exchange(seen, claim, Ordering::Acquire, Ordering::Relaxed).is_err() {
                    continue;
                }
            }
            value::store(words, value);
            word.store(Mark::full(mark.lap, false).word(), Ordering::Release);
            self.at = self.at.wrapping_add(1);
            ring.control.sender.position.store(self.at, Ordering::Release);
            return true;
        }
        false
    }

    /// Finds the first free position, and stops there.
    #[inline]
    fn find_room(&mut self, ring: &Ring) -> Option<(Mark, u64)> {
        for _ in 0..ring.steps() {
            let (ahead, mark, seen) = ring.look(self.at)?;
            if ahead == 0 && mark.state == State::Free {
                return Some((mark, seen));
            }
            let hint = ring.control.sender.position.load(Ordering::Acquire);
            if ahead >= 0 {
                self.at = later(ring.after_claimed(self.at, ahead), hint);
                continue;
            }
            // Full: so it seems, too, to whoever has not sent for half of all laps.
            if later(self.at, hint) == self.at {
                return None;
            }
            self.at = hint;
        }
        None
    }

    pub(super) fn has_room(&mut self, ring: &Ring) -> bool {
        self.find_room(ring).is_some()
    }

    /// Takes away a dead one's claim that is in the way; tells whether there was one.
    pub(super) fn settle(&self, ring: &Ring) -> bool {
        ring.look(self.at).is_some_and(|(ahead, _, seen)| ahead < 0 && ring.recover(self.at, seen))
    }
}

/// A receiver, maybe among others.
#[derive(Debug)]
pub(super) struct SlotReceiver {
    /// Every position before it is done with.
    floor: u64,
    /// Every position before it was done with or held when it was passed.
    at: u64,
    /// Up to here something may have come back: the hint of where to look must not be followed.
    careful: u64,
    /// The returns that were seen.
    returned: u64,
    /// Somebody's claim was passed on the last walk.
    passed: bool,
}

/// An item that a receiver holds.
#[derive(Clone, Copy, Debug)]
pub(super) struct Hold {
    pub(super) position: u64,
    held: u64,
    pub(super) again: bool,
}

impl SlotReceiver {
    pub(super) fn resume(ring: &Ring) -> Self {
        let floor = ring.control.receiver.position.load(Ordering::Acquire);
        let returned = ring.control.returns.returned.load(Ordering::Acquire);
        let mut receiver = Self { floor, at: floor, careful: floor, returned, passed: false };
        receiver.look_behind(ring);
        receiver
    }

    /// Takes the next value out.
    #[inline]
    pub(super) fn take<T: Plain>(&mut self, ring: &Ring) -> Option<T> {
        for _ in 0..ring.steps() {
            let (mark, seen) = self.find(ring)?;
            let (word, words) = ring.slot(self.at)?;
            let value = value::load(words);
            let free = Mark::free(mark.lap.wrapping_add(1)).word();
            if !ring.shape.many_receivers {
                word.store(free, Ordering::Release);
            } else if word.compare_exchange(seen, free, Ordering::AcqRel, Ordering::Relaxed).is_err() {
                continue;
            }
            self.step(ring, true);
            return Some(value);
        }
        None
    }

    /// Holds the next value, which stays.
    pub(super) fn hold<T: Plain>(&mut self, ring: &Ring) -> Option<(T, Hold)> {
        for _ in 0..ring.steps() {
            let (mark, seen) = self.find(ring)?;
            let (word, words) = ring.slot(self.at)?;
            let held = Mark { state: State::Reading, who: ring.oracle.me().short(), ..mark }.word();
            if word.compare_exchange(seen, held, Ordering::Acquire, Ordering::Relaxed).is_err() {
                continue;
            }
            let hold = Hold { position: self.at, held, again: mark.again };
            self.step(ring, false);
            return Some((value::load(words), hold));
        }
        None
    }

    /// Lets go of a value that was held: it is done with.
    pub(super) fn complete(&mut self, ring: &Ring, hold: Hold) {
        let free = Mark::free(Mark::of(hold.held).lap.wrapping_add(1));
        Self::end(ring, hold, free);
        if self.floor == hold.position {
            self.floor = self.floor.wrapping_add(1);
        }
    }

    /// Lets go of a value that was held: it is the next one again.
    pub(super) fn give_back(ring: &Ring, hold: Hold) {
        Self::end(ring, hold, Mark::full(Mark::of(hold.held).lap, hold.again));
        ring.came_back();
    }

    fn end(ring: &Ring, hold: Hold, mark: Mark) {
        if let Some((word, _)) = ring.slot(hold.position) {
            // An exchange, for in a queue that somebody scribbled over the hold may be another's by now.
            let _ended = word.compare_exchange(hold.held, mark.word(), Ordering::AcqRel, Ordering::Relaxed);
        }
    }

    #[inline]
    fn step(&mut self, ring: &Ring, is_done: bool) {
        if is_done && self.floor == self.at {
            self.floor = self.floor.wrapping_add(1);
        }
        self.at = self.at.wrapping_add(1);
        if ring.shape.many_receivers {
            ring.control.receiver.ahead.store(self.at, Ordering::Release);
        } else {
            ring.control.receiver.position.store(self.floor, Ordering::Release);
        }
    }

    pub(super) fn has_next(&mut self, ring: &Ring) -> bool {
        self.find(ring).is_some()
    }

    /// Finds the next full position, and stops there.
    #[inline]
    fn find(&mut self, ring: &Ring) -> Option<(Mark, u64)> {
        let returned = ring.control.returns.returned.load(Ordering::Acquire);
        if returned != self.returned {
            self.returned = returned;
            self.look_behind(ring);
        }
        self.passed = false;
        self.walk(ring).or_else(|| self.find_behind(ring))
    }

    #[inline]
    fn walk(&mut self, ring: &Ring) -> Option<(Mark, u64)> {
        for _ in 0..ring.steps() {
            let (ahead, mark, seen) = ring.look(self.at)?;
            match (ahead, mark.state) {
                (0, State::Full) => return Some((mark, seen)),
                (0, State::Reading) => {
                    self.passed = true;
                    self.at = self.at.wrapping_add(1);
                }
                (0, State::Writing) => {
                    self.passed = true;
                    return None;
                }
                (1.., _) => {
                    self.at = ring.after_done(self.at, ahead);
                    if ring.shape.many_receivers && later(self.careful, self.at) == self.at {
                        self.at = later(self.at, ring.control.receiver.ahead.load(Ordering::Acquire));
                    }
                }
                _ => return None,
            }
        }
        None
    }

    /// Nothing is ahead: looks for what came back, from the first position that is not done with.
    #[cold]
    fn find_behind(&mut self, ring: &Ring) -> Option<(Mark, u64)> {
        let before = self.at;
        self.raise_floor(ring);
        if self.floor == self.at && self.at == before {
            return None;
        }
        self.look_behind(ring);
        self.walk(ring)
    }

    fn look_behind(&mut self, ring: &Ring) {
        let ahead = ring.control.receiver.ahead.load(Ordering::Acquire);
        self.careful = if ring.shape.many_receivers { later(self.at, ahead) } else { self.at };
        self.at = self.floor;
    }

    fn raise_floor(&mut self, ring: &Ring) {
        let before = self.floor;
        self.floor = later(self.floor, ring.control.receiver.position.load(Ordering::Acquire));
        // What was received was claimed, so all before the round before is done with; the laps would not say
        // so to whoever has not received for half of all of them.
        let ahead = ring.control.receiver.ahead.load(Ordering::Acquire);
        if ring.shape.many_receivers {
            self.floor = later(self.floor, ahead.wrapping_sub(ring.capacity));
        }
        for _ in 0..ring.steps() {
            match ring.look(self.floor) {
                Some((ahead @ 1.., ..)) => self.floor = ring.after_done(self.floor, ahead),
                _ => break,
            }
        }
        self.at = later(self.at, self.floor);
        if before != self.floor {
            ring.control.receiver.position.store(self.floor, Ordering::Release);
        }
    }

    /// Whether a claim of somebody was in the way when nothing was found.
    pub(super) const fn has_passed(&self) -> bool {
        self.passed
    }

    /// Asks whether those whose claims are in the way are alive, and takes the dead ones' away; tells whether
    /// there were any.
    pub(super) fn settle(&mut self, ring: &Ring) -> bool {
        if !self.passed {
            return false;
        }
        let (mut position, mut any) = (self.floor, false);
        for _ in 0..ring.steps() {
            match ring.look(position) {
                Some((0, mark, seen)) if mark.state != State::Free => {
                    any |= ring.recover(position, seen);
                    position = position.wrapping_add(1);
                }
                Some((ahead @ 1.., ..)) => position = ring.after_done(position, ahead),
                _ => break,
            }
        }
        any
    }
}

/// The later of two positions.
#[inline]
const fn later(one: u64, other: u64) -> u64 {
    if other.wrapping_sub(one).cast_signed() > 0 { other } else { one }
}
