//! The end of a map, and its parts: close, split, and the way out to a raw range and back.

#![allow(unsafe_code, reason = "unmaps, cuts and hands out owned ranges; listed in docs/SOUNDNESS.md")]

use std::fs::File;
use std::sync::Arc;

use super::access::Access;
use super::build::{self, Sharing};
use super::options::MapOptions;
use super::origin::Origin;
use super::region::{Parts, Region, Release};
use super::{Map, Source, registry};
use crate::error::{Error, ErrorKind, Result};
use crate::sys::memory as kernel;

impl<A: Access> Map<A> {
    /// Unmaps now, on this thread, and reports what the kernel says.
    ///
    /// # Errors
    /// Where munmap(2) fails; the range is leaked then.
    ///
    /// # Kernel
    /// munmap(2).
    ///
    /// ```
    /// use mapwright_core::{Map, mapped_here};
    /// let file = tempfile::tempfile()?;
    /// file.set_len(4096)?;
    /// let map = Map::of(&file)?;
    /// map.close()?;               // `drop` does it, too, and has nobody to tell
    /// assert_eq!(mapped_here(&file)?, 0);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn close(mut self) -> Result<()> {
        let region = self.exclusive();
        let (base, owned, is_here) = (region.base(), region.owned(), region.is_here());
        region.set_release(Release::Never);
        if owned == 0 || !is_here {
            return Ok(());
        }
        region.leave_the_table();
        // SAFETY: the region is exclusive and will not unmap again; the map and every view of it end here.
        unsafe { kernel::unmap(base, owned) }.map_err(|cause| Error::os("unmap", "a map", cause))
    }

    /// Unmaps and returns the file, or `None` where the map shows memory.
    ///
    /// ```
    /// use mapwright_core::{Map, MapOptions};
    /// # let path = tempfile::NamedTempFile::new().unwrap();
    /// # std::fs::write(&path, b"twelve bytes").unwrap();
    /// let file = Map::open(&path)?.into_file().unwrap();
    /// assert_eq!(file.metadata()?.len(), 12);
    /// assert!(MapOptions::new().shared_memory(4096)?.into_file().is_none());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use = "the file is closed when it is dropped"]
    pub fn into_file(self) -> Option<Arc<File>> {
        self.source().cloned().map(Source::into_file)
    }

    /// Splits in two at a page boundary; each part unmaps itself.
    ///
    /// # Errors
    /// Where `at` lies beyond the end or, counted from the first page, is not a multiple of the page size.
    ///
    /// ```
    /// use mapwright_core::MapOptions;
    /// let map = MapOptions::new().shared_memory(2 << 20)?;
    /// map.view().store(1 << 20, 7u8)?;
    /// let (first, second) = map.split(1 << 20)?;
    /// first.close()?;
    /// assert_eq!((second.len(), second.view().load::<u8>(0)?), (1 << 20, 7));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn split(mut self, at: usize) -> Result<(Self, Self)> {
        let lock = self.lock.take();
        let region = self.exclusive();
        let (before, owned, len, unit) = (region.before(), region.owned(), region.len(), region.unit());
        // By the address, which is aligned; a guard before it need not be a multiple of a huge page.
        let is_boundary = |cut: usize| owned == 0 || (region.base().addr().get() + cut).is_multiple_of(unit);
        let cut = before.checked_add(at).filter(|&cut| at <= len && cut <= owned && is_boundary(cut));
        let Some(cut) = cut else {
            let why = format!("{at} is not a page boundary inside of {len} bytes (pages of {unit} bytes)");
            return Err(Error::new(ErrorKind::InvalidInput, "split", "a map", why));
        };
        let origin = |offset| Origin {
            source: region.origin().source.clone(),
            kind: region.origin().kind,
            offset: region.origin().file_offset(offset),
            private: region.origin().private,
            has_copies: region.origin().has_copies,
        };
        let capacity = region.capacity();
        let release = region.release();
        let first = Parts {
            base: region.base(),
            owned: cut,
            before,
            len: at,
            capacity: at,
            origin: origin(0),
            ticket: region.ticket().cloned(),
            release,
            unit,
            only_in: region.only_in(),
        };
        // SAFETY: cut lies inside the owned range.
        let base = unsafe { region.base().add(cut) };
        let second = Parts {
            base,
            owned: owned - cut,
            before: 0,
            len: len - at,
            capacity: capacity - at,
            origin: origin(at),
            ticket: region.ticket().cloned(),
            release,
            unit,
            only_in: region.only_in(),
        };
        region.set_release(Release::Never);
        // SAFETY: the old region will not unmap; the two new ones own its two disjoint parts.
        let first = unsafe { Region::adopt(first) };
        // SAFETY: as above.
        let second = unsafe { Region::adopt(second) };
        // Whether anybody has looked at the whole, nobody knows of the parts.
        first.look();
        second.look();
        first.note_end();
        Ok((Self::new(first, lock), Self::new(second, None)))
    }

    /// Maps the same file again by other options, in the place of the range that it had. The lock is kept.
    pub(crate) fn map_anew(&mut self, options: &MapOptions) -> Result<()> {
        let Some(source) = self.source().cloned() else { return Ok(()) };
        let sharing = if self.is_private() { Sharing::Private } else { Sharing::Shared };
        let mut fresh = build::file::<A>(options, source, sharing)?;
        self.region.wait_for_helpers();
        std::mem::swap(&mut self.region, &mut fresh.region);
        Ok(())
    }

    /// Gives the range up: nobody unmaps it until [`from_raw`](Self::from_raw). An advisory lock is a map's,
    /// and ends here.
    #[must_use = "the range stays mapped until from_raw or munmap"]
    pub fn into_raw(mut self) -> RawMap {
        let region = self.exclusive();
        region.leave_the_table();
        region.set_release(Release::Never);
        RawMap {
            base: region.base().as_ptr(),
            owned: region.owned(),
            before: region.before(),
            len: region.len(),
            capacity: region.capacity(),
            page_size: region.unit(),
            source: region.origin().source.clone(),
            offset: region.origin().offset,
            private: region.origin().private,
            inherited: region.only_in().is_none(),
        }
    }

    /// Takes a range over.
    ///
    /// # Errors
    /// Where the source cannot be described any more, and where the numbers contradict each other.
    ///
    /// # Safety
    /// `base..+owned` is mapped, whole pages of `page_size`, and nobody else will unmap, move or reprotect
    /// it, or hold a reference into it. The bytes that the map can show have at least the access that `A`
    /// stands for. `inherited` is true only if a child of this process would have all of it.
    ///
    /// ```
    /// use mapwright_core::{Map, ReadOnly};
    /// # let path = tempfile::NamedTempFile::new().unwrap();
    /// # std::fs::write(&path, b"from hand to hand").unwrap();
    /// let raw = Map::open(&path)?.into_raw();
    /// // SAFETY: nobody has touched the range since it was handed out.
    /// let map = unsafe { Map::<ReadOnly>::from_raw(raw) }?;
    /// assert_eq!(map.view().to_vec()?, b"from hand to hand");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub unsafe fn from_raw(raw: RawMap) -> Result<Self> {
        crate::fault::handler::install();
        let description = raw.source.as_ref().map(Source::describe).transpose()?;
        let origin = Origin {
            source: raw.source,
            kind: description.map(|description| description.kind),
            offset: raw.offset,
            private: raw.private,
            // Whoever had it may have written.
            has_copies: raw.private,
        };
        let end = origin.file_offset(raw.len);
        let base = std::ptr::NonNull::new(raw.base).ok_or_else(|| {
            Error::new(ErrorKind::InvalidInput, "adopt", "a raw map", "its address is null")
        })?;
        let end_of_room = raw.before.checked_add(raw.capacity);
        if raw.len > raw.capacity || end_of_room.is_none_or(|end| end > raw.owned) {
            let RawMap { owned, before, len, capacity, .. } = raw;
            let why =
                format!("{len} of {capacity} bytes, {before} bytes behind the start of {owned}, do not fit");
            return Err(Error::new(ErrorKind::InvalidInput, "adopt", "a raw map", why));
        }
        let parts = Parts {
            base,
            owned: raw.owned,
            before: raw.before,
            len: raw.len,
            capacity: raw.capacity,
            origin,
            ticket: description.map(|description| registry::enter(description.identity, end)),
            release: Release::Background,
            unit: raw.page_size,
            only_in: None,
        };
        // SAFETY: by this function's contract.
        let region = unsafe { Region::adopt(parts) };
        // Who had it before has looked.
        region.look();
        if !raw.inherited && raw.owned > 0 {
            // SAFETY: the range is the region's.
            unsafe { region.keep_to_this_process(base, raw.owned) }
                .map_err(|cause| Error::os("keep from children", "a raw map", cause))?;
        }
        Ok(Self::new(region, None))
    }
}

/// A map taken apart: what [`Map::into_raw`] gives up and [`Map::from_raw`] takes over.
///
/// ```
/// use mapwright_core::{Map, ReadOnly};
/// # let path = tempfile::NamedTempFile::new().unwrap();
/// # std::fs::write(&path, b"from hand to hand").unwrap();
/// let raw = Map::open(&path)?.into_raw();
/// assert_eq!((raw.len, raw.before, raw.private), (17, 0, false));
/// assert_eq!(raw.owned % raw.page_size, 0);
/// # // SAFETY: nobody has touched the range since it was handed out.
/// # drop(unsafe { Map::<ReadOnly>::from_raw(raw) }?);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct RawMap {
    /// The first address of the owned range, page-aligned.
    pub base: *mut u8,
    /// The owned range's length in bytes, whole pages.
    pub owned: usize,
    /// From `base` to the first byte that the map shows.
    pub before: usize,
    /// How many bytes the map shows.
    pub len: usize,
    /// How many bytes the map can show, without being mapped anew, once its file has grown.
    pub capacity: usize,
    /// The size of a page of the mapping in bytes: on hugetlbfs larger than the kernel's small one.
    pub page_size: usize,
    /// The mapped file, if there is one.
    pub source: Option<Source>,
    /// The file offset of the first byte that the map shows.
    pub offset: u64,
    /// Whether the mapping is private.
    pub private: bool,
    /// Whether a forked child has all of the range; not so after
    /// [`ForkPolicy::DontFork`](crate::ForkPolicy::DontFork).
    pub inherited: bool,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sys::page;
    use crate::{ForkPolicy, ReadOnly};

    fn path() -> tempfile::TempPath {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), vec![7; 2 * page::size() + 10]).unwrap();
        file.into_temp_path()
    }

    #[test]
    fn what_was_handed_out_comes_back_with_all_that_it_was() {
        let path = path();
        let options =
            MapOptions::new().offset(10).reserve(1 << 20).guard(page::size()).fork(ForkPolicy::DontFork);
        let map = options.open(&path).unwrap();
        let (len, capacity) = (map.len(), map.capacity());
        let raw = map.into_raw();
        assert_eq!((raw.len, raw.capacity, raw.inherited), (len, capacity, false));
        // SAFETY: the range was handed out a moment ago, and nobody touched it.
        let map = unsafe { Map::<ReadOnly>::from_raw(raw) }.unwrap();
        assert_eq!((map.len(), map.capacity(), map.file_offset()), (len, capacity, 10));
        assert_eq!(map.view().to_vec().unwrap(), vec![7; len]);
        std::fs::write(&path, vec![8; 5 * page::size()]).unwrap();
        assert_eq!(map.refresh_in_place().unwrap(), 5 * page::size() - 10);
        assert_eq!(map.view().load::<u8>(4 * page::size()).unwrap(), 8);
        assert!(map.region().only_in().is_some());
    }

    #[test]
    fn numbers_that_contradict_each_other_are_refused() {
        let map = Map::open(path()).unwrap();
        let mut raw = map.into_raw();
        raw.capacity = raw.owned + 1;
        // SAFETY: the range was handed out a moment ago; what is wrong is refused.
        let error = unsafe { Map::<ReadOnly>::from_raw(raw) }.unwrap_err();
        assert!(error.to_string().starts_with("cannot adopt a raw map: "), "{error}");
    }
}
