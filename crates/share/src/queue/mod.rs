//! Queues: values of one size from senders to receivers, each to exactly one of them.
//!
//! - [`Queue`]: what is shared; [`Sender`] and [`Receiver`] are the places at it, [`Lease`] a value that is
//!   held
//! - `ring` (what lies in memory) → `lane` (one to one) and `slots` (all others): the two ways through it
//! - `roles` (who sends and receives), `waiting` (until there are items, or room), `readiness` (the same,
//!   among other things)
//!
//! # What a death leaves
//! | who dies | when | what the others find |
//! |---|---|---|
//! | a sender | before the value is published | nothing: its claim is taken away by whoever comes upon it |
//! | a sender | after | the value |
//! | a receiver in [`receive`](Receiver::receive) | before the value is out | the value, in its place |
//! | … | after | nothing: it is gone with the receiver, and counts as received |
//! | a receiver with a [`Lease`] | until it is completed | the value again, or not: [`Orphans`] |
//!
//! So a receiver that must not lose anything leases, does its work, and completes (at least once, with
//! [`Orphans::Redeliver`]). One that must not do anything twice receives, or leases with [`Orphans::Drop`]
//! (at most once). Nobody waits for a time to pass: a claim says whose it is, and the kernel knows whether
//! that one is alive.
//!
//! Order: the values of one sender arrive in its order, but those that came back. A sender that is stopped
//! between its claim and its value holds up what was claimed after it; a lease that is never completed holds
//! up its slot, and so the queue after one round.

mod lane;
mod readiness;
mod receiver;
pub(crate) mod records;
mod ring;
mod roles;
mod sender;
mod slots;
mod waiting;

#[cfg(test)]
mod orders;
#[cfg(test)]
mod tests;

use std::marker::PhantomData;

use mapwright_core::{Error, ErrorKind, Plain, Result};

pub use readiness::QueueReadiness;
pub use receiver::{Lease, Receiver};
pub use records::{RecordReceiver, RecordSender, Records, RecordsOptions, RecordsReadiness};
pub use sender::Sender;

use crate::figure::Figure;
use crate::object::{Kind, Object, Plan, Site, room};
use crate::value::words_of;
use mapwright_core::peer::{Ordering, Word64};
use ring::{Control, Ring, Shape, State, stride_of, tallies_of};

/// How many may have a role at the same time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Parties {
    /// One. A second one is refused while the first is alive.
    #[default]
    One,
    /// Up to 64.
    Many,
}

/// What becomes of values that a dead receiver held.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Orphans {
    /// They are given to the next receiver, marked: each arrives at least once.
    #[default]
    Redeliver,
    /// They vanish, and are counted: each arrives at most once.
    Drop,
}

/// What has to be decided before a queue is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct QueueOptions {
    capacity: usize,
    senders: Parties,
    receivers: Parties,
    orphans: Orphans,
}

impl QueueOptions {
    /// For at least so many values (rounded up to a power of two), from one sender to one receiver.
    #[must_use]
    pub const fn new(capacity: usize) -> Self {
        Self { capacity, senders: Parties::One, receivers: Parties::One, orphans: Orphans::Redeliver }
    }

    /// Says how many may send.
    #[must_use]
    pub const fn senders(mut self, senders: Parties) -> Self {
        self.senders = senders;
        self
    }

    /// Says how many may receive.
    #[must_use]
    pub const fn receivers(mut self, receivers: Parties) -> Self {
        self.receivers = receivers;
        self
    }

    /// Says what becomes of values that a dead receiver held.
    #[must_use]
    pub const fn orphans(mut self, orphans: Orphans) -> Self {
        self.orphans = orphans;
        self
    }

    fn shape(self) -> Shape {
        Shape {
            many_senders: self.senders == Parties::Many,
            many_receivers: self.receivers == Parties::Many,
            drops: self.orphans == Orphans::Drop,
        }
    }
}

/// Values on their way from senders to receivers, in shared memory.
///
/// Each value goes to one receiver. Values up to 56 bytes travel in one cache line.
///
/// Senders and receivers take places ([`sender`](Self::sender), [`receiver`](Self::receiver)); a dead one's
/// place is taken over by the next, and what it has left undone is settled by whoever comes upon it.
///
/// The values of one sender arrive in its order, but those that came back from a dead receiver.
///
/// # Death
/// | killed | others find |
/// |---|---|
/// | a sender, before the value is published | nothing: its claim is taken away by whoever comes upon it |
/// | a sender, after it | the value |
/// | a receiver in [`receive`](Receiver::receive), before the value is out | the value, in its place |
/// | a receiver in [`receive`](Receiver::receive), after it | nothing: it is gone with the receiver |
/// | a receiver with a [`Lease`] that is not completed | the value again, or not: [`Orphans`] |
///
/// So a receiver that must not lose anything leases, does its work, and completes: at least once. One that
/// must not do anything twice receives: at most once.
///
/// # Examples
/// ```
/// use mapwright_share::{Orphans, Parties, Queue, QueueOptions, ReceiveError, Segment};
/// let options = QueueOptions::new(1024).receivers(Parties::Many).orphans(Orphans::Redeliver);
/// let segment = Segment::anonymous("mill").with::<Queue<u64>>("jobs", options).create()?;
/// let jobs: Queue<u64> = segment.get("jobs")?;
/// let mut sender = jobs.sender()?;
/// for job in [7, 8] {
///     sender.send(&job)?;
/// }
///
/// // In another process:
/// let mut receiver = jobs.receiver()?;
/// let job = receiver.lease()?;
/// assert_eq!((*job.get(), job.is_redelivered()), (7, false));
/// job.complete()?; // killed before this, it would be another receiver's job, marked as redelivered
/// assert_eq!(receiver.receive()?, 8);
/// assert_eq!(receiver.try_receive(), Err(ReceiveError::Empty));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Caveats
/// A sender that is stopped (not killed) between its claim and its value holds up what was claimed after it.
/// A lease that is never completed holds up its place, and so the queue after one round.
#[derive(Clone, Debug)]
pub struct Queue<T> {
    ring: Ring,
    values: PhantomData<fn(T) -> T>,
}

impl<T: Plain> Queue<T> {
    /// Takes a sender's place.
    ///
    /// # Errors
    /// `Busy` where all places are taken by the living, naming one; `Fault` in a forked child.
    pub fn sender(&self) -> Result<Sender<T>> {
        self.check("send to")?;
        Sender::enter(&self.ring)
    }

    /// Takes a receiver's place.
    ///
    /// # Errors
    /// `Busy` where all places are taken by the living, naming one; `Fault` in a forked child.
    pub fn receiver(&self) -> Result<Receiver<T>> {
        self.check("receive from")?;
        Receiver::enter(&self.ring)
    }

    /// Returns how many values there is room for.
    #[must_use]
    pub fn capacity(&self) -> usize {
        usize::try_from(self.ring.capacity).unwrap_or(usize::MAX)
    }

    fn check(&self, what: &'static str) -> Result<()> {
        self.ring.control.check().map_err(|fault| Error::faulted(what, "a queue", fault))
    }
}

impl<T: Plain> Object for Queue<T> {
    const KIND: Kind = Kind::Queue;
    type Options = QueueOptions;

    fn plan(options: &QueueOptions) -> Result<Plan> {
        const ACTION: &str = "plan";
        let refuse = |why: &str| Err(Error::new(ErrorKind::InvalidInput, ACTION, "a queue", why));
        if options.capacity == 0 {
            return refuse("its capacity is 0; make it at least 1");
        }
        let Some(capacity) = options.capacity.checked_next_power_of_two() else {
            return refuse("its capacity is no size; make it smaller");
        };
        let words = words_of::<T>();
        let shape = options.shape();
        let Some(all) = stride_of(words, shape).checked_mul(capacity) else {
            return refuse("it would be larger than the address space; make its capacity smaller");
        };
        let tallies = tallies_of(shape, capacity);
        let word = size_of::<Word64>();
        let len = room(ACTION, &[(size_of::<Control>(), 1), (word, all), (word, tallies)])?;
        let number = |count: usize| u64::try_from(count).unwrap_or(u64::MAX);
        let parameters = [number(capacity), number(words), shape.number(), 0, 0, 0];
        Ok(Plan { kind: Self::KIND, len, layout: Self::layout(), parameters })
    }

    fn create(site: &Site, _options: &QueueOptions) -> Result<()> {
        // All zeros is an empty queue.
        Ring::find(site, Some(words_of::<T>())).map(drop)
    }

    fn layout() -> String {
        T::STRUCTURE.to_string()
    }

    fn attach(site: &Site) -> Result<Self> {
        Ok(Self { ring: Ring::find(site, Some(words_of::<T>()))?, values: PhantomData })
    }
}

/// Tells what there is to say of a queue, without knowing its values.
///
/// The counts are exact while nobody sends or receives: what was sent is on its way, received, or dropped.
pub(crate) fn inspect(site: &Site) -> Result<Vec<Figure>> {
    let ring = Ring::find(site, None)?;
    let (sent, depth, held) = if ring.shape.is_lane() { count_lane(&ring) } else { count_slots(&ring) };
    let (holes, others) = ring.tallies();
    let (redelivered, dropped) = if ring.shape.drops { (0, others) } else { (others, 0) };
    let sent = sent.saturating_sub(holes);
    let mut figures = vec![
        Figure::number("capacity", ring.capacity),
        Figure::number("depth", depth),
        Figure::number("held", held),
        Figure::number("sent", sent),
        Figure::number("received", sent.saturating_sub(depth).saturating_sub(dropped)),
        Figure::number("redelivered", redelivered),
        Figure::number("dropped", dropped),
        Figure::number("holes", holes),
        Figure::text("orphans", if ring.shape.drops { "drop" } else { "redeliver" }),
    ];
    figures.extend(ring.control.senders.all().map(|who| Figure::who("sender", who)));
    figures.extend(ring.control.receivers.all().map(|who| Figure::who("receiver", who)));
    Ok(figures)
}

/// How many positions were sent, are in the queue, and are held.
fn count_lane(ring: &Ring) -> (u64, u64, u64) {
    let received = ring.control.receiver.position.load(Ordering::Acquire);
    let sent = ring.sent();
    let held = ring.control.receiver.ahead.load(Ordering::Acquire) == received.wrapping_add(1);
    (sent, sent.saturating_sub(received), u64::from(held))
}

/// As [`count_lane`]; what is being written counts as sent and in the queue only once it is.
fn count_slots(ring: &Ring) -> (u64, u64, u64) {
    let mut end = ring.control.receiver.position.load(Ordering::Acquire);
    let (mut depth, mut held, mut writing) = (0, 0, 0);
    for _ in 0..ring.steps() {
        let Some((ahead, mark, _)) = ring.look(end) else { break };
        match (ahead, mark.state) {
            (0, State::Free) => break,
            (0, State::Writing) => writing += 1,
            (0, State::Full) => depth += 1,
            (0, State::Reading) => (depth, held) = (depth + 1, held + 1),
            (1.., _) => {}
            _ => break,
        }
        end = ring.after_done(end, ahead);
    }
    (end.saturating_sub(writing), depth, held)
}
