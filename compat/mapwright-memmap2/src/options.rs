//! How to map.

#![allow(unsafe_code, reason = "memmap2's constructors of slices of files are unsafe to call")]

use std::io;
use std::os::fd::{AsRawFd, RawFd};

use crate::immutable;
use crate::inner::{Inner, Sharing, checked_len};
use crate::{MapIfSafeError, Mmap, MmapAsRawDesc, MmapMut, MmapRaw, descriptor};

/// How to map a file or memory: set what differs from the default, then call one of the `map_…` methods.
///
/// ```
/// use mapwright_memmap2::MmapOptions;
/// let mut map = MmapOptions::new().len(4096).populate().map_anon()?;
/// map[17] = 1;
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Clone, Debug, Default)]
pub struct MmapOptions {
    offset: u64,
    len: Option<usize>,
    /// `None`: small pages. Else the base-2 logarithm of their size; 0 for the system's default size of huge
    /// pages.
    huge: Option<u8>,
    stack: bool,
    populate: bool,
    no_reserve_swap: bool,
}

impl MmapOptions {
    /// Starts with the defaults: all of the file, nothing populated.
    pub fn new() -> MmapOptions {
        MmapOptions::default()
    }

    /// Starts at this byte of the file. It need not be page-aligned.
    pub fn offset(&mut self, offset: u64) -> &mut Self {
        self.offset = offset;
        self
    }

    /// Maps this many bytes instead of everything up to the file's end. A file may be shorter: touching what
    /// it does not have raises SIGBUS.
    pub fn len(&mut self, len: usize) -> &mut Self {
        self.len = Some(len);
        self
    }

    /// Says that memory will be a thread's stack. Linux takes note and does nothing (`MAP_STACK`).
    pub fn stack(&mut self) -> &mut Self {
        self.stack = true;
        self
    }

    /// Takes memory from the pool of huge pages (`MAP_HUGETLB`) of `1 << page_bits` bytes, or of the system's
    /// default size.
    pub fn huge(&mut self, page_bits: Option<u8>) -> &mut Self {
        self.huge = Some(page_bits.unwrap_or(0));
        self
    }

    /// Brings all pages in before the map is returned (`MAP_POPULATE`). What cannot be had is left out.
    pub fn populate(&mut self) -> &mut Self {
        self.populate = true;
        self
    }

    /// Sets no memory or swap aside for private pages (`MAP_NORESERVE`).
    pub fn no_reserve_swap(&mut self) -> &mut Self {
        self.no_reserve_swap = true;
        self
    }

    /// Does nothing: on another system it would not look at what the file's handle allows.
    pub fn no_probe_handle(&mut self) -> &mut Self {
        self
    }

    /// Maps a file for reading.
    ///
    /// # Errors
    /// `InvalidData` where the file ends before the offset, or is longer than any slice; else what fstat(2)
    /// and mmap(2) say: `EACCES` where the file was not opened for reading, `ENODEV` where it cannot be
    /// mapped.
    ///
    /// # Safety
    /// As [`Mmap`] says.
    pub unsafe fn map<T: MmapAsRawDesc>(&self, file: T) -> io::Result<Mmap> {
        let inner = self.file(&file, Sharing::Shared, libc::PROT_READ)?;
        Ok(Mmap { inner })
    }

    /// Maps a file for reading and for running as instructions.
    ///
    /// # Errors
    /// As [`map`](Self::map), and `EPERM` on a file system that is mounted `noexec`.
    ///
    /// # Safety
    /// As [`Mmap`] says.
    pub unsafe fn map_exec<T: MmapAsRawDesc>(&self, file: T) -> io::Result<Mmap> {
        let inner = self.file(&file, Sharing::Shared, libc::PROT_READ | libc::PROT_EXEC)?;
        Ok(Mmap { inner })
    }

    /// Maps a file for reading and writing.
    ///
    /// # Errors
    /// As [`map`](Self::map), and `EACCES` where the file was not opened for reading and writing.
    ///
    /// # Safety
    /// As [`MmapMut`] says.
    pub unsafe fn map_mut<T: MmapAsRawDesc>(&self, file: T) -> io::Result<MmapMut> {
        let inner = self.file(&file, Sharing::Shared, libc::PROT_READ | libc::PROT_WRITE)?;
        Ok(MmapMut { inner })
    }

    /// Maps a file for reading and writing; what is written stays private to this map. The file need only be
    /// readable.
    ///
    /// # Errors
    /// As [`map`](Self::map).
    ///
    /// # Safety
    /// As [`MmapMut`] says: pages that were not written yet still show what others do to the file.
    pub unsafe fn map_copy<T: MmapAsRawDesc>(&self, file: T) -> io::Result<MmapMut> {
        let inner = self.file(&file, Sharing::Private, libc::PROT_READ | libc::PROT_WRITE)?;
        Ok(MmapMut { inner })
    }

    /// Maps a file for reading, so that it can be made writable later, privately.
    ///
    /// # Errors
    /// As [`map`](Self::map).
    ///
    /// # Safety
    /// As [`Mmap`] says.
    pub unsafe fn map_copy_read_only<T: MmapAsRawDesc>(&self, file: T) -> io::Result<Mmap> {
        let inner = self.file(&file, Sharing::Private, libc::PROT_READ)?;
        Ok(Mmap { inner })
    }

    /// Maps a file for reading if provably nobody can change or shorten it any more: a memory file with the
    /// seals `F_SEAL_SHRINK` and `F_SEAL_WRITE`, or a file with fs-verity.
    ///
    /// # Errors
    /// [`not_safe`](MapIfSafeError::not_safe) where somebody might, or the range ends beyond the file;
    /// [`map_failed`](MapIfSafeError::map_failed) where [`map`](Self::map) would fail.
    pub fn map_if_safe<T: MmapAsRawDesc>(&self, file: T) -> Result<Mmap, MapIfSafeError> {
        let held = immutable::hold(file.as_raw_desc().0).map_err(MapIfSafeError::mapping)?;
        let fd = held.as_raw_fd();
        let len = self.file_len(fd).map_err(MapIfSafeError::mapping)?;
        immutable::check(&held, self.offset, len)?;
        let inner = Inner::of_file(fd, self.offset, len, Sharing::Shared, libc::PROT_READ, self.flags());
        Ok(Mmap { inner: inner.map_err(MapIfSafeError::mapping)? })
    }

    /// Maps zeroed memory of the length that was set; none if none was set.
    ///
    /// # Errors
    /// `InvalidData` where no slice can be that long; `ENOMEM` where there is no address space, memory or
    /// huge page left.
    pub fn map_anon(&self) -> io::Result<MmapMut> {
        let len = checked_len(u64::try_from(self.len.unwrap_or(0)).unwrap_or(u64::MAX))?;
        let mut flags = self.flags();
        if self.stack {
            flags |= libc::MAP_STACK;
        }
        if let Some(bits) = self.huge {
            flags |= libc::MAP_HUGETLB | ((i32::from(bits) & libc::MAP_HUGE_MASK) << libc::MAP_HUGE_SHIFT);
        }
        Ok(MmapMut { inner: Inner::of_memory(len, flags)? })
    }

    /// Maps a file for reading and writing through pointers.
    ///
    /// # Errors
    /// As [`map_mut`](Self::map_mut).
    pub fn map_raw<T: MmapAsRawDesc>(&self, file: T) -> io::Result<MmapRaw> {
        let inner = self.file(&file, Sharing::Shared, libc::PROT_READ | libc::PROT_WRITE)?;
        Ok(MmapRaw { inner })
    }

    /// Maps a file for reading through pointers.
    ///
    /// # Errors
    /// As [`map`](Self::map).
    pub fn map_raw_read_only<T: MmapAsRawDesc>(&self, file: T) -> io::Result<MmapRaw> {
        let inner = self.file(&file, Sharing::Shared, libc::PROT_READ)?;
        Ok(MmapRaw { inner })
    }

    fn file<T: MmapAsRawDesc>(&self, file: &T, sharing: Sharing, protection: i32) -> io::Result<Inner> {
        let fd = file.as_raw_desc().0;
        Inner::of_file(fd, self.offset, self.file_len(fd)?, sharing, protection, self.flags())
    }

    /// How many bytes of a file are wanted.
    fn file_len(&self, fd: RawFd) -> io::Result<usize> {
        if let Some(len) = self.len {
            return checked_len(u64::try_from(len).unwrap_or(u64::MAX));
        }
        let (file_len, offset) = (descriptor::len(fd)?, self.offset);
        let len = file_len.checked_sub(offset).ok_or_else(|| {
            let why = format!("cannot map from byte {offset} on: the file has only {file_len} bytes");
            io::Error::new(io::ErrorKind::InvalidData, why)
        })?;
        checked_len(len)
    }

    /// The flags that files and memory have in common.
    fn flags(&self) -> i32 {
        let populate = if self.populate { libc::MAP_POPULATE } else { 0 };
        let no_reserve = if self.no_reserve_swap { libc::MAP_NORESERVE } else { 0 };
        populate | no_reserve
    }
}
