//! mmap(2) and its family.
//!
//! Each door is `unsafe` where it can take memory away from under somebody: the caller owns the range, and no
//! Rust reference into it outlives or contradicts the change.

#![allow(unsafe_code, reason = "memory-management calls; listed in docs/SOUNDNESS.md")]

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, RawFd};
use std::ptr::NonNull;

use super::page;

fn check(result: libc::c_int) -> io::Result<()> {
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// Where a mapping's bytes come from.
#[derive(Clone, Copy)]
pub(crate) struct Backing<'a> {
    pub(crate) file: Option<BorrowedFd<'a>>,
    pub(crate) offset: u64,
}

impl Backing<'_> {
    pub(crate) const ANONYMOUS: Self = Self { file: None, offset: 0 };
}

/// Maps `len` bytes at an address of the kernel's choice near `hint`, or exactly there under the flags' fixed
/// kinds.
///
/// # Safety
/// With `MAP_FIXED`, the caller owns `hint..+len` and nothing refers to it.
pub(crate) unsafe fn map(
    hint: usize,
    len: usize,
    protection: i32,
    flags: i32,
    backing: Backing<'_>,
) -> io::Result<NonNull<u8>> {
    let fd = backing.file.map_or(-1, |file| file.as_raw_fd());
    // SAFETY: by this function's contract.
    unsafe { map_descriptor(hint, len, protection, flags, fd, backing.offset) }
}

/// Maps as [`map`] does, by a descriptor's bare number: the kernel answers `EBADF` where it names no open
/// file.
///
/// # Safety
/// As for [`map`].
pub(crate) unsafe fn map_descriptor(
    hint: usize,
    len: usize,
    protection: i32,
    flags: i32,
    fd: RawFd,
    offset: u64,
) -> io::Result<NonNull<u8>> {
    let offset = i64::try_from(offset).map_err(|_| io::Error::from_raw_os_error(libc::EOVERFLOW))?;
    let hint = std::ptr::without_provenance_mut(hint);
    // SAFETY: without MAP_FIXED nothing that exists is touched; with it, by this function's contract.
    let base = unsafe { libc::mmap(hint, len, protection, flags, fd, offset) };
    if base == libc::MAP_FAILED {
        return Err(io::Error::last_os_error());
    }
    NonNull::new(base.cast()).ok_or_else(|| io::Error::from_raw_os_error(libc::ENOMEM))
}

/// From this size on allocators map memory for itself, and unmap it when it is freed.
const MAPPED_FROM: usize = 32 << 20;

/// Asks for huge pages under a large buffer that is about to be filled: one fault for each 2 MiB instead of
/// 512. A wish: where the kernel has none, the pages stay small.
pub(crate) fn prefer_huge_pages<T>(buffer: &mut [T]) {
    let bytes = std::ptr::from_mut(buffer).cast::<u8>();
    let lead = bytes.addr().next_multiple_of(page::size()) - bytes.addr();
    if size_of_val(buffer) < MAPPED_FROM {
        return;
    }
    let len = (size_of_val(buffer) - lead) / page::size() * page::size();
    // SAFETY: the lead is less than a page, and the buffer longer.
    let start = unsafe { bytes.add(lead) };
    let Some(start) = NonNull::new(start) else { return };
    // SAFETY: whole pages of a buffer that is borrowed mutably; the advice changes no contents.
    let _stay_small = unsafe { advise(start, len, libc::MADV_HUGEPAGE) };
}

/// Whether something is mapped at every page of a range. (MS_ASYNC does nothing else.)
pub(crate) fn is_mapped_whole(start: usize, len: usize) -> bool {
    // SAFETY: takes two numbers; no page is touched or changed.
    unsafe { libc::msync(std::ptr::without_provenance_mut(start), len, libc::MS_ASYNC) == 0 }
}

/// Unmaps whole pages.
///
/// # Safety
/// The caller owns the range and nothing refers to it any more.
pub(crate) unsafe fn unmap(base: NonNull<u8>, len: usize) -> io::Result<()> {
    // SAFETY: by this function's contract.
    check(unsafe { libc::munmap(base.as_ptr().cast(), len) })
}

/// Grows, shrinks or moves a mapping.
///
/// # Safety
/// The caller owns the old range; nothing refers to what is cut off, or to any of it where it may move.
pub(crate) unsafe fn remap(
    base: NonNull<u8>,
    old_len: usize,
    new_len: usize,
    flags: i32,
) -> io::Result<NonNull<u8>> {
    // SAFETY: by this function's contract.
    let moved = unsafe { libc::mremap(base.as_ptr().cast(), old_len, new_len, flags) };
    if moved == libc::MAP_FAILED {
        return Err(io::Error::last_os_error());
    }
    NonNull::new(moved.cast()).ok_or_else(|| io::Error::from_raw_os_error(libc::ENOMEM))
}

/// Changes a range's protection.
///
/// # Safety
/// The caller owns the range, and no reference into it needs an access that this takes away.
pub(crate) unsafe fn protect(base: NonNull<u8>, len: usize, protection: i32) -> io::Result<()> {
    // SAFETY: by this function's contract.
    check(unsafe { libc::mprotect(base.as_ptr().cast(), len, protection) })
}

/// Gives advice about a range.
///
/// # Safety
/// The caller owns the range; where the advice discards or guards pages, no reference into them is held.
pub(crate) unsafe fn advise(base: NonNull<u8>, len: usize, advice: i32) -> io::Result<()> {
    // SAFETY: by this function's contract.
    check(unsafe { libc::madvise(base.as_ptr().cast(), len, advice) })
}

/// Writes a range's dirty pages to its file and waits.
///
/// # Safety
/// The caller owns the range.
pub(crate) unsafe fn sync(base: NonNull<u8>, len: usize) -> io::Result<()> {
    // SAFETY: by this function's contract.
    check(unsafe { libc::msync(base.as_ptr().cast(), len, libc::MS_SYNC) })
}

/// Locks a range in memory; `on_fault` locks pages only as they are touched.
///
/// # Safety
/// The caller owns the range.
pub(crate) unsafe fn lock(base: NonNull<u8>, len: usize, on_fault: OnFault) -> io::Result<()> {
    match on_fault {
        // SAFETY: by this function's contract.
        OnFault::No => check(unsafe { libc::mlock(base.as_ptr().cast(), len) }),
        OnFault::Yes => {
            // SAFETY: by this function's contract.
            check(unsafe { libc::mlock2(base.as_ptr().cast(), len, 1) })
        }
    }
}

/// Whether a lock waits for pages to be touched.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum OnFault {
    Yes,
    No,
}

/// Unlocks a range.
///
/// # Safety
/// The caller owns the range.
pub(crate) unsafe fn unlock(base: NonNull<u8>, len: usize) -> io::Result<()> {
    // SAFETY: by this function's contract.
    check(unsafe { libc::munlock(base.as_ptr().cast(), len) })
}

/// Fills one byte a page: bit 0 says whether the page is in memory.
///
/// # Safety
/// The caller owns the range, and `pages` holds one byte for each of its pages.
pub(crate) unsafe fn residency(base: NonNull<u8>, len: usize, pages: &mut [u8]) -> io::Result<()> {
    assert!(pages.len() >= len.div_ceil(page::size()));
    // SAFETY: by this function's contract.
    check(unsafe { libc::mincore(base.as_ptr().cast(), len, pages.as_mut_ptr()) })
}

/// Seals a range for ever against unmapping, moving and changes of protection (Linux 6.10).
///
/// # Safety
/// The caller owns the range and gives up every right to change it.
pub(crate) unsafe fn seal(base: NonNull<u8>, len: usize) -> io::Result<()> {
    let nothing = 0u64;
    // SAFETY: by this function's contract; mseal takes an address, a length and no flags.
    let result = unsafe { libc::syscall(libc::SYS_mseal, base.as_ptr(), len, nothing) };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// Makes a memory file that even the kernel cannot read (Linux 5.14, where it was enabled).
pub(crate) fn secret_file() -> io::Result<std::os::fd::OwnedFd> {
    use std::os::fd::FromRawFd;
    // SAFETY: takes a flag and returns a new descriptor or an error.
    let fd = unsafe { libc::syscall(libc::SYS_memfd_secret, libc::O_CLOEXEC) };
    match i32::try_from(fd) {
        // SAFETY: the kernel has just made this descriptor for us; nobody else owns it.
        Ok(fd) if fd >= 0 => Ok(unsafe { std::os::fd::OwnedFd::from_raw_fd(fd) }),
        _ => Err(io::Error::last_os_error()),
    }
}

/// What cachestat(2) knows about a range of a file, in pages.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct CacheStat {
    pub(crate) cached: u64,
    pub(crate) dirty: u64,
    pub(crate) writeback: u64,
    pub(crate) evicted: u64,
    pub(crate) recently_evicted: u64,
}

/// Counts the cached pages of a range of a file (Linux 6.5). A `len` of 0 means to the end.
pub(crate) fn cache_stat(file: BorrowedFd<'_>, offset: u64, len: u64) -> io::Result<CacheStat> {
    #[repr(C)]
    struct Range {
        offset: u64,
        len: u64,
    }
    /// The call's number, the same on every architecture; libc does not name it everywhere.
    const SYS_CACHESTAT: libc::c_long = 451;
    let range = Range { offset, len };
    let mut found = CacheStat::default();
    // SAFETY: both structures are locals laid out as the kernel's (linux/mman.h); the flags are 0.
    let result =
        unsafe { libc::syscall(SYS_CACHESTAT, file.as_raw_fd(), &raw const range, &raw mut found, 0) };
    if result == 0 { Ok(found) } else { Err(io::Error::last_os_error()) }
}

/// Starts write-back of a range of a file, or waits for it, as `flags` say.
pub(crate) fn sync_file_range(file: BorrowedFd<'_>, offset: u64, len: u64, flags: u32) -> io::Result<()> {
    let offset = i64::try_from(offset).map_err(|_| io::Error::from_raw_os_error(libc::EOVERFLOW))?;
    let len = i64::try_from(len).map_err(|_| io::Error::from_raw_os_error(libc::EOVERFLOW))?;
    // SAFETY: takes a descriptor and numbers only.
    check(unsafe { libc::sync_file_range(file.as_raw_fd(), offset, len, flags) })
}
