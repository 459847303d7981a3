//! Making a file cold: out of memory, so that the next read waits for the disk.

use std::fs::{self, File};

use crate::outcome::Failure;

/// How files were made cold so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Chill {
    /// posix_fadvise(2) was enough.
    #[default]
    Evicted,
    /// Other processes hold the file's pages, so all caches of the machine were dropped.
    DroppedAll,
    /// Some pages stayed.
    Partly,
}

impl Chill {
    /// Takes the first `size` bytes of a file out of memory. Only where that does not help, and we may, all
    /// caches of the machine are dropped: everybody else would pay for it.
    pub(super) fn make_cold(&mut self, file: &File, size: u64) -> Result<(), Failure> {
        if mapwright::evict(file, ..size)?.cached == Some(0) {
            return Ok(());
        }
        let dropped = fs::write("/proc/sys/vm/drop_caches", "1").is_ok();
        let left = mapwright::cache_usage(file, ..size)?.cached;
        *self = match (left, dropped) {
            (Some(0), true) if *self != Self::Partly => Self::DroppedAll,
            _ => Self::Partly,
        };
        Ok(())
    }

    /// In words.
    pub(super) const fn by(self) -> &'static str {
        match self {
            Self::Evicted => "evicted by posix_fadvise(2)",
            Self::DroppedAll => "all caches dropped, because another process holds pages of the file",
            Self::Partly => {
                "only partly cold: another process holds pages of the file, or the kernel does not tell"
            }
        }
    }
}
