//! Who takes part: seats in shared memory, each taken by whoever holds the lock of its byte.
//!
//! ```text
//!  seat 0   seat 1   seat 2 …          in shared memory: incarnation, process, since when
//!    │        │        │
//!  mark 0   mark 1   mark 2 …          bytes of the file: locked exactly as long as the participant lives
//! ```
//! Taking a seat counts its incarnation up, so an [`Identity`] names one participant for ever: what an
//! earlier one has left behind is known as a dead one's without asking anybody.

use std::fmt;
use std::io;

use super::area::Placed;
use super::life::{Life, Mark};
use super::word::{Ordering, Word32, Word64};
use mapwright_derive::Shared;

/// Seats at most: ten bits of an identity.
pub const MAX_SEATS: usize = 1 << Identity::SEAT_BITS;

/// One participant, for ever: a seat and its incarnation. Never 0 as a number.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Identity(u64);

impl Identity {
    const SEAT_BITS: u32 = 10;
    /// An identity that fits into a lock word.
    const SHORT_BITS: u32 = 29;
    /// The last incarnation of a seat; the one after it is nobody's.
    const LAST: u64 = (u64::MAX >> Self::SEAT_BITS) - 1;

    /// Puts an identity together.
    ///
    /// # Panics
    /// Where there is no such seat, or the incarnation is 0.
    #[must_use]
    pub fn new(seat: usize, incarnation: u64) -> Self {
        assert!(seat < MAX_SEATS && incarnation > 0, "seat {seat}, incarnation {incarnation}");
        let seat = u64::try_from(seat).unwrap_or(0);
        Self(incarnation << Self::SEAT_BITS | seat)
    }

    /// Returns the identity that no participant ever has.
    #[must_use]
    pub const fn nobody() -> Self {
        Self(u64::MAX)
    }

    /// Reads an identity from a word; `None` where it holds none.
    #[must_use]
    pub fn from_number(number: u64) -> Option<Self> {
        (number >> Self::SEAT_BITS > 0).then_some(Self(number))
    }

    /// Returns it as a number to be kept in a word.
    #[must_use]
    pub const fn number(self) -> u64 {
        self.0
    }

    /// Returns the seat's index.
    #[must_use]
    pub fn seat(self) -> usize {
        usize::try_from(self.0 & ((1 << Self::SEAT_BITS) - 1)).unwrap_or(0)
    }

    /// Returns how many took the seat before, and this one.
    #[must_use]
    pub const fn incarnation(self) -> u64 {
        self.0 >> Self::SEAT_BITS
    }

    /// Returns the seat and the incarnation's last bits, 29 bits in all, for words that have something else
    /// to say as well; see [`Oracle::is_short_alive`].
    #[must_use]
    pub fn short(self) -> u32 {
        u32::try_from(self.0 & ((1 << Self::SHORT_BITS) - 1)).unwrap_or(0)
    }
}

impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "participant {}.{}", self.seat(), self.incarnation())
    }
}

/// What a seat says of itself; whether it is true, the byte's lock knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SeatState {
    /// Nobody has ever sat here, or the last one left by itself.
    Free,
    /// Somebody sits here, or has died here.
    Taken,
}

/// One participant's place in shared memory.
#[derive(Debug, Default, Shared)]
#[shared(crate = "crate")]
#[repr(C, align(128))]
pub struct Seat {
    /// How many have taken it.
    pub incarnation: Word64,
    /// 0 free, 1 taken.
    pub state: Word32,
    /// The process id, as its own pid namespace knows it; for display.
    pub process: Word32,
    /// The inode of that pid namespace; 0 where it is not known.
    pub namespace: Word64,
    /// When it was taken, in nanoseconds since 1970; for display.
    pub since: Word64,
    /// The program's name, for display.
    pub name: [Word64; 2],
}

/// Answers who this is, and whether somebody else is alive.
pub trait Oracle: Send + Sync + fmt::Debug {
    /// Returns who asks.
    fn me(&self) -> Identity;

    /// Tells whether a participant is alive. Never says no of one that is; where the kernel gives no answer,
    /// it says yes.
    fn is_alive(&self, who: Identity) -> bool;

    /// Tells whether a participant is alive of which only the seat and the last bits of the incarnation are
    /// known, as lock words keep them.
    fn is_short_alive(&self, short: u32) -> bool;

    /// Tells whether thread ids mean the same to this process as to the segment's creator, so that lock words
    /// may hold them.
    fn knows_thread_ids(&self) -> bool;
}

/// The seats of a segment, one of which is this process's.
#[derive(Debug)]
pub struct Roster {
    seats: Placed<[Seat]>,
    life: Life,
    me: Identity,
    knows_thread_ids: bool,
}

impl Roster {
    /// Takes a seat: one that was left, and if there is none, a dead one's. `None` where all are taken.
    ///
    /// `namespace` is the pid namespace that thread ids in lock words belong to; see [`pid_namespace`].
    ///
    /// # Errors
    /// What fcntl(2) says.
    pub fn join(seats: Placed<[Seat]>, life: Life, namespace: u64) -> io::Result<Option<Self>> {
        super::barrier::register();
        let is_free = |seat: &Seat| seat.state.load(Ordering::Acquire) == 0;
        for must_be_free in [true, false] {
            for (index, seat) in seats.iter().enumerate().take(MAX_SEATS) {
                // The second time any: some may have been left since.
                if (is_free(seat) || !must_be_free) && life.claim(mark_of(index))? {
                    let mine = pid_namespace();
                    let knows_thread_ids = mine != 0 && mine == namespace;
                    let me = sit(seat, index, mine);
                    return Ok(Some(Self { seats, life, me, knows_thread_ids }));
                }
            }
        }
        Ok(None)
    }

    /// Looks on without taking a seat: asks, and holds nothing. No lock word can be taken with it.
    #[must_use]
    pub fn observe(seats: Placed<[Seat]>, life: Life) -> Self {
        Self { seats, life, me: Identity::nobody(), knows_thread_ids: false }
    }

    /// Returns every seat's present or last participant, and whether it is alive.
    #[must_use]
    pub fn participants(&self) -> Vec<(Identity, SeatState, bool)> {
        let of = |(index, seat): (usize, &Seat)| {
            let incarnation = seat.incarnation.load(Ordering::Acquire);
            let state = seat.state.load(Ordering::Acquire);
            let state = if state == 0 { SeatState::Free } else { SeatState::Taken };
            let who = (incarnation > 0).then(|| Identity::new(index, incarnation))?;
            Some((who, state, state == SeatState::Taken && self.is_alive(who)))
        };
        self.seats.iter().enumerate().filter_map(of).collect()
    }

    /// Returns the seats.
    #[must_use]
    pub fn seats(&self) -> &Placed<[Seat]> {
        &self.seats
    }

    /// Returns the file description whose locks say that this process is alive.
    #[must_use]
    pub const fn life(&self) -> &Life {
        &self.life
    }
}

impl Oracle for Roster {
    #[inline]
    fn me(&self) -> Identity {
        self.me
    }

    fn is_alive(&self, who: Identity) -> bool {
        if who == self.me {
            return true;
        }
        let Some(seat) = self.seats.get(who.seat()) else { return false };
        let is_current = || seat.incarnation.load(Ordering::Acquire) == who.incarnation();
        is_current() && self.life.is_held(mark_of(who.seat())).unwrap_or(true) && is_current()
    }

    fn is_short_alive(&self, short: u32) -> bool {
        let seat = usize::try_from(short).unwrap_or(0) & (MAX_SEATS - 1);
        let Some(incarnation) = self.seats.get(seat).map(|it| it.incarnation.load(Ordering::Acquire)) else {
            return false;
        };
        let Some(who) = Identity::from_number(incarnation << Identity::SEAT_BITS | to_u64(seat)) else {
            return false;
        };
        who.short() == short && self.is_alive(who)
    }

    fn knows_thread_ids(&self) -> bool {
        self.knows_thread_ids
    }
}

impl Drop for Roster {
    fn drop(&mut self) {
        // A child's copy says nothing: the seat is its parent's. An observer has none.
        if self.life.is_here()
            && let Some(seat) = self.seats.get(self.me.seat())
            && seat.incarnation.load(Ordering::Relaxed) == self.me.incarnation()
        {
            seat.state.store(0, Ordering::Release);
        }
    }
}

fn sit(seat: &Seat, index: usize, namespace: u64) -> Identity {
    let last = seat.incarnation.load(Ordering::Acquire);
    // From here on the one before is known as dead. Where somebody has scribbled, it begins anew.
    let me = Identity::new(index, if last < Identity::LAST { last + 1 } else { 1 });
    seat.incarnation.store(me.incarnation(), Ordering::Release);
    seat.process.store(std::process::id(), Ordering::Relaxed);
    seat.namespace.store(namespace, Ordering::Relaxed);
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    seat.since.store(u64::try_from(now.as_nanos()).unwrap_or(u64::MAX), Ordering::Relaxed);
    super::copy_in(&seat.name, &program_name());
    seat.state.store(1, Ordering::Release);
    me
}

/// Returns the inode of this process's pid namespace; 0 where /proc does not tell.
#[must_use]
pub fn pid_namespace() -> u64 {
    use std::os::unix::fs::MetadataExt;
    std::fs::metadata("/proc/self/ns/pid").map_or(0, |status| status.ino())
}

fn program_name() -> [u8; 16] {
    let mut name = [0; 16];
    let text = std::fs::read("/proc/self/comm").unwrap_or_default();
    for (target, byte) in name.iter_mut().zip(text.into_iter().filter(|&byte| byte != b'\n')) {
        *target = byte;
    }
    name
}

fn mark_of(seat: usize) -> Mark {
    Mark::try_from(seat).unwrap_or(Mark::MAX)
}

fn to_u64(seat: usize) -> u64 {
    u64::try_from(seat).unwrap_or(u64::MAX)
}

#[cfg(all(test, not(any(loom, shuttle))))]
#[allow(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on fails")]
mod tests {
    use super::*;
    use crate::peer::Area;
    use crate::{MapOptions, MemFile};

    fn seats(file: &MemFile, count: usize) -> Placed<[Seat]> {
        let area = Area::new(MapOptions::new().map_mut(file).unwrap()).unwrap();
        area.place_many(0, count).unwrap()
    }

    fn join(file: &MemFile, count: usize) -> Option<Roster> {
        let life = Life::open(file.file().as_ref()).unwrap();
        Roster::join(seats(file, count), life, pid_namespace()).unwrap()
    }

    #[test]
    fn a_seat_that_was_left_names_another_participant_next_time() {
        let file = MemFile::new("seats", 4096).unwrap();
        let observer = join(&file, 2).unwrap();
        let first = join(&file, 2).unwrap();
        let first_me = first.me();
        assert!(observer.is_alive(first_me) && first.is_alive(observer.me()));
        assert!(join(&file, 2).is_none(), "both seats are taken");
        drop(first);
        assert!(!observer.is_alive(first_me));
        let second = join(&file, 2).unwrap();
        assert_eq!(second.me().seat(), first_me.seat());
        assert!(observer.is_alive(second.me()) && !observer.is_alive(first_me));
        assert!(observer.is_short_alive(second.me().short()) && !observer.is_short_alive(first_me.short()));
        assert_eq!(observer.participants().len(), 2);
    }

    #[test]
    fn a_seat_that_was_scribbled_over_can_be_taken() {
        const LAST: u64 = Identity::LAST;
        for (scribbled, next) in [(LAST - 1, LAST), (LAST, 1), (LAST + 1, 1), (1 << 54, 1), (u64::MAX, 1)] {
            let file = MemFile::new("seats", 4096).unwrap();
            seats(&file, 2)[0].incarnation.store(scribbled, Ordering::Relaxed);
            let me = join(&file, 2).unwrap().me();
            assert_eq!((me.seat(), me.incarnation()), (0, next), "after {scribbled}");
            assert_ne!(me, Identity::nobody());
        }
    }

    #[test]
    fn an_identity_survives_being_a_number() {
        let who = Identity::new(MAX_SEATS - 1, 1);
        assert_eq!(Identity::from_number(who.number()), Some(who));
        assert_eq!((who.seat(), who.incarnation()), (MAX_SEATS - 1, 1));
        assert_eq!((Identity::from_number(0), Identity::from_number(5)), (None, None));
    }
}
