//! A slice over bytes that others may change: `unsafe`, but it does not end the process when a page
//! vanishes.

#![allow(
    unsafe_code,
    reason = "hands out slices of racy bytes on the caller's word; listed in docs/SOUNDNESS.md"
)]

use std::sync::atomic::{Ordering, fence};

use crate::error::{Error, ErrorKind, Fault, FaultKind, Result};
use crate::fault::patch::{self, Action, Patch, Range};
use crate::map::region::Region;
use crate::map::{HeldLock, Map, Readable};
use crate::sys::page;

/// A file's bytes as an `unsafe` slice whose missing pages turn into zeros; made by
/// [`Map::into_racy_slice`].
///
/// For code that needs a `&[u8]` over a file that others may touch, and cannot afford a copy. Where a
/// page cannot be had (the file was truncated, the disk failed), plain mmap(2) raises SIGBUS; here a page
/// of zeros appears in its place, for good, and [`check`](Self::check) says so afterwards.
///
/// ```
/// use mapwright_core::{FaultKind, Map};
/// # let path = tempfile::NamedTempFile::new().unwrap();
/// # std::fs::write(&path, vec![7u8; 8192]).unwrap();
/// let racy = Map::open(&path)?.into_racy_slice()?;
/// std::fs::OpenOptions::new().write(true).open(&path)?.set_len(0)?;
/// // SAFETY: nobody writes the file while the slice lives, and the sum of zeros is thrown away below.
/// let sum: u64 = unsafe { racy.as_slice() }.iter().map(|&byte| u64::from(byte)).sum();
/// assert_eq!(sum, 0);
/// // The sum is of no use, and this says so.
/// assert_eq!(racy.check().unwrap_err().kind(), FaultKind::Poisoned);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Caveats
/// Only accesses by this process's instructions are caught: a system call that is given the slice returns
/// `EFAULT`. At most 1024 ranges can be watched at once, frozen files among them. What defeats the fault
/// handler defeats this, too; see [`signal_report`](crate::signal_report).
//
// Invariant: `patch` covers the region's visible bytes wherever there are any. The fields are dropped in
// this order: the handler must have forgotten the range before it is unmapped, or it could put a page
// into what is mapped there next.
#[derive(Debug)]
pub struct RacySlice {
    patch: Option<Patch>,
    region: Region,
    _lock: Option<HeldLock>,
}

impl<A: Readable> Map<A> {
    /// Turns into the owner of an `unsafe` slice under which missing pages become zeros.
    ///
    /// There is no way back: a view would no longer report pages that were replaced.
    ///
    /// # Errors
    /// `OutOfMemory` where 1024 ranges are watched already; `Unsupported` for huge page files, of which
    /// the kernel replaces no small part.
    ///
    /// See [`RacySlice`] for an example.
    ///
    /// # Kernel
    /// mmap(2) with `MAP_FIXED | MAP_ANONYMOUS`, from the signal handler, for each page that cannot be had.
    pub fn into_racy_slice(self) -> Result<RacySlice> {
        let name = self.name();
        let (region, lock) = self.into_region_and_lock();
        if region.unit() > page::size() {
            let why =
                format!("its pages of {} bytes cannot be replaced by small ones; use a view", region.unit());
            return Err(Error::new(ErrorKind::Unsupported, "watch a slice of", name, why));
        }
        let start = region.start().addr();
        let range = Range {
            start,
            end: start + region.len(),
            action: Action::ZeroPage,
            file: -1,
            offset: region.origin().offset,
        };
        let patch = if region.len() == 0 { None } else { Some(patch::register(range)) };
        match patch {
            Some(None) => {
                let why = "all 1024 ranges are taken; drop other racy slices, or use a view";
                Err(Error::new(ErrorKind::OutOfMemory, "watch a slice of", name, why))
            }
            patch => Ok(RacySlice { patch: patch.flatten(), region, _lock: lock }),
        }
    }
}

impl RacySlice {
    /// Returns the bytes.
    ///
    /// # Safety
    /// For as long as the slice lives, nobody writes these bytes: no thread, no process, no device. Pages
    /// that vanish turn into zeros while the slice lives, so no soundness may hang on a byte's reading
    /// the same twice (text that was checked to be UTF-8, an index that was checked once) unless
    /// [`check`](Self::check) says in between that none was replaced.
    #[must_use]
    #[allow(clippy::disallowed_methods, reason = "the documented, unsafe way out")]
    pub unsafe fn as_slice(&self) -> &[u8] {
        // SAFETY: the region owns len readable bytes from start; what can vanish is replaced by the
        // handler (the type's invariant), and the caller promises that nobody writes.
        unsafe { std::slice::from_raw_parts(self.region.start(), self.region.len()) }
    }

    /// Returns how many bytes there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.region.len()
    }

    /// Returns whether there is no byte.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Returns how many faults were answered by a page of zeros so far: at least one a page.
    #[must_use]
    pub fn poisoned(&self) -> usize {
        // What was read from the slice before is not to be read after this.
        fence(Ordering::SeqCst);
        self.patch.as_ref().map_or(0, Patch::hits)
    }

    /// Tells whether all that was read so far was really in the file.
    ///
    /// # Errors
    /// [`FaultKind::Poisoned`] with the first byte of the lowest page that was replaced by zeros.
    pub fn check(&self) -> Result<(), Fault> {
        fence(Ordering::SeqCst);
        let Some(lowest) = self.patch.as_ref().and_then(Patch::lowest) else { return Ok(()) };
        let offset = page::round_down(lowest).saturating_sub(self.region.start().addr());
        Err(self.region.fault(FaultKind::Poisoned, offset, 0))
    }
}
