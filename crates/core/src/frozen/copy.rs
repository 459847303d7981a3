//! Private copies, and memory that is given up for writing.

#![allow(unsafe_code, reason = "adopts memory that was ours alone; listed in docs/SOUNDNESS.md")]

use super::slice::{Frozen, FrozenBy};
use crate::error::Result;
use crate::map::{HugePages, MapOptions, Memory};

/// Copies from this size on get pages of their own, which are then protected: below, a map costs more
/// than the copy.
const OWN_PAGES_FROM: usize = 64 << 10;

/// Copies from this size on would fault too often on small pages.
const HUGE_FROM: usize = 4 << 20;

impl Frozen {
    /// Copies bytes.
    ///
    /// # Errors
    /// Where no memory is left for a large copy.
    pub fn copy_of(bytes: &[u8]) -> Result<Self> {
        copied(bytes.len(), |copy| {
            copy.copy_from_slice(bytes);
            Ok(())
        })
    }
}

impl Memory {
    /// Gives up writing: the bytes can be shared from now on, and are not copied.
    ///
    /// A policy for forked children stays: where it is [`Wipe`](crate::ForkPolicy::Wipe) or
    /// [`DontFork`](crate::ForkPolicy::DontFork), a child must not touch the bytes.
    ///
    /// ```
    /// use mapwright_core::{FrozenBy, Memory};
    /// let mut memory = Memory::new(4096)?;
    /// memory.fill(7);
    /// let frozen = memory.freeze();
    /// assert_eq!((frozen[4095], frozen.origin()), (7, FrozenBy::Memory));
    /// # Ok::<(), mapwright_core::Error>(())
    /// ```
    ///
    /// # Kernel
    /// mprotect(2), so that a stray pointer cannot write either. A refusal is passed over: safe code
    /// cannot write anyway.
    #[must_use]
    pub fn freeze(self) -> Frozen {
        freeze(self, FrozenBy::Memory)
    }
}

/// Makes a copy of `len` bytes, which `fill` fetches.
pub(super) fn copied(len: usize, fill: impl FnOnce(&mut [u8]) -> Result<()>) -> Result<Frozen> {
    if len < OWN_PAGES_FROM {
        let mut bytes = vec![0; len];
        fill(&mut bytes)?;
        return Ok(Frozen::from_heap(bytes, FrozenBy::Copy));
    }
    let huge = if len < HUGE_FROM { HugePages::SystemDefault } else { HugePages::Transparent };
    let mut memory = MapOptions::new().huge_pages(huge).memory(len)?;
    fill(&mut memory)?;
    Ok(freeze(memory, FrozenBy::Copy))
}

fn freeze(memory: Memory, by: FrozenBy) -> Frozen {
    let region = memory.into_read_only();
    // SAFETY: the region is private and anonymous (an invariant of Memory), and its only handle was moved
    // in here: nobody has a way left to write it. It is readable throughout.
    unsafe { Frozen::from_region(region, by) }
}
