//! Sorting an array: in memory where it fits, else in sorted runs that are merged on the disk.
//!
//! - here: the faces, and the decision
//! - `external`: runs in a scratch file, merged until one is left
//! - `tournament`: which of many runs has the next element
//! - `target`: where the result goes, so that a crash leaves the old order or the new one
//!
//! Either way the result is written once more as a whole: into a new file that takes the old one's place
//! ([`SortInto::NewFile`](crate::SortInto::NewFile), the default), because a sort that is killed while it
//! moves elements about in the only copy would lose some. The alternatives were a journal of the new order
//! beside the array (the same bytes written twice, a reader of the file sees mixtures, and every opening must
//! look for it), and no promise at all.

mod external;
mod target;
mod tournament;

use std::cmp::Ordering;

use super::MapVec;
use crate::error::Result;
use crate::plain::Plain;
use target::Target;

/// Whether equal elements keep their order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stability {
    Stable,
    Unstable,
}

impl<T: Plain> MapVec<T> {
    /// Sorts the array; equal elements keep their order.
    ///
    /// Takes as much memory as [`MapVecOptions::sort_memory`](crate::MapVecOptions::sort_memory) allows, and
    /// room on the disk for a second copy (a third where memory does not suffice).
    ///
    /// # Errors
    /// Where the disk has no room, or a new file cannot take the old one's place (see
    /// [`SortInto`](crate::SortInto)). The array is as it was then, unless it was told to sort into the same
    /// file.
    ///
    /// # Kernel
    /// The result goes by pwrite(2) into an `O_TMPFILE`, which fsync(2) makes durable and rename(2) puts in
    /// the old one's place; runs that do not fit into memory into other files without a name.
    ///
    /// ```
    /// # use mapwright_core::MapVec;
    /// # let folder = tempfile::tempdir().unwrap();
    /// let mut array = MapVec::<u32>::create(folder.path().join("array"))?;
    /// array.extend_from_slice(&[3, 1, 2])?;
    /// array.sort()?;
    /// assert_eq!(array.to_vec(..)?, [1, 2, 3]);
    /// # Ok::<(), mapwright_core::Error>(())
    /// ```
    pub fn sort(&mut self) -> Result<()>
    where
        T: Ord,
    {
        self.sort_by(T::cmp)
    }

    /// Sorts the array as `compare` says; equal elements keep their order.
    ///
    /// # Errors
    /// As [`sort`](Self::sort).
    ///
    /// ```
    /// # use mapwright_core::MapVec;
    /// # let folder = tempfile::tempdir().unwrap();
    /// let mut array = MapVec::<f64>::create(folder.path().join("array"))?;
    /// array.extend_from_slice(&[1.5, -2.0, 0.0])?;
    /// array.sort_by(|a, b| b.total_cmp(a))?;
    /// assert_eq!(array.to_vec(..)?, [1.5, 0.0, -2.0]);
    /// # Ok::<(), mapwright_core::Error>(())
    /// ```
    pub fn sort_by(&mut self, compare: impl FnMut(&T, &T) -> Ordering) -> Result<()> {
        self.sort_with(Stability::Stable, compare)
    }

    /// Sorts the array by a key; elements with equal keys keep their order.
    ///
    /// # Errors
    /// As [`sort`](Self::sort).
    ///
    /// ```
    /// # use mapwright_core::MapVec;
    /// # let folder = tempfile::tempdir().unwrap();
    /// let mut pairs = MapVec::<[u32; 2]>::create(folder.path().join("pairs"))?;
    /// pairs.extend_from_slice(&[[2, 0], [1, 1], [2, 2]])?;
    /// pairs.sort_by_key(|pair| pair[0])?;
    /// assert_eq!(pairs.to_vec(..)?, [[1, 1], [2, 0], [2, 2]]);
    /// # Ok::<(), mapwright_core::Error>(())
    /// ```
    pub fn sort_by_key<K: Ord>(&mut self, mut key: impl FnMut(&T) -> K) -> Result<()> {
        self.sort_by(|one, other| key(one).cmp(&key(other)))
    }

    /// Sorts the array; equal elements may change places. Faster than [`sort`](Self::sort), and twice as much
    /// fits into memory.
    ///
    /// # Errors
    /// As [`sort`](Self::sort).
    ///
    /// ```
    /// # use mapwright_core::MapVec;
    /// # let folder = tempfile::tempdir().unwrap();
    /// let mut array = MapVec::<u32>::create(folder.path().join("array"))?;
    /// array.extend((0..1000).rev())?;
    /// array.sort_unstable()?;
    /// assert_eq!(array.get(0)?, 0);
    /// # Ok::<(), mapwright_core::Error>(())
    /// ```
    pub fn sort_unstable(&mut self) -> Result<()>
    where
        T: Ord,
    {
        self.sort_unstable_by(T::cmp)
    }

    /// Sorts the array as `compare` says; equal elements may change places.
    ///
    /// # Errors
    /// As [`sort`](Self::sort).
    ///
    /// ```
    /// # use mapwright_core::MapVec;
    /// # let folder = tempfile::tempdir().unwrap();
    /// let mut array = MapVec::<f64>::create(folder.path().join("array"))?;
    /// array.extend_from_slice(&[1.5, -2.0, 0.0])?;
    /// array.sort_unstable_by(f64::total_cmp)?;
    /// assert_eq!(array.to_vec(..)?, [-2.0, 0.0, 1.5]);
    /// # Ok::<(), mapwright_core::Error>(())
    /// ```
    pub fn sort_unstable_by(&mut self, compare: impl FnMut(&T, &T) -> Ordering) -> Result<()> {
        self.sort_with(Stability::Unstable, compare)
    }

    /// Sorts the array by a key; elements with equal keys may change places.
    ///
    /// # Errors
    /// As [`sort`](Self::sort).
    ///
    /// ```
    /// # use mapwright_core::MapVec;
    /// # let folder = tempfile::tempdir().unwrap();
    /// let mut array = MapVec::<i32>::create(folder.path().join("array"))?;
    /// array.extend_from_slice(&[-3, 1, 2])?;
    /// array.sort_unstable_by_key(|value| value.abs())?;
    /// assert_eq!(array.to_vec(..)?, [1, 2, -3]);
    /// # Ok::<(), mapwright_core::Error>(())
    /// ```
    pub fn sort_unstable_by_key<K: Ord>(&mut self, mut key: impl FnMut(&T) -> K) -> Result<()> {
        self.sort_unstable_by(|one, other| key(one).cmp(&key(other)))
    }

    fn sort_with(&mut self, stability: Stability, mut compare: impl FnMut(&T, &T) -> Ordering) -> Result<()> {
        self.spill()?;
        let run_len = run_len::<T>(self.body.options().sort_memory, stability);
        if self.len() > run_len {
            return external::sort(self, run_len, stability, &mut compare);
        }
        let mut elements = self.to_vec(..)?;
        if elements.is_sorted_by(|one, other| compare(one, other).is_le()) {
            return Ok(());
        }
        sort_slice(&mut elements, stability, &mut compare);
        let mut target = Target::new(self)?;
        target.write(&elements)?;
        target.finish(self)
    }
}

/// How many elements are sorted in memory at once. A stable sort needs as much room again.
fn run_len<T>(memory: usize, stability: Stability) -> usize {
    let room = match stability {
        Stability::Stable => memory / 2,
        Stability::Unstable => memory,
    };
    (room / size_of::<T>()).max(2)
}

fn sort_slice<T>(elements: &mut [T], stability: Stability, compare: &mut impl FnMut(&T, &T) -> Ordering) {
    match stability {
        Stability::Stable => elements.sort_by(compare),
        Stability::Unstable => elements.sort_unstable_by(compare),
    }
}
