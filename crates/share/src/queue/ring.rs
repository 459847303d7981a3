//! What lies in shared memory: the control lines, the slots, and the tallies of what the dead have left.
//!
//! ```text
//!  control   senders, receivers: who they are          each on lines of its own
//!            sender    position                        one to one: next to send; else a lower bound of it
//!            receiver  position, ahead, tally, counts  one to one: next to receive, what is leased;
//!                                                      else: all before it is done; where to look first
//!            items, room: bells
//!  slots     capacity times │ word │ value … │         whole cache lines; 56 bytes share the word's line
//!                           │ value … │                one to one, of values that are whole lines: the
//!                                                      sender's position says which are there
//!  tallies   capacity times │ lap 32 │ holes 16 │ given back or dropped 16 │
//!
//!  word, one to one     position + 1
//!  word, else           │ lap 32 │ state 3 │ participant 29 │
//!                       free, writing (who), full, reading (who); and the last two once more for items that
//!                       a dead receiver has held
//! ```
//! The lap is the position divided by the capacity: how often the slot has been used before. A position's
//! word only ever goes free → writing → full → reading → free for the next lap (and from reading back to
//! full), so a word that was seen says exactly what an exchange from it changes.

use std::sync::Arc;

use mapwright_core::Result;
use mapwright_core::peer::{Bell, Line, Oracle, Ordering, Placed, Shared, Word64};

use super::roles::Roles;
use crate::object::Site;

#[derive(Debug, Default, Shared)]
#[shared(crate = "mapwright_core")]
#[repr(C)]
pub(super) struct Items {
    /// Counts the items that came back, so that receivers look behind them.
    pub(super) returned: Word64,
    _rest: Word64,
}

#[derive(Debug, Default, Shared)]
#[shared(crate = "mapwright_core")]
#[repr(C)]
pub(super) struct Cursor {
    pub(super) position: Word64,
    pub(super) ahead: Word64,
    /// The position behind the item that was counted last, doubled, and which of the counts holds.
    pub(super) tally: Word64,
    counts: [Word64; 2],
}

impl Cursor {
    /// Tells whether the item before a position has been counted as a dead one's.
    pub(super) fn is_counted(&self, next: u64) -> bool {
        next != 0 && self.tally.load(Ordering::Acquire) >> 1 == next & u64::MAX >> 1
    }

    /// Counts the item before a position: the other count, then position and side in one word, so that
    /// whoever dies over it has counted it or not.
    pub(super) fn count(&self, next: u64) {
        let side = usize::from(self.tally.load(Ordering::Acquire) & 1 == 0);
        self.counts[side].store(self.counted().wrapping_add(1), Ordering::Release);
        self.tally.store(next << 1 | u64::from(side == 1), Ordering::Release);
    }

    /// Returns how many items were counted.
    pub(super) fn counted(&self) -> u64 {
        let side = usize::from(self.tally.load(Ordering::Acquire) & 1 == 1);
        self.counts[side].load(Ordering::Acquire)
    }
}

/// The queue's lines.
#[derive(Debug, Default, Shared)]
#[shared(crate = "mapwright_core")]
#[repr(C)]
pub(super) struct Control {
    pub(super) sender: Line<Cursor>,
    pub(super) receiver: Line<Cursor>,
    pub(super) items: Line<Bell>,
    pub(super) room: Line<Bell>,
    pub(super) returns: Line<Items>,
    pub(super) senders: Line<Roles>,
    pub(super) receivers: Line<Roles>,
}

impl Control {
    pub(super) fn items_bell(&self) -> &Bell {
        &self.items
    }

    pub(super) fn room_bell(&self) -> &Bell {
        &self.room
    }
}

/// Which roles there are, and what becomes of what the dead held.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Shape {
    pub(super) many_senders: bool,
    pub(super) many_receivers: bool,
    pub(super) drops: bool,
}

impl Shape {
    pub(super) fn number(self) -> u64 {
        u64::from(self.many_senders) | u64::from(self.many_receivers) << 1 | u64::from(self.drops) << 2
    }

    pub(super) fn from_number(number: u64) -> Option<Self> {
        (number < 8).then_some(Self {
            many_senders: number & 1 != 0,
            many_receivers: number & 2 != 0,
            drops: number & 4 != 0,
        })
    }

    /// One to one: nobody has to be named in a slot.
    pub(super) const fn is_lane(self) -> bool {
        !self.many_senders && !self.many_receivers
    }
}

/// The states of a slot's word, where not both sides are one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum State {
    Free,
    Writing,
    Full,
    Reading,
}

/// A slot's word, taken apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Mark {
    pub(super) lap: u32,
    pub(super) state: State,
    /// A dead receiver has held it.
    pub(super) again: bool,
    /// Who writes or reads, by the short identity.
    pub(super) who: u32,
}

const WHO_BITS: u32 = 29;
const AGAIN: u64 = 1 << (WHO_BITS + 2);

impl Mark {
    #[inline]
    pub(super) fn of(word: u64) -> Self {
        let state = match word >> WHO_BITS & 3 {
            0 => State::Free,
            1 => State::Writing,
            2 => State::Full,
            _ => State::Reading,
        };
        Self { lap: low(word >> 32), state, again: word & AGAIN != 0, who: low(word & ((1 << WHO_BITS) - 1)) }
    }

    #[inline]
    pub(super) const fn word(self) -> u64 {
        let state = match self.state {
            State::Free => 0,
            State::Writing => 1,
            State::Full => 2,
            State::Reading => 3,
        };
        let again = if self.again { AGAIN } else { 0 };
        (self.lap as u64) << 32 | again | state << WHO_BITS | self.who as u64
    }

    #[inline]
    pub(super) const fn free(lap: u32) -> Self {
        Self { lap, state: State::Free, again: false, who: 0 }
    }

    #[inline]
    pub(super) const fn full(lap: u32, again: bool) -> Self {
        Self { lap, state: State::Full, again, who: 0 }
    }
}

/// A queue's memory, and who asks.
#[derive(Clone, Debug)]
pub(super) struct Ring {
    pub(super) control: Placed<Control>,
    words: Placed<[Word64]>,
    tallies: Placed<[Word64]>,
    pub(super) oracle: Arc<dyn Oracle>,
    pub(super) shape: Shape,
    pub(super) capacity: u64,
    shift: u32,
    /// Words a slot takes.
    stride: usize,
    /// One to one, where the slots are values only.
    pub(super) is_dense: bool,
}

/// Words of a cache line.
const LINE: usize = 8;

/// Tells whether slots are values and nothing else: from one sender to one receiver, where a word for each
/// value would cost it a line more. The sender's position tells which values are there; a line of its own,
/// too, but one for as many values as the receiver finds.
const fn is_dense(words: usize, shape: Shape) -> bool {
    shape.is_lane() && words > 0 && words.is_multiple_of(LINE)
}

/// Returns how many words a slot with so many words of value takes: whole lines.
pub(super) const fn stride_of(words: usize, shape: Shape) -> usize {
    if is_dense(words, shape) { words } else { (words + 1).next_multiple_of(LINE) }
}

impl Ring {
    pub(super) fn new(
        control: Placed<Control>,
        words: Placed<[Word64]>,
        tallies: Placed<[Word64]>,
        oracle: Arc<dyn Oracle>,
        (shape, capacity, words_of_value): (Shape, u64, usize),
    ) -> Self {
        let (shift, stride) = (capacity.trailing_zeros(), stride_of(words_of_value, shape));
        let is_dense = is_dense(words_of_value, shape);
        Self { control, words, tallies, oracle, shape, capacity, shift, stride, is_dense }
    }

    /// Finds a queue in its room.
    pub(super) fn find(site: &Site, value_words: Option<usize>) -> Result<Self> {
        let [capacity, words, shape, ..] = site.parameters();
        let shape = Shape::from_number(shape).ok_or_else(|| site.damaged("it has no such shape"))?;
        let count = usize::try_from(capacity).ok().filter(|count| count.is_power_of_two());
        let count = count.ok_or_else(|| site.damaged(format!("{capacity} is no capacity")))?;
        let words = usize::try_from(words).unwrap_or(usize::MAX);
        if value_words.is_some_and(|expected| expected != words) {
            let expected = value_words.unwrap_or_default();
            return Err(site.damaged(format!("its values have {words} words, and the type has {expected}")));
        }
        let all = words.checked_add(LINE).and_then(|_| stride_of(words, shape).checked_mul(count));
        let Some(all) = all else {
            return Err(site.damaged(format!("{count} values of {words} words are no size")));
        };
        let mut parts = site.parts();
        let (control, slots) = (parts.one()?, parts.many(all)?);
        let tallies = parts.many(tallies_of(shape, count))?;
        let oracle = Arc::clone(site.oracle());
        Ok(Self::new(control, slots, tallies, oracle, (shape, capacity, words)))
    }

    /// One to one: returns the words of a position's value.
    #[inline]
    pub(super) fn value(&self, position: u64) -> Option<&[Word64]> {
        let start = self.index(position) * self.stride + usize::from(!self.is_dense);
        self.words.get(start..start + self.stride - usize::from(!self.is_dense))
    }

    /// One to one: says that a position's value is there, and all before it.
    #[inline]
    pub(super) fn announce(&self, position: u64) {
        let next = position.wrapping_add(1);
        if !self.is_dense
            && let Some((word, _)) = self.slot(position)
        {
            word.store(next, Ordering::Release);
        }
        self.control.sender.position.store(next, Ordering::Release);
    }

    /// One to one: how many values are known to be there from a position on. More than there is room for is
    /// what somebody has scribbled.
    #[inline]
    pub(super) fn ahead_of(&self, position: u64) -> u64 {
        if self.is_dense {
            let sent = self.control.sender.position.load(Ordering::Acquire).wrapping_sub(position);
            return if sent > self.capacity { 0 } else { sent };
        }
        let next = position.wrapping_add(1);
        u64::from(self.slot(position).is_some_and(|(word, _)| word.load(Ordering::Acquire) == next))
    }

    /// One to one: returns the position that is sent next. A sender that died between its last slot and its
    /// own line has left the line one behind.
    pub(super) fn sent(&self) -> u64 {
        let position = self.control.sender.position.load(Ordering::Acquire);
        if self.is_dense { position } else { position.wrapping_add(self.ahead_of(position)) }
    }

    /// Returns the slot of a position: its word, and the value's words. (Not where slots are values only.)
    #[inline]
    pub(super) fn slot(&self, position: u64) -> Option<(&Word64, &[Word64])> {
        let start = self.index(position) * self.stride;
        self.words.get(start..start + self.stride)?.split_first()
    }

    /// How often a position's slot has been used before.
    #[inline]
    pub(super) fn lap(&self, position: u64) -> u32 {
        low(position >> self.shift)
    }

    /// Reads a position's word: by how many laps it is ahead of the position, and what it says.
    #[inline]
    pub(super) fn look(&self, position: u64) -> Option<(i32, Mark, u64)> {
        let word = self.slot(position)?.0.load(Ordering::Acquire);
        let mark = Mark::of(word);
        Some((mark.lap.wrapping_sub(self.lap(position)).cast_signed(), mark, word))
    }

    /// Returns the first position that can be unclaimed, where a position's slot is ahead of it by laps, or
    /// in use: positions are claimed one after the other.
    #[inline]
    pub(super) fn after_claimed(&self, position: u64, ahead: i32) -> u64 {
        self.skip(position, ahead.saturating_sub(1))
    }

    /// Returns the first position that can be not done with, where a position's slot is ahead of it by laps.
    /// A position is claimed once the one a round before is done with; the last round may have any gaps.
    #[inline]
    pub(super) fn after_done(&self, position: u64, ahead: i32) -> u64 {
        self.skip(position, ahead.saturating_sub(2))
    }

    /// No walk takes longer, however wrong the words are.
    #[inline]
    pub(super) const fn steps(&self) -> u64 {
        4 * self.capacity + 4
    }

    #[inline]
    fn skip(&self, position: u64, laps: i32) -> u64 {
        let laps = u64::from(laps.max(0).cast_unsigned());
        position.wrapping_add(laps << self.shift).wrapping_add(1)
    }

    /// Takes a dead one's claim away; tells whether anything changed.
    ///
    /// May be run by any number at once, and by another when one dies: the tally counts a lap of a slot once,
    /// and the exchange is from exactly what was seen.
    pub(super) fn recover(&self, position: u64, seen: u64) -> bool {
        let mark = Mark::of(seen);
        let (is_hole, drops) = (mark.state == State::Writing, self.shape.drops);
        if !matches!(mark.state, State::Writing | State::Reading) || self.oracle.is_short_alive(mark.who) {
            return false;
        }
        let Some((word, _)) = self.slot(position) else { return false };
        self.count(position, seen, is_hole);
        let frees = is_hole || drops;
        let new = if frees { Mark::free(mark.lap.wrapping_add(1)) } else { Mark::full(mark.lap, true) };
        let taken = word.compare_exchange(seen, new.word(), Ordering::AcqRel, Ordering::Relaxed).is_ok();
        if taken {
            self.came_back();
            self.control.room.ring();
        }
        taken
    }

    /// Says that receivers have to look behind them.
    pub(super) fn came_back(&self) {
        self.control.returns.returned.fetch_add(1, Ordering::Release);
        self.control.items.ring();
    }

    fn count(&self, position: u64, seen: u64, is_hole: bool) {
        let Some(tally) = self.tallies.get(self.index(position)) else { return };
        let tag = Mark::of(seen).lap.wrapping_add(1);
        loop {
            let counted = tally.load(Ordering::Acquire);
            // A recoverer that slept a lap over must not count what others have counted since.
            let is_there = self.slot(position).is_some_and(|(word, _)| word.load(Ordering::Acquire) == seen);
            if low(counted >> 32) == tag || !is_there {
                return;
            }
            let (holes, others) = (counted >> 16 & 0xffff, counted & 0xffff);
            let (holes, others) = if is_hole { (holes + 1, others) } else { (holes, others + 1) };
            let new = u64::from(tag) << 32 | holes.min(0xffff) << 16 | others.min(0xffff);
            if tally.compare_exchange(counted, new, Ordering::AcqRel, Ordering::Relaxed).is_ok() {
                return;
            }
        }
    }

    /// Sums the tallies: holes, and items that were given back or dropped.
    pub(super) fn tallies(&self) -> (u64, u64) {
        if self.shape.is_lane() {
            return (0, self.control.receiver.counted());
        }
        self.tallies.iter().fold((0, 0), |(holes, others), tally| {
            let tally = tally.load(Ordering::Acquire);
            (holes + (tally >> 16 & 0xffff), others + (tally & 0xffff))
        })
    }

    #[inline]
    fn index(&self, position: u64) -> usize {
        usize::try_from(position & (self.capacity - 1)).unwrap_or(0)
    }
}

/// How many tallies a queue has: one to one, its receiver keeps the only one.
pub(super) fn tallies_of(shape: Shape, capacity: usize) -> usize {
    if shape.is_lane() { 1 } else { capacity }
}

/// The low half of a word.
#[inline]
pub(super) fn low(word: u64) -> u32 {
    u32::try_from(word & 0xffff_ffff).unwrap_or(0)
}
