//! A value where it is, for those who need only a part of it.

use mapwright_core::Plain;
use mapwright_core::peer::{LookWord64, Ordering, look_at_eight, look_out};

use crate::value::words_of;

/// The words of a snapshot's value, in shared memory: each is loaded when it is asked for.
///
/// The writer may be about to reuse them, so two words may be of two values. Whether they were is known when
/// the function that was given them has returned, and then it is called anew: what it returns must depend on
/// nothing but the words, and it must end whatever they are.
#[derive(Clone, Copy, Debug)]
pub struct SnapshotWords<'a> {
    words: &'a [LookWord64],
    bytes: usize,
}

impl<'a> SnapshotWords<'a> {
    pub(super) const fn new(words: &'a [LookWord64], bytes: usize) -> Self {
        Self { words, bytes }
    }

    /// Returns how many bytes the value has.
    #[must_use]
    pub const fn len(self) -> usize {
        self.bytes
    }

    /// Returns whether it has none.
    #[must_use]
    pub const fn is_empty(self) -> bool {
        self.bytes == 0
    }

    /// Loads a part of the value: what begins so many bytes behind its beginning, a multiple of eight. `None`
    /// where that is elsewhere.
    ///
    /// ```
    /// use mapwright_share::{Segment, Snapshot, SnapshotOptions};
    /// let segment = Segment::anonymous("prices")
    ///     .with::<Snapshot<[f64; 1000]>>("all", SnapshotOptions::new([0.5; 1000]))
    ///     .create()?;
    /// let all: Snapshot<[f64; 1000]> = segment.get("all")?;
    /// let one = all.look(|words| words.load::<f64>(8 * 700))?;
    /// assert_eq!(one, Some(0.5));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[inline]
    #[must_use]
    pub fn load<U: Plain>(self, offset: usize) -> Option<U> {
        let is_inside = offset.is_multiple_of(8) && offset.checked_add(size_of::<U>())? <= self.bytes;
        let words = self.words.get(offset / 8..)?.get(..words_of::<U>()).filter(|_| is_inside)?;
        let mut part = U::new_zeroed();
        look_out(words, part.as_mut_bytes());
        Some(part)
    }

    /// Loads the words one after the other, of the machine's byte order; behind a value of no whole number of
    /// words come zeros.
    #[inline]
    pub fn iter(self) -> impl ExactSizeIterator<Item = u64> + 'a {
        self.words.iter().map(|word| word.load(Ordering::Relaxed))
    }

    /// Loads a line of eight words at a time, as long as there are as many: for loops that add up several
    /// sums at once. What is left over, [`iter`](Self::iter) loads.
    #[inline]
    pub fn lines(self) -> impl ExactSizeIterator<Item = [u64; 8]> + 'a {
        let (lines, _rest) = self.words.as_chunks();
        lines.iter().map(look_at_eight)
    }
}
