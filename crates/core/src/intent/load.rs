//! Whole files, read: what is too small to be worth mapping, or cannot be mapped at all.

use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

use rustix::buffer::spare_capacity;
use rustix::fs::{FileType, Mode, OFlags};

use crate::error::{Error, Result, quoted};
use crate::sys::file;
use crate::sys::memory::prefer_huge_pages;

/// How much room is made first where nobody knows how much will come.
const PIECE: usize = 64 << 10;

/// Reads a whole file into memory.
///
/// Faster than mapping up to a megabyte or so, and the only way for files that have no length and cannot be
/// mapped, such as most of /proc, and for pipes. Measured, warm, with every byte summed (the benchmark's rows
/// on whole files):
///
/// | a file of | beside `std::fs::read` | beside a slice of memmap2's |
/// |---|---|---|
/// | 1 KiB | 1.22 times as fast | 2.4 |
/// | 64 KiB | 1.13 | 1.39 |
/// | 1 MiB | 1.09 | 1.28 |
///
/// # Errors
/// What open(2) and read(2) refuse, named by the path; a directory.
///
/// # Kernel
/// open(2), fstat(2) and read(2): one allocation, and for a file on a disk no read to find its end.
///
/// ```
/// let status = mapwright_core::load("/proc/self/status")?;
/// assert!(status.starts_with(b"Name:"));
/// # Ok::<(), mapwright_core::Error>(())
/// ```
pub fn load(path: impl AsRef<Path>) -> Result<Vec<u8>> {
    let path = path.as_ref();
    let opened = rustix::fs::open(path, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty());
    let file = opened.map_err(|cause| Error::os("open", quoted(path), cause))?;
    let refused = |cause| Error::os("read", quoted(path), cause);
    let expected = expect(&file).map_err(refused)?;
    let mut bytes = Vec::new();
    // One byte more than is expected: the read that comes back without it has seen the end.
    let mut room = if expected.len == 0 { PIECE } else { expected.len.saturating_add(1) };
    loop {
        if bytes.len() == bytes.capacity() {
            let short = |_| refused(std::io::Error::from_raw_os_error(libc::ENOMEM));
            bytes.try_reserve_exact(room).map_err(short)?;
            prefer_huge_pages(bytes.spare_capacity_mut());
            room = bytes.capacity();
        }
        let read = rustix::io::retry_on_intr(|| rustix::io::read(&file, spare_capacity(&mut bytes)));
        // Only a read of nothing ends a file: /proc and FUSE files give less than was asked for on the way.
        let read = read.map_err(|cause| refused(cause.into()))?;
        if read == 0 || (read == expected.len && bytes.len() == read && expected.is_stored) {
            break;
        }
    }
    if bytes.capacity() - bytes.len() > bytes.len() / 8 {
        bytes.shrink_to_fit();
    }
    Ok(bytes)
}

/// What a file says of itself.
struct Expected {
    len: usize,
    /// Whether it lies on a disk or in memory as it is, so that a read stops short of what was asked at its
    /// end only. What the kernel makes up while it is read (in /proc, in /sys) has a length, too, but no
    /// blocks.
    is_stored: bool,
}

fn expect(file: &OwnedFd) -> std::io::Result<Expected> {
    let stat = rustix::fs::fstat(file)?;
    let is_file = FileType::from_raw_mode(stat.st_mode) == FileType::RegularFile;
    let len = if is_file { u64::try_from(stat.st_size).unwrap_or(0) } else { file::len(file.as_fd())? };
    Ok(Expected { len: usize::try_from(len).unwrap_or(usize::MAX), is_stored: is_file && stat.st_blocks > 0 })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_of_every_size_come_whole() {
        let folder = tempfile::tempdir().unwrap();
        for len in [0, 1, PIECE - 1, PIECE, PIECE + 1, 3 * PIECE + 7] {
            let path = folder.path().join("file");
            let content: Vec<u8> = (0..len).map(|index| index.to_le_bytes()[0] ^ 1).collect();
            std::fs::write(&path, &content).unwrap();
            assert_eq!(load(&path).unwrap(), content, "{len} bytes");
        }
    }

    #[test]
    fn a_directory_is_refused_by_name() {
        let error = load("/proc").unwrap_err();
        assert!(error.to_string().starts_with("cannot read \"/proc\""), "{error}");
    }
}
