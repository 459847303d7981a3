//! Shared memory, and structures of words at checked places in it.
//!
//! A [`Placed`] structure is checked once (inside the area, aligned, made of nothing but words) and then used
//! without further checks, at the speed of ordinary memory. That is sound because nothing can take the pages
//! away: either the file is sealed against shrinking, or the handler of faults puts a page of zeros where one
//! has vanished, and [`Area::check`] says so from then on.

#![allow(
    unsafe_code,
    reason = "references to words of owned, replaced-if-vanished memory; listed in docs/SOUNDNESS.md"
)]

use std::any::Any;
use std::fmt;
use std::marker::PhantomData;
use std::mem::ManuallyDrop;
use std::ptr::NonNull;
use std::sync::Arc;

use super::thread;
use super::word::{Line, LookWord32, LookWord64, Word32, Word64};
use crate::error::{Error, ErrorKind, Fault, FaultKind, Result};
use crate::fault::patch::{self, Action, Patch, Range};
use crate::map::region::Region;
use crate::map::{Access, Map, ReadOnly, ReadWrite, Source};
use crate::span::Span;
use crate::sys::fork;
use crate::sys::{page, seal};

/// Memory that is made of words only: every bit pattern is a value, and every access is atomic.
///
/// Derived for `#[repr(C)]` structs of words, of arrays of them, and of such structs:
///
/// ```
/// use mapwright_core::peer::{Line, Shared, Word64};
///
/// #[derive(Default, Shared)]
/// #[shared(crate = "mapwright_core")]
/// #[repr(C)]
/// struct Cursors {
///     head: Line<Word64>,
///     tail: Line<Word64>,
/// }
/// ```
///
/// # Safety
/// The type has no field but such memory, a defined layout (`repr(C)` or `transparent`), and its
/// size is not zero.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be shared between processes in place",
    label = "not made of words only",
    note = "what several processes change at once is made of `Word32`, `Word64`, arrays of them, and\n\
            structs of them that derive `Shared`; values of `Plain` types are copied in and out instead"
)]
pub unsafe trait Shared: Sync + Send + Sized + 'static {}

/// [`Shared`] memory whose words can only be looked at, so that it may be mapped for reading.
///
/// # Safety
/// As for [`Shared`], and no method of the type or of its parts stores.
pub unsafe trait Lookable: Shared {}

// SAFETY: one atomic, transparent.
unsafe impl Shared for Word32 {}
// SAFETY: as above.
unsafe impl Shared for Word64 {}
// SAFETY: as above.
unsafe impl Shared for LookWord32 {}
// SAFETY: as above.
unsafe impl Shared for LookWord64 {}
// SAFETY: has `load` only.
unsafe impl Lookable for LookWord32 {}
// SAFETY: as above.
unsafe impl Lookable for LookWord64 {}
// SAFETY: `repr(C)`, one field, and padding that nobody touches.
unsafe impl<T: Shared> Shared for Line<T> {}
// SAFETY: as above.
unsafe impl<T: Lookable> Lookable for Line<T> {}
// SAFETY: elements without gaps; `Place` refuses what has no size.
unsafe impl<T: Shared, const N: usize> Shared for [T; N] {}
// SAFETY: as above.
unsafe impl<T: Lookable, const N: usize> Lookable for [T; N] {}

/// Memory that processes share, mapped for as long as anything is placed in it.
///
/// ```
/// use mapwright_core::peer::{Area, Ordering, Word64};
/// use mapwright_core::{MapOptions, MemFile};
/// let file = MemFile::new("counter", 4096)?;
/// let area = Area::new(MapOptions::new().map_mut(&file)?)?;
/// let counter = area.place::<Word64>(64)?;
/// counter.fetch_add(1, Ordering::Relaxed);
/// assert_eq!(MapOptions::new().map(&file)?.view().load::<u64>(64)?, 1);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct Area<A: Access = ReadWrite> {
    inner: Arc<Inner>,
    access: PhantomData<A>,
}

impl<A: Access> Clone for Area<A> {
    fn clone(&self) -> Self {
        Self { inner: Arc::clone(&self.inner), access: PhantomData }
    }
}

// Invariants: 1. `patch` covers the region wherever the file could be shortened. 2. The region is unmapped
// after the patch was retired, and never while a thread of this process has a lock word in it on its list.
#[derive(Debug)]
struct Inner {
    patch: Option<Patch>,
    region: ManuallyDrop<Region>,
    epoch: fork::Epoch,
    calm: fork::Calm,
}

impl Area<ReadWrite> {
    /// Takes over a map for reading and writing.
    ///
    /// # Errors
    /// `Unsupported` for huge page files, whose pages cannot be replaced one by one; `OutOfMemory` where 1024
    /// such maps exist already (memory files that are sealed against shrinking do not count).
    pub fn new(map: Map<ReadWrite>) -> Result<Self> {
        Self::adopt(map)
    }

    /// Returns the structure at an offset.
    ///
    /// # Errors
    /// `OutOfBounds` where it ends beyond the area, `InvalidInput` where the offset is not a multiple of its
    /// alignment.
    pub fn place<T: Shared>(&self, offset: usize) -> Result<Placed<T>> {
        let start = self.inner.address_of::<T>(offset, 1)?;
        Ok(Placed { target: start, calm: self.inner.calm, keep: Keep::Area(Arc::clone(&self.inner)) })
    }

    /// Returns `count` structures, one after the other, from an offset on.
    ///
    /// # Errors
    /// As [`place`](Self::place).
    pub fn place_many<T: Shared>(&self, offset: usize, count: usize) -> Result<Placed<[T]>> {
        let start = self.inner.address_of::<T>(offset, count)?;
        let target = NonNull::slice_from_raw_parts(start, count);
        Ok(Placed { target, calm: self.inner.calm, keep: Keep::Area(Arc::clone(&self.inner)) })
    }
}

impl Area<ReadOnly> {
    /// Takes over a map for reading.
    ///
    /// # Errors
    /// As [`Area::new`].
    pub fn read_only(map: Map<ReadOnly>) -> Result<Self> {
        Self::adopt(map)
    }

    /// Returns the structure at an offset, to be looked at.
    ///
    /// # Errors
    /// As [`Area::place`].
    pub fn look<T: Lookable>(&self, offset: usize) -> Result<Placed<T>> {
        let start = self.inner.address_of::<T>(offset, 1)?;
        Ok(Placed { target: start, calm: self.inner.calm, keep: Keep::Area(Arc::clone(&self.inner)) })
    }

    /// Returns `count` structures, one after the other, from an offset on, to be looked at.
    ///
    /// # Errors
    /// As [`Area::place`].
    pub fn look_many<T: Lookable>(&self, offset: usize, count: usize) -> Result<Placed<[T]>> {
        let start = self.inner.address_of::<T>(offset, count)?;
        let target = NonNull::slice_from_raw_parts(start, count);
        Ok(Placed { target, calm: self.inner.calm, keep: Keep::Area(Arc::clone(&self.inner)) })
    }
}

impl<A: Access> Area<A> {
    fn adopt(map: Map<A>) -> Result<Self> {
        let (calm, name) = (fork::Calm::now(), map.name());
        let (region, _lock) = map.into_region_and_lock();
        // A page of a huge page file may be missing even where the file cannot shrink: the pool was empty.
        let lasting = region.unit() == page::size() && stays_whole(&region);
        let patch = if lasting || region.len() == 0 { None } else { Some(watch(&region, &name)?) };
        let inner = Inner { patch, region: ManuallyDrop::new(region), epoch: fork::epoch(), calm };
        Ok(Self { inner: Arc::new(inner), access: PhantomData })
    }

    /// Returns how many bytes there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.inner.region.len()
    }

    /// Returns whether there is no byte.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Tells whether the memory is still the shared one.
    ///
    /// # Errors
    /// [`FaultKind::Poisoned`] once a page had to be replaced because somebody shortened the file;
    /// [`FaultKind::Gone`] in a process that was forked after the area was made: it has to attach by itself.
    #[inline]
    pub fn check(&self) -> Result<(), Fault> {
        self.inner.check()
    }
}

impl Inner {
    #[cold]
    fn check(&self) -> Result<(), Fault> {
        let whole = self.patch.as_ref().is_none_or(|patch| patch.hits() == 0);
        if whole && self.epoch.is_here() { Ok(()) } else { Err(self.fault()) }
    }

    fn fault(&self) -> Fault {
        let lowest = self.patch.as_ref().and_then(Patch::lowest);
        match lowest {
            Some(address) => {
                let offset = page::round_down(address).saturating_sub(self.region.start().addr());
                self.region.fault(FaultKind::Poisoned, offset, 0)
            }
            None => self.region.fault(FaultKind::Gone, 0, 0),
        }
    }

    fn address_of<T>(&self, offset: usize, count: usize) -> Result<NonNull<T>> {
        let refuse = |kind, why: String| Err(Error::new(kind, "place a structure in", "shared memory", why));
        let size = size_of::<T>();
        let Some(bytes) = size.checked_mul(count).filter(|_| size > 0) else {
            return refuse(ErrorKind::InvalidInput, format!("{count} times {size} bytes are no size"));
        };
        let Ok(span) = Span::at(offset, bytes, self.region.len()) else {
            let len = self.region.len();
            return refuse(
                ErrorKind::OutOfBounds,
                format!("{bytes} bytes from {offset} on end beyond its {len} bytes"),
            );
        };
        if span.offset() % align_of::<T>() != 0 || !self.region.start().addr().is_multiple_of(align_of::<T>())
        {
            let align = align_of::<T>();
            return refuse(ErrorKind::InvalidInput, format!("offset {offset} is no multiple of {align}"));
        }
        // SAFETY: the span lies inside of the region's owned range.
        let start = unsafe { self.region.start().add(span.offset()) };
        NonNull::new(start.cast::<T>())
            .map_or_else(|| refuse(ErrorKind::OutOfBounds, "nothing is mapped".to_owned()), Ok)
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        let start = self.region.start().addr();
        if thread::has_held_in(start..start + self.region.len()) {
            // A guard was leaked: the kernel still walks over a word in here when that thread ends, and the
            // thread writes to it. So pages that vanish are still replaced.
            std::mem::forget(self.patch.take());
            return;
        }
        // First the handler forgets the range: it could put a page into what is mapped there next.
        self.patch = None;
        // SAFETY: dropped once, here, and not used afterwards.
        unsafe { ManuallyDrop::drop(&mut self.region) };
    }
}

/// Tells whether the file has a page behind each of the region's, and always will.
fn stays_whole(region: &Region) -> bool {
    let end = u64::try_from(region.len()).ok().and_then(|len| region.origin().offset.checked_add(len));
    // First the seal: a file that is long enough after that stays so.
    let lasts = |source: &Source| {
        let is_long = |status: rustix::fs::Stat| {
            end.is_some_and(|end| u64::try_from(status.st_size).is_ok_and(|len| end <= len))
        };
        cannot_shrink(source) && rustix::fs::fstat(source.fd()).is_ok_and(is_long)
    };
    region.origin().source.as_ref().is_some_and(lasts)
}

fn cannot_shrink(source: &Source) -> bool {
    let sealed = |seals: u32| seals & linux_raw_sys::general::F_SEAL_SHRINK != 0;
    seal::seals(source.fd()).is_ok_and(sealed)
}

fn watch(region: &Region, name: &str) -> Result<Patch> {
    const ACTION: &str = "share the memory of";
    if region.unit() > page::size() {
        let why =
            format!("its pages of {} bytes cannot be replaced one by one if one is missing", region.unit());
        return Err(Error::new(ErrorKind::Unsupported, ACTION, name, why).advice("use a file of small pages"));
    }
    let start = region.start().addr();
    let range = Range {
        start,
        end: start + region.len(),
        action: Action::ZeroPage,
        file: -1,
        offset: region.origin().offset,
    };
    crate::fault::handler::install();
    patch::register(range).ok_or_else(|| {
        Error::new(ErrorKind::OutOfMemory, ACTION, name, "all 1024 ranges that can be watched are taken")
            .advice("detach from other segments, or use anonymous ones")
    })
}

/// A structure in shared memory; keeps the memory mapped.
///
/// Under a model checker, and in tests of one process, it lives in ordinary memory ([`Placed::own`]).
//
// Invariant: `target` is valid for `keep`'s life, aligned, and only ever reached through atomics.
pub struct Placed<T: ?Sized> {
    target: NonNull<T>,
    /// Here and not behind `keep`: every operation asks.
    calm: fork::Calm,
    keep: Keep,
}

#[derive(Clone)]
enum Keep {
    Area(Arc<Inner>),
    Own {
        /// Never looked at: it is what `target` points into.
        _value: Arc<Own>,
    },
}

/// Ordinary memory. Invariant: freed when nothing is placed in it any more, and never while a thread of this
/// process has a lock word in it on its list.
struct Own {
    value: ManuallyDrop<Arc<dyn Any + Send + Sync>>,
    range: std::ops::Range<usize>,
}

impl Own {
    fn keep<T: ?Sized>(placed: &T, value: Arc<dyn Any + Send + Sync>) -> Keep {
        let start = std::ptr::from_ref(placed).addr();
        let len = size_of_val(placed);
        Keep::Own { _value: Arc::new(Self { value: ManuallyDrop::new(value), range: start..start + len }) }
    }
}

impl Drop for Own {
    fn drop(&mut self) {
        // As for mapped memory: a guard was leaked.
        if !thread::has_held_in(self.range.clone()) {
            // SAFETY: dropped once, here, and not used afterwards.
            unsafe { ManuallyDrop::drop(&mut self.value) };
        }
    }
}

// SAFETY: a shared reference to a `Shared` structure, which is `Sync` and `Send`.
unsafe impl<T: ?Sized + Sync> Send for Placed<T> {}
// SAFETY: as above.
unsafe impl<T: ?Sized + Sync> Sync for Placed<T> {}

impl<T: ?Sized> Clone for Placed<T> {
    fn clone(&self) -> Self {
        Self { target: self.target, calm: self.calm, keep: self.keep.clone() }
    }
}

impl<T: ?Sized> std::ops::Deref for Placed<T> {
    type Target = T;

    #[inline]
    fn deref(&self) -> &T {
        // SAFETY: the type's invariant; the reference ends before `keep` does.
        unsafe { self.target.as_ref() }
    }
}

impl<T: ?Sized + fmt::Debug> fmt::Debug for Placed<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        (**self).fmt(f)
    }
}

impl<T: Shared> Placed<T> {
    /// Puts a structure into ordinary memory of this process.
    pub fn own(value: T) -> Self {
        let owned = Arc::new(value);
        let target = NonNull::from(&*owned);
        Self { target, calm: fork::Calm::now(), keep: Own::keep(&*Arc::clone(&owned), owned) }
    }
}

impl<T: Shared> Placed<[T]> {
    /// Puts structures into ordinary memory of this process.
    pub fn own_many(values: Vec<T>) -> Self {
        let owned = Arc::new(values);
        let target = NonNull::from(owned.as_slice());
        Self { target, calm: fork::Calm::now(), keep: Own::keep(Arc::clone(&owned).as_slice(), owned) }
    }

    /// Returns one of the structures.
    #[must_use]
    pub fn one(&self, index: usize) -> Option<Placed<T>> {
        let target = NonNull::from(self.get(index)?);
        Some(Placed { target, calm: self.calm, keep: self.keep.clone() })
    }
}

impl Placed<[Word64]> {
    /// Returns the same words for looking at only, as a reader sees them whose memory is mapped for reading.
    #[must_use]
    pub fn look(&self) -> Placed<[LookWord64]> {
        let target = NonNull::slice_from_raw_parts(self.target.cast::<LookWord64>(), self.len());
        Placed { target, calm: self.calm, keep: self.keep.clone() }
    }
}

impl<T: ?Sized> Placed<T> {
    /// Tells whether the memory is still the shared one; see [`Area::check`].
    ///
    /// # Errors
    /// As [`Area::check`].
    #[inline(always)]
    pub fn check(&self) -> Result<(), Fault> {
        if self.calm.lasts() { Ok(()) } else { self.check_own() }
    }

    #[cold]
    fn check_own(&self) -> Result<(), Fault> {
        match &self.keep {
            Keep::Area(inner) => inner.check(),
            Keep::Own { .. } => Ok(()),
        }
    }

    /// Returns a part of the structure as a structure of its own.
    #[must_use]
    pub fn part<U: ?Sized>(&self, choose: impl for<'a> FnOnce(&'a T) -> &'a U) -> Placed<U> {
        // The reference lives as long as the borrow of what `keep` keeps: it points into it (or is static).
        Placed { target: NonNull::from(choose(self)), calm: self.calm, keep: self.keep.clone() }
    }
}

#[cfg(all(test, not(any(loom, shuttle))))]
#[allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]
mod tests {
    use super::*;
    use crate::peer::{Deadline, Life, Ordering, RobustWord, Roster, pid_namespace};
    use crate::{MapOptions, MemFile, Seals};

    #[test]
    fn own_memory_with_a_leaked_guard_is_not_freed() {
        let file = MemFile::new("seats", 4096).unwrap();
        let area = Area::new(MapOptions::new().map_mut(&file).unwrap()).unwrap();
        let life = Life::open(file.file().as_ref()).unwrap();
        let me = Roster::join(area.place_many(0, 4).unwrap(), life, pid_namespace()).unwrap().unwrap();
        for leaks in [false, true] {
            let lock = Placed::own(RobustWord::default());
            let Keep::Own { _value: own } = &lock.keep else { return };
            let memory = Arc::downgrade(&own.value);
            let acquired = lock.acquire(&me, Deadline::never());
            if leaks {
                std::mem::forget(acquired);
            } else {
                drop(acquired);
            }
            drop(lock);
            assert_eq!(memory.strong_count(), usize::from(leaks));
        }
    }

    #[test]
    fn a_file_that_was_cut_before_it_was_sealed_is_watched() {
        let page = page::size();
        let file = MemFile::new("cut", 2 * page).unwrap();
        let map = MapOptions::new().map_mut(&file).unwrap();
        file.file().set_len(u64::try_from(page).unwrap()).unwrap();
        file.seal(Seals::SHRINK).unwrap();
        let area = Area::new(map).unwrap();
        let words = area.place_many::<Word64>(0, 2 * page / 8).unwrap();
        assert_eq!(words[0].load(Ordering::Relaxed), 0);
        assert!(area.check().is_ok());
        assert_eq!(words[page / 8].load(Ordering::Relaxed), 0);
        assert_eq!(area.check().unwrap_err().kind(), FaultKind::Poisoned);
    }
}
