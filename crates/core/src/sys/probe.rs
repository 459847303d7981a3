//! Kernel calls that are made only to learn whether they can be made: without effect, or undone at once.

#![allow(unsafe_code, reason = "system calls that have no wrapper; listed in docs/SOUNDNESS.md")]

use std::fs::File;
use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};

use linux_raw_sys::general::uffdio_api;
use linux_raw_sys::ioctl::UFFDIO_API;
use rustix::ioctl::{Updater, ioctl};

use super::page;

/// Which faults a userfaultfd is asked to report.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Faults {
    /// Also those that the kernel itself runs into, inside of a system call.
    All,
    /// Only those of instructions of the process (Linux 5.11).
    OfUserCode,
}

/// Seals no byte at all (mseal(2), Linux 6.10): succeeds exactly where the kernel has the call.
pub(crate) fn seal_nothing() -> io::Result<()> {
    let (nowhere, nothing, flags) = (page::size(), 0usize, 0u64);
    // SAFETY: an empty range changes nothing.
    let result = unsafe { libc::syscall(libc::SYS_mseal, nowhere, nothing, flags) };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// Makes a userfaultfd by the system call.
pub(crate) fn userfaultfd(faults: Faults) -> io::Result<OwnedFd> {
    const UFFD_USER_MODE_ONLY: i32 = 1;
    let mode = match faults {
        Faults::All => 0,
        Faults::OfUserCode => UFFD_USER_MODE_ONLY,
    };
    // SAFETY: takes flags and returns a new descriptor or an error.
    let fd = unsafe { libc::syscall(libc::SYS_userfaultfd, libc::O_CLOEXEC | mode) };
    adopt(fd)
}

/// Makes a userfaultfd by its device, whose file mode says who may (Linux 6.1).
pub(crate) fn userfaultfd_by_device() -> io::Result<OwnedFd> {
    /// `_IO(0xAA, 0)`
    const USERFAULTFD_IOC_NEW: u32 = 0xAA00;
    let device = File::options().read(true).write(true).open("/dev/userfaultfd")?;
    let new = super::request(USERFAULTFD_IOC_NEW);
    // SAFETY: takes flags and returns a new descriptor or an error.
    let fd = unsafe { libc::ioctl(device.as_raw_fd(), new, libc::O_CLOEXEC) };
    adopt(libc::c_long::from(fd))
}

/// Asks a fresh userfaultfd which features the kernel has.
pub(crate) fn userfaultfd_features(userfaultfd: &OwnedFd) -> io::Result<u64> {
    const UFFD_API: u64 = 0xAA;
    let mut api = uffdio_api { api: UFFD_API, features: 0, ioctls: 0 };
    // SAFETY: for this number the kernel reads and writes one uffdio_api.
    let request = unsafe { Updater::<UFFDIO_API, uffdio_api>::new(&mut api) };
    // SAFETY: the request writes to the local that it borrows, and only there.
    unsafe { ioctl(userfaultfd, request) }?;
    Ok(api.features)
}

fn adopt(fd: libc::c_long) -> io::Result<OwnedFd> {
    match i32::try_from(fd) {
        // SAFETY: the kernel has just made this descriptor for us; nobody else owns it.
        Ok(fd) if fd >= 0 => Ok(unsafe { OwnedFd::from_raw_fd(fd) }),
        _ => Err(io::Error::last_os_error()),
    }
}
