//! Whole files, read: what is too small to be worth mapping, or cannot be mapped at all.

use std::path::Path;

use rustix::buffer::spare_capacity;
use rustix::fs::{Mode, OFlags};

use crate::error::{Error, Result, quoted};
use crate::sys::file::{self, Kind};

/// Read first, before the file's size is asked: most small files end within, and asking costs a call.
const FIRST: usize = 64 << 10;

/// Reads a whole file into memory.
///
/// Faster than mapping up to a megabyte or so (measured, with every byte summed: 1 KiB 2.8 times, 64 KiB 1.7
/// times, 1 MiB 1.1 times), and the only way for files that have no length and cannot be mapped, such as most
/// of /proc, and for pipes.
///
/// # Errors
/// What open(2) and read(2) refuse, named by the path; a directory.
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
    let mut bytes = Vec::with_capacity(FIRST);
    loop {
        if bytes.len() == bytes.capacity() {
            make_room(&file, &mut bytes).map_err(refused)?;
        }
        let read = rustix::io::retry_on_intr(|| rustix::io::read(&file, spare_capacity(&mut bytes)));
        // Only a read of nothing ends a file: /proc and FUSE files give less than was asked for on the way.
        if read.map_err(|cause| refused(cause.into()))? == 0 {
            break;
        }
    }
    if bytes.capacity() - bytes.len() > bytes.len() / 8 {
        bytes.shrink_to_fit();
    }
    Ok(bytes)
}

/// Makes room for the rest of the file and one byte more, which the read that finds the end needs.
fn make_room(file: &rustix::fd::OwnedFd, bytes: &mut Vec<u8>) -> std::io::Result<()> {
    use std::os::fd::AsFd;
    let rest = match file::describe(file.as_fd())?.kind {
        Kind::Regular { len } | Kind::Block { len } => {
            usize::try_from(len).unwrap_or(usize::MAX).saturating_sub(bytes.len()).saturating_add(1)
        }
        _ => 0,
    };
    let room = if rest > 1 { rest } else { bytes.len().max(FIRST) };
    bytes.try_reserve_exact(room).map_err(|_| std::io::Error::from_raw_os_error(libc::ENOMEM))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_of_every_size_around_the_first_read_come_whole() {
        let folder = tempfile::tempdir().unwrap();
        for len in [0, 1, FIRST - 1, FIRST, FIRST + 1, 3 * FIRST + 7] {
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
