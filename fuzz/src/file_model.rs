//! What a file and the maps of it must show, byte by byte.
//!
//! A page of a map can be reached as long as the file reaches into it. Behind the file's end, the rest of the
//! last page belongs to nobody: what is read there is not compared, and what was stored there may or may not
//! show when somebody makes the file longer.

use std::collections::BTreeMap;
use std::ops::Range;

/// The size of a page where the targets run.
pub(crate) const PAGE: usize = 4096;

/// A byte, or `None` where nothing is promised.
type Known = Option<u8>;

/// The file.
#[derive(Debug)]
pub(crate) struct FileModel {
    bytes: Vec<Known>,
    /// Whether somebody stored behind the end.
    is_stained: bool,
}

impl FileModel {
    pub(crate) fn new(len: usize) -> Self {
        Self { bytes: vec![Some(0); len], is_stained: false }
    }

    pub(crate) fn len(&self) -> usize {
        self.bytes.len()
    }

    /// Up to where maps of the file can be touched.
    pub(crate) fn reach(&self) -> usize {
        self.len().next_multiple_of(PAGE)
    }

    pub(crate) fn set_len(&mut self, len: usize) {
        let (old, reach) = (self.len(), self.reach());
        self.bytes.resize(len, Some(0));
        if len > old && self.is_stained {
            self.bytes[old..reach.min(len)].fill(None);
        }
        // Cutting zeroes the rest of the page; growing within it leaves what is behind the new end.
        self.is_stained &= len >= old && len < reach;
    }

    /// Makes the file longer as [`Map::grow`](mapwright_core::Map::grow) promises: what is new are zeros.
    pub(crate) fn grow(&mut self, len: usize) {
        if len > self.len() {
            self.is_stained &= len < self.reach();
            self.bytes.resize(len, Some(0));
        }
    }

    /// Writes as write(2) does.
    pub(crate) fn write(&mut self, at: usize, bytes: &[u8]) {
        if bytes.is_empty() {
            return;
        }
        let end = at + bytes.len();
        if end > self.len() {
            self.set_len(end);
        }
        self.bytes[at..end].iter_mut().zip(bytes).for_each(|(known, &byte)| *known = Some(byte));
    }

    /// Stores through a shared map, which may reach behind the end.
    fn store(&mut self, at: usize, bytes: &[u8]) {
        for (place, &byte) in (at..).zip(bytes) {
            match self.bytes.get_mut(place) {
                Some(known) => *known = Some(byte),
                None => self.is_stained = true,
            }
        }
    }

    /// Punches a hole.
    pub(crate) fn punch(&mut self, range: Range<usize>) {
        let end = range.end.min(self.len());
        if range.start < end {
            self.bytes[range.start..end].fill(Some(0));
        }
    }

    fn get(&self, place: usize) -> Known {
        self.bytes.get(place).copied().flatten()
    }
}

/// Where a map's stores go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stores {
    ToTheFile,
    ToCopies,
    Nowhere,
}

/// One map of the file.
#[derive(Debug)]
pub(crate) struct MapModel {
    /// The file offset of the first byte that is shown.
    pub(crate) offset: usize,
    pub(crate) len: usize,
    pub(crate) stores: Stores,
    /// The pages of the file that this map has private copies of, by their numbers.
    copies: BTreeMap<usize, Vec<Known>>,
}

impl MapModel {
    pub(crate) fn new(offset: usize, len: usize, stores: Stores) -> Self {
        Self { offset, len, stores, copies: BTreeMap::new() }
    }

    pub(crate) fn end(&self) -> usize {
        self.offset + self.len
    }

    /// Takes the bytes from `at` on away, as a map of their own.
    pub(crate) fn split_off(&mut self, at: usize) -> Self {
        let offset = self.offset + at;
        let copies = self.copies.split_off(&offset.div_ceil(PAGE));
        let rest = Self { offset, len: self.len - at, stores: self.stores, copies };
        self.len = at;
        rest
    }

    /// The file became shorter: copies of pages that it no longer reaches are gone.
    pub(crate) fn follow(&mut self, file: &FileModel) {
        self.copies.split_off(&(file.reach() / PAGE));
    }

    /// The first byte of `at..+len` (counted from the map's beginning) that cannot be touched.
    pub(crate) fn first_fault(&self, file: &FileModel, at: usize, len: usize) -> Option<usize> {
        let (start, end) = (self.offset + at, self.offset + at + len);
        (len > 0 && end > file.reach()).then(|| start.max(file.reach()) - self.offset)
    }

    /// The byte at a place of the map.
    pub(crate) fn get(&self, file: &FileModel, at: usize) -> Known {
        let place = self.offset + at;
        match self.copies.get(&(place / PAGE)) {
            Some(copy) => copy[place % PAGE],
            None => file.get(place),
        }
    }

    /// Stores through the map.
    pub(crate) fn store(&mut self, file: &mut FileModel, at: usize, bytes: &[u8]) {
        let start = self.offset + at;
        if self.stores == Stores::ToTheFile {
            file.store(start, bytes);
            return;
        }
        for (place, &byte) in (start..).zip(bytes) {
            let page = place / PAGE;
            let copy = self.copies.entry(page).or_insert_with(|| {
                let places = page * PAGE..(page + 1) * PAGE;
                // What lies behind the end is zeros unless somebody stored there.
                places
                    .map(|it| if it < file.len() || file.is_stained { file.get(it) } else { Some(0) })
                    .collect()
            });
            copy[place % PAGE] = Some(byte);
        }
    }

    /// Gives up the copies of pages that a range of the map names to their last shown byte.
    pub(crate) fn forget_copies(&mut self, range: Range<usize>) {
        let (start, end) = (self.offset + range.start, self.offset + range.end);
        let shown = self.offset..self.end();
        let is_whole = |page: usize| {
            let first = (page * PAGE).max(shown.start);
            let last = ((page + 1) * PAGE).min(shown.end);
            start <= first && last <= end && first < last
        };
        self.copies.retain(|&page, _| !is_whole(page));
    }
}
