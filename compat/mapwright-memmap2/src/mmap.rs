//! Maps that are read.

#![allow(unsafe_code, reason = "slices under memmap2's contract")]

use std::fmt;
use std::io;
use std::ops::Deref;

use crate::inner::Inner;
use crate::{MapIfSafeError, MmapAsRawDesc, MmapMut, MmapOptions};

/// A map that is read: of a file, or of memory that was made read-only.
///
/// It derefs to `&[u8]` and does not need its file: that may be closed or deleted.
///
/// # Safety
/// Whoever maps a file promises that nobody, in this process or another, changes or shortens it while a slice
/// of the map is used. Where it is shortened all the same, touching what was cut off raises SIGBUS.
//
// Invariant: the bytes of `inner` are mapped and can be read.
pub struct Mmap {
    pub(crate) inner: Inner,
}

impl Mmap {
    /// Maps all of a file: `MmapOptions::new().map(file)`.
    ///
    /// # Errors
    /// As [`MmapOptions::map`].
    ///
    /// # Safety
    /// As the [type](Self) says.
    pub unsafe fn map<T: MmapAsRawDesc>(file: T) -> io::Result<Mmap> {
        // SAFETY: by this function's contract.
        unsafe { MmapOptions::new().map(file) }
    }

    /// Maps all of a file that provably nobody can change: `MmapOptions::new().map_if_safe(file)`.
    ///
    /// # Errors
    /// As [`MmapOptions::map_if_safe`].
    pub fn map_if_safe<T: MmapAsRawDesc>(file: T) -> Result<Mmap, MapIfSafeError> {
        MmapOptions::new().map_if_safe(file)
    }

    /// Makes the map writable.
    ///
    /// # Errors
    /// `EACCES` where stores would reach a file that was not opened for writing. The map is gone then.
    ///
    /// # Kernel
    /// mprotect(2).
    pub fn make_mut(mut self) -> io::Result<MmapMut> {
        // SAFETY: `self` was moved in, so no slice of it is left.
        unsafe { self.inner.protect(libc::PROT_READ | libc::PROT_WRITE) }?;
        Ok(MmapMut { inner: self.inner })
    }
}

// SAFETY: the bytes lie where they lie until the map is dropped or remapped; moving the handle does not move
// them.
#[cfg(feature = "stable_deref_trait")]
unsafe impl stable_deref_trait::StableDeref for Mmap {}

impl Deref for Mmap {
    type Target = [u8];

    #[inline]
    #[allow(clippy::disallowed_methods, reason = "the slice is what memmap2's users ask for")]
    fn deref(&self) -> &[u8] {
        // SAFETY: the bytes are mapped and readable (invariant); who mapped a file promised that nobody
        // changes them.
        unsafe { std::slice::from_raw_parts(self.inner.ptr(), self.inner.len()) }
    }
}

impl AsRef<[u8]> for Mmap {
    #[inline]
    fn as_ref(&self) -> &[u8] {
        self
    }
}

impl fmt::Debug for Mmap {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Mmap").field("ptr", &self.as_ptr()).field("len", &self.len()).finish()
    }
}
