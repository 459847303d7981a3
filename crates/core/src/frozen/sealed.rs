//! Memory files whose seals promise that nobody writes them.
//!
//! Two seals are enough. `F_SEAL_WRITE` is granted only while no map may write to the file and no input
//! or output holds one of its pages; from then on the kernel refuses write(2), fallocate(2) holes, and
//! any map that could be made writable, to everybody including the superuser, and no seal is ever taken
//! off. `F_SEAL_SHRINK` keeps the pages from vanishing. Growing adds bytes behind those that are shown.
//! `F_SEAL_FUTURE_WRITE` would not do: who had mapped the file before may go on writing.

#![allow(unsafe_code, reason = "adopts what seals protect; listed in docs/SOUNDNESS.md")]

use super::mem_file::seals_of;
use super::seals::Seals;
use super::slice::{Frozen, FrozenBy};
use crate::error::{Error, ErrorKind, Result};
use crate::map::{Commitment, IntoSource, Map, MapOptions, ReadOnly, Source};

/// What the promise rests on.
const PROMISE: Seals = Seals::WRITE.union(Seals::SHRINK);

impl Frozen {
    /// Shows all bytes of a memory file that is sealed against writing and shrinking, whoever made it.
    ///
    /// # Errors
    /// Where a seal lacks (the message says which), or the file is no memory file.
    ///
    /// # Kernel
    /// `F_GET_SEALS` of fcntl(2), and mmap(2) with `MAP_SHARED` (Linux 6.7 for such files), else with
    /// `MAP_PRIVATE`, which shows the same pages.
    ///
    /// ```
    /// use mapwright_core::{Frozen, MemFile, Seals};
    /// let file = MemFile::new("half sealed", 10)?;
    /// file.seal(Seals::SHRINK)?;
    /// let error = Frozen::from_sealed(&file).unwrap_err();
    /// assert!(error.to_string().contains("it lacks WRITE"), "{error}");
    /// # Ok::<(), mapwright_core::Error>(())
    /// ```
    pub fn from_sealed(source: impl IntoSource) -> Result<Self> {
        let source = source.into_source()?;
        let have = seals_of(&source)?;
        if !have.contains(PROMISE) {
            return Err(refusal(&source, have));
        }
        let region = map_sealed(&source)?.into_region();
        // SAFETY: the file is sealed against writing and shrinking (checked above, and no seal is ever
        // taken off), so by the kernel's promise (module doc) its bytes up to the length that was mapped
        // stay as they are. The map can only be read.
        Ok(unsafe { Self::from_region(region, FrozenBy::Seal) })
    }

    /// Whether [`from_sealed`](Self::from_sealed) would take the file.
    pub(super) fn is_sealed(source: &Source) -> bool {
        seals_of(source).is_ok_and(|seals| seals.contains(PROMISE))
    }
}

fn map_sealed(source: &Source) -> Result<Map<ReadOnly>> {
    match MapOptions::new().map(source.clone()) {
        // Before Linux 6.7 (and in 6.12's first releases) a shared map counts as one that may write, even
        // if it never can. A private one shows the same pages; it is never written, so it needs no
        // reserve of memory for copies.
        Err(error) if error.raw_os_error() == Some(libc::EPERM) => {
            MapOptions::new().commitment(Commitment::NotCharged).map_private(source.clone())
        }
        result => result,
    }
}

#[cold]
fn refusal(source: &Source, have: Seals) -> Error {
    let lacks = PROMISE.without(have);
    let mut why = format!("it lacks {lacks:?} (it has {have:?})");
    if have.contains(Seals::FUTURE_WRITE) && lacks.contains(Seals::WRITE) {
        why.push_str("; maps that are older than FUTURE_WRITE may still write");
    }
    why.push_str(if have.contains(Seals::SEAL) {
        "; it takes no more seals: freeze a Frozen::snapshot of it"
    } else {
        "; add it with MemFile::seal, or freeze a Frozen::snapshot of it"
    });
    Error::new(ErrorKind::InvalidInput, "freeze", source.name(), why)
}
