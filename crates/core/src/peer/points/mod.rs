//! Numbered points: the places where a process may die between two steps on shared state.
//!
//! With the feature `crash-points` every store, exchange and system call on shared state passes here first.
//! A test arms a number in a forked child; the child is killed (really: SIGKILL) before the step of that
//! number. Killing before each step, and once after the last, covers every state that a death can leave.
//! Without the feature nothing is compiled in.

#[cfg(any(test, feature = "crash-points"))]
mod child;

#[cfg(feature = "crash-points")]
mod armed {
    use std::sync::atomic::{AtomicU64, Ordering};

    /// Steps passed since arming.
    static PASSED: AtomicU64 = AtomicU64::new(0);
    /// The step before which the process dies; 0 for never.
    static LAST: AtomicU64 = AtomicU64::new(0);
    /// 1 to stop instead, so that a test can look at a process that stands between two steps.
    static STOPS: AtomicU64 = AtomicU64::new(0);

    /// Kills this process before its `step`-th step from now on, counted from 1; 0 only counts.
    pub fn arm(step: u64) {
        STOPS.store(0, Ordering::Relaxed);
        PASSED.store(0, Ordering::Relaxed);
        LAST.store(step, Ordering::Relaxed);
    }

    /// Stops this process (SIGSTOP) before its `step`-th step from now on, until somebody continues it.
    pub fn arm_stop(step: u64) {
        arm(step);
        STOPS.store(1, Ordering::Relaxed);
    }

    /// Returns how many steps have been passed since [`arm`].
    #[must_use]
    pub fn passed() -> u64 {
        PASSED.load(Ordering::Relaxed)
    }

    #[inline]
    pub(crate) fn pass() {
        let step = PASSED.fetch_add(1, Ordering::Relaxed) + 1;
        if step == LAST.load(Ordering::Relaxed) {
            end();
        }
    }

    #[cold]
    fn end() {
        let signal = if STOPS.load(Ordering::Relaxed) == 1 {
            rustix::process::Signal::STOP
        } else {
            rustix::process::Signal::KILL
        };
        let _sent = rustix::process::kill_process(rustix::process::getpid(), signal);
    }
}

#[cfg(feature = "crash-points")]
pub use armed::{arm, arm_stop, passed};
#[cfg(any(test, feature = "crash-points"))]
pub use child::{Child, End};

#[cfg(feature = "crash-points")]
pub(crate) use armed::pass;

#[cfg(not(feature = "crash-points"))]
#[inline(always)]
pub(crate) const fn pass() {}

/// Passes a point: for a step on shared state that goes through no word, such as a system call on the
/// segment's file.
#[inline(always)]
#[allow(clippy::missing_const_for_fn, reason = "not constant with the feature")]
pub fn step() {
    pass();
}
