//! Records: runs of bytes of any length from senders to one receiver.
//!
//! - [`Records`]: what is shared; [`RecordSender`] and [`RecordReceiver`] are the places at it
//! - `ring`: what lies in memory
//!
//! There is one receiver: records of different lengths are taken in order, and a ring with several readers
//! would have to wait for the slowest. To share work among several receivers, use a [`Queue`](super::Queue).
//!
//! # What a death leaves
//! | who dies | when | what the others find |
//! |---|---|---|
//! | a sender | before its claim | nothing |
//! | a sender | between its claim and the record's end | a hole of exactly its claim |
//! | the receiver | before the record is out | the record, in its place |
//! | … | in [`receive_with`](RecordReceiver::receive_with)'s function | the record, again |
//! | … | after | the next record |

mod readiness;
mod receiver;
mod ring;
mod sender;

#[cfg(all(test, any(loom, shuttle)))]
mod orders;
#[cfg(test)]
mod tests;

use mapwright_core::peer::Word64;
use mapwright_core::{Error, ErrorKind, Result};

pub use readiness::RecordsReadiness;
pub use receiver::RecordReceiver;
pub use sender::RecordSender;

use super::Parties;
use crate::figure::Figure;
use crate::object::{Kind, Object, Plan, Site, room};
use ring::{BLOCK, BLOCK_WORDS, Control, Head, MOST_BYTES, Ring};

/// What has to be decided before a ring of records is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RecordsOptions {
    len: usize,
    senders: Parties,
}

impl RecordsOptions {
    /// For at least so many bytes (rounded up to a power of two), from one sender. A record takes a multiple
    /// of 64 bytes.
    #[must_use]
    pub const fn new(len_bytes: usize) -> Self {
        Self { len: len_bytes, senders: Parties::One }
    }

    /// Says how many may send.
    #[must_use]
    pub const fn senders(mut self, senders: Parties) -> Self {
        self.senders = senders;
        self
    }
}

/// Runs of bytes on their way from senders to one receiver, in shared memory.
///
/// Each record has a length of its own, up to [`longest`](Self::longest). There is one receiver at a time; to
/// share work among several, use a [`Queue`](crate::Queue).
///
/// # Death
/// | killed | others find |
/// |---|---|
/// | a sender, before its record is whole | nothing: the receiver steps over what it had claimed |
/// | the receiver, before the record is out | the record, in its place |
/// | the receiver, in [`receive_with`](RecordReceiver::receive_with)'s function | the record, again |
/// | the receiver, after it | the next record |
///
/// # Examples
/// ```
/// use mapwright_share::{Parties, Records, RecordsOptions, Segment};
/// let options = RecordsOptions::new(64 * 1024).senders(Parties::Many);
/// let segment = Segment::anonymous("site").with::<Records>("lines", options).create()?;
/// let lines: Records = segment.get("lines")?;
/// let mut sender = lines.sender()?;
/// sender.send(b"GET /")?;
/// sender.send(b"GET /favicon.ico")?;
///
/// // In another process:
/// let mut receiver = lines.receiver()?;
/// let mut line = Vec::new();
/// receiver.receive_into(&mut line)?;
/// assert_eq!(line, b"GET /");
/// assert_eq!(receiver.receive_with(|line| line.len())?, 16);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
pub struct Records {
    ring: Ring,
}

impl Records {
    /// Takes a sender's place.
    ///
    /// # Errors
    /// `Busy` where all places are taken by the living, naming one; `Fault` in a forked child.
    pub fn sender(&self) -> Result<RecordSender> {
        self.check("send to")?;
        RecordSender::enter(&self.ring)
    }

    /// Takes the receiver's place.
    ///
    /// # Errors
    /// `Busy` where it is taken by somebody alive, naming it; `Fault` in a forked child.
    pub fn receiver(&self) -> Result<RecordReceiver> {
        self.check("receive from")?;
        RecordReceiver::enter(&self.ring)
    }

    /// Returns how many bytes the longest record has that can be sent.
    #[must_use]
    pub fn longest(&self) -> usize {
        usize::try_from(self.ring.capacity).unwrap_or(0).saturating_mul(BLOCK).min(MOST_BYTES)
    }

    fn check(&self, what: &'static str) -> Result<()> {
        self.ring.control.check().map_err(|fault| Error::faulted(what, "records", fault))
    }
}

impl Object for Records {
    const KIND: Kind = Kind::Records;
    type Options = RecordsOptions;

    fn plan(options: &RecordsOptions) -> Result<Plan> {
        const ACTION: &str = "plan";
        let refuse = |why: &str| Err(Error::new(ErrorKind::InvalidInput, ACTION, "records", why));
        if options.len == 0 {
            return refuse("they have no room; make it at least one byte");
        }
        let Some(blocks) = options.len.div_ceil(BLOCK).checked_next_power_of_two() else {
            return refuse("they would be larger than the address space; give them less room");
        };
        let word = size_of::<Word64>();
        let parts = [(size_of::<Control>(), 1), (word, blocks), (BLOCK_WORDS * word, blocks)];
        let len = room(ACTION, &parts)?;
        let many = u64::from(options.senders == Parties::Many);
        let parameters = [u64::try_from(blocks).unwrap_or(u64::MAX), many, 0, 0, 0, 0];
        Ok(Plan { kind: Self::KIND, len, layout: Self::layout(), parameters })
    }

    fn create(site: &Site, _options: &RecordsOptions) -> Result<()> {
        // All zeros is an empty ring.
        Ring::find(site).map(drop)
    }

    fn layout() -> String {
        String::new()
    }

    fn attach(site: &Site) -> Result<Self> {
        Ok(Self { ring: Ring::find(site)? })
    }
}

/// Tells what there is to say of a ring of records. The counts are exact while nobody sends or receives.
pub(crate) fn inspect(site: &Site) -> Result<Vec<Figure>> {
    let ring = Ring::find(site)?;
    let (_, counts) = ring.counts();
    let (mut depth, mut blocks, mut holes) = (0, 0, counts.holes);
    ring.walk(|_, head, _| {
        depth += u64::from(matches!(head, Head::Full { .. }));
        holes = u64::wrapping_add(holes, u64::from(matches!(head, Head::Hole { .. })));
        blocks += head.blocks();
    });
    let block = u64::try_from(BLOCK).unwrap_or(0);
    let mut figures = vec![
        Figure::number("capacity", ring.capacity.saturating_mul(block)),
        Figure::number("used", blocks.saturating_mul(block)),
        Figure::number("depth", depth),
        Figure::number("sent", counts.received.saturating_add(depth)),
        Figure::number("received", counts.received),
        Figure::number("holes", holes),
    ];
    figures.extend(ring.control.senders.all().map(|who| Figure::who("sender", who)));
    figures.extend(ring.control.receivers.all().map(|who| Figure::who("receiver", who)));
    Ok(figures)
}
