//! Anonymous segments, passed on: a memory file that no folder knows goes through a Unix socket.
//!
//! Who has the descriptor can attach, nobody else: no name to guess, no file to be left behind. The memory is
//! sealed against shrinking, so its receiver knows that no page will vanish.
//!
//! # Kernel
//! unix(7): sendmsg(2) and recvmsg(2) with `SCM_RIGHTS`.

use std::fs::File;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::time::Duration;

use mapwright_core::peer::{Deadline, Life};
use mapwright_core::{Error, ErrorKind, MemFile, Result, Seals};

use crate::untrusted::memory::demand_whole;
use crate::waiting::socket;

use super::name::{LONGEST, Name};
use super::{Segment, attach};

/// What goes through the socket beside the descriptor, so that a stream never carries one without a byte.
const GREETING: socket::Greeting = *b"mapwseg1";

impl Segment {
    /// Passes the segment to whoever holds the socket's other end and calls [`receive`](Self::receive).
    ///
    /// # Errors
    /// Where the other end is gone, or takes nothing for 10 s.
    ///
    /// ```
    /// use mapwright_share::{Event, EventOptions, Segment};
    /// use std::os::unix::net::UnixStream;
    /// let (here, there) = UnixStream::pair()?;
    /// let segment = Segment::anonymous("pair").with::<Event>("go", EventOptions::Manual).create()?;
    /// segment.send(&here)?;
    /// // In another process, usually:
    /// let received = Segment::receive(&there)?;
    /// received.get::<Event>("go")?.set()?;
    /// segment.get::<Event>("go")?.wait()?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn send(&self, socket: &UnixStream) -> Result<()> {
        let until = Deadline::after(Duration::from_secs(10));
        socket::send(socket, GREETING, self.inner.file.as_fd(), until)
    }

    /// Receives a segment that [`send`](Self::send) passed on, however long that takes, and attaches to it.
    ///
    /// # Errors
    /// `Damaged` where something else was sent; `InvalidInput` where the memory could shrink.
    pub fn receive(socket: &UnixStream) -> Result<Self> {
        Self::receive_until(socket, Deadline::never())
    }

    /// Receives a segment that [`send`](Self::send) passed on, until a deadline at most, and attaches to it.
    ///
    /// # Errors
    /// As [`receive`](Self::receive); `Busy` where nothing came until the deadline.
    pub fn receive_until(socket: &UnixStream, until: Deadline) -> Result<Self> {
        Self::from_descriptor(socket::receive(socket, GREETING, until)?)
    }

    /// Attaches to an anonymous segment whose descriptor was received or inherited.
    ///
    /// # Errors
    /// As [`receive`](Self::receive).
    pub fn from_descriptor(descriptor: OwnedFd) -> Result<Self> {
        let memory = MemFile::of(descriptor)?;
        if !memory.seals()?.contains(Seals::SHRINK) {
            let why = "its memory is not sealed against shrinking";
            return Err(Error::new(ErrorKind::InvalidInput, "attach to", "a received segment", why));
        }
        let file: Arc<File> = Arc::clone(memory.file());
        let os = |cause| Error::os("attach to", "a received segment", cause);
        let status = file.metadata().map_err(os)?;
        let damaged = |why: String| Error::new(ErrorKind::Damaged, "attach to", "a received segment", why);
        demand_whole(&status).map_err(damaged)?;
        let contents = attach::read(&file, status.len()).map_err(damaged)?;
        let life = Life::open(file.as_ref()).map_err(os)?;
        attach::attach(&label_of(&file), None, file, contents, life)
    }

    /// Returns the descriptor of the segment's memory, to be passed on by other means.
    #[must_use]
    pub fn descriptor(&self) -> BorrowedFd<'_> {
        self.inner.file.as_fd()
    }
}

/// The label that the memory file was made with, where /proc tells it.
fn label_of(file: &File) -> String {
    let link = std::fs::read_link(format!("/proc/self/fd/{}", file.as_fd().as_raw_fd())).unwrap_or_default();
    let label = link.to_str().and_then(|link| link.strip_prefix("/memfd:")?.strip_suffix(" (deleted)"));
    let label = label.and_then(|label| Name::new(label, LONGEST).ok());
    label.map_or_else(|| "received".to_owned(), |label| label.as_str().to_owned())
}
