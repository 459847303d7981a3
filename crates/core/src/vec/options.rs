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
    pub fn reserve(mut self, bytes: usize) -> Self {
        self.reserve = bytes;
        self
    }

    /// Opens or creates a file that holds nothing but elements: their count follows from the file's length.
    ///
    /// Nothing then checks that the elements are of the type asked for.
    pub fn headerless(mut self) -> Self {
        self.form = Form::Headerless;
        self
    }

    /// Opens what is left of an array whose file is shorter than its count says, whose count is damaged, or
    /// that ends in the middle of an element. A writer makes the file agree.
    pub fn recover(mut self) -> Self {
        self.damage = Damage::OpenPrefix;
        self
    }

    /// Takes this advisory lock (flock(2)), or fails with [`Busy`](crate::ErrorKind::Busy).
    ///
    /// Without this call, writers take an exclusive lock where the file system has locks, and readers none.
    pub fn lock_file(mut self, lock: FileLock) -> Self {
        self.lock = Locking::Always(lock);
        self
    }

    /// Takes no lock: whoever calls this sees to it that there is one writer.
    pub fn without_lock(mut self) -> Self {
        self.lock = Locking::Never;
        self
    }

    /// Bounds the memory that a sort takes. What does not fit is sorted in runs that are merged on the disk.
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
    pub fn open<T: Plain>(&self, path: impl AsRef<Path>) -> Result<MapVec<T>> {
        open::open::<T, ReadWrite>(self, path.as_ref())
    }

    /// Opens an array, or creates an empty one where the path is free.
    ///
    /// # Errors
    /// As [`open`](Self::open) and [`create`](Self::create).
    pub fn open_or_create<T: Plain>(&self, path: impl AsRef<Path>) -> Result<MapVec<T>> {
        open::open_or_create(self, path.as_ref())
    }

    /// Opens an existing array for reading.
    ///
    /// # Errors
    /// As [`open`](Self::open).
    pub fn open_read_only<T: Plain>(&self, path: impl AsRef<Path>) -> Result<MapVec<T, ReadOnly>> {
        open::open::<T, ReadOnly>(self, path.as_ref())
    }
}
