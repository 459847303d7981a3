//! Other lengths that may move the map, and following a file that others make longer.

#![allow(unsafe_code, reason = "moves owned ranges; listed in docs/SOUNDNESS.md")]

use super::range;
use crate::error::{Error, ErrorKind, Result};
use crate::map::region::Release;
use crate::map::{Access, ForkPolicy, Map, MapOptions, ReadWrite, Unmap};
use crate::sys::absent;
use crate::sys::file::{self, Kind};
use crate::sys::{memory as kernel, page};

impl Map<ReadWrite> {
    /// Makes the map and its file `len` bytes long, moving the map to another address where its room is too
    /// small.
    ///
    /// Within the [capacity](Map::capacity) this is [`grow`](Self::grow) or [`truncate`](Self::truncate).
    ///
    /// # Errors
    /// As those two; `OutOfMemory` where there is no address space; `Unsupported` beyond the capacity of
    /// memory that children share, which has the size it was made with. The file and the map show what they
    /// showed before then.
    ///
    /// # Kernel
    /// mremap(2) with `MREMAP_MAYMOVE`. Where parts were advised, protected or locked on their own, or guards
    /// stand around the map, the file is mapped anew instead, and that advice, protection and locks are gone.
    ///
    /// ```
    /// use mapwright_core::Map;
    /// # let path = tempfile::NamedTempFile::new().unwrap();
    /// # std::fs::write(&path, b"four").unwrap();
    /// let mut map = Map::open_mut(&path)?;
    /// map.resize(1 << 20)?;
    /// map.view().copy_from(4, b" words of text")?;
    /// map.resize(18)?;
    /// assert_eq!(std::fs::read(&path)?, b"four words of text");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[doc(alias = "mremap")]
    pub fn resize(&mut self, len: usize) -> Result<()> {
        if len < self.len() {
            return self.truncate(len);
        }
        if len > self.capacity() {
            // First the room, which costs nothing and is not seen; then the bytes, which may fail to be had.
            let shown = self.len().min(self.available()?.unwrap_or(usize::MAX));
            self.make_room(len, shown)?;
        }
        self.grow(len)
    }
}

impl<A: Access> Map<A> {
    /// Shows all bytes from the map's offset to the file's present end, moving the map to another address
    /// where its room is too small. Returns the new length.
    ///
    /// # Errors
    /// `OutOfMemory` where there is no address space; `Unsupported` for a copy-on-write map of which parts
    /// were advised, protected or locked on their own, or around which guards stand. The map is as it was
    /// then.
    ///
    /// # Kernel
    /// As [`resize`](Map::resize). Memory and devices have no end that could move: their maps stay as they
    /// are.
    ///
    /// ```
    /// use mapwright_core::Map;
    /// # let path = tempfile::NamedTempFile::new().unwrap();
    /// # std::fs::write(&path, b"one line\n").unwrap();
    /// let mut map = Map::open(&path)?;
    /// std::fs::write(&path, b"one line\nand another\n")?;
    /// assert_eq!(map.refresh()?, 21);
    /// assert_eq!(map.view().find(b"another")?, Some(13));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[doc(alias = "update_map")]
    pub fn refresh(&mut self) -> Result<usize> {
        let Some(available) = self.available()? else { return Ok(self.len()) };
        if available > self.capacity() {
            self.make_room(available, self.len())?;
        }
        self.region().set_len(available);
        Ok(available)
    }

    /// Shows as many bytes, from the map's offset to the file's present end, as fit without moving. Returns
    /// the new length. Views that exist stay as they are.
    ///
    /// # Errors
    /// Where the file cannot be examined.
    ///
    /// # Kernel
    /// fstat(2): the pages are mapped already, and become reachable with the file's length.
    ///
    /// ```
    /// use mapwright_core::MapOptions;
    /// # let path = tempfile::NamedTempFile::new().unwrap();
    /// # std::fs::write(&path, b"one line\n").unwrap();
    /// let map = MapOptions::new().reserve(1 << 30).open(&path)?;
    /// std::fs::write(&path, b"one line\nand another\n")?;
    /// assert_eq!(map.refresh_in_place()?, 21);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn refresh_in_place(&self) -> Result<usize> {
        let Some(available) = self.available()? else { return Ok(self.len()) };
        let len = available.min(self.capacity());
        self.region().set_len(len);
        Ok(len)
    }

    /// How many bytes the file has from the map's offset on; `None` where that is not a matter of its end.
    fn available(&self) -> Result<Option<usize>> {
        let Some(source) = self.source() else { return Ok(None) };
        let description =
            file::describe(source.fd()).map_err(|cause| Error::os("examine", source.name(), cause))?;
        let (Kind::Regular { len } | Kind::Block { len }) = description.kind else { return Ok(None) };
        Ok(Some(range::narrow(len.saturating_sub(self.file_offset()))))
    }

    /// Makes the map able to show `capacity` bytes, more than now, and shows the first `shown` of them.
    fn make_room(&mut self, capacity: usize, shown: usize) -> Result<()> {
        let name = self.name();
        let too_large = || {
            let why = format!("{capacity} bytes do not fit into the address space");
            Error::new(ErrorKind::OutOfMemory, "make room for", name.clone(), why)
        };
        let region = self.exclusive();
        region.demand_here("make room for")?;
        let (from, old) = region.body();
        let new = region.before().checked_add(capacity).and_then(page::round_up).ok_or_else(too_large)?;
        let is_plain = from == 0 && old == region.owned() && old > 0 && region.unit() == page::size();
        let grows = region.origin().source.is_some();
        if is_plain && grows {
            let absent = region.absent_in_children();
            // SAFETY: the range is the region's, which is exclusive: nothing refers to it, wherever it lies.
            match unsafe { kernel::remap(region.base(), old, new, libc::MREMAP_MAYMOVE) } {
                Ok(base) => {
                    if let Some(mut absent) = absent {
                        let before = absent::addresses(region.base(), old);
                        absent.move_to(before, absent::addresses(base, new));
                    }
                    // SAFETY: the kernel has moved or grown the old range into this one, which nobody else
                    // knows of.
                    unsafe { region.replace(base, new, capacity, shown) };
                    return Ok(());
                }
                // Several mappings, or one that cannot grow: the file can be mapped anew.
                Err(cause) if matches!(cause.raw_os_error(), Some(libc::EFAULT | libc::EINVAL)) => {}
                Err(cause) => {
                    let error = Error::os("make room for", name, cause);
                    return Err(match error.raw_os_error() {
                        Some(libc::ENOMEM) => {
                            error.advice(format!("{capacity} bytes are needed in one piece"))
                        }
                        Some(libc::EAGAIN) => {
                            error.advice("it is locked in memory, and RLIMIT_MEMLOCK is reached")
                        }
                        _ => error,
                    });
                }
            }
        }
        self.map_anew_with_room(capacity, shown)
    }

    /// Maps the same bytes again, elsewhere, and lets the old range go.
    fn map_anew_with_room(&mut self, capacity: usize, shown: usize) -> Result<()> {
        let unsupported =
            |why: &str| Err(Error::new(ErrorKind::Unsupported, "make room for", self.name(), why));
        if self.source().is_none() {
            return unsupported(
                "memory has the size it was made with; reserve room with MapOptions::reserve",
            );
        }
        let region = self.region();
        if region.origin().has_copies && region.owned() > 0 {
            return unsupported(
                "private copies cannot move while guards stand around them, or parts of them were advised, \
                 protected or locked on their own",
            );
        }
        let guard = region.body().0;
        let options = MapOptions::new()
            .offset(self.file_offset())
            .len(shown)
            .reserve(capacity)
            .guard(guard)
            .fork(if region.only_in().is_some() { ForkPolicy::DontFork } else { ForkPolicy::Inherit })
            .unmap(if region.release() == Release::Now { Unmap::AtOnce } else { Unmap::InBackground });
        self.map_anew(&options)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::map::FileLock;
    use crate::{Advice, FaultKind, Protection};
    use std::os::unix::fs::FileExt;

    fn file(bytes: usize) -> std::fs::File {
        let file = tempfile::tempfile().unwrap();
        file.write_all_at(&vec![7u8; bytes], 0).unwrap();
        file
    }

    fn every_kind_of_range() -> Vec<(&'static str, MapOptions)> {
        let options = MapOptions::new;
        vec![
            ("plain", options()),
            ("at an odd offset", options().offset(5001)),
            ("between guards", options().guard(9000)),
            ("odd and guarded", options().offset(4097).guard(4096)),
            ("not inherited", options().fork(ForkPolicy::DontFork)),
            ("reserved", options().reserve(50_000)),
            ("unmapped at once", options().unmap(Unmap::AtOnce)),
        ]
    }

    #[test]
    fn resizing_moves_every_kind_of_range_and_keeps_its_bytes() {
        for (name, options) in every_kind_of_range() {
            let file = file(20_000);
            let mut map = options.map_mut(&file).unwrap();
            let old = map.len();
            // So that the kernel cannot grow it where it is.
            let _neighbour = MapOptions::new().map(&file).unwrap();
            map.view().store(old - 1, 9u8).unwrap();
            map.resize(3 << 20).unwrap();
            let bytes = map.view().to_vec().unwrap();
            assert_eq!(
                (bytes.len(), bytes[old - 2], bytes[old - 1], bytes[old]),
                (3 << 20, 7, 9, 0),
                "{name}"
            );
            assert_eq!(file.metadata().unwrap().len(), map.file_offset() + (3 << 20), "{name}");
            map.view().store((3 << 20) - 1, 3u8).unwrap();
            map.resize(100).unwrap();
            assert_eq!((map.len(), file.metadata().unwrap().len()), (100, map.file_offset() + 100), "{name}");
            map.close().unwrap();
        }
    }

    #[test]
    fn parts_with_advice_of_their_own_do_not_stand_in_the_way() {
        let file = file(20_000);
        let mut map = MapOptions::new().map_mut(&file).unwrap();
        map.advise(Advice::Random, 4096..8192).unwrap();
        map.protect(8192..12_288, Protection::ReadOnly).unwrap();
        map.resize(8 << 20).unwrap();
        map.view().fill(.., 1).unwrap();
    }

    #[test]
    fn an_empty_map_follows_its_file() {
        let file = file(0);
        let mut map = Map::of(&file).unwrap();
        assert_eq!(map.refresh().unwrap(), 0);
        file.write_all_at(b"here it is", 0).unwrap();
        assert_eq!(map.refresh_in_place().unwrap(), 0);
        assert_eq!(map.refresh().unwrap(), 10);
        assert_eq!(map.view().to_vec().unwrap(), b"here it is");
        let mut writable = MapOptions::new().offset(10).map_mut(&file).unwrap();
        writable.resize(5).unwrap();
        assert_eq!(file.metadata().unwrap().len(), 15);
    }

    #[test]
    fn refreshing_follows_a_file_up_and_down() {
        for (name, options) in every_kind_of_range() {
            let file = file(20_000);
            let mut map = options.map(&file).unwrap();
            let offset = usize::try_from(map.file_offset()).unwrap();
            for len in [100_000, 6000, 5_000_000, 5500] {
                file.set_len(len).unwrap();
                let expected = usize::try_from(len).unwrap() - offset;
                assert_eq!(map.refresh().unwrap(), expected, "{name}");
                assert_eq!(map.view().to_vec().unwrap().len(), expected, "{name}");
            }
            file.set_len(10).unwrap();
            assert_eq!(map.refresh().unwrap(), 10usize.saturating_sub(offset), "{name}");
        }
    }

    #[test]
    fn private_copies_survive_a_refresh_or_are_refused_one() {
        let file = file(8192);
        let mut map = MapOptions::new().map_copy(&file).unwrap();
        map.view().store(5000, 1u8).unwrap();
        file.set_len(10 << 20).unwrap();
        assert_eq!(map.refresh().unwrap(), 10 << 20);
        assert_eq!(map.view().load::<u8>(5000).unwrap(), 1);
        map.advise(Advice::Random, 4096..8192).unwrap();
        file.set_len(20 << 20).unwrap();
        assert_eq!(map.refresh().unwrap_err().kind(), ErrorKind::Unsupported);
        assert_eq!((map.len(), map.view().load::<u8>(5000).unwrap()), (10 << 20, 1));
    }

    #[test]
    fn memory_and_absurd_sizes_are_refused_and_change_nothing() {
        let mut memory = MapOptions::new().shared_memory(8192).unwrap();
        assert_eq!(memory.resize(8193).unwrap_err().kind(), ErrorKind::Unsupported);
        assert_eq!(memory.refresh().unwrap(), 8192);
        let file = file(8192);
        let mut map = MapOptions::new().map_mut(&file).unwrap();
        for absurd in [usize::MAX, usize::MAX / 2, 1 << 60] {
            assert_eq!(map.resize(absurd).unwrap_err().kind(), ErrorKind::OutOfMemory);
        }
        assert_eq!((map.len(), file.metadata().unwrap().len()), (8192, 8192));
        assert_eq!(map.view().load::<u8>(8191).unwrap(), 7);
    }

    #[test]
    fn a_map_of_a_truncated_file_can_be_resized() {
        let file = file(20_000);
        let mut map = MapOptions::new().map_mut(&file).unwrap();
        file.set_len(0).unwrap();
        assert_eq!(map.view().load::<u8>(0).unwrap_err().kind(), FaultKind::Truncated);
        map.resize(1 << 20).unwrap();
        assert_eq!(map.view().to_vec().unwrap(), vec![0; 1 << 20]);
    }

    #[test]
    fn the_lock_on_the_file_stays_when_it_is_mapped_anew() {
        let path = tempfile::NamedTempFile::new().unwrap();
        let mut map = MapOptions::new().guard(4096).lock_file(FileLock::Exclusive).open_mut(&path).unwrap();
        map.resize(1 << 20).unwrap();
        let other = MapOptions::new().lock_file(FileLock::Shared).open(&path);
        assert_eq!(other.unwrap_err().kind(), ErrorKind::Busy);
        drop(map);
        MapOptions::new().lock_file(FileLock::Shared).open(&path).unwrap();
    }
}
