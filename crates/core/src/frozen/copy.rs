//! Private copies, and memory that is given up for writing.

#![allow(unsafe_code, reason = "adopts memory that was ours alone; listed in docs/SOUNDNESS.md")]

use super::slice::{Frozen, FrozenBy};
use crate::error::Result;
use crate::map::{HugePages, MapOptions, Memory};

/// Copies from this size on get huge pages of their own. Below, the heap is faster, because its memory
/// was touched before: 1 MiB took 110 µs into the heap and 620 µs into fresh pages.
const OWN_PAGES_FROM: usize = 4 << 20;

impl Frozen {
    /// Copies bytes.
    ///
    /// # Errors
    /// Where no memory is left for a large copy.
    ///
    /// ```
    /// use mapwright_core::{Frozen, FrozenBy};
    /// let frozen = Frozen::copy_of(b"a name")?;
    /// assert_eq!((&frozen[2..], frozen.origin()), (&b"name"[..], FrozenBy::Copy));
    /// # Ok::<(), mapwright_core::Error>(())
    /// ```
    pub fn copy_of(bytes: &[u8]) -> Result<Self> {
        let into_pages = |copy: &mut [u8]| {
            copy.copy_from_slice(bytes);
            Ok(())
        };
        copied(bytes.len(), || Ok(bytes.to_vec()), into_pages)
    }
}

impl Memory {
    /// Gives up writing: the bytes can be shared from now on, and are not copied.
    ///
    /// A policy for forked children stays: where it is [`Wipe`](crate::ForkPolicy::Wipe) or
    /// [`DontFork`](crate::ForkPolicy::DontFork), a child must not touch the bytes.
    ///
    /// # Kernel
    /// mprotect(2), so that a stray pointer cannot write either. A refusal is passed over: safe code cannot
    /// write anyway.
    ///
    /// ```
    /// use mapwright_core::{FrozenBy, Memory};
    /// let mut memory = Memory::new(4096)?;
    /// memory.fill(7);
    /// let frozen = memory.freeze();
    /// assert_eq!((frozen[4095], frozen.origin()), (7, FrozenBy::Memory));
    /// # Ok::<(), mapwright_core::Error>(())
    /// ```
    #[must_use]
    pub fn freeze(self) -> Frozen {
        freeze(self, FrozenBy::Memory)
    }
}

/// Makes a copy of `len` bytes: `fetch` returns a small one, and `fill` fetches a large one into fresh
/// pages.
pub(super) fn copied(
    len: usize,
    fetch: impl FnOnce() -> Result<Vec<u8>>,
    fill: impl FnOnce(&mut [u8]) -> Result<()>,
) -> Result<Frozen> {
    if len < OWN_PAGES_FROM {
        return Ok(Frozen::from_heap(fetch()?, FrozenBy::Copy));
    }
    let mut memory = MapOptions::new().huge_pages(HugePages::Transparent).memory(len)?;
    fill(&mut memory)?;
    Ok(freeze(memory, FrozenBy::Copy))
}

fn freeze(memory: Memory, by: FrozenBy) -> Frozen {
    let region = memory.into_read_only();
    // SAFETY: the region is private and anonymous (an invariant of Memory), and its only handle was moved
    // in here: nobody has a way left to write it. It is readable throughout.
    unsafe { Frozen::from_region(region, by) }
}
