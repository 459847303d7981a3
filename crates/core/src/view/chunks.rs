//! Walking a view: chunks copied into one buffer, or pieces that are views themselves.

use super::View;
use crate::error::{Fault, Result};
use crate::map::{Access, Readable};

/// The bytes of a view in order, a buffer at a time; made by [`View::chunks`].
///
/// It lends its buffer, so it is not an `Iterator`: `while let Some(chunk) = chunks.next_chunk()`.
///
/// ```
/// # use mapwright_core::MapOptions;
/// let map = MapOptions::new().shared_memory(10_000)?;
/// map.view().fill(.., 1)?;
/// let (mut chunks, mut sum) = (map.view().chunks(4096), 0u64);
/// while let Some(chunk) = chunks.next_chunk() {
///     sum += chunk?.iter().map(|&byte| u64::from(byte)).sum::<u64>();
/// }
/// assert_eq!(sum, 10_000);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct Chunks<'map, A: Access> {
    view: View<'map, A>,
    at: usize,
    buffer: Vec<u8>,
}

impl<'map, A: Readable> Chunks<'map, A> {
    pub(super) fn new(view: View<'map, A>, size: usize) -> Self {
        assert!(size > 0, "a chunk has at least one byte");
        Self { view, at: 0, buffer: vec![0; size.min(view.len())] }
    }

    /// Copies the next chunk and lends it, or returns `None` at the end.
    ///
    /// # Errors
    /// The item is a fault where the chunk cannot be read whole; the walk goes on behind it when called
    /// again.
    pub fn next_chunk(&mut self) -> Option<Result<&[u8], Fault>> {
        let size = self.buffer.len().min(self.view.len() - self.at);
        if size == 0 {
            return None;
        }
        let at = self.at;
        self.at += size;
        let chunk = &mut self.buffer[..size];
        Some(self.view.copy_to(at, chunk).map(|()| &*chunk))
    }

    /// Returns the offset of the next chunk.
    #[must_use]
    pub fn position(&self) -> usize {
        self.at
    }
}

/// The parts of a view in order; made by [`View::pieces`].
///
/// ```
/// # use mapwright_core::MapOptions;
/// let map = MapOptions::new().shared_memory(10)?;
/// let lengths: Vec<usize> = map.view().pieces(4).map(|piece| piece.len()).collect();
/// assert_eq!(lengths, [4, 4, 2]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
pub struct Pieces<'map, A: Access> {
    rest: View<'map, A>,
    size: usize,
}

impl<'map, A: Access> Pieces<'map, A> {
    pub(super) fn new(view: View<'map, A>, size: usize) -> Self {
        assert!(size > 0, "a piece has at least one byte");
        Self { rest: view, size }
    }
}

impl<'map, A: Access> Iterator for Pieces<'map, A> {
    type Item = View<'map, A>;

    fn next(&mut self) -> Option<Self::Item> {
        let size = self.size.min(self.rest.len());
        if size == 0 {
            return None;
        }
        let (piece, rest) = self.rest.split_at(size).ok()?;
        self.rest = rest;
        Some(piece)
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        let left = self.rest.len().div_ceil(self.size);
        (left, Some(left))
    }
}

impl<A: Access> ExactSizeIterator for Pieces<'_, A> {}
