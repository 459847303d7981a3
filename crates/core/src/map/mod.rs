//! Maps: owned ranges of address space, and the only way to views of them.
//!
//! Data flows one way: [`MapOptions`] (checked) → [`Map`] (ownership) → [`View`] (how you may look) → your
//! types. `region` owns the address range, `origin` knows what a fault means, `registry` counts who maps what
//! in this process, `reaper` unmaps what is large. Deliberately absent: references to mapped bytes. Those are
//! [`Memory`] (private to us) and [`Frozen`](crate::Frozen) (nobody can change them).

#![allow(unsafe_code, reason = "unmaps, moves and hands out owned ranges; listed in docs/SOUNDNESS.md")]

mod access;
mod build;
#[doc(hidden)]
pub mod mapping;
mod memory;
mod options;
pub(crate) mod origin;
pub(crate) mod reaper;
pub(crate) mod region;
pub(crate) mod registry;
mod source;

use std::fs::File;
use std::marker::PhantomData;
use std::path::Path;
use std::sync::Arc;

pub(crate) use access::sealed;
pub use access::{Access, CopyOnWrite, Executable, ReadOnly, ReadWrite, Readable, Writable};
pub use memory::Memory;
pub use options::{
    Commitment, CoreDump, FileLock, ForkPolicy, HugePages, MapOptions, Placement, Populate, Unmap,
};
pub use registry::mapped_here;
pub use source::{IntoSource, Source};

use crate::error::{Error, ErrorKind, Result};
use crate::fault::raw;
use crate::sys::{file, memory as kernel, page};
use crate::view::View;
use origin::Origin;
use region::{Parts, Region, Release};

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
/// # Ok::<(), mapwright_core::Error>(())
/// ```
#[derive(Debug)]
pub struct Map<A: Access = ReadOnly> {
    region: Arc<Region>,
    lock: Option<HeldLock>,
    access: PhantomData<A>,
}

/// An advisory lock on the map's file, given back on drop.
#[derive(Debug)]
pub(crate) struct HeldLock {
    file: Arc<File>,
}

impl Drop for HeldLock {
    fn drop(&mut self) {
        // Closing the last descriptor would unlock too, but the caller may hold another.
        let _gone_with_the_file = rustix::fs::flock(&self.file, rustix::fs::FlockOperation::Unlock);
    }
}

impl Map<ReadOnly> {
    /// Opens a file and maps all of it for reading.
    ///
    /// # Errors
    /// What open(2) refuses; a directory, pipe or socket; a file that does not fit into the address space.
    pub fn open(path: impl AsRef<Path>) -> Result<Self> {
        MapOptions::new().open(path)
    }

    /// Maps all of an open file for reading. Hand over a [`File`] to save a system call; a `&File` is
    /// duplicated.
    ///
    /// # Errors
    /// As [`MapOptions::map`].
    pub fn of(source: impl IntoSource) -> Result<Self> {
        MapOptions::new().map(source)
    }

    /// Opens a file and returns the map of it that this process shares among all who ask here.
    ///
    /// The map lives as long as anybody holds it. A file that has grown since gets a new map.
    ///
    /// # Errors
    /// As [`Map::open`].
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
    pub fn open_mut(path: impl AsRef<Path>) -> Result<Self> {
        MapOptions::new().open_mut(path)
    }

    /// Creates a file of `len` bytes that must not exist yet, reserves its space on the disk, and maps it.
    ///
    /// # Errors
    /// Where the file exists or the disk is full. Nothing is left behind then.
    ///
    /// # Kernel
    /// fallocate(2), so that a full disk is an error now and no store faults later.
    pub fn create(path: impl AsRef<Path>, len: usize) -> Result<Self> {
        let path = path.as_ref();
        let source = Source::open(path, std::fs::OpenOptions::new().read(true).write(true).create_new(true))?;
        let reserve = || {
            let bytes = u64::try_from(len).unwrap_or(u64::MAX);
            if len > 0 {
                crate::changes::reserve(&source, 0, bytes)?;
            }
            MapOptions::new().map_mut(source.clone())
        };
        reserve().inspect_err(|_| {
            // The file is ours, new, and of no use: the error that matters is the one being returned.
            let _kept = std::fs::remove_file(path);
        })
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

    /// Unmaps now, on this thread, and reports what the kernel says.
    ///
    /// # Errors
    /// Where munmap(2) fails; the range is leaked then.
    pub fn close(mut self) -> Result<()> {
        let region = self.exclusive();
        let (base, owned, is_here) = (region.base(), region.owned(), region.is_here());
        region.set_release(Release::Never);
        if owned == 0 || !is_here {
            return Ok(());
        }
        // SAFETY: the region is exclusive and will not unmap again; the map and every view of it end here.
        unsafe { kernel::unmap(base, owned) }.map_err(|cause| Error::os("unmap", "a map", cause))
    }

    /// Unmaps and returns the file, or `None` where the map shows memory.
    #[must_use = "the file is closed when it is dropped"]
    pub fn into_file(self) -> Option<Arc<File>> {
        self.source().cloned().map(Source::into_file)
    }

    /// Splits in two at a page boundary; each part unmaps itself.
    ///
    /// # Errors
    /// Where `at` lies beyond the end or, counted from the first page, is not a multiple of the page size.
    pub fn split(mut self, at: usize) -> Result<(Self, Self)> {
        let lock = self.lock.take();
        let region = self.exclusive();
        let (before, owned, len, unit) = (region.before(), region.owned(), region.len(), region.unit());
        let cut = before.checked_add(at).filter(|&cut| at <= len && cut <= owned && cut % unit == 0);
        let Some(cut) = cut else {
            let why = format!("{at} is not a page boundary inside of {len} bytes (pages of {unit} bytes)");
            return Err(Error::new(ErrorKind::InvalidInput, "split", "a map", why));
        };
        let origin = |offset| Origin {
            source: region.origin().source.clone(),
            kind: region.origin().kind,
            offset: region.origin().file_offset(offset),
            private: region.origin().private,
        };
        let capacity = region.capacity();
        let release = region.release();
        let first = Parts {
            base: region.base(),
            owned: cut,
            before,
            len: at,
            capacity: at,
            origin: origin(0),
            ticket: region.ticket().cloned(),
            release,
            unit,
            only_in: region.only_in(),
        };
        // SAFETY: cut lies inside the owned range.
        let base = unsafe { region.base().add(cut) };
        let second = Parts {
            base,
            owned: owned - cut,
            before: 0,
            len: len - at,
            capacity: capacity - at,
            origin: origin(at),
            ticket: region.ticket().cloned(),
            release,
            unit,
            only_in: region.only_in(),
        };
        region.set_release(Release::Never);
        // SAFETY: the old region will not unmap; the two new ones own its two disjoint parts.
        let first = unsafe { Region::adopt(first) };
        // SAFETY: as above.
        let second = unsafe { Region::adopt(second) };
        first.note_end();
        Ok((Self::new(first, lock), Self::new(second, None)))
    }

    /// Gives the range up: nobody unmaps it until [`from_raw`](Self::from_raw).
    #[must_use = "the range stays mapped until from_raw or munmap"]
    pub fn into_raw(mut self) -> RawMap {
        let lock = self.lock.take();
        // The lock is to be kept, too: its file is closed by the caller.
        std::mem::forget(lock);
        let region = self.exclusive();
        region.set_release(Release::Never);
        RawMap {
            base: region.base().as_ptr(),
            owned: region.owned(),
            before: region.before(),
            len: region.len(),
            source: region.origin().source.clone(),
            offset: region.origin().offset,
            private: region.origin().private,
        }
    }

    /// Takes a range over.
    ///
    /// # Errors
    /// Where the source cannot be described any more.
    ///
    /// # Safety
    /// `base..+owned` is mapped with at least the access that `A` stands for, whole pages, and nobody else
    /// will unmap, move or reprotect it, or hold a reference into it; `before + len <= owned`.
    pub unsafe fn from_raw(raw: RawMap) -> Result<Self> {
        crate::fault::handler::install();
        let description = raw.source.as_ref().map(Source::describe).transpose()?;
        let origin = Origin {
            source: raw.source,
            kind: description.map(|description| description.kind),
            offset: raw.offset,
            private: raw.private,
        };
        let end = origin.file_offset(raw.len);
        let base = std::ptr::NonNull::new(raw.base).ok_or_else(|| {
            Error::new(ErrorKind::InvalidInput, "adopt", "a raw map", "its address is null")
        })?;
        let parts = Parts {
            base,
            owned: raw.owned,
            before: raw.before,
            len: raw.len,
            capacity: raw.len,
            origin,
            ticket: description.map(|description| registry::enter(description.identity, end)),
            release: Release::Background,
            unit: page::size(),
            only_in: None,
        };
        // SAFETY: by this function's contract.
        Ok(Self::new(unsafe { Region::adopt(parts) }, None))
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
        self.region.stop_helpers();
        while Arc::strong_count(&self.region) > 1 {
            // A helper looks at the flag after each piece of work, a few milliseconds at most.
            std::thread::yield_now();
        }
        self.region.allow_helpers();
        Arc::get_mut(&mut self.region).expect("no helper holds the region, and views borrow the map")
    }

    /// Takes the region out, alone.
    pub(crate) fn into_region(self) -> Region {
        self.into_region_and_lock().0
    }

    /// Takes the region out, alone, and the lock that it holds on its file.
    pub(crate) fn into_region_and_lock(mut self) -> (Region, Option<HeldLock>) {
        self.exclusive();
        let Self { region, lock, .. } = self;
        (Arc::into_inner(region).expect("no helper holds the region"), lock)
    }

    /// Brings pages in as the options ask.
    fn begin_populating(&self, when: Populate) -> Result<()> {
        match when {
            Populate::Lazily => Ok(()),
            Populate::Now => self.populate_span(0, self.len()),
            Populate::InBackground => {
                let region = Arc::clone(&self.region);
                let work = move || populate_in_pieces::<A>(&region);
                // A process that cannot start a thread gets its pages when it touches them.
                let _lazily = std::thread::Builder::new().name("mapwright-warm".into()).spawn(work);
                Ok(())
            }
        }
    }

    fn populate_span(&self, offset: usize, len: usize) -> Result<()> {
        populate::<A>(&self.region, offset, len).map_err(|cause| {
            let error = Error::os("populate", self.name(), cause);
            match error.raw_os_error() {
                Some(libc::EFAULT) => error.advice("the file is shorter than the map, or the disk is full"),
                _ => error,
            }
        })
    }
}

/// A map taken apart: what [`Map::into_raw`] gives up and [`Map::from_raw`] takes over.
#[derive(Debug)]
pub struct RawMap {
    /// The first address of the owned range, page-aligned.
    pub base: *mut u8,
    /// The owned range's length in bytes, whole pages.
    pub owned: usize,
    /// From `base` to the first byte that the map shows.
    pub before: usize,
    /// How many bytes the map shows.
    pub len: usize,
    /// The mapped file, if there is one.
    pub source: Option<Source>,
    /// The file offset of the first byte that the map shows.
    pub offset: u64,
    /// Whether the mapping is private.
    pub private: bool,
}

/// How much is populated at once: small enough to stop soon, large enough to keep a disk busy.
const POPULATE_PIECE: usize = 4 << 20;

fn populate_in_pieces<A: Access>(region: &Region) {
    let mut offset = 0;
    while offset < region.len() && !region.helpers_must_stop() {
        let piece = POPULATE_PIECE.min(region.len() - offset);
        if populate::<A>(region, offset, piece).is_err() {
            return;
        }
        offset += piece;
    }
}

/// Brings the pages of visible bytes in, for writing where the map's stores are shared or memory.
///
/// # Kernel
/// `MADV_POPULATE_READ`/`_WRITE` (Linux 5.14); before that, one guarded read a page.
pub(crate) fn populate<A: Access>(region: &Region, offset: usize, len: usize) -> std::io::Result<()> {
    if len == 0 {
        return Ok(());
    }
    region.look();
    let from = page::round_down(region.before() + offset);
    let to = page::round_up(region.before() + offset + len).unwrap_or(region.owned()).min(region.owned());
    let writes = <A as sealed::Sealed>::PROTECTION & libc::PROT_WRITE != 0 && !region.origin().private;
    let anonymous = region.origin().source.is_none();
    let advice = if writes || anonymous { libc::MADV_POPULATE_WRITE } else { libc::MADV_POPULATE_READ };
    // SAFETY: from lies inside the owned range.
    let base = unsafe { region.base().add(from) };
    // SAFETY: the range is the region's; populating discards nothing.
    match unsafe { kernel::advise(base, to - from, advice) } {
        Err(error) if error.raw_os_error() == Some(libc::EINVAL) => {
            touch(region, offset, len);
            Ok(())
        }
        result => result,
    }
}

/// Reads one byte of each page; what cannot be read is left to the access that will need it.
fn touch(region: &Region, offset: usize, len: usize) {
    for at in (offset..offset + len).step_by(page::size()) {
        // SAFETY: the byte is visible, so it lies in the owned range.
        let source = unsafe { region.start().add(at) };
        // SAFETY: a guarded load from the owned range.
        let _left_to_the_access = unsafe { <u8 as raw::Word>::load(source) };
    }
}
