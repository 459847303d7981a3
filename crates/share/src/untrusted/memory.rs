//! Memory files of which one side may write, and the other may not, sealed so for ever.
//!
//! ```text
//!   0     heading: magic, version, kind, size, layout's hash   (written once, read once)
//!   128   what is shared
//! ```
//!
//! # Kernel
//! `F_SEAL_FUTURE_WRITE` (Linux 5.1): whoever has mapped the file for writing before may go on, nobody else
//! ever can, and no page can be taken out of it. memfd_create(2), and `SCM_RIGHTS` through a Unix socket.

use std::fs::File;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::{FileExt, MetadataExt};
use std::os::unix::net::UnixStream;
use std::sync::Arc;

use mapwright_core::peer::{Area, Deadline};
use mapwright_core::{Error, ErrorKind, MapOptions, MemFile, ReadOnly, Result, Seals};
use rustix::fs::FallocateFlags;
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

use crate::waiting::socket;

const GREETING: socket::Greeting = *b"mapwpeer";
/// `mapwpeer` where numbers begin with their last byte.
const MAGIC: u64 = u64::from_le_bytes(GREETING);
/// Counted up when the bytes of a channel or of a published value change their meaning.
const VERSION: u32 = 1;

/// Bytes that the heading takes.
pub(super) const HEADING: usize = 128;
/// The largest memory that is taken from a peer where nothing else is said.
pub(super) const LIMIT: usize = 64 << 20;

/// What memory is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Purpose {
    /// Messages, in a ring of so many bytes.
    Channel = 1,
    /// A value of so many bytes.
    Published = 2,
}

/// What the first bytes say.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub(super) struct Heading {
    magic: u64,
    version: u32,
    purpose: u32,
    pub(super) size: u64,
    pub(super) layout: u64,
}

impl Heading {
    pub(super) fn new(purpose: Purpose, size: usize, layout: u64) -> Self {
        let size = u64::try_from(size).unwrap_or(u64::MAX);
        Self { magic: MAGIC, version: VERSION, purpose: purpose as u32, size, layout }
    }

    fn check(&self, purpose: Purpose) -> Result<(), String> {
        let name = |number| match number {
            1 => "a channel's".to_owned(),
            2 => "a published value's".to_owned(),
            _ => format!("of kind {number}, which this program does not know"),
        };
        if self.magic != MAGIC {
            return Err("its memory does not begin as a peer's does".to_owned());
        }
        if self.version != VERSION {
            return Err(format!("its format is version {}, and this program knows {VERSION}", self.version));
        }
        if self.purpose != purpose as u32 {
            return Err(format!("its memory is {}, and not {}", name(self.purpose), name(purpose as u32)));
        }
        Ok(())
    }
}

/// Makes memory that this process may write, and nobody else.
pub(super) fn own(label: &str, len: usize, heading: Heading) -> Result<(Area, Arc<File>)> {
    let memory = MemFile::new(label, len)?;
    let file = Arc::clone(memory.file());
    let bytes = u64::try_from(len).unwrap_or(u64::MAX);
    let failed = |cause: std::io::Error| Error::os("reserve the memory of", format!("\"{label}\""), cause);
    rustix::io::retry_on_intr(|| rustix::fs::fallocate(&file, FallocateFlags::empty(), 0, bytes))
        .map_err(|cause| failed(cause.into()))?;
    file.write_all_at(heading.as_bytes(), 0).map_err(failed)?;
    memory.seal(Seals::SHRINK | Seals::GROW)?;
    let area = Area::new(MapOptions::new().map_mut(&memory)?)?;
    memory.seal(Seals::FUTURE_WRITE | Seals::SEAL)?;
    Ok((area, file))
}

/// Maps somebody else's memory for reading, if it is sealed as it has to be, all there, no larger than this
/// side wants to have mapped, and of the purpose.
pub(super) fn theirs(
    descriptor: OwnedFd,
    purpose: Purpose,
    limit: usize,
) -> Result<(Area<ReadOnly>, Heading)> {
    let memory = MemFile::of(descriptor)?;
    let seals = memory.seals()?;
    for (seal, what) in [(Seals::SHRINK, "shrinking"), (Seals::GROW, "growing")] {
        if !seals.contains(seal) {
            return Err(refuse(format!("its memory is not sealed against {what}")));
        }
    }
    if !seals.contains(Seals::FUTURE_WRITE) && !seals.contains(Seals::WRITE) {
        return Err(refuse(
            "its memory is not sealed against writing, so pages could be taken out".to_owned(),
        ));
    }
    let os = |cause| Error::os("attach to", "a peer's memory", cause);
    let status = memory.file().metadata().map_err(os)?;
    if usize::try_from(status.len()).is_ok_and(|len| len <= limit) {
        // From here on no page can go: the seals forbid it.
        demand_whole(&status).map_err(refuse)?;
    } else {
        let why = format!("its memory has {} bytes, and {limit} are the most that are taken", status.len());
        return Err(refuse(why).advice("for a channel, choose another limit by ChannelOptions::peer_limit()"));
    }
    if status.len() < HEADING as u64 {
        return Err(refuse(format!("its memory has {} bytes, and {HEADING} are the least", status.len())));
    }
    let mut bytes = [0; size_of::<Heading>()];
    memory.file().read_exact_at(&mut bytes, 0).map_err(os)?;
    // Read once; from here on it is private.
    let heading: Heading = zerocopy::transmute!(bytes);
    heading.check(purpose).map_err(|why| mismatch(&why))?;
    Ok((Area::read_only(MapOptions::new().map(&memory)?)?, heading))
}

/// Refuses a file with holes: where its pages are missing there may be no memory for them, and whoever
/// touches one gets a signal.
pub(crate) fn demand_whole(status: &std::fs::Metadata) -> Result<(), String> {
    let there = status.blocks().saturating_mul(512);
    if there >= status.len() {
        return Ok(());
    }
    Err(format!("it has {} bytes, of which only {there} are there", status.len()))
}

/// Sends a memory file's descriptor; the receiver's can only read.
pub(super) fn send(through: &UnixStream, file: &File, until: Deadline) -> Result<()> {
    socket::send(through, GREETING, file.as_fd(), until)
}

/// Receives a descriptor of somebody else's memory file.
pub(super) fn receive(from: &UnixStream, until: Deadline) -> Result<OwnedFd> {
    socket::receive(from, GREETING, until)
}

pub(super) fn refuse(why: String) -> Error {
    Error::new(ErrorKind::Damaged, "attach to", "a peer's memory", why)
}

pub(super) fn mismatch(why: &str) -> Error {
    Error::new(ErrorKind::TypeMismatch, "attach to", "a peer's memory", why)
}
