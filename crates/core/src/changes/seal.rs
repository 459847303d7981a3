//! Maps for ever: sealed against every change, by anybody in the process.

#![allow(unsafe_code, reason = "seals owned ranges; listed in docs/SOUNDNESS.md")]

use std::marker::PhantomData;

use crate::error::{Error, ErrorKind, Result};
use crate::map::region::{Region, Release};
use crate::map::{Access, Map, ReadOnly};
use crate::sys::memory as kernel;
use crate::view::View;

/// A map that was sealed: it is never unmapped, moved, or given another protection, until the process ends.
///
/// So its views live for ever, too. The *bytes* are not sealed: whoever may write the file still can. A file
/// that was truncated still faults.
///
/// ```
/// use mapwright_core::{Map, Sealed};
/// # let path = tempfile::NamedTempFile::new().unwrap();
/// # std::fs::write(&path, b"a table for the whole program").unwrap();
/// fn look_up(table: Sealed) -> std::thread::JoinHandle<Option<usize>> {
///     std::thread::spawn(move || table.view().find(b"table").unwrap())    // a view without a lifetime
/// }
/// match Map::open(&path)?.seal() {
///     Ok(table) => assert_eq!(look_up(table).join().unwrap(), Some(2)),
///     Err(error) => println!("{error}"),              // before Linux 6.10
/// }
/// # Ok::<(), mapwright_core::Error>(())
/// ```
#[derive(Debug)]
pub struct Sealed<A: Access = ReadOnly> {
    region: &'static Region,
    access: PhantomData<A>,
}

impl<A: Access> Clone for Sealed<A> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<A: Access> Copy for Sealed<A> {}

impl<A: Access> Map<A> {
    /// Seals the map for the rest of the process's life: no code in it can unmap, move or reprotect the
    /// range, and a write beyond a buffer's end elsewhere cannot be turned into a way to do so. An advisory
    /// lock on the file is kept for ever as well.
    ///
    /// # Errors
    /// `Unsupported` before Linux 6.10. The map is gone then; [`Capabilities`](crate::Capabilities) tells
    /// beforehand.
    ///
    /// # Kernel
    /// mseal(2). Guards around the map are sealed with it.
    ///
    /// ```
    /// use mapwright_core::{ErrorKind, Map};
    /// # let path = tempfile::NamedTempFile::new().unwrap();
    /// # std::fs::write(&path, b"for ever").unwrap();
    /// match Map::open(&path)?.seal() {
    ///     Ok(sealed) => assert_eq!(sealed.view().find(b"ever")?, Some(4)),
    ///     Err(error) => assert_eq!(error.kind(), ErrorKind::Unsupported),
    /// }
    /// # Ok::<(), mapwright_core::Error>(())
    /// ```
    #[doc(alias = "mseal")]
    pub fn seal(mut self) -> Result<Sealed<A>> {
        let name = self.name();
        let region = self.exclusive();
        region.demand_here("seal")?;
        if region.owned() > 0 {
            // SAFETY: the range is the region's, which gives up every right to change it just below.
            unsafe { kernel::seal(region.base(), region.owned()) }.map_err(|cause| {
                let error = Error::os("seal", name, cause);
                match error.kind() {
                    ErrorKind::Unsupported => error.advice("mseal(2) came with Linux 6.10"),
                    _ => error,
                }
            })?;
        }
        region.set_release(Release::Never);
        let (region, lock) = self.into_region_and_lock();
        // Given back by the kernel when the process ends.
        std::mem::forget(lock);
        Ok(Sealed { region: Box::leak(Box::new(region)), access: PhantomData })
    }
}

impl<A: Access> Sealed<A> {
    /// Returns a view of all bytes that never ends.
    #[must_use]
    pub fn view(&self) -> View<'static, A> {
        View::of(self.region)
    }

    /// Returns how many bytes the map shows.
    #[must_use]
    pub fn len(&self) -> usize {
        self.region.len()
    }

    /// Returns whether the map shows no byte.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Returns the file offset of the first byte.
    #[must_use]
    pub fn file_offset(&self) -> u64 {
        self.region.origin().offset
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::changes::testing::skip;
    use crate::map::{MapOptions, mapped_here};

    #[test]
    fn nobody_can_unmap_or_reprotect_what_is_sealed() {
        if crate::sys::probe::seal_nothing().is_err() {
            return skip("nobody_can_unmap_or_reprotect_what_is_sealed", "needs Linux 6.10");
        }
        let file = tempfile::tempfile().unwrap();
        file.set_len(10_000).unwrap();
        let sealed = MapOptions::new().guard(4096).map_mut(&file).unwrap().seal().unwrap();
        let view = sealed.view();
        view.store(9_999, 1u8).unwrap();
        let (start, page) = (sealed.region.start(), 4096);
        // SAFETY: the kernel refuses; were it not to, the test would end with a fault that is reported.
        let unmapped = unsafe { libc::munmap(start.cast(), page) };
        assert_eq!((unmapped, std::io::Error::last_os_error().raw_os_error()), (-1, Some(libc::EPERM)));
        // SAFETY: as above.
        let reprotected = unsafe { libc::mprotect(start.cast(), page, libc::PROT_NONE) };
        assert_eq!((reprotected, std::io::Error::last_os_error().raw_os_error()), (-1, Some(libc::EPERM)));
        assert_eq!((view.load::<u8>(9_999).unwrap(), sealed.len()), (1, 10_000));
        assert_eq!(mapped_here(&file).unwrap(), 1, "it counts as mapped for ever");
    }

    #[test]
    fn an_empty_map_can_be_sealed() {
        let file = tempfile::tempfile().unwrap();
        assert!(Map::of(file).unwrap().seal().unwrap().is_empty());
    }
}
