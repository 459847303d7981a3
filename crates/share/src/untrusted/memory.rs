//! Memory files of which one side may write, and the other may not, sealed so for ever.
//!
//! # Kernel
//! `F_SEAL_FUTURE_WRITE` (Linux 5.1): whoever has mapped the file for writing before may go on, nobody else
//! ever can. memfd_create(2), and `SCM_RIGHTS` through a Unix socket.

use std::fs::File;
use std::io::{IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::sync::Arc;

use mapwright_core::peer::Area;
use mapwright_core::{Error, ErrorKind, MapOptions, MemFile, ReadOnly, Result, Seals};
use rustix::fs::FallocateFlags;
use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer, SendAncillaryMessage,
    SendFlags, recvmsg, sendmsg,
};

/// What goes with a descriptor: a stream carries none without a byte.
const GREETING: [u8; 8] = *b"mapwpeer";

/// The largest memory file that is taken from somebody else.
const LARGEST: u64 = 1 << 40;

/// Makes memory that this process may write, and nobody else.
pub(super) fn own(label: &str, len: usize) -> Result<(Area, Arc<File>)> {
    let memory = MemFile::new(label, len)?;
    let file = Arc::clone(memory.file());
    let bytes = u64::try_from(len).unwrap_or(u64::MAX);
    let reserved =
        rustix::io::retry_on_intr(|| rustix::fs::fallocate(&file, FallocateFlags::empty(), 0, bytes));
    reserved.map_err(|cause| {
        Error::os("reserve the memory of", format!("\"{label}\""), std::io::Error::from(cause))
    })?;
    memory.seal(Seals::SHRINK | Seals::GROW)?;
    let area = Area::new(MapOptions::new().map_mut(&memory)?)?;
    memory.seal(Seals::FUTURE_WRITE | Seals::SEAL)?;
    Ok((area, file))
}

/// Maps somebody else's memory for reading, if it is sealed as it has to be.
pub(super) fn theirs(descriptor: OwnedFd) -> Result<Area<ReadOnly>> {
    let memory = MemFile::of(descriptor)?;
    let seals = memory.seals()?;
    for (seal, what) in [(Seals::SHRINK, "shrinking"), (Seals::GROW, "growing")] {
        if !seals.contains(seal) {
            return Err(refuse(format!("its memory is not sealed against {what}")));
        }
    }
    let os = |cause| Error::os("attach to", "a peer's memory", cause);
    let len = memory.file().metadata().map_err(os)?.len();
    if len > LARGEST {
        return Err(refuse(format!("its memory has {len} bytes, and {LARGEST} are the most")));
    }
    Area::read_only(MapOptions::new().map(&memory)?)
}

/// Sends a memory file's descriptor; the receiver's can only read.
pub(super) fn send(socket: &UnixStream, file: &File) -> Result<()> {
    let failed =
        |cause: rustix::io::Errno| Error::os("send memory through", "a socket", std::io::Error::from(cause));
    let descriptors = [file.as_fd()];
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut ancillary = SendAncillaryBuffer::new(&mut space);
    // The buffer was made for one descriptor; without it the other end says that something else came.
    let _fits = ancillary.push(SendAncillaryMessage::ScmRights(&descriptors));
    let sent = rustix::io::retry_on_intr(|| {
        sendmsg(socket, &[IoSlice::new(&GREETING)], &mut ancillary, SendFlags::NOSIGNAL)
    });
    match sent.map_err(failed)? {
        8 => Ok(()),
        _ => Err(refuse("the socket took half of the greeting".to_owned())),
    }
}

/// Receives a descriptor of somebody else's memory file.
pub(super) fn receive(socket: &UnixStream) -> Result<OwnedFd> {
    let mut greeting = [0; 8];
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut ancillary = RecvAncillaryBuffer::new(&mut space);
    let mut into = [IoSliceMut::new(&mut greeting)];
    let got =
        rustix::io::retry_on_intr(|| recvmsg(socket, &mut into, &mut ancillary, RecvFlags::CMSG_CLOEXEC))
            .map_err(|cause| Error::os("receive memory from", "a socket", std::io::Error::from(cause)))?;
    let mut received = None;
    for message in ancillary.drain() {
        if let RecvAncillaryMessage::ScmRights(descriptors) = message {
            received = received.or(descriptors.into_iter().next());
        }
    }
    match received {
        Some(descriptor) if got.bytes == GREETING.len() && greeting == GREETING => Ok(descriptor),
        _ if got.bytes == 0 => Err(refuse("the socket's other end was closed".to_owned())),
        _ => Err(refuse("something else came through the socket".to_owned())),
    }
}

pub(super) fn refuse(why: String) -> Error {
    Error::new(ErrorKind::Damaged, "attach to", "a peer's memory", why)
}
