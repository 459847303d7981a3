//! The word that says where a chunk is: what state, whose, and for which time.

use mapwright_core::peer::Oracle;

const OWNER_BITS: u32 = 29;
const OWNER: u64 = (1 << OWNER_BITS) - 1;
const STATE_BITS: u32 = 3;
const GENERATION_AT: u32 = OWNER_BITS + STATE_BITS;

/// Where a chunk is. The numbers are part of the format.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum State {
    /// Anybody's.
    Free = 0,
    /// Being written by its owner.
    Loaned = 1,
    /// Handed over by its owner, to whoever redeems the parcel first.
    Sent = 2,
    /// Redeemed by its owner.
    Held = 3,
    /// Readable by whoever has the parcel, until its owner takes it back.
    Published = 4,
    /// Taken back; free once the last reader has given it back.
    Retired = 5,
    /// Free, and looked out by its owner for the next loan; anybody's where nothing else is free.
    Spare = 6,
    /// No state that anybody writes.
    Unknown = 7,
}

impl State {
    pub(super) const ALL: [(Self, &'static str); 8] = [
        (Self::Free, "free"),
        (Self::Loaned, "loaned"),
        (Self::Sent, "in transit"),
        (Self::Held, "held"),
        (Self::Published, "published"),
        (Self::Retired, "retired"),
        (Self::Spare, "spare"),
        (Self::Unknown, "damaged"),
    ];
}

/// A chunk's word. All zeros is a free one that was never used.
///
/// ```text
///   0 to 28    the owner's seat and the last bits of its incarnation
///  29 to 31    the state
///  32 to 63    the last bits of the generation
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Word(pub(super) u64);

impl Word {
    pub(super) fn state(self) -> State {
        let number = usize::try_from(self.0 >> OWNER_BITS & 7).unwrap_or(7);
        State::ALL.get(number).map_or(State::Unknown, |&(state, _)| state)
    }

    /// Returns the short identity of its owner.
    pub(super) fn owner(self) -> u32 {
        u32::try_from(self.0 & OWNER).unwrap_or(0)
    }

    pub(super) fn generation(self) -> u32 {
        u32::try_from(self.0 >> GENERATION_AT).unwrap_or(0)
    }

    /// The same generation in another state.
    pub(super) fn to(self, state: State, owner: u32) -> Self {
        let generation = self.0 >> GENERATION_AT << GENERATION_AT;
        Self(generation | (state as u64) << OWNER_BITS | u64::from(owner) & OWNER)
    }

    /// The next generation, loaned.
    pub(super) fn to_loaned(self, owner: u32) -> Self {
        Self(self.0.wrapping_add(1 << GENERATION_AT)).to(State::Loaned, owner)
    }

    pub(super) fn is(self, state: State, owner: u32) -> bool {
        self.state() == state && self.owner() == owner
    }
}

/// Returns how words name whoever asks: its seat and the last bits of its incarnation.
pub(super) fn short_of(oracle: &dyn Oracle) -> u32 {
    u32::try_from(oracle.me().number() & OWNER).unwrap_or(0)
}
