//! Words of shared memory: atomics whose every change is a numbered point, and that the model checkers can
//! replace.
//!
//! Under `--cfg loom` and `--cfg shuttle` a word is the checker's, and sleeping on it is a condition variable
//! beside it, so that a lost wake-up is a deadlock that the checker finds.

#[cfg(not(any(loom, shuttle)))]
use std::sync::atomic::{AtomicU32, AtomicU64};

#[cfg(loom)]
use loom::sync::atomic::{AtomicU32, AtomicU64};
#[cfg(shuttle)]
use shuttle::sync::atomic::{AtomicU32, AtomicU64};

pub use std::sync::atomic::Ordering;

use super::points;
#[cfg(loom)]
use super::weaken::weakened;

/// No order is weakened but under loom.
#[cfg(not(loom))]
#[inline(always)]
const fn weakened(order: Ordering) -> Ordering {
    order
}

/// Gives its contents cache lines of their own: 128 bytes, because processors fetch lines in pairs.
#[derive(Debug, Default)]
#[repr(C, align(128))]
pub struct Line<T>(pub T);

impl<T> std::ops::Deref for Line<T> {
    type Target = T;

    #[inline]
    fn deref(&self) -> &T {
        &self.0
    }
}

macro_rules! word {
    ($(#[$doc:meta])* $name:ident, $look:ident, $number:ty, $atomic:ty) => {
        $(#[$doc])*
        #[derive(Debug, Default)]
        #[cfg_attr(not(any(loom, shuttle)), repr(transparent))]
        #[cfg_attr(any(loom, shuttle), repr(C))]
        pub struct $name {
            value: $atomic,
            #[cfg(any(loom, shuttle))]
            pub(super) bed: super::wait::Bed,
        }

        impl $name {
            /// Makes a word of this process, for what lives beside shared memory.
            #[must_use]
            pub fn new(value: $number) -> Self {
                Self {
                    value: <$atomic>::new(value),
                    #[cfg(any(loom, shuttle))]
                    bed: Default::default(),
                }
            }

            /// Returns the value.
            #[inline]
            #[cfg_attr(loom, track_caller)]
            pub fn load(&self, order: Ordering) -> $number {
                self.value.load(weakened(order))
            }

            /// Sets the value.
            #[inline]
            #[cfg_attr(loom, track_caller)]
            pub fn store(&self, value: $number, order: Ordering) {
                points::pass();
                self.value.store(value, weakened(order));
            }

            /// Sets the value and returns the one before.
            #[inline]
            #[cfg_attr(loom, track_caller)]
            pub fn swap(&self, value: $number, order: Ordering) -> $number {
                points::pass();
                self.value.swap(value, weakened(order))
            }

            /// Sets the value where it is `current`.
            ///
            /// # Errors
            /// The value that was there instead.
            #[inline]
            #[cfg_attr(loom, track_caller)]
            pub fn compare_exchange(
                &self,
                current: $number,
                new: $number,
                success: Ordering,
                failure: Ordering,
            ) -> Result<$number, $number> {
                points::pass();
                self.value.compare_exchange(current, new, weakened(success), weakened(failure))
            }

            /// Adds, wrapping around, and returns the value before.
            #[inline]
            #[cfg_attr(loom, track_caller)]
            pub fn fetch_add(&self, value: $number, order: Ordering) -> $number {
                points::pass();
                self.value.fetch_add(value, weakened(order))
            }

            /// Subtracts, wrapping around, and returns the value before.
            #[inline]
            #[cfg_attr(loom, track_caller)]
            pub fn fetch_sub(&self, value: $number, order: Ordering) -> $number {
                points::pass();
                self.value.fetch_sub(value, weakened(order))
            }

            /// Sets bits and returns the value before.
            #[inline]
            #[cfg_attr(loom, track_caller)]
            pub fn fetch_or(&self, value: $number, order: Ordering) -> $number {
                points::pass();
                self.value.fetch_or(value, weakened(order))
            }

            /// Clears the bits that are not in `value`, and returns the value before.
            #[inline]
            #[cfg_attr(loom, track_caller)]
            pub fn fetch_and(&self, value: $number, order: Ordering) -> $number {
                points::pass();
                self.value.fetch_and(value, weakened(order))
            }

            /// Raises to at least `value`, and returns the value before.
            #[inline]
            #[cfg_attr(loom, track_caller)]
            pub fn fetch_max(&self, value: $number, order: Ordering) -> $number {
                points::pass();
                self.value.fetch_max(value, weakened(order))
            }
        }

        /// The same word where it may only be looked at: over memory that is mapped for reading.
        #[derive(Debug, Default)]
        #[repr(transparent)]
        pub struct $look(pub(super) $name);

        impl $look {
            /// Returns the value.
            #[inline]
            #[cfg_attr(loom, track_caller)]
            pub fn load(&self, order: Ordering) -> $number {
                self.0.load(order)
            }
        }
    };
}

word! {
    /// Four bytes of shared memory, on which a process can sleep ([`wait`](super::wait)).
    Word32, LookWord32, u32, AtomicU32
}
word! {
    /// Eight bytes of shared memory.
    Word64, LookWord64, u64, AtomicU64
}

#[cfg(not(any(loom, shuttle)))]
impl Word32 {
    pub(super) const fn atomic(&self) -> &AtomicU32 {
        &self.value
    }
}

/// Orders what stands before it against what stands after it; see [`std::sync::atomic::fence`].
#[inline]
#[cfg_attr(loom, track_caller)]
pub fn fence(order: Ordering) {
    #[cfg(loom)]
    let order = match weakened(order) {
        Ordering::Relaxed => return,
        order => order,
    };
    #[cfg(not(any(loom, shuttle)))]
    std::sync::atomic::fence(order);
    #[cfg(loom)]
    loom::sync::atomic::fence(order);
    #[cfg(shuttle)]
    shuttle::sync::atomic::fence(order);
}

/// Tells the processor (or the model checker) that this is a loop that waits for somebody else.
#[inline]
pub fn relax() {
    #[cfg(not(any(loom, shuttle)))]
    std::hint::spin_loop();
    #[cfg(loom)]
    loom::thread::yield_now();
    #[cfg(shuttle)]
    shuttle::thread::yield_now();
}
