//! Records of bytes, one behind the other, appended by anybody and kept.
//!
//! ```text
//!  ┌ tail ──────┐ ┌ bell ──────┐ ┌ records ─────────────────────────────────────────────┐
//!  │            │ │            │ │ head │ bytes … │ head │ bytes … │ 0 0 0 0 …            │
//!  └ 128 bytes ─┘ └ 128 bytes ─┘ └ the room that was planned ───────────────────────────┘
//! ```
//! A position is the distance of a record's head from the first one's, in bytes. Positions never change, and
//! what was written at one never does.
//!
//! | who dies when | what is left |
//! |---|---|
//! | an appender, before the exchange that makes room | nothing |
//! | an appender, after it | a hole of that length, which names it: readers step over it at once |
//! | an appender, after its last store | the record |
//! | a reader, at any time | nothing; its position is its own |

mod error;
#[cfg(all(test, any(loom, shuttle)))]
#[allow(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on fails")]
mod models;
mod reader;
mod record;
#[cfg(all(test, not(any(loom, shuttle))))]
#[allow(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on fails")]
mod tests;
mod words;

use std::fmt;
use std::sync::Arc;

use mapwright_core::peer::{Bell, Identity, Oracle, Placed};
use mapwright_core::{Error, ErrorKind, Result};

pub use error::LogError;
pub use reader::{LogReader, Record};

use crate::figure::Figure;
use crate::object::{Kind, Object, Plan, Site};
use record::State;
use words::{Eyes, Found, Hand, count_of, parameters, room_of};

/// An append-only log in a fixed room: any number of processes append, and each reads at its own pace, from
/// any position on.
///
/// ```
/// use mapwright_share::{Log, LogOptions, Segment};
/// let segment = Segment::anonymous("diary").with::<Log>("events", LogOptions::new(1 << 20)).create()?;
/// let log: Log = segment.get("events")?;
/// log.append(b"opened")?;
/// let second = log.append(b"sold 3")?;
///
/// let mut reader = log.read_from(0);
/// assert_eq!(reader.next()?.bytes, b"opened");
/// assert_eq!(reader.next()?.bytes, b"sold 3");
/// assert_eq!(log.read_from(second).next()?.bytes, b"sold 3");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Death
/// | killed | others find |
/// |---|---|
/// | an appender, before the record is whole | nothing, or a hole that readers step over at once |
/// | an appender, after it | the record |
/// | a reader, at any time | nothing: its position is its own |
///
/// # Caveats
/// Records have an order, so a reader waits at one whose appender lives and has not finished it. That is as
/// long as a copy takes, unless the appender was stopped in the middle. Nothing is ever taken out: full is
/// the end.
///
/// A reader that does not take part in the segment cannot ask who lives: it waits at a dead one's record
/// until somebody who does take part has read past it.
#[derive(Clone)]
pub struct Log {
    eyes: Eyes,
    /// `None` where the memory is mapped for reading.
    hand: Option<Hand>,
    /// Never rung where the memory is mapped for reading.
    bell: Placed<Bell>,
    oracle: Arc<dyn Oracle>,
    me: Identity,
}

/// What has to be decided before a [`Log`] is made.
#[derive(Clone, Copy, Debug)]
pub struct LogOptions {
    bytes: usize,
}

impl LogOptions {
    /// Makes room for so many bytes of records: each takes its length, rounded up to a multiple of 8, and 8
    /// more.
    #[must_use]
    pub const fn new(bytes: usize) -> Self {
        Self { bytes }
    }
}

impl Log {
    /// Appends a record and returns its position. Waits for nobody.
    ///
    /// # Errors
    /// [`LogError::Full`] where there is no room for it; [`LogError::TooLarge`] where there never was;
    /// [`LogError::ReadOnly`] where the memory is mapped for reading; [`LogError::Damaged`],
    /// [`LogError::Fault`].
    #[inline]
    pub fn append(&self, bytes: &[u8]) -> Result<u64, LogError> {
        let hand = self.hand.as_ref().ok_or(LogError::ReadOnly)?;
        hand.append(bytes, self.me).map(position_of)
    }

    /// Returns a reader that begins with the record at a position: 0 for the first one, or what
    /// [`append`](Self::append), [`end`](Self::end), a [`Record`] or another reader has said, in any process.
    #[must_use]
    pub fn read_from(&self, position: u64) -> LogReader {
        LogReader::new(self.clone(), position)
    }

    /// Returns where the next record will begin: a reader from there sees what is appended from now on.
    ///
    /// # Errors
    /// [`LogError::Damaged`] where somebody has overwritten records; [`LogError::Fault`] where the memory is
    /// gone.
    pub fn end(&self) -> Result<u64, LogError> {
        self.eyes.check()?;
        let mut at = self.hand.as_ref().map_or(0, Hand::tail);
        if at > self.eyes.room() {
            return Err(LogError::Damaged);
        }
        while let Some(found) = self.eyes.find(at)? {
            if found.state == State::Nothing {
                break;
            }
            at = found.next;
        }
        Ok(position_of(at))
    }

    /// Returns how many bytes of records there is room for.
    #[must_use]
    pub fn capacity(&self) -> usize {
        self.eyes.room() * 8
    }

    /// Tells what lies at a place, where a dead one's claim is a hole.
    fn find(&self, at: usize) -> Result<Option<Found>, LogError> {
        let found = self.eyes.find(at)?;
        match found {
            Some(Found { state: State::Claimed(short), .. }) if !self.oracle.is_short_alive(short) => {
                // Dead now, so whatever it did it did before: look once more.
                let found = self.eyes.find(at)?;
                if let Some(Found { state: State::Claimed(_), len, next }) = found {
                    if let Some(hand) = &self.hand {
                        hand.give_up(at);
                    }
                    return Ok(Some(Found { state: State::Hole, len, next }));
                }
                Ok(found)
            }
            found => Ok(found),
        }
    }
}

/// Positions are in bytes.
const fn position_of(at: usize) -> u64 {
    at as u64 * 8
}

impl Object for Log {
    const KIND: Kind = Kind::Log;
    type Options = LogOptions;

    fn plan(options: &Self::Options) -> Result<Plan> {
        let words = options.bytes.div_ceil(8);
        if words == 0 {
            let why = "it would have room for 0 bytes; a record takes 8 at least";
            return Err(Error::new(ErrorKind::InvalidInput, "plan", "a log", why));
        }
        let (len, layout) = (room_of(words)?, Self::layout());
        Ok(Plan { kind: Self::KIND, len, layout, parameters: parameters(words) })
    }

    /// All zeros is an empty log.
    fn create(site: &Site, _options: &Self::Options) -> Result<()> {
        count_of(site).map(drop)
    }

    fn layout() -> String {
        "bytes".to_owned()
    }

    fn attach(site: &Site) -> Result<Self> {
        let hand = if site.is_writable() { Some(Hand::attach(site)?) } else { None };
        let bell = hand.as_ref().map_or_else(|| Placed::own(Bell::default()), Hand::bell);
        let oracle = Arc::clone(site.oracle());
        Ok(Self { eyes: Eyes::attach(site)?, hand, bell, me: oracle.me(), oracle })
    }
}

/// Goes over all records and counts them.
pub(crate) fn inspect(site: &Site) -> Result<Vec<Figure>> {
    let log = Log::attach(site)?;
    let (mut at, mut written, mut claimed, mut holes, mut damaged) = (0, 0, 0, 0, false);
    loop {
        match log.eyes.find(at) {
            Ok(Some(Found { state, next, .. })) if state != State::Nothing => {
                match state {
                    State::Written => written += 1,
                    State::Claimed(short) if log.oracle.is_short_alive(short) => claimed += 1,
                    _ => holes += 1,
                }
                at = next;
            }
            Ok(_) => break,
            Err(_) => {
                damaged = true;
                break;
            }
        }
    }
    let mut figures = vec![
        Figure::number("records", written),
        Figure::number("being written", claimed),
        Figure::number("holes", holes),
        Figure::number("bytes", position_of(at)),
        Figure::number("capacity", log.capacity() as u64),
    ];
    if damaged {
        figures.push(Figure::text("state", "overwritten by somebody from there on"));
    }
    Ok(figures)
}

impl fmt::Debug for Log {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Log").field("capacity", &self.capacity()).finish_non_exhaustive()
    }
}
