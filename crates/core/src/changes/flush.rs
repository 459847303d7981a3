//! Writing back: durable, started, or waited for.
//!
//! `MS_ASYNC` is not here: on Linux it does nothing. What starts write-back is sync_file_range(2).

use std::ops::RangeBounds;
use std::os::fd::AsFd;

use super::pages::{Pages, Rounding};
use super::range;
use crate::error::{Error, Result};
use crate::map::{Map, ReadWrite};
use crate::sys::memory as kernel;

impl Map<ReadWrite> {
    /// Writes a range to the disk and waits until it would survive a power cut; other ranges may be written,
    /// too.
    ///
    /// # Errors
    /// `OutOfBounds` where the range ends beyond the map; `Io` or `NoSpace` where the disk or file system
    /// failed. After such a failure the kernel may have dropped the changes, and the next call may succeed
    /// without having written them: what was stored since the last flush that succeeded is to be regarded as
    /// lost.
    ///
    /// # Kernel
    /// msync(2) with `MS_SYNC` for all pages that hold a byte of the range.
    ///
    /// ```
    /// use mapwright_core::Map;
    /// # let path = tempfile::NamedTempFile::new().unwrap();
    /// # std::fs::write(&path, vec![1u8; 20_000]).unwrap();
    /// let map = Map::open_mut(&path)?;
    /// map.view().store(10_000, 7u64)?;
    /// map.flush(10_000..10_008)?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[doc(alias = "msync")]
    #[doc(alias = "sync")]
    pub fn flush(&self, range: impl RangeBounds<usize>) -> Result<()> {
        let span = range::checked(range, self.len(), "flush", || self.name())?;
        Pages::of_map(self, span, Rounding::Outward)?
            .sync()
            .map_err(|cause| Error::os("flush", self.name(), cause))
    }

    /// Starts writing a range's dirty pages to the disk, and returns without waiting for it. Where very many
    /// writes are under way it waits until they have begun.
    ///
    /// This spreads the work of a later [`flush`](Self::flush); by itself it makes nothing durable.
    ///
    /// # Errors
    /// As [`flush`](Self::flush); `Unsupported` where the kernel has no such call. Memory has nothing to be
    /// written.
    ///
    /// # Kernel
    /// sync_file_range(2) with `SYNC_FILE_RANGE_WRITE`.
    ///
    /// ```
    /// use mapwright_core::Map;
    /// # let path = tempfile::NamedTempFile::new().unwrap();
    /// # std::fs::write(&path, vec![1u8; 20_000]).unwrap();
    /// let map = Map::open_mut(&path)?;
    /// map.view().fill(.., 2)?;
    /// map.start_writeback(..)?;
    /// // … other work …
    /// map.wait_writeback(..)?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[doc(alias = "flush_async")]
    #[doc(alias = "sync_file_range")]
    pub fn start_writeback(&self, range: impl RangeBounds<usize>) -> Result<()> {
        self.sync_range(range, libc::SYNC_FILE_RANGE_WRITE, "start to write back")
    }

    /// Writes a range's dirty pages to the disk and waits until the disk has taken them.
    ///
    /// The disk's own cache is not flushed, nor is what a file system must know to find the bytes again: only
    /// [`flush`](Self::flush) makes them durable.
    ///
    /// # Errors
    /// As [`flush`](Self::flush); `Unsupported` where the kernel has no such call.
    ///
    /// # Kernel
    /// sync_file_range(2) with all of its flags.
    ///
    /// ```
    /// use mapwright_core::{Map, Question};
    /// # let path = tempfile::NamedTempFile::new().unwrap();
    /// # std::fs::write(&path, vec![1u8; 20_000]).unwrap();
    /// let map = Map::open_mut(&path)?;
    /// map.view().fill(.., 2)?;
    /// map.wait_writeback(..)?;
    /// let picture = map.residency(..)?;
    /// if picture.why_untold(Question::Writes).is_none() {
    ///     assert_eq!(picture.totals().dirty, 0);
    /// }
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn wait_writeback(&self, range: impl RangeBounds<usize>) -> Result<()> {
        let flags = libc::SYNC_FILE_RANGE_WAIT_BEFORE
            | libc::SYNC_FILE_RANGE_WRITE
            | libc::SYNC_FILE_RANGE_WAIT_AFTER;
        self.sync_range(range, flags, "write back")
    }

    fn sync_range(&self, range: impl RangeBounds<usize>, flags: u32, action: &'static str) -> Result<()> {
        let span = range::checked(range, self.len(), action, || self.name())?;
        let (Some(file), false) = (self.file(), span.is_empty()) else { return Ok(()) };
        let offset = self.file_offset().saturating_add(range::wide(span.offset()));
        kernel::sync_file_range(file.as_fd(), offset, range::wide(span.len()), flags).map_err(|cause| {
            let error = Error::os(action, self.name(), cause);
            match error.raw_os_error() {
                Some(libc::ENOSYS | libc::ESPIPE) => error
                    .with_kind(crate::ErrorKind::Unsupported)
                    .advice("this kernel or file has no sync_file_range(2); use flush"),
                _ => error,
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use crate::changes::testing::{cold_file, skip};
    use crate::map::MapOptions;

    #[test]
    fn started_writeback_takes_the_dirty_pages_and_leaves_the_others() {
        const PAGES: usize = 2048;
        let Some(file) = cold_file("started_writeback_takes_the_dirty_pages", PAGES * 4096) else { return };
        let map = MapOptions::new().map_mut(&file).unwrap();
        map.view().fill(.., 3).unwrap();
        let (half, before) = (PAGES * 4096 / 2, map.cache_usage(..).unwrap());
        if before.dirty.is_none() {
            return skip("started_writeback_takes_the_dirty_pages", "the kernel does not count dirty pages");
        }
        assert_eq!(before.dirty, Some(2048), "every page was stored to");
        map.start_writeback(..half).unwrap();
        let (first, second) = (map.cache_usage(..half).unwrap(), map.cache_usage(half..).unwrap());
        assert_eq!(first.dirty, Some(0), "on their way, or there: {first:?}");
        assert_eq!(second.dirty, Some(1024), "nobody asked for these");
        map.wait_writeback(..half).unwrap();
        let first = map.cache_usage(..half).unwrap();
        assert_eq!((first.dirty, first.writeback), (Some(0), Some(0)));
        map.flush(..).unwrap();
        let all = map.cache_usage(..).unwrap();
        assert_eq!((all.dirty, all.writeback), (Some(0), Some(0)));
    }

    #[test]
    fn a_flush_of_any_range_flushes_the_pages_around_it() {
        let Some(file) = cold_file("a_flush_of_any_range_flushes_the_pages_around_it", 8 * 4096) else {
            return;
        };
        let map = MapOptions::new().offset(100).map_mut(&file).unwrap();
        map.view().fill(.., 3).unwrap();
        map.flush(4096..4097).unwrap();
        assert_eq!(map.cache_usage(4000..8000).unwrap().dirty.unwrap_or(0), 0);
        for range in [0..0, 0..1, 8 * 4096 - 100..8 * 4096 - 100] {
            map.flush(range.clone()).unwrap();
            map.start_writeback(range.clone()).unwrap();
            map.wait_writeback(range).unwrap();
        }
        assert_eq!(map.flush(..8 * 4096).unwrap_err().kind(), crate::ErrorKind::OutOfBounds);
    }

    #[test]
    fn memory_and_truncated_files_can_be_flushed() {
        let memory = MapOptions::new().shared_memory(10_000).unwrap();
        memory.flush(..).unwrap();
        memory.start_writeback(..).unwrap();
        let file = tempfile::tempfile().unwrap();
        file.set_len(20_000).unwrap();
        let map = MapOptions::new().map_mut(&file).unwrap();
        file.set_len(0).unwrap();
        map.flush(..).unwrap();
        map.wait_writeback(..).unwrap();
    }
}
