//! A value that one process publishes and others, whom it does not trust and who do not trust it, read.
//!
//! ```text
//!   0     how many values were published   (and a futex word)
//!   128   cell 0: sequence, value   cell c holds values c, c + 4, c + 8 …; its sequence is odd while written
//!   …     cells 1 to 3
//! ```
//! Only the publisher can write. Readers copy a cell and look whether its sequence has stayed the same; they
//! try so many times and no more.

use std::marker::PhantomData;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::sync::Arc;

use mapwright_core::peer::{
    Deadline, Line, LookWord32, LookWord64, Lookable, Ordering, Placed, Shared, Waited, Word32, Word64,
    copy_in, fence, look_out, wake,
};
use mapwright_core::{Fault, Plain, Result};

use super::memory;
use crate::value::words_of;

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
    value: PhantomData<T>,
}

/// The reading side of a published value.
#[derive(Clone, Debug)]
pub struct Viewer<T> {
    head: Placed<Line<LookHead>>,
    cells: Placed<[LookWord64]>,
    value: PhantomData<T>,
}

impl<T: Plain> Publisher<T> {
    /// Makes memory for the value, and publishes its first state.
    ///
    /// # Errors
    /// `NoSpace` where there is no memory.
    pub fn new(first: T) -> Result<Self> {
        let (area, file) = memory::own("published", size_of::<Line<Head>>() + cells_len::<T>())?;
        let cells = area.place_many(size_of::<Line<Head>>(), cells_len::<T>() / 8)?;
        let (head, value) = (area.place::<Line<Head>>(0)?, PhantomData);
        let mut publisher = Self { head, cells, file, published: 0, value };
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

    /// Lets the socket's other end read.
    ///
    /// # Errors
    /// Where it is gone.
    pub fn send(&self, socket: &UnixStream) -> Result<()> {
        memory::send(socket, &self.file)
    }

    /// Returns the memory's descriptor, to be passed on by other means; whoever gets it can only read.
    #[must_use]
    pub fn descriptor(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }
}

impl<T: Plain> Viewer<T> {
    /// Receives what [`Publisher::send`] sent.
    ///
    /// # Errors
    /// `Damaged` where something else came, or memory that is too small or could be taken away again.
    pub fn receive(socket: &UnixStream) -> Result<Self> {
        Self::of(memory::receive(socket)?)
    }

    /// Reads what a descriptor publishes.
    ///
    /// # Errors
    /// As [`receive`](Self::receive).
    pub fn of(descriptor: OwnedFd) -> Result<Self> {
        let area = memory::theirs(descriptor)?;
        let needed = size_of::<Line<Head>>() + cells_len::<T>();
        if area.len() < needed {
            return Err(memory::refuse(format!(
                "it has {} bytes, and such a value needs {needed}",
                area.len()
            )));
        }
        let cells = area.look_many(size_of::<Line<Head>>(), cells_len::<T>() / 8)?;
        Ok(Self { head: area.look(0)?, cells, value: PhantomData })
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
    #[must_use]
    pub fn changed(&self, since: u64, until: Deadline) -> bool {
        loop {
            let ticket = self.head.count.load(Ordering::Acquire);
            if self.head.published.load(Ordering::Acquire) != since {
                return true;
            }
            if self.head.count.wait(ticket, until) == Waited::TimedOut {
                return self.head.published.load(Ordering::Acquire) != since;
            }
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
