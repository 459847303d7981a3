//! Maps: owned ranges of address space, and the only way to views of them.
//!
//! Data flows one way: [`MapOptions`] (checked) → [`Map`] (ownership) → [`View`] (how you may look) → your
//! types. `region` owns the address range, `origin` knows what a fault means, `registry` counts who maps what
//! in this process, `reaper` unmaps what is large. Deliberately absent: references to mapped bytes. Those are
//! [`Memory`] (private to us) and [`Frozen`](crate::Frozen) (nobody can change them).

#![allow(unsafe_code, reason = "unmaps, moves and hands out owned ranges; listed in docs/SOUNDNESS.md")]

mod access;
mod build;
mod holder;
#[doc(hidden)]
pub mod mapping;
mod memory;
mod options;
pub(crate) mod origin;
mod ownership;
mod plan;
mod populate;
pub(crate) mod reaper;
pub(crate) mod region;
pub(crate) mod registry;
mod retype;
mod source;

use std::fs::File;
use std::marker::PhantomData;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::sync::Arc;

pub(crate) use access::sealed;
pub use access::{Access, CopyOnWrite, Executable, ReadOnly, ReadWrite, Readable, Writable};
pub use memory::Memory;
pub use options::{
    Commitment, CoreDump, FileLock, ForkPolicy, HugePages, MapOptions, Placement, Populate, Unmap,
};
pub use ownership::RawMap;
pub(crate) use populate::populate;
pub use registry::mapped_here;
pub use source::{IntoSource, Source};

use crate::error::{Error, Result, quoted};
use crate::sys::file;
use crate::sys::fork::{self, Generation};
use crate::sys::unnamed::{Unnamed, directory_of};
use crate::view::View;
use holder::Holder;
use region::Region;

/// An owned range of address space that shows a file, or memory that others may write.
///
/// Dropping it unmaps (64 MiB and more by another thread). Its bytes are reached through a [`View`], whose
/// accesses return a [`Fault`](crate::Fault) where plain mmap(2) would kill the process, and never a
/// reference, because others may change the bytes at any time. `A` says what is allowed.
///
/// ```
/// use mapwright_core::Map;
/// # let path = tempfile::NamedTempFile::new().unwrap();
/// # std::fs::write(&path, b"four words of text").unwrap();
/// let map = Map::open(&path)?;
/// assert_eq!(map.view().find(b"words")?, Some(5));
/// assert_eq!((map.len(), map.is_empty(), map.file_offset()), (18, false, 0));
/// assert_eq!((map.capacity(), map.is_private(), map.file().is_some()), (18, false, true));
/// # Ok::<(), mapwright_core::Error>(())
/// ```
#[derive(Debug)]
pub struct Map<A: Access = ReadOnly> {
    region: Holder,
    lock: Option<HeldLock>,
    access: PhantomData<A>,
}

/// An advisory lock on the map's file, given back on drop by the process that took it.
#[derive(Debug)]
pub(crate) struct HeldLock {
    file: OwnedFd,
    owner: Generation,
}

impl Drop for HeldLock {
    fn drop(&mut self) {
        // A forked child shares the parent's lock: closing its descriptor is all it may do.
        if self.owner == fork::generation() {
            let _gone_with_the_file = rustix::fs::flock(&self.file, rustix::fs::FlockOperation::Unlock);
        }
    }
}

impl Map<ReadOnly> {
    /// Opens a file and maps all of it for reading.
    ///
    /// # Errors
    /// What open(2) refuses; a directory, pipe or socket; a file that does not fit into the address space.
    ///
    /// # Kernel
    /// open(2), with `O_NONBLOCK` so that a pipe is refused and not waited for; then as [`MapOptions::map`].
    ///
    /// ```
    /// use mapwright_core::{ErrorKind, Map};
    /// # let path = tempfile::NamedTempFile::new().unwrap();
    /// # std::fs::write(&path, b"twelve bytes").unwrap();
    /// let map = Map::open(&path)?;
    /// assert_eq!(map.view().to_vec()?, b"twelve bytes");
    /// assert_eq!(Map::open("/proc").unwrap_err().kind(), ErrorKind::InvalidInput);    // a directory
    /// # Ok::<(), mapwright_core::Error>(())
    /// ```
    pub fn open(path: impl AsRef<Path>) -> Result<Self> {
        MapOptions::new().open(path)
    }

    /// Maps all of an open file for reading. Hand over a [`File`] to save a system call; a `&File` is
    /// duplicated.
    ///
    /// # Errors
    /// As [`MapOptions::map`].
    ///
    /// # Kernel
    /// As [`MapOptions::map`].
    ///
    /// ```
    /// use mapwright_core::Map;
    /// use std::io::Write;
    /// let mut file = tempfile::tempfile()?;
    /// file.write_all(b"a file without a name")?;
    /// let map = Map::of(file)?;
    /// assert_eq!(map.view().find(b"name")?, Some(17));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn of(source: impl IntoSource) -> Result<Self> {
        MapOptions::new().map(source)
    }

    /// Opens a file and returns the map of it that this process shares among all who ask here.
    ///
    /// The map lives as long as anybody holds it. A file that has grown since gets a new map.
    ///
    /// # Errors
    /// As [`Map::open`].
    ///
    /// # Kernel
    /// fstat(2): what is shared is found by the file's device and inode, whatever path leads there.
    ///
    /// ```
    /// use mapwright_core::Map;
    /// use std::sync::Arc;
    /// # let path = tempfile::NamedTempFile::new().unwrap();
    /// # std::fs::write(&path, b"read in many places").unwrap();
    /// let here = Map::open_shared(&path)?;
    /// let there = Map::open_shared(&path)?;
    /// assert!(Arc::ptr_eq(&here, &there));
    /// # Ok::<(), mapwright_core::Error>(())
    /// ```
    pub fn open_shared(path: impl AsRef<Path>) -> Result<Arc<Self>> {
        let source = Source::open_to_read(path.as_ref())?;
        let description = source.describe()?;
        let file_len = file::len(source.fd()).map_err(|cause| Error::os("examine", source.name(), cause))?;
        if let Some(map) = registry::shared(description.identity)
            && u64::try_from(map.len()).is_ok_and(|len| len >= file_len)
        {
            return Ok(map);
        }
        Ok(registry::share(description.identity, Arc::new(Self::of(source)?)))
    }
}

impl Map<ReadWrite> {
    /// Opens an existing file and maps all of it for reading and writing.
    ///
    /// # Errors
    /// As [`Map::open`], and where the file cannot be written.
    ///
    /// # Kernel
    /// open(2), then as [`MapOptions::map_mut`].
    ///
    /// ```
    /// use mapwright_core::Map;
    /// # let path = tempfile::NamedTempFile::new().unwrap();
    /// std::fs::write(&path, b"jello")?;
    /// let map = Map::open_mut(&path)?;
    /// map.view().copy_from(0, b"H")?;
    /// assert_eq!(std::fs::read(&path)?, b"Hello");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn open_mut(path: impl AsRef<Path>) -> Result<Self> {
        MapOptions::new().open_mut(path)
    }

    /// Creates a file of `len` bytes that must not exist yet, reserves its space on the disk, and maps it.
    ///
    /// # Errors
    /// Where the file exists or the disk is full. Nothing is left behind then, and a process that is killed
    /// leaves the whole file or none.
    ///
    /// # Kernel
    /// `O_TMPFILE`, fallocate(2), so that a full disk is an error now and no store faults later, and then
    /// linkat(2).
    ///
    /// ```
    /// use mapwright_core::{ErrorKind, Map};
    /// # let folder = tempfile::tempdir().unwrap();
    /// # let path = folder.path().join("new");
    /// let map = Map::create(&path, 1 << 20)?;
    /// map.view().store(0, 7u64)?;
    /// assert_eq!(std::fs::metadata(&path)?.len(), 1 << 20);
    /// assert_eq!(Map::create(&path, 10).unwrap_err().kind(), ErrorKind::AlreadyExists);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn create(path: impl AsRef<Path>, len: usize) -> Result<Self> {
        let path = path.as_ref();
        let fail = |cause| Error::os("create", quoted(path), cause);
        if path.symlink_metadata().is_ok() {
            // Linking would say so, too, after all the work.
            return Err(fail(std::io::Error::from_raw_os_error(libc::EEXIST)));
        }
        let unnamed = Unnamed::in_directory(directory_of(path)).map_err(fail)?;
        let source = Source::with_path(Arc::clone(unnamed.file()), path);
        if len > 0 {
            crate::changes::reserve(&source, 0, u64::try_from(len).unwrap_or(u64::MAX))?;
        }
        let map = MapOptions::new().map_mut(source)?;
        unnamed.link_as(path).map_err(fail)?;
        Ok(map)
    }
}

impl<A: Access> Map<A> {
    /// Returns how many bytes the map shows.
    #[must_use]
    #[inline]
    pub fn len(&self) -> usize {
        self.region.len()
    }

    /// Returns whether the map shows no byte.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Returns how many bytes the map can show without moving: its length, or what was reserved.
    #[must_use]
    pub fn capacity(&self) -> usize {
        self.region.capacity()
    }

    /// Returns a view of all bytes.
    #[must_use]
    #[inline]
    pub fn view(&self) -> View<'_, A> {
        View::of(&self.region)
    }

    /// Returns the file offset of the first byte.
    #[must_use]
    pub fn file_offset(&self) -> u64 {
        self.region.origin().offset
    }

    /// Returns the mapped file, or `None` where the map shows memory.
    #[must_use]
    pub fn file(&self) -> Option<&Arc<File>> {
        self.source().map(Source::file)
    }

    /// Returns the address of the first byte. Reading it through the pointer is `unsafe`; a [`View`] is not.
    ///
    /// ```
    /// use mapwright_core::MapOptions;
    /// let map = MapOptions::new().shared_memory(4096)?;
    /// map.view().store(0, 7u8)?;
    /// // SAFETY: the byte is mapped, and no other thread or process has the memory.
    /// assert_eq!(unsafe { map.as_ptr().read() }, 7);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub fn as_ptr(&self) -> *const u8 {
        self.region.look();
        self.region.start()
    }

    /// Returns whether stores by others to the file are kept out of pages that were written here
    /// (`MAP_PRIVATE`).
    #[must_use]
    pub fn is_private(&self) -> bool {
        self.region.origin().private
    }

    /// Returns the bytes as a slice.
    ///
    /// # Safety
    /// For as long as the slice lives, nobody (this process, another one, a device) writes these bytes or
    /// shortens the file. Where somebody shortens it all the same, touching the slice raises SIGBUS.
    ///
    /// ```
    /// use mapwright_core::Map;
    /// # let path = tempfile::NamedTempFile::new().unwrap();
    /// # std::fs::write(&path, b"to be parsed").unwrap();
    /// let map = Map::open(&path)?;
    /// // SAFETY: the file is this program's own, and nothing in it writes or shortens the file.
    /// let words = unsafe { map.as_slice() }.split(|&byte| byte == b' ').count();
    /// assert_eq!(words, 3);
    /// # Ok::<(), mapwright_core::Error>(())
    /// ```
    #[must_use]
    #[allow(clippy::disallowed_methods, reason = "the documented, unsafe way out")]
    pub unsafe fn as_slice(&self) -> &[u8]
    where
        A: Readable,
    {
        self.region.look();
        // SAFETY: the region owns len bytes from start, and the caller promises that nothing changes them.
        unsafe { std::slice::from_raw_parts(self.region.start(), self.len()) }
    }

    /// Returns the bytes as a mutable slice.
    ///
    /// # Safety
    /// For as long as the slice lives, nobody else (another view, thread, process or device) reads or writes
    /// these bytes, nobody shortens the file, and the disk has room for every page that is written.
    ///
    /// ```
    /// use mapwright_core::Map;
    /// # let folder = tempfile::tempdir().unwrap();
    /// let mut map = Map::create(folder.path().join("letters"), 3)?;
    /// map.view().copy_from(0, b"cab")?;
    /// // SAFETY: the file was made a moment ago, with room on the disk, and nobody else has opened it.
    /// unsafe { map.as_mut_slice() }.sort_unstable();
    /// assert_eq!(map.view().to_vec()?, b"abc");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    #[allow(clippy::disallowed_methods, reason = "the documented, unsafe way out")]
    pub unsafe fn as_mut_slice(&mut self) -> &mut [u8]
    where
        A: Writable,
    {
        self.region.look();
        // SAFETY: the region owns len writable bytes from start, and the caller promises that they are its
        // alone.
        unsafe { std::slice::from_raw_parts_mut(self.region.start(), self.len()) }
    }

    pub(crate) fn source(&self) -> Option<&Source> {
        self.region.origin().source.as_ref()
    }

    pub(crate) fn region(&self) -> &Arc<Region> {
        &self.region
    }

    /// Names the map in a message.
    pub(crate) fn name(&self) -> String {
        self.source().map_or_else(|| "a map of memory".to_owned(), Source::name)
    }

    /// Waits until background helpers have let go, and returns the region alone.
    pub(crate) fn exclusive(&mut self) -> &mut Region {
        self.region.exclusive()
    }

    /// Takes the region out, alone.
    pub(crate) fn into_region(self) -> Region {
        self.region.into_region()
    }

    /// Takes the region out, alone, and the lock that it holds on its file.
    pub(crate) fn into_region_and_lock(self) -> (Region, Option<HeldLock>) {
        (self.region.into_region(), self.lock)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Both through the descriptor: what a private slice holds never gets there.
    #[test]
    fn what_is_written_through_a_mutable_slice_goes_where_the_map_stores() {
        use std::os::unix::fs::FileExt;
        let file = tempfile::tempfile().unwrap();
        file.write_all_at(&[7; 10_000], 0).unwrap();
        let mut shared = MapOptions::new().offset(100).map_mut(&file).unwrap();
        let mut private = MapOptions::new().offset(100).map_copy(&file).unwrap();
        // SAFETY: nobody else uses these bytes, and nobody shortens the file.
        let slice = unsafe { private.as_mut_slice() };
        assert_eq!((slice.len(), slice[0], slice[9_899]), (9_900, 7, 7));
        slice[..5_000].fill(1);
        // SAFETY: as above; the private slice is not used any more.
        let slice = unsafe { shared.as_mut_slice() };
        assert_eq!((slice.len(), slice[0]), (9_900, 7));
        slice[9_000..].fill(2);
        let mut stored = [0; 10_000];
        file.read_exact_at(&mut stored, 0).unwrap();
        assert!(stored[..9_100] == [7; 9_100] && stored[9_100..] == [2; 900]);
        assert_eq!((private.view().load::<u8>(0).unwrap(), shared.view().load::<u8>(0).unwrap()), (1, 7));
        // SAFETY: nobody writes any more, and nobody shortens the file.
        assert_eq!(unsafe { shared.as_slice() }[9_899], 2);
        // SAFETY: as above.
        assert_eq!(unsafe { private.as_slice() }[4_999], 1);
        let mut empty = MapOptions::new().offset(10_000).map_mut(&file).unwrap();
        // SAFETY: an empty map has no bytes that others could use.
        assert!(unsafe { empty.as_mut_slice() }.is_empty());
    }
}
