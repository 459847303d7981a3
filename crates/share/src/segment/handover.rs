//! Anonymous segments, passed on: a memory file that no folder knows goes through a Unix socket.
//!
//! Who has the descriptor can attach, nobody else: no name to guess, no file to be left behind. The memory is
//! sealed against shrinking, so its receiver knows that no page will vanish.
//!
//! # Kernel
//! unix(7): sendmsg(2) and recvmsg(2) with `SCM_RIGHTS`.

use std::fs::File;
use std::io::{IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::sync::Arc;

use mapwright_core::peer::Life;
use mapwright_core::{Error, ErrorKind, MemFile, Result, Seals};
use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer, SendAncillaryMessage,
    SendFlags, recvmsg, sendmsg,
};

use super::{Segment, attach};

/// What goes through the socket beside the descriptor, so that a stream never carries one without a byte.
const GREETING: [u8; 8] = *b"mapwseg1";

impl Segment {
    /// Passes the segment to whoever holds the socket's other end and calls [`receive`](Self::receive).
    ///
    /// # Errors
    /// Where the other end is gone.
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
        let descriptors = [self.inner.file.as_fd()];
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
        let mut ancillary = SendAncillaryBuffer::new(&mut space);
        // The buffer was made for one descriptor; without it the other end says that something else came.
        let _fits = ancillary.push(SendAncillaryMessage::ScmRights(&descriptors));
        let sent = rustix::io::retry_on_intr(|| {
            sendmsg(socket, &[IoSlice::new(&GREETING)], &mut ancillary, SendFlags::NOSIGNAL)
        });
        match sent {
            Ok(8) => Ok(()),
            Ok(_) => Err(refused("the socket took half of it")),
            Err(cause) => Err(Error::os("send a segment through", "a socket", std::io::Error::from(cause))),
        }
    }

    /// Receives a segment that [`send`](Self::send) passed on, and attaches to it.
    ///
    /// # Errors
    /// `Damaged` where something else was sent; `InvalidInput` where the memory could shrink.
    pub fn receive(socket: &UnixStream) -> Result<Self> {
        let mut greeting = [0; 8];
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
        let mut ancillary = RecvAncillaryBuffer::new(&mut space);
        let mut into = [IoSliceMut::new(&mut greeting)];
        let got = recvmsg(socket, &mut into, &mut ancillary, RecvFlags::CMSG_CLOEXEC)
            .map_err(|cause| Error::os("receive a segment from", "a socket", std::io::Error::from(cause)))?;
        let mut received: Option<OwnedFd> = None;
        for message in ancillary.drain() {
            if let RecvAncillaryMessage::ScmRights(descriptors) = message {
                received = received.or_else(|| descriptors.into_iter().next());
            }
        }
        match received {
            Some(descriptor) if got.bytes == GREETING.len() && greeting == GREETING => {
                Self::from_descriptor(descriptor)
            }
            _ if got.bytes == 0 => Err(refused("its other end was closed")),
            _ => Err(refused("something else came")),
        }
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
        let len = file.metadata().map_err(os)?.len();
        let contents = attach::read(&file, len)
            .map_err(|why| Error::new(ErrorKind::Damaged, "attach to", "a received segment", why))?;
        let life = Life::open(file.as_ref()).map_err(os)?;
        attach::attach("received", None, file, contents, life)
    }

    /// Returns the descriptor of the segment's memory, to be passed on by other means.
    #[must_use]
    pub fn descriptor(&self) -> BorrowedFd<'_> {
        self.inner.file.as_fd()
    }
}

fn refused(why: &str) -> Error {
    Error::new(ErrorKind::Damaged, "pass a segment through", "a socket", why)
}
