//! What lies in shared memory: heads, blocks, and the two ends.
//!
//! ```text
//!  control   sender    position                        in blocks; a lower bound of the next record's
//!            receiver  position · 2 + side             exact
//!                      received, holes                 for each side: the position's last bit says which
//!  heads     one word for each block │ round 32 │ state 3 │ 29 bits │   a record's first counts
//!            writing   blocks 23, place of the sender 6
//!            full      length in bytes
//!            pad, hole blocks: to the end of the ring; what a dead sender has claimed
//!  blocks    of 64 bytes; a record's follow each other
//! ```
//! The round is how often the block has been used before, plus one: a head of another round is no head,
//! whatever the bytes were that lay there, so nothing has to be wiped behind the receiver. Every record
//! begins where the one before ends, and its head is claimed before the next can be: the heads are the list
//! of what was sent.

use std::sync::Arc;

use mapwright_core::Result;
use mapwright_core::peer::{Bell, Line, Oracle, Ordering, Placed, Shared, Word64};

use crate::object::Site;
use crate::queue::ring::low;
use crate::queue::roles::Roles;

/// Bytes of a block.
pub(super) const BLOCK: usize = 64;
/// Words of a block.
pub(super) const BLOCK_WORDS: usize = BLOCK / 8;
/// No record is longer than a claim can say.
pub(super) const MOST_BYTES: usize = ((1 << (REST_BITS - PLACE_BITS)) - 1) * BLOCK;

const REST_BITS: u32 = 29;
const PLACE_BITS: u32 = 6;

/// What the receiver has done.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Counts {
    pub(super) received: u64,
    pub(super) holes: u64,
}

#[derive(Debug, Default, Shared)]
#[shared(crate = "mapwright_core")]
#[repr(C)]
pub(super) struct ReceiverLine {
    pub(super) position: Word64,
    received: [Word64; 2],
    holes: [Word64; 2],
}

/// The ring's lines.
#[derive(Debug, Default, Shared)]
#[shared(crate = "mapwright_core")]
#[repr(C)]
pub(super) struct Control {
    pub(super) sender: Line<Word64>,
    pub(super) receiver: Line<ReceiverLine>,
    pub(super) items: Line<Bell>,
    pub(super) room: Line<Bell>,
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

/// What a head says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Head {
    /// A sender, by its place, has claimed so many blocks.
    Writing { blocks: u64, place: usize },
    /// A record of so many bytes.
    Full { len: usize },
    /// Nothing, up to the end of the ring.
    Pad { blocks: u64 },
    /// Nothing: its sender died.
    Hole { blocks: u64 },
}

impl Head {
    #[inline]
    fn of(word: u64) -> Option<Self> {
        let rest = word & ((1 << REST_BITS) - 1);
        let to_size = |number: u64| usize::try_from(number).unwrap_or(0);
        match word >> REST_BITS & 7 {
            1 => Some(Self::Writing {
                blocks: rest >> PLACE_BITS,
                place: to_size(rest & ((1 << PLACE_BITS) - 1)),
            }),
            2 => Some(Self::Full { len: to_size(rest) }),
            3 => Some(Self::Pad { blocks: rest }),
            4 => Some(Self::Hole { blocks: rest }),
            _ => None,
        }
    }

    #[inline]
    pub(super) fn word(self, round: u32) -> u64 {
        let to_word = |size: usize| u64::try_from(size).unwrap_or(0);
        let (state, rest) = match self {
            Self::Writing { blocks, place } => (1, blocks << PLACE_BITS | to_word(place)),
            Self::Full { len } => (2, to_word(len)),
            Self::Pad { blocks } => (3, blocks),
            Self::Hole { blocks } => (4, blocks),
        };
        u64::from(round) << 32 | state << REST_BITS | rest & ((1 << REST_BITS) - 1)
    }

    /// How many blocks it takes: at least one, however wrong it is.
    #[inline]
    pub(super) fn blocks(self) -> u64 {
        match self {
            Self::Writing { blocks, .. } | Self::Pad { blocks } | Self::Hole { blocks } => blocks.max(1),
            Self::Full { len } => blocks_of(len),
        }
    }
}

/// How many blocks so many bytes take.
#[inline]
pub(super) fn blocks_of(len: usize) -> u64 {
    u64::try_from(len.div_ceil(BLOCK)).unwrap_or(u64::MAX).max(1)
}

/// What is found where a record may begin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Found {
    /// Nobody has claimed it yet; the head's word is this.
    Unclaimed(u64),
    /// This, and the head's word.
    Head(Head, u64),
    /// It has been used again since.
    Past,
}

/// A ring's memory, and who asks.
#[derive(Clone, Debug)]
pub(super) struct Ring {
    pub(super) control: Placed<Control>,
    heads: Placed<[Word64]>,
    blocks: Placed<[Word64]>,
    pub(super) oracle: Arc<dyn Oracle>,
    pub(super) many_senders: bool,
    /// Blocks: a power of two.
    pub(super) capacity: u64,
    shift: u32,
}

impl Ring {
    pub(super) fn new(
        control: Placed<Control>,
        heads: Placed<[Word64]>,
        blocks: Placed<[Word64]>,
        oracle: Arc<dyn Oracle>,
        (many_senders, capacity): (bool, u64),
    ) -> Self {
        let shift = capacity.trailing_zeros();
        Self { control, heads, blocks, oracle, many_senders, capacity, shift }
    }

    /// Finds a ring in its room.
    pub(super) fn find(site: &Site) -> Result<Self> {
        let [capacity, many, ..] = site.parameters();
        let count = usize::try_from(capacity).ok().filter(|count| count.is_power_of_two() && many < 2);
        let words = count.and_then(|count| count.checked_mul(BLOCK_WORDS));
        let (Some(count), Some(words)) = (count, words) else {
            return Err(site.damaged(format!("{capacity} blocks for {many} are no ring")));
        };
        let mut parts = site.parts();
        let (control, heads, blocks) = (parts.one()?, parts.many(count)?, parts.many(words)?);
        Ok(Self::new(control, heads, blocks, Arc::clone(site.oracle()), (many == 1, capacity)))
    }

    /// Looks where a record may begin.
    #[inline]
    pub(super) fn look(&self, position: u64) -> Found {
        self.look_from(position, || self.received())
    }

    /// Looks where a record may begin; `received` says where the receiver stands.
    ///
    /// A head of another round says nothing: it may be newer, or so old, because no record began there since,
    /// that its round looks newer. A newer one was claimed by somebody who knew that the receiver was past
    /// the position, and whoever has seen that head sees the same.
    #[inline]
    pub(super) fn look_from(&self, position: u64, received: impl FnOnce() -> u64) -> Found {
        let word = self.head(position).map_or(0, |head| head.load(Ordering::Acquire));
        match Head::of(word) {
            Some(head) if low(word >> 32) == self.round(position) => Found::Head(head, word),
            _ if received().wrapping_sub(position).cast_signed() > 0 => Found::Past,
            _ => Found::Unclaimed(word),
        }
    }

    #[inline]
    pub(super) fn head(&self, position: u64) -> Option<&Word64> {
        self.heads.get(self.index(position))
    }

    /// Returns the words of the blocks from a position on; `None` where they end beyond the ring.
    #[inline]
    pub(super) fn bytes(&self, position: u64, len: usize) -> Option<&[Word64]> {
        let start = self.index(position) * BLOCK_WORDS;
        self.blocks.get(start..start.checked_add(len.div_ceil(8))?)
    }

    /// The round of a position, by which its head is known.
    #[inline]
    pub(super) fn round(&self, position: u64) -> u32 {
        low(position >> self.shift).wrapping_add(1)
    }

    /// How many blocks there are from a position to the end of the ring.
    #[inline]
    pub(super) const fn until_end(&self, position: u64) -> u64 {
        self.capacity - (position & (self.capacity - 1))
    }

    /// Where the receiver stands.
    #[inline]
    pub(super) fn received(&self) -> u64 {
        self.control.receiver.position.load(Ordering::Acquire) >> 1
    }

    /// Where the receiver stands, and what it has counted.
    pub(super) fn counts(&self) -> (u64, Counts) {
        let line = &self.control.receiver;
        let word = line.position.load(Ordering::Acquire);
        let side = usize::from(word & 1 == 1);
        let received = line.received[side].load(Ordering::Acquire);
        (word >> 1, Counts { received, holes: line.holes[side].load(Ordering::Acquire) })
    }

    /// Moves the receiver: the counts of the other side, then position and side in one word.
    #[inline]
    pub(super) fn set_counts(&self, position: u64, counts: Counts) {
        let line = &self.control.receiver;
        let side = usize::from(line.position.load(Ordering::Relaxed) & 1 == 0);
        line.received[side].store(counts.received, Ordering::Relaxed);
        line.holes[side].store(counts.holes, Ordering::Relaxed);
        line.position.store(position << 1 | u64::from(side == 1), Ordering::Release);
    }

    /// Makes a hole of a claim; tells whether this one did.
    pub(super) fn make_hole(&self, position: u64, seen: u64, blocks: u64) -> bool {
        let hole = Head::Hole { blocks }.word(self.round(position));
        let made = self.head(position).is_some_and(|head| {
            head.compare_exchange(seen, hole, Ordering::AcqRel, Ordering::Relaxed).is_ok()
        });
        if made {
            self.control.items.ring();
        }
        made
    }

    /// Walks over all that was claimed and not received.
    pub(super) fn walk(&self, mut each: impl FnMut(u64, Head, u64)) {
        let mut position = self.received();
        for _ in 0..2 * self.capacity + 2 {
            match self.look(position) {
                Found::Head(head, word) => {
                    each(position, head, word);
                    position = position.wrapping_add(head.blocks());
                }
                Found::Past => position = self.received(),
                Found::Unclaimed(_) => return,
            }
        }
    }

    #[inline]
    fn index(&self, position: u64) -> usize {
        usize::try_from(position & (self.capacity - 1)).unwrap_or(0)
    }
}
