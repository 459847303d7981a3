//! fs-verity: files whose bytes the kernel checks against a hash tree whenever it reads them (Linux 5.4).

#![allow(unsafe_code, reason = "ioctls of fs-verity; listed in docs/SOUNDNESS.md")]

use std::io;
use std::os::fd::BorrowedFd;
use std::time::{Duration, Instant};

use linux_raw_sys::ioctl::{FS_IOC_ENABLE_VERITY, FS_IOC_MEASURE_VERITY};
use rustix::ioctl::{Setter, Updater, ioctl};

/// The kernel's `struct fsverity_digest`, with room for its longest digest.
#[repr(C)]
struct Measure {
    algorithm: u16,
    /// In: how much room there is. Out: how long the digest is.
    size: u16,
    digest: [u8; LONGEST_DIGEST],
}

const LONGEST_DIGEST: usize = 64;

/// Asks for the digest that a file's bytes are checked against: `Ok` exactly where they are.
///
/// `ENODATA` where the file could be but is not; `ENOTTY` or `EOPNOTSUPP` where the file system or the
/// kernel cannot.
pub(crate) fn measure(file: BorrowedFd<'_>) -> io::Result<()> {
    let mut measure = Measure { algorithm: 0, size: 64, digest: [0; LONGEST_DIGEST] };
    // SAFETY: for this number the kernel reads and writes one fsverity_digest, with at most `size` bytes
    // of digest.
    let request = unsafe { Updater::<FS_IOC_MEASURE_VERITY, Measure>::new(&mut measure) };
    // SAFETY: the request writes to the local that it borrows, and only the two fields and the digest
    // behind them.
    unsafe { ioctl(file, request) }?;
    Ok(())
}

/// How long a writer that was closed may live on in a child that is being forked, before it is believed.
const WRITERS_MAY_LINGER: Duration = Duration::from_secs(5);

/// Turns verity on for a file that nobody has open for writing.
///
/// A child that another thread forks has every descriptor until it runs its program: a writer that was closed
/// here may still be open there for a moment, so `ETXTBSY` is believed only when it stays.
pub(crate) fn enable(file: BorrowedFd<'_>) -> io::Result<()> {
    let start = Instant::now();
    loop {
        match enable_once(file) {
            Err(error)
                if error.raw_os_error() == Some(libc::ETXTBSY) && start.elapsed() < WRITERS_MAY_LINGER =>
            {
                std::thread::yield_now();
            }
            result => return result,
        }
    }
}

fn enable_once(file: BorrowedFd<'_>) -> io::Result<()> {
    /// The kernel's `struct fsverity_enable_arg`.
    #[repr(C)]
    #[derive(Default)]
    struct Enable {
        version: u32,
        algorithm: u32,
        block_size: u32,
        salt_size: u32,
        salt: u64,
        signature_size: u32,
        reserved: u32,
        signature: u64,
        more: [u64; 11],
    }
    /// `FS_VERITY_HASH_ALG_SHA256`.
    const SHA256: u32 = 1;
    let enable = Enable { version: 1, algorithm: SHA256, block_size: 4096, ..Enable::default() };
    // SAFETY: for this number the kernel reads one fsverity_enable_arg.
    let request = unsafe { Setter::<FS_IOC_ENABLE_VERITY, Enable>::new(enable) };
    // SAFETY: the request only reads its own structure, whose pointers are null.
    unsafe { ioctl(file, request) }?;
    Ok(())
}
