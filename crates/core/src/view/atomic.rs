//! Atomic operations on mapped words, as methods: there is no `&AtomicU64`, because the page may vanish.

use std::sync::atomic::Ordering;

use super::View;
use crate::error::{Fault, FaultKind, Result};
use crate::fault::raw::{Faulted, Word};
use crate::map::origin::Wanted;
use crate::map::{Access, Readable, Writable};

/// An unsigned integer with atomic operations: `u8`, `u16`, `u32`, `u64`.
///
/// ```
/// use mapwright_core::{AtomicWord, Fault, MapOptions, ReadWrite, View};
/// fn take<W: AtomicWord>(view: View<'_, ReadWrite>) -> Result<W, Fault> {
///     view.atomic::<W>(0)?.swap(W::default())
/// }
/// let map = MapOptions::new().shared_memory(8)?;
/// map.view().store(0, 7u32)?;
/// assert_eq!((take::<u32>(map.view())?, take::<u64>(map.view())?), (7, 0));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[allow(private_bounds, reason = "sealed: the four words that processors have")]
pub trait AtomicWord: Word + std::fmt::Debug + Default {}

impl AtomicWord for u8 {}
impl AtomicWord for u16 {}
impl AtomicWord for u32 {}
impl AtomicWord for u64 {}

/// One aligned word of a map, with atomic operations as methods.
///
/// Other threads and processes see each operation whole. Every read-modify-write is sequentially consistent;
/// loads and stores take their ordering.
///
/// ```
/// use mapwright_core::MapOptions;
/// use std::sync::atomic::Ordering;
/// let map = MapOptions::new().shared_memory(64)?;
/// let counter = map.view().atomic::<u64>(8)?;
/// assert_eq!(counter.fetch_add(5)?, 0);
/// assert_eq!(counter.compare_exchange(5, 9)?, Ok(5));
/// assert_eq!(counter.load(Ordering::Acquire)?, 9);
///
/// assert_eq!((counter.fetch_sub(1)?, counter.fetch_max(100)?), (9, 8));
/// counter.store(0b1100, Ordering::Release)?;
/// assert_eq!((counter.fetch_or(1)?, counter.fetch_and(0b101)?, counter.fetch_xor(1)?), (12, 13, 5));
/// assert_eq!((counter.fetch_min(3)?, counter.swap(7)?), (4, 3));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
//
// Invariant: the word lies inside the view, at an address that is a multiple of its size.
#[derive(Clone, Copy, Debug)]
pub struct AtomicView<'map, W: AtomicWord, A: Access> {
    view: View<'map, A>,
    offset: usize,
    word: *mut W,
}

// SAFETY: as for View: every access is atomic and guarded.
unsafe impl<W: AtomicWord, A: Access> Send for AtomicView<'_, W, A> {}
// SAFETY: as above.
unsafe impl<W: AtomicWord, A: Access> Sync for AtomicView<'_, W, A> {}

impl<'map, A: Readable> View<'map, A> {
    /// Returns the word at `offset` for atomic operations.
    ///
    /// # Errors
    /// `OutOfBounds` where the view ends before; `Misaligned` where the word's address is not a multiple of
    /// its size.
    ///
    /// ```
    /// use mapwright_core::MapOptions;
    /// use std::sync::atomic::Ordering;
    /// let map = MapOptions::new().shared_memory(64)?;
    /// let ready = map.view().atomic::<u8>(63)?;
    /// ready.store(1, Ordering::Release)?;
    /// assert_eq!(ready.load(Ordering::Acquire)?, 1);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[inline]
    pub fn atomic<W: AtomicWord>(&self, offset: usize) -> Result<AtomicView<'map, W, A>, Fault> {
        let span = self.check(offset, size_of::<W>())?;
        let word = self.window(span).start.cast::<W>();
        if word.addr() % size_of::<W>() != 0 {
            return Err(self.fault(FaultKind::Misaligned, offset, 0));
        }
        Ok(AtomicView { view: *self, offset, word })
    }
}

impl<W: AtomicWord, A: Readable> AtomicView<'_, W, A> {
    /// Loads the value.
    ///
    /// # Errors
    /// What the file says, as for every access.
    ///
    /// # Panics
    /// Where the ordering is `Release` or `AcqRel`, which loads do not have.
    #[inline]
    pub fn load(&self, ordering: Ordering) -> Result<W, Fault> {
        assert!(!matches!(ordering, Ordering::Release | Ordering::AcqRel), "a load has no release ordering");
        match ordering {
            Ordering::Relaxed => self.attempt(Wanted::Read, || {
                // SAFETY: inside an owned range (the type's invariant).
                unsafe { W::load(self.word) }
            }),
            _ => self.attempt(Wanted::Read, || {
                // SAFETY: as above, and aligned.
                unsafe { W::load_acquire(self.word) }
            }),
        }
    }

    #[inline(always)]
    fn attempt<T>(&self, wanted: Wanted, operation: impl Fn() -> Result<T, Faulted>) -> Result<T, Fault> {
        match operation() {
            Ok(value) => Ok(value),
            Err(Faulted) => self.attempt_again(wanted, operation),
        }
    }

    #[cold]
    #[inline(never)]
    fn attempt_again<T>(
        &self,
        wanted: Wanted,
        operation: impl Fn() -> Result<T, Faulted>,
    ) -> Result<T, Fault> {
        let mut result = Err(Faulted);
        self.view.settle_word(self.offset, size_of::<W>(), wanted, || {
            result = operation();
            result.is_ok()
        })?;
        result.map_err(|Faulted| unreachable!("settled without a fault means that the operation was done"))
    }
}

impl<W: AtomicWord, A: Writable> AtomicView<'_, W, A> {
    /// Stores a value.
    ///
    /// # Errors
    /// What the file says, as for every access.
    ///
    /// # Panics
    /// Where the ordering is `Acquire` or `AcqRel`, which stores do not have.
    #[inline]
    pub fn store(&self, value: W, ordering: Ordering) -> Result<(), Fault> {
        assert!(!matches!(ordering, Ordering::Acquire | Ordering::AcqRel), "a store has no acquire ordering");
        match ordering {
            Ordering::Relaxed => self.attempt(Wanted::Write, || {
                // SAFETY: inside an owned range, aligned (the type's invariant), and nothing refers to it.
                unsafe { W::store(self.word, value) }
            }),
            Ordering::Release => self.attempt(Wanted::Write, || {
                // SAFETY: as above.
                unsafe { W::store_release(self.word, value) }
            }),
            _ => self.swap(value).map(drop),
        }
    }

    /// Stores a value and returns the one before.
    ///
    /// # Errors
    /// What the file says, as for every access.
    #[inline]
    pub fn swap(&self, value: W) -> Result<W, Fault> {
        // SAFETY: inside an owned range, aligned (the type's invariant), and nothing refers to it.
        self.attempt(Wanted::Write, || unsafe { W::swap(self.word, value) })
    }

    /// Adds, wrapping around, and returns the value before.
    ///
    /// # Errors
    /// What the file says, as for every access.
    #[inline]
    pub fn fetch_add(&self, value: W) -> Result<W, Fault> {
        // SAFETY: inside an owned range, aligned (the type's invariant), and nothing refers to it.
        self.attempt(Wanted::Write, || unsafe { W::fetch_add(self.word, value) })
    }

    /// Stores `new` if the value is `expected`. `Ok` holds that value, `Err` the one that stood there
    /// instead.
    ///
    /// # Errors
    /// The outer error is what the file says, as for every access.
    #[inline]
    pub fn compare_exchange(&self, expected: W, new: W) -> Result<Result<W, W>, Fault> {
        // SAFETY: inside an owned range, aligned (the type's invariant), and nothing refers to it.
        let seen =
            self.attempt(Wanted::Write, || unsafe { W::compare_exchange(self.word, expected, new) })?;
        Ok(if seen == expected { Ok(seen) } else { Err(seen) })
    }

    /// Replaces the value by what `change` makes of it, and returns the one before. `change` may run several
    /// times.
    ///
    /// # Errors
    /// What the file says, as for every access.
    ///
    /// ```
    /// # use mapwright_core::MapOptions;
    /// # use std::sync::atomic::Ordering;
    /// let map = MapOptions::new().shared_memory(64)?;
    /// let count = map.view().atomic::<u32>(0)?;
    /// count.store(u32::MAX, Ordering::Relaxed)?;
    /// assert_eq!(count.fetch_update(|count| count.saturating_add(1))?, u32::MAX);
    /// assert_eq!(count.load(Ordering::Relaxed)?, u32::MAX);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn fetch_update(&self, change: impl Fn(W) -> W) -> Result<W, Fault> {
        let mut seen = self.load(Ordering::Relaxed)?;
        loop {
            match self.compare_exchange(seen, change(seen))? {
                Ok(before) => return Ok(before),
                Err(now) => seen = now,
            }
        }
    }
}

macro_rules! bitwise {
    ($($word:ty),*) => {$(
        impl<A: Writable> AtomicView<'_, $word, A> {
            /// Subtracts, wrapping around, and returns the value before.
            ///
            /// # Errors
            /// What the file says, as for every access.
            #[inline]
            pub fn fetch_sub(&self, value: $word) -> Result<$word, Fault> {
                self.fetch_add(value.wrapping_neg())
            }

            /// Clears the bits that are clear in `value`, and returns the value before.
            ///
            /// # Errors
            /// What the file says, as for every access.
            pub fn fetch_and(&self, value: $word) -> Result<$word, Fault> {
                self.fetch_update(|before| before & value)
            }

            /// Sets the bits that are set in `value`, and returns the value before.
            ///
            /// # Errors
            /// What the file says, as for every access.
            pub fn fetch_or(&self, value: $word) -> Result<$word, Fault> {
                self.fetch_update(|before| before | value)
            }

            /// Flips the bits that are set in `value`, and returns the value before.
            ///
            /// # Errors
            /// What the file says, as for every access.
            pub fn fetch_xor(&self, value: $word) -> Result<$word, Fault> {
                self.fetch_update(|before| before ^ value)
            }

            /// Keeps the larger of the value and `value`, and returns the value before.
            ///
            /// # Errors
            /// What the file says, as for every access.
            pub fn fetch_max(&self, value: $word) -> Result<$word, Fault> {
                self.fetch_update(|before| before.max(value))
            }

            /// Keeps the smaller of the value and `value`, and returns the value before.
            ///
            /// # Errors
            /// What the file says, as for every access.
            pub fn fetch_min(&self, value: $word) -> Result<$word, Fault> {
                self.fetch_update(|before| before.min(value))
            }
        }
    )*};
}

bitwise!(u8, u16, u32, u64);
