//! Private anonymous memory: nobody else can reach it, so it is ordinary memory.

#![allow(unsafe_code, reason = "references to owned, private pages; listed in docs/SOUNDNESS.md")]

use std::ops::{Deref, DerefMut};

use super::access::{Executable, ReadWrite};
use super::holder::Holder;
use super::options::{MapOptions, Populate};
use super::region::Region;
use super::{Map, populate};
use crate::error::{Error, Result};
use crate::fault::raw;
use crate::sys::{memory as kernel, page};

/// Private, zeroed memory straight from the kernel: page-aligned, as large as address space allows, and `&mut
/// [u8]` without `unsafe`.
///
/// ```
/// use mapwright_core::Memory;
/// let mut memory = Memory::new(1 << 20)?;
/// memory[4096] = 1;
/// assert_eq!(memory.iter().map(|&byte| u32::from(byte)).sum::<u32>(), 1);
/// # Ok::<(), mapwright_core::Error>(())
/// ```
///
/// # Caveats
/// With [`ForkPolicy::DontFork`](crate::ForkPolicy::DontFork) a forked child does not have the pages:
/// touching them there ends the child, as touching any memory does that is not there. (`fork` is `unsafe` to
/// call from Rust for such reasons.)
//
// Invariants: the region is anonymous and MAP_PRIVATE, wholly readable and writable between `start` and
// `start + len`, and no view of it exists. Huge pages from a pool were reserved when it was mapped, so
// touching them cannot fail.
#[derive(Debug)]
pub struct Memory {
    region: Holder,
}

impl Memory {
    /// Maps `len` zeroed bytes.
    ///
    /// # Errors
    /// Where there is no address space or memory left.
    ///
    /// # Kernel
    /// mmap(2) with `MAP_PRIVATE | MAP_ANONYMOUS`.
    pub fn new(len: usize) -> Result<Self> {
        MapOptions::new().memory(len)
    }

    pub(super) fn new_in(region: Region) -> Self {
        let region = Holder::new(region);
        assert!(
            region.origin().private && region.origin().source.is_none(),
            "memory is private and anonymous"
        );
        // References to memory are plain slices: from here on anybody may have touched it.
        region.look();
        Self { region }
    }

    pub(crate) fn region(&self) -> &Region {
        &self.region
    }

    /// Brings pages in as the options ask.
    pub(super) fn begin_populating(&self, when: Populate) -> Result<()> {
        match when {
            Populate::Lazily => Ok(()),
            Populate::Now => self.populate(),
            Populate::InBackground => {
                populate::in_background::<ReadWrite>(&self.region);
                Ok(())
            }
        }
    }

    /// Returns how many bytes fit without moving: the length, or what was reserved.
    #[must_use]
    pub fn capacity(&self) -> usize {
        self.region.capacity()
    }

    /// Makes the memory longer (zeroed) or shorter, within its capacity; no address moves.
    ///
    /// Bytes that are cut off are given back to the system (pages of a pool are kept) and read as zeros if it
    /// grows again.
    ///
    /// # Errors
    /// Where `len` is beyond the capacity; see [`MapOptions::reserve`].
    ///
    /// # Kernel
    /// `MADV_DONTNEED` of madvise(2) for whole pages that are cut off.
    ///
    /// ```
    /// use mapwright_core::MapOptions;
    /// let mut memory = MapOptions::new().reserve(1 << 20).memory(4)?;
    /// memory.copy_from_slice(b"text");
    /// memory.resize(2)?;
    /// memory.resize(6)?;
    /// assert_eq!(&memory[..], b"te\0\0\0\0");
    /// # Ok::<(), mapwright_core::Error>(())
    /// ```
    pub fn resize(&mut self, len: usize) -> Result<()> {
        let (old, capacity) = (self.region.len(), self.region.capacity());
        if len > capacity {
            let why = format!(
                "{len} bytes do not fit into the {capacity} reserved; ask for more with MapOptions::reserve"
            );
            return Err(Error::new(crate::ErrorKind::OutOfBounds, "grow", "memory", why));
        }
        if len < old {
            self.discard(len, old)?;
        }
        self.region.set_len(len);
        Ok(())
    }

    /// Brings all pages in now.
    ///
    /// # Errors
    /// Where memory runs out.
    ///
    /// # Kernel
    /// `MADV_POPULATE_WRITE` (Linux 5.14); before that the pages come when they are touched.
    ///
    /// ```
    /// use mapwright_core::Memory;
    /// let memory = Memory::new(1 << 20)?;
    /// memory.populate()?;             // no page fault from here on
    /// assert!(memory.iter().all(|&byte| byte == 0));
    /// # Ok::<(), mapwright_core::Error>(())
    /// ```
    pub fn populate(&self) -> Result<()> {
        populate::<ReadWrite>(&self.region, 0, self.region.len())
            .map_err(|failure| failure.explained(format!("{} bytes of memory", self.region.len())))
    }

    /// Turns into memory that can be run as instructions and not written any more.
    ///
    /// # Errors
    /// Where the system forbids executable memory.
    ///
    /// # Kernel
    /// mprotect(2), and the instruction cache is made coherent where the processor does not do that by
    /// itself.
    ///
    /// ```
    /// use mapwright_core::Memory;
    /// # #[cfg(target_arch = "x86_64")]
    /// let forty_two = [0xB8, 42, 0, 0, 0, 0xC3];                  // mov eax, 42; ret
    /// # #[cfg(target_arch = "aarch64")]
    /// # let forty_two = [0x40, 0x05, 0x80, 0x52, 0xC0, 0x03, 0x5F, 0xD6];
    /// let mut memory = Memory::new(4096)?;
    /// memory[..forty_two.len()].copy_from_slice(&forty_two);
    /// let code = memory.into_executable()?;
    /// // SAFETY: these are the instructions of a function of this type, and `code` outlives the call.
    /// let function: extern "C" fn() -> i32 = unsafe { std::mem::transmute(code.as_ptr()) };
    /// assert_eq!(function(), 42);
    /// # Ok::<(), mapwright_core::Error>(())
    /// ```
    pub fn into_executable(self) -> Result<Map<Executable>> {
        self.region.demand_here("make executable")?;
        let (from, len) = self.region.body();
        if len > 0 {
            // SAFETY: the body lies inside the owned range.
            let start = unsafe { self.region.base().add(from) };
            // SAFETY: the memory is ours and no reference to it is left: `self` was moved in.
            unsafe { kernel::protect(start, len, libc::PROT_READ | libc::PROT_EXEC) }
                .map_err(|cause| Error::os("make executable", "memory", cause))?;
            // SAFETY: the range is the region's.
            unsafe { raw::synchronise_instructions(start.as_ptr(), len) };
        }
        Ok(Map::new(self.region.into_region(), None))
    }

    /// Gives the region up, with pages that cannot be written any more.
    ///
    /// Where the kernel refuses (a process may have only so many mappings), the type alone keeps them from
    /// being written.
    pub(crate) fn into_read_only(self) -> Region {
        let (from, len) = self.region.body();
        if len > 0 && self.region.is_here() {
            // SAFETY: the body lies inside the owned range.
            let start = unsafe { self.region.base().add(from) };
            // SAFETY: the memory is ours and no reference to it is left: `self` was moved in.
            let _kept_by_the_type = unsafe { kernel::protect(start, len, libc::PROT_READ) };
        }
        self.region.into_region()
    }

    /// Zeroes `from..to`, giving whole pages back to the system.
    fn discard(&mut self, from: usize, to: usize) -> Result<()> {
        self.region.demand_here("cut")?;
        let unit = self.region.unit();
        if unit > page::size() {
            // Pages of a pool that are given back may be taken by others, and be missing when touched again.
            self[from..to].fill(0);
            return Ok(());
        }
        let first_whole = from.next_multiple_of(unit).min(to);
        self[from..first_whole].fill(0);
        let last_whole = to - to % unit;
        if last_whole > first_whole {
            // SAFETY: both bounds lie inside the visible bytes.
            let base = unsafe { self.region.base().add(self.region.before() + first_whole) };
            // SAFETY: the pages are ours alone (`&mut self`), and zeros are what the caller asks for.
            unsafe { kernel::advise(base, last_whole - first_whole, libc::MADV_DONTNEED) }
                .map_err(|cause| Error::os("give back", "memory", cause))?;
        }
        self[last_whole.max(first_whole)..to].fill(0);
        Ok(())
    }
}

impl Map<Executable> {
    /// Turns memory that could be run back into memory that can be written.
    ///
    /// # Errors
    /// Where a file is mapped (its pages are not ours alone), or the kernel refuses.
    ///
    /// # Kernel
    /// mprotect(2).
    ///
    /// ```
    /// use mapwright_core::Memory;
    /// let code = Memory::new(4096)?.into_executable()?;
    /// let mut memory = code.into_memory()?;
    /// memory[0] = 1;
    /// assert_eq!(memory[0], 1);
    /// # Ok::<(), mapwright_core::Error>(())
    /// ```
    pub fn into_memory(mut self) -> Result<Memory> {
        if self.source().is_some() {
            let why = "it shows a file; only anonymous memory is ordinary memory";
            return Err(Error::new(crate::ErrorKind::InvalidInput, "make writable", self.name(), why));
        }
        let region = self.exclusive();
        region.demand_here("make writable")?;
        let (from, len) = region.body();
        if len > 0 {
            // SAFETY: the body lies inside the owned range.
            let base = unsafe { region.base().add(from) };
            // SAFETY: the region is exclusive, so no view needs the access that is taken away.
            unsafe { kernel::protect(base, len, libc::PROT_READ | libc::PROT_WRITE) }
                .map_err(|cause| Error::os("make writable", "memory", cause))?;
        }
        Ok(Memory::new_in(self.into_region()))
    }
}

impl Deref for Memory {
    type Target = [u8];

    #[allow(clippy::disallowed_methods, reason = "private memory is ordinary memory")]
    fn deref(&self) -> &[u8] {
        // SAFETY: by the type's invariants the bytes are initialised (zeroed by the kernel), ours alone, and
        // readable.
        unsafe { std::slice::from_raw_parts(self.region.start(), self.region.len()) }
    }
}

impl DerefMut for Memory {
    #[allow(clippy::disallowed_methods, reason = "private memory is ordinary memory")]
    fn deref_mut(&mut self) -> &mut [u8] {
        // SAFETY: as for deref, and `&mut self` makes the reference unique.
        unsafe { std::slice::from_raw_parts_mut(self.region.start(), self.region.len()) }
    }
}

impl AsRef<[u8]> for Memory {
    fn as_ref(&self) -> &[u8] {
        self
    }
}

impl AsMut<[u8]> for Memory {
    fn as_mut(&mut self) -> &mut [u8] {
        self
    }
}
