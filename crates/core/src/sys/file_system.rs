//! Which file system a file is on, where a promise is only as good as the one who keeps it.

use std::io;
use std::os::fd::BorrowedFd;

/// A file system, as far as promises differ.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum FileSystem {
    Ext4,
    F2fs,
    Btrfs,
    Xfs,
    /// Huge pages of this many bytes.
    Huge(u64),
    Other,
}

/// Returns the file system that a file is on (fstatfs(2)).
pub(crate) fn of(file: BorrowedFd<'_>) -> io::Result<FileSystem> {
    let stat = rustix::fs::fstatfs(file)?;
    // The numbers of linux/magic.h; some are not in every libc, and their type differs between
    // architectures.
    Ok(match u64::try_from(stat.f_type) {
        Ok(0xEF53) => FileSystem::Ext4,
        Ok(0xF2F5_2010) => FileSystem::F2fs,
        Ok(0x9123_683E) => FileSystem::Btrfs,
        Ok(0x5846_5342) => FileSystem::Xfs,
        Ok(0x9584_58F6) => FileSystem::Huge(u64::try_from(stat.f_bsize).unwrap_or(0)),
        _ => FileSystem::Other,
    })
}
