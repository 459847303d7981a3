//! What a file says about itself, and room on the disk.

use std::fs::File;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use rustix::fs::{FallocateFlags, FileType, SeekFrom};

/// What kind of thing a descriptor names, with its length in bytes where it has one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Regular { len: u64 },
    Block { len: u64 },
    Character,
    Directory,
    Pipe,
    Socket,
    Other,
}

/// A file's identity: its device and inode.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Identity {
    pub(crate) device: u64,
    pub(crate) inode: u64,
}

/// What fstat(2) says.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Description {
    pub(crate) kind: Kind,
    pub(crate) identity: Identity,
    /// The block size that the file system likes; on hugetlbfs that is the size of its pages.
    pub(crate) block: u64,
}

/// What fstat(2) says, and for a block device what seeking to its end says.
pub(crate) fn describe(file: BorrowedFd<'_>) -> io::Result<Description> {
    let stat = rustix::fs::fstat(file)?;
    let identity = Identity { device: stat.st_dev, inode: stat.st_ino };
    let kind = match FileType::from_raw_mode(stat.st_mode) {
        FileType::RegularFile => Kind::Regular { len: u64::try_from(stat.st_size).unwrap_or(0) },
        FileType::BlockDevice => Kind::Block { len: end_by_seek(file)? },
        FileType::CharacterDevice => Kind::Character,
        FileType::Directory => Kind::Directory,
        FileType::Fifo => Kind::Pipe,
        FileType::Socket => Kind::Socket,
        _ => Kind::Other,
    };
    Ok(Description { kind, identity, block: u64::try_from(stat.st_blksize).unwrap_or(0) })
}

/// Returns a regular file's or block device's present length.
pub(crate) fn len(file: BorrowedFd<'_>) -> io::Result<u64> {
    match describe(file)?.kind {
        Kind::Regular { len } | Kind::Block { len } => Ok(len),
        _ => Ok(0),
    }
}

/// fstat says 0 for a block device; its end can be found by seeking, on a description of our own.
fn end_by_seek(file: BorrowedFd<'_>) -> io::Result<u64> {
    // Reopened, so that the caller's file position does not move; where /proc is missing, moved and put back.
    match reopen(file, rustix::fs::OFlags::RDONLY) {
        Ok(own) => Ok(rustix::fs::seek(&own, SeekFrom::End(0))?),
        Err(_) => {
            let before = rustix::fs::tell(file)?;
            let end = rustix::fs::seek(file, SeekFrom::End(0))?;
            rustix::fs::seek(file, SeekFrom::Start(before))?;
            Ok(end)
        }
    }
}

/// Opens the same file again with other flags (an open file description of its own).
pub(crate) fn reopen(file: BorrowedFd<'_>, flags: rustix::fs::OFlags) -> io::Result<OwnedFd> {
    Ok(rustix::fs::open(proc_path(file), flags | rustix::fs::OFlags::CLOEXEC, rustix::fs::Mode::empty())?)
}

/// The descriptor's name under /proc.
pub(crate) fn proc_path(file: BorrowedFd<'_>) -> PathBuf {
    use std::os::fd::AsRawFd;
    Path::new("/proc/self/fd").join(file.as_raw_fd().to_string())
}

/// The path that the kernel remembers for a descriptor, for messages.
pub(crate) fn remembered_path(file: BorrowedFd<'_>) -> Option<PathBuf> {
    std::fs::read_link(proc_path(file)).ok()
}

/// Reserves disk space for a range, extending the file where it ends before the range does.
pub(crate) fn reserve(file: BorrowedFd<'_>, offset: u64, len: u64) -> io::Result<()> {
    Ok(rustix::io::retry_on_intr(|| rustix::fs::fallocate(file, FallocateFlags::empty(), offset, len))?)
}

/// Reserves disk space for a range without changing the file's length.
pub(crate) fn reserve_within(file: BorrowedFd<'_>, offset: u64, len: u64) -> io::Result<()> {
    Ok(rustix::io::retry_on_intr(|| rustix::fs::fallocate(file, FallocateFlags::KEEP_SIZE, offset, len))?)
}

/// Gives a range's disk space back; it reads as zeros afterwards.
pub(crate) fn punch(file: BorrowedFd<'_>, offset: u64, len: u64) -> io::Result<()> {
    let flags = FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE;
    Ok(rustix::io::retry_on_intr(|| rustix::fs::fallocate(file, flags, offset, len))?)
}

/// Writes all bytes at an offset. What would make the file larger than RLIMIT_FSIZE allows is `EFBIG` here;
/// asked to, the kernel sends SIGXFSZ, whose default is to end the process.
pub(crate) fn write_all_at(file: &File, bytes: &[u8], offset: u64) -> io::Result<()> {
    let end = offset.saturating_add(u64::try_from(bytes.len()).unwrap_or(u64::MAX));
    if size_limit().is_some_and(|limit| end > limit) {
        return Err(io::Error::from_raw_os_error(libc::EFBIG));
    }
    file.write_all_at(bytes, offset)
}

/// How large this process may make files, where there is a limit (RLIMIT_FSIZE).
pub(crate) fn size_limit() -> Option<u64> {
    rustix::process::getrlimit(rustix::process::Resource::Fsize).current
}

/// Reads one byte, to learn what the file answers now: data, its end, or an error.
pub(crate) fn probe_byte(file: impl AsFd, offset: u64) -> io::Result<usize> {
    let mut byte = [0u8];
    Ok(rustix::io::retry_on_intr(|| rustix::io::pread(file.as_fd(), &mut byte, offset))?)
}

/// How many bytes an unprivileged user may still write to the file's file system.
pub(crate) fn space_left(file: BorrowedFd<'_>) -> io::Result<u64> {
    let stat = rustix::fs::fstatvfs(file)?;
    Ok(stat.f_bavail.saturating_mul(stat.f_frsize))
}

/// How many bytes are free on the file's file system, for the superuser; `None` where it does not count them.
pub(crate) fn free_space(file: BorrowedFd<'_>) -> Option<u64> {
    let stat = rustix::fs::fstatvfs(file).ok()?;
    (stat.f_blocks > 0).then(|| stat.f_bfree.saturating_mul(stat.f_frsize))
}
