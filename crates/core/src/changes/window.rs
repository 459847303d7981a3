//! A passing look at a part of a file: mapped to ask the kernel about it. What its bytes are is nobody's
//! business.

#![allow(unsafe_code, reason = "maps, asks and unmaps a range of its own; listed in docs/SOUNDNESS.md")]

use std::io;
use std::ops::Range;
use std::os::fd::BorrowedFd;
use std::ptr::NonNull;

use crate::fault::{handler, raw};
use crate::sys::memory::{self as kernel, Backing};
use crate::sys::page;

/// How much of a file is mapped at once: small enough to fit beside everything else, large enough to cost few
/// calls.
pub(super) const WINDOW: u64 = 1 << 30;

/// Whole pages of a file, mapped for reading. Only guarded loads touch them, so a truncation cannot hurt.
//
// Invariant: `base..+len` was mapped by `open`, belongs to this value alone, and nothing refers into it.
pub(super) struct Window {
    base: NonNull<u8>,
    len: usize,
}

impl Window {
    /// Maps `len` bytes from `offset`, a multiple of the page size.
    pub(super) fn open(file: BorrowedFd<'_>, offset: u64, len: u64) -> io::Result<Self> {
        let len = usize::try_from(len)
            .ok()
            .and_then(page::round_up)
            .ok_or_else(|| io::Error::from_raw_os_error(libc::ENOMEM))?;
        let backing = Backing { file: Some(file), offset };
        let map = |sharing| {
            // SAFETY: without MAP_FIXED, at an address of the kernel's choice.
            unsafe { kernel::map(0, len, libc::PROT_READ, sharing, backing) }
        };
        let base = match map(libc::MAP_SHARED) {
            // Some network and FUSE file systems cannot share pages.
            Err(error) if error.raw_os_error() == Some(libc::ENODEV) => map(libc::MAP_PRIVATE),
            result => result,
        }?;
        Ok(Self { base, len })
    }

    /// Says for each page whether it is in memory: bit 0 of its byte.
    pub(super) fn residency(&self, pages: &mut [u8]) -> io::Result<()> {
        // SAFETY: the range is ours; the callee checks that `pages` is long enough.
        unsafe { kernel::residency(self.base, self.len, pages) }
    }

    /// Maps every page, waiting for the disk where one is not in memory; passes by what cannot be had.
    ///
    /// By guarded loads: `MADV_POPULATE_READ` never returns, before Linux 6.9, where the disk fails.
    pub(super) fn touch(&self) {
        handler::install();
        for offset in (0..self.len).step_by(page::size()) {
            let mut byte = 0u8;
            // SAFETY: lies inside the range.
            let page = unsafe { self.base.add(offset) };
            // SAFETY: the range is ours, and the byte is a local.
            let _absent = unsafe { raw::copy(&raw mut byte, page.as_ptr(), 1) };
        }
    }

    /// Says that looking at the pages must neither read ahead nor count as a use of them.
    pub(super) fn look_only(&self) -> io::Result<()> {
        // SAFETY: the range is ours, and this advice discards nothing.
        unsafe { kernel::advise(self.base, self.len, libc::MADV_RANDOM) }
    }

    /// The addresses of the mapped pages, to ask about them.
    pub(super) fn addresses(&self) -> Range<usize> {
        let start = self.base.addr().get();
        start..start + self.len
    }
}

impl Drop for Window {
    fn drop(&mut self) {
        // SAFETY: the range is ours, and nothing refers to it. Failing leaks it, which is sound.
        let _leaked = unsafe { kernel::unmap(self.base, self.len) };
    }
}
