//! Two fences, one of which is free: where something rare has to be ordered against something frequent.
//!
//! Both sides of "I store, then I look at what you store" need a full fence. Where one side hardly ever runs,
//! it can pay for both: membarrier(2) makes every running thread of the registered processes pass a fence.
//!
//! # Kernel
//! `MEMBARRIER_CMD_GLOBAL_EXPEDITED` and its registration (Linux 4.16). A process that could not register
//! passes a fence of its own each time. One that may not issue barriers ([`others_fence`]) has to look again
//! after a while.

#[cfg(not(any(loom, shuttle)))]
mod real {
    use std::sync::Once;
    use std::sync::atomic::{AtomicBool, Ordering, compiler_fence, fence};

    use rustix::thread::{MembarrierCommand, membarrier};

    use crate::peer::points;

    /// Whether other processes' barriers reach the threads of this one.
    static REGISTERED: AtomicBool = AtomicBool::new(false);

    /// Whether this process's barriers reach others.
    static CAN_ISSUE: AtomicBool = AtomicBool::new(false);

    /// Whether this process's barriers reach others: asked once, and registered on the way; no for good once
    /// one was refused.
    fn can_issue() -> bool {
        static ASKED: Once = Once::new();
        ASKED.call_once(|| {
            register();
            CAN_ISSUE.store(membarrier(MembarrierCommand::GlobalExpedited).is_ok(), Ordering::Relaxed);
        });
        CAN_ISSUE.load(Ordering::Relaxed)
    }

    /// Lets other processes' barriers reach this one. Called by whoever takes a seat; children do so again.
    pub(crate) fn register() {
        let registered = membarrier(MembarrierCommand::RegisterGlobalExpedited).is_ok();
        REGISTERED.store(registered, Ordering::SeqCst);
    }

    /// The frequent side's fence.
    #[inline]
    pub fn light_fence() {
        if REGISTERED.load(Ordering::Relaxed) {
            compiler_fence(Ordering::SeqCst);
        } else {
            fence(Ordering::SeqCst);
        }
    }

    /// The rare side's fence; takes microseconds.
    pub fn heavy_fence() {
        points::pass();
        fence(Ordering::SeqCst);
        // A filter of system calls may have been put up since.
        if can_issue() && membarrier(MembarrierCommand::GlobalExpedited).is_err() {
            CAN_ISSUE.store(false, Ordering::Relaxed);
        }
    }

    /// Tells whether [`heavy_fence`] makes others fence. Where it does not, who has passed it may still not
    /// see what another process stored before, and has to look again after a while.
    #[must_use]
    pub fn others_fence() -> bool {
        can_issue()
    }
}

#[cfg(not(any(loom, shuttle)))]
pub(super) use real::register;
#[cfg(not(any(loom, shuttle)))]
pub use real::{heavy_fence, light_fence, others_fence};

#[cfg(any(loom, shuttle))]
pub use model::{heavy_fence, light_fence, others_fence, register};

/// Under a model checker both sides fence.
#[cfg(any(loom, shuttle))]
mod model {
    use crate::peer::word::{Ordering, fence};

    /// The frequent side's fence.
    #[cfg_attr(loom, track_caller)]
    pub fn light_fence() {
        fence(Ordering::SeqCst);
    }

    /// The rare side's fence.
    #[cfg_attr(loom, track_caller)]
    pub fn heavy_fence() {
        fence(Ordering::SeqCst);
    }

    /// Both do.
    #[must_use]
    pub fn others_fence() -> bool {
        true
    }

    /// Nothing to do.
    pub fn register() {}
}
