//! Attaching to a segment: the file is opened without following anything, its first bytes are read into
//! private memory and checked, and only then it is mapped.
//!
//! Who attaches holds the lock of the segment's life cycle meanwhile, and so does who removes. So a segment
//! that nobody holds can be removed without taking it from under somebody who is just arriving.

use std::fs::{File, OpenOptions};
use std::os::unix::fs::{FileExt, FileTypeExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use mapwright_core::peer::{Area, Deadline, Life, Mark, Roster, Word32, points, wait};
use mapwright_core::{Error, ErrorKind, MapOptions, Result};

use super::header::{self, Contents};
use super::name::{Directory, LONGEST, Name, quoted};
use super::{Inner, Segment};

const ACTION: &str = "open the segment";
/// The byte whose lock orders attaching and removing.
const LIFE_CYCLE: Mark = Mark::MAX;
/// For so long somebody may take to attach or to remove.
const PATIENCE: Duration = Duration::from_secs(10);

/// A segment's file, opened and read.
#[derive(Debug)]
pub(super) struct Found {
    pub(super) path: PathBuf,
    pub(super) file: Arc<File>,
    pub(super) contents: Contents,
}

impl Directory {
    /// Attaches to the segment of that name in this folder.
    ///
    /// # Errors
    /// `NotFound` where there is none; `Damaged` where the file is no segment, of another version or byte
    /// order, or was cut; `PermissionDenied` where it is a link, or belongs to another user and is not shared
    /// with a group that this folder trusts ([`trust_group`](Self::trust_group)); `Busy` where all seats are
    /// taken.
    pub fn open(&self, name: &str) -> Result<Segment> {
        let name = Name::new(name, LONGEST)?;
        loop {
            let found = find(self, &name)?;
            demand_current(&found)?;
            let life = Life::open(found.file.as_ref())
                .map_err(|cause| Error::os(ACTION, quoted(&found.path), cause))?;
            let lock = LifeCycle::lock(life, &found.path)?;
            if lock.is_named(&found.file, &found.path) {
                return attach(name.as_str(), Some(found.path), found.file, found.contents, lock.into_life());
            }
            // Removed since it was found: there may be a new one.
        }
    }

    /// Opens the file of that name, and reads what it is.
    pub(super) fn find(&self, name: &str) -> Result<Found> {
        find(self, &Name::new(name, LONGEST)?)
    }
}

impl Segment {
    /// Takes a seat for this process, which was forked from one that has one.
    ///
    /// # Errors
    /// As [`Directory::open`]; `NotFound` where the segment has lost its name since, so that nobody else
    /// could find it.
    pub fn reattach(&self) -> Result<Self> {
        let inner = &self.inner;
        let target = self.quoted();
        let life = Life::open(inner.file.as_ref()).map_err(|cause| Error::os(ACTION, target, cause))?;
        let (path, contents) = (inner.path.clone(), inner.contents.clone());
        let life = match &path {
            None => life,
            Some(path) => {
                let lock = LifeCycle::lock(life, path)?;
                if !lock.is_named(&inner.file, path) {
                    let why = "it was removed, or another one has its name";
                    return Err(Error::new(ErrorKind::NotFound, ACTION, quoted(path), why)
                        .advice("open it anew by its name"));
                }
                lock.into_life()
            }
        };
        attach(&inner.name, path, Arc::clone(&inner.file), contents, life)
    }
}

/// Maps a segment whose header was checked, and takes a seat.
pub(super) fn attach(
    name: &str,
    path: Option<PathBuf>,
    file: Arc<File>,
    contents: Contents,
    life: Life,
) -> Result<Segment> {
    let target = super::quoted(name, path.as_deref());
    let map = MapOptions::new().len(contents.len()).map_mut(Arc::clone(&file))?;
    let area = Area::new(map)?;
    let (at, count) = contents.seats();
    let seats = area.place_many(at, count)?;
    let roster = Roster::join(seats, life, contents.header.namespace)
        .map_err(|cause| Error::os("take a seat in the segment", &*target, cause))?;
    let Some(roster) = roster else {
        let why = format!("all {count} seats are taken by living processes");
        return Err(Error::new(ErrorKind::Busy, ACTION, target, why)
            .advice("make it with more participants() when nobody uses it"));
    };
    // From here on the seat says that the segment is used.
    roster.life().release(LIFE_CYCLE).map_err(|cause| Error::os(ACTION, &*target, cause))?;
    let inner = Inner { name: name.to_owned(), path, file, area, contents, roster: Arc::new(roster) };
    Ok(Segment { inner: Arc::new(inner) })
}

fn find(directory: &Directory, name: &Name) -> Result<Found> {
    let path = directory.file_of(name);
    points::step();
    let file = open_without_following(&path)?;
    let user = rustix::process::geteuid().as_raw();
    let status = file.metadata().map_err(|cause| Error::os(ACTION, quoted(&path), cause))?;
    // Nobody but its owner (and the superuser) can have put it there under another one's name.
    let is_foreign = status.uid() != user && status.uid() != 0;
    if is_foreign && !(is_shared_with_group(status.mode()) && directory.trusts(status.gid())) {
        let why = format!("it belongs to user {}, and this is user {user}", status.uid());
        let advice = if is_shared_with_group(status.mode()) {
            let group = status.gid();
            format!("if its group is trusted, say so by Directory::trust_group({group})")
        } else {
            "its owner can share it with a group".to_owned()
        };
        return Err(Error::new(ErrorKind::PermissionDenied, ACTION, quoted(&path), why).advice(advice));
    }
    let contents = read(&file, status.len()).map_err(|why| damaged(&path, &why))?;
    Ok(Found { path, file: Arc::new(file), contents })
}

const fn is_shared_with_group(mode: u32) -> bool {
    mode & 0o060 == 0o060 && mode & 0o002 == 0
}

fn open_without_following(path: &Path) -> Result<File> {
    // Not blocking: a pipe in the way would wait for its other end.
    let flags = libc_flags();
    // Looked at first: opening a pipe or a device for writing does something to it.
    refuse_what_is_in_the_way(path)?;
    let opened = OpenOptions::new().read(true).write(true).custom_flags(flags).open(path);
    let file = opened.map_err(|cause| {
        let error = Error::os(ACTION, quoted(path), cause);
        if error.kind() == ErrorKind::NotFound {
            return error.advice("its maker has to come first, or use open_or_create()");
        }
        error
    })?;
    match file.metadata() {
        Ok(status) if status.is_file() => Ok(file),
        Ok(_) => Err(damaged(path, "it is no regular file")),
        Err(cause) => Err(Error::os(ACTION, quoted(path), cause)),
    }
}

/// Names a link, a folder, a pipe or a device that has the segment's name.
pub(super) fn refuse_what_is_in_the_way(path: &Path) -> Result<()> {
    let Ok(kind) = std::fs::symlink_metadata(path).map(|status| status.file_type()) else { return Ok(()) };
    if kind.is_symlink() {
        let why = "it is a link, and links are not followed";
        let error = Error::new(ErrorKind::PermissionDenied, ACTION, quoted(path), why);
        return Err(error.advice("remove what is in the way, or choose another name"));
    }
    let is_special = kind.is_dir() || kind.is_fifo() || kind.is_socket();
    if is_special || kind.is_char_device() || kind.is_block_device() {
        return Err(damaged(path, "it is no regular file"));
    }
    Ok(())
}

fn libc_flags() -> i32 {
    let flags = rustix::fs::OFlags::NOFOLLOW | rustix::fs::OFlags::NONBLOCK | rustix::fs::OFlags::NOCTTY;
    i32::try_from(flags.bits()).unwrap_or(0)
}

/// Reads and checks header and catalogue.
pub(super) fn read(file: &File, file_len: u64) -> Result<Contents, String> {
    let mut first = [0; 4096];
    let got = read_up_to(file, &mut first)?;
    let header = header::parse_header(&first[..got], file_len)?;
    let mut whole = vec![0; usize::try_from(header.seats_at).unwrap_or(0)];
    let got = read_up_to(file, &mut whole)?;
    header::parse(&whole[..got], file_len)
}

fn read_up_to(file: &File, buffer: &mut [u8]) -> Result<usize, String> {
    let mut done = 0;
    while done < buffer.len() {
        match file.read_at(&mut buffer[done..], u64::try_from(done).unwrap_or(0)) {
            Ok(0) => break,
            Ok(more) => done += more,
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
            Err(error) => return Err(format!("it cannot be read: {error}")),
        }
    }
    Ok(done)
}

pub(super) fn damaged(path: &Path, why: &str) -> Error {
    Error::new(ErrorKind::Damaged, ACTION, quoted(path), why)
}

/// Refuses a segment that is older than the machine's last start: thread ids and locks in it mean nothing.
fn demand_current(found: &Found) -> Result<()> {
    if is_outdated(&found.contents) {
        return Err(damaged(&found.path, "it is from before this machine was started, and so are its locks")
            .advice("remove it, or use open_or_create(), which replaces it"));
    }
    Ok(())
}

pub(super) fn is_outdated(contents: &Contents) -> bool {
    contents.header.boot != boot_id()
}

/// The first half of the kernel's boot id; 0 where /proc does not tell.
pub(super) fn boot_id() -> u64 {
    let text = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
    let digits: String = text.chars().filter(char::is_ascii_hexdigit).take(16).collect();
    u64::from_str_radix(&digits, 16).unwrap_or(0)
}

/// The lock that orders attaching and removing, held.
pub(super) struct LifeCycle {
    life: Life,
}

impl LifeCycle {
    pub(super) fn lock(life: Life, path: &Path) -> Result<Self> {
        let deadline = Deadline::after(PATIENCE);
        let never_rung = Word32::new(0);
        let mut pause = Duration::from_micros(20);
        while !life.claim(LIFE_CYCLE).map_err(|cause| Error::os(ACTION, quoted(path), cause))? {
            if deadline.has_passed() {
                let why = "somebody has been attaching to it or removing it for 10 s";
                return Err(Error::new(ErrorKind::Busy, ACTION, quoted(path), why)
                    .advice("look for a process that was stopped"));
            }
            let _waited = wait(&never_rung, 0, Deadline::after(pause));
            pause = (pause * 2).min(Duration::from_millis(5));
        }
        Ok(Self { life })
    }

    /// Tells whether the file is still the one that has the name.
    pub(super) fn is_named(&self, file: &File, path: &Path) -> bool {
        let (Ok(here), Ok(there)) = (file.metadata(), std::fs::symlink_metadata(path)) else {
            return false;
        };
        (here.dev(), here.ino()) == (there.dev(), there.ino())
    }

    pub(super) fn life(&self) -> &Life {
        &self.life
    }

    /// Keeps the lock; whoever gets it lets go of it.
    fn into_life(self) -> Life {
        self.life
    }
}
