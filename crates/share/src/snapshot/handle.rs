//! What typed snapshots and snapshots of bytes have in common: attaching, claiming, waiting.

use std::sync::Arc;
use std::time::Duration;

use mapwright_core::Result;
use mapwright_core::peer::{Bell, Deadline, Oracle, Placed, Waited, Word32, relax, wait};

use super::cells::{Eyes, Hand, Shape};
use super::{SnapshotError, WriterError};
use crate::figure::Figure;
use crate::object::Site;
use crate::waiting::LOOK_AFTER;

/// How often a lapped look is repeated by one `try_read`.
const TRIES: u32 = 8;

/// How often the version is looked at before sleeping: about as long as a wake-up takes.
#[cfg(not(any(loom, shuttle)))]
const LOOKS: u32 = 200;
#[cfg(any(loom, shuttle))]
const LOOKS: u32 = 1;

/// Cells on a place in shared memory, and who is asking.
#[derive(Clone, Debug)]
pub(super) struct Handle {
    pub eyes: Eyes,
    /// `None` where the memory is mapped for reading.
    hand: Option<Hand>,
    oracle: Arc<dyn Oracle>,
}

impl Handle {
    pub(super) fn attach(site: &Site, shape: Shape) -> Result<Self> {
        let hand = if site.is_writable() { Some(Hand::attach(site, shape)?) } else { None };
        Ok(Self { eyes: Eyes::attach(site, shape)?, hand, oracle: Arc::clone(site.oracle()) })
    }

    /// Repeats a look until it succeeds, a few times or for as long as a deadline allows.
    #[inline(always)]
    pub(super) fn read(
        &self,
        until: Option<Deadline>,
        mut look: impl FnMut() -> Option<u64>,
    ) -> Result<u64, SnapshotError> {
        match look() {
            Some(version) => Ok(version),
            None => self.read_again(until, look),
        }
    }

    #[cold]
    fn read_again(
        &self,
        until: Option<Deadline>,
        mut look: impl FnMut() -> Option<u64>,
    ) -> Result<u64, SnapshotError> {
        let mut tries = 1;
        loop {
            match self.eyes.why() {
                SnapshotError::Lapped => {}
                error => return Err(error),
            }
            match until {
                None if tries >= TRIES => return Err(SnapshotError::Lapped),
                Some(until) if until.has_passed() => return Err(SnapshotError::TimedOut),
                _ => {}
            }
            relax();
            if let Some(version) = look() {
                return Ok(version);
            }
            tries += 1;
        }
    }

    pub(super) fn changed(&self, since: u64, until: Deadline) -> Result<u64, SnapshotError> {
        for _ in 0..LOOKS {
            if self.eyes.version() != since {
                return Ok(self.eyes.version());
            }
            relax();
        }
        let mut nap = Duration::from_micros(100);
        loop {
            self.eyes.check()?;
            let waited = match &self.hand {
                Some(hand) => {
                    let ticket = hand.door().published.listen();
                    if self.eyes.version() != since {
                        return Ok(self.eyes.version());
                    }
                    // Whoever published may have died before it rang.
                    hand.door().published.sleep(ticket, until.earlier(Deadline::after(LOOK_AFTER)))
                }
                None => doze(&mut nap, until),
            };
            match self.eyes.version() {
                version if version != since => return Ok(version),
                _ if waited == Waited::TimedOut && until.has_passed() => return Err(SnapshotError::TimedOut),
                _ => {}
            }
        }
    }

    /// Returns the bell that rings for publications; one that never rings where the memory is mapped for
    /// reading.
    pub(super) fn bell(&self) -> Placed<Bell> {
        self.hand.as_ref().map_or_else(|| Placed::own(Bell::default()), Hand::bell)
    }

    pub(super) fn claim(&self, until: Deadline) -> Result<Pen, WriterError> {
        let hand = self.hand.as_ref().ok_or(WriterError::ReadOnly)?;
        hand.check().map_err(|error| match error {
            SnapshotError::Fault(fault) => WriterError::Fault(fault),
            _ => WriterError::ReadOnly,
        })?;
        // A dead writer's cell was not published, so there is nothing to put right.
        match hand.door().claim.take(&*self.oracle, self.oracle.me(), until) {
            Ok(_) => Ok(Pen { hand: hand.clone() }),
            Err(holder) => Err(WriterError::Taken(holder)),
        }
    }

    pub(super) fn inspect(&self) -> Vec<Figure> {
        let mut figures = vec![Figure::number("version", self.eyes.version())];
        let shape = self.eyes.shape().parameters();
        figures.extend([Figure::number("cells", shape[0]), Figure::number("bytes", shape[1])]);
        if let Some(writer) = self.hand.as_ref().and_then(|hand| hand.door().claim.holder()) {
            figures.push(Figure::who("writer", writer));
            let state = if self.oracle.is_alive(writer) { "alive" } else { "dead" };
            figures.push(Figure::text("writer is", state));
        }
        figures
    }
}

/// Sleeps without leaving a mark that nobody could see: a little, and longer each time.
fn doze(nap: &mut Duration, until: Deadline) -> Waited {
    const LONGEST: Duration = Duration::from_millis(10);
    let _slept: Waited = wait(&Word32::new(0), 0, Deadline::after(*nap).earlier(until));
    *nap = (*nap * 2).min(LONGEST);
    if until.has_passed() { Waited::TimedOut } else { Waited::Look }
}

/// The writer's place; left when dropped.
#[derive(Debug)]
pub(super) struct Pen {
    pub hand: Hand,
}

impl Drop for Pen {
    fn drop(&mut self) {
        // A forked child's copy says nothing: the place is its parent's.
        if self.hand.check().is_ok() {
            self.hand.door().claim.let_go();
        }
    }
}
