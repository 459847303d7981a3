//! How to map: one options type for files and memory, every combination checked before the kernel is asked.

use std::path::Path;

use super::access::{CopyOnWrite, Executable, ReadOnly, ReadWrite};
use super::memory::Memory;
use super::source::{IntoSource, Source};
use super::{Map, build};
use crate::error::Result;

/// When pages are brought into memory.
///
/// # Kernel
/// Memory: `MADV_POPULATE_WRITE` (Linux 5.14; see madvise(2)), before that its pages come when they are
/// touched. Files: one guarded access a page, which can say what is wrong with a page that cannot be had.
///
/// ```
/// use mapwright_core::{MapOptions, Populate};
/// # let path = tempfile::NamedTempFile::new().unwrap();
/// # std::fs::write(&path, vec![1u8; 100_000]).unwrap();
/// let map = MapOptions::new().populate(Populate::Now).open(&path)?;
/// assert!(map.residency(..)?.pages().all(|page| page.is_cached()));
/// # Ok::<(), mapwright_core::Error>(())
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Populate {
    /// When they are touched.
    #[default]
    Lazily,
    /// Before the map is handed out; what cannot be had is an error now instead of a fault later.
    Now,
    /// By a thread of its own, while the map is used already. Errors are left to the accesses.
    InBackground,
}

/// Which page sizes are wanted.
///
/// A wish: [`Map::huge_pages`] and [`Memory::huge_pages`](crate::Memory::huge_pages) tell what came of it.
///
/// ```
/// use mapwright_core::{HugePages, MapOptions};
/// let wish = HugePages::ReservedOrTransparent(2 << 20);
/// let mut memory = MapOptions::new().huge_pages(wish).memory(8 << 20)?;
/// memory.fill(7);
/// let report = memory.huge_pages()?;
/// println!("{report}");
/// assert!(report.mapped_bytes >= 8 << 20);
/// # Ok::<(), mapwright_core::Error>(())
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum HugePages {
    /// Whatever the system does by default.
    #[default]
    SystemDefault,
    /// Transparent huge pages where the kernel can make them (`MADV_HUGEPAGE`); small pages otherwise.
    Transparent,
    /// Small pages only (`MADV_NOHUGEPAGE`).
    Never,
    /// Pages of exactly this size in bytes from the reserved pool (`MAP_HUGETLB`), or an error where the pool
    /// is empty.
    Reserved(usize),
    /// Pages of this size from the reserved pool, or else transparent ones.
    ReservedOrTransparent(usize),
}

/// Where in the address space a map goes.
///
/// ```
/// use mapwright_core::{ErrorKind, MapOptions, Placement};
/// let memory = MapOptions::new().memory(1 << 20)?;
/// let taken = memory.as_ptr().addr();
/// let error = MapOptions::new().placement(Placement::Exactly(taken)).memory(4096).unwrap_err();
/// assert_eq!(error.kind(), ErrorKind::AlreadyExists);
/// let beside = MapOptions::new().placement(Placement::Near(taken)).memory(4096)?;
/// assert_ne!(beside.as_ptr().addr(), taken);
/// # Ok::<(), mapwright_core::Error>(())
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Placement {
    /// Where the kernel likes.
    #[default]
    Anywhere,
    /// Near this address, if that is free.
    Near(usize),
    /// At this address, or an error where something is mapped there (`MAP_FIXED_NOREPLACE`, Linux 4.17).
    /// Page-aligned.
    Exactly(usize),
}

/// What a forked child gets.
///
/// ```
/// use mapwright_core::{ErrorKind, ForkPolicy, MapOptions};
/// let mut key = MapOptions::new().fork(ForkPolicy::Wipe).memory(32)?;     // a child finds zeros
/// key.fill(7);
/// let shared = MapOptions::new().fork(ForkPolicy::Wipe).shared_memory(32);
/// assert_eq!(shared.unwrap_err().kind(), ErrorKind::InvalidInput);        // what is shared cannot be wiped
/// # Ok::<(), mapwright_core::Error>(())
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ForkPolicy {
    /// The same pages (private ones copied on write).
    #[default]
    Inherit,
    /// Nothing (`MADV_DONTFORK`): accesses through a view in the child are `Fault::Gone`, and the child never
    /// unmaps it.
    DontFork,
    /// Zeros (`MADV_WIPEONFORK`, Linux 4.14); private anonymous memory only.
    Wipe,
}

/// Whether a core dump contains the pages.
///
/// ```
/// use mapwright_core::{CoreDump, MapOptions};
/// let mut key = MapOptions::new().core_dump(CoreDump::Exclude).memory(32)?;
/// key.fill(7);
/// assert_eq!(key.len(), 32);
/// # Ok::<(), mapwright_core::Error>(())
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum CoreDump {
    /// As the system decides.
    #[default]
    Include,
    /// No (`MADV_DONTDUMP`).
    Exclude,
}

/// Whether the kernel sets memory or swap aside for private pages.
///
/// ```
/// use mapwright_core::{Commitment, MapOptions};
/// // 64 GiB of addresses for a sparse table; memory for the pages that are touched.
/// let mut table = MapOptions::new().commitment(Commitment::NotCharged).memory(64 << 30)?;
/// table[40 << 30] = 1;
/// assert_eq!(table[50 << 30], 0);
/// # Ok::<(), mapwright_core::Error>(())
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Commitment {
    /// As `vm.overcommit_memory` says.
    #[default]
    Charged,
    /// No (`MAP_NORESERVE`): address space for more than there is memory.
    NotCharged,
}

/// An advisory lock on the file, held for as long as the map lives (flock(2)).
///
/// Advisory: it binds those who ask for it, and nobody else. Where it is taken, mapping fails with
/// [`Busy`](crate::ErrorKind::Busy) and does not wait.
///
/// ```
/// use mapwright_core::{ErrorKind, FileLock, MapOptions};
/// # let path = tempfile::NamedTempFile::new().unwrap();
/// # std::fs::write(&path, b"one writer at a time").unwrap();
/// let writer = MapOptions::new().lock_file(FileLock::Exclusive).open_mut(&path)?;
/// let reader = MapOptions::new().lock_file(FileLock::Shared);
/// assert_eq!(reader.open(&path).unwrap_err().kind(), ErrorKind::Busy);
/// drop(writer);
/// assert_eq!(reader.open(&path)?.len(), 20);
/// # Ok::<(), mapwright_core::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FileLock {
    /// Together with others who read.
    Shared,
    /// Alone.
    Exclusive,
}

/// When a large map is unmapped after it was dropped.
///
/// ```
/// use mapwright_core::{MapOptions, Unmap};
/// let mut memory = MapOptions::new().unmap(Unmap::AtOnce).memory(128 << 20)?;
/// memory[0] = 1;
/// assert_eq!(memory[0], 1);
/// drop(memory);           // the memory is free when this returns
/// # Ok::<(), mapwright_core::Error>(())
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Unmap {
    /// From 64 MiB on by another thread, so that the dropping thread goes on at once.
    #[default]
    InBackground,
    /// Before `drop` returns.
    AtOnce,
}

/// How to map a file or memory.
///
/// Set what differs from the default, then finish with what to map: [`map`](Self::map),
/// [`map_mut`](Self::map_mut), [`map_private`](Self::map_private), [`map_copy`](Self::map_copy) and
/// [`map_exec`](Self::map_exec) take a file, [`memory`](Self::memory) and
/// [`shared_memory`](Self::shared_memory) a length.
///
/// ```
/// use mapwright_core::{MapOptions, Populate};
/// # let path = tempfile::NamedTempFile::new().unwrap();
/// # std::fs::write(&path, vec![7u8; 10_000]).unwrap();
/// let map = MapOptions::new().offset(4_000).len(100).populate(Populate::Now).open(&path)?;
/// assert_eq!(map.view().load::<u8>(99)?, 7);
/// # Ok::<(), mapwright_core::Error>(())
/// ```
#[derive(Clone, Debug, Default)]
#[must_use = "options do nothing until they are given something to map"]
pub struct MapOptions {
    pub(super) offset: u64,
    pub(super) len: Option<usize>,
    pub(super) reserve: usize,
    pub(super) populate: Populate,
    pub(super) huge: HugePages,
    pub(super) placement: Placement,
    pub(super) guard: usize,
    pub(super) fork: ForkPolicy,
    pub(super) dump: CoreDump,
    pub(super) commitment: Commitment,
    pub(super) lock: Option<FileLock>,
    pub(super) unmap: Unmap,
}

impl MapOptions {
    /// Starts with the defaults: the whole file, lazily, anywhere, inherited by children.
    pub fn new() -> Self {
        Self::default()
    }

    /// Starts at this byte of the file. It need not be page-aligned.
    ///
    /// ```
    /// use mapwright_core::MapOptions;
    /// # let path = tempfile::NamedTempFile::new().unwrap();
    /// # std::fs::write(&path, b"header: body").unwrap();
    /// let map = MapOptions::new().offset(8).open(&path)?;
    /// assert_eq!((map.file_offset(), map.len()), (8, 4));
    /// # Ok::<(), mapwright_core::Error>(())
    /// ```
    pub fn offset(mut self, bytes: u64) -> Self {
        self.offset = bytes;
        self
    }

    /// Maps this many bytes instead of everything from the offset to the file's end.
    ///
    /// ```
    /// use mapwright_core::{ErrorKind, MapOptions};
    /// # let path = tempfile::NamedTempFile::new().unwrap();
    /// # std::fs::write(&path, b"header: body").unwrap();
    /// assert_eq!(MapOptions::new().len(6).open(&path)?.view().to_vec()?, b"header");
    /// let error = MapOptions::new().len(13).open(&path).unwrap_err();     // the file has 12
    /// assert_eq!(error.kind(), ErrorKind::OutOfBounds);
    /// # Ok::<(), mapwright_core::Error>(())
    /// ```
    pub fn len(mut self, bytes: usize) -> Self {
        self.len = Some(bytes);
        self
    }

    /// Reserves address space for this many bytes in all, so that the map can grow in place: no address
    /// moves.
    ///
    /// ```
    /// use mapwright_core::MapOptions;
    /// let mut memory = MapOptions::new().reserve(1 << 30).memory(4096)?;
    /// let address = memory.as_ptr();
    /// memory.resize(1 << 20)?;
    /// assert_eq!((memory.capacity(), memory.as_ptr()), (1 << 30, address));
    /// # Ok::<(), mapwright_core::Error>(())
    /// ```
    pub fn reserve(mut self, bytes: usize) -> Self {
        self.reserve = bytes;
        self
    }

    /// Chooses when pages are brought into memory.
    pub fn populate(mut self, when: Populate) -> Self {
        self.populate = when;
        self
    }

    /// Chooses page sizes. [`Map::huge_pages`] says afterwards what there really is.
    pub fn huge_pages(mut self, wanted: HugePages) -> Self {
        self.huge = wanted;
        self
    }

    /// Chooses where in the address space the map goes.
    pub fn placement(mut self, placement: Placement) -> Self {
        self.placement = placement;
        self
    }

    /// Puts inaccessible pages of at least this many bytes on both sides.
    ///
    /// No view reaches them: they are for code that has a pointer and runs beyond its end, which ends the
    /// process there.
    ///
    /// # Kernel
    /// mmap(2) with `PROT_NONE` for all of it, and with `MAP_FIXED` for what lies between the guards.
    ///
    /// ```
    /// use mapwright_core::MapOptions;
    /// let stack = MapOptions::new().guard(64 << 10).memory(1 << 20)?;
    /// assert_eq!(stack.len(), 1 << 20);
    /// # Ok::<(), mapwright_core::Error>(())
    /// ```
    pub fn guard(mut self, bytes: usize) -> Self {
        self.guard = bytes;
        self
    }

    /// Chooses what a forked child gets.
    pub fn fork(mut self, policy: ForkPolicy) -> Self {
        self.fork = policy;
        self
    }

    /// Chooses whether core dumps contain the pages.
    pub fn core_dump(mut self, dump: CoreDump) -> Self {
        self.dump = dump;
        self
    }

    /// Chooses whether private pages are charged against the commit limit.
    pub fn commitment(mut self, commitment: Commitment) -> Self {
        self.commitment = commitment;
        self
    }

    /// Holds an advisory lock on the file for as long as the map lives.
    pub fn lock_file(mut self, lock: FileLock) -> Self {
        self.lock = Some(lock);
        self
    }

    /// Chooses when a large map is unmapped.
    pub fn unmap(mut self, when: Unmap) -> Self {
        self.unmap = when;
        self
    }

    /// Maps a file for reading; what others write to it is seen.
    ///
    /// # Errors
    /// Where the file is a directory, pipe or socket, the range lies beyond its end, or the kernel refuses
    /// the map.
    ///
    /// # Kernel
    /// mmap(2) with `MAP_SHARED`; where the file system cannot (`ENODEV`), `MAP_PRIVATE`.
    ///
    /// ```
    /// use mapwright_core::MapOptions;
    /// # let path = tempfile::NamedTempFile::new().unwrap();
    /// # std::fs::write(&path, b"header: body").unwrap();
    /// let file = std::fs::File::open(&path)?;
    /// let body = MapOptions::new().offset(8).map(&file)?;
    /// assert_eq!(body.view().to_vec()?, b"body");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn map(&self, source: impl IntoSource) -> Result<Map<ReadOnly>> {
        build::file(self, source.into_source()?, build::Sharing::Shared)
    }

    /// Maps a file for reading and writing; what is written reaches the file and everybody who maps it.
    ///
    /// # Errors
    /// As [`map`](Self::map), and where the file was not opened for reading and writing.
    ///
    /// # Kernel
    /// mmap(2) with `MAP_SHARED`, `PROT_READ | PROT_WRITE`.
    ///
    /// ```
    /// use mapwright_core::MapOptions;
    /// let file = tempfile::tempfile()?;
    /// file.set_len(4096)?;
    /// let (writer, reader) = (MapOptions::new().map_mut(&file)?, MapOptions::new().map(&file)?);
    /// writer.view().store(8, 7u32)?;
    /// assert_eq!(reader.view().load::<u32>(8)?, 7);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn map_mut(&self, source: impl IntoSource) -> Result<Map<ReadWrite>> {
        build::file(self, source.into_source()?, build::Sharing::Shared)
    }

    /// Maps a file for reading, privately. Pages that nobody here wrote may still show what others write.
    ///
    /// # Errors
    /// As [`map`](Self::map).
    ///
    /// # Kernel
    /// mmap(2) with `MAP_PRIVATE`.
    ///
    /// ```
    /// use mapwright_core::MapOptions;
    /// let file = tempfile::tempfile()?;
    /// file.set_len(4096)?;
    /// let map = MapOptions::new().map_private(file)?;
    /// assert!(map.is_private());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn map_private(&self, source: impl IntoSource) -> Result<Map<ReadOnly>> {
        build::file(self, source.into_source()?, build::Sharing::Private)
    }

    /// Maps a file for reading and writing; what is written stays private to this map.
    ///
    /// # Errors
    /// As [`map`](Self::map). The file need only be readable.
    ///
    /// # Kernel
    /// mmap(2) with `MAP_PRIVATE`, `PROT_READ | PROT_WRITE`.
    ///
    /// ```
    /// use mapwright_core::MapOptions;
    /// # let path = tempfile::NamedTempFile::new().unwrap();
    /// std::fs::write(&path, b"Hello")?;
    /// let draft = MapOptions::new().map_copy(std::fs::File::open(&path)?)?;
    /// draft.view().copy_from(0, b"J")?;
    /// assert_eq!(draft.view().to_vec()?, b"Jello");
    /// assert_eq!(std::fs::read(&path)?, b"Hello");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[doc(alias = "copy_on_write")]
    pub fn map_copy(&self, source: impl IntoSource) -> Result<Map<CopyOnWrite>> {
        build::file(self, source.into_source()?, build::Sharing::Private)
    }

    /// Maps a file for reading and running as instructions.
    ///
    /// # Errors
    /// As [`map`](Self::map), and `EPERM` on a file system that is mounted `noexec`.
    ///
    /// # Kernel
    /// mmap(2) with `MAP_PRIVATE`, `PROT_READ | PROT_EXEC`.
    ///
    /// ```
    /// use mapwright_core::MapOptions;
    /// let program = MapOptions::new().map_exec(std::fs::File::open("/proc/self/exe")?)?;
    /// assert_eq!(program.view().load::<[u8; 4]>(0)?, *b"\x7fELF");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn map_exec(&self, source: impl IntoSource) -> Result<Map<Executable>> {
        build::file(self, source.into_source()?, build::Sharing::Private)
    }

    /// Opens a file and maps it for reading.
    ///
    /// # Errors
    /// What open(2) refuses, and as [`map`](Self::map).
    ///
    /// # Kernel
    /// open(2), then as [`map`](Self::map).
    pub fn open(&self, path: impl AsRef<Path>) -> Result<Map<ReadOnly>> {
        self.map(Source::open_to_read(path.as_ref())?)
    }

    /// Opens an existing file and maps it for reading and writing.
    ///
    /// # Errors
    /// What open(2) refuses, and as [`map_mut`](Self::map_mut).
    ///
    /// ```
    /// use mapwright_core::MapOptions;
    /// # let path = tempfile::NamedTempFile::new().unwrap();
    /// # std::fs::write(&path, b"header: body").unwrap();
    /// let body = MapOptions::new().offset(8).open_mut(&path)?;
    /// body.view().copy_from(0, b"text")?;
    /// assert_eq!(std::fs::read(&path)?, b"header: text");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn open_mut(&self, path: impl AsRef<Path>) -> Result<Map<ReadWrite>> {
        self.map_mut(Source::open_to_write(path.as_ref())?)
    }

    /// Maps `len` bytes of private, zeroed memory: ordinary memory, as safe as a `Vec`.
    ///
    /// # Errors
    /// Where there is no address space, memory or huge page left.
    ///
    /// # Kernel
    /// mmap(2) with `MAP_PRIVATE | MAP_ANONYMOUS`.
    ///
    /// ```
    /// use mapwright_core::MapOptions;
    /// let mut memory = MapOptions::new().memory(1 << 20)?;
    /// memory[4096..4100].copy_from_slice(b"text");
    /// assert_eq!(&memory[4098..4102], b"xt\0\0");
    /// # Ok::<(), mapwright_core::Error>(())
    /// ```
    #[doc(alias = "anonymous")]
    pub fn memory(&self, len: usize) -> Result<Memory> {
        build::memory(self, len)
    }

    /// Maps `len` bytes of zeroed memory that forked children share.
    ///
    /// # Errors
    /// As [`memory`](Self::memory).
    ///
    /// # Kernel
    /// mmap(2) with `MAP_SHARED | MAP_ANONYMOUS`.
    ///
    /// ```
    /// use mapwright_core::MapOptions;
    /// use std::sync::atomic::Ordering;
    /// let map = MapOptions::new().shared_memory(4096)?;
    /// let arrived = map.view().atomic::<u32>(0)?;     // children that are forked from here on count, too
    /// arrived.fetch_add(1)?;
    /// assert_eq!(arrived.load(Ordering::Relaxed)?, 1);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn shared_memory(&self, len: usize) -> Result<Map<ReadWrite>> {
        build::shared_memory(self, len)
    }

    /// Maps `len` bytes that no other process and not even the kernel can read (Linux 5.14,
    /// `secretmem.enable`).
    ///
    /// # Errors
    /// Unsupported where the kernel has no secret memory or it is turned off; see `doctor`.
    ///
    /// # Kernel
    /// memfd_secret(2). The pages are locked: they count against `RLIMIT_MEMLOCK`.
    ///
    /// ```
    /// use mapwright_core::MapOptions;
    /// match MapOptions::new().secret_memory(32) {
    ///     Ok(key) => {
    ///         key.view().fill(.., 7)?;
    ///         assert_eq!(key.view().load::<u8>(31)?, 7);
    ///     }
    ///     Err(error) => println!("{error}"),      // says what is missing
    /// }
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn secret_memory(&self, len: usize) -> Result<Map<ReadWrite>> {
        build::secret_memory(self, len)
    }
}
