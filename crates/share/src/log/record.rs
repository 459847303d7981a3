//! A record's first word: whose it is, how long, and how far it got.
//!
//! ```text
//!  bit 63 62 61   59 58                    30 29                     0
//!     ┌─────┬───────┬────────────────────────┬────────────────────────┐
//!     │state│ 0     │ appender, short        │ length in bytes        │   then the bytes, to a multiple of 8
//!     └─────┴───────┴────────────────────────┴────────────────────────┘
//! ```
//! 0 is where nothing was appended yet. One exchange from there makes room for a record, says how long it is
//! and who is about to write it; so a death leaves a record that names a dead one, which everybody can tell
//! and step over.

use mapwright_core::peer::Identity;

/// Bytes of a record at most.
pub(super) const MAX_BYTES: usize = (1 << LEN_BITS) - 1;

const LEN_BITS: u32 = 30;
const SHORT: u64 = (1 << 29) - 1;
const CLAIMED: u64 = 1;
const WRITTEN: u64 = 2;
const HOLE: u64 = 3;

/// A record's first word.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Head(pub u64);

/// How far a record got.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum State {
    /// There is no record yet.
    Nothing,
    /// Somebody, by the short identity, is about to write it.
    Claimed(u32),
    /// It is whole, and stays as it is.
    Written,
    /// Whoever was about to write it died.
    Hole,
}

impl Head {
    /// Claims a record of so many bytes, at most [`MAX_BYTES`].
    pub(super) fn claim(len: usize, who: Identity) -> Self {
        Self(CLAIMED << 62 | (u64::from(who.short()) & SHORT) << LEN_BITS | len as u64 & MAX_BYTES as u64)
    }

    /// Returns what it is once it is written.
    pub(super) const fn written(self) -> Self {
        self.in_state(WRITTEN)
    }

    /// Returns what it is once it is known that nobody will write it.
    pub(super) const fn hole(self) -> Self {
        self.in_state(HOLE)
    }

    const fn in_state(self, state: u64) -> Self {
        Self(self.0 & (u64::MAX >> 2) | state << 62)
    }

    pub(super) fn state(self) -> State {
        match self.0 >> 62 {
            CLAIMED => State::Claimed(u32::try_from(self.0 >> LEN_BITS & SHORT).unwrap_or(0)),
            WRITTEN => State::Written,
            HOLE => State::Hole,
            _ => State::Nothing,
        }
    }

    /// Returns how many bytes the record has.
    pub(super) fn len(self) -> usize {
        usize::try_from(self.0 & MAX_BYTES as u64).unwrap_or(0)
    }

    /// Returns how many words the record takes, this one included.
    pub(super) fn words(self) -> usize {
        self.len().div_ceil(8) + 1
    }
}

#[cfg(all(test, not(any(loom, shuttle))))]
#[allow(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on fails")]
mod tests {
    use super::*;

    #[test]
    fn a_head_keeps_what_it_was_made_of() {
        let who = Identity::new(1000, 1 << 40 | 77);
        for (len, words) in [(0, 1), (1, 2), (8, 2), (9, 3), (MAX_BYTES, (1 << 27) + 1)] {
            let head = Head::claim(len, who);
            assert_eq!((head.state(), head.len(), head.words()), (State::Claimed(who.short()), len, words));
            assert_eq!((head.written().state(), head.written().len()), (State::Written, len));
            assert_eq!((head.hole().state(), head.hole().words()), (State::Hole, words));
        }
        assert_eq!(Head(0).state(), State::Nothing);
    }
}
