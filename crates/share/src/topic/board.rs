//! A topic without its type: what lies where, and who asks.

use std::fmt;
use std::sync::Arc;

use mapwright_core::peer::{Bell, Identity, Line, Oracle, Ordering, Placed, RobustWord, Shared, Word64};
use mapwright_core::{Fault, Result};

use super::gate::{Gate, MAX_READERS, Reader};
use super::options::TopicOptions;
use super::ring::Ring;
use crate::figure::Figure;
use crate::object::Site;

/// The topic's own words, each kind on lines of its own.
#[derive(Debug, Default, Shared)]
#[shared(crate = "mapwright_core")]
#[repr(C)]
pub(super) struct Head {
    /// All positions before it were sent, or are being written, or are holes. Written by publishers, read by
    /// those who join.
    tail: Line<Word64>,
    /// Where readers sleep.
    ready: Line<Bell>,
    /// Where publishers sleep.
    room: Line<Bell>,
    gate: Line<Gate>,
    /// Counts publishers that came, and those that left by themselves, before they did.
    changes: Line<Word64>,
}

impl Head {
    pub(super) fn ready_bell(&self) -> &Bell {
        &self.ready
    }
}

/// What a topic is made of.
#[derive(Clone)]
pub(super) struct Board {
    pub(super) head: Placed<Head>,
    pub(super) lock: Placed<RobustWord>,
    pub(super) readers: Placed<[Reader]>,
    /// Whose each publisher's place is; 0 for nobody's.
    pub(super) publishers: Placed<[Line<Word64>]>,
    pub(super) ring: Ring,
    oracle: Arc<dyn Oracle>,
}

impl fmt::Debug for Board {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Board").field("ring", &self.ring).finish_non_exhaustive()
    }
}

impl Board {
    /// Finds the parts in a room.
    pub(super) fn at(site: &Site) -> Result<Self> {
        let [capacity, readers, publishers, body, ..] = site.parameters();
        let options = TopicOptions { capacity, readers, publishers };
        let body = usize::try_from(body).unwrap_or(usize::MAX);
        let parts = options.parts(body).map_err(|error| site.damaged(error.to_string()))?;
        let [_, (_, readers), (_, places), (_, words)] = parts;
        let mut room = site.parts();
        let head = room.one()?;
        let readers = room.many(readers)?;
        let places = room.many(places)?;
        let ring = Ring::new(room.many(words)?, capacity, body, publishers);
        Ok(Self::new(head, readers, places, ring, Arc::clone(site.oracle())))
    }

    pub(super) fn new(
        head: Placed<Head>,
        readers: Placed<[Reader]>,
        publishers: Placed<[Line<Word64>]>,
        ring: Ring,
        oracle: Arc<dyn Oracle>,
    ) -> Self {
        let lock = head.part(|head| &head.gate.lock);
        Self { head, lock, readers, publishers, ring, oracle }
    }

    #[inline]
    pub(super) fn oracle(&self) -> &dyn Oracle {
        &*self.oracle
    }

    pub(super) fn gate(&self) -> &Gate {
        &self.head.gate
    }

    #[inline]
    pub(super) fn ready(&self) -> &Bell {
        &self.head.ready
    }

    #[inline]
    pub(super) fn room(&self) -> &Bell {
        &self.head.room
    }

    #[inline]
    pub(super) fn check(&self) -> Result<(), Fault> {
        self.head.check()
    }

    #[inline]
    pub(super) fn tail(&self) -> u64 {
        self.head.tail.load(Ordering::Acquire)
    }

    /// Says that a position was published, where nobody else publishes.
    #[inline]
    pub(super) fn set_tail(&self, tail: u64) {
        self.head.tail.store(tail, Ordering::Release);
    }

    /// Says that a position was published, where others may have got further.
    #[inline]
    pub(super) fn raise_tail(&self, tail: u64) {
        let mut seen = self.head.tail.load(Ordering::Relaxed);
        while seen < tail {
            match self.head.tail.compare_exchange(seen, tail, Ordering::AcqRel, Ordering::Relaxed) {
                Ok(_) => return,
                Err(now) => seen = now,
            }
        }
    }

    /// Says what a publisher has sent that died before it could say so; returns the position behind it.
    pub(super) fn catch_up(&self) -> u64 {
        let mut tail = self.tail();
        for _ in 0..self.ring.capacity() {
            if !self.ring.is_over(tail) {
                break;
            }
            tail = tail.wrapping_add(1);
            self.raise_tail(tail);
        }
        tail
    }

    /// Says that a publisher has come, or is about to leave.
    pub(super) fn note_change(&self) {
        self.head.changes.fetch_add(1, Ordering::AcqRel);
    }

    /// Tells whether there were publishers, and none is left alive.
    ///
    /// One look could miss a publisher that comes to a place before it while another leaves one behind it:
    /// two that find nobody, and no change meanwhile, and there was a moment without any.
    pub(super) fn lost_its_publishers(&self) -> bool {
        let before = self.head.changes.load(Ordering::Acquire);
        let lives = |place: &Line<Word64>| {
            Identity::from_number(place.load(Ordering::Acquire)).is_some_and(|who| self.oracle.is_alive(who))
        };
        let is_empty = || !self.publishers.iter().any(lives);
        before != 0 && is_empty() && is_empty() && self.head.changes.load(Ordering::Acquire) == before
    }

    /// Returns what can be said without knowing the type.
    pub(super) fn figures(&self) -> Vec<Figure> {
        let tail = self.tail();
        let mut figures = vec![
            Figure::number("capacity", self.ring.capacity()),
            Figure::number("published", tail),
            Figure::number("reader places", self.readers.len().try_into().unwrap_or(u64::MAX)),
            Figure::number("publisher places", self.publishers.len().try_into().unwrap_or(u64::MAX)),
        ];
        for place in self.publishers.iter() {
            let who = Identity::from_number(place.load(Ordering::Acquire));
            figures.extend(who.map(|who| self.participant("publisher", "dead publisher", who)));
        }
        for (index, reader) in self.readers.iter().enumerate().take(MAX_READERS) {
            let Some(who) = Identity::from_number(reader.who.load(Ordering::Acquire)) else { continue };
            figures.push(self.participant("reader", "dead reader", who));
            figures
                .push(Figure::number("behind", tail.saturating_sub(reader.cursor.load(Ordering::Relaxed))));
            if self.is_waited_for(index) {
                figures.push(Figure::text("policy", "waited for"));
            }
        }
        figures
    }

    fn participant(&self, alive: &'static str, dead: &'static str, who: Identity) -> Figure {
        Figure::who(if self.oracle.is_alive(who) { alive } else { dead }, who)
    }
}
