//! Whether nobody can change a file any more, so that a slice of it is safe.
//!
//! Two things make a file immutable: a memory file sealed against writing and shrinking (memfd_create(2)),
//! and fs-verity. A seal is the kernel's word. That a file has fs-verity is only as good as the file system
//! that says so: one in user space can claim it, so only those in the kernel that have it are believed.

#![allow(unsafe_code, reason = "fcntl(2) and ioctl(2) on a descriptor")]

use std::fmt;
use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};

use crate::descriptor;

/// Why [`MmapOptions::map_if_safe`](crate::MmapOptions::map_if_safe) did not map a file.
pub struct MapIfSafeError {
    why: Why,
}

#[derive(Debug)]
enum Why {
    NotSafe(io::Error),
    MapFailed(io::Error),
}

impl MapIfSafeError {
    fn not_safe_because(why: impl Into<String>) -> Self {
        let error = io::Error::new(io::ErrorKind::InvalidInput, why.into());
        Self { why: Why::NotSafe(error) }
    }

    pub(crate) fn mapping(error: io::Error) -> Self {
        Self { why: Why::MapFailed(error) }
    }

    /// Returns whether this platform cannot tell. Linux always can.
    pub fn not_supported(&self) -> bool {
        false
    }

    /// Returns whether somebody might change the file.
    pub fn not_safe(&self) -> bool {
        matches!(self.why, Why::NotSafe(_))
    }

    /// Returns whether the file may be safe and could not be mapped.
    pub fn map_failed(&self) -> bool {
        matches!(self.why, Why::MapFailed(_))
    }
}

impl fmt::Display for MapIfSafeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (Why::NotSafe(error) | Why::MapFailed(error)) = &self.why;
        fmt::Display::fmt(error, f)
    }
}

impl fmt::Debug for MapIfSafeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.why, f)
    }
}

impl std::error::Error for MapIfSafeError {}

impl From<MapIfSafeError> for io::Error {
    fn from(error: MapIfSafeError) -> Self {
        let (Why::NotSafe(error) | Why::MapFailed(error)) = error.why;
        error
    }
}

/// Duplicates a descriptor, so that what is checked is what is mapped: another thread may close the caller's
/// and open another file under its number meanwhile.
pub(crate) fn hold(fd: RawFd) -> io::Result<OwnedFd> {
    // SAFETY: takes numbers only; the kernel checks the descriptor.
    let held = unsafe { libc::fcntl(fd, libc::F_DUPFD_CLOEXEC, 0) };
    if held < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the kernel has just made this descriptor for us; nobody else owns it.
    Ok(unsafe { OwnedFd::from_raw_fd(held) })
}

/// Refuses a file that somebody might change, and a range that it does not have.
pub(crate) fn check(file: &OwnedFd, offset: u64, len: usize) -> Result<(), MapIfSafeError> {
    check_file(file)?;
    let file_len = descriptor::len(file.as_raw_fd()).map_err(|error| {
        MapIfSafeError::not_safe_because(format!("cannot tell how long the file is: {error}"))
    })?;
    let end = u64::try_from(len).ok().and_then(|len| offset.checked_add(len));
    let end = end.ok_or_else(|| {
        let why = format!("cannot map {len} bytes from {offset}: no file is that long");
        MapIfSafeError::mapping(io::Error::new(io::ErrorKind::InvalidInput, why))
    })?;
    if end > file_len {
        let why = format!("not safe to map up to byte {end}: the file has only {file_len} bytes");
        return Err(MapIfSafeError::not_safe_because(why));
    }
    Ok(())
}

fn check_file(file: &OwnedFd) -> Result<(), MapIfSafeError> {
    // SAFETY: takes an open descriptor and numbers only.
    let seals = unsafe { libc::fcntl(file.as_raw_fd(), libc::F_GET_SEALS) };
    if seals >= 0 {
        let wanted = [(libc::F_SEAL_SHRINK, "F_SEAL_SHRINK"), (libc::F_SEAL_WRITE, "F_SEAL_WRITE")];
        let missing = wanted.iter().filter(|(seal, _)| seals & seal == 0).map(|(_, name)| *name);
        let missing = missing.collect::<Vec<_>>().join(" and ");
        return match missing.as_str() {
            "" => Ok(()),
            missing => Err(MapIfSafeError::not_safe_because(format!(
                "not safe to map: the file in memory lacks {missing}"
            ))),
        };
    }
    if has_verity(file) {
        return Ok(());
    }
    let why = "not safe to map: the file is neither sealed in memory nor protected by fs-verity";
    Err(MapIfSafeError::not_safe_because(why))
}

/// Whether a file has fs-verity, on a file system whose word counts.
fn has_verity(file: &OwnedFd) -> bool {
    const BTRFS: i128 = 0x9123_683e;
    const EXT4: i128 = 0xef53;
    const F2FS: i128 = 0xf2f5_2010;
    /// `_IOWR('f', 134, struct fsverity_digest)`, linux/fsverity.h.
    #[cfg_attr(target_env = "musl", allow(overflowing_literals, reason = "an int of the same bits there"))]
    const MEASURE_VERITY: libc::Ioctl = 0xc004_6686;
    /// `struct fsverity_digest` without room for the digest itself.
    #[repr(C)]
    struct Digest {
        algorithm: u16,
        size: u16,
    }
    if !file_system(file).is_some_and(|magic| [BTRFS, EXT4, F2FS].contains(&magic)) {
        return false;
    }
    let mut digest = Digest { algorithm: 0, size: 0 };
    // SAFETY: the kernel writes to the structure no more than its `size`, which says that there is no room
    // behind it.
    let measured = unsafe { libc::ioctl(file.as_raw_fd(), MEASURE_VERITY, &raw mut digest) };
    // There is a digest, and no room for it: that is all we want to know.
    measured == 0 || io::Error::last_os_error().raw_os_error() == Some(libc::EOVERFLOW)
}

/// Returns the magic number of the file system that holds a file: the C libraries differ about its sign.
fn file_system(file: &OwnedFd) -> Option<i128> {
    let mut stat = MaybeUninit::<libc::statfs>::uninit();
    // SAFETY: takes an open descriptor and fills the local structure, or fails.
    if unsafe { libc::fstatfs(file.as_raw_fd(), stat.as_mut_ptr()) } != 0 {
        return None;
    }
    // SAFETY: fstatfs has succeeded, so it has filled the structure.
    let stat = unsafe { stat.assume_init() };
    Some(stat.f_type.into())
}
