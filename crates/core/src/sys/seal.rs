//! Memory files and their seals: memfd_create(2) and fcntl(2).

use std::io;
use std::os::fd::{BorrowedFd, OwnedFd};

use rustix::fs::{MemfdFlags, Mode, SealFlags};
use rustix::io::Errno;

/// Whether a memory file may be started as a program.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Execution {
    Never,
    Allowed,
}

/// Makes a memory file that can be sealed, of small pages or of huge ones of `1 << huge_log2` bytes.
///
/// Before Linux 6.3 the kernel has no word for execution: there the file loses its executable bits,
/// unsealed.
pub(crate) fn memory_file(name: &str, execution: Execution, huge_log2: Option<u32>) -> io::Result<OwnedFd> {
    let huge = huge_log2.map_or(MemfdFlags::empty(), |log2| {
        MemfdFlags::HUGETLB | MemfdFlags::from_bits_retain(log2 << libc::MFD_HUGE_SHIFT)
    });
    let flags = MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING | huge;
    let word = match execution {
        Execution::Never => MemfdFlags::NOEXEC_SEAL,
        Execution::Allowed => MemfdFlags::EXEC,
    };
    match rustix::fs::memfd_create(name, flags | word) {
        Err(Errno::INVAL) => {
            let file = rustix::fs::memfd_create(name, flags)?;
            if execution == Execution::Never {
                rustix::fs::fchmod(&file, Mode::from_raw_mode(0o666))?;
            }
            Ok(file)
        }
        result => Ok(result?),
    }
}

/// Reads a file's seals; `EINVAL` where this kind of file has none.
pub(crate) fn seals(file: BorrowedFd<'_>) -> io::Result<u32> {
    Ok(rustix::fs::fcntl_get_seals(file)?.bits())
}

/// Adds seals, for ever.
pub(crate) fn add_seals(file: BorrowedFd<'_>, seals: u32) -> io::Result<()> {
    Ok(rustix::fs::fcntl_add_seals(file, SealFlags::from_bits_retain(seals))?)
}
