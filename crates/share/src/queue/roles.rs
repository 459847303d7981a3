//! Who sends and who receives: one word for each, which names the participant.
//!
//! A word is taken by one exchange, so there is no moment at which a place is taken by nobody. A dead one's
//! place is taken over like a free one, once no free one is left.

use mapwright_core::peer::{Identity, Oracle, Ordering, Shared, Word64};
use mapwright_core::{Error, ErrorKind, Result};

/// How many can send to (or receive from) one queue at the same time.
#[cfg(not(any(loom, shuttle)))]
pub(super) const PLACES: usize = 64;
#[cfg(any(loom, shuttle))]
pub(super) const PLACES: usize = 2;

/// The places of those who send, or of those who receive.
#[derive(Debug, Shared)]
#[shared(crate = "mapwright_core")]
#[repr(C)]
pub(super) struct Roles {
    /// An identity; 0 for nobody.
    who: [Word64; PLACES],
    /// Counts those who came, and those who left by themselves, before they did.
    changes: Word64,
}

impl Default for Roles {
    fn default() -> Self {
        Self { who: std::array::from_fn(|_| Word64::default()), changes: Word64::default() }
    }
}

impl Roles {
    /// Takes a place among the first `limit`.
    pub(super) fn enter(&self, limit: usize, oracle: &dyn Oracle, what: &'static str) -> Result<usize> {
        let me = oracle.me().number();
        let mut holder = None;
        for over_the_dead in [false, true] {
            for (index, place) in self.who.iter().enumerate().take(limit) {
                let seen = place.load(Ordering::Acquire);
                if let Some(who) = Identity::from_number(seen)
                    && (!over_the_dead || oracle.is_alive(who))
                {
                    holder = Some(who);
                    continue;
                }
                if place.compare_exchange(seen, me, Ordering::AcqRel, Ordering::Relaxed).is_ok() {
                    self.changes.fetch_add(1, Ordering::AcqRel);
                    return Ok(index);
                }
            }
        }
        let who = holder.map_or_else(|| "somebody".to_owned(), |who| format!("{who:?}"));
        let why = if limit == 1 {
            format!("it has one already, which is alive: {who}")
        } else {
            format!("all {limit} places are taken by the living, the last by {who}")
        };
        Err(Error::new(ErrorKind::Busy, what, "a queue", why)
            .advice("make the queue for `Many`, or let go of the other one first"))
    }

    /// Gives a place back.
    pub(super) fn leave(&self, index: usize, oracle: &dyn Oracle) {
        self.changes.fetch_add(1, Ordering::AcqRel);
        if let Some(place) = self.who.get(index) {
            // Whoever has been taken for dead is not; still, only the own name is taken away.
            let me = oracle.me().number();
            let _left = place.compare_exchange(me, 0, Ordering::AcqRel, Ordering::Relaxed);
        }
    }

    /// Tells whether there have been some, and none is left alive.
    ///
    /// A look at one place after the other misses whoever comes to a place that was looked at while another
    /// leaves one that was not. Two looks that find nobody, and nobody that came or left meanwhile: then
    /// there was a moment between them without anybody. Where there was a change, the next call asks again.
    pub(super) fn are_gone(&self, oracle: &dyn Oracle) -> bool {
        let before = self.changes.load(Ordering::Acquire);
        let lives = |place: &Word64| {
            Identity::from_number(place.load(Ordering::Acquire)).is_some_and(|who| oracle.is_alive(who))
        };
        let is_empty = || !self.who.iter().any(lives);
        (before != 0 || self.all().next().is_some())
            && is_empty()
            && is_empty()
            && self.changes.load(Ordering::Acquire) == before
    }

    /// Tells whether whoever has a place is alive; nobody is not.
    pub(super) fn is_alive(&self, index: usize, oracle: &dyn Oracle) -> bool {
        let place = self.who.get(index).map_or(0, |place| place.load(Ordering::Acquire));
        Identity::from_number(place).is_some_and(|who| oracle.is_alive(who))
    }

    /// Returns all who have a place, dead or alive.
    pub(super) fn all(&self) -> impl Iterator<Item = Identity> {
        self.who.iter().filter_map(|place| Identity::from_number(place.load(Ordering::Acquire)))
    }
}
