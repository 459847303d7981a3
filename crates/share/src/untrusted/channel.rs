//! Messages of bytes between two processes that do not trust each other.
//!
//! Each side has an outbox, a memory file that it alone can write:
//!
//! ```text
//!   0     heading, with the capacity of the ring, written once
//!   128   sent: bytes put into the ring so far        (and a futex word that counts them)
//!   256   taken: bytes taken out of the other's ring  (and a futex word)
//!   384   ring: each message a word with its length, then its bytes, at multiples of 8
//! ```
//! My own positions are private numbers; the words only publish them. Of the other side's words I read one
//! position a call, once, and believe it only as far as it is possible.

use std::fmt;
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::time::Duration;

use mapwright_core::peer::{
    Area, Deadline, Line, LookWord32, LookWord64, Lookable, Ordering, Placed, Shared, Word32, Word64,
    copy_in, look_out, relax, wake,
};
use mapwright_core::{Error, ErrorKind, Fault, ReadOnly, Result};

use super::memory::{self, HEADING, Heading, Purpose};
use crate::waiting::socket;

const HEADER: usize = HEADING + size_of::<Outbox>();
const LENGTH: usize = 8;
/// How often an empty or full ring is looked at before sleeping.
const LOOKS: u32 = 500;
/// A sleeper looks after so long whether the other side still lives, and wakes even if it never rings.
const LOOK_AFTER: Duration = Duration::from_millis(50);

/// One position, and the word that sleepers sleep on.
#[derive(Debug, Default, Shared)]
#[shared(crate = "mapwright_core")]
#[repr(C)]
struct Position {
    bytes: Word64,
    count: Word32,
    _reserved: Word32,
}

#[derive(Debug, Default, Shared)]
#[shared(crate = "mapwright_core")]
#[repr(C)]
struct Outbox {
    sent: Line<Position>,
    taken: Line<Position>,
}

#[derive(Debug, Default, Shared, Lookable)]
#[shared(crate = "mapwright_core")]
#[repr(C)]
struct LookPosition {
    bytes: LookWord64,
    count: LookWord32,
    _reserved: LookWord32,
}

#[derive(Debug, Default, Shared, Lookable)]
#[shared(crate = "mapwright_core")]
#[repr(C)]
struct LookOutbox {
    sent: Line<LookPosition>,
    taken: Line<LookPosition>,
}

// A word of the model checkers is larger.
#[cfg(not(any(loom, shuttle)))]
const _: () = assert!(size_of::<Outbox>() == 2 * 128 && size_of::<LookOutbox>() == 2 * 128);

/// Messages in both directions between two processes of which neither trusts the other.
///
/// ```
/// use mapwright_share::Deadline;
/// use mapwright_share::untrusted::Channel;
/// use std::os::unix::net::UnixStream;
/// let (here, there) = UnixStream::pair()?;
/// # let other = std::thread::spawn(move || -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
/// // The other side, in another process:
/// let mut channel = Channel::connect(there, 1 << 16)?;
/// let mut message = Vec::new();
/// channel.receive(&mut message, Deadline::never())?;
/// channel.send(&message, Deadline::never())?;
/// # Ok(()) });
/// // This side:
/// let mut channel = Channel::connect(here, 1 << 16)?;
/// channel.send(b"ping", Deadline::never())?;
/// let mut answer = Vec::new();
/// channel.receive(&mut answer, Deadline::never())?;
/// assert_eq!(answer, b"ping");
/// # other.join().unwrap().unwrap();
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct Channel {
    mine: Placed<Outbox>,
    my_ring: Placed<[Word64]>,
    theirs: Placed<LookOutbox>,
    their_ring: Placed<[LookWord64]>,
    /// Bytes I have put into my ring, and know to be taken out of it.
    sent: u64,
    known_taken: u64,
    /// Bytes I have taken out of their ring, and know to be in it.
    taken: u64,
    known_sent: u64,
    socket: UnixStream,
}

/// Why nothing was sent or received.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum PeerError {
    /// There was no room, or no message, until the deadline.
    TimedOut,
    /// The message is larger than the ring.
    TooLarge,
    /// There is no memory for a message of so many bytes; it can be received later.
    NoMemory(u64),
    /// The other side is gone, and nothing is left of what it sent.
    Gone,
    /// The other side wrote what cannot be; the channel is of no more use.
    Misbehaved(Misbehaviour),
    /// This process was forked since: the channel is its parent's.
    Fault(Fault),
}

/// What a peer did that cannot be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Misbehaviour {
    /// It says that it has sent less than before, or more than its ring holds.
    Sent(u64),
    /// It says that it has taken less than before, or more than was sent.
    Taken(u64),
    /// A message says that it is longer than all that was sent.
    Length(u64),
}

impl fmt::Display for PeerError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TimedOut => f.write_str("the other side did nothing before the deadline"),
            Self::TooLarge => f.write_str("the message is larger than the ring"),
            Self::NoMemory(bytes) => write!(f, "there is no memory for a message of {bytes} bytes"),
            Self::Gone => f.write_str("the other side is gone"),
            Self::Misbehaved(Misbehaviour::Sent(bytes)) => {
                write!(f, "the other side says that it has sent {bytes} bytes, which cannot be")
            }
            Self::Misbehaved(Misbehaviour::Taken(bytes)) => {
                write!(f, "the other side says that it has taken {bytes} bytes, which cannot be")
            }
            Self::Misbehaved(Misbehaviour::Length(bytes)) => {
                write!(f, "a message of the other side says that it has {bytes} bytes, which cannot be")
            }
            Self::Fault(fault) => fault.fmt(f),
        }
    }
}

impl std::error::Error for PeerError {}

impl From<Fault> for PeerError {
    fn from(fault: Fault) -> Self {
        Self::Fault(fault)
    }
}

/// How much a channel may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ChannelOptions {
    capacity: usize,
    peer_limit: usize,
}

impl ChannelOptions {
    /// So many bytes of messages can be under way from here; the other side may have up to 64 MiB under way.
    #[must_use]
    pub const fn new(capacity: usize) -> Self {
        Self { capacity, peer_limit: memory::LIMIT }
    }

    /// Chooses the most bytes that the other side's ring may have: no message from there is longer, and no
    /// more memory is taken for it.
    #[must_use]
    pub const fn peer_limit(mut self, bytes: usize) -> Self {
        self.peer_limit = bytes;
        self
    }
}

impl Channel {
    /// Exchanges memory with the socket's other end, which does the same. `capacity` bytes of messages can be
    /// under way from here; the other side chooses its own, 64 MiB at most.
    ///
    /// Waits for the other end as long as it takes; [`connect_until`](Self::connect_until) does not.
    ///
    /// # Errors
    /// `InvalidInput` for a capacity of 0 or one that no memory has; `Damaged` where the other end sends
    /// something else, too much, or memory that it could take away again; `TypeMismatch` where it is no
    /// channel, or of another version; `NoSpace` where there is no memory.
    pub fn connect(socket: UnixStream, capacity: usize) -> Result<Self> {
        Self::connect_until(socket, ChannelOptions::new(capacity), Deadline::never())
    }

    /// Exchanges memory with the socket's other end, until a deadline at most.
    ///
    /// # Errors
    /// As [`connect`](Self::connect); `Busy` where the other end does nothing until the deadline.
    ///
    /// ```
    /// use mapwright_share::untrusted::{Channel, ChannelOptions};
    /// use mapwright_share::{Deadline, ErrorKind};
    /// use std::os::unix::net::UnixStream;
    /// use std::time::Duration;
    /// let (here, _silent) = UnixStream::pair()?;
    /// let options = ChannelOptions::new(1 << 16).peer_limit(1 << 20);
    /// let until = Deadline::after(Duration::from_millis(1));
    /// let error = Channel::connect_until(here, options, until).unwrap_err();
    /// assert_eq!(error.kind(), ErrorKind::Busy);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn connect_until(socket: UnixStream, options: ChannelOptions, until: Deadline) -> Result<Self> {
        let capacity = options.capacity.checked_next_multiple_of(8).filter(|&bytes| bytes > 0);
        let sizes = capacity.and_then(|capacity| Some((capacity, capacity.checked_add(HEADER)?)));
        let Some((capacity, len)) = sizes.filter(|&(_, len)| i64::try_from(len).is_ok()) else {
            let why = format!("a capacity of {} bytes", options.capacity);
            return Err(Error::new(ErrorKind::InvalidInput, "make", "a channel", why));
        };
        let (area, file) = memory::own("channel", len, Heading::new(Purpose::Channel, capacity, 0))?;
        memory::send(&socket, &file, until)?;
        let limit = options.peer_limit.saturating_add(HEADER);
        let (theirs, heading) = memory::theirs(memory::receive(&socket, until)?, Purpose::Channel, limit)?;
        Self::over(&area, &theirs, capacity, heading.size, socket)
    }

    fn over(
        area: &Area,
        theirs: &Area<ReadOnly>,
        capacity: usize,
        their_capacity: u64,
        socket: UnixStream,
    ) -> Result<Self> {
        let (mine, my_ring) = (area.place(HEADING)?, area.place_many(HEADER, capacity / 8)?);
        // Believed as far as the memory goes.
        let room = theirs.len().saturating_sub(HEADER);
        let fits = usize::try_from(their_capacity)
            .ok()
            .filter(|&bytes| bytes > 0 && bytes % 8 == 0 && bytes <= room);
        let Some(their_capacity) = fits else {
            return Err(memory::refuse(format!(
                "it says that its ring has {their_capacity} bytes, and has {room}"
            )));
        };
        let outbox: Placed<LookOutbox> = theirs.look(HEADING)?;
        let their_ring = theirs.look_many(HEADER, their_capacity / 8)?;
        let (sent, known_taken, taken, known_sent) = (0, 0, 0, 0);
        Ok(Self { mine, my_ring, theirs: outbox, their_ring, sent, known_taken, taken, known_sent, socket })
    }

    /// Sends a message, waiting for room until a deadline at most. All of it is sent, or nothing.
    ///
    /// # Errors
    /// `TooLarge` where it could never fit; `TimedOut`, `Gone`, `Misbehaved`.
    pub fn send(&mut self, message: &[u8], until: Deadline) -> Result<(), PeerError> {
        self.mine.check()?;
        let capacity = to_u64(self.my_ring.len()) * 8;
        let padded = message.len().checked_next_multiple_of(8).and_then(|bytes| bytes.checked_add(LENGTH));
        let Some(needed) = padded.map(to_u64).filter(|&bytes| bytes <= capacity) else {
            return Err(PeerError::TooLarge);
        };
        let mut looks = 0;
        while capacity - (self.sent - self.known_taken) < needed {
            let ticket = self.theirs.taken.count.load(Ordering::Acquire);
            if !self.look_taken()? {
                self.pause(&mut looks, |channel| &channel.theirs.taken.count, ticket, until)?;
            }
        }
        self.put(self.sent, &to_u64(message.len()).to_ne_bytes());
        self.put(self.sent + to_u64(LENGTH), message);
        self.sent += needed;
        publish(&self.mine.sent, self.sent);
        Ok(())
    }

    /// Receives the next message into a buffer, whose contents it replaces; waits until a deadline at most.
    ///
    /// # Errors
    /// `TimedOut`, `Gone`, `Misbehaved`; `NoMemory` where the buffer cannot be made large enough.
    pub fn receive(&mut self, message: &mut Vec<u8>, until: Deadline) -> Result<(), PeerError> {
        self.mine.check()?;
        let mut looks = 0;
        while self.known_sent == self.taken {
            let ticket = self.theirs.sent.count.load(Ordering::Acquire);
            if !self.look_sent()? {
                self.pause(&mut looks, |channel| &channel.theirs.sent.count, ticket, until)?;
            }
        }
        let there = self.known_sent - self.taken;
        let mut length = [0; LENGTH];
        self.get(self.taken, &mut length);
        // Read once; from here on it is private.
        let length = u64::from_ne_bytes(length);
        let padded = length.checked_next_multiple_of(8).and_then(|bytes| bytes.checked_add(to_u64(LENGTH)));
        let Some(whole) = padded.filter(|&bytes| bytes <= there) else {
            return Err(PeerError::Misbehaved(Misbehaviour::Length(length)));
        };
        let bytes = usize::try_from(length).map_err(|_| PeerError::NoMemory(length))?;
        message.clear();
        message.try_reserve(bytes).map_err(|_| PeerError::NoMemory(length))?;
        message.resize(bytes, 0);
        self.get(self.taken + to_u64(LENGTH), message);
        self.taken += whole;
        publish(&self.mine.taken, self.taken);
        Ok(())
    }

    /// Looks how much of mine was taken; `false` where nothing has changed.
    fn look_taken(&mut self) -> Result<bool, PeerError> {
        let taken = self.theirs.taken.bytes.load(Ordering::Acquire);
        if !(self.known_taken..=self.sent).contains(&taken) || !taken.is_multiple_of(8) {
            return Err(PeerError::Misbehaved(Misbehaviour::Taken(taken)));
        }
        Ok(std::mem::replace(&mut self.known_taken, taken) != taken)
    }

    /// Looks how much was sent to me; `false` where nothing has changed.
    fn look_sent(&mut self) -> Result<bool, PeerError> {
        let sent = self.theirs.sent.bytes.load(Ordering::Acquire);
        let most = self.taken.saturating_add(to_u64(self.their_ring.len()) * 8);
        if !(self.known_sent..=most).contains(&sent) || !sent.is_multiple_of(8) {
            return Err(PeerError::Misbehaved(Misbehaviour::Sent(sent)));
        }
        Ok(std::mem::replace(&mut self.known_sent, sent) != sent)
    }

    /// Spins a little, then sleeps until the other side's word changes, or until it is time to look around.
    fn pause(
        &self,
        looks: &mut u32,
        word: impl Fn(&Self) -> &LookWord32,
        ticket: u32,
        until: Deadline,
    ) -> Result<(), PeerError> {
        if *looks < LOOKS && !until.has_passed() {
            *looks += 1;
            relax();
            return Ok(());
        }
        if until.has_passed() {
            return Err(PeerError::TimedOut);
        }
        if socket::is_over(&self.socket) {
            // What it sent last may have come between looking and asking.
            return if word(self).load(Ordering::Acquire) == ticket { Err(PeerError::Gone) } else { Ok(()) };
        }
        let _looked = word(self).wait(ticket, until.earlier(Deadline::after(LOOK_AFTER)));
        Ok(())
    }

    /// Copies into my ring at a position, around its end.
    fn put(&self, position: u64, bytes: &[u8]) {
        let at = index(position, self.my_ring.len());
        let (first, rest) = bytes.split_at(bytes.len().min((self.my_ring.len() - at) * 8));
        copy_in(&self.my_ring[at..], first);
        copy_in(&self.my_ring, rest);
    }

    /// Copies out of their ring at a position, around its end.
    fn get(&self, position: u64, bytes: &mut [u8]) {
        let at = index(position, self.their_ring.len());
        let room = bytes.len().min((self.their_ring.len() - at) * 8);
        let (first, rest) = bytes.split_at_mut(room);
        look_out(&self.their_ring[at..], first);
        look_out(&self.their_ring, rest);
    }

    /// Returns the socket, whose end tells of the other side's.
    #[must_use]
    pub fn socket(&self) -> impl AsFd + '_ {
        &self.socket
    }
}

/// Publishes a position of mine, and wakes the other side if it sleeps. Whether it does is not known here (it
/// cannot write my memory), so the kernel is asked each time; it answers in 150 ns.
fn publish(position: &Position, bytes: u64) {
    position.bytes.store(bytes, Ordering::Release);
    position.count.fetch_add(1, Ordering::Release);
    wake(&position.count, 1);
}

fn index(position: u64, words: usize) -> usize {
    usize::try_from((position / 8) % to_u64(words)).unwrap_or(0)
}

fn to_u64(bytes: usize) -> u64 {
    u64::try_from(bytes).unwrap_or(u64::MAX)
}
