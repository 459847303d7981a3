//! Reading a log at one's own pace.

use std::fmt;
use std::time::Duration;

use mapwright_core::peer::{Bell, Deadline, Placed, Waited, relax};

use super::record::State;
use super::{Log, LogError, position_of};
use crate::waiting::{LOOK_AFTER, Waitable};

/// How often the next place is looked at before sleeping: about as long as a wake-up takes.
#[cfg(not(any(loom, shuttle)))]
const LOOKS: u32 = 200;
#[cfg(any(loom, shuttle))]
const LOOKS: u32 = 1;

/// A sleeper that nobody can wake, because its memory is mapped for reading, looks after so long.
const NAP: Duration = Duration::from_millis(5);

/// A record that was read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// Where it begins.
    pub position: u64,
    /// What was appended.
    pub bytes: Vec<u8>,
}

/// A reader of a [`Log`], with a position of its own; from [`Log::read_from`].
#[derive(Clone)]
pub struct LogReader {
    log: Log,
    /// In words; beyond any room where there can be no such position.
    at: usize,
}

impl LogReader {
    pub(super) fn new(log: Log, position: u64) -> Self {
        let at = if position.is_multiple_of(8) { usize::try_from(position / 8).ok() } else { None };
        Self { log, at: at.unwrap_or(usize::MAX) }
    }

    /// Returns the position of the next record; a reader that begins there goes on where this one is.
    #[must_use]
    pub const fn position(&self) -> u64 {
        position_of(if self.at > usize::MAX / 8 { usize::MAX / 8 } else { self.at })
    }

    /// Returns the next record, if it is there.
    ///
    /// # Errors
    /// [`LogError::Empty`] where there is none yet; [`LogError::End`] where there never will be; and
    /// [`LogError::Damaged`], [`LogError::Fault`].
    pub fn try_next(&mut self) -> Result<Record, LogError> {
        let mut bytes = Vec::new();
        let position = self.try_next_into(&mut bytes)?;
        Ok(Record { position, bytes })
    }

    /// Replaces what is in `target` by the next record, if it is there, and returns its position.
    ///
    /// # Errors
    /// As [`try_next`](Self::try_next).
    pub fn try_next_into(&mut self, target: &mut Vec<u8>) -> Result<u64, LogError> {
        self.log.eyes.check()?;
        loop {
            let at = self.at;
            match self.log.find(at)? {
                None if at == self.log.eyes.room() => return Err(LogError::End),
                None => return Err(LogError::Damaged),
                Some(found) => match found.state {
                    State::Nothing | State::Claimed(_) => return Err(LogError::Empty),
                    State::Hole => self.at = found.next,
                    State::Written => {
                        self.log.eyes.copy(at, found, target)?;
                        self.at = found.next;
                        return Ok(position_of(at));
                    }
                },
            }
        }
    }

    /// Waits for the next record and returns it.
    ///
    /// # Errors
    /// As [`try_next`](Self::try_next), but for `Empty`.
    #[allow(clippy::should_implement_trait, reason = "an iterator cannot say why there is no next one")]
    pub fn next(&mut self) -> Result<Record, LogError> {
        self.next_until(Deadline::never())
    }

    /// Waits for the next record until a deadline.
    ///
    /// # Errors
    /// [`LogError::TimedOut`] in addition to those of [`next`](Self::next).
    ///
    /// # Kernel
    /// futex(2). Over memory that is mapped for reading nobody can be asked to wake us: it looks again every
    /// 5 ms.
    pub fn next_until(&mut self, until: Deadline) -> Result<Record, LogError> {
        let mut bytes = Vec::new();
        let position = self.next_into_until(&mut bytes, until)?;
        Ok(Record { position, bytes })
    }

    /// Waits for the next record until a deadline, replaces what is in `target` by it, and returns its
    /// position.
    ///
    /// # Errors
    /// As [`next_until`](Self::next_until).
    pub fn next_into_until(&mut self, target: &mut Vec<u8>, until: Deadline) -> Result<u64, LogError> {
        for _ in 0..LOOKS {
            match self.try_next_into(target) {
                Err(LogError::Empty) => relax(),
                answer => return answer,
            }
        }
        let slice = if self.log.hand.is_some() { LOOK_AFTER } else { NAP };
        loop {
            let ticket = self.log.bell.listen();
            match self.try_next_into(target) {
                Err(LogError::Empty) if until.has_passed() => return Err(LogError::TimedOut),
                Err(LogError::Empty) => {}
                answer => return answer,
            }
            let _woken: Waited = self.log.bell.sleep(ticket, until.earlier(Deadline::after(slice)));
        }
    }
}

impl Waitable for LogReader {
    fn bell(&self) -> Placed<Bell> {
        self.log.bell.clone()
    }

    fn is_ready(&self) -> bool {
        let mut at = self.at;
        // Holes are nothing to be read: what counts is behind them.
        while let Ok(Some(found)) = self.log.find(at) {
            match found.state {
                State::Hole if found.next > at => at = found.next,
                State::Nothing | State::Claimed(_) => return self.log.eyes.check().is_err(),
                _ => return true,
            }
        }
        true
    }
}

impl fmt::Debug for LogReader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LogReader").field("position", &self.position()).finish_non_exhaustive()
    }
}
