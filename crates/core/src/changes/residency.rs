//! Which pages are in memory: the kernel is asked, its silence is reported, and its lies are not repeated.
//!
//! `ask` knows how to ask; `states` is what comes of it.

use std::ops::RangeBounds;
use std::os::fd::{AsFd, BorrowedFd};

use super::ask::{Detail, Subject, Writes, page_bytes};
use super::pages::Pages;
use super::range;
use super::states::Residency;
use crate::error::{Error, Result};
use crate::map::{Access, Map, Memory};

/// Tells for each page of a range of a file whether it is in memory, dirty, or being written back.
///
/// Nothing is read into memory by asking.
///
/// # Errors
/// Where the range ends beyond the file, or the descriptor names neither a file nor a block device. What
/// the kernel will not tell is no error: see [`Residency::why_untold`].
///
/// # Kernel
/// cachestat(2) (Linux 6.5) and mincore(2). Before 6.5 dirty pages are not told.
///
/// ```
/// use mapwright_core::residency;
/// let file = tempfile::NamedTempFile::new().unwrap();
/// std::fs::write(file.path(), vec![1u8; 20_000]).unwrap();
/// let picture = residency(file.as_file(), ..)?;
/// assert_eq!(picture.totals().cached, picture.page_count());
/// # Ok::<(), mapwright_core::Error>(())
/// ```
#[doc(alias = "mincore")]
#[doc(alias = "cachestat")]
#[doc(alias = "fincore")]
pub fn residency(file: impl AsFd, range: impl RangeBounds<u64>) -> Result<Residency> {
    of_file(file.as_fd(), range, Detail::Less)
}

/// Tells what [`residency()`] tells, and which pages belong to huge pages or are locked in memory.
///
/// Cached pages are mapped for a moment to look at them, which costs about 100 ms a GiB.
///
/// # Errors
/// As [`residency()`].
///
/// # Kernel
/// `PAGEMAP_SCAN` (Linux 6.7) finds pages that are mapped as parts of huge pages; `/proc/kpageflags`, for the
/// superuser only, finds locked ones (a large folio only where all of it was locked at once). What cannot be
/// found out is reported by [`Residency::why_untold`].
///
/// ```
/// use mapwright_core::{Question, residency_in_detail};
/// let file = tempfile::NamedTempFile::new().unwrap();
/// std::fs::write(file.path(), vec![1u8; 20_000]).unwrap();
/// let picture = residency_in_detail(file.as_file(), ..)?;
/// match picture.why_untold(Question::Locked) {
///     None => assert_eq!(picture.totals().locked, 0),
///     Some(why) => println!("locked pages are not known: {why}"),
/// }
/// # Ok::<(), mapwright_core::Error>(())
/// ```
pub fn residency_in_detail(file: impl AsFd, range: impl RangeBounds<u64>) -> Result<Residency> {
    of_file(file.as_fd(), range, Detail::More)
}

impl<A: Access> Map<A> {
    /// Tells for each page of a range whether it is in memory, dirty, or being written back. Offsets are the
    /// map's.
    ///
    /// # Errors
    /// `OutOfBounds` where the range ends beyond the map. What the kernel will not tell is no error: see
    /// [`Residency::why_untold`].
    ///
    /// # Kernel
    /// As [`residency()`]. A map of memory has no dirty pages: there is no disk behind it.
    ///
    /// ```
    /// use mapwright_core::{Map, Populate, MapOptions};
    /// # let path = tempfile::NamedTempFile::new().unwrap();
    /// # std::fs::write(&path, vec![1u8; 20_000]).unwrap();
    /// let map = MapOptions::new().populate(Populate::Now).open(&path)?;
    /// assert!(map.residency(4096..8192)?.pages().all(|page| page.is_cached()));
    /// # Ok::<(), mapwright_core::Error>(())
    /// ```
    #[doc(alias = "mincore")]
    pub fn residency(&self, range: impl RangeBounds<usize>) -> Result<Residency> {
        self.picture(range, Detail::Less)
    }

    /// Tells what [`residency`](Self::residency) tells, and which pages belong to huge pages or are locked.
    ///
    /// # Errors
    /// As [`residency`](Self::residency).
    ///
    /// # Kernel
    /// As [`residency_in_detail`]; what this map itself has locked is known without being the superuser.
    ///
    /// ```
    /// use mapwright_core::{LockMode, MapOptions, Question};
    /// let map = MapOptions::new().shared_memory(1 << 20)?;
    /// if map.lock_memory(..4096, LockMode::Now).is_ok() {
    ///     let picture = map.residency_in_detail(..)?;
    ///     if picture.why_untold(Question::Locked).is_none() {
    ///         assert!(picture.page(0).unwrap().is_locked());
    ///     }
    /// }
    /// # Ok::<(), mapwright_core::Error>(())
    /// ```
    pub fn residency_in_detail(&self, range: impl RangeBounds<usize>) -> Result<Residency> {
        self.picture(range, Detail::More)
    }

    fn picture(&self, range: impl RangeBounds<usize>, detail: Detail) -> Result<Residency> {
        let span = range::checked(range, self.len(), "ask about", || self.name())?;
        let pages = Pages::small_of_map(self, span)?;
        let bytes = range::wide(span.offset())..range::wide(span.end());
        let lead = range::wide(pages.lead());
        let first = self.file_offset().saturating_add(bytes.start).saturating_sub(lead);
        let copies = self.region().origin().has_copies;
        let subject = Subject {
            // What is cached of the file says nothing about private copies of it.
            cache: self.source().filter(|_| !copies).map(|source| (source.fd(), first)),
            pages: Some(pages),
            writes: if self.source().is_none() { Writes::Never } else { Writes::Cached },
        };
        subject
            .draw(Residency::begin(bytes, lead, page_bytes()), detail)
            .map_err(|cause| Error::os("ask which pages are in memory of", self.name(), cause))
    }
}

impl Memory {
    /// Tells for each page of a range whether it is in memory.
    ///
    /// A page that was never touched, or that was swapped out, is absent.
    ///
    /// # Errors
    /// `OutOfBounds` where the range ends beyond the memory.
    ///
    /// # Kernel
    /// mincore(2).
    ///
    /// ```
    /// use mapwright_core::Memory;
    /// let mut memory = Memory::new(1 << 20)?;
    /// memory[5000] = 1;
    /// assert!(memory.residency(5000..5001)?.pages().all(|page| page.is_cached()));
    /// # Ok::<(), mapwright_core::Error>(())
    /// ```
    pub fn residency(&self, range: impl RangeBounds<usize>) -> Result<Residency> {
        let span = range::checked(range, self.len(), "ask about", || "memory".to_owned())?;
        let pages = Pages::small_of_memory(self, span)?;
        let bytes = range::wide(span.offset())..range::wide(span.end());
        Subject { cache: None, pages: Some(pages), writes: Writes::Never }
            .draw(Residency::begin(bytes, range::wide(pages.lead()), page_bytes()), Detail::More)
            .map_err(|cause| Error::os("ask which pages are in memory of", "memory", cause))
    }
}

fn of_file(file: BorrowedFd<'_>, range: impl RangeBounds<u64>, detail: Detail) -> Result<Residency> {
    let bytes = range::of_file(file, range, "ask about")?;
    let lead = bytes.start % page_bytes();
    let subject = Subject { cache: Some((file, bytes.start - lead)), pages: None, writes: Writes::Cached };
    subject
        .draw(Residency::begin(bytes, lead, page_bytes()), detail)
        .map_err(|cause| Error::os("ask which pages are in memory of", range::name_of(file), cause))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::FileExt;

    use proptest::prelude::*;

    use super::*;
    use crate::changes::states::{PageState, Question, WhyUntold};
    use crate::changes::testing::{cold_file, skip};
    use crate::map::MapOptions;
    use crate::sys::{memory as kernel, permission};

    const PAGE: u64 = 4096;

    fn touch(file: &std::fs::File, page: u64) {
        assert_eq!(file.read_at(&mut [0], page * PAGE).unwrap(), 1);
    }

    #[test]
    fn only_the_page_that_was_read_is_cached() {
        let Some(file) = cold_file("only_the_page_that_was_read_is_cached", 10 * 4096 + 100) else { return };
        assert_eq!(residency(&file, ..).unwrap().totals().cached, 0);
        touch(&file, 3);
        let picture = residency(&file, ..).unwrap();
        assert_eq!((picture.page_count(), picture.totals().cached), (11, 1));
        assert!(picture.page(3).unwrap().is_cached());
        let runs: Vec<_> = picture.ranges().map(|run| (run.range, run.state)).collect();
        let (absent, cached) = (PageState::ABSENT, PageState::CACHED);
        let end = 10 * PAGE + 100;
        assert_eq!(runs, [(0..3 * PAGE, absent), (3 * PAGE..4 * PAGE, cached), (4 * PAGE..end, absent)]);
        assert_eq!(picture.why_untold(Question::Huge), Some(WhyUntold::NotAsked));
    }

    #[test]
    fn written_pages_are_dirty_until_they_are_synced() {
        let Some(file) = cold_file("written_pages_are_dirty_until_they_are_synced", 64 * 4096) else {
            return;
        };
        for page in [1, 2, 40] {
            file.write_all_at(b"x", page * PAGE).unwrap();
        }
        let written = |page: PageState| page.is_dirty() || page.is_in_writeback();
        let picture = residency(&file, ..).unwrap();
        if let Some(why) = picture.why_untold(Question::Writes) {
            return skip("written_pages_are_dirty_until_they_are_synced", why);
        }
        let dirty: Vec<_> = (0..64).filter(|&page| written(picture.page(page).unwrap())).collect();
        assert_eq!(dirty, [1, 2, 40]);
        file.sync_data().unwrap();
        assert!(!residency(&file, ..).unwrap().pages().any(written));
    }

    #[test]
    fn a_map_counts_from_its_own_first_byte_on_any_offset() {
        let Some(file) = cold_file("a_map_counts_from_its_own_first_byte_on_any_offset", 8 * 4096) else {
            return;
        };
        touch(&file, 2);
        let map = MapOptions::new().offset(5000).map(&file).unwrap();
        let picture = map.residency(..).unwrap();
        assert_eq!(picture.page_count(), 7);
        let cached: Vec<_> =
            picture.ranges().filter(|run| run.state.is_cached()).map(|run| run.range).collect();
        assert!(cached.len() == 1 && cached[0] == (2 * PAGE - 5000..3 * PAGE - 5000), "{cached:?}");
        let inside = map.residency(3200..3300).unwrap();
        assert_eq!((inside.page_count(), inside.page(0)), (1, Some(PageState::CACHED)));
        assert_eq!(inside.range(), 3200..3300);
        assert_eq!(map.residency(8 * 4096..).unwrap_err().kind(), crate::ErrorKind::OutOfBounds);
    }

    #[test]
    fn memory_is_present_where_it_was_touched() {
        let mut memory = Memory::new(16 * 4096).unwrap();
        memory[5 * 4096] = 1;
        let picture = memory.residency(..).unwrap();
        // Where huge pages are always made, one touch brings in more.
        assert!(picture.page(5).unwrap().is_cached());
        // Before Linux 6.7 nobody tells about huge pages.
        assert!(picture.untold().iter().all(|(question, _)| *question == Question::Huge), "{picture:?}");
    }

    #[test]
    fn an_empty_file_and_an_empty_map_have_no_pages() {
        let file = tempfile::tempfile().unwrap();
        assert_eq!(residency(&file, ..).unwrap().page_count(), 0);
        assert_eq!(Map::of(&file).unwrap().residency_in_detail(..).unwrap().page_count(), 0);
    }

    #[test]
    fn a_pipe_is_refused() {
        let (reader, _writer) = std::io::pipe().unwrap();
        assert_eq!(residency(&reader, ..).unwrap_err().kind(), crate::ErrorKind::InvalidInput);
    }

    #[test]
    #[allow(unsafe_code, reason = "changes what one thread may do")]
    fn those_who_may_not_know_are_told_that_they_are_not_told() {
        const NAME: &str = "those_who_may_not_know_are_told_that_they_are_not_told";
        if !rustix::process::geteuid().is_root() {
            return skip(NAME, "needs root, to become somebody else");
        }
        let Some(path) = tempfile::NamedTempFile::new().ok() else { return };
        std::fs::write(path.path(), vec![1u8; 40_000]).unwrap();
        let file = std::fs::File::open(path.path()).unwrap();
        let whole = std::fs::File::open(path.path()).unwrap();
        std::thread::spawn(move || {
            // SAFETY: changes the file-system identity of this thread only.
            unsafe { libc::setfsuid(65534) };
            assert!(!permission::owns_or_may_write(file.as_fd()));
            let picture = residency(&file, ..).unwrap();
            match kernel::cache_stat(file.as_fd(), 0, 0) {
                // Linux 6.5 to 6.12 tells everybody.
                Ok(_) => assert_eq!(picture.totals().cached, 10),
                Err(_) => {
                    assert_eq!(picture.why_untold(Question::Presence), Some(WhyUntold::NotPermitted));
                    assert_eq!(picture.totals().cached, 0);
                }
            }
        })
        .join()
        .unwrap();
        assert!(permission::owns_or_may_write(whole.as_fd()));
        assert_eq!(residency(&whole, ..).unwrap().totals().cached, 10);
    }

    #[test]
    fn locked_pages_are_found() {
        let file = tempfile::tempfile().unwrap();
        file.write_all_at(&[7u8; 8 * 4096], 0).unwrap();
        let map = Map::of(&file).unwrap();
        let middle = Pages::small_of_map(&map, crate::Span::new(2 * 4096, 4096).unwrap()).unwrap();
        middle.lock(kernel::OnFault::No).unwrap();
        let picture = map.residency_in_detail(..).unwrap();
        let locked: Vec<_> =
            picture.ranges().filter(|run| run.state.is_locked()).map(|run| run.range).collect();
        assert!(locked.len() == 1 && locked[0] == (2 * PAGE..3 * PAGE), "{locked:?}");
        if let Some(why) = residency_in_detail(&file, ..).unwrap().why_untold(Question::Locked) {
            return skip("locked_pages_are_found (from outside)", why);
        }
        // The kernel marks a large folio only where all of it is locked at once, and passes over one that it
        // is busy with; it marks it at another attempt.
        let seen_from_outside = || {
            let map = Map::of(&file).unwrap();
            let whole = Pages::small_of_map(&map, crate::Span::new(0, 8 * 4096).unwrap()).unwrap();
            whole.lock(kernel::OnFault::No).unwrap();
            residency_in_detail(&file, ..).unwrap().totals().locked
        };
        assert!((0..1000).any(|_| seen_from_outside() == 8), "locked pages are never seen from outside");
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(24))]
        #[test]
        fn the_picture_agrees_with_the_kernel(
            touched in proptest::collection::btree_set(0u64..200, 0..60),
            start in 0u64..400_000,
            len in 0u64..400_000,
        ) {
            let Some(file) = cold_file("the_picture_agrees_with_the_kernel", 200 * 4096) else {
                return Ok(());
            };
            for &page in &touched {
                touch(&file, page);
            }
            let start = start.min(200 * PAGE);
            let picture = residency(&file, start..(start + len).min(200 * PAGE)).unwrap();
            if kernel::cache_stat(file.as_fd(), 0, 0).is_err() {
                let cached = |index: u64| picture.page(index).unwrap().is_cached();
                let first = start / PAGE;
                for at in 0..picture.page_count() {
                    prop_assert_eq!(cached(at), touched.contains(&(first + at)));
                }
                return Ok(());
            }
            for index in 0..picture.page_count() {
                let page = start / PAGE + index;
                let stat = kernel::cache_stat(file.as_fd(), page * PAGE, PAGE).unwrap();
                prop_assert_eq!(picture.page(index).unwrap().is_cached(), stat.cached > 0, "page {}", page);
            }
        }
    }
}
