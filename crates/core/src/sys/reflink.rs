//! Files that share their blocks until one of them is written: `FICLONERANGE` (Linux 4.5; xfs, btrfs).

#![allow(unsafe_code, reason = "an ioctl that shares blocks; listed in docs/SOUNDNESS.md")]

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};
use std::path::Path;

use linux_raw_sys::general::file_clone_range;
use linux_raw_sys::ioctl::FICLONERANGE;
use rustix::fs::{Mode, OFlags};
use rustix::ioctl::{Setter, ioctl};

/// How much of a file to share, from an offset on. The file system wants both in whole blocks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Extent {
    Bytes(u64),
    ToTheEnd,
}

/// Makes `target` begin with the blocks of a range of `source`.
pub(crate) fn share(
    target: BorrowedFd<'_>,
    source: BorrowedFd<'_>,
    offset: u64,
    extent: Extent,
) -> io::Result<()> {
    let range = file_clone_range {
        src_fd: i64::from(source.as_raw_fd()),
        src_offset: offset,
        src_length: match extent {
            Extent::Bytes(bytes) => bytes,
            // The kernel's word for "to the end".
            Extent::ToTheEnd => 0,
        },
        dest_offset: 0,
    };
    // SAFETY: for this number the kernel reads one file_clone_range.
    let request = unsafe { Setter::<FICLONERANGE, file_clone_range>::new(range) };
    // SAFETY: the request only reads its own structure; both descriptors are open while this runs.
    unsafe { ioctl(target, request) }?;
    Ok(())
}

/// Makes a file without a name on the folder's file system, which can never get one.
pub(crate) fn nameless(folder: &Path) -> io::Result<std::os::fd::OwnedFd> {
    let flags = OFlags::TMPFILE | OFlags::RDWR | OFlags::EXCL | OFlags::CLOEXEC;
    // Readable by its owner alone, for the reopening; nobody but a superuser can open it for writing.
    Ok(rustix::fs::open(folder, flags, Mode::RUSR)?)
}
