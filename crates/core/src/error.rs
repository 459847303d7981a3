//! What the world can answer: one [`Error`] for operations, one [`Fault`] for accesses.
//!
//! An operation that talks to the kernel (open, map, grow, flush) fails with an [`Error`]: what was being
//! done, to what, why, and the cause. An access to mapped bytes (load, store, copy, search) fails with a
//! [`Fault`]: a small `Copy` value, because it stands in the signature of the fastest calls. Every fault
//! turns into an error by `?`.

use std::fmt;
use std::io;
use std::path::Path;

use crate::span::OutOfBounds;

/// The result of an operation.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// An operation that failed: what was being done, to what, why, and the cause.
///
/// The message reads `cannot DO THING: WHY`; [`Error::kind`] is there to branch on.
///
/// ```
/// use mapwright_core::{ErrorKind, Map};
/// let error = Map::open("/no/such/file").unwrap_err();
/// assert_eq!(error.kind(), ErrorKind::NotFound);
/// assert!(error.to_string().starts_with("cannot open \"/no/such/file\""));
/// assert!(error.fault().is_none() && std::error::Error::source(&error).is_some());
/// ```
pub struct Error(Box<Report>);

struct Report {
    kind: ErrorKind,
    action: &'static str,
    target: String,
    why: String,
    cause: Option<io::Error>,
    fault: Option<Fault>,
}

/// What sort of thing went wrong, to branch on.
///
/// ```
/// use mapwright_core::{ErrorKind, Map};
/// # let path = tempfile::NamedTempFile::new().unwrap();
/// # let path = path.path().with_extension("missing");
/// let map = match Map::open_mut(&path) {
///     Err(error) if error.kind() == ErrorKind::NotFound => Map::create(&path, 4096)?,
///     result => result?,
/// };
/// assert_eq!(map.len(), 4096);
/// # std::fs::remove_file(&path).unwrap();
/// # Ok::<(), mapwright_core::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// The path, object or process does not exist.
    NotFound,
    /// The kernel refuses it to this user, file mode or seal.
    PermissionDenied,
    /// The call asks for something that makes no sense, whatever the state of the world.
    InvalidInput,
    /// A range ends beyond what there is.
    OutOfBounds,
    /// This kernel, file system or kind of file cannot do it.
    Unsupported,
    /// The disk, quota, or page pool is full.
    NoSpace,
    /// No memory or address space, or a limit on them, is left.
    OutOfMemory,
    /// Somebody else holds what was asked for, or this process has it mapped.
    Busy,
    /// A file holds elements of another type than was asked for.
    TypeMismatch,
    /// A header or file does not make sense: it was cut, overwritten, or is not ours.
    Damaged,
    /// It exists already.
    AlreadyExists,
    /// The device or file system reported an input or output error.
    Io,
    /// An access to mapped memory faulted; see [`Error::fault`].
    Fault,
}

impl Error {
    /// Describes a failure that is not an operating-system error.
    ///
    /// For Mapwright's own crates.
    #[cold]
    #[doc(hidden)]
    pub fn new(
        kind: ErrorKind,
        action: &'static str,
        target: impl Into<String>,
        why: impl Into<String>,
    ) -> Self {
        Self(Box::new(Report {
            kind,
            action,
            target: target.into(),
            why: why.into(),
            cause: None,
            fault: None,
        }))
    }

    /// Describes a failed kernel call; the kind follows from its error number.
    ///
    /// For Mapwright's own crates.
    #[cold]
    #[doc(hidden)]
    pub fn os(action: &'static str, target: impl Into<String>, cause: impl Into<io::Error>) -> Self {
        let cause = cause.into();
        let report = Report {
            kind: kind_of(&cause),
            action,
            target: target.into(),
            why: plain(&cause),
            cause: Some(cause),
            fault: None,
        };
        Self(Box::new(report))
    }

    /// Describes a fault where more is known than that mapped bytes were accessed.
    #[cold]
    #[doc(hidden)]
    pub fn faulted(action: &'static str, target: impl Into<String>, fault: Fault) -> Self {
        let kind = match fault.kind {
            FaultKind::NoSpace => ErrorKind::NoSpace,
            FaultKind::OutOfBounds => ErrorKind::OutOfBounds,
            FaultKind::Io => ErrorKind::Io,
            FaultKind::Misaligned => ErrorKind::InvalidInput,
            _ => ErrorKind::Fault,
        };
        let mut error = Self::new(kind, action, target, fault.to_string());
        error.0.fault = Some(fault);
        error
    }

    /// Adds what the caller can do about it.
    #[doc(hidden)]
    #[must_use]
    pub fn advice(mut self, advice: impl fmt::Display) -> Self {
        use fmt::Write as _;
        // Writing to a String cannot fail.
        let _ = write!(self.0.why, "; {advice}");
        self
    }

    /// Replaces the kind that the error number alone suggests.
    #[doc(hidden)]
    #[must_use]
    pub fn with_kind(mut self, kind: ErrorKind) -> Self {
        self.0.kind = kind;
        self
    }

    /// Returns what sort of thing went wrong.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        self.0.kind
    }

    /// Returns the fault behind this error, where an access to mapped memory was the cause.
    ///
    /// ```
    /// use mapwright_core::{Error, FaultKind, MapOptions};
    /// let map = MapOptions::new().shared_memory(10)?;
    /// let error = Error::from(map.view().load::<u64>(8).unwrap_err());
    /// assert_eq!(error.fault().unwrap().kind(), FaultKind::OutOfBounds);
    /// # Ok::<(), mapwright_core::Error>(())
    /// ```
    #[must_use]
    pub fn fault(&self) -> Option<Fault> {
        self.0.fault
    }

    /// Returns the kernel's error number, where a kernel call was the cause.
    ///
    /// ```
    /// let error = mapwright_core::Map::open("/no/such/file").unwrap_err();
    /// assert_eq!(error.raw_os_error(), Some(2));      // ENOENT
    /// ```
    #[must_use]
    pub fn raw_os_error(&self) -> Option<i32> {
        self.0.cause.as_ref().and_then(io::Error::raw_os_error)
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Report { action, target, why, .. } = &*self.0;
        let space = if target.is_empty() { "" } else { " " };
        write!(f, "cannot {action}{space}{target}: {why}")
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Error({:?}: {self})", self.0.kind)
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        if let Some(fault) = &self.0.fault {
            return Some(fault);
        }
        self.0.cause.as_ref().map(|cause| cause as &(dyn std::error::Error + 'static))
    }
}

impl From<Fault> for Error {
    #[cold]
    fn from(fault: Fault) -> Self {
        Self::faulted("access", "mapped bytes", fault)
    }
}

impl From<Error> for io::Error {
    fn from(error: Error) -> Self {
        let kind = match error.kind() {
            ErrorKind::NotFound => io::ErrorKind::NotFound,
            ErrorKind::PermissionDenied => io::ErrorKind::PermissionDenied,
            ErrorKind::InvalidInput | ErrorKind::OutOfBounds => io::ErrorKind::InvalidInput,
            ErrorKind::Unsupported => io::ErrorKind::Unsupported,
            ErrorKind::NoSpace => io::ErrorKind::StorageFull,
            ErrorKind::OutOfMemory => io::ErrorKind::OutOfMemory,
            ErrorKind::Busy => io::ErrorKind::ResourceBusy,
            ErrorKind::TypeMismatch | ErrorKind::Damaged => io::ErrorKind::InvalidData,
            ErrorKind::AlreadyExists => io::ErrorKind::AlreadyExists,
            ErrorKind::Io | ErrorKind::Fault => io::ErrorKind::Other,
        };
        Self::new(kind, error)
    }
}

/// What an access returns instead of a signal.
///
/// Plain mmap(2) kills the process with SIGBUS or SIGSEGV here.
///
/// ```
/// use mapwright_core::{FaultKind, MapOptions};
/// let file = tempfile::tempfile()?;
/// file.set_len(10_000)?;
/// let map = MapOptions::new().offset(1_000).map(&file)?;
/// file.set_len(4_096)?;
/// let fault = map.view().sub(5_000..)?.load::<u64>(8).unwrap_err();
/// assert_eq!(fault.kind(), FaultKind::Truncated);
/// assert_eq!((fault.offset(), fault.file_offset()), (8, 6_008));     // in the view; in the file
/// assert_eq!(fault.to_string(), "the file now ends before byte 6008: it was truncated");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Fault {
    kind: FaultKind,
    os_error: i32,
    offset: usize,
    file_offset: u64,
}

/// Why an access could not be made.
///
/// ```
/// use mapwright_core::{FaultKind, MapOptions};
/// let map = MapOptions::new().shared_memory(64)?;
/// let view = map.view();
/// assert_eq!(view.load::<u64>(60).unwrap_err().kind(), FaultKind::OutOfBounds);
/// assert_eq!(view.atomic::<u64>(4).unwrap_err().kind(), FaultKind::Misaligned);
/// # Ok::<(), mapwright_core::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum FaultKind {
    /// The file ends before this byte: somebody truncated it after it was mapped.
    Truncated,
    /// The file system or device could not deliver or take the page; see [`Fault::raw_os_error`].
    Io,
    /// A store found no space: the disk, the quota, or the huge page pool is full.
    NoSpace,
    /// Nothing is mapped here any more: the device went away, or a forked child did not inherit the range.
    Gone,
    /// The memory behind the page is broken, or the page was replaced after an earlier fault.
    Poisoned,
    /// The page exists, but its protection forbids this access (a guard page, or a range made inaccessible).
    Protected,
    /// The range asked for lies outside of the view. Nothing was touched.
    OutOfBounds,
    /// An atomic access was asked for at an offset that is not a multiple of its size. Nothing was touched.
    Misaligned,
}

impl Fault {
    #[cold]
    pub(crate) const fn new(kind: FaultKind, offset: usize, file_offset: u64, os_error: i32) -> Self {
        Self { kind, os_error, offset, file_offset }
    }

    /// Returns why the access could not be made.
    #[must_use]
    pub const fn kind(self) -> FaultKind {
        self.kind
    }

    /// Returns the first byte that could not be accessed, counted from the beginning of the view used.
    #[must_use]
    pub const fn offset(self) -> usize {
        self.offset
    }

    /// Returns the same byte counted from the beginning of the file (of the map, where no file is behind it).
    #[must_use]
    pub const fn file_offset(self) -> u64 {
        self.file_offset
    }

    /// Returns the kernel's error number where one is known (`EIO`, `ENOSPC`…).
    #[must_use]
    pub const fn raw_os_error(self) -> Option<i32> {
        if self.os_error == 0 { None } else { Some(self.os_error) }
    }

    /// Counts the offset from `base` on: the fault of a region, seen from a view that begins there.
    pub(crate) const fn seen_from(self, base: usize) -> Self {
        Self { offset: self.offset.saturating_sub(base), ..self }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let at = self.file_offset;
        match self.kind {
            FaultKind::Truncated => write!(f, "the file now ends before byte {at}: it was truncated"),
            FaultKind::Io => {
                let why = self.raw_os_error().map_or_else(
                    || "input or output error".to_owned(),
                    |number| plain(&io::Error::from_raw_os_error(number)),
                );
                write!(f, "byte {at} could not be read or written: {why}")
            }
            FaultKind::NoSpace => write!(f, "no space left for the page that holds byte {at}"),
            FaultKind::Gone => write!(f, "nothing is mapped any more at byte {at}"),
            FaultKind::Poisoned => write!(f, "the page that holds byte {at} is poisoned"),
            FaultKind::Protected => {
                write!(f, "the protection of the page that holds byte {at} forbids this access")
            }
            FaultKind::OutOfBounds => write!(f, "byte {} lies outside of the view", self.offset),
            FaultKind::Misaligned => write!(f, "offset {} is not aligned for an atomic access", self.offset),
        }?;
        match self.raw_os_error() {
            Some(number) if self.kind == FaultKind::NoSpace => {
                write!(f, " ({})", plain(&io::Error::from_raw_os_error(number)))
            }
            _ => Ok(()),
        }
    }
}

impl fmt::Debug for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Fault({:?} at {}: {self})", self.kind, self.offset)
    }
}

impl std::error::Error for Fault {}

impl From<OutOfBounds> for Fault {
    #[cold]
    fn from(bounds: OutOfBounds) -> Self {
        let first = bounds.start.max(bounds.available);
        Self::new(FaultKind::OutOfBounds, first, u64::try_from(first).unwrap_or(u64::MAX), 0)
    }
}

impl From<Fault> for io::Error {
    #[cold]
    fn from(fault: Fault) -> Self {
        let kind = match fault.kind {
            FaultKind::Truncated => io::ErrorKind::UnexpectedEof,
            FaultKind::NoSpace => io::ErrorKind::StorageFull,
            FaultKind::OutOfBounds | FaultKind::Misaligned => io::ErrorKind::InvalidInput,
            FaultKind::Protected => io::ErrorKind::PermissionDenied,
            FaultKind::Io | FaultKind::Gone | FaultKind::Poisoned => io::ErrorKind::Other,
        };
        Self::new(kind, fault)
    }
}

/// Names a path in an error message, quoted so that odd names stay visible.
pub(crate) fn quoted(path: &Path) -> String {
    format!("{path:?}")
}

/// Writes an operating-system error without the `(os error N)` that std appends, in lower case.
fn plain(error: &io::Error) -> String {
    let text = error.to_string();
    let text = text.split(" (os error").next().unwrap_or(&text);
    let mut letters = text.chars();
    match letters.next() {
        Some(first) => first.to_lowercase().chain(letters).collect(),
        None => text.to_owned(),
    }
}

fn kind_of(error: &io::Error) -> ErrorKind {
    match error.raw_os_error() {
        Some(libc::ENOENT | libc::ESRCH) => ErrorKind::NotFound,
        Some(libc::EACCES | libc::EPERM | libc::EROFS | libc::ETXTBSY) => ErrorKind::PermissionDenied,
        Some(
            libc::EINVAL | libc::EBADF | libc::EISDIR | libc::ENOTDIR | libc::ENAMETOOLONG | libc::ELOOP,
        ) => ErrorKind::InvalidInput,
        Some(libc::ENODEV | libc::ENOSYS | libc::EOPNOTSUPP | libc::ENOTTY | libc::EXDEV | libc::ENXIO) => {
            ErrorKind::Unsupported
        }
        Some(libc::ENOSPC | libc::EDQUOT | libc::EFBIG) => ErrorKind::NoSpace,
        Some(libc::ENOMEM | libc::EMFILE | libc::ENFILE | libc::EOVERFLOW) => ErrorKind::OutOfMemory,
        Some(libc::EAGAIN | libc::EBUSY) => ErrorKind::Busy,
        Some(libc::EEXIST) => ErrorKind::AlreadyExists,
        _ => ErrorKind::Io,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn message_says_what_was_asked_and_why_without_a_number() {
        let error = Error::os("open", quoted(Path::new("/x")), io::Error::from_raw_os_error(libc::ENOENT));
        assert_eq!(error.to_string(), "cannot open \"/x\": no such file or directory");
        assert_eq!(error.kind(), ErrorKind::NotFound);
        assert_eq!(error.raw_os_error(), Some(libc::ENOENT));
    }

    #[test]
    fn a_fault_keeps_its_offset_through_the_error() {
        let fault = Fault::new(FaultKind::Truncated, 5, 4101, 0);
        let error = Error::from(fault);
        assert_eq!(error.fault(), Some(fault));
        assert!(error.to_string().contains("byte 4101"), "{error}");
    }

    #[test]
    fn an_io_fault_says_what_the_device_said() {
        let text = |number| Fault::new(FaultKind::Io, 0, 7, number).to_string();
        assert_eq!(text(libc::EIO), "byte 7 could not be read or written: input/output error");
        assert_eq!(text(libc::ETIMEDOUT), "byte 7 could not be read or written: connection timed out");
        assert_eq!(text(0), "byte 7 could not be read or written: input or output error");
    }

    #[test]
    fn fault_is_small_enough_to_return() {
        assert!(size_of::<Fault>() <= 24);
    }
}
