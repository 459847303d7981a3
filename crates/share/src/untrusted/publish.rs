//! A value that one process publishes and others, whom it does not trust and who do not trust it, read.
//!
//! ```text
//!   0     heading, with the value's size and the hash of its type's layout
//!   128   how many values were published   (and a futex word)
//!   256   cell 0: sequence, value   cell c holds values c, c + 4, c + 8 …; its sequence is odd while written
//!   …     cells 1 to 3
//! ```
//! Only the publisher can write. Readers copy a cell and look whether its sequence has stayed the same; they
//! try so many times and no more.

use std::marker::PhantomData;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::time::Duration;

use mapwright_core::peer::{
    Area, Deadline, Line, LookWord32, LookWord64, Lookable, Ordering, Placed, Shared, Word32, Word64,
    copy_in, fence, look_out, wake,
};
use mapwright_core::{Error, Fault, Plain, ReadOnly, Result};

use super::PeerError;
use super::memory::{self, HEADING, Heading, Purpose};
use crate::value::words_of;
use crate::waiting::socket;

/// Where the cells begin.
const CELLS_AT: usize = HEADING + 128;
/// Who waits for another value looks after so long whether the publisher still lives.
const LOOK_AFTER: Duration = Duration::from_millis(50);

const CELLS: u64 = 4;
/// How often a reader is lapped before it gives up. A publisher would have to publish four values within each
/// copy.
const ATTEMPTS: usize = 1000;

#[derive(Debug, Default, Shared)]
#[shared(crate = "mapwright_core")]
#[repr(C)]
struct Head {
    published: Word64,
    count: Word32,
    _reserved: Word32,
}

#[derive(Debug, Default, Shared, Lookable)]
#[shared(crate = "mapwright_core")]
#[repr(C)]
struct LookHead {
    published: LookWord64,
    count: LookWord32,
    _reserved: LookWord32,
}

/// The writing side of a published value.
///
/// ```
/// use mapwright_share::untrusted::{Publisher, Viewer};
/// use std::os::unix::net::UnixStream;
/// let (here, there) = UnixStream::pair()?;
/// let mut publisher = Publisher::new([1.5f64, 2.5])?;
/// publisher.send(&here)?;
/// // In another process, which cannot write it whatever it tries:
/// let viewer = Viewer::<[f64; 2]>::receive(&there)?;
/// publisher.publish(&[3.5, 4.5]);
/// assert_eq!(viewer.read()?, Some((1, [3.5, 4.5])));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct Publisher<T> {
    head: Placed<Line<Head>>,
    cells: Placed<[Word64]>,
    file: Arc<std::fs::File>,
    published: u64,
    /// To those who read: their other ends tell when this one is gone.
    sockets: Vec<UnixStream>,
    value: PhantomData<T>,
}

/// The reading side of a published value.
#[derive(Clone, Debug)]
pub struct Viewer<T> {
    head: Placed<Line<LookHead>>,
    cells: Placed<[LookWord64]>,
    socket: Option<Arc<UnixStream>>,
    value: PhantomData<T>,
}

impl<T: Plain> Publisher<T> {
    /// Makes memory for the value, and publishes its first state.
    ///
    /// # Errors
    /// `NoSpace` where there is no memory.
    pub fn new(first: T) -> Result<Self> {
        let heading = Heading::new(Purpose::Published, size_of::<T>(), T::STRUCTURE.hash());
        let (area, file) = memory::own("published", CELLS_AT + cells_len::<T>(), heading)?;
        let cells = area.place_many(CELLS_AT, cells_len::<T>() / 8)?;
        let (head, value) = (area.place::<Line<Head>>(HEADING)?, PhantomData);
        let mut publisher = Self { head, cells, file, published: 0, sockets: Vec::new(), value };
        publisher.write(&first);
        Ok(publisher)
    }

    /// Publishes another value; wakes those who wait for one.
    pub fn publish(&mut self, value: &T) {
        self.published += 1;
        self.write(value);
        self.head.count.fetch_add(1, Ordering::Release);
        wake(&self.head.count, u32::MAX >> 1);
    }

    fn write(&mut self, value: &T) {
        let cell = &self.cells[cell_of::<T>(self.published)..][..cell_words::<T>()];
        let Some((sequence, words)) = cell.split_first() else { return };
        sequence.store(2 * self.published + 1, Ordering::Relaxed);
        fence(Ordering::Release);
        copy_in(words, value.as_bytes());
        sequence.store(2 * self.published + 2, Ordering::Release);
        self.head.published.store(self.published, Ordering::Release);
    }

    /// Lets the socket's other end read. The socket is kept, so that the other end sees it when this
    /// publisher is dropped or its process dies.
    ///
    /// # Errors
    /// Where it is gone, or takes nothing for 10 s.
    pub fn send(&mut self, socket: &UnixStream) -> Result<()> {
        let kept = socket.try_clone().map_err(|cause| Error::os("keep", "a socket", cause))?;
        memory::send(socket, &self.file, Deadline::after(Duration::from_secs(10)))?;
        self.sockets.retain(|socket| !socket::is_over(socket));
        self.sockets.push(kept);
        Ok(())
    }

    /// Returns the memory's descriptor, to be passed on by other means; whoever gets it can only read.
    #[must_use]
    pub fn descriptor(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }
}

impl<T: Plain> Viewer<T> {
    /// Receives what [`Publisher::send`] sent, however long it takes.
    ///
    /// # Errors
    /// `Damaged` where something else came, or memory that is too small or could be taken away again;
    /// `TypeMismatch` where it is no published value, of another version, or of another type.
    pub fn receive(socket: &UnixStream) -> Result<Self> {
        Self::receive_until(socket, Deadline::never())
    }

    /// Receives what [`Publisher::send`] sent, until a deadline at most.
    ///
    /// # Errors
    /// As [`receive`](Self::receive); `Busy` where nothing came until the deadline.
    pub fn receive_until(socket: &UnixStream, until: Deadline) -> Result<Self> {
        let kept = socket.try_clone().map_err(|cause| Error::os("keep", "a socket", cause))?;
        let viewer = Self::of(memory::receive(socket, until)?)?;
        Ok(Self { socket: Some(Arc::new(kept)), ..viewer })
    }

    /// Reads what a descriptor publishes. Without a socket nobody tells when the publisher ends.
    ///
    /// # Errors
    /// As [`receive`](Self::receive).
    pub fn of(descriptor: OwnedFd) -> Result<Self> {
        let needed = CELLS_AT + cells_len::<T>();
        let (area, heading) = memory::theirs(descriptor, Purpose::Published, needed.max(memory::LIMIT))?;
        Self::over(&area, heading, needed)
    }

    fn over(area: &Area<ReadOnly>, heading: Heading, needed: usize) -> Result<Self> {
        let expected = Heading::new(Purpose::Published, size_of::<T>(), T::STRUCTURE.hash());
        if heading.size != expected.size {
            let why =
                format!("its value has {} bytes, and {} has {}", heading.size, T::STRUCTURE, expected.size);
            return Err(memory::mismatch(&why));
        }
        if heading.layout != expected.layout {
            let why = format!("its value has another layout than this program's, {}", T::STRUCTURE);
            return Err(memory::mismatch(&why));
        }
        if area.len() < needed {
            return Err(memory::refuse(format!(
                "it has {} bytes, and such a value needs {needed}",
                area.len()
            )));
        }
        let cells = area.look_many(CELLS_AT, cells_len::<T>() / 8)?;
        Ok(Self { head: area.look(HEADING)?, cells, socket: None, value: PhantomData })
    }

    /// Returns the newest value and its number; `None` where the publisher was faster a thousand times, or
    /// writes nonsense.
    ///
    /// # Errors
    /// `Gone` in a process that was forked since.
    pub fn read(&self) -> Result<Option<(u64, T)>, Fault> {
        self.head.check()?;
        let mut value = T::new_zeroed();
        for _ in 0..ATTEMPTS {
            let newest = self.head.published.load(Ordering::Acquire);
            let cell = &self.cells[cell_of::<T>(newest)..][..cell_words::<T>()];
            let Some((sequence, words)) = cell.split_first() else { return Ok(None) };
            if sequence.load(Ordering::Acquire) != newest.wrapping_mul(2).wrapping_add(2) {
                continue;
            }
            look_out(words, value.as_mut_bytes());
            fence(Ordering::Acquire);
            if sequence.load(Ordering::Relaxed) == newest.wrapping_mul(2).wrapping_add(2) {
                return Ok(Some((newest, value)));
            }
        }
        Ok(None)
    }

    /// Waits until another value than the one of that number is published, until a deadline at most; `false`
    /// where the deadline came.
    ///
    /// # Errors
    /// `Gone` where the publisher is and has published nothing else, which its socket tells; `Fault` in a
    /// process that was forked since.
    pub fn changed(&self, since: u64, until: Deadline) -> Result<bool, PeerError> {
        let is_other = || self.head.published.load(Ordering::Acquire) != since;
        loop {
            self.head.check()?;
            let ticket = self.head.count.load(Ordering::Acquire);
            if is_other() {
                return Ok(true);
            }
            if until.has_passed() {
                return Ok(false);
            }
            if self.socket.as_ref().is_some_and(|socket| socket::is_over(socket)) {
                // What it published last may have come between looking and asking.
                return if is_other() { Ok(true) } else { Err(PeerError::Gone) };
            }
            let _looked = self.head.count.wait(ticket, until.earlier(Deadline::after(LOOK_AFTER)));
        }
    }
}

/// The words of one cell: its sequence and the value, on lines of their own.
const fn cell_words<T>() -> usize {
    (1 + words_of::<T>()).next_multiple_of(16)
}

fn cells_len<T>() -> usize {
    cell_words::<T>() * 8 * 4
}

/// Where the cell of a value's number begins.
fn cell_of<T>(number: u64) -> usize {
    usize::try_from(number % CELLS).unwrap_or(0) * cell_words::<T>()
}
