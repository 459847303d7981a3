//! From a path to an array: everything that the file claims is checked before anything is believed.

use std::fs::{File, OpenOptions};
use std::os::unix::fs::{FileExt, MetadataExt, OpenOptionsExt};
use std::path::Path;
use std::sync::Arc;

use zerocopy::{FromZeros, IntoBytes};

use super::MapVec;
use super::body::{Body, Found, Mapper};
use super::header::{self, Header};
use super::lock::Lock;
use super::options::{Damage, Form, Locking, MapVecOptions};
use super::places::Places;
use crate::error::{Error, ErrorKind, Result, quoted};
use crate::map::{Access, FileLock, ReadOnly, ReadWrite, Source};
use crate::plain::Plain;
use crate::span::to_u64;
use crate::sys::file::{self, Kind};
use crate::sys::unnamed::{Unnamed, directory_of, sweep};

/// How often a path is looked at again while others create, replace or shorten what is there.
const ATTEMPTS: usize = 16;

/// What an array may do with its file.
pub(super) trait Opens: Access {
    const WRITES: bool;
    const MAPPER: Mapper<Self>;
}

impl Opens for ReadOnly {
    const WRITES: bool = false;
    const MAPPER: Mapper<Self> = |options, source| options.map(source);
}

impl Opens for ReadWrite {
    const WRITES: bool = true;
    const MAPPER: Mapper<Self> = |options, source| options.map_mut(source);
}

pub(super) fn create<T: Plain>(options: &MapVecOptions, path: &Path) -> Result<MapVec<T>> {
    let fail = |cause| Error::os("create", quoted(path), cause);
    let directory = directory_of(path);
    let unnamed = Unnamed::in_directory(directory).map_err(fail)?;
    if options.form == Form::WithHeader {
        let header = Header::new(&T::STRUCTURE, 0);
        file::write_all_at(unnamed.file(), header.as_bytes(), 0).map_err(fail)?;
    }
    // Locked and mapped before it has a name: nobody can be faster, and what fails here leaves nothing
    // behind.
    let source = Source::with_path(Arc::clone(unnamed.file()), path);
    let found = Found {
        places: Places::new(options.form, size_of::<T>()),
        published: 0,
        flushed: 0,
        lock: lock::<ReadWrite>(options, &source)?,
        // A directory that may not be read cannot be synced: then nobody can make its names durable.
        unsynced_name: File::open(directory).ok(),
    };
    let body = Body::new(source, ReadWrite::MAPPER, options, found)?;
    unnamed.link_as(path).map_err(fail)?;
    Ok(MapVec::new(body))
}

pub(super) fn open_or_create<T: Plain>(options: &MapVecOptions, path: &Path) -> Result<MapVec<T>> {
    for _ in 0..ATTEMPTS {
        match open::<T, ReadWrite>(options, path) {
            Err(error) if error.kind() == ErrorKind::NotFound => {}
            result => return result,
        }
        match create(options, path) {
            Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
            result => return result,
        }
    }
    let why =
        "it is neither there nor free: a symbolic link that leads nowhere, or others create and remove it";
    Err(Error::new(ErrorKind::Busy, "open or create", quoted(path), why))
}

pub(super) fn open<T: Plain, A: Opens>(options: &MapVecOptions, path: &Path) -> Result<MapVec<T, A>> {
    let (source, lock) = open_locked::<A>(options, path)?;
    if A::WRITES && lock.is_some() {
        sweep(file::remembered_path(source.fd()).as_deref().unwrap_or(path));
    }
    let places = Places::new(options.form, size_of::<T>());
    let (published, flushed) = examine::<T>(options, &source)?;
    // Whoever created it may have been killed before the name was durable.
    let named = file::remembered_path(source.fd());
    let directory = directory_of(named.as_deref().unwrap_or(path));
    let directory = if A::WRITES { File::open(directory).ok() } else { None };
    let found = Found { places, published, flushed, lock, unsynced_name: directory };
    let mut body = Body::new(source, A::MAPPER, options, found)?;
    if A::WRITES && options.damage == Damage::OpenPrefix {
        // Says in the file what was found: the count, and no fragment behind it.
        body.truncate(published)?;
    }
    Ok(MapVec::new(body))
}

/// Opens the file that the path names *after* the lock was taken: while we waited for nothing, a sort may
/// have put another one in its place.
fn open_locked<A: Opens>(options: &MapVecOptions, path: &Path) -> Result<(Source, Option<Lock>)> {
    for _ in 0..ATTEMPTS {
        // Without O_NONBLOCK a named pipe would keep us until somebody writes to it; for files it means
        // nothing.
        let mut how = OpenOptions::new();
        how.read(true).write(A::WRITES).custom_flags(libc::O_NONBLOCK);
        let source = Source::open(path, &how)?;
        if !matches!(source.describe()?.kind, Kind::Regular { .. }) {
            let why = "it is a device; an array lives in a regular file";
            return Err(Error::new(ErrorKind::InvalidInput, "open", source.name(), why));
        }
        let lock = lock::<A>(options, &source)?;
        if lock.is_none() || names(path, source.file()) {
            return Ok((source, lock));
        }
    }
    let why = "others replace it all the time";
    Err(Error::new(ErrorKind::Busy, "open", quoted(path), why))
}

/// Takes the lock that the options ask for.
pub(super) fn lock<A: Opens>(options: &MapVecOptions, source: &Source) -> Result<Option<Lock>> {
    match options.lock {
        Locking::Never => Ok(None),
        Locking::Always(lock) => Lock::take(source, lock).map(Some),
        Locking::Default if !A::WRITES => Ok(None),
        Locking::Default => match Lock::take(source, FileLock::Exclusive) {
            // Some network file systems have no locks; nobody asked for one.
            Err(error) if error.kind() != ErrorKind::Busy => Ok(None),
            result => result.map(Some),
        },
    }
}

/// Whether a path names this open file.
pub(super) fn names(path: &Path, file: &File) -> bool {
    match (std::fs::metadata(path), file.metadata()) {
        (Ok(named), Ok(open)) => (named.dev(), named.ino()) == (open.dev(), open.ino()),
        _ => false,
    }
}

/// Checks the file and returns how many elements it holds, and how many it says were flushed.
pub(super) fn examine<T: Plain>(options: &MapVecOptions, source: &Source) -> Result<(usize, usize)> {
    match options.form {
        Form::Headerless => examine_headerless::<T>(options, source),
        Form::WithHeader => examine_with_header::<T>(options, source),
    }
}

fn examine_headerless<T: Plain>(options: &MapVecOptions, source: &Source) -> Result<(usize, usize)> {
    let size = size_of::<T>();
    let len = file_len(source)?;
    let (count, rest) = Places::new(Form::Headerless, size).count_in(len);
    if rest != 0 && options.damage == Damage::Refuse {
        let why = format!(
            "its {len} bytes are no multiple of the {size} that an element takes: {count} elements and \
             {rest} bytes; MapVecOptions::recover opens the elements"
        );
        return Err(Error::new(ErrorKind::Damaged, "open", source.name(), why));
    }
    Ok((count, 0))
}

fn examine_with_header<T: Plain>(options: &MapVecOptions, source: &Source) -> Result<(usize, usize)> {
    let places = Places::new(Form::WithHeader, size_of::<T>());
    let (mut before, mut attempt) = (None, 0);
    loop {
        attempt += 1;
        let header = read_header(source)?;
        header.check(&T::STRUCTURE, &source.name())?;
        let (held, _) = places.count_in(file_len(source)?);
        let count = header.count();
        match (count, options.damage) {
            (Some(count), _) if count <= held => return Ok((count, header.flushed())),
            // A writer lowers the count before it cuts the file: look again before it is called damage.
            // The word may also have been read while it was written. One who never stops is not waited for.
            _ if (count != before || attempt == 1) && attempt < ATTEMPTS => before = count,
            (_, Damage::OpenPrefix) => return Ok((held, header.flushed())),
            (Some(count), Damage::Refuse) => {
                let why = format!(
                    "it says that it has {count} elements, but it ends after {held}; MapVecOptions::recover \
                     opens those"
                );
                return Err(Error::new(ErrorKind::Damaged, "open", source.name(), why));
            }
            (None, Damage::Refuse) => {
                let why = format!(
                    "its count is damaged; the file has room for {held} elements, and \
                     MapVecOptions::recover opens them"
                );
                return Err(Error::new(ErrorKind::Damaged, "open", source.name(), why));
            }
        }
    }
}

fn read_header(source: &Source) -> Result<Header> {
    let fail = |cause| Error::os("read the header of", source.name(), cause);
    let len = file_len(source)?;
    if len < to_u64(header::LEN) {
        let why = format!("it has {len} bytes, and the header of an array alone has {}", header::LEN);
        let error = Error::new(ErrorKind::Damaged, "open", source.name(), why);
        return Err(if len == 0 { error.advice("remove it and create the array anew") } else { error });
    }
    let mut header = Header::new_zeroed();
    source.file().read_exact_at(header.as_mut_bytes(), 0).map_err(fail)?;
    Ok(header)
}

fn file_len(source: &Source) -> Result<u64> {
    file::len(source.fd()).map_err(|cause| Error::os("examine", source.name(), cause))
}

/// Maps a file that this process has just written whole, in the place of another one.
pub(super) fn adopt<T: Plain>(
    options: &MapVecOptions,
    source: Source,
    lock: Option<Lock>,
    count: usize,
) -> Result<Body<ReadWrite>> {
    let places = Places::new(options.form, size_of::<T>());
    let found = Found { places, published: count, flushed: count, lock, unsynced_name: None };
    Body::new(source, ReadWrite::MAPPER, options, found)
}
