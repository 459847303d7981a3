//! Advice about pages: the complete set of madvise(2) as far as it makes sense for maps.
//!
//! Advice is safe on a [`Map`], even where it discards, because nothing there is behind a reference: an
//! access sees other bytes or returns a [`Fault`](crate::Fault). [`Memory`] is ordinary memory, so there only
//! advice is offered that leaves it readable. Deliberately absent: `MADV_HWPOISON` and `MADV_SOFT_OFFLINE`,
//! with which root tests the kernel's handling of broken memory; they are no business of a map.

#![allow(unsafe_code, reason = "one door whose caller answers for the pages; listed in docs/SOUNDNESS.md")]

use std::io;
use std::ops::RangeBounds;

use super::pages::{Pages, Rounding};
use super::range;
use crate::error::{Error, ErrorKind, Result};
use crate::map::{Access, Map, Memory, sealed};
use crate::span::Span;
use crate::sys::{page, pagemap};

/// What the kernel is told about pages, or asked to do with them.
///
/// Ranges need not be page-aligned. Advice that takes something away (marked **inward** below) is given only
/// for pages all of whose bytes were named, where a page at the map's edge counts as whole if everything that
/// the map shows of it was named. All other advice is given for every page that holds a named byte.
///
/// Where a slice made by an `unsafe` function such as [`Map::as_slice`] is in use, what discards or guards
/// pages breaks the promise that was given for the slice.
///
/// ```
/// use mapwright_core::{Advice, ErrorKind, FaultKind, MapOptions};
/// let map = MapOptions::new().shared_memory(1 << 20)?;
/// map.view().fill(.., 7)?;
/// map.advise(Advice::Remove, ..1 << 19)?;             // gives the memory back
/// assert_eq!(map.view().load::<u8>(0)?, 0);
/// assert_eq!(map.view().load::<u8>(1 << 19)?, 7);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Advice {
    /// No special use: undoes `Random` and `Sequential`. (`MADV_NORMAL`)
    Normal,
    /// Used in random order: no read-ahead. (`MADV_RANDOM`)
    Random,
    /// Used in order: read far ahead, forget soon. (`MADV_SEQUENTIAL`)
    Sequential,
    /// Needed soon: starts reading and returns. (`MADV_WILLNEED`)
    WillNeed,
    /// Not needed: pages of a file leave this map (they stay in the cache), what was written to a private
    /// copy is lost, private memory reads as zeros. Refused for locked pages, and before Linux 5.18 for those
    /// of a huge page pool. **Inward.** (`MADV_DONTNEED`)
    DontNeed,
    /// As `DontNeed`, locked pages included. **Inward.** (`MADV_DONTNEED_LOCKED`, Linux 5.18)
    DontNeedLocked,
    /// Taken first when memory runs short. **Inward.** (`MADV_COLD`, Linux 5.4)
    Cold,
    /// Taken now: written to the file or to swap, and dropped. **Inward.** (`MADV_PAGEOUT`, Linux 5.4)
    PageOut,
    /// Contents not needed: each page of private memory keeps them or reads as zeros at any later moment,
    /// until it is written. **Inward.** (`MADV_FREE`)
    Free,
    /// Gives the space of these bytes back, in the file as well: they read as zeros for everybody. Only pages
    /// named to their last byte; [`Map::punch`] takes any range. (`MADV_REMOVE`)
    Remove,
    /// Makes huge pages of what is there, now. (`MADV_COLLAPSE`, Linux 6.1)
    Collapse,
    /// Brings pages in for reading and waits; what cannot be had is an error now. (`MADV_POPULATE_READ`,
    /// Linux 5.14)
    PopulateRead,
    /// Brings pages in for writing and waits. (`MADV_POPULATE_WRITE`, Linux 5.14)
    PopulateWrite,
    /// Huge pages are welcome. (`MADV_HUGEPAGE`)
    HugePage,
    /// Huge pages are not welcome. (`MADV_NOHUGEPAGE`)
    NoHugePage,
    /// Equal pages of private memory may be shared. (`MADV_MERGEABLE`)
    Mergeable,
    /// Undoes `Mergeable`. (`MADV_UNMERGEABLE`)
    Unmergeable,
    /// Left out of core dumps. (`MADV_DONTDUMP`)
    DontDump,
    /// Undoes `DontDump`. (`MADV_DODUMP`)
    DoDump,
    /// Forked children do not get the pages; the map is never unmapped in a child. **Inward.**
    /// (`MADV_DONTFORK`)
    DontFork,
    /// Undoes `DontFork`. (`MADV_DOFORK`)
    DoFork,
    /// Forked children get zeros; private memory only. **Inward.** (`MADV_WIPEONFORK`, Linux 4.14)
    WipeOnFork,
    /// Undoes `WipeOnFork`. (`MADV_KEEPONFORK`, Linux 4.14)
    KeepOnFork,
    /// Any access to these pages is [`Protected`](crate::FaultKind::Protected) until `GuardRemove`; what was
    /// written to private pages is lost. Costs no mapping of its own. **Inward.** (`MADV_GUARD_INSTALL`,
    /// Linux 6.13; for files 6.15)
    GuardInstall,
    /// Undoes `GuardInstall`. (`MADV_GUARD_REMOVE`, Linux 6.13)
    GuardRemove,
}

impl Advice {
    /// The kernel's number.
    pub(super) fn number(self) -> i32 {
        /// Linux 6.1, which libc's list for musl lacks.
        const MADV_COLLAPSE: i32 = 25;
        /// Linux 6.13, later than libc's list.
        const MADV_GUARD_INSTALL: i32 = 102;
        /// See [`MADV_GUARD_INSTALL`].
        const MADV_GUARD_REMOVE: i32 = 103;
        match self {
            Self::Normal => libc::MADV_NORMAL,
            Self::Random => libc::MADV_RANDOM,
            Self::Sequential => libc::MADV_SEQUENTIAL,
            Self::WillNeed => libc::MADV_WILLNEED,
            Self::DontNeed => libc::MADV_DONTNEED,
            Self::DontNeedLocked => libc::MADV_DONTNEED_LOCKED,
            Self::Cold => libc::MADV_COLD,
            Self::PageOut => libc::MADV_PAGEOUT,
            Self::Free => libc::MADV_FREE,
            Self::Remove => libc::MADV_REMOVE,
            Self::Collapse => MADV_COLLAPSE,
            Self::PopulateRead => libc::MADV_POPULATE_READ,
            Self::PopulateWrite => libc::MADV_POPULATE_WRITE,
            Self::HugePage => libc::MADV_HUGEPAGE,
            Self::NoHugePage => libc::MADV_NOHUGEPAGE,
            Self::Mergeable => libc::MADV_MERGEABLE,
            Self::Unmergeable => libc::MADV_UNMERGEABLE,
            Self::DontDump => libc::MADV_DONTDUMP,
            Self::DoDump => libc::MADV_DODUMP,
            Self::DontFork => libc::MADV_DONTFORK,
            Self::DoFork => libc::MADV_DOFORK,
            Self::WipeOnFork => libc::MADV_WIPEONFORK,
            Self::KeepOnFork => libc::MADV_KEEPONFORK,
            Self::GuardInstall => MADV_GUARD_INSTALL,
            Self::GuardRemove => MADV_GUARD_REMOVE,
        }
    }

    /// Which kernels have it.
    fn kernels(self) -> &'static str {
        match self {
            Self::DontNeedLocked => "Linux 5.18",
            Self::Cold | Self::PageOut => "Linux 5.4",
            Self::Collapse => "Linux 6.1 with transparent huge pages",
            Self::PopulateRead | Self::PopulateWrite => "Linux 5.14",
            Self::HugePage | Self::NoHugePage => "a kernel built with transparent huge pages",
            Self::Mergeable | Self::Unmergeable => "a kernel built with KSM",
            Self::WipeOnFork | Self::KeepOnFork => "Linux 4.14",
            Self::GuardInstall | Self::GuardRemove => "Linux 6.13",
            _ => "a kernel that is not cut down",
        }
    }

    /// Which maps it is for, where it is not for all.
    fn suits(self) -> &'static str {
        match self {
            Self::DontNeed => {
                "pages that are not locked (see DontNeedLocked), nor, before Linux 5.18, of a pool"
            }
            Self::Free | Self::WipeOnFork | Self::Mergeable | Self::Unmergeable => "private memory",
            Self::Remove => {
                "maps whose stores reach a file that can have holes, and pages that are not locked"
            }
            Self::Collapse => "ranges that hold a whole huge page, of memory or of files that can have them",
            Self::PopulateWrite => "maps that can be written",
            Self::GuardInstall => {
                "private memory, and from Linux 6.15 on files; not for locked or huge pages"
            }
            _ => "ordinary pages, not those of a device or of the huge page pool",
        }
    }

    fn rounding(self) -> Rounding {
        match self {
            Self::DontNeed
            | Self::DontNeedLocked
            | Self::Cold
            | Self::PageOut
            | Self::Free
            | Self::DontFork
            | Self::WipeOnFork
            | Self::GuardInstall => Rounding::Inward,
            Self::Remove => Rounding::InwardStrictly,
            _ => Rounding::Outward,
        }
    }

    /// Whether every byte reads the same afterwards in this process.
    pub(super) fn keeps_contents(self) -> bool {
        self.keeps_memory_readable() && !self.gives_pages_back() && !matches!(self, Self::GuardRemove)
    }

    /// Whether pages go back to where they came from, and others come in their place.
    fn gives_pages_back(self) -> bool {
        matches!(self, Self::DontNeed | Self::DontNeedLocked | Self::Remove)
    }

    /// Whether private memory stays readable, and changes its contents only while the advice is given.
    pub(super) fn keeps_memory_readable(self) -> bool {
        !matches!(self, Self::Free | Self::GuardInstall)
    }

    /// Whether this kernel knows the advice at all: it checks that before it looks at an empty range.
    pub(crate) fn is_known(self) -> bool {
        pagemap::knows_advice(self.number())
    }
}

impl<A: Access> Map<A> {
    /// Gives advice about a range.
    ///
    /// # Errors
    /// `OutOfBounds` where the range ends beyond the map; `Unsupported` where this kernel does not know the
    /// advice;
    /// `InvalidInput` where it does not apply to this kind of map.
    ///
    /// # Kernel
    /// madvise(2); see [`Advice`] for the first version that has each.
    ///
    /// ```
    /// use mapwright_core::{Advice, Map};
    /// # let path = tempfile::NamedTempFile::new().unwrap();
    /// # std::fs::write(&path, vec![1u8; 20_000]).unwrap();
    /// let map = Map::open(&path)?;
    /// map.advise(Advice::Sequential, ..)?;
    /// map.advise(Advice::WillNeed, 10_000..)?;
    /// # Ok::<(), mapwright_core::Error>(())
    /// ```
    #[doc(alias = "madvise")]
    pub fn advise(&self, advice: Advice, range: impl RangeBounds<usize>) -> Result<()> {
        let span = range::checked(range, self.len(), "advise about", || self.name())?;
        if advice == Advice::PopulateWrite && <A as sealed::Sealed>::PROTECTION & libc::PROT_WRITE == 0 {
            return Err(unsuited(advice, self.name()));
        }
        Pages::of_map(self, span, advice.rounding())?
            .advise(advice)
            .map_err(|cause| refusal(advice, self.name(), cause))
    }
}

impl Memory {
    /// Gives advice about a range. Bytes that are discarded read as zeros.
    ///
    /// # Errors
    /// As [`Map::advise`], and `InvalidInput` for `Free` and `GuardInstall`, after which the memory would
    /// change, or not be readable, under references: see [`advise_unchecked`](Self::advise_unchecked).
    ///
    /// # Kernel
    /// madvise(2).
    ///
    /// ```
    /// use mapwright_core::{Advice, Memory};
    /// let mut memory = Memory::new(1 << 20)?;
    /// memory[5000] = 1;
    /// memory.advise(Advice::DontNeed, ..)?;
    /// assert_eq!(memory[5000], 0);
    /// # Ok::<(), mapwright_core::Error>(())
    /// ```
    #[doc(alias = "madvise")]
    pub fn advise(&mut self, advice: Advice, range: impl RangeBounds<usize>) -> Result<()> {
        let span = self.advised(range)?;
        if !advice.keeps_memory_readable() {
            let why = format!("{advice:?} would pull pages from under references; see advise_unchecked");
            return Err(Error::new(ErrorKind::InvalidInput, "advise about", "memory", why));
        }
        if advice.gives_pages_back() && self.region().unit() > page::size() {
            let why = "pages of a pool that are given back may be missing when they are touched again";
            return Err(Error::new(ErrorKind::InvalidInput, "advise about", "memory", why));
        }
        Pages::of_memory_alone(self, span, advice.rounding())?
            .advise(advice)
            .map_err(|cause| refusal(advice, "memory".into(), cause))
    }

    /// Gives any advice about a range.
    ///
    /// # Errors
    /// As [`Map::advise`].
    ///
    /// # Safety
    /// After `Free`, no reference is made to a page of the range until it was written through a raw pointer;
    /// after
    /// `GuardInstall`, none to the range until `GuardRemove`.
    ///
    /// # Kernel
    /// madvise(2).
    ///
    /// ```
    /// use mapwright_core::{Advice, Memory};
    /// let mut memory = Memory::new(1 << 20)?;
    /// let start = memory.as_mut_ptr();
    /// // SAFETY: no reference is made to the bytes before they were written through the pointer.
    /// unsafe { memory.advise_unchecked(Advice::Free, ..) }?;
    /// // SAFETY: these are the memory's own bytes, and nobody has a reference to them.
    /// unsafe { start.write_bytes(1, 1 << 20) };
    /// assert!(memory.iter().all(|&byte| byte == 1));
    /// # Ok::<(), mapwright_core::Error>(())
    /// ```
    pub unsafe fn advise_unchecked(&mut self, advice: Advice, range: impl RangeBounds<usize>) -> Result<()> {
        let span = self.advised(range)?;
        let pages = Pages::of_memory_alone(self, span, advice.rounding())?;
        // SAFETY: by this function's contract.
        unsafe { pages.advise_unchecked(advice) }.map_err(|cause| refusal(advice, "memory".into(), cause))
    }

    fn advised(&self, range: impl RangeBounds<usize>) -> Result<Span> {
        range::checked(range, self.len(), "advise about", || "memory".to_owned())
    }
}

/// Explains why the kernel did not take advice.
#[cold]
fn refusal(advice: Advice, name: String, cause: io::Error) -> Error {
    match cause.raw_os_error() {
        Some(libc::EINVAL) if !advice.is_known() => {
            let why = format!("this kernel does not know {advice:?}, which needs {}", advice.kernels());
            Error::new(ErrorKind::Unsupported, "advise about", name, why)
        }
        Some(libc::EINVAL | libc::EACCES) => unsuited(advice, name),
        Some(libc::EFAULT) => Error::os("advise about", name, cause).with_kind(ErrorKind::Fault).advice(
            "a page could not be had: the file was truncated, the disk is full or broken, or it is protected",
        ),
        _ => Error::os("advise about", name, cause),
    }
}

#[cold]
fn unsuited(advice: Advice, name: String) -> Error {
    let why = format!("{advice:?} does not apply here: it is for {}", advice.suits());
    Error::new(ErrorKind::InvalidInput, "advise about", name, why)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::changes::testing::{in_child, skip};
    use crate::map::MapOptions;
    use crate::{FaultKind, ReadOnly};

    const ALL: [Advice; 25] = [
        Advice::Normal,
        Advice::Random,
        Advice::Sequential,
        Advice::WillNeed,
        Advice::DontNeed,
        Advice::DontNeedLocked,
        Advice::Cold,
        Advice::PageOut,
        Advice::Free,
        Advice::Remove,
        Advice::Collapse,
        Advice::PopulateRead,
        Advice::PopulateWrite,
        Advice::HugePage,
        Advice::NoHugePage,
        Advice::Mergeable,
        Advice::Unmergeable,
        Advice::DontDump,
        Advice::DoDump,
        Advice::DontFork,
        Advice::DoFork,
        Advice::WipeOnFork,
        Advice::KeepOnFork,
        Advice::GuardInstall,
        Advice::GuardRemove,
    ];

    fn file(pages: usize) -> std::fs::File {
        let file = tempfile::tempfile().unwrap();
        std::os::unix::fs::FileExt::write_all_at(&file, &vec![7u8; pages * 4096], 0).unwrap();
        file
    }

    #[test]
    fn every_advice_is_taken_or_refused_with_a_reason_and_leaves_the_map_usable() {
        let map = MapOptions::new().map_mut(file(16)).unwrap();
        for advice in ALL {
            for range in [0..0, 0..1, 100..9000, 0..16 * 4096, 16 * 4096..16 * 4096] {
                match map.advise(advice, range.clone()) {
                    Ok(()) => {}
                    Err(error) => assert!(
                        matches!(error.kind(), ErrorKind::InvalidInput | ErrorKind::Unsupported),
                        "{advice:?} {range:?}: {error}"
                    ),
                }
            }
            // 100..9000 and everything were guarded, and freed again by the last in the list.
            if advice != Advice::GuardInstall {
                map.view().load::<u8>(5000).unwrap();
            }
        }
        assert_eq!(map.advise(Advice::Normal, 16 * 4096 + 1..).unwrap_err().kind(), ErrorKind::OutOfBounds);
        assert_eq!(map.advise(Advice::Free, ..).unwrap_err().kind(), ErrorKind::InvalidInput);
    }

    #[test]
    fn every_advice_about_memory_leaves_it_readable() {
        for advice in ALL {
            let mut memory = MapOptions::new().memory(8 << 20).unwrap();
            memory.fill(3);
            if memory.advise(advice, 4096..6 << 20).is_err() {
                assert!(memory.iter().all(|&byte| byte == 3), "{advice:?} was refused and changed something");
            }
            assert!(memory.iter().all(|&byte| byte == 3 || byte == 0), "{advice:?}");
            assert!(memory[..4096].iter().chain(&memory[6 << 20..]).all(|&byte| byte == 3), "{advice:?}");
        }
    }

    #[test]
    fn discarding_takes_whole_pages_only() {
        let map = MapOptions::new().map_copy(file(4)).unwrap();
        map.view().fill(.., 1).unwrap();
        map.advise(Advice::DontNeed, 100..3 * 4096 - 1).unwrap();
        let bytes = map.view().to_vec().unwrap();
        let own = |at: usize| bytes[at] == 1;
        assert!(own(4095) && !own(4096) && !own(2 * 4096 - 1) && own(2 * 4096), "only page 1 was let go");
    }

    #[test]
    fn removing_takes_space_back_and_never_more_than_was_named() {
        let file = file(4);
        let map = MapOptions::new().offset(10).map_mut(&file).unwrap();
        if let Err(error) = map.advise(Advice::Remove, ..) {
            return skip("removing_takes_space_back_and_never_more_than_was_named", error);
        }
        let bytes = std::fs::read(crate::sys::file::proc_path(std::os::fd::AsFd::as_fd(&file))).unwrap();
        // Page 0 begins before the map and is spared.
        assert!(bytes[..4096].iter().all(|&byte| byte == 7) && bytes[4096..].iter().all(|&byte| byte == 0));
    }

    #[test]
    fn a_guarded_page_is_protected_until_the_guard_is_removed() {
        for map in
            [MapOptions::new().map_mut(file(4)).unwrap(), MapOptions::new().shared_memory(4 * 4096).unwrap()]
        {
            if let Err(error) = map.advise(Advice::GuardInstall, 4096..8192) {
                skip("a_guarded_page_is_protected_until_the_guard_is_removed", error);
                continue;
            }
            let view = map.view();
            assert_eq!(view.load::<u8>(4096).unwrap_err().kind(), FaultKind::Protected);
            assert_eq!(view.store(8191, 1u8).unwrap_err().kind(), FaultKind::Protected);
            let fault = view.to_vec().unwrap_err();
            assert_eq!((fault.kind(), fault.offset()), (FaultKind::Protected, 4096));
            map.advise(Advice::GuardRemove, 5000..5001).unwrap();
            view.load::<u8>(4096).unwrap();
        }
    }

    #[test]
    fn a_child_without_the_pages_gets_faults_and_unmaps_nothing() {
        let map: Map<ReadOnly> = MapOptions::new().map(file(4)).unwrap();
        map.advise(Advice::DontFork, 4096..8192).unwrap();
        let address = map.as_ptr();
        let code = in_child(|| {
            let view = map.view();
            if view.load::<u8>(0) != Ok(7) {
                return 1;
            }
            if view.load::<u8>(4096).map_err(crate::Fault::kind) != Err(FaultKind::Gone) {
                return 2;
            }
            if map.advise(Advice::DontNeed, ..).map_err(|error| error.kind()) != Err(ErrorKind::NotFound) {
                return 3;
            }
            drop(map);
            if pagemap::is_mapped(address.addr()) { 0 } else { 4 }
        });
        assert_eq!(code, 0);
    }

    #[test]
    fn a_child_reads_zeros_where_memory_is_wiped() {
        let mut memory = Memory::new(3 * 4096).unwrap();
        memory.fill(9);
        memory.advise(Advice::WipeOnFork, 4096..8192).unwrap();
        let code = in_child(|| i32::from(memory[4095] != 9 || memory[4096] != 0 || memory[8192] != 9));
        assert_eq!(code, 0);
        assert_eq!(memory[4096], 9);
    }

    #[test]
    fn populating_what_was_truncated_is_an_error_not_a_signal() {
        let file = file(4);
        let map = Map::of(&file).unwrap();
        if !Advice::PopulateRead.is_known() {
            return skip("populating_what_was_truncated_is_an_error_not_a_signal", "needs Linux 5.14");
        }
        map.advise(Advice::PopulateRead, ..).unwrap();
        file.set_len(4096).unwrap();
        assert_eq!(map.advise(Advice::PopulateRead, ..).unwrap_err().kind(), ErrorKind::Fault);
        assert_eq!(map.advise(Advice::PopulateWrite, ..).unwrap_err().kind(), ErrorKind::InvalidInput);
    }

    #[test]
    fn memory_can_be_freed_by_those_who_answer_for_it() {
        let mut memory = Memory::new(2 * 4096).unwrap();
        memory.fill(1);
        assert_eq!(memory.advise(Advice::Free, ..).unwrap_err().kind(), ErrorKind::InvalidInput);
        // SAFETY: no reference is made before the page was written again.
        unsafe { memory.advise_unchecked(Advice::Free, ..4096) }.unwrap();
        // SAFETY: writes the first page through a raw pointer.
        unsafe { memory.region().start().write_bytes(2, 4096) };
        assert_eq!((memory[0], memory[4096]), (2, 1));
    }
}
