//! Maps that are reached by pointers only.

use std::fmt;
use std::io;

use crate::inner::Inner;
use crate::{Mmap, MmapAsRawDesc, MmapMut, MmapOptions};

/// A map that hands out pointers and never a reference, for files that others change meanwhile.
///
/// Mapping is safe; what is done with the pointers is the caller's promise. Touching what was cut off a file
/// raises SIGBUS.
pub struct MmapRaw {
    pub(crate) inner: Inner,
}

impl MmapRaw {
    /// Maps all of a file for reading and writing: `MmapOptions::new().map_raw(file)`.
    ///
    /// # Errors
    /// As [`MmapOptions::map_raw`].
    pub fn map_raw<T: MmapAsRawDesc>(file: T) -> io::Result<MmapRaw> {
        MmapOptions::new().map_raw(file)
    }

    /// Returns the address of the first byte.
    #[inline]
    pub fn as_ptr(&self) -> *const u8 {
        self.inner.ptr()
    }

    /// Returns the address of the first byte. Writing there raises SIGSEGV where the map is read-only.
    #[inline]
    pub fn as_mut_ptr(&self) -> *mut u8 {
        self.inner.ptr()
    }

    /// Returns how many bytes are mapped. The file may have become shorter.
    #[inline]
    #[allow(clippy::len_without_is_empty, reason = "memmap2 has no is_empty here")]
    pub fn len(&self) -> usize {
        self.inner.len()
    }
}

impl From<Mmap> for MmapRaw {
    fn from(map: Mmap) -> Self {
        Self { inner: map.inner }
    }
}

impl From<MmapMut> for MmapRaw {
    fn from(map: MmapMut) -> Self {
        Self { inner: map.inner }
    }
}

impl fmt::Debug for MmapRaw {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MmapRaw").field("ptr", &self.as_ptr()).field("len", &self.len()).finish()
    }
}
