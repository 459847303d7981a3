//! Plain mmap(2), by which the infrastructure is proven before anything of ours stands on it: an access that
//! the kernel cannot serve kills.
#![allow(unsafe_code, reason = "plain mmap has no safe form; that is why Mapwright exists")]

use std::fs::File;
use std::io;
use std::os::fd::AsRawFd;
use std::ptr;

/// A shared mapping of the beginning of a file.
pub(crate) struct PlainMap {
    start: *mut u8,
    length: usize,
}

impl PlainMap {
    pub(crate) fn new(file: &File, length: usize) -> io::Result<Self> {
        Self::with_access(file, length, libc::PROT_READ | libc::PROT_WRITE)
    }

    /// One into which nothing can be stored.
    pub(crate) fn read_only(file: &File, length: usize) -> io::Result<Self> {
        Self::with_access(file, length, libc::PROT_READ)
    }

    fn with_access(file: &File, length: usize, access: i32) -> io::Result<Self> {
        // SAFETY: the kernel chooses the place, so nothing that exists is replaced.
        let start =
            unsafe { libc::mmap(ptr::null_mut(), length, access, libc::MAP_SHARED, file.as_raw_fd(), 0) };
        if start == libc::MAP_FAILED {
            return Err(io::Error::last_os_error());
        }
        Ok(Self { start: start.cast(), length })
    }

    /// The address of the first byte.
    pub(crate) fn start(&self) -> *mut u8 {
        self.start
    }

    /// Loads one byte.
    pub(crate) fn load(&self, at: usize) -> u8 {
        // SAFETY: `at_checked` stays within the mapping, which lives as long as we do; a volatile load of a
        // byte that others may change is what the hardware does.
        unsafe { self.at_checked(at).read_volatile() }
    }

    /// Stores one byte.
    pub(crate) fn store(&self, at: usize, byte: u8) {
        // SAFETY: as for `load`.
        unsafe { self.at_checked(at).write_volatile(byte) }
    }

    /// Waits until what was stored is on the disk.
    pub(crate) fn sync(&self) -> io::Result<()> {
        // SAFETY: the range is our own mapping.
        let done = unsafe { libc::msync(self.start.cast(), self.length, libc::MS_SYNC) };
        if done == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
    }

    fn at_checked(&self, at: usize) -> *mut u8 {
        assert!(at < self.length, "byte {at} of a mapping of {} bytes", self.length);
        self.start.wrapping_add(at)
    }
}

impl Drop for PlainMap {
    fn drop(&mut self) {
        // SAFETY: the range is our own mapping, and nothing borrows from it.
        unsafe { libc::munmap(self.start.cast(), self.length) };
    }
}

/// Loads a byte from any address at all.
pub(crate) fn load_anywhere(address: usize) -> u8 {
    // SAFETY: none: the process is meant to die of it.
    unsafe { ptr::with_exposed_provenance::<u8>(address).read_volatile() }
}

/// Replaces the page that holds this address by one of zeros. For use in handlers.
pub(crate) fn put_zero_page_at(address: usize) {
    let page = ptr::with_exposed_provenance_mut::<libc::c_void>(address & !4095);
    let (access, flags) = (libc::PROT_READ, libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_FIXED);
    // SAFETY: the page belongs to a `PlainMap`, which allows for others' changes.
    let placed = unsafe { libc::mmap(page, 4096, access, flags, -1, 0) };
    assert_eq!(placed, page);
}
