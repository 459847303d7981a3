//! Memory that two processes share, handed out as atomic words and as slices under a protocol of the user.

use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::ptr::NonNull;
use std::sync::atomic::{AtomicU32, AtomicU64};

use anyhow::{Result, ensure};

/// A memfd and its mapping. The file is inherited by the process that is started next.
pub(crate) struct Shared {
    file: OwnedFd,
    start: NonNull<u8>,
    len: usize,
}

impl Shared {
    /// New memory, all of it present and zero.
    ///
    /// # Errors
    /// Where there is none.
    pub(crate) fn new(len: usize) -> Result<Self> {
        // SAFETY: the name is a C string; without MFD_CLOEXEC the second process inherits the file.
        let file = unsafe { libc::memfd_create(c"mapwright-bench".as_ptr(), 0) };
        ensure!(file >= 0, "make a memfd: {}", std::io::Error::last_os_error());
        // SAFETY: the descriptor is new and nobody else's.
        let file = unsafe { OwnedFd::from_raw_fd(file) };
        // SAFETY: no pointers are passed.
        let status = unsafe { libc::ftruncate(file.as_raw_fd(), len as libc::off_t) };
        ensure!(status == 0, "give a memfd {len} bytes: {}", std::io::Error::last_os_error());
        Self::attach(file, len)
    }

    /// Memory that the other process has made.
    ///
    /// # Errors
    /// Where it cannot be mapped.
    pub(crate) fn attach(file: OwnedFd, len: usize) -> Result<Self> {
        let (protection, flags) = (libc::PROT_READ | libc::PROT_WRITE, libc::MAP_SHARED | libc::MAP_POPULATE);
        // SAFETY: a fresh mapping wherever the kernel likes.
        let start = unsafe { libc::mmap(std::ptr::null_mut(), len, protection, flags, file.as_raw_fd(), 0) };
        ensure!(start != libc::MAP_FAILED, "map {len} bytes: {}", std::io::Error::last_os_error());
        let start = NonNull::new(start.cast()).expect("the kernel maps nothing at zero by itself");
        Ok(Self { file, start, len })
    }

    pub(super) fn descriptor(&self) -> RawFd {
        self.file.as_raw_fd()
    }

    /// The address of `len` bytes at `offset`, which is a multiple of 8.
    pub(crate) fn at(&self, offset: usize, len: usize) -> *mut u8 {
        let inside = offset.checked_add(len).is_some_and(|end| end <= self.len);
        assert!(inside && offset.is_multiple_of(8), "{len} bytes at {offset} of {}", self.len);
        // SAFETY: the offset is inside the mapping.
        unsafe { self.start.as_ptr().add(offset) }
    }

    /// The word at an offset.
    pub(crate) fn word(&self, offset: usize) -> &AtomicU64 {
        let address = self.at(offset, 8).cast();
        // SAFETY: aligned, inside the mapping for as long as the borrow, and shared memory knows no types.
        unsafe { AtomicU64::from_ptr(address) }
    }

    /// The half word at an offset, as futex(2) wants it.
    pub(crate) fn half(&self, offset: usize) -> &AtomicU32 {
        let address = self.at(offset, 4).cast();
        // SAFETY: as above.
        unsafe { AtomicU32::from_ptr(address) }
    }

    /// Words that the caller's protocol lets nobody else touch meanwhile.
    #[allow(clippy::disallowed_methods, reason = "the rivals and limits do so; ours does not come here")]
    pub(crate) fn change<R>(&self, offset: usize, count: usize, work: impl FnOnce(&mut [u64]) -> R) -> R {
        let address = self.at(offset, count * 8).cast();
        // SAFETY: aligned and inside. That the other process keeps away is the protocol of the peer that is
        // measured, as it is for everybody who shares memory without help.
        work(unsafe { std::slice::from_raw_parts_mut(address, count) })
    }

    /// Words that the caller's protocol lets nobody write meanwhile.
    #[allow(clippy::disallowed_methods, reason = "the rivals and limits do so; ours does not come here")]
    pub(crate) fn look<R>(&self, offset: usize, count: usize, work: impl FnOnce(&[u64]) -> R) -> R {
        let address = self.at(offset, count * 8).cast();
        // SAFETY: as above.
        work(unsafe { std::slice::from_raw_parts(address, count) })
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        // SAFETY: the range is ours and nothing borrows it any more.
        let status = unsafe { libc::munmap(self.start.as_ptr().cast(), self.len) };
        debug_assert_eq!(status, 0, "unmapping what was mapped succeeds");
    }
}
