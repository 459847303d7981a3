//! How much of a file is in memory, and having less or more of it there.

use std::io;
use std::num::NonZeroU64;
use std::ops::{ControlFlow, Range, RangeBounds};
use std::os::fd::{AsFd, BorrowedFd};

use super::advice::Advice;
use super::pages::{Pages, Rounding};
use super::states::{Question, WhyUntold};
use super::{range, residency};
use crate::error::{Error, ErrorKind, Result};
use crate::map::{Access, Map};
use crate::sys::memory::{self as kernel, CacheStat};
use crate::sys::page;

/// How much of a range of a file is in memory, in pages.
///
/// ```
/// use mapwright_core::cache_usage;
/// # let file = tempfile::NamedTempFile::new().unwrap();
/// # std::fs::write(file.path(), vec![1u8; 20_000]).unwrap();
/// let usage = cache_usage(file.as_file(), ..)?;
/// assert_eq!(usage.pages, 20_000u64.div_ceil(usage.page_size));
/// match usage.cached_bytes() {
///     Some(bytes) => assert!(bytes <= usage.pages * usage.page_size),
///     None => println!("nobody tells: {:?}", usage.told_by),
/// }
/// # Ok::<(), mapwright_core::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CacheUsage {
    /// The size of a page in bytes.
    pub page_size: u64,
    /// How many pages the range touches.
    pub pages: u64,
    /// How many of them are in memory; `None` where the kernel does not tell.
    pub cached: Option<u64>,
    /// How many were changed and are not on their way to the disk; `None` where the kernel does not tell.
    pub dirty: Option<u64>,
    /// How many are on their way to the disk; `None` where the kernel does not tell.
    pub writeback: Option<u64>,
    /// How many were in memory once and were evicted; `None` where the kernel does not tell.
    pub evicted: Option<u64>,
    /// How many of those went so recently that they are missed: the memory is too small for what is in use.
    pub recently_evicted: Option<u64>,
    /// Who told, or why nobody did.
    pub told_by: ToldBy,
}

/// Who told how much is in memory.
///
/// ```
/// use mapwright_core::{ToldBy, cache_usage};
/// let file = tempfile::tempfile().unwrap();
/// let usage = cache_usage(&file, ..)?;
/// match usage.told_by {
///     ToldBy::Nobody(why) => println!("not known: {why}"),
///     _ => assert_eq!(usage.cached, Some(0)),         // of nothing, nothing
/// }
/// # Ok::<(), mapwright_core::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ToldBy {
    /// cachestat(2): everything is known.
    Cachestat,
    /// mincore(2): only what is in memory is known.
    Mincore,
    /// Nobody.
    Nobody(WhyUntold),
}

impl CacheUsage {
    /// Returns how many bytes are in memory, in whole pages; `None` where the kernel does not tell.
    #[must_use]
    pub fn cached_bytes(&self) -> Option<u64> {
        self.cached.map(|pages| pages.saturating_mul(self.page_size))
    }
}

/// Counts how much of a range of a file is in memory, dirty, being written back, and evicted.
///
/// # Errors
/// Where the range ends beyond the file, or the descriptor names neither a file nor a block device. What
/// the kernel will not tell is no error: see [`CacheUsage::told_by`].
///
/// # Kernel
/// cachestat(2) (Linux 6.5): one call, whatever the size. Before that mincore(2), which knows less, takes
/// longer, and says "resident" of everything to those who neither own the file nor may write it; they get
/// [`WhyUntold::NotPermitted`].
///
/// ```
/// use mapwright_core::cache_usage;
/// let file = tempfile::NamedTempFile::new().unwrap();
/// std::fs::write(file.path(), vec![1u8; 20_000]).unwrap();
/// let usage = cache_usage(file.as_file(), ..)?;
/// assert_eq!(usage.cached, Some(usage.pages));
/// # Ok::<(), mapwright_core::Error>(())
/// ```
#[doc(alias = "cachestat")]
#[doc(alias = "fincore")]
pub fn cache_usage(file: impl AsFd, range: impl RangeBounds<u64>) -> Result<CacheUsage> {
    let fd = file.as_fd();
    let bytes = range::of_file(fd, range, "ask about")?;
    let page_size = range::wide(page::size());
    let pages = if bytes.is_empty() { 0 } else { bytes.end.div_ceil(page_size) - bytes.start / page_size };
    let nothing = CacheUsage {
        page_size,
        pages,
        cached: None,
        dirty: None,
        writeback: None,
        evicted: None,
        recently_evicted: None,
        told_by: ToldBy::Cachestat,
    };
    let stat = match bytes.end - bytes.start {
        // To the kernel a length of 0 means everything.
        0 => Ok(CacheStat::default()),
        len => kernel::cache_stat(fd, bytes.start, len),
    };
    match stat {
        Ok(stat) => Ok(CacheUsage {
            cached: Some(stat.cached),
            dirty: Some(stat.dirty),
            writeback: Some(stat.writeback),
            evicted: Some(stat.evicted),
            recently_evicted: Some(stat.recently_evicted),
            ..nothing
        }),
        // Too old, forbidden by a filter, or hidden from us: mincore knows, or `residency` knows why not.
        Err(_) => {
            let picture = residency(fd, bytes)?;
            Ok(match picture.why_untold(Question::Presence) {
                Some(why) => CacheUsage { told_by: ToldBy::Nobody(why), ..nothing },
                None => {
                    CacheUsage { cached: Some(picture.totals().cached), told_by: ToldBy::Mincore, ..nothing }
                }
            })
        }
    }
}

/// Writes a range of a file back and drops it from memory; returns what is there afterwards.
///
/// Pages that somebody has mapped, locked, or is using this moment stay. Only whole pages inside of the range
/// go; the file's last page counts as whole.
///
/// # Errors
/// As [`cache_usage`], and `Io` where dirty pages could not be written.
///
/// # Kernel
/// sync_file_range(2), then posix_fadvise(2) with `POSIX_FADV_DONTNEED`. Files in memory (tmpfs) are not
/// evicted by this.
///
/// ```
/// use mapwright_core::{cache_usage, evict};
/// let file = tempfile::NamedTempFile::new().unwrap();
/// std::fs::write(file.path(), vec![1u8; 20_000]).unwrap();
/// let after = evict(file.as_file(), ..)?;
/// println!("{:?} of {} pages stayed", after.cached, after.pages);
/// assert_eq!(std::fs::read(file.path()).unwrap(), vec![1u8; 20_000]);
/// # Ok::<(), mapwright_core::Error>(())
/// ```
#[doc(alias = "POSIX_FADV_DONTNEED")]
pub fn evict(file: impl AsFd, range: impl RangeBounds<u64>) -> Result<CacheUsage> {
    let fd = file.as_fd();
    let bytes = range::of_file(fd, range, "evict")?;
    if let Some(len) = NonZeroU64::new(bytes.end - bytes.start) {
        write_back(fd, bytes.start, len)
            .map_err(|cause| Error::os("write back", range::name_of(fd), cause))?;
        rustix::fs::fadvise(fd, bytes.start, Some(len), rustix::fs::Advice::DontNeed)
            .map_err(|cause| Error::os("evict", range::name_of(fd), cause))?;
    }
    cache_usage(fd, bytes)
}

fn write_back(fd: BorrowedFd<'_>, offset: u64, len: NonZeroU64) -> io::Result<()> {
    let whole =
        libc::SYNC_FILE_RANGE_WAIT_BEFORE | libc::SYNC_FILE_RANGE_WRITE | libc::SYNC_FILE_RANGE_WAIT_AFTER;
    match kernel::sync_file_range(fd, offset, len.get(), whole) {
        Err(error) if matches!(error.raw_os_error(), Some(libc::ENOSYS | libc::ESPIPE | libc::EINVAL)) => {
            Ok(rustix::fs::fdatasync(fd)?)
        }
        result => result,
    }
}

/// How much is read ahead of what is waited for, and how much is waited for at once.
const AHEAD: u64 = 32 << 20;
const STEP: u64 = 4 << 20;

/// How much is read by one call.
const PIECE: usize = 256 << 10;

/// Brings a range of a file into memory and waits until it is there; returns how many bytes were brought.
///
/// `progress` hears after each few megabytes how many bytes are done, and may stop the work. It is also the
/// place to limit the rate. Bytes that are there already cost little; to skip them altogether, ask
/// [`residency()`] first.
///
/// # Errors
/// As [`cache_usage`], and `Io` where the file cannot be read.
///
/// # Kernel
/// posix_fadvise(2) with `POSIX_FADV_WILLNEED` 32 MiB ahead, then pread(2).
///
/// ```
/// use std::ops::ControlFlow;
/// use mapwright_core::warm;
/// let file = tempfile::NamedTempFile::new().unwrap();
/// std::fs::write(file.path(), vec![1u8; 20_000]).unwrap();
/// let done = warm(file.as_file(), .., |_done| ControlFlow::Continue(()))?;
/// assert_eq!(done, 20_000);
/// # Ok::<(), mapwright_core::Error>(())
/// ```
#[doc(alias = "readahead")]
pub fn warm(
    file: impl AsFd,
    range: impl RangeBounds<u64>,
    mut progress: impl FnMut(u64) -> ControlFlow<()>,
) -> Result<u64> {
    let fd = file.as_fd();
    let bytes = range::of_file(fd, range, "warm")?;
    let (mut at, mut announced, mut buffer) = (bytes.start, bytes.start, Vec::new());
    while at < bytes.end {
        // Steps end at multiples of their size, so that only the first may begin inside of a page.
        let step = at..(at - at % STEP).saturating_add(STEP).min(bytes.end);
        let (from, until) = (announced.max(at), at.saturating_add(AHEAD).min(bytes.end));
        if let Some(len) = NonZeroU64::new(until.saturating_sub(from)) {
            // Advice: where it is refused, the pages come one step later.
            let _refused = rustix::fs::fadvise(fd, from, Some(len), rustix::fs::Advice::WillNeed);
            announced = until;
        }
        // Whatever the kernel counts as cached may still be on its way from the disk: reading waits for it.
        buffer.resize(PIECE, 0);
        read(fd, &step, &mut buffer)?;
        at = step.end;
        if progress(at - bytes.start).is_break() {
            break;
        }
    }
    Ok(at - bytes.start)
}

/// Reads and forgets: whatever the read-ahead was, the bytes are in memory then.
fn read(fd: BorrowedFd<'_>, bytes: &Range<u64>, buffer: &mut [u8]) -> Result<()> {
    let mut at = bytes.start;
    while at < bytes.end {
        let len = buffer.len().min(range::narrow(bytes.end - at));
        match rustix::io::retry_on_intr(|| rustix::io::pread(fd, &mut buffer[..len], at)) {
            Ok(0) => {
                let why = format!("it now ends at {at}: it was truncated");
                return Err(Error::new(ErrorKind::OutOfBounds, "warm", range::name_of(fd), why));
            }
            Ok(count) => at += range::wide(count),
            Err(cause) => {
                let error = Error::os("read", range::name_of(fd), cause);
                return Err(error.advice(format!("it happened at byte {at}")));
            }
        }
    }
    Ok(())
}

impl<A: Access> Map<A> {
    /// Counts how much of a range is in memory, dirty, being written back, and evicted. Offsets are the
    /// map's.
    ///
    /// # Errors
    /// `OutOfBounds` where the range ends beyond the map, or the map beyond a file that was truncated;
    /// `InvalidInput` where the map shows memory.
    ///
    /// # Kernel
    /// As the function [`cache_usage`].
    ///
    /// ```
    /// use mapwright_core::Map;
    /// # let path = tempfile::NamedTempFile::new().unwrap();
    /// # std::fs::write(&path, vec![1u8; 100_000]).unwrap();
    /// let map = Map::open(&path)?;
    /// let usage = map.cache_usage(..65_536)?;
    /// assert_eq!(usage.pages, 65_536 / usage.page_size);
    /// assert_eq!(usage.cached, Some(usage.pages));        // written a moment ago
    /// # Ok::<(), mapwright_core::Error>(())
    /// ```
    pub fn cache_usage(&self, range: impl RangeBounds<usize>) -> Result<CacheUsage> {
        let (file, bytes) = self.file_range(range, "ask about the cache of")?;
        cache_usage(file, bytes)
    }

    /// Writes a range back and drops it from memory, this map's own hold on its pages included; returns what
    /// is there afterwards.
    ///
    /// # Errors
    /// As [`Map::cache_usage`], and `Io` where dirty pages could not be written.
    ///
    /// # Kernel
    /// `MADV_DONTNEED` on the map (not on a copy-on-write one, which would lose what was written), then as
    /// the function [`evict`].
    ///
    /// ```
    /// use mapwright_core::{Map, Populate, MapOptions};
    /// # let path = tempfile::NamedTempFile::new().unwrap();
    /// # std::fs::write(&path, vec![1u8; 20_000]).unwrap();
    /// let map = MapOptions::new().populate(Populate::Now).open(&path)?;
    /// let after = map.evict(..)?;
    /// println!("{:?} of {} pages stayed", after.cached, after.pages);
    /// assert_eq!(map.view().load::<u8>(0)?, 1);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn evict(&self, range: impl RangeBounds<usize>) -> Result<CacheUsage> {
        let span = range::checked(range, self.len(), "evict", || self.name())?;
        let (file, bytes) = self.file_range(span.range(), "evict")?;
        if !self.region().origin().has_copies {
            // A locked range refuses; its pages are counted as staying.
            let _refused = Pages::of_map(self, span, Rounding::Inward)?.advise(Advice::DontNeed);
        }
        evict(file, bytes)
    }

    /// Translates a range of the map into one of its file.
    pub(super) fn file_range(
        &self,
        range: impl RangeBounds<usize>,
        action: &'static str,
    ) -> Result<(BorrowedFd<'_>, Range<u64>)> {
        let span = range::checked(range, self.len(), action, || self.name())?;
        let file = range::file_behind(self, action)?;
        let at = |offset: usize| self.file_offset().saturating_add(range::wide(offset));
        Ok((file.as_fd(), at(span.offset())..at(span.end())))
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::FileExt;

    use super::*;
    use crate::changes::testing::{cold_file, skip};
    use crate::map::{MapOptions, Populate};

    #[test]
    fn warm_brings_in_exactly_what_was_asked_for_and_evict_drops_it() {
        let Some(file) = cold_file("warm_brings_in_exactly_what_was_asked_for_and_evict_drops_it", 9 << 20)
        else {
            return;
        };
        let mut steps = Vec::new();
        let done = warm(&file, 5000..(8 << 20) + 1, |done| {
            steps.push(done);
            ControlFlow::Continue(())
        });
        assert_eq!(done.unwrap(), (8 << 20) + 1 - 5000);
        assert_eq!(steps, [(4 << 20) - 5000, (8 << 20) - 5000, (8 << 20) + 1 - 5000]);
        let inside = cache_usage(&file, 5000..(8 << 20) + 1).unwrap();
        assert_eq!(inside.cached, Some(inside.pages));
        assert_eq!(cache_usage(&file, ..4096).unwrap().cached, Some(0));
        // A page that the kernel has in its hands at this moment stays; the next attempt finds it free.
        let left = || evict(&file, ..).unwrap();
        let after = (0..1000).map(|_| left()).find(|usage| usage.cached == Some(0)).unwrap();
        assert_eq!(after.pages, 2304);
    }

    /// The page cache counts pages that are still on their way; a read that must not wait tells.
    #[test]
    fn what_was_warmed_can_be_read_without_waiting() {
        let Some(file) = cold_file("what_was_warmed_can_be_read_without_waiting", 16 << 20) else { return };
        rustix::fs::fadvise(&file, 0, None, rustix::fs::Advice::Normal).unwrap();
        warm(&file, .., |_| ControlFlow::Continue(())).unwrap();
        let mut piece = vec![0u8; 1 << 20];
        for at in (0..16u64 << 20).step_by(1 << 20) {
            let into = &mut [io::IoSliceMut::new(&mut piece)];
            let read = rustix::io::preadv2(&file, into, at, rustix::io::ReadWriteFlags::NOWAIT);
            // What was let go of again meanwhile is not counted.
            let is_counted = cache_usage(&file, at..at + (1 << 20)).unwrap().cached == Some(256);
            assert!(read == Ok(1 << 20) || !is_counted, "at {at}: {read:?}");
        }
    }

    #[test]
    fn warming_can_be_stopped() {
        let Some(file) = cold_file("warming_can_be_stopped", 12 << 20) else { return };
        assert_eq!(warm(&file, .., |_| ControlFlow::Break(())).unwrap(), 4 << 20);
    }

    #[test]
    fn evict_writes_dirty_pages_first() {
        let Some(file) = cold_file("evict_writes_dirty_pages_first", 40 * 4096) else { return };
        file.write_all_at(&[9; 4096], 4096).unwrap();
        assert_eq!(evict(&file, ..).unwrap().cached, Some(0));
        let mut byte = [0];
        file.read_exact_at(&mut byte, 5000).unwrap();
        assert_eq!(byte, [9]);
    }

    #[test]
    fn a_map_lets_go_of_its_own_pages() {
        let Some(file) = cold_file("a_map_lets_go_of_its_own_pages", 40 * 4096) else { return };
        let map = MapOptions::new().populate(Populate::Now).map(&file).unwrap();
        assert_eq!(map.cache_usage(..).unwrap().cached, Some(40));
        assert_eq!(evict(&file, ..).unwrap().cached, Some(40), "mapped pages stay");
        assert_eq!(map.evict(..).unwrap().cached, Some(0));
        assert_eq!(map.view().load::<u8>(5).unwrap(), 6);
    }

    #[test]
    fn evicting_a_private_copy_keeps_what_was_written() {
        let file = tempfile::tempfile().unwrap();
        file.write_all_at(&[1; 8192], 0).unwrap();
        let map = MapOptions::new().map_copy(&file).unwrap();
        map.view().store(0, 5u8).unwrap();
        map.evict(..).unwrap();
        assert_eq!(map.view().load::<u8>(0).unwrap(), 5);
    }

    #[test]
    fn recently_evicted_pages_are_told() {
        let Some(file) = cold_file("recently_evicted_pages_are_told", 16 * 4096) else { return };
        let usage = cache_usage(&file, ..).unwrap();
        if usage.told_by == ToldBy::Mincore {
            assert_eq!((usage.cached, usage.dirty, usage.evicted), (Some(0), None, None));
            return skip("recently_evicted_pages_are_told", "the kernel lacks cachestat(2)");
        }
        assert_eq!((usage.told_by, usage.dirty, usage.cached_bytes()), (ToldBy::Cachestat, Some(0), Some(0)));
        assert!(usage.recently_evicted <= usage.evicted);
    }

    #[test]
    fn a_range_beyond_the_end_is_refused() {
        let file = tempfile::tempfile().unwrap();
        file.set_len(100).unwrap();
        for error in [
            cache_usage(&file, 50..101).unwrap_err(),
            evict(&file, 101..).unwrap_err(),
            warm(&file, ..=u64::MAX, |_| ControlFlow::Continue(())).unwrap_err(),
        ] {
            assert_eq!(error.kind(), ErrorKind::OutOfBounds, "{error}");
        }
    }
}
