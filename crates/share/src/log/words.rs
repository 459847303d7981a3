//! The log's words: making room, writing, and finding the next record.
//!
//! ```text
//!  append:  head at the tail: 0 → claimed by me, so long → tail moves on → bytes → head: written → bell
//! ```
//! The exchange of the head is what makes room; the tail only says where to look first, and whoever finds a
//! head there moves it on, so an appender that was stopped or died keeps nobody from appending.

use mapwright_core::Result;
use mapwright_core::peer::{
    Bell, Identity, Line, LookWord64, Ordering, Placed, Shared, Word32, Word64, copy_in, look_out, relax,
};

use super::LogError;
use super::record::{Head, MAX_BYTES, State};
use crate::object::{Parameters, Site, room};

/// What appenders and readers need beside the records.
#[derive(Debug, Default, Shared)]
#[shared(crate = "mapwright_core")]
#[repr(C)]
pub(super) struct Door {
    /// Where the first word without a record may be; not beyond it.
    tail: Line<Word64>,
    appended: Line<Appended>,
}

/// Rung for every record.
#[derive(Debug, Default, Shared)]
#[shared(crate = "mapwright_core")]
#[repr(C)]
struct Appended {
    bell: Bell,
    _reserved: Word32,
}

/// Looks at records; loads only.
#[derive(Clone, Debug)]
pub(super) struct Eyes {
    words: Placed<[LookWord64]>,
}

/// Appends them.
#[derive(Clone, Debug)]
pub(super) struct Hand {
    door: Placed<Door>,
    words: Placed<[Word64]>,
}

/// What lies at a place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Found {
    pub state: State,
    pub len: usize,
    /// Where the next record begins, in words.
    pub next: usize,
}

pub(super) fn room_of(words: usize) -> Result<usize> {
    room("plan a log in", &[(size_of::<Door>(), 1), (8, words)])
}

pub(super) const fn parameters(words: usize) -> Parameters {
    [words as u64, 0, 0, 0, 0, 0]
}

/// Reads what [`parameters`] said.
pub(super) fn count_of(site: &Site) -> Result<usize> {
    let words = usize::try_from(site.parameters()[0]).ok();
    match words.and_then(|words| Some((words, room_of(words).ok()?))) {
        Some((words, room)) if words > 0 && room <= site.len() => Ok(words),
        _ => Err(site.damaged(format!("{} words are not in its room", site.parameters()[0]))),
    }
}

impl Eyes {
    pub(super) fn attach(site: &Site) -> Result<Self> {
        let mut parts = site.parts();
        parts.look(size_of::<Door>() / 8)?;
        Ok(Self { words: parts.look(count_of(site)?)? })
    }

    /// Returns how many words there are for records.
    pub(super) fn room(&self) -> usize {
        self.words.len()
    }

    /// Tells what lies at a place; `None` at the end of the room.
    ///
    /// # Errors
    /// `Damaged` where what lies there would end beyond the room.
    #[inline]
    pub(super) fn find(&self, at: usize) -> Result<Option<Found>, LogError> {
        let Some(word) = self.words.get(at) else { return Ok(None) };
        let head = Head(word.load(Ordering::Acquire));
        let next = at + head.words();
        match head.state() {
            State::Nothing => Ok(Some(Found { state: State::Nothing, len: 0, next: at })),
            _ if next > self.words.len() => Err(LogError::Damaged),
            state => Ok(Some(Found { state, len: head.len(), next })),
        }
    }

    /// Copies a written record's bytes.
    #[inline]
    pub(super) fn copy(&self, at: usize, found: Found, target: &mut Vec<u8>) -> Result<(), LogError> {
        let words = self.words.get(at + 1..found.next).ok_or(LogError::Damaged)?;
        target.resize(found.len, 0);
        look_out(words, target);
        self.check()
    }

    /// Tells whether the memory is still the shared one.
    pub(super) fn check(&self) -> Result<(), LogError> {
        Ok(self.words.check()?)
    }
}

impl Hand {
    pub(super) fn attach(site: &Site) -> Result<Self> {
        let mut parts = site.parts();
        let door = parts.one()?;
        Ok(Self { door, words: parts.many(count_of(site)?)? })
    }

    pub(super) fn bell(&self) -> Placed<Bell> {
        self.door.part(|door| &door.appended.bell)
    }

    /// Returns where to look for the end first.
    pub(super) fn tail(&self) -> usize {
        usize::try_from(self.door.tail.load(Ordering::Acquire)).unwrap_or(usize::MAX)
    }

    /// Appends a record; returns where it begins, in words.
    #[inline]
    pub(super) fn append(&self, bytes: &[u8], me: Identity) -> Result<usize, LogError> {
        self.words.check()?;
        if bytes.len() > MAX_BYTES || bytes.len().div_ceil(8) >= self.words.len() {
            return Err(LogError::TooLarge);
        }
        let claim = Head::claim(bytes.len(), me);
        let (at, word) = self.claim(claim)?;
        let words = self.words.get(at + 1..at + claim.words()).ok_or(LogError::Damaged)?;
        copy_in(words, bytes);
        word.store(claim.written().0, Ordering::Release);
        self.door.appended.bell.ring();
        Ok(at)
    }

    /// Makes room for a record, behind all that there are.
    #[inline]
    fn claim(&self, claim: Head) -> Result<(usize, &Word64), LogError> {
        let room = self.words.len();
        let mut at = self.tail();
        loop {
            if at.checked_add(claim.words()).is_none_or(|end| end > room) {
                return Err(LogError::Full);
            }
            let word = self.words.get(at).ok_or(LogError::Full)?;
            let seen = word.load(Ordering::Relaxed);
            let claimed =
                seen == 0 && word.compare_exchange(0, claim.0, Ordering::AcqRel, Ordering::Relaxed).is_ok();
            // Whoever was faster may be dead, or stopped: its record is stepped over without asking.
            let head = if claimed { claim } else { Head(word.load(Ordering::Acquire)) };
            let next = at + head.words();
            if head.state() == State::Nothing || next > room {
                return Err(LogError::Damaged);
            }
            self.move_tail(at, next);
            if claimed {
                return Ok((at, word));
            }
            at = next.max(self.tail());
            relax();
        }
    }

    fn move_tail(&self, from: usize, to: usize) {
        let (from, to) = (from as u64, to as u64);
        let _moved = self.door.tail.compare_exchange(from, to, Ordering::AcqRel, Ordering::Relaxed);
    }

    /// Writes down that nobody will write a record that was claimed, so that nobody has to ask again.
    pub(super) fn give_up(&self, at: usize) {
        let Some(word) = self.words.get(at) else { return };
        let head = Head(word.load(Ordering::Relaxed));
        if matches!(head.state(), State::Claimed(_)) {
            let _marked = word.compare_exchange(head.0, head.hole().0, Ordering::AcqRel, Ordering::Relaxed);
        }
    }
}

#[cfg(any(loom, shuttle))]
pub(super) fn model(words: usize) -> (Hand, Eyes) {
    let words: Placed<[Word64]> = Placed::own_many((0..words).map(|_| Word64::new(0)).collect());
    let eyes = Eyes { words: words.look() };
    (Hand { door: Placed::own(Door::default()), words }, eyes)
}
