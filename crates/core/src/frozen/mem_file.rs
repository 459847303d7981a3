//! Memory files: bytes in memory that have a descriptor, and can be sealed.

use std::fs::File;
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::Arc;

use super::seals::Seals;
use super::slice::Frozen;
use crate::error::{Error, ErrorKind, Result};
use crate::map::{IntoSource, Source, reaper};
use crate::sys::file_system::{self, FileSystem};
use crate::sys::{file, page, seal};

/// A file that lives in memory: to be mapped, passed to other processes by its descriptor, and sealed.
///
/// It has no path; its memory is given back with the last descriptor and the last map of it. Cloning
/// shares it. Map it through [`MapOptions`](crate::MapOptions), which take a `&MemFile` as they take a
/// file.
///
/// # Kernel
/// memfd_create(2).
///
/// ```
/// use mapwright_core::{FrozenBy, MapOptions, MemFile};
/// let file = MemFile::new("greeting", 4096)?;
/// let map = MapOptions::new().map_mut(&file)?;
/// map.view().copy_from(0, b"hello")?;
/// drop(map);
/// let frozen = file.freeze()?;
/// assert_eq!((&frozen[..5], frozen.origin()), (&b"hello"[..], FrozenBy::Seal));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
#[doc(alias = "memfd")]
pub struct MemFile {
    source: Source,
}

impl MemFile {
    /// What [`freeze`](Self::freeze) adds.
    const FREEZING: Seals = Seals::SHRINK.union(Seals::GROW).union(Seals::WRITE).union(Seals::SEAL);

    /// Makes a memory file of `len` zeros, which can be sealed and cannot be started as a program.
    ///
    /// The name shows in `/proc` and in messages; it need not be unique. Memory is taken when pages are
    /// touched.
    ///
    /// # Errors
    /// Where the name is longer than 249 bytes or holds a zero byte, or no descriptor or memory is left.
    ///
    /// # Kernel
    /// memfd_create(2); see [`MemFileOptions::create`].
    ///
    /// ```
    /// use mapwright_core::MemFile;
    /// use std::io::Read;
    /// let file = MemFile::new("scratch", 100)?;
    /// let mut bytes = Vec::new();
    /// file.file().as_ref().read_to_end(&mut bytes)?;
    /// assert_eq!(bytes, [0; 100]);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn new(name: &str, len: usize) -> Result<Self> {
        MemFileOptions::new().create(name, len)
    }

    /// Takes over a memory file that was made elsewhere, such as one that another process has sent.
    ///
    /// # Errors
    /// Where it is not a memory file: other files have no seals. (One on tmpfs is taken, and refuses them
    /// all.)
    ///
    /// ```
    /// use mapwright_core::{MemFile, Seals};
    /// # let received = MemFile::new("parcel", 100)?.into_file();
    /// let parcel = MemFile::of(received)?;
    /// assert!(!parcel.seals()?.contains(Seals::WRITE));
    /// assert!(MemFile::of(std::fs::File::open("/proc/self/status")?).is_err());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn of(source: impl IntoSource) -> Result<Self> {
        let source = source.into_source()?;
        seals_of(&source)?;
        Ok(Self { source })
    }

    /// Returns the seals that it has.
    ///
    /// # Errors
    /// Where the kernel does not tell.
    ///
    /// # Kernel
    /// `F_GET_SEALS` of fcntl(2).
    pub fn seals(&self) -> Result<Seals> {
        seals_of(&self.source)
    }

    /// Adds seals, for everybody and for ever.
    ///
    /// # Errors
    /// `Busy` where [`Seals::WRITE`] is asked for while somebody has the file mapped for writing, or while
    /// input or output into its pages is under way. A forked child that inherited such a map counts, and so
    /// does a shared map that is older than the seal and can only read, if its descriptor could write.
    /// `PermissionDenied` where it has [`Seals::SEAL`]; `Unsupported` where this kernel does not know a seal.
    ///
    /// # Kernel
    /// `F_ADD_SEALS` of fcntl(2).
    ///
    /// ```
    /// use mapwright_core::{ErrorKind, MapOptions, MemFile, Seals};
    /// let file = MemFile::new("shared", 4096)?;
    /// file.seal(Seals::SHRINK | Seals::GROW)?;        // whoever maps it finds 4096 bytes, always
    /// assert_eq!(file.file().set_len(0).unwrap_err().raw_os_error(), Some(1));    // EPERM
    /// let writer = MapOptions::new().map_mut(&file)?;
    /// assert_eq!(file.seal(Seals::WRITE).unwrap_err().kind(), ErrorKind::Busy);
    /// # drop(writer);
    /// # Ok::<(), mapwright_core::Error>(())
    /// ```
    pub fn seal(&self, seals: Seals) -> Result<()> {
        if self.seals()?.contains(seals) {
            return Ok(());
        }
        match seal::add_seals(self.source.fd(), seals.bits()) {
            Err(cause) if cause.raw_os_error() == Some(libc::EBUSY) => {
                // A map that was dropped a moment ago may still be on its way out.
                reaper::finish();
                seal::add_seals(self.source.fd(), seals.bits())
            }
            result => result,
        }
        .map_err(|cause| self.refusal(seals, cause))
    }

    /// Seals the file for good and returns its bytes.
    ///
    /// They cannot be changed any more by anybody, in whatever process; the descriptor can still be
    /// passed on (clone the file before).
    ///
    /// # Errors
    /// As [`seal`](Self::seal): above all where a map that may write is still there. Huge pages that were
    /// never touched are reserved now, so an empty pool of them is an error here.
    ///
    /// # Kernel
    /// `F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE | F_SEAL_SEAL`.
    ///
    /// ```
    /// use mapwright_core::MemFile;
    /// use std::io::Write;
    /// let file = MemFile::new("letter", 0)?;
    /// file.file().as_ref().write_all(b"Dear reader")?;
    /// let sent = file.clone();                        // a descriptor for another process
    /// let letter = file.freeze()?;
    /// assert_eq!(letter, *b"Dear reader");
    /// assert!(sent.file().as_ref().write_all(b"no more").is_err());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn freeze(self) -> Result<Frozen> {
        // Where no seal can be added any more, `from_sealed` judges, and names, those that are there.
        if !self.seals()?.contains(Seals::SEAL) {
            self.fill_huge_holes()?;
            self.seal(Self::FREEZING)?;
        }
        Frozen::from_sealed(self)
    }

    /// Returns the file, to be written, read, made longer or sent.
    #[must_use]
    pub fn file(&self) -> &Arc<File> {
        self.source.file()
    }

    /// Returns the file.
    ///
    /// ```
    /// use mapwright_core::{Map, MemFile};
    /// let file = MemFile::new("scratch", 4096)?.into_file();
    /// assert_eq!(Map::of(file)?.len(), 4096);
    /// # Ok::<(), mapwright_core::Error>(())
    /// ```
    #[must_use = "the file is closed when it is dropped"]
    pub fn into_file(self) -> Arc<File> {
        self.source.into_file()
    }

    /// Takes pages from the pool for holes, because touching a hole in frozen bytes while the pool is
    /// empty would end the process. Small pages come from ordinary memory, and are taken when they are
    /// touched as all memory is.
    fn fill_huge_holes(&self) -> Result<()> {
        let examine = |cause| Error::os("examine", self.source.name(), cause);
        let FileSystem::Huge(page_bytes) = file_system::of(self.source.fd()).map_err(examine)? else {
            return Ok(());
        };
        let len = file::len(self.source.fd()).map_err(examine)?;
        if len == 0 {
            return Ok(());
        }
        file::reserve_within(self.source.fd(), 0, len).map_err(|cause| {
            let error = Error::os("reserve huge pages for", self.source.name(), cause);
            error.advice(format!(
                "raise /sys/kernel/mm/hugepages/hugepages-{}kB/nr_hugepages",
                page_bytes / 1024
            ))
        })
    }

    #[cold]
    fn refusal(&self, seals: Seals, cause: std::io::Error) -> Error {
        let number = cause.raw_os_error();
        let error = Error::os("seal", self.source.name(), cause);
        let have = self.seals().unwrap_or_default();
        match number {
            Some(libc::EBUSY) => error.advice(format!(
                "{seals:?} was asked for, but a map that may write to it exists, here, in a forked child, or \
                 in another process, or input or output into its pages is under way; drop such maps first"
            )),
            Some(libc::EPERM) if have.contains(Seals::SEAL) => error
                .advice(format!("{seals:?} was asked for, but it has {have:?}: SEAL allows no more seals")),
            Some(libc::EPERM) => error.advice("its descriptor cannot write, and only one that can may seal"),
            Some(libc::EINVAL) => error
                .with_kind(ErrorKind::Unsupported)
                .advice(format!("this kernel does not know all of {seals:?}")),
            _ => error,
        }
    }
}

/// Reads a file's seals, or says that it can have none.
pub(super) fn seals_of(source: &Source) -> Result<Seals> {
    seal::seals(source.fd()).map(Seals::from_bits).map_err(|cause| {
        let none = cause.raw_os_error() == Some(libc::EINVAL);
        let error = Error::os("read the seals of", source.name(), cause);
        if none {
            error
                .with_kind(ErrorKind::Unsupported)
                .advice("it is not a memory file (MemFile), and others have no seals")
        } else {
            error
        }
    })
}

impl AsFd for MemFile {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.source.fd()
    }
}

impl IntoSource for MemFile {
    fn into_source(self) -> Result<Source> {
        Ok(self.source)
    }
}

impl IntoSource for &MemFile {
    fn into_source(self) -> Result<Source> {
        Ok(self.source.clone())
    }
}

/// How to make a [`MemFile`].
///
/// ```
/// use mapwright_core::{MemFileOptions, Seals};
/// let file = MemFileOptions::new().unsealable().create("scratch", 100)?;
/// assert!(file.seals()?.contains(Seals::SEAL));
/// assert!(file.seal(Seals::WRITE).is_err());
/// # Ok::<(), mapwright_core::Error>(())
/// ```
#[derive(Clone, Debug, Default)]
#[must_use = "options do nothing until they create a file"]
pub struct MemFileOptions {
    huge_page_bytes: Option<usize>,
    executable: bool,
    unsealable: bool,
}

impl MemFileOptions {
    /// Starts with the defaults: small pages, can be sealed, cannot be started as a program.
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes pages of exactly this size from the reserved pool.
    pub fn huge_pages(mut self, bytes: usize) -> Self {
        self.huge_page_bytes = Some(bytes);
        self
    }

    /// Lets the file be started as a program, by execveat(2) or its path under `/proc`.
    pub fn executable(mut self) -> Self {
        self.executable = true;
        self
    }

    /// Refuses every seal: for a file that is handed to somebody who shall not seal it.
    pub fn unsealable(mut self) -> Self {
        self.unsealable = true;
        self
    }

    /// Makes the file, `len` bytes long.
    ///
    /// # Errors
    /// As [`MemFile::new`], and where there are no huge pages of the size asked for or `len` is not a
    /// multiple of it.
    ///
    /// # Kernel
    /// memfd_create(2) with `MFD_NOEXEC_SEAL` (Linux 6.3); before that the file's executable bits are
    /// taken away, which its owner could undo.
    ///
    /// ```
    /// use mapwright_core::{MemFileOptions, Seals};
    /// match MemFileOptions::new().huge_pages(2 << 20).create("tables", 4 << 20) {
    ///     Ok(file) => assert_eq!(file.file().metadata()?.len(), 4 << 20),
    ///     Err(error) => println!("{error}"),          // says how to fill the pool
    /// }
    /// let script = MemFileOptions::new().executable().create("script", 10)?;
    /// assert!(!script.seals()?.contains(Seals::EXEC));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn create(&self, name: &str, len: usize) -> Result<MemFile> {
        let execution = if self.executable { seal::Execution::Allowed } else { seal::Execution::Never };
        let huge_log2 = self.huge_page_bytes.map(|bytes| huge_log2(bytes, len)).transpose()?;
        let refusal = |cause| self.refusal(name, cause);
        let file = File::from(seal::memory_file(name, execution, huge_log2).map_err(refusal)?);
        file.set_len(u64::try_from(len).unwrap_or(u64::MAX)).map_err(refusal)?;
        let file = MemFile { source: file.into_source()? };
        if self.unsealable {
            file.seal(Seals::SEAL)?;
        }
        Ok(file)
    }

    #[cold]
    fn refusal(&self, name: &str, cause: std::io::Error) -> Error {
        let number = cause.raw_os_error();
        let error = Error::os("make a memory file", format!("{name:?}"), cause);
        match (number, self.huge_page_bytes) {
            (Some(libc::ENODEV | libc::EINVAL), Some(bytes)) => error
                .with_kind(ErrorKind::Unsupported)
                .advice(format!("this machine has no pages of {bytes} bytes; see /sys/kernel/mm/hugepages")),
            (Some(libc::EINVAL), None) => {
                error.advice("a name has at most 249 bytes, and none of them is zero")
            }
            (Some(libc::EACCES), _) => {
                error.advice("vm.memfd_noexec forbids memory files that can be started as programs")
            }
            _ => error,
        }
    }
}

/// Checks a size of huge pages, and that the length is made of them.
fn huge_log2(page_bytes: usize, len: usize) -> Result<u32> {
    let refuse = |why| Err(Error::new(ErrorKind::InvalidInput, "make a memory file of huge pages", "", why));
    if !page_bytes.is_power_of_two() || page_bytes <= page::size() {
        return refuse(format!(
            "{page_bytes} is not a size of huge pages; powers of two above {} are",
            page::size()
        ));
    }
    if !len.is_multiple_of(page_bytes) {
        return refuse(format!(
            "its length of {len} bytes is not a multiple of its pages of {page_bytes} bytes"
        ));
    }
    Ok(page_bytes.trailing_zeros())
}
