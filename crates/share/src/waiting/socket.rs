//! A descriptor passed on through a Unix socket, by a deadline: a silent other end holds nobody.
//!
//! # Kernel
//! unix(7): sendmsg(2) and recvmsg(2) with `SCM_RIGHTS`, poll(2).

use std::io::{IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;

use mapwright_core::peer::{Deadline, points};
use mapwright_core::{Error, ErrorKind, Result};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer, SendAncillaryMessage,
    SendFlags, recvmsg, sendmsg,
};

/// What goes with a descriptor: a stream carries none without a byte.
pub(crate) type Greeting = [u8; 8];

/// Sends a descriptor.
///
/// # Errors
/// `Busy` where the other end takes nothing until the deadline; else what sendmsg(2) says.
pub(crate) fn send(
    socket: &UnixStream,
    greeting: Greeting,
    what: BorrowedFd<'_>,
    until: Deadline,
) -> Result<()> {
    let failed = |cause: Errno| Error::os("send memory through", "a socket", cause);
    let descriptors = [what];
    loop {
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
        let mut ancillary = SendAncillaryBuffer::new(&mut space);
        // The buffer was made for one descriptor; without it the other end says that something else came.
        let _fits = ancillary.push(SendAncillaryMessage::ScmRights(&descriptors));
        let flags = SendFlags::NOSIGNAL | SendFlags::DONTWAIT;
        points::step();
        match sendmsg(socket, &[IoSlice::new(&greeting)], &mut ancillary, flags) {
            Ok(sent) if sent == greeting.len() => return Ok(()),
            Ok(_) => return Err(refuse("the socket took half of the greeting")),
            Err(Errno::INTR) => {}
            Err(Errno::AGAIN) => wait(socket, PollFlags::OUT, until)?,
            Err(cause) => return Err(failed(cause)),
        }
    }
}

/// Receives a descriptor that was sent with the same greeting.
///
/// # Errors
/// `Busy` where nothing comes until the deadline; `Damaged` where something else comes, or the end; else what
/// recvmsg(2) says.
pub(crate) fn receive(socket: &UnixStream, greeting: Greeting, until: Deadline) -> Result<OwnedFd> {
    let failed = |cause: Errno| Error::os("receive memory from", "a socket", cause);
    loop {
        let mut got = Greeting::default();
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
        let mut ancillary = RecvAncillaryBuffer::new(&mut space);
        let mut into = [IoSliceMut::new(&mut got)];
        let flags = RecvFlags::CMSG_CLOEXEC | RecvFlags::DONTWAIT;
        points::step();
        let bytes = match recvmsg(socket, &mut into, &mut ancillary, flags) {
            Ok(message) => message.bytes,
            Err(Errno::INTR) => continue,
            Err(Errno::AGAIN) => {
                wait(socket, PollFlags::IN, until)?;
                continue;
            }
            Err(cause) => return Err(failed(cause)),
        };
        let mut received = None;
        for message in ancillary.drain() {
            if let RecvAncillaryMessage::ScmRights(descriptors) = message {
                received = received.or(descriptors.into_iter().next());
            }
        }
        return match received {
            Some(descriptor) if bytes == greeting.len() && got == greeting => Ok(descriptor),
            _ if bytes == 0 => Err(refuse("the socket's other end was closed")),
            _ => Err(refuse("something else came through the socket")),
        };
    }
}

/// Waits until a socket can be used, at most until a deadline.
fn wait(socket: &UnixStream, flags: PollFlags, until: Deadline) -> Result<()> {
    if until.has_passed() {
        let why = "the socket's other end did nothing before the deadline";
        return Err(Error::new(ErrorKind::Busy, "exchange memory through", "a socket", why));
    }
    // Rounded up by a microsecond, so that the deadline has passed after it.
    let slice = until.remaining().map(|left| left + std::time::Duration::from_micros(1));
    let timeout = slice.and_then(|left| Timespec::try_from(left).ok());
    match poll(&mut [PollFd::new(socket, flags)], timeout.as_ref()) {
        Ok(_) | Err(Errno::INTR) => Ok(()),
        Err(cause) => Err(Error::os("wait for", "a socket", cause)),
    }
}

/// Tells whether a socket's other end is closed: its process has ended, or has dropped it.
pub(crate) fn is_over(socket: &UnixStream) -> bool {
    let mut polled = [PollFd::new(socket, PollFlags::RDHUP)];
    let at_once = Timespec { tv_sec: 0, tv_nsec: 0 };
    let ended = PollFlags::RDHUP | PollFlags::HUP | PollFlags::ERR;
    poll(&mut polled, Some(&at_once)).is_ok() && polled[0].revents().intersects(ended)
}

fn refuse(why: &str) -> Error {
    Error::new(ErrorKind::Damaged, "exchange memory through", "a socket", why)
}
