//! Maps that are read and written.

#![allow(unsafe_code, reason = "slices under memmap2's contract")]

use std::fmt;
use std::io;
use std::ops::{Deref, DerefMut};

use crate::inner::Inner;
use crate::{Mmap, MmapAsRawDesc, MmapOptions};

/// A map that is read and written: of a file, of a private copy of one, or of memory.
///
/// It derefs to `&mut [u8]` and does not need its file: that may be closed or deleted.
///
/// # Safety
/// Whoever maps a file promises that nobody else, in this process or another, changes, reads or shortens it
/// while a slice of the map is used, and that the disk has room for what is written. Where that is not so,
/// touching the slice raises SIGBUS.
//
// Invariant: the bytes of `inner` are mapped and can be read and written.
pub struct MmapMut {
    pub(crate) inner: Inner,
}

impl MmapMut {
    /// Maps all of a file: `MmapOptions::new().map_mut(file)`.
    ///
    /// # Errors
    /// As [`MmapOptions::map_mut`].
    ///
    /// # Safety
    /// As the [type](Self) says.
    pub unsafe fn map_mut<T: MmapAsRawDesc>(file: T) -> io::Result<MmapMut> {
        // SAFETY: by this function's contract.
        unsafe { MmapOptions::new().map_mut(file) }
    }

    /// Maps zeroed memory: `MmapOptions::new().len(length).map_anon()`.
    ///
    /// # Errors
    /// As [`MmapOptions::map_anon`].
    pub fn map_anon(length: usize) -> io::Result<MmapMut> {
        MmapOptions::new().len(length).map_anon()
    }

    /// Makes the map read-only.
    ///
    /// # Errors
    /// What mprotect(2) says. The map is gone then.
    pub fn make_read_only(mut self) -> io::Result<Mmap> {
        // SAFETY: `self` was moved in, so no slice of it is left.
        unsafe { self.inner.protect(libc::PROT_READ) }?;
        Ok(Mmap { inner: self.inner })
    }

    /// Makes the bytes instructions that can be run, and not written any more. They are visible to
    /// instruction fetch.
    ///
    /// # Errors
    /// `EACCES` where the file lies on a file system that is mounted `noexec`. The map is gone then.
    pub fn make_exec(mut self) -> io::Result<Mmap> {
        // SAFETY: `self` was moved in, so no slice of it is left.
        unsafe { self.inner.protect(libc::PROT_READ | libc::PROT_EXEC) }?;
        Ok(Mmap { inner: self.inner })
    }
}

// SAFETY: the bytes lie where they lie until the map is dropped or remapped; moving the handle does not move
// them.
#[cfg(feature = "stable_deref_trait")]
unsafe impl stable_deref_trait::StableDeref for MmapMut {}

impl Deref for MmapMut {
    type Target = [u8];

    #[inline]
    #[allow(clippy::disallowed_methods, reason = "the slice is what memmap2's users ask for")]
    fn deref(&self) -> &[u8] {
        // SAFETY: the bytes are mapped and readable (invariant); who mapped a file promised that nobody
        // changes them.
        unsafe { std::slice::from_raw_parts(self.inner.ptr(), self.inner.len()) }
    }
}

impl DerefMut for MmapMut {
    #[inline]
    #[allow(clippy::disallowed_methods, reason = "the slice is what memmap2's users ask for")]
    fn deref_mut(&mut self) -> &mut [u8] {
        // SAFETY: as for deref, they are writable (invariant), and `&mut self` makes the reference unique
        // here.
        unsafe { std::slice::from_raw_parts_mut(self.inner.ptr(), self.inner.len()) }
    }
}

impl AsRef<[u8]> for MmapMut {
    #[inline]
    fn as_ref(&self) -> &[u8] {
        self
    }
}

impl AsMut<[u8]> for MmapMut {
    #[inline]
    fn as_mut(&mut self) -> &mut [u8] {
        self
    }
}

impl fmt::Debug for MmapMut {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MmapMut").field("ptr", &self.as_ptr()).field("len", &self.len()).finish()
    }
}
