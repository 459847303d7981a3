//! Holes: parts of a file that take no room on the disk and read as zeros.

use std::io;
use std::ops::{Range, RangeBounds};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::fs::{OFlags, SeekFrom};
use rustix::io::Errno;

use super::advice::Advice;
use super::pages::{Pages, Rounding};
use super::range;
use crate::error::{Error, ErrorKind, Result};
use crate::map::{Access, Map, ReadWrite};
use crate::span::Span;
use crate::sys::file;

/// A stretch of a file that is all data, or all hole.
///
/// ```
/// use mapwright_core::{Extent, ExtentKind, extents};
/// let file = tempfile::tempfile().unwrap();
/// std::os::unix::fs::FileExt::write_all_at(&file, b"data", 0).unwrap();
/// let all: Vec<Extent> = extents(&file, ..)?.collect::<Result<_, _>>()?;
/// assert_eq!(all, [Extent { range: 0..4, kind: ExtentKind::Data }]);
/// # Ok::<(), mapwright_core::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Extent {
    /// Which bytes: offsets in the file, or in the map that was asked.
    pub range: Range<u64>,
    /// What is there.
    pub kind: ExtentKind,
}

/// What a stretch of a file is.
///
/// See [`extents`] for an example.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ExtentKind {
    /// Bytes that were written. (Or not known to be a hole: a file system may call everything data.)
    Data,
    /// A hole: it reads as zeros. Storing there takes room, and faults where there is none.
    Hole,
}

/// Walks the data and the holes of a range, in order; made by [`extents`] and [`Map::extents`].
///
/// What others write or punch meanwhile may be seen or not.
///
/// ```
/// use mapwright_core::extents;
/// let file = tempfile::tempfile().unwrap();
/// file.set_len(1 << 20).unwrap();
/// let mut end = 0;
/// for extent in extents(&file, ..)? {
///     let extent = extent?;
///     assert_eq!(extent.range.start, end);            // no gaps
///     end = extent.range.end;
/// }
/// assert_eq!(end, 1 << 20);
/// # Ok::<(), mapwright_core::Error>(())
/// ```
#[derive(Debug)]
pub struct Extents {
    fd: OwnedFd,
    /// Whether the descriptor shares its position with the caller's, so that it must be put back.
    shares_position: bool,
    at: u64,
    end: u64,
    /// Where offsets are counted from.
    origin: u64,
}

/// Lists where a range of a file has data and where it has holes.
///
/// # Errors
/// Where the range ends beyond the file, or the descriptor names neither a file nor a block device.
///
/// # Kernel
/// lseek(2) with `SEEK_DATA` and `SEEK_HOLE`. A file system that does not know calls everything data. The
/// descriptor's position does not move.
///
/// ```
/// use std::os::unix::fs::FileExt;
/// use mapwright_core::{ExtentKind, extents};
/// let file = tempfile::tempfile().unwrap();
/// file.set_len(10 << 20).unwrap();
/// file.write_all_at(b"in the middle", 5 << 20).unwrap();
/// let data = extents(&file, ..)?.filter_map(Result::ok).find(|extent| extent.kind == ExtentKind::Data);
/// assert!(data.unwrap().range.contains(&(5 << 20)));
/// # Ok::<(), mapwright_core::Error>(())
/// ```
#[doc(alias = "SEEK_HOLE")]
#[doc(alias = "SEEK_DATA")]
pub fn extents(file: impl AsFd, range: impl RangeBounds<u64>) -> Result<Extents> {
    let fd = file.as_fd();
    let bytes = range::of_file(fd, range, "look for holes in")?;
    Extents::begin(fd, bytes, 0)
}

impl Extents {
    fn begin(fd: BorrowedFd<'_>, bytes: Range<u64>, origin: u64) -> Result<Self> {
        // Seeking moves a position; ours, where the file can be opened again.
        let (fd, shares_position) = match file::reopen(fd, OFlags::RDONLY) {
            Ok(own) => (own, false),
            Err(_) => {
                let copy = fd
                    .try_clone_to_owned()
                    .map_err(|cause| Error::os("duplicate the descriptor of", range::name_of(fd), cause))?;
                (copy, true)
            }
        };
        Ok(Self { fd, shares_position, at: bytes.start, end: bytes.end, origin })
    }

    fn step(&mut self) -> io::Result<Option<Extent>> {
        if self.at >= self.end {
            return Ok(None);
        }
        let data = self.seek(SeekFrom::Data(self.at))?.map_or(self.end, |data| data.min(self.end));
        let (until, kind) = if data > self.at {
            (data, ExtentKind::Hole)
        } else {
            let hole = self.seek(SeekFrom::Hole(self.at))?.unwrap_or(self.end);
            // A hole punched here since: at least the byte that was data is told as such.
            (hole.clamp(self.at + 1, self.end), ExtentKind::Data)
        };
        let range = self.at - self.origin..until - self.origin;
        self.at = until;
        Ok(Some(Extent { range, kind }))
    }

    /// Finds a place; `None` where there is none up to the file's end.
    fn seek(&self, to: SeekFrom) -> io::Result<Option<u64>> {
        let before = if self.shares_position { Some(rustix::fs::tell(&self.fd)?) } else { None };
        let found = match rustix::fs::seek(&self.fd, to) {
            Ok(found) => Ok(Some(found)),
            Err(Errno::NXIO) => Ok(None),
            // Block devices and old file systems: everything is data.
            Err(Errno::INVAL | Errno::OPNOTSUPP) => match to {
                SeekFrom::Data(at) => Ok(Some(at)),
                _ => Ok(None),
            },
            Err(error) => Err(error.into()),
        };
        if let Some(position) = before {
            rustix::fs::seek(&self.fd, SeekFrom::Start(position))?;
        }
        found
    }
}

impl Iterator for Extents {
    type Item = Result<Extent>;

    fn next(&mut self) -> Option<Result<Extent>> {
        self.step()
            .map_err(|cause| {
                self.at = self.end;
                Error::os("look for holes in", range::name_of(self.fd.as_fd()), cause)
            })
            .transpose()
    }
}

impl<A: Access> Map<A> {
    /// Lists where a range has data and where it has holes. Offsets are the map's.
    ///
    /// # Errors
    /// `OutOfBounds` where the range ends beyond the map; `InvalidInput` where the map shows memory.
    ///
    /// # Kernel
    /// As the function [`extents`].
    ///
    /// ```
    /// use mapwright_core::{ExtentKind, Map};
    /// let file = tempfile::tempfile()?;
    /// file.set_len(1 << 20)?;
    /// let map = Map::of(file)?.into_read_write()?;
    /// map.view().store(700_000, 7u8)?;
    /// let data = map.extents(..)?.filter_map(Result::ok).filter(|extent| extent.kind == ExtentKind::Data);
    /// assert!(data.map(|extent| extent.range).any(|range| range.contains(&700_000)));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn extents(&self, range: impl RangeBounds<usize>) -> Result<Extents> {
        let (file, bytes) = self.file_range(range, "look for holes in")?;
        Extents::begin(file, bytes, self.file_offset())
    }

    /// Lists the holes of the map, as ranges that its views take.
    ///
    /// # Errors
    /// As [`extents`](Self::extents).
    ///
    /// ```
    /// use mapwright_core::MapOptions;
    /// let file = tempfile::tempfile()?;
    /// file.set_len(1 << 20)?;
    /// let map = MapOptions::new().map_mut(&file)?;
    /// map.view().store(0, 1u8)?;
    /// let holes: Vec<_> = map.holes()?.collect::<Result<_, _>>()?;
    /// assert!(holes.iter().all(|hole| hole.start > 0 && map.view().sub(hole.clone()).is_ok()));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn holes(&self) -> Result<impl Iterator<Item = Result<Range<usize>>> + use<A>> {
        let narrow = |extent: Extent| range::narrow(extent.range.start)..range::narrow(extent.range.end);
        Ok(self.extents(..)?.filter_map(move |extent| match extent {
            Ok(extent) if extent.kind == ExtentKind::Data => None,
            other => Some(other.map(narrow)),
        }))
    }

    /// Finds the first data at or after an offset; `None` where only holes follow.
    ///
    /// # Errors
    /// As [`extents`](Self::extents).
    ///
    /// # Kernel
    /// lseek(2) with `SEEK_DATA` and `SEEK_HOLE`.
    ///
    /// ```
    /// use mapwright_core::Map;
    /// use std::os::unix::fs::FileExt;
    /// let file = tempfile::tempfile()?;
    /// file.set_len(10 << 20)?;
    /// file.write_all_at(b"in the middle", 5 << 20)?;
    /// let map = Map::of(&file)?;
    /// let data = map.find_data(1 << 20)?.unwrap();
    /// assert!(data.contains(&(5 << 20)));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[doc(alias = "SEEK_DATA")]
    pub fn find_data(&self, from: usize) -> Result<Option<Range<usize>>> {
        for extent in self.extents(from..)? {
            let Extent { range, kind } = extent?;
            if kind == ExtentKind::Data {
                return Ok(Some(range::narrow(range.start)..range::narrow(range.end)));
            }
        }
        Ok(None)
    }
}

impl Map<ReadWrite> {
    /// Gives the room of a range back: it reads as zeros afterwards, for everybody. The file keeps its
    /// length.
    ///
    /// # Errors
    /// `OutOfBounds` where the range ends beyond the map; `Unsupported` where the file system has no holes
    /// (write zeros instead); `PermissionDenied` where the file is sealed.
    ///
    /// # Kernel
    /// fallocate(2) with `FALLOC_FL_PUNCH_HOLE`, any bytes: those of pages that are not wholly in the range
    /// are zeroed. For memory without a file `MADV_REMOVE`.
    ///
    /// ```
    /// use mapwright_core::Map;
    /// # let path = tempfile::NamedTempFile::new().unwrap();
    /// # std::fs::write(&path, vec![1u8; 20_000]).unwrap();
    /// let map = Map::open_mut(&path)?;
    /// map.punch(100..19_000)?;
    /// assert_eq!(map.view().load::<u8>(99)?, 1);
    /// assert_eq!(map.view().load::<u8>(100)?, 0);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[doc(alias = "fallocate")]
    pub fn punch(&self, range: impl RangeBounds<usize>) -> Result<()> {
        let span = range::checked(range, self.len(), "punch a hole into", || self.name())?;
        if span.is_empty() {
            return Ok(());
        }
        let Some(source) = self.source() else { return self.punch_memory(span) };
        let offset = self.file_offset().saturating_add(range::wide(span.offset()));
        file::punch(source.fd(), offset, range::wide(span.len())).map_err(|cause| {
            let error = Error::os("punch a hole into", self.name(), cause);
            match error.kind() {
                ErrorKind::Unsupported => error.advice("its file system has no holes; write zeros instead"),
                ErrorKind::PermissionDenied => error.advice("it is sealed against writing"),
                _ => error,
            }
        })
    }

    /// Whole pages go back to the system, and what is left of the range is zeroed.
    fn punch_memory(&self, span: Span) -> Result<()> {
        let whole = Pages::of_map(self, span, Rounding::Inward)?;
        let (from, to) = match whole.len() {
            0 => (span.end(), span.end()),
            len => (whole.offset(), (whole.offset() + len).min(span.end())),
        };
        self.view().fill(span.offset()..from, 0)?;
        self.view().fill(to..span.end(), 0)?;
        whole.advise(Advice::Remove).map_err(|cause| Error::os("punch a hole into", self.name(), cause))
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Seek, SeekFrom as StdSeek};
    use std::os::unix::fs::FileExt;

    use proptest::prelude::*;

    use super::*;
    use crate::changes::testing::skip;
    use crate::map::MapOptions;

    fn kinds(extents: Extents) -> Vec<(Range<u64>, ExtentKind)> {
        extents.map(|extent| extent.unwrap()).map(|extent| (extent.range, extent.kind)).collect()
    }

    #[test]
    fn data_and_holes_take_turns_and_the_position_stays() {
        let mut file = tempfile::tempfile().unwrap();
        file.set_len(4 << 20).unwrap();
        file.write_all_at(&[1; 4096], 1 << 20).unwrap();
        file.seek(StdSeek::Start(17)).unwrap();
        let found = kinds(extents(&file, ..).unwrap());
        if found.len() == 1 {
            return skip("data_and_holes_take_turns_and_the_position_stays", "the file system has no holes");
        }
        let (mib, data, hole) = (1 << 20, ExtentKind::Data, ExtentKind::Hole);
        assert_eq!(found, [(0..mib, hole), (mib..mib + 4096, data), (mib + 4096..4 * mib, hole)]);
        assert_eq!(
            kinds(extents(&file, mib + 5..mib + 5000).unwrap()),
            [(mib + 5..mib + 4096, data), (mib + 4096..mib + 5000, hole)]
        );
        assert_eq!(file.stream_position().unwrap(), 17);

        let map = MapOptions::new().offset(1000).map(&file).unwrap();
        let holes: Vec<_> = map.holes().unwrap().map(|hole| hole.unwrap()).collect();
        assert_eq!(holes, [0..(1 << 20) - 1000, (1 << 20) + 3096..(4 << 20) - 1000]);
        assert_eq!(map.find_data(0).unwrap(), Some((1 << 20) - 1000..(1 << 20) + 3096));
        assert_eq!(map.find_data(2 << 20).unwrap(), None);
        assert_eq!(map.find_data(5 << 20).unwrap_err().kind(), ErrorKind::OutOfBounds);
    }

    #[test]
    fn an_empty_file_has_neither_data_nor_holes() {
        let file = tempfile::tempfile().unwrap();
        assert_eq!(kinds(extents(&file, ..).unwrap()), []);
        assert_eq!(Map::of(&file).unwrap().find_data(0).unwrap(), None);
    }

    #[test]
    fn memory_has_no_extents() {
        let map = MapOptions::new().shared_memory(4096).unwrap();
        assert_eq!(map.extents(..).unwrap_err().kind(), ErrorKind::InvalidInput);
    }

    #[test]
    fn a_punched_hole_is_a_hole() {
        let file = tempfile::tempfile().unwrap();
        file.write_all_at(&vec![1; 1 << 20], 0).unwrap();
        let map = MapOptions::new().map_mut(&file).unwrap();
        map.punch(65_536..131_072).unwrap();
        assert_eq!(file.metadata().unwrap().len(), 1 << 20);
        let holes: Vec<_> = map.holes().unwrap().map(|hole| hole.unwrap()).collect();
        if holes.is_empty() {
            return skip("a_punched_hole_is_a_hole", "the file system has no holes");
        }
        assert!(holes.len() == 1 && holes[0] == (65_536..131_072), "{holes:?}");
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(40))]
        #[test]
        fn punching_zeroes_exactly_the_bytes_named(
            a in 0usize..30_000,
            b in 0usize..30_000,
            offset in 0u64..5000,
        ) {
            let file = tempfile::tempfile().unwrap();
            file.write_all_at(&vec![1; 40_000], 0).unwrap();
            let (from, to) = (a.min(b), a.max(b));
            for map in [
                MapOptions::new().offset(offset).len(30_000).map_mut(&file).unwrap(),
                MapOptions::new().shared_memory(30_000).unwrap(),
            ] {
                map.view().fill(.., 1).unwrap();
                map.punch(from..to).unwrap();
                let bytes = map.view().to_vec().unwrap();
                for (at, &byte) in bytes.iter().enumerate() {
                    prop_assert_eq!(byte == 0, (from..to).contains(&at));
                }
            }
            let mut whole = vec![0; 40_000];
            file.read_exact_at(&mut whole, 0).unwrap();
            prop_assert_eq!(whole.iter().filter(|&&byte| byte == 0).count(), to - from);
        }
    }
}
