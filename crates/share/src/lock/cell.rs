//! A value in two copies, of which one is current.
//!
//! ```text
//!   current: 0 or 1 ─┐      copy 0: words      copy 1: words
//! ```
//! A store fills the copy that is not current, then makes it so with one store of one word. Whoever is killed
//! on the way leaves the value of the last store that was finished. Writers exclude each other, and readers
//! exclude writers: that is the lock's business.

use std::marker::PhantomData;

use mapwright_core::peer::{Ordering, Placed, Word32, Word64};
use mapwright_core::{Fault, FaultKind, Plain};

use crate::value;

/// The two copies, and the word that says which one is current.
#[derive(Debug)]
pub(super) struct TwoCopies<T> {
    current: Placed<Word32>,
    copies: Placed<[Word64]>,
    value: PhantomData<fn() -> T>,
}

impl<T> Clone for TwoCopies<T> {
    fn clone(&self) -> Self {
        Self { current: self.current.clone(), copies: self.copies.clone(), value: PhantomData }
    }
}

/// How many words both copies take.
pub(super) const fn words_of_both<T>() -> usize {
    2 * words_of_one::<T>()
}

const fn words_of_one<T>() -> usize {
    let words = value::words_of::<T>();
    // A structure without bytes has no place.
    if words == 0 { 1 } else { words }
}

impl<T: Plain> TwoCopies<T> {
    /// `copies` are [`words_of_both`].
    pub(super) fn new(current: Placed<Word32>, copies: Placed<[Word64]>) -> Self {
        assert_eq!(copies.len(), words_of_both::<T>(), "words of two copies");
        Self { current, copies, value: PhantomData }
    }

    #[inline]
    pub(super) fn load(&self) -> T {
        value::load(self.copy(self.current.load(Ordering::Relaxed)))
    }

    #[inline]
    pub(super) fn store(&self, value: &T) {
        let other = !self.current.load(Ordering::Relaxed) & 1;
        value::store(self.copy(other), value);
        self.current.store(other, Ordering::Release);
    }

    /// Stores where the memory is still the shared one, and nothing where it has vanished.
    ///
    /// # Panics
    /// In a forked child.
    #[inline]
    pub(super) fn store_checked(&self, value: &T, check: Result<(), Fault>) {
        match check {
            Ok(()) => self.store(value),
            Err(fault) => {
                assert!(fault.kind() != FaultKind::Gone, "stored in a forked child by its parent's guard");
            }
        }
    }

    #[inline]
    fn copy(&self, index: u32) -> &[Word64] {
        let (first, second) = self.copies.split_at(words_of_one::<T>());
        if index & 1 == 0 { first } else { second }
    }
}
