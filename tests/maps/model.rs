//! What a shared map and its file must be after each step: a vector, and the rules.

use super::PAGE;
use super::step::{LONGEST, Place, Step, Store, bytes};
use mapwright::Advice;
use std::ops::Range;

/// A file and one map of it.
#[derive(Debug, Clone)]
pub(crate) struct Model {
    pub(crate) file: Vec<u8>,
    /// The file offset of the map's first byte.
    pub(super) offset: usize,
    /// How many bytes the map shows.
    pub(super) len: usize,
    /// How many it can show without moving.
    pub(super) capacity: usize,
    /// How many steps were taken.
    pub(super) number: usize,
    /// Whether pages were locked since the map was made; those cannot be removed.
    is_locked: bool,
}

/// How a step must end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Outcome {
    Done,
    /// A fault at this offset of the map.
    Truncated(usize),
    OutOfBounds,
    InvalidInput,
    /// Advice that the kernel may refuse.
    DoneOrRefused,
}

impl Model {
    /// A file of these bytes, mapped whole.
    pub(crate) fn new(file: Vec<u8>) -> Self {
        Self { len: file.len(), capacity: file.len(), offset: 0, file, number: 0, is_locked: false }
    }

    /// How many bytes of the map are in the file.
    pub(super) fn known(&self) -> usize {
        self.file.len().saturating_sub(self.offset).min(self.len)
    }

    /// Those bytes.
    pub(super) fn shown(&self) -> &[u8] {
        let start = self.offset.min(self.file.len());
        &self.file[start..start + self.known()]
    }

    /// How many bytes of the map can be accessed: to the end of the file's last page.
    pub(super) fn accessible(&self) -> usize {
        self.file.len().next_multiple_of(PAGE).saturating_sub(self.offset).min(self.len)
    }

    /// The range of the map that a store is about.
    pub(super) fn stored(&self, store: Store, place: Place) -> Range<usize> {
        let mut range = place.within(self.len);
        match store {
            Store::Atomic => {
                range.start = (self.offset + range.start).next_multiple_of(8) - self.offset;
                range.end = range.start + 8;
            }
            Store::Word => range.end = range.start + 8,
            Store::Slice => range.end -= range.len() % 4,
            Store::Copy | Store::Fill | Store::Bulk => {}
        }
        // What is stored behind the end, in the last page, belongs to nobody and may be seen or not.
        let (known, accessible) = (self.known(), self.accessible());
        let is_nobodys = known < accessible && range.start < accessible && range.end > known;
        // How much of a torn word was stored is not promised.
        let is_torn = range.len() == 8 && range.start < accessible && range.end > accessible;
        if range.end > self.len || is_nobodys || is_torn { 0..0 } else { range }
    }

    /// Whether pages may be locked.
    pub(super) fn is_locked(&self) -> bool {
        self.is_locked
    }

    /// Takes a step.
    pub(crate) fn take(&mut self, step: &Step) -> Outcome {
        self.number += 1;
        match *step {
            Step::Store(store, place) => self.store(store, self.stored(store, place)),
            Step::Advise(Advice::Remove, _) if self.is_locked => Outcome::Done,
            Step::Advise(Advice::Remove, place) => {
                let range = place.within(self.len);
                let first = (self.offset + range.start).next_multiple_of(PAGE);
                let end = (self.offset + range.end) / PAGE * PAGE;
                self.zero(first..end);
                Outcome::Done
            }
            Step::Lock(_) => {
                self.is_locked = true;
                Outcome::DoneOrRefused
            }
            Step::Advise(..) | Step::Evict(_) => Outcome::DoneOrRefused,
            Step::Punch(place) => {
                let range = place.within(self.len);
                self.zero(self.offset + range.start..self.offset + range.end);
                Outcome::Done
            }
            Step::Flush(_) | Step::StartWriteback(_) | Step::Unlock(_) | Step::GiveUpWritingAndBegin => {
                Outcome::Done
            }
            Step::Grow(len) => self.grow(len),
            Step::Truncate(len) => self.truncate(len),
            Step::Resize(len) if len < self.len => self.truncate(len),
            Step::Resize(len) => {
                self.capacity = self.capacity.max(len);
                self.grow(len)
            }
            Step::Refresh => {
                self.len = self.file.len().saturating_sub(self.offset);
                self.capacity = self.capacity.max(self.len);
                Outcome::Done
            }
            Step::RefreshInPlace => {
                self.len = self.file.len().saturating_sub(self.offset).min(self.capacity);
                Outcome::Done
            }
            Step::Reopen(offset, reserve) => self.reopen(offset % (self.file.len() + 1), reserve),
            // The parts cannot be joined again.
            Step::Split(_) => self.reopen(self.offset.min(self.file.len()), self.capacity),
            Step::WriteElsewhere(place) => {
                let range = place.within(LONGEST);
                if !range.is_empty() {
                    let stored = bytes(self.number, range.len());
                    self.file.resize(self.file.len().max(range.end), 0);
                    self.file[range].copy_from_slice(&stored);
                }
                Outcome::Done
            }
            Step::ResizeElsewhere(len) => {
                self.file.resize(len, 0);
                Outcome::Done
            }
        }
    }

    fn store(&mut self, store: Store, range: Range<usize>) -> Outcome {
        let accessible = self.accessible();
        let written = range.start..range.end.min(accessible);
        if !written.is_empty() {
            let stored = store.bytes(self.number, range.len());
            let in_file = self.offset + written.start..self.offset + written.end;
            self.file[in_file].copy_from_slice(&stored[..written.len()]);
        }
        if range.is_empty() || range.end <= accessible {
            Outcome::Done
        } else {
            Outcome::Truncated(range.start.max(accessible))
        }
    }

    fn zero(&mut self, range: Range<usize>) {
        let end = range.end.min(self.file.len());
        if range.start < end {
            self.file[range.start..end].fill(0);
        }
    }

    fn grow(&mut self, len: usize) -> Outcome {
        if len <= self.len {
            return Outcome::Done;
        }
        if len > self.capacity {
            return Outcome::OutOfBounds;
        }
        self.file.resize(self.file.len().max(self.offset + len), 0);
        self.len = len;
        Outcome::Done
    }

    fn truncate(&mut self, len: usize) -> Outcome {
        if len > self.len {
            return Outcome::OutOfBounds;
        }
        if self.file.len() > self.offset + self.len {
            return Outcome::InvalidInput;
        }
        self.file.truncate(self.offset + len);
        self.len = len;
        Outcome::Done
    }

    fn reopen(&mut self, offset: usize, reserve: usize) -> Outcome {
        self.offset = offset;
        self.len = self.file.len() - offset;
        self.capacity = self.len.max(reserve);
        self.is_locked = false;
        Outcome::Done
    }
}
