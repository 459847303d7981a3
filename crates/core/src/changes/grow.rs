//! Longer and shorter files, in place: room on the disk first, then the bytes, and no address moves.

use std::os::fd::{AsFd, BorrowedFd};

use super::advice::Advice;
use super::pages::{Pages, Rounding};
use super::range;
use crate::error::{Error, ErrorKind, Result};
use crate::map::{Map, ReadWrite, Source, registry};
use crate::sys::file::{self, Kind};

impl Map<ReadWrite> {
    /// Makes the map show at least `len` bytes, and the file hold them, within the reserved room: no address
    /// moves, and every view stays valid. Bytes that are new are zeros.
    ///
    /// # Errors
    /// `OutOfBounds` beyond the [capacity](Map::capacity) (reserve room with
    /// [`MapOptions::reserve`](crate::MapOptions::reserve), or move with [`resize`](Self::resize)); `NoSpace`
    /// where the disk, the quota or `RLIMIT_FSIZE` is full. Nothing has changed then.
    ///
    /// # Kernel
    /// fallocate(2), so that no store into the new bytes lacks room later. Where the file system has no such
    /// call, its free space is compared with what is asked for, and the file becomes longer with a hole.
    ///
    /// ```
    /// use mapwright_core::MapOptions;
    /// # let path = tempfile::NamedTempFile::new().unwrap();
    /// let map = MapOptions::new().reserve(1 << 30).open_mut(&path)?;
    /// let before = map.as_ptr();
    /// map.grow(10_000)?;
    /// map.view().store(9_996, 7u32)?;
    /// assert_eq!((map.as_ptr(), map.len()), (before, 10_000));
    /// assert_eq!(std::fs::metadata(&path).unwrap().len(), 10_000);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[doc(alias = "fallocate")]
    pub fn grow(&self, len: usize) -> Result<()> {
        let (old, capacity) = (self.len(), self.capacity());
        if len <= old {
            return Ok(());
        }
        if len > capacity {
            let why = format!(
                "{len} bytes do not fit into the {capacity} reserved; reserve more (MapOptions::reserve), or \
                 let it move (resize)"
            );
            return Err(Error::new(ErrorKind::OutOfBounds, "grow", self.name(), why));
        }
        if let Some(source) = self.source() {
            let at = |offset| self.file_offset().saturating_add(range::wide(offset));
            extend(source, at(old), at(len))?;
        }
        self.region().raise_len(len);
        Ok(())
    }

    /// Makes the map and its file `len` bytes long, without moving anything.
    ///
    /// Views stay valid: what they show of the bytes that were cut off is
    /// [`Truncated`](crate::FaultKind::Truncated) from then on, the rest of the last page excepted, whose
    /// bytes can be reached until the page goes and belong to nobody. Other maps of the file are cut in the
    /// same way.
    ///
    /// # Errors
    /// `OutOfBounds` where the map is shorter already; `InvalidInput` where the file goes on beyond the map,
    /// which would cut off bytes that the map does not show; `PermissionDenied` where the file is sealed
    /// against it.
    ///
    /// # Kernel
    /// ftruncate(2); for memory without a file `MADV_REMOVE`.
    ///
    /// ```
    /// use mapwright_core::{FaultKind, Map};
    /// # let path = tempfile::NamedTempFile::new().unwrap();
    /// # std::fs::write(&path, vec![1u8; 20_000]).unwrap();
    /// let map = Map::open_mut(&path)?;
    /// let view = map.view();
    /// map.truncate(5_000)?;
    /// assert_eq!(map.len(), 5_000);
    /// assert_eq!(view.load::<u8>(15_000).unwrap_err().kind(), FaultKind::Truncated);
    /// # Ok::<(), mapwright_core::Error>(())
    /// ```
    #[doc(alias = "ftruncate")]
    pub fn truncate(&self, len: usize) -> Result<()> {
        let old = self.len();
        let Some(source) = self.source() else { return self.truncate_memory(len) };
        if len > old {
            let why = format!("it has {old} bytes, fewer than the {len} to keep; grow makes it longer");
            return Err(Error::new(ErrorKind::OutOfBounds, "truncate", self.name(), why));
        }
        let (end, present) =
            (self.file_offset().saturating_add(range::wide(old)), regular_len(source.fd(), "truncate")?);
        if present > end {
            let why = format!("the map ends at byte {end} of the file, which goes on to {present}");
            return Err(Error::new(ErrorKind::InvalidInput, "truncate", self.name(), why));
        }
        let new_end = self.file_offset().saturating_add(range::wide(len));
        if new_end < present {
            change_len(source.fd(), new_end)?;
        }
        self.region().set_len(len);
        Ok(())
    }

    /// Memory that children share: pages go back to the system, and all bytes cut off read as zeros.
    fn truncate_memory(&self, len: usize) -> Result<()> {
        let cut = range::checked(len.., self.len(), "truncate", || self.name())?;
        let whole = Pages::of_map(self, cut, Rounding::Inward)?;
        let first_whole = if whole.len() == 0 { cut.end() } else { whole.offset() };
        self.view().fill(cut.offset()..first_whole, 0)?;
        whole.advise(Advice::Remove).map_err(|cause| Error::os("truncate", self.name(), cause))?;
        self.region().set_len(len);
        Ok(())
    }
}

/// Changes a file's length, unless this process has bytes mapped that would be cut off.
///
/// A file that becomes longer gets a hole; [`Map::grow`] reserves room instead. Only maps made by this
/// library, in this process, count; a map that another thread makes at the same moment may be missed.
///
/// # Errors
/// `Busy` where this process has the file mapped beyond `len`: drop the map, shorten it with
/// [`Map::truncate`], or say [`set_len_even_if_mapped`]. Else what ftruncate(2) refuses.
///
/// # Kernel
/// ftruncate(2).
///
/// ```
/// use mapwright_core::{ErrorKind, Map, set_len};
/// let file = tempfile::tempfile().unwrap();
/// set_len(&file, 10_000)?;
/// let map = Map::of(&file)?;
/// assert_eq!(set_len(&file, 9_999).unwrap_err().kind(), ErrorKind::Busy);
/// drop(map);
/// set_len(&file, 9_999)?;
/// # Ok::<(), mapwright_core::Error>(())
/// ```
#[doc(alias = "ftruncate")]
pub fn set_len(file: impl AsFd, len: u64) -> Result<()> {
    let fd = file.as_fd();
    let present = regular_len(fd, "change the length of")?;
    let identity =
        file::describe(fd).map_err(|cause| Error::os("examine", range::name_of(fd), cause))?.identity;
    match registry::furthest_end(identity) {
        Some(end) if len < present && end > len => {
            let why = format!(
                "this process has it mapped up to byte {end}, beyond the {len} bytes to keep; drop the map \
                 first, or use set_len_even_if_mapped"
            );
            Err(Error::new(ErrorKind::Busy, "change the length of", range::name_of(fd), why))
        }
        _ => change_len(fd, len),
    }
}

/// Changes a file's length, whoever has it mapped: accesses to what is cut off become
/// [`Truncated`](crate::FaultKind::Truncated) faults.
///
/// # Errors
/// What ftruncate(2) refuses.
///
/// # Kernel
/// ftruncate(2).
///
/// ```
/// use mapwright_core::{FaultKind, Map, set_len_even_if_mapped};
/// let file = tempfile::tempfile().unwrap();
/// file.set_len(10_000).unwrap();
/// let map = Map::of(&file)?;
/// set_len_even_if_mapped(&file, 0)?;
/// assert_eq!(map.view().load::<u8>(0).unwrap_err().kind(), FaultKind::Truncated);
/// # Ok::<(), mapwright_core::Error>(())
/// ```
pub fn set_len_even_if_mapped(file: impl AsFd, len: u64) -> Result<()> {
    let fd = file.as_fd();
    regular_len(fd, "change the length of")?;
    change_len(fd, len)
}

/// Reserves disk space for a range of a file, which grows to hold it.
pub(crate) fn reserve(source: &Source, offset: u64, len: u64) -> Result<()> {
    extend(source, offset, offset.saturating_add(len))
}

/// Reserves room for the bytes from `start` to `end`, then makes the file at least `end` bytes long. Where
/// that fails, its length has not changed.
fn extend(source: &Source, start: u64, end: u64) -> Result<()> {
    const ACTION: &str = "reserve space in";
    let fd = source.fd();
    let present = regular_len(fd, ACTION)?;
    let full = |why: String| Err(Error::new(ErrorKind::NoSpace, ACTION, source.name(), why));
    if let Some(limit) = file::size_limit()
        && end > limit
    {
        // The kernel would send SIGXFSZ, whose default is to end the process.
        return full(format!("{end} bytes are more than the {limit} that RLIMIT_FSIZE allows"));
    }
    let beyond_the_end = end.saturating_sub(start.max(present));
    if let Some(free) = file::free_space(fd)
        && beyond_the_end > free
    {
        // Asked first, because a file system that runs full half way keeps what it has reserved so far.
        return full(format!("{beyond_the_end} bytes more are needed, and {free} are free"));
    }
    match file::reserve_within(fd, start, end - start) {
        // Now this cannot lack room, and unlike ftruncate it never cuts what somebody else has added
        // meanwhile.
        Ok(()) if present < end => {
            file::reserve(fd, start, end - start).map_err(|cause| Error::os(ACTION, source.name(), cause))
        }
        Ok(()) => Ok(()),
        Err(cause) if cause.raw_os_error() == Some(libc::EOPNOTSUPP) => {
            // Asked again just before, and best effort: there is no call that only makes a file longer.
            if regular_len(fd, ACTION)? < end { change_len(fd, end) } else { Ok(()) }
        }
        Err(cause) => {
            // What was reserved on the way stays reserved beyond the end: cutting it off could cut off what
            // somebody else has appended meanwhile.
            let error = Error::os(ACTION, source.name(), cause);
            Err(match error.kind() {
                ErrorKind::NoSpace => error.advice(format!("{beyond_the_end} bytes more are needed")),
                _ => explain_sealed(error),
            })
        }
    }
}

/// Returns the length of a regular file; nothing else has a length that can be changed.
fn regular_len(fd: BorrowedFd<'_>, action: &'static str) -> Result<u64> {
    let description = file::describe(fd).map_err(|cause| Error::os("examine", range::name_of(fd), cause))?;
    match description.kind {
        Kind::Regular { len } => Ok(len),
        Kind::Block { .. } | Kind::Character => {
            let why = "it is a device, and has the length it has";
            Err(Error::new(ErrorKind::Unsupported, action, range::name_of(fd), why))
        }
        _ => {
            let why = "it is not a file";
            Err(Error::new(ErrorKind::InvalidInput, action, range::name_of(fd), why))
        }
    }
}

fn change_len(fd: BorrowedFd<'_>, len: u64) -> Result<()> {
    rustix::io::retry_on_intr(|| rustix::fs::ftruncate(fd, len))
        .map_err(|cause| explain_sealed(Error::os("change the length of", range::name_of(fd), cause)))
}

fn explain_sealed(error: Error) -> Error {
    if error.raw_os_error() == Some(libc::EPERM) {
        error.advice("it is sealed against it, or marked immutable or append-only")
    } else {
        error
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::FaultKind;
    use crate::map::{MapOptions, mapped_here};

    fn file_of(len: u64) -> std::fs::File {
        let file = tempfile::tempfile().unwrap();
        file.set_len(len).unwrap();
        file
    }

    #[test]
    fn growing_reserves_blocks_and_shows_zeros() {
        let file = file_of(100);
        let map = MapOptions::new().reserve(1 << 20).map_mut(&file).unwrap();
        let old_view = map.view();
        map.grow(50_000).unwrap();
        assert_eq!((map.len(), file.metadata().unwrap().len()), (50_000, 50_000));
        assert!(std::os::unix::fs::MetadataExt::blocks(&file.metadata().unwrap()) * 512 >= 49_900);
        assert_eq!(map.view().to_vec().unwrap(), vec![0; 50_000]);
        assert_eq!((old_view.len(), old_view.load::<u8>(99).unwrap()), (100, 0));
        map.grow(10).unwrap();
        assert_eq!(map.len(), 50_000);
    }

    #[test]
    fn growing_beyond_the_reserve_is_refused_and_changes_nothing() {
        let file = file_of(100);
        let map = MapOptions::new().reserve(8192).map_mut(&file).unwrap();
        let error = map.grow(8193).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::OutOfBounds);
        assert!(error.to_string().contains("8193") && error.to_string().contains("8192"), "{error}");
        assert_eq!((map.len(), file.metadata().unwrap().len()), (100, 100));
    }

    #[test]
    fn growing_by_more_than_the_disk_has_is_refused_and_changes_nothing() {
        let file = file_of(100);
        let map = MapOptions::new().reserve(1 << 45).map_mut(&file).unwrap();
        let blocks = std::os::unix::fs::MetadataExt::blocks(&file.metadata().unwrap());
        let error = map.grow(1 << 45).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::NoSpace, "{error}");
        let after = file.metadata().unwrap();
        assert_eq!((map.len(), after.len()), (100, 100));
        assert_eq!(std::os::unix::fs::MetadataExt::blocks(&after), blocks);
    }

    #[test]
    fn a_map_in_the_middle_of_a_file_grows_over_what_is_there() {
        let file = file_of(50_000);
        let map = MapOptions::new().offset(4097).len(10).reserve(100_000).map_mut(&file).unwrap();
        map.grow(1000).unwrap();
        assert_eq!((map.len(), file.metadata().unwrap().len()), (1000, 50_000));
        map.grow(60_000).unwrap();
        assert_eq!((map.len(), file.metadata().unwrap().len()), (60_000, 64_097));
    }

    #[test]
    fn truncating_cuts_the_file_and_old_views_fault() {
        let file = file_of(20_000);
        let map = MapOptions::new().map_mut(&file).unwrap();
        let view = map.view();
        view.fill(.., 1).unwrap();
        map.truncate(4096).unwrap();
        assert_eq!((map.len(), file.metadata().unwrap().len()), (4096, 4096));
        assert_eq!(view.load::<u8>(4095).unwrap(), 1);
        assert_eq!(view.load::<u8>(4096).unwrap_err().kind(), FaultKind::Truncated);
        map.grow(20_000).unwrap();
        assert_eq!(view.load::<u8>(4096).unwrap(), 0, "what comes back is new");
        assert_eq!(map.truncate(20_001).unwrap_err().kind(), ErrorKind::OutOfBounds);
        map.truncate(0).unwrap();
        assert!(map.is_empty());
    }

    #[test]
    fn a_map_that_ends_before_its_file_does_not_cut_what_it_does_not_show() {
        let file = file_of(20_000);
        let map = MapOptions::new().len(10_000).map_mut(&file).unwrap();
        let error = map.truncate(5000).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidInput);
        assert!(error.to_string().contains("10000") && error.to_string().contains("20000"), "{error}");
        assert_eq!(file.metadata().unwrap().len(), 20_000);
    }

    #[test]
    fn shared_memory_shrinks_to_zeros_and_grows_again() {
        let map = MapOptions::new().reserve(64 << 10).shared_memory(40_000).unwrap();
        map.view().fill(.., 7).unwrap();
        map.truncate(5000).unwrap();
        map.grow(40_000).unwrap();
        let bytes = map.view().to_vec().unwrap();
        assert!(bytes[..5000].iter().all(|&byte| byte == 7) && bytes[5000..].iter().all(|&byte| byte == 0));
        assert_eq!(map.grow((64 << 10) + 1).unwrap_err().kind(), ErrorKind::OutOfBounds);
    }

    #[test]
    fn the_registry_follows_growing_and_truncating() {
        let file = file_of(100);
        let map = MapOptions::new().reserve(1 << 20).map_mut(&file).unwrap();
        map.grow(10_000).unwrap();
        assert_eq!(set_len(&file, 9999).unwrap_err().kind(), ErrorKind::Busy);
        map.truncate(50).unwrap();
        file.set_len(200).unwrap();
        set_len(&file, 50).unwrap();
        assert_eq!(set_len(&file, 49).unwrap_err().kind(), ErrorKind::Busy);
        set_len(&file, 1000).unwrap();
        set_len_even_if_mapped(&file, 49).unwrap();
        assert_eq!(mapped_here(&file).unwrap(), 1);
        assert_eq!(map.view().load::<u8>(48).unwrap(), 0);
    }

    #[test]
    fn a_sealed_memfd_says_so() {
        use rustix::fs::{MemfdFlags, SealFlags};
        let flags = MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING;
        let memfd = std::fs::File::from(rustix::fs::memfd_create("sealed", flags).unwrap());
        memfd.set_len(8192).unwrap();
        rustix::fs::fcntl_add_seals(&memfd, SealFlags::GROW | SealFlags::SHRINK).unwrap();
        let map = MapOptions::new().reserve(1 << 20).map_mut(&memfd).unwrap();
        for error in [map.grow(10_000).unwrap_err(), map.truncate(10).unwrap_err()] {
            assert_eq!(error.kind(), ErrorKind::PermissionDenied);
            assert!(error.to_string().contains("sealed"), "{error}");
        }
        assert_eq!(map.len(), 8192);
    }
}
