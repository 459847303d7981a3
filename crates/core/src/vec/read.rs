//! Reading an array: by index, by range, in order, by search.

use std::cmp::Ordering;
use std::ops::RangeBounds;
use std::path::Path;

use super::{MapVec, open, zeroed};
use crate::error::Result;
use crate::map::{Access, ReadOnly, Readable};
use crate::plain::Plain;
use crate::span::Span;
use crate::view::View;

/// Bytes that iteration copies at once: they fit into the cache nearest to memory.
const BLOCK_BYTES: usize = 64 << 10;

impl<T: Plain, A: Access> MapVec<T, A> {
    /// Returns how many elements there are, with those that wait to be written.
    #[must_use]
    #[inline]
    pub fn len(&self) -> usize {
        self.body.published() + self.tail.len
    }

    /// Returns whether there is no element.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Returns how many elements fit before the array moves to another address.
    #[must_use]
    pub fn capacity(&self) -> usize {
        self.body.places().count_in(crate::span::to_u64(self.body.map().capacity())).0
    }

    /// Returns how many elements the last [`flush`](MapVec::flush) made durable: after a power failure those
    /// are certain.
    ///
    /// Without a header nobody remembers it between two openings of the array.
    ///
    /// See [`flush`](MapVec::flush) for an example.
    #[must_use]
    pub fn flushed_len(&self) -> usize {
        self.body.flushed()
    }

    /// Returns the path by which the array was opened.
    #[must_use]
    pub fn path(&self) -> Option<&Path> {
        self.body.source().path()
    }
}

impl<T: Plain, A: Readable> MapVec<T, A> {
    /// Returns an element.
    ///
    /// # Errors
    /// `OutOfBounds` beyond the end; what the file says, as for every access.
    ///
    /// ```
    /// # use mapwright_core::{ErrorKind, MapVec};
    /// # let folder = tempfile::tempdir().unwrap();
    /// let mut array = MapVec::<u32>::create(folder.path().join("array"))?;
    /// array.extend_from_slice(&[10, 20, 30])?;
    /// assert_eq!(array.get(2)?, 30);
    /// assert_eq!(array.get(3).unwrap_err().kind(), ErrorKind::OutOfBounds);
    /// # Ok::<(), mapwright_core::Error>(())
    /// ```
    #[inline]
    pub fn get(&self, index: usize) -> Result<T> {
        if index < self.body.published() {
            let offset = self.body.places().offset(index);
            return self
                .body
                .map()
                .view()
                .load(offset)
                .map_err(|fault| self.body.faulted("read an element of", fault));
        }
        let waiting = self.waiting().get(index - self.body.published());
        waiting.copied().ok_or_else(|| self.out_of_bounds("read elements of", index, 1))
    }

    /// Copies the elements from `start` on into a slice, which they fill.
    ///
    /// # Errors
    /// As [`get`](Self::get). Elements before a fault were copied.
    ///
    /// ```
    /// # use mapwright_core::MapVec;
    /// # let folder = tempfile::tempdir().unwrap();
    /// let mut array = MapVec::<u32>::create(folder.path().join("array"))?;
    /// array.extend(0..100)?;
    /// let mut some = [0; 3];
    /// array.copy_to(40, &mut some)?;
    /// assert_eq!(some, [40, 41, 42]);
    /// # Ok::<(), mapwright_core::Error>(())
    /// ```
    pub fn copy_to(&self, start: usize, out: &mut [T]) -> Result<()> {
        if start.checked_add(out.len()).is_none_or(|end| end > self.len()) {
            return Err(self.out_of_bounds("read elements of", start, out.len()));
        }
        let in_file = out.len().min(self.body.published().saturating_sub(start));
        let (from_file, from_tail) = out.split_at_mut(in_file);
        if !from_file.is_empty() {
            let view = self.body.map().view();
            view.load_slice(self.body.places().offset(start), from_file)
                .map_err(|fault| self.body.faulted("read elements of", fault))?;
        }
        if !from_tail.is_empty() {
            let from = start + in_file - self.body.published();
            from_tail.copy_from_slice(&self.waiting()[from..from + from_tail.len()]);
        }
        Ok(())
    }

    /// Copies the elements of a range into a new vector.
    ///
    /// # Errors
    /// As [`get`](Self::get), and where memory is short.
    ///
    /// ```
    /// # use mapwright_core::MapVec;
    /// # let folder = tempfile::tempdir().unwrap();
    /// let mut array = MapVec::<u32>::create(folder.path().join("array"))?;
    /// array.extend(0..100)?;
    /// assert_eq!(array.to_vec(97..)?, [97, 98, 99]);
    /// # Ok::<(), mapwright_core::Error>(())
    /// ```
    pub fn to_vec(&self, range: impl RangeBounds<usize>) -> Result<Vec<T>> {
        let span = Span::within(range, self.len()).map_err(|asked| {
            self.out_of_bounds("read elements of", asked.start, asked.end.saturating_sub(asked.start))
        })?;
        let mut elements = zeroed(span.len(), "read elements of", &self.body)?;
        elements.truncate(span.len());
        self.copy_to(span.offset(), &mut elements)?;
        Ok(elements)
    }

    /// Walks the elements in order. Ends after the first error.
    ///
    /// ```
    /// # use mapwright_core::MapVec;
    /// # let folder = tempfile::tempdir().unwrap();
    /// let mut array = MapVec::<u64>::create(folder.path().join("array"))?;
    /// array.extend(0..100)?;
    /// let sum: u64 = array.iter().sum::<Result<_, _>>()?;
    /// assert_eq!(sum, 4950);
    /// # Ok::<(), mapwright_core::Error>(())
    /// ```
    pub fn iter(&self) -> Elements<'_, T, A> {
        Elements { array: self, at: 0, block: Vec::new(), next: 0 }
    }

    /// Walks the elements in blocks of `count` (at least 1; the last may be shorter), each copied into one
    /// buffer.
    ///
    /// See [`Blocks`] for an example.
    pub fn blocks(&self, count: usize) -> Blocks<'_, T, A> {
        Blocks { array: self, at: 0, count: count.max(1), buffer: Vec::new() }
    }

    /// Returns a view of the bytes of all elements that were written; those that wait are not in it (see
    /// [`spill`](MapVec::spill)).
    ///
    /// ```
    /// # use mapwright_core::MapVec;
    /// # let folder = tempfile::tempdir().unwrap();
    /// let mut array = MapVec::<u32>::create(folder.path().join("array"))?;
    /// array.extend_from_slice(&[1, 2, 3])?;
    /// array.spill()?;
    /// assert_eq!(array.as_view().len(), 12);
    /// assert_eq!(array.as_view().load::<u32>(8)?, 3);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub fn as_view(&self) -> View<'_, A> {
        self.body.elements()
    }

    /// Finds an element in a sorted array. `Ok` holds its index, `Err` the index where it belongs.
    ///
    /// # Errors
    /// The outer error is what the file says, as for every access.
    ///
    /// ```
    /// # use mapwright_core::MapVec;
    /// # let folder = tempfile::tempdir().unwrap();
    /// let mut primes = MapVec::<u32>::create(folder.path().join("primes"))?;
    /// primes.extend_from_slice(&[2, 3, 5, 7, 11])?;
    /// assert_eq!(primes.binary_search(&7)?, Ok(3));
    /// assert_eq!(primes.binary_search(&8)?, Err(4));
    /// # Ok::<(), mapwright_core::Error>(())
    /// ```
    pub fn binary_search(&self, value: &T) -> Result<Result<usize, usize>>
    where
        T: Ord,
    {
        self.binary_search_by(|element| element.cmp(value))
    }

    /// Finds an element for which `compare` says `Equal`, in an array where it says `Less` first and
    /// `Greater` last.
    ///
    /// # Errors
    /// The outer error is what the file says, as for every access.
    ///
    /// ```
    /// # use mapwright_core::MapVec;
    /// # let folder = tempfile::tempdir().unwrap();
    /// let mut heights = MapVec::<f64>::create(folder.path().join("heights"))?;
    /// heights.extend_from_slice(&[1.5, 1.7, 1.9])?;
    /// assert_eq!(heights.binary_search_by(|height| height.total_cmp(&1.7))?, Ok(1));
    /// # Ok::<(), mapwright_core::Error>(())
    /// ```
    pub fn binary_search_by(&self, mut compare: impl FnMut(&T) -> Ordering) -> Result<Result<usize, usize>> {
        let (mut low, mut high) = (0, self.len());
        while low < high {
            let middle = low + (high - low) / 2;
            match compare(&self.get(middle)?) {
                Ordering::Less => low = middle + 1,
                Ordering::Greater => high = middle,
                Ordering::Equal => return Ok(Ok(middle)),
            }
        }
        Ok(Err(low))
    }

    /// Finds an element by a key that the array is sorted by.
    ///
    /// # Errors
    /// The outer error is what the file says, as for every access.
    ///
    /// ```
    /// # use mapwright_core::MapVec;
    /// # let folder = tempfile::tempdir().unwrap();
    /// let mut pairs = MapVec::<[u32; 2]>::create(folder.path().join("pairs"))?;
    /// pairs.extend_from_slice(&[[1, 9], [4, 8], [6, 7]])?;
    /// assert_eq!(pairs.binary_search_by_key(&4, |pair| pair[0])?, Ok(1));
    /// # Ok::<(), mapwright_core::Error>(())
    /// ```
    pub fn binary_search_by_key<K: Ord>(
        &self,
        key: &K,
        mut key_of: impl FnMut(&T) -> K,
    ) -> Result<Result<usize, usize>> {
        self.binary_search_by(|element| key_of(element).cmp(key))
    }

    /// Returns the index of the first element for which `holds` is false, in an array where it holds first
    /// and then no more.
    ///
    /// # Errors
    /// What the file says, as for every access.
    ///
    /// ```
    /// # use mapwright_core::MapVec;
    /// # let folder = tempfile::tempdir().unwrap();
    /// let mut times = MapVec::<u64>::create(folder.path().join("times"))?;
    /// times.extend_from_slice(&[10, 20, 20, 30])?;
    /// assert_eq!(times.partition_point(|&time| time <= 20)?, 3);
    /// # Ok::<(), mapwright_core::Error>(())
    /// ```
    pub fn partition_point(&self, mut holds: impl FnMut(&T) -> bool) -> Result<usize> {
        let place =
            self.binary_search_by(|element| if holds(element) { Ordering::Less } else { Ordering::Greater })?;
        Ok(place.unwrap_or_else(|place| place))
    }
}

impl<T: Plain> MapVec<T, ReadOnly> {
    /// Looks how many elements a writer has published meanwhile, and returns their number.
    ///
    /// # Errors
    /// As [`MapVecOptions::open_read_only`](crate::MapVecOptions::open_read_only).
    ///
    /// ```
    /// use mapwright_core::MapVec;
    /// # let folder = tempfile::tempdir().unwrap();
    /// # let path = folder.path().join("log");
    /// let mut writer = MapVec::<u32>::create(&path)?;
    /// let mut reader = MapVec::<u32>::open_read_only(&path)?;
    /// writer.push(7)?;
    /// writer.spill()?;
    /// assert_eq!((reader.refresh()?, reader.get(0)?), (1, 7));
    /// # Ok::<(), mapwright_core::Error>(())
    /// ```
    pub fn refresh(&mut self) -> Result<usize> {
        let (published, flushed) = open::examine::<T>(self.body.options(), self.body.source())?;
        self.body.refresh(published, flushed)?;
        Ok(published)
    }
}

/// The elements of an array in blocks; made by [`MapVec::blocks`].
///
/// It lends its buffer, so it is not an `Iterator`: `while let Some(block) = blocks.next_block()`.
///
/// ```
/// # use mapwright_core::MapVec;
/// # let directory = tempfile::tempdir().unwrap();
/// let mut squares = MapVec::<u64>::create(directory.path().join("squares"))?;
/// squares.extend((0..100).map(|number| number * number))?;
/// let (mut blocks, mut sum) = (squares.blocks(64), 0);
/// while let Some(block) = blocks.next_block() {
///     sum += block?.iter().sum::<u64>();
/// }
/// assert_eq!(sum, 328_350);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct Blocks<'array, T: Plain, A: Access> {
    array: &'array MapVec<T, A>,
    at: usize,
    count: usize,
    buffer: Vec<T>,
}

impl<T: Plain, A: Readable> Blocks<'_, T, A> {
    /// Copies the next block and lends it, or returns `None` at the end.
    ///
    /// # Errors
    /// The item is an error where the block cannot be read whole; the walk goes on behind it when called
    /// again.
    pub fn next_block(&mut self) -> Option<Result<&[T]>> {
        let count = self.count.min(self.array.len() - self.at);
        if count == 0 {
            return None;
        }
        let at = self.at;
        self.at += count;
        if self.buffer.len() < count {
            match zeroed(count, "read elements of", &self.array.body) {
                Ok(buffer) => self.buffer = buffer,
                Err(error) => return Some(Err(error)),
            }
        }
        let block = &mut self.buffer[..count];
        Some(self.array.copy_to(at, block).map(|()| &*block))
    }
}

/// The elements of an array in order; made by [`MapVec::iter`]. Ends after the first error.
///
/// ```
/// # use mapwright_core::MapVec;
/// # let folder = tempfile::tempdir().unwrap();
/// let mut array = MapVec::<u64>::create(folder.path().join("array"))?;
/// array.extend(0..1_000_000)?;
/// let mut elements = array.iter();
/// assert_eq!(elements.nth(999_999).transpose()?, Some(999_999));      // reads one block
/// assert!(elements.next().is_none());
/// # Ok::<(), mapwright_core::Error>(())
/// ```
#[derive(Debug)]
pub struct Elements<'array, T: Plain, A: Access> {
    array: &'array MapVec<T, A>,
    /// The first element that was not copied yet.
    at: usize,
    /// A block of elements, and the place of the next one in it.
    block: Vec<T>,
    next: usize,
}

impl<T: Plain, A: Readable> Iterator for Elements<'_, T, A> {
    type Item = Result<T>;

    #[inline]
    fn next(&mut self) -> Option<Result<T>> {
        match self.block.get(self.next) {
            Some(&element) => {
                self.next += 1;
                Some(Ok(element))
            }
            None => self.next_after_refill(),
        }
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        let left = self.block.len() - self.next + (self.array.len() - self.at);
        (usize::from(left > 0), Some(left))
    }

    /// Skips without reading what is skipped.
    fn nth(&mut self, count: usize) -> Option<Result<T>> {
        let buffered = self.block.len() - self.next;
        self.next += count.min(buffered);
        let beyond = count.saturating_sub(buffered);
        self.at = self.at.saturating_add(beyond).min(self.array.len());
        self.next()
    }
}

impl<T: Plain, A: Readable> Elements<'_, T, A> {
    #[cold]
    #[inline(never)]
    fn next_after_refill(&mut self) -> Option<Result<T>> {
        self.next = 0;
        if let Err(error) = self.refill() {
            self.at = self.array.len();
            self.block.clear();
            return Some(Err(error));
        }
        let first = self.block.first().copied()?;
        self.next = 1;
        Some(Ok(first))
    }

    /// Copies the next block, which is empty at the end.
    fn refill(&mut self) -> Result<()> {
        let most = (BLOCK_BYTES / size_of::<T>()).max(1);
        let count = most.min(self.array.len() - self.at);
        if self.block.len() < count {
            self.block = zeroed(count, "read elements of", &self.array.body)?;
        }
        self.block.truncate(count);
        self.array.copy_to(self.at, &mut self.block)?;
        self.at += count;
        Ok(())
    }
}

impl<'array, T: Plain, A: Readable> IntoIterator for &'array MapVec<T, A> {
    type Item = Result<T>;
    type IntoIter = Elements<'array, T, A>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}
