//! Throwing files out of the page cache, and making sure that they are gone.

use std::fs::File;
use std::os::fd::AsRawFd;

use anyhow::{Context, Result, bail};
use rustix::fs::{Advice, fadvise};

/// How often we try before we say that a file cannot be thrown out.
const ATTEMPTS: usize = 20;

/// How files are thrown out of memory here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Eviction {
    /// All clean pages of the machine, as root: also the file system's own blocks.
    DropCaches,
    /// The file's pages only, by posix_fadvise(2).
    Advice,
}

impl Eviction {
    /// The strongest way that we may use.
    pub(crate) fn here() -> Self {
        match std::fs::write("/proc/sys/vm/drop_caches", "1") {
            Ok(()) => Self::DropCaches,
            Err(_) => Self::Advice,
        }
    }

    pub(crate) fn describe(self) -> &'static str {
        match self {
            Self::DropCaches => "caches dropped",
            Self::Advice => "not root: only the file's own pages dropped, by fadvise",
        }
    }

    /// Throws a synced file out of memory.
    ///
    /// # Errors
    /// Where pages stay, because somebody maps or writes them: then nothing measured would be cold.
    pub(crate) fn evict(self, file: &File) -> Result<()> {
        let mut left = 0;
        for _ in 0..ATTEMPTS {
            fadvise(file, 0, None, Advice::DontNeed).context("drop a file from the page cache")?;
            if self == Self::DropCaches {
                std::fs::write("/proc/sys/vm/drop_caches", "1").context("write to drop_caches")?;
            }
            match cached_pages(file) {
                None | Some(0) => return Ok(()),
                Some(pages) => left = pages,
            }
        }
        bail!(
            "{left} pages of the file stay in memory after {ATTEMPTS} attempts: does somebody map it, or is \
             it not on a disk?"
        )
    }
}

/// How many pages of a file are in the page cache, where the kernel can say (cachestat(2), Linux 6.5).
fn cached_pages(file: &File) -> Option<u64> {
    const CACHESTAT: libc::c_long = 451;
    // struct cachestat_range: from the start, to the end; struct cachestat: five counters, the first is
    // "cached".
    let range = [0u64; 2];
    let mut counters = [0u64; 5];
    // SAFETY: the kernel reads two and writes five words, and that is what the arrays have.
    let status =
        unsafe { libc::syscall(CACHESTAT, file.as_raw_fd(), range.as_ptr(), counters.as_mut_ptr(), 0) };
    (status == 0).then_some(counters[0])
}
