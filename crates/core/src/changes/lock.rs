//! Pages that stay in memory.

use std::io;
use std::ops::RangeBounds;

use rustix::process::Resource;

use super::pages::{Pages, Rounding};
use super::range;
use crate::error::{Error, ErrorKind, Result};
use crate::map::{Access, Map, Memory};
use crate::sys::memory::OnFault;

/// When pages that are to stay in memory come there.
///
/// ```
/// use mapwright_core::{LockMode, MapOptions};
/// let map = MapOptions::new().shared_memory(4096)?;
/// match map.lock_memory(.., LockMode::OnFault) {
///     Ok(()) => map.view().store(0, 7u8)?,         // here the page comes, and stays
///     Err(error) => println!("{error}"),           // says which limit
/// }
/// assert!(map.unlock_memory(..).is_ok());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LockMode {
    /// Now: the call waits for the disk.
    Now,
    /// Each when it is touched first. (`MLOCK_ONFAULT`, Linux 4.4)
    OnFault,
}

impl<A: Access> Map<A> {
    /// Keeps a range's pages in memory from now on, until [`unlock_memory`](Self::unlock_memory) or the end
    /// of the map. A forked child does not inherit the lock.
    ///
    /// # Errors
    /// `OutOfBounds` where the range ends beyond the map; `OutOfMemory` where `RLIMIT_MEMLOCK` or memory does
    /// not suffice, or the file is shorter than the map; `PermissionDenied` where nothing may be locked. A
    /// part of the pages may be locked then.
    ///
    /// # Kernel
    /// mlock(2) or mlock2(2), for all pages that hold a byte of the range.
    ///
    /// ```
    /// use mapwright_core::{LockMode, Map};
    /// # let path = tempfile::NamedTempFile::new().unwrap();
    /// # std::fs::write(&path, vec![1u8; 20_000]).unwrap();
    /// let map = Map::open(&path)?;
    /// match map.lock_memory(..4096, LockMode::Now) {
    ///     Ok(()) => map.unlock_memory(..4096)?,
    ///     Err(error) => println!("{error}"),
    /// }
    /// # Ok::<(), mapwright_core::Error>(())
    /// ```
    #[doc(alias = "mlock")]
    pub fn lock_memory(&self, range: impl RangeBounds<usize>, mode: LockMode) -> Result<()> {
        let span = range::checked(range, self.len(), "lock in memory", || self.name())?;
        let pages = Pages::of_map(self, span, Rounding::Outward)?;
        pages.lock(mode.kernel()).map_err(|cause| refusal(self.name(), pages.len(), cause))
    }

    /// Lets a range's pages be evicted again.
    ///
    /// # Errors
    /// `OutOfBounds` where the range ends beyond the map; what munlock(2) refuses.
    ///
    /// # Kernel
    /// munlock(2), for all pages that hold a byte of the range, however often they were locked.
    #[doc(alias = "munlock")]
    pub fn unlock_memory(&self, range: impl RangeBounds<usize>) -> Result<()> {
        let span = range::checked(range, self.len(), "unlock", || self.name())?;
        Pages::of_map(self, span, Rounding::Outward)?
            .unlock()
            .map_err(|cause| Error::os("unlock", self.name(), cause))
    }
}

impl Memory {
    /// Keeps a range's pages in memory: they are never swapped out, so that for example a key never reaches a
    /// disk.
    ///
    /// # Errors
    /// As [`Map::lock_memory`].
    ///
    /// # Kernel
    /// mlock(2) or mlock2(2), for all pages that hold a byte of the range.
    #[doc(alias = "mlock")]
    pub fn lock_memory(&self, range: impl RangeBounds<usize>, mode: LockMode) -> Result<()> {
        let span = range::checked(range, self.len(), "lock", || "memory".to_owned())?;
        let pages = Pages::of_memory(self, span, Rounding::Outward)?;
        pages.lock(mode.kernel()).map_err(|cause| refusal("memory".to_owned(), pages.len(), cause))
    }

    /// Lets a range's pages be swapped out again.
    ///
    /// # Errors
    /// As [`Map::unlock_memory`].
    ///
    /// # Kernel
    /// munlock(2).
    #[doc(alias = "munlock")]
    pub fn unlock_memory(&self, range: impl RangeBounds<usize>) -> Result<()> {
        let span = range::checked(range, self.len(), "unlock", || "memory".to_owned())?;
        Pages::of_memory(self, span, Rounding::Outward)?
            .unlock()
            .map_err(|cause| Error::os("unlock", "memory", cause))
    }
}

impl LockMode {
    fn kernel(self) -> OnFault {
        match self {
            Self::Now => OnFault::No,
            Self::OnFault => OnFault::Yes,
        }
    }
}

/// How much this process may lock, in bytes; `None` where there is no limit.
pub(crate) fn locking_limit() -> Option<u64> {
    let is_above_limits = rustix::thread::capabilities(None)
        .is_ok_and(|sets| sets.effective.contains(rustix::thread::CapabilitySet::IPC_LOCK));
    if is_above_limits { None } else { rustix::process::getrlimit(Resource::Memlock).current }
}

/// How much this process has locked, in bytes.
pub(crate) fn locked_bytes() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let kib = status.lines().find_map(|line| line.strip_prefix("VmLck:"))?;
    kib.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()?.checked_mul(1024)
}

/// Explains why pages could not be locked: the kernel has one number for three reasons.
#[cold]
fn refusal(name: String, asked: usize, cause: io::Error) -> Error {
    let error = Error::os("lock in memory", name, cause);
    if !matches!(error.raw_os_error(), Some(libc::ENOMEM | libc::EAGAIN | libc::EPERM)) {
        return error;
    }
    let limit = locking_limit().unwrap_or(u64::MAX);
    let locked = locked_bytes().unwrap_or(0);
    if locked.saturating_add(range::wide(asked)) > limit {
        error.advice(format!(
            "{asked} bytes more, with {locked} locked already, exceed the {limit} of RLIMIT_MEMLOCK; raise \
             it (ulimit -l) or grant CAP_IPC_LOCK"
        ))
    } else {
        error
            .with_kind(ErrorKind::OutOfMemory)
            .advice("some page could not be brought in: the file is shorter than the map, or memory is short")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::changes::testing::in_child;
    use crate::map::MapOptions;

    #[test]
    fn locked_pages_come_into_memory_now_or_when_touched() {
        let memory = Memory::new(64 * 4096).unwrap();
        memory.lock_memory(4096..4097, LockMode::Now).unwrap();
        memory.lock_memory(10 * 4096..12 * 4096, LockMode::OnFault).unwrap();
        let picture = memory.residency(..).unwrap();
        let cached = |page| picture.page(page).unwrap().is_cached();
        assert!(cached(1) && !cached(10) && !cached(0));
        assert!(picture.page(1).unwrap().is_locked());
        memory.unlock_memory(..).unwrap();
        assert!(!memory.residency(..).unwrap().page(1).unwrap().is_locked());
    }

    #[test]
    fn a_refusal_names_the_limit_and_both_numbers() {
        let code = in_child(|| {
            let limit = rustix::process::Rlimit { current: Some(8192), maximum: Some(8192) };
            rustix::process::setrlimit(Resource::Memlock, limit).unwrap();
            if rustix::process::geteuid().is_root()
                && rustix::thread::set_thread_uid(rustix::process::Uid::from_raw(65534)).is_err()
            {
                return 1;
            }
            let map = MapOptions::new().shared_memory(10 * 4096).unwrap();
            let Err(error) = map.lock_memory(.., LockMode::Now) else { return 2 };
            let text = error.to_string();
            let numbers = ["40960", "8192", "RLIMIT_MEMLOCK"].iter().all(|part| text.contains(part));
            if error.kind() == ErrorKind::OutOfMemory && numbers { 0 } else { 3 }
        });
        assert_eq!(code, 0);
    }

    #[test]
    fn locking_what_was_truncated_says_so() {
        let file = tempfile::tempfile().unwrap();
        file.set_len(40_000).unwrap();
        let map = Map::of(&file).unwrap();
        file.set_len(0).unwrap();
        let error = map.lock_memory(.., LockMode::Now).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::OutOfMemory);
        assert!(error.to_string().contains("shorter than the map"), "{error}");
    }
}
