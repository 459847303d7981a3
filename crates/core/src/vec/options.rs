//! How an array is opened.

use std::path::Path;

use super::{MapVec, open};
use crate::error::Result;
use crate::map::{FileLock, ReadOnly, ReadWrite};
use crate::plain::Plain;

/// Address space that an array asks for at first.
const RESERVE: usize = 1 << 40;

/// Memory that a sort may take.
const SORT_MEMORY: usize = 256 << 20;

/// Where a sort puts its result.
///
/// ```
/// use mapwright_core::{MapVec, MapVecOptions, SortInto};
/// # let folder = tempfile::tempdir().unwrap();
/// # let path = folder.path().join("array");
/// let mut array: MapVec<u32> = MapVecOptions::new().sort_into(SortInto::SameFile).create(&path)?;
/// array.extend_from_slice(&[2, 1])?;
/// array.spill()?;
/// let reader = MapVec::<u32>::open_read_only(&path)?;
/// array.sort()?;
/// assert_eq!(reader.to_vec(..)?, [1, 2]);         // it has the file open that was sorted
/// # Ok::<(), mapwright_core::Error>(())
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum SortInto {
    /// Into a new file that takes the old one's name when it is whole and on the disk: a crash at any moment
    /// leaves the old order or the new one.
    ///
    /// Whoever has the old file open keeps the old order. Needs room for a second copy, and the right to
    /// create files in the directory; extended attributes do not come along.
    #[default]
    NewFile,
    /// Over the elements themselves: others who map the file see the new order, and it stays the same file.
    ///
    /// A process that is killed meanwhile leaves a mixture in which elements are missing.
    SameFile,
}

/// How to open or create a [`MapVec`].
///
/// Set what differs from the default, then finish with [`create`](Self::create), [`open`](Self::open),
/// [`open_or_create`](Self::open_or_create) or [`open_read_only`](Self::open_read_only).
///
/// ```
/// use mapwright_core::MapVecOptions;
/// # let directory = tempfile::tempdir().unwrap();
/// # let path = directory.path().join("samples.raw");
/// std::fs::write(&path, [1u8, 0, 2, 0])?;
/// let samples = MapVecOptions::new().headerless().open_read_only::<u16>(&path)?;
/// assert_eq!(samples.to_vec(..)?, [1, 2]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
#[must_use = "options do nothing until they are given a path"]
pub struct MapVecOptions {
    pub(super) reserve: usize,
    pub(super) form: Form,
    pub(super) damage: Damage,
    pub(super) lock: Locking,
    pub(super) sort_memory: usize,
    pub(super) sort_into: SortInto,
}

/// What stands before the first element.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Form {
    WithHeader,
    Headerless,
}

/// What happens where count and file disagree.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Damage {
    Refuse,
    OpenPrefix,
}

/// Which lock is taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Locking {
    /// An exclusive one by writers, where the file system has locks.
    Default,
    /// None.
    Never,
    /// This one, or an error.
    Always(FileLock),
}

impl Default for MapVecOptions {
    fn default() -> Self {
        Self {
            reserve: RESERVE,
            form: Form::WithHeader,
            damage: Damage::Refuse,
            lock: Locking::Default,
            sort_memory: SORT_MEMORY,
            sort_into: SortInto::default(),
        }
    }
}

impl MapVecOptions {
    /// Starts with the defaults: a header, a lock for writers, 1 TiB of address space, 256 MiB for sorts.
    pub fn new() -> Self {
        Self::default()
    }

    /// Reserves address space for this many bytes, halved until the system agrees. An array that outgrows it
    /// moves.
    ///
    /// ```
    /// use mapwright_core::{MapVec, MapVecOptions};
    /// # let folder = tempfile::tempdir().unwrap();
    /// # let path = folder.path().join("array");
    /// let array: MapVec<u64> = MapVecOptions::new().reserve(1 << 30).create(&path)?;
    /// assert!(array.capacity() >= 1 << 20);
    /// # Ok::<(), mapwright_core::Error>(())
    /// ```
    pub fn reserve(mut self, bytes: usize) -> Self {
        self.reserve = bytes;
        self
    }

    /// Opens or creates a file that holds nothing but elements: their count follows from the file's length.
    ///
    /// Nothing then checks that the elements are of the type asked for.
    ///
    /// ```
    /// use mapwright_core::{MapVec, MapVecOptions};
    /// # let folder = tempfile::tempdir().unwrap();
    /// # let path = folder.path().join("raw");
    /// let mut samples: MapVec<u16> = MapVecOptions::new().headerless().create(&path)?;
    /// samples.extend_from_slice(&[1, 2])?;
    /// samples.close()?;
    /// assert_eq!(std::fs::metadata(&path)?.len(), 4);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn headerless(mut self) -> Self {
        self.form = Form::Headerless;
        self
    }

    /// Opens what is left of an array whose file is shorter than its count says, whose count is damaged, or
    /// that ends in the middle of an element. A writer makes the file agree.
    ///
    /// ```
    /// use mapwright_core::{ErrorKind, MapVec, MapVecOptions};
    /// # let folder = tempfile::tempdir().unwrap();
    /// # let path = folder.path().join("array");
    /// MapVec::<u32>::create(&path)?.extend(0..1000)?;
    /// let file = std::fs::File::options().write(true).open(&path)?;
    /// file.set_len(file.metadata()?.len() - 10)?;             // somebody cuts it
    /// assert_eq!(MapVec::<u32>::open(&path).unwrap_err().kind(), ErrorKind::Damaged);
    /// let rest: MapVec<u32> = MapVecOptions::new().recover().open(&path)?;
    /// assert_eq!(rest.len(), 997);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn recover(mut self) -> Self {
        self.damage = Damage::OpenPrefix;
        self
    }

    /// Takes this advisory lock (flock(2)), or fails with [`Busy`](crate::ErrorKind::Busy).
    ///
    /// Without this call, writers take an exclusive lock where the file system has locks, and readers none.
    ///
    /// ```
    /// use mapwright_core::{ErrorKind, FileLock, MapVec, MapVecOptions};
    /// # let folder = tempfile::tempdir().unwrap();
    /// # let path = folder.path().join("array");
    /// let writer = MapVec::<u32>::create(&path)?;
    /// let alone = MapVecOptions::new().lock_file(FileLock::Shared);   // no reader while somebody writes
    /// assert_eq!(alone.open_read_only::<u32>(&path).unwrap_err().kind(), ErrorKind::Busy);
    /// drop(writer);
    /// assert!(alone.open_read_only::<u32>(&path)?.is_empty());
    /// # Ok::<(), mapwright_core::Error>(())
    /// ```
    pub fn lock_file(mut self, lock: FileLock) -> Self {
        self.lock = Locking::Always(lock);
        self
    }

    /// Takes no lock: whoever calls this sees to it that there is one writer.
    ///
    /// ```
    /// use mapwright_core::{MapVec, MapVecOptions};
    /// # let folder = tempfile::tempdir().unwrap();
    /// # let path = folder.path().join("array");
    /// let first: MapVec<u32> = MapVecOptions::new().without_lock().create(&path)?;
    /// let second: MapVec<u32> = MapVecOptions::new().without_lock().open(&path)?;     // not refused
    /// assert_eq!(first.len() + second.len(), 0);
    /// # Ok::<(), mapwright_core::Error>(())
    /// ```
    pub fn without_lock(mut self) -> Self {
        self.lock = Locking::Never;
        self
    }

    /// Bounds the memory that a sort takes. What does not fit is sorted in runs that are merged on the disk.
    ///
    /// ```
    /// use mapwright_core::{MapVec, MapVecOptions};
    /// # let folder = tempfile::tempdir().unwrap();
    /// # let path = folder.path().join("array");
    /// let mut array: MapVec<u64> = MapVecOptions::new().sort_memory(1 << 20).create(&path)?;
    /// array.extend((0..300_000).rev())?;              // 2.4 MB
    /// array.sort()?;
    /// assert_eq!(array.get(299_999)?, 299_999);
    /// # Ok::<(), mapwright_core::Error>(())
    /// ```
    pub fn sort_memory(mut self, bytes: usize) -> Self {
        self.sort_memory = bytes;
        self
    }

    /// Chooses where a sort puts its result.
    pub fn sort_into(mut self, place: SortInto) -> Self {
        self.sort_into = place;
        self
    }

    /// Creates an empty array under a path that must be free.
    ///
    /// # Errors
    /// Where the path is taken or its directory cannot be written. Nothing is left behind then.
    ///
    /// # Kernel
    /// `O_TMPFILE` and linkat(2): the file appears whole. Else a hidden file and rename(2).
    pub fn create<T: Plain>(&self, path: impl AsRef<Path>) -> Result<MapVec<T>> {
        open::create(self, path.as_ref())
    }

    /// Opens an existing array for reading and writing.
    ///
    /// # Errors
    /// What open(2) refuses; `Busy` where another writer has it; `TypeMismatch` and `Damaged` with what
    /// differs.
    ///
    /// # Kernel
    /// open(2), flock(2), and mmap(2) of [`reserve`](Self::reserve) bytes of address space.
    ///
    /// ```
    /// use mapwright_core::{ErrorKind, MapVec, MapVecOptions};
    /// # let folder = tempfile::tempdir().unwrap();
    /// # let path = folder.path().join("array");
    /// MapVec::<u64>::create(&path)?.push(7)?;
    /// let error = MapVecOptions::new().open::<u32>(&path).unwrap_err();
    /// assert_eq!(error.kind(), ErrorKind::TypeMismatch);
    /// # Ok::<(), mapwright_core::Error>(())
    /// ```
    pub fn open<T: Plain>(&self, path: impl AsRef<Path>) -> Result<MapVec<T>> {
        open::open::<T, ReadWrite>(self, path.as_ref())
    }

    /// Opens an array, or creates an empty one where the path is free.
    ///
    /// # Errors
    /// As [`open`](Self::open) and [`create`](Self::create).
    ///
    /// # Kernel
    /// As those two.
    pub fn open_or_create<T: Plain>(&self, path: impl AsRef<Path>) -> Result<MapVec<T>> {
        open::open_or_create(self, path.as_ref())
    }

    /// Opens an existing array for reading.
    ///
    /// # Errors
    /// As [`open`](Self::open).
    ///
    /// # Kernel
    /// As [`open`](Self::open), without a lock unless one is asked for.
    pub fn open_read_only<T: Plain>(&self, path: impl AsRef<Path>) -> Result<MapVec<T, ReadOnly>> {
        open::open::<T, ReadOnly>(self, path.as_ref())
    }
}
