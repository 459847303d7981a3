//! The owner of a region that background helpers may hold beside it.
//!
//! A helper is a thread that brings pages in while the map is used already. It holds the region by a count,
//! looks after each piece of work whether it is to let go, and lets go by itself when nobody else is left.

#![allow(unsafe_code, reason = "takes regions out of their counts; listed in docs/SOUNDNESS.md")]

use std::mem::ManuallyDrop;
use std::ops::Deref;
use std::sync::Arc;
use std::sync::atomic::{Ordering, fence};

use super::region::{Region, Release};

/// Owns a region; hands out counts of it to helpers, and to nobody else.
#[derive(Debug)]
pub(crate) struct Holder(Arc<Region>);

impl Deref for Holder {
    type Target = Arc<Region>;

    #[inline]
    fn deref(&self) -> &Arc<Region> {
        &self.0
    }
}

impl Holder {
    pub(crate) fn new(region: Region) -> Self {
        Self(Arc::new(region))
    }

    /// Waits until the helpers have let go, and returns the region alone.
    pub(crate) fn exclusive(&mut self) -> &mut Region {
        self.wait_for_helpers();
        // SAFETY: no helper of this process holds the region any more, views and other handles borrow the
        // holder, and it is borrowed mutably: this is the only way to the region.
        unsafe { &mut *Arc::as_ptr(&self.0).cast_mut() }
    }

    /// Waits until the helpers of this process have let go. Those of a parent do not exist here, and never
    /// will.
    pub(crate) fn wait_for_helpers(&self) {
        self.stop_helpers();
        while Arc::strong_count(&self.0) > 1 && self.has_helpers_here() {
            // A helper looks at the flag after each piece of work: milliseconds, or what the disk takes.
            std::thread::yield_now();
        }
        // The count is read without ordering: what helpers read of the region comes before what is done to it
        // now.
        fence(Ordering::Acquire);
        self.allow_helpers();
    }

    /// Takes the region out, alone.
    pub(crate) fn into_region(self) -> Region {
        self.wait_for_helpers();
        let holder = ManuallyDrop::new(self);
        // SAFETY: the holder is not dropped, so what is read here is read once.
        let region = unsafe { std::ptr::read(&raw const holder.0) };
        match Arc::try_unwrap(region) {
            Ok(region) => region,
            // SAFETY: a parent's helper holds a count that will never be given back: nobody else reads the
            // region, and the copy in the shared block is leaked, not dropped.
            Err(leaked) => unsafe { std::ptr::read(Arc::into_raw(leaked)) },
        }
    }
}

impl Drop for Holder {
    fn drop(&mut self) {
        if self.release() == Release::Now {
            // Whoever lets go last unmaps, and that must not be a helper later on.
            self.wait_for_helpers();
        } else if Arc::strong_count(&self.0) > 1 && self.has_helpers_here() {
            self.stop_helpers();
            // The last helper unmaps, and soon where the file is memory; who seals it waits for that.
            if self.is_of_a_memory_file() {
                self.announce_end();
            }
        }
    }
}
