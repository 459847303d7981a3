//! What is mapped: an open file, with the name it was opened by.

use std::fs::{File, OpenOptions};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::error::{Error, ErrorKind, Result, quoted};
use crate::sys::file::{self, Description, Kind};

/// An open file to be mapped. Made from a path, or from a [`File`], `Arc<File>` or [`OwnedFd`] that is handed
/// over.
///
/// A map keeps its source: a fault says only *where* it struck, and the file is asked afterwards what
/// happened.
///
/// ```
/// use mapwright_core::{Map, Source};
/// # let path = tempfile::NamedTempFile::new().unwrap();
/// # std::fs::write(&path, b"opened my way").unwrap();
/// let source = Source::open(&path, std::fs::File::options().read(true))?;
/// assert_eq!(source.path(), Some(path.as_ref()));
/// let map = Map::of(source)?;
/// assert_eq!(map.view().find(b"way")?, Some(10));
/// # Ok::<(), mapwright_core::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct Source {
    file: Arc<File>,
    path: Option<Arc<Path>>,
}

/// Things that can be mapped.
///
/// A [`File`], [`OwnedFd`] or `Arc<File>` is handed over; a `&File` is duplicated, which costs a system call.
///
/// # Errors
/// Only duplicating can fail.
///
/// ```
/// use mapwright_core::Map;
/// use std::sync::Arc;
/// let file = tempfile::tempfile()?;
/// file.set_len(100)?;
/// let borrowed = Map::of(&file)?;
/// let shared = Map::of(Arc::new(file))?;
/// assert_eq!((borrowed.len(), shared.len()), (100, 100));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub trait IntoSource {
    /// Turns into an open file.
    ///
    /// # Errors
    /// Where the file had to be duplicated and the process has no descriptor left.
    fn into_source(self) -> Result<Source>;
}

impl IntoSource for Source {
    fn into_source(self) -> Result<Source> {
        Ok(self)
    }
}

impl IntoSource for File {
    fn into_source(self) -> Result<Source> {
        Ok(Source { file: Arc::new(self), path: None })
    }
}

impl IntoSource for OwnedFd {
    fn into_source(self) -> Result<Source> {
        File::from(self).into_source()
    }
}

impl IntoSource for Arc<File> {
    fn into_source(self) -> Result<Source> {
        Ok(Source { file: self, path: None })
    }
}

impl IntoSource for &File {
    fn into_source(self) -> Result<Source> {
        self.try_clone().map_err(|cause| Error::os("duplicate", "a file to map it", cause))?.into_source()
    }
}

impl Source {
    /// Opens a file with options of the caller's choice, and keeps the path for messages.
    ///
    /// # Errors
    /// What open(2) refuses, named by its path.
    ///
    /// # Kernel
    /// open(2).
    pub fn open(path: impl AsRef<Path>, options: &OpenOptions) -> Result<Self> {
        let path = path.as_ref();
        let file = options.open(path).map_err(|cause| Error::os("open", quoted(path), cause))?;
        Ok(Self { file: Arc::new(file), path: Some(path.into()) })
    }

    /// Opens a file for reading. A pipe that nobody writes to is refused later, not waited for.
    pub(crate) fn open_to_read(path: &Path) -> Result<Self> {
        Self::open(path, OpenOptions::new().read(true).custom_flags(libc::O_NONBLOCK))
    }

    /// Opens an existing file for reading and writing.
    pub(crate) fn open_to_write(path: &Path) -> Result<Self> {
        Self::open(path, OpenOptions::new().read(true).write(true).custom_flags(libc::O_NONBLOCK))
    }

    pub(crate) fn with_path(file: Arc<File>, path: &Path) -> Self {
        Self { file, path: Some(path.into()) }
    }

    /// Returns the open file.
    #[must_use]
    pub fn file(&self) -> &Arc<File> {
        &self.file
    }

    /// Returns the path that the file was opened by, where that is known.
    #[must_use]
    pub fn path(&self) -> Option<&Path> {
        self.path.as_deref()
    }

    /// Names the source in a message: the path it was opened by, else what the kernel remembers.
    pub(crate) fn name(&self) -> String {
        match &self.path {
            Some(path) => quoted(path),
            None => file::remembered_path(self.file.as_fd())
                .map_or_else(|| "a file".to_owned(), |path: PathBuf| quoted(&path)),
        }
    }

    pub(crate) fn fd(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }

    /// Describes the file, refusing what can never be mapped.
    pub(crate) fn describe(&self) -> Result<Description> {
        self.describe_to("map")
    }

    /// Describes the file, refusing what has no bytes at offsets, to those who want to do something else with
    /// it.
    pub(crate) fn describe_to(&self, action: &'static str) -> Result<Description> {
        let description =
            file::describe(self.fd()).map_err(|cause| Error::os("examine", self.name(), cause))?;
        let what = match description.kind {
            Kind::Directory => "it is a directory",
            Kind::Pipe => "it is a pipe, whose bytes have no place; read it with `load`",
            Kind::Socket => "it is a socket",
            Kind::Other => "it is not a file that has bytes",
            Kind::Regular { .. } | Kind::Block { .. } | Kind::Character => return Ok(description),
        };
        Err(Error::new(ErrorKind::InvalidInput, action, self.name(), what))
    }

    pub(crate) fn into_file(self) -> Arc<File> {
        self.file
    }
}
