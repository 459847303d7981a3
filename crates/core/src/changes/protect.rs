//! Taking access away from a part of a map, and giving it back.

use std::ops::RangeBounds;

use super::pages::{Pages, Rounding};
use super::range;
use crate::error::{Error, Result};
use crate::map::{Access, Map, sealed};
use crate::span::Span;

/// What may be done to a part of a map. Never more than the map's type allows, so nothing can ever be written
/// and run as instructions at the same time.
///
/// ```
/// use mapwright_core::{FaultKind, MapOptions, Protection};
/// let map = MapOptions::new().shared_memory(1 << 20)?;
/// map.protect(.., Protection::Inaccessible)?;
/// assert_eq!(map.view().load::<u8>(0).unwrap_err().kind(), FaultKind::Protected);
/// map.protect(.., Protection::AsMapped)?;
/// assert_eq!(map.view().load::<u8>(0)?, 0);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Protection {
    /// Nothing: every access is [`Protected`](crate::FaultKind::Protected).
    Inaccessible,
    /// Reading only: a store is [`Protected`](crate::FaultKind::Protected).
    ReadOnly,
    /// Everything that the map's type allows.
    AsMapped,
}

impl Protection {
    fn bits<A: Access>(self) -> i32 {
        let mapped = <A as sealed::Sealed>::PROTECTION;
        match self {
            Self::Inaccessible => libc::PROT_NONE,
            Self::ReadOnly => mapped & libc::PROT_READ,
            Self::AsMapped => mapped,
        }
    }
}

impl<A: Access> Map<A> {
    /// Changes what may be done to a range of pages, until it is changed again.
    ///
    /// # Errors
    /// `InvalidInput` where the range does not begin and end at a page boundary or at the map's edge;
    /// `OutOfBounds` where it ends beyond the map; `OutOfMemory` where the kernel has no room to split a
    /// mapping (`vm.max_map_count`).
    ///
    /// # Kernel
    /// mprotect(2). Each change of protection inside of a map costs a mapping; many small ones are cheaper
    /// with [`Advice::GuardInstall`](crate::Advice::GuardInstall).
    ///
    /// ```
    /// use mapwright_core::{FaultKind, Map, Protection};
    /// # let path = tempfile::NamedTempFile::new().unwrap();
    /// # std::fs::write(&path, vec![1u8; 3 * 65536]).unwrap();
    /// let map = Map::open_mut(&path)?;
    /// map.protect(65536..131072, Protection::ReadOnly)?;
    /// assert_eq!(map.view().store(65536, 2u8).unwrap_err().kind(), FaultKind::Protected);
    /// map.protect(.., Protection::AsMapped)?;
    /// map.view().store(65536, 2u8)?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[doc(alias = "mprotect")]
    pub fn protect(&self, range: impl RangeBounds<usize>, protection: Protection) -> Result<()> {
        let span = range::checked(range, self.len(), "protect", || self.name())?;
        self.protect_span(span, protection, Rounding::Exactly)
    }

    /// Changes what may be done to a range of pages for as long as the guard lives; then it is
    /// [`AsMapped`](Protection::AsMapped) again.
    ///
    /// # Errors
    /// As [`protect`](Self::protect).
    ///
    /// # Kernel
    /// mprotect(2), twice.
    ///
    /// ```
    /// use mapwright_core::{MapOptions, Protection};
    /// let map = MapOptions::new().shared_memory(1 << 20)?;
    /// let guard = map.protect_for_now(.., Protection::ReadOnly)?;
    /// assert!(map.view().store(0, 1u8).is_err());
    /// drop(guard);
    /// map.view().store(0, 1u8)?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn protect_for_now(
        &self,
        range: impl RangeBounds<usize>,
        protection: Protection,
    ) -> Result<Protected<'_, A>> {
        let span = range::checked(range, self.len(), "protect", || self.name())?;
        self.protect_span(span, protection, Rounding::Exactly)?;
        Ok(Protected { map: self, span })
    }

    fn protect_span(&self, span: Span, protection: Protection, rounding: Rounding) -> Result<()> {
        Pages::of_map(self, span, rounding)?.protect(protection.bits::<A>()).map_err(|cause| {
            let error = Error::os("protect", self.name(), cause);
            match error.raw_os_error() {
                Some(libc::ENOMEM) => {
                    error.advice("the process has as many mappings as vm.max_map_count allows")
                }
                _ => error,
            }
        })
    }
}

/// Gives full access to a range back when it is dropped; made by [`Map::protect_for_now`].
#[derive(Debug)]
#[must_use = "access is given back when the guard is dropped"]
pub struct Protected<'map, A: Access> {
    map: &'map Map<A>,
    span: Span,
}

impl<A: Access> Drop for Protected<'_, A> {
    fn drop(&mut self) {
        // Outward, because the map may have been shortened, and what was its edge is one no more.
        let _stays_protected = self.map.protect_span(self.span, Protection::AsMapped, Rounding::Outward);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::map::{Executable, MapOptions, Memory};
    use crate::{ErrorKind, FaultKind};

    #[test]
    fn an_inaccessible_part_faults_and_the_rest_does_not() {
        let map = MapOptions::new().guard(4096).shared_memory(5 * 4096 + 100).unwrap();
        map.view().fill(.., 5).unwrap();
        {
            let _guard = map.protect_for_now(4 * 4096.., Protection::Inaccessible).unwrap();
            let fault = map.view().to_vec().unwrap_err();
            assert_eq!((fault.kind(), fault.offset()), (FaultKind::Protected, 4 * 4096));
            assert_eq!(map.view().load::<u8>(4 * 4096 - 1).unwrap(), 5);
        }
        assert_eq!(map.view().to_vec().unwrap(), vec![5; 5 * 4096 + 100]);
    }

    #[test]
    fn a_guard_gives_back_what_the_map_no_longer_shows() {
        let map = MapOptions::new().shared_memory(2 * 4096 + 100).unwrap();
        let view = map.view();
        let guard = map.protect_for_now(.., Protection::Inaccessible).unwrap();
        map.region().set_len(5000);
        drop(guard);
        assert_eq!(view.to_vec().unwrap().len(), 2 * 4096 + 100);
    }

    #[test]
    fn ranges_off_the_page_boundaries_are_refused() {
        let map = MapOptions::new().shared_memory(3 * 4096).unwrap();
        for range in [1..4096, 0..4095, 5000..5001] {
            assert_eq!(map.protect(range, Protection::ReadOnly).unwrap_err().kind(), ErrorKind::InvalidInput);
        }
        assert_eq!(map.protect(.., Protection::ReadOnly).map_err(|error| error.kind()), Ok(()));
        assert_eq!(
            map.protect(..3 * 4096 + 1, Protection::ReadOnly).unwrap_err().kind(),
            ErrorKind::OutOfBounds
        );
        map.protect(4096..4096, Protection::Inaccessible).unwrap();
    }

    #[test]
    fn instructions_are_never_writable() {
        let map: Map<Executable> = Memory::new(4096).unwrap().into_executable().unwrap();
        for (protection, flags) in [(Protection::ReadOnly, "r--p"), (Protection::AsMapped, "r-xp")] {
            map.protect(.., protection).unwrap();
            let maps = std::fs::read_to_string("/proc/self/maps").unwrap();
            let ours = format!("{:08x}-", map.as_ptr().addr());
            let line = maps.lines().find(|line| line.starts_with(&ours)).unwrap();
            assert!(line.contains(flags), "{line}");
        }
    }

    #[test]
    fn a_read_only_map_stays_read_only() {
        let file = tempfile::tempfile().unwrap();
        file.set_len(4096).unwrap();
        let map = Map::of(&file).unwrap();
        map.protect(.., Protection::Inaccessible).unwrap();
        assert_eq!(map.view().load::<u8>(0).unwrap_err().kind(), FaultKind::Protected);
        map.protect(.., Protection::AsMapped).unwrap();
        assert_eq!(map.view().load::<u8>(0).unwrap(), 0);
    }
}
