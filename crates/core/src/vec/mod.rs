//! Growable arrays on files: [`MapVec`].
//!
//! - here: opening, appending, changing, closing
//! - `read`: elements by index, ranges, iteration, search
//! - `sort`: in memory, or in runs that are merged on the disk
//! - `options`, `open`: from a path to a checked array
//! - `header`: the first page of the file
//! - `body`: the file in bytes: written, published, counted, made durable; with `places` (arithmetic),
//!   `ahead` (room on the disk) and `lock` (one writer)
//!
//! Built on `map` and `view`; needs no unsafe code of its own. Deliberately absent: references to elements
//! (others may change them), and removal in the middle.

mod ahead;
mod body;
mod header;
mod lock;
mod open;
mod options;
mod places;
mod read;
mod sort;
#[cfg(test)]
mod tests;

use std::fmt;
use std::fs::File;
use std::path::Path;
use std::sync::Arc;

pub use options::{MapVecOptions, SortInto};
pub use read::{Blocks, Elements};

use zerocopy::IntoBytes;

use crate::error::{Error, ErrorKind, Result};
use crate::map::{Access, ReadOnly, ReadWrite};
use crate::plain::Plain;
use crate::sys::memory::prefer_huge_pages;
use body::Body;

/// Bytes that wait in memory before they are written. Measured for 16-byte elements: 64 KiB 213 M elements a
/// second, 256 KiB 230, 512 KiB 231, 4 MiB 33 (it no longer fits into the cache).
const TAIL_BYTES: usize = 256 << 10;

/// A growable array on a file.
///
/// # Caveats
/// - **Elements that were pushed wait in memory** (256 KiB of them) until they are written together. A
///   process that is killed loses those; [`spill`](Self::spill) writes them, and so do closing and dropping
///   the array. Everything written before is there when the array is opened again: its count never exceeds
///   what was written.
/// - **After a power failure only what was [flushed](Self::flush) is certain.** Elements from
///   [`flushed_len`](Self::flushed_len) on may then read as zeros.
/// - Elements are copied in and out, since others may change the file at any time. A file that somebody
///   shortens, or a disk that fails, is an error of the access, never a signal.
/// - Dropping the array cannot report an error, and leaves a large one to be unmapped in the background (the
///   room of a file that is removed then is free a moment later). [`close`](Self::close) does both at once.
/// - A forked child must open the array again: its copy refuses to write.
///
/// `A` is [`ReadWrite`], or [`ReadOnly`] for an array opened by [`open_read_only`](MapVec::open_read_only).
///
/// ```
/// use mapwright_core::MapVec;
/// # let directory = tempfile::tempdir().unwrap();
/// # let path = directory.path().join("primes");
/// let mut primes = MapVec::<u64>::create(&path)?;
/// primes.extend([7, 2, 5, 3])?;
/// primes.push(11)?;
/// primes.sort()?;
/// primes.close()?;
///
/// let primes = MapVec::<u64>::open_read_only(&path)?;
/// assert_eq!(primes.len(), 5);
/// assert_eq!(primes.get(2)?, 5);
/// assert_eq!(primes.binary_search(&7)?, Ok(3));
///
/// // The file knows what is in it.
/// let error = MapVec::<f64>::open(&path).unwrap_err();
/// assert!(error.to_string().contains("its elements are `u64`"));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
//
// Invariants: 1. `body` holds the published elements, `tail` those after them; an array's length is the sum.
// 2. The tail is empty unless `A` is ReadWrite.
pub struct MapVec<T: Plain, A: Access = ReadWrite> {
    body: Body<A>,
    tail: Tail<T>,
}

/// Elements that are not written yet. A plain array in memory: pushing is one comparison and one store.
struct Tail<T> {
    /// Empty until the first element is pushed.
    slots: Box<[T]>,
    len: usize,
}

impl<T: Plain> MapVec<T> {
    /// Creates an empty array under a path that must be free.
    ///
    /// # Errors
    /// As [`MapVecOptions::create`].
    ///
    /// ```
    /// use mapwright_core::{ErrorKind, MapVec};
    /// # let folder = tempfile::tempdir().unwrap();
    /// # let path = folder.path().join("array");
    /// let array = MapVec::<u32>::create(&path)?;
    /// assert!(array.is_empty());
    /// assert_eq!(MapVec::<u32>::create(&path).unwrap_err().kind(), ErrorKind::AlreadyExists);
    /// # Ok::<(), mapwright_core::Error>(())
    /// ```
    pub fn create(path: impl AsRef<Path>) -> Result<Self> {
        MapVecOptions::new().create(path)
    }

    /// Opens an existing array for reading and writing.
    ///
    /// # Errors
    /// As [`MapVecOptions::open`].
    ///
    /// ```
    /// use mapwright_core::{ErrorKind, MapVec};
    /// # let folder = tempfile::tempdir().unwrap();
    /// # let path = folder.path().join("array");
    /// MapVec::<u32>::create(&path)?.push(7)?;
    /// let array = MapVec::<u32>::open(&path)?;
    /// assert_eq!(array.get(0)?, 7);
    /// assert_eq!(MapVec::<u32>::open(&path).unwrap_err().kind(), ErrorKind::Busy);     // one writer
    /// # drop(array);
    /// # Ok::<(), mapwright_core::Error>(())
    /// ```
    pub fn open(path: impl AsRef<Path>) -> Result<Self> {
        MapVecOptions::new().open(path)
    }

    /// Opens an array, or creates an empty one where the path is free.
    ///
    /// # Errors
    /// As [`MapVecOptions::open_or_create`].
    ///
    /// ```
    /// use mapwright_core::MapVec;
    /// # let folder = tempfile::tempdir().unwrap();
    /// # let path = folder.path().join("log");
    /// for run in 1..=3 {
    ///     let mut log = MapVec::<u32>::open_or_create(&path)?;
    ///     log.push(run)?;
    ///     assert_eq!(log.len(), usize::try_from(run).unwrap());
    /// }
    /// # Ok::<(), mapwright_core::Error>(())
    /// ```
    pub fn open_or_create(path: impl AsRef<Path>) -> Result<Self> {
        MapVecOptions::new().open_or_create(path)
    }

    /// Opens an existing array for reading, while others may append to it; see [`refresh`](MapVec::refresh).
    ///
    /// # Errors
    /// As [`MapVecOptions::open_read_only`].
    ///
    /// ```
    /// use mapwright_core::MapVec;
    /// # let folder = tempfile::tempdir().unwrap();
    /// # let path = folder.path().join("log");
    /// let mut writer = MapVec::<u32>::create(&path)?;
    /// let reader = MapVec::<u32>::open_read_only(&path)?;      // the writer's lock does not keep it out
    /// assert_eq!(reader.len(), 0);
    /// # drop(writer);
    /// # Ok::<(), mapwright_core::Error>(())
    /// ```
    pub fn open_read_only(path: impl AsRef<Path>) -> Result<MapVec<T, ReadOnly>> {
        MapVecOptions::new().open_read_only(path)
    }

    /// Appends an element.
    ///
    /// # Errors
    /// Now and then elements are written that waited: where the disk is full, or the file was shortened. They
    /// go on waiting then, and the new one is not in the array.
    ///
    /// # Kernel
    /// pwrite(2), once for 256 KiB of elements.
    ///
    /// ```
    /// # use mapwright_core::MapVec;
    /// # let folder = tempfile::tempdir().unwrap();
    /// let mut array = MapVec::<u32>::create(folder.path().join("array"))?;
    /// array.push(7)?;
    /// assert_eq!((array.len(), array.get(0)?), (1, 7));
    /// # Ok::<(), mapwright_core::Error>(())
    /// ```
    #[inline]
    pub fn push(&mut self, value: T) -> Result<()> {
        if self.tail.len == self.tail.slots.len() {
            self.make_room()?;
        }
        self.tail.slots[self.tail.len] = value;
        self.tail.len += 1;
        Ok(())
    }

    /// Empties the tail. It is not given the element that needs room: whatever might be handed over in memory
    /// is written there by every push, and loading it again at once costs five times the push.
    #[cold]
    #[inline(never)]
    fn make_room(&mut self) -> Result<()> {
        self.spill()?;
        if self.tail.slots.is_empty() {
            self.tail.slots =
                zeroed(TAIL_BYTES / size_of::<T>(), "append to", &self.body)?.into_boxed_slice();
        }
        Ok(())
    }

    /// Appends elements one by one.
    ///
    /// # Errors
    /// As [`push`](Self::push); the elements before the error were appended.
    ///
    /// ```
    /// # use mapwright_core::MapVec;
    /// # let folder = tempfile::tempdir().unwrap();
    /// let mut squares = MapVec::<u64>::create(folder.path().join("squares"))?;
    /// squares.extend((0..5).map(|number| number * number))?;
    /// assert_eq!(squares.to_vec(..)?, [0, 1, 4, 9, 16]);
    /// # Ok::<(), mapwright_core::Error>(())
    /// ```
    pub fn extend(&mut self, values: impl IntoIterator<Item = T>) -> Result<()> {
        values.into_iter().try_for_each(|value| self.push(value))
    }

    /// Appends all elements of a slice, or none. A large one is written without being copied first.
    ///
    /// # Errors
    /// As [`push`](Self::push).
    ///
    /// ```
    /// # use mapwright_core::MapVec;
    /// # let folder = tempfile::tempdir().unwrap();
    /// let mut array = MapVec::<u32>::create(folder.path().join("array"))?;
    /// array.extend_from_slice(&[1, 2])?;
    /// array.extend(3..5)?;
    /// assert_eq!(array.to_vec(..)?, [1, 2, 3, 4]);
    /// # Ok::<(), mapwright_core::Error>(())
    /// ```
    pub fn extend_from_slice(&mut self, values: &[T]) -> Result<()> {
        if values.len() > self.tail.slots.len() - self.tail.len {
            self.spill()?;
            if size_of_val(values) >= TAIL_BYTES {
                return self.body.append(values.as_bytes());
            }
            self.make_room()?;
        }
        let end = self.tail.len + values.len();
        self.tail.slots[self.tail.len..end].copy_from_slice(values);
        self.tail.len = end;
        Ok(())
    }

    /// Replaces an element. Others see it at once.
    ///
    /// # Errors
    /// `OutOfBounds` beyond the end; what the file says, as for every access.
    ///
    /// ```
    /// # use mapwright_core::{ErrorKind, MapVec};
    /// # let folder = tempfile::tempdir().unwrap();
    /// let mut array = MapVec::<u32>::create(folder.path().join("array"))?;
    /// array.extend_from_slice(&[1, 2, 3])?;
    /// array.set(1, 20)?;
    /// assert_eq!(array.to_vec(..)?, [1, 20, 3]);
    /// assert_eq!(array.set(3, 40).unwrap_err().kind(), ErrorKind::OutOfBounds);
    /// # Ok::<(), mapwright_core::Error>(())
    /// ```
    #[inline]
    pub fn set(&mut self, index: usize, value: T) -> Result<()> {
        self.body.demand_own("change an element of")?;
        if index < self.body.published() {
            let offset = self.body.places().offset(index);
            return self
                .body
                .map()
                .view()
                .store(offset, value)
                .map_err(|fault| self.body.faulted("change an element of", fault));
        }
        let waiting = index - self.body.published();
        match self.waiting_mut().get_mut(waiting) {
            Some(slot) => {
                *slot = value;
                Ok(())
            }
            None => Err(self.out_of_bounds("change elements of", index, 1)),
        }
    }

    /// Replaces the elements from `start` on by those of a slice.
    ///
    /// # Errors
    /// As [`set`](Self::set). Nothing is replaced where the slice does not fit; elements before a fault were.
    ///
    /// ```
    /// # use mapwright_core::MapVec;
    /// # let folder = tempfile::tempdir().unwrap();
    /// let mut array = MapVec::<u32>::create(folder.path().join("array"))?;
    /// array.extend_from_slice(&[1, 2, 3, 4])?;
    /// array.copy_from(1, &[20, 30])?;
    /// assert_eq!(array.to_vec(..)?, [1, 20, 30, 4]);
    /// # Ok::<(), mapwright_core::Error>(())
    /// ```
    pub fn copy_from(&mut self, start: usize, values: &[T]) -> Result<()> {
        self.body.demand_own("change elements of")?;
        if start.checked_add(values.len()).is_none_or(|end| end > self.len()) {
            return Err(self.out_of_bounds("change elements of", start, values.len()));
        }
        let in_file = values.len().min(self.body.published().saturating_sub(start));
        let (written, waiting) = values.split_at(in_file);
        if !written.is_empty() {
            let offset = self.body.places().offset(start);
            let view = self.body.map().view();
            view.store_slice(offset, written)
                .map_err(|fault| self.body.faulted("change elements of", fault))?;
        }
        if !waiting.is_empty() {
            let from = start + in_file - self.body.published();
            self.waiting_mut()[from..from + waiting.len()].copy_from_slice(waiting);
        }
        Ok(())
    }

    /// Drops the elements from `len` on; does nothing where there are no more than that.
    ///
    /// # Errors
    /// Where the file was shortened by somebody else or cannot be changed.
    ///
    /// # Kernel
    /// ftruncate(2), after the count was lowered.
    ///
    /// ```
    /// # use mapwright_core::MapVec;
    /// # let folder = tempfile::tempdir().unwrap();
    /// let mut array = MapVec::<u32>::create(folder.path().join("array"))?;
    /// array.extend_from_slice(&[1, 2, 3, 4])?;
    /// array.truncate(2)?;
    /// assert_eq!(array.to_vec(..)?, [1, 2]);
    /// array.clear()?;
    /// assert!(array.is_empty());
    /// # Ok::<(), mapwright_core::Error>(())
    /// ```
    pub fn truncate(&mut self, len: usize) -> Result<()> {
        let published = self.body.published();
        if len >= published {
            self.tail.len = self.tail.len.min(len - published);
            return Ok(());
        }
        self.body.truncate(len)?;
        self.tail.len = 0;
        Ok(())
    }

    /// Drops all elements.
    ///
    /// # Errors
    /// As [`truncate`](Self::truncate).
    pub fn clear(&mut self) -> Result<()> {
        self.truncate(0)
    }

    /// Writes the elements that wait in memory, so that others see them and a kill does not lose them.
    ///
    /// # Errors
    /// As [`push`](Self::push).
    ///
    /// # Kernel
    /// pwrite(2).
    ///
    /// ```
    /// use mapwright_core::MapVec;
    /// # let folder = tempfile::tempdir().unwrap();
    /// # let path = folder.path().join("array");
    /// let mut writer = MapVec::<u32>::create(&path)?;
    /// writer.push(7)?;
    /// assert_eq!(MapVec::<u32>::open_read_only(&path)?.len(), 0);     // it waits in memory
    /// writer.spill()?;
    /// assert_eq!(MapVec::<u32>::open_read_only(&path)?.len(), 1);
    /// # Ok::<(), mapwright_core::Error>(())
    /// ```
    pub fn spill(&mut self) -> Result<()> {
        self.write_waiting()
    }

    /// Makes everything durable: writes what waits, syncs the elements, then their count, then a new file's
    /// name.
    ///
    /// # Errors
    /// As [`push`](Self::push), and what the disk reports. An array whose flush has failed once can never be
    /// flushed again: the kernel may have dropped what it could not write.
    ///
    /// # Kernel
    /// fdatasync(2), twice where the count in a header has changed.
    ///
    /// ```
    /// # use mapwright_core::MapVec;
    /// # let folder = tempfile::tempdir().unwrap();
    /// let mut array = MapVec::<u32>::create(folder.path().join("array"))?;
    /// array.extend(0..1000)?;
    /// assert_eq!(array.flushed_len(), 0);
    /// array.flush()?;
    /// assert_eq!(array.flushed_len(), 1000);      // so many survive a power failure
    /// # Ok::<(), mapwright_core::Error>(())
    /// ```
    pub fn flush(&mut self) -> Result<()> {
        self.spill()?;
        self.body.flush()
    }

    /// Writes what waits, gives back the room reserved on the disk, unmaps, and reports what went wrong;
    /// `drop` cannot.
    ///
    /// # Errors
    /// As [`push`](Self::push). The array is closed all the same. Nothing is synced: that is
    /// [`flush`](Self::flush).
    ///
    /// # Kernel
    /// pwrite(2), ftruncate(2) to give back what was reserved, munmap(2).
    ///
    /// ```
    /// use mapwright_core::MapVec;
    /// # let folder = tempfile::tempdir().unwrap();
    /// # let path = folder.path().join("array");
    /// let mut array = MapVec::<u32>::create(&path)?;
    /// array.push(7)?;
    /// array.close()?;
    /// assert_eq!(MapVec::<u32>::open(&path)?.len(), 1);
    /// # Ok::<(), mapwright_core::Error>(())
    /// ```
    pub fn close(mut self) -> Result<()> {
        let finished = self.finish();
        self.body.unmap_at_once();
        finished
    }

    /// Closes the array as [`close`](Self::close) does, and returns its file.
    ///
    /// # Errors
    /// As [`close`](Self::close).
    ///
    /// ```
    /// use mapwright_core::{MapVec, MapVecOptions};
    /// # let folder = tempfile::tempdir().unwrap();
    /// # let path = folder.path().join("array");
    /// let mut array: MapVec<u32> = MapVecOptions::new().headerless().create(&path)?;
    /// array.push(7)?;
    /// assert_eq!(array.into_file()?.metadata()?.len(), 4);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn into_file(mut self) -> Result<Arc<File>> {
        self.finish()?;
        Ok(Arc::clone(self.body.source().file()))
    }

    fn waiting_mut(&mut self) -> &mut [T] {
        &mut self.tail.slots[..self.tail.len]
    }
}

impl<T: Plain, A: Access> MapVec<T, A> {
    /// Elements without a size are refused when the program is compiled.
    ///
    /// ```compile_fail
    /// mapwright_core::MapVec::<[u64; 0]>::create("array").unwrap();
    /// ```
    fn new(body: Body<A>) -> Self {
        const { assert!(size_of::<T>() > 0, "elements without a size leave nothing to store") };
        Self { body, tail: Tail { slots: Box::default(), len: 0 } }
    }

    fn waiting(&self) -> &[T] {
        &self.tail.slots[..self.tail.len]
    }

    fn write_waiting(&mut self) -> Result<()> {
        if self.tail.len > 0 {
            self.body.append(self.tail.slots[..self.tail.len].as_bytes())?;
            self.tail.len = 0;
        }
        Ok(())
    }

    /// Ends the array's life: nothing waits and nothing is reserved afterwards, or the error says why.
    fn finish(&mut self) -> Result<()> {
        self.body.stop_reserving();
        let written = self.write_waiting();
        // Reported once; dropping would try again.
        self.tail.len = 0;
        written.and(self.body.give_back())
    }

    #[cold]
    fn out_of_bounds(&self, action: &'static str, start: usize, count: usize) -> Error {
        let end = start.saturating_add(count);
        let why = match count {
            1 => format!("element {start} was asked for, but there are only {}", self.len()),
            _ => format!("elements {start}..{end} were asked for, but there are only {}", self.len()),
        };
        Error::new(ErrorKind::OutOfBounds, action, self.body.source().name(), why)
    }
}

impl<T: Plain, A: Access> Drop for MapVec<T, A> {
    fn drop(&mut self) {
        // In a forked child the waiting elements are the parent's to write, and `append` refuses.
        let _reported_by_close = self.finish();
    }
}

impl<T: Plain, A: Access> fmt::Debug for MapVec<T, A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MapVec")
            .field("path", &self.path())
            .field("len", &self.len())
            .field("capacity", &self.capacity())
            .finish_non_exhaustive()
    }
}

/// Makes zeroed elements, at least one, or says that memory is short.
fn zeroed<T: Plain, A: Access>(count: usize, action: &'static str, body: &Body<A>) -> Result<Vec<T>> {
    let count = count.max(1);
    let mut elements = T::new_vec_zeroed(count).map_err(|_| {
        let why = format!("no memory is left for {count} elements of {} bytes", size_of::<T>());
        Error::new(ErrorKind::OutOfMemory, action, body.source().name(), why)
    })?;
    prefer_huge_pages(&mut elements);
    Ok(elements)
}
