//! The file behind an array, in bytes: how elements are written, published, counted and made durable.
//!
//! ```text
//!  0        start                     end                         reserved to
//!  │ header │ published elements       │ room on the disk, not in    │
//!  │        │                          │ the file's length           │
//!  └────────┴──────────────────────────┴─────────────────────────────┘
//! ```
//! Elements are appended by pwrite(2), not by stores: a full disk is an error at that moment, and a page that
//! is written whole need not be read or zeroed before. They are published by one store of the count after
//! they were written, so whoever reads the count finds the elements. Room is reserved ahead without changing
//! the file's length (a copy of the file holds no padding), and given back when the array is closed.
//!
//! Deliberately absent: types. `MapVec` knows what the bytes are.

use std::fs::File;
use std::sync::atomic::Ordering;

use super::ahead::Ahead;
use super::header;
use super::lock::Lock;
use super::options::{Form, MapVecOptions};
use super::places::Places;
use crate::error::{Error, ErrorKind, Fault, FaultKind, Result};
use crate::map::region::Release;
use crate::map::{Access, Map, MapOptions, ReadOnly, ReadWrite, Source};
use crate::span::to_u64;
use crate::sys::file;
use crate::sys::fork::{self, Generation};
use crate::view::View;

/// Less address space than this is not worth asking for in place of more.
const LEAST_RESERVE: usize = 1 << 20;

/// How an open file is mapped, by what the array may do.
pub(super) type Mapper<A> = fn(&MapOptions, Source) -> Result<Map<A>>;

/// The open file, its map, and what is known of both.
#[derive(Debug)]
pub(super) struct Body<A: Access> {
    map: Map<A>,
    source: Source,
    mapper: Mapper<A>,
    places: Places,
    options: MapVecOptions,
    /// Elements that are in the file and counted.
    published: usize,
    /// Elements that the last flush made durable, as the header says it.
    flushed: usize,
    ahead: Ahead,
    /// The directory of a new file, until its name is durable, too.
    unsynced_name: Option<File>,
    /// The error of a failed flush: the kernel reports it once and forgets, we do not.
    flush_failure: Option<i32>,
    lock: Option<Lock>,
    opened_by: Generation,
}

/// What was found in an open file, or written into a new one.
pub(super) struct Found {
    pub(super) places: Places,
    pub(super) published: usize,
    pub(super) flushed: usize,
    pub(super) lock: Option<Lock>,
    pub(super) unsynced_name: Option<File>,
}

impl<A: Access> Body<A> {
    /// Maps an open file whose contents were checked.
    pub(super) fn new(
        source: Source,
        mapper: Mapper<A>,
        options: &MapVecOptions,
        found: Found,
    ) -> Result<Self> {
        let Found { places, published, flushed, lock, unsynced_name } = found;
        let end = places.end(published).ok_or_else(|| too_large(&source, published))?;
        let map = map_with_room(&source, mapper, options.reserve, end)?;
        if map.len() < end {
            let fault = map.region().fault(FaultKind::Truncated, map.len(), 0);
            return Err(Error::faulted("open", source.name(), fault));
        }
        map.region().set_len(end);
        Ok(Self {
            map,
            source,
            mapper,
            places,
            options: options.clone(),
            published,
            flushed,
            ahead: Ahead::new(),
            unsynced_name,
            flush_failure: None,
            lock,
            opened_by: fork::generation(),
        })
    }

    #[inline]
    pub(super) fn map(&self) -> &Map<A> {
        &self.map
    }

    /// A view of the published elements.
    pub(super) fn elements(&self) -> View<'_, A> {
        let view = self.map.view();
        view.sub(self.places.start..).expect("what is visible begins with the header")
    }

    pub(super) fn source(&self) -> &Source {
        &self.source
    }

    pub(super) fn options(&self) -> &MapVecOptions {
        &self.options
    }

    pub(super) fn is_locked(&self) -> bool {
        self.lock.is_some()
    }

    #[inline]
    pub(super) fn places(&self) -> Places {
        self.places
    }

    #[inline]
    pub(super) fn published(&self) -> usize {
        self.published
    }

    pub(super) fn flushed(&self) -> usize {
        self.flushed.min(self.published)
    }

    /// Appends elements, given as bytes, and publishes them. On an error none of them is in the array.
    pub(super) fn append(&mut self, bytes: &[u8]) -> Result<()> {
        self.demand_own("append to")?;
        let count = self.published.checked_add(bytes.len() / self.places.size);
        let end = count.and_then(|count| self.places.end(count));
        let (Some(count), Some(end)) = (count, end) else {
            return Err(too_large(&self.source, self.published));
        };
        let from = self.places.offset(self.published);
        self.demand_whole("append to")?;
        self.make_room(end)?;
        self.ahead.reserve(self.source.file(), to_u64(from), to_u64(end));
        if let Err(cause) = file::write_all_at(self.source.file(), bytes, to_u64(from)) {
            // Half an element must not stay behind, where the file's length is the count.
            let _cut_or_not = self.cut_at_end();
            return Err(self.failed("append to", cause));
        }
        self.publish(count).map_err(|fault| self.faulted("append to", fault))
    }

    /// Makes the count that others see agree with what is in the file.
    fn publish(&mut self, count: usize) -> Result<(), Fault> {
        self.forget_flush_beyond(self.published.min(count))?;
        // What is counted must be visible here, so the longer length comes first or last.
        self.map.region().set_len(self.places.offset(self.published.max(count)));
        if let Err(fault) = self.store(header::COUNT, count) {
            self.map.region().set_len(self.places.offset(self.published));
            return Err(fault);
        }
        self.published = count;
        self.map.region().set_len(self.places.offset(count));
        Ok(())
    }

    /// Takes back what was said to be durable, before it is changed.
    fn forget_flush_beyond(&mut self, count: usize) -> Result<(), Fault> {
        if self.flushed > count {
            self.store(header::FLUSHED, count)?;
            self.flushed = count;
        }
        Ok(())
    }

    /// Says that every element is about to be changed.
    pub(super) fn forget_flush(&mut self, action: &'static str) -> Result<()> {
        self.demand_own(action)?;
        self.demand_whole(action)?;
        self.forget_flush_beyond(0).map_err(|fault| self.faulted(action, fault))
    }

    /// Stores one of the header's two words, after everything that was written before.
    fn store(&self, place: usize, count: usize) -> Result<(), Fault> {
        match self.options.form {
            Form::Headerless => Ok(()),
            Form::WithHeader => {
                let word = View::<ReadWrite>::of(self.map.region()).atomic::<u64>(place)?;
                word.store(header::word_of(count), Ordering::Release)
            }
        }
    }

    /// Drops the elements from `count` on, and gives their room back to the disk.
    pub(super) fn truncate(&mut self, count: usize) -> Result<()> {
        self.demand_own("truncate")?;
        self.demand_whole("truncate")?;
        self.publish(count).map_err(|fault| self.faulted("truncate", fault))?;
        self.cut_at_end().map_err(|cause| self.failed("truncate", cause))
    }

    /// Ends the file where the elements end; what was reserved beyond goes back to the disk.
    fn cut_at_end(&mut self) -> std::io::Result<()> {
        self.ahead = Ahead::new();
        Ok(rustix::fs::ftruncate(self.source.file(), to_u64(self.places.offset(self.published)))?)
    }

    /// Makes everything published durable: first the elements, then the count of them, then the name of a new
    /// file.
    pub(super) fn flush(&mut self) -> Result<()> {
        self.demand_own("flush")?;
        if let Some(number) = self.flush_failure {
            let error = self.failed("flush", std::io::Error::from_raw_os_error(number));
            return Err(error.advice(
                "a flush failed, and the kernel may have dropped what it could not write: make it anew",
            ));
        }
        self.sync()?;
        if self.flushed != self.published {
            if self.options.form == Form::WithHeader {
                self.store(header::FLUSHED, self.published).map_err(|fault| self.faulted("flush", fault))?;
                self.sync()?;
            }
            self.flushed = self.published;
        }
        if let Some(directory) = &self.unsynced_name {
            directory.sync_all().map_err(|cause| self.failed("make durable the name of", cause))?;
            self.unsynced_name = None;
        }
        Ok(())
    }

    fn sync(&mut self) -> Result<()> {
        self.source.file().sync_data().map_err(|cause| {
            self.flush_failure = cause.raw_os_error().or(Some(libc::EIO));
            self.failed("flush", cause)
        })
    }

    /// Says that the file's name is not durable before this directory is.
    pub(super) fn name_is_unsynced_in(&mut self, directory: Option<File>) {
        self.unsynced_name = directory;
    }

    /// Unmaps before the array's end returns, not by another thread: what was removed is free then.
    pub(super) fn unmap_at_once(&mut self) {
        self.map.exclusive().set_release(Release::Now);
    }

    /// From here on nothing is reserved that the next elements do not need.
    pub(super) fn stop_reserving(&mut self) {
        self.ahead.stop();
    }

    /// Gives back what was reserved and not used.
    pub(super) fn give_back(&mut self) -> Result<()> {
        if !self.ahead.reaches_beyond(to_u64(self.places.offset(self.published))) || !self.is_own() {
            return Ok(());
        }
        // Cutting a file that others have cut shorter would make it longer.
        self.demand_whole("close")?;
        self.cut_at_end().map_err(|cause| self.failed("close", cause))
    }

    /// Takes over what another process has published, or cut off, since.
    pub(super) fn refresh(&mut self, published: usize, flushed: usize) -> Result<()> {
        let end = self.places.end(published).ok_or_else(|| too_large(&self.source, published))?;
        self.make_room(end)?;
        self.map.region().set_len(end);
        (self.published, self.flushed) = (published, flushed);
        Ok(())
    }

    /// Maps the file anew, with more room, where the address space that was reserved does not suffice.
    fn make_room(&mut self, end: usize) -> Result<()> {
        if end > self.map.region().capacity() {
            let visible = self.map.len();
            let map = map_with_room(&self.source, self.mapper, end.saturating_mul(2), end)?;
            map.region().set_len(visible);
            self.map = map;
        }
        Ok(())
    }

    /// A file that somebody has cut must not be written behind its end: the gap would read as zeros. Nor one
    /// that was emptied and has grown again.
    fn demand_whole(&self, action: &'static str) -> Result<()> {
        let len = file::len(self.source.fd()).map_err(|cause| self.failed("examine", cause))?;
        if len < to_u64(self.places.offset(self.published)) {
            let reached = usize::try_from(len).unwrap_or(usize::MAX);
            let fault = self.map.region().fault(FaultKind::Truncated, reached, 0);
            let left = format!("{} of its {} elements are left", self.places.count_in(len).0, self.published);
            return Err(self.faulted(action, fault).advice(left));
        }
        if self.options.form == Form::WithHeader {
            let header = View::<ReadOnly>::of(self.map.region());
            if header.load::<[u8; 8]>(0).map_err(|fault| self.faulted(action, fault))? != header::MAGIC {
                let why = "somebody has overwritten its header";
                return Err(Error::new(ErrorKind::Damaged, action, self.source.name(), why));
            }
        }
        Ok(())
    }

    fn is_own(&self) -> bool {
        self.opened_by == fork::generation()
    }

    /// A forked child has a copy of the array's state, which parts from its parent's: two writers.
    #[inline]
    pub(super) fn demand_own(&self, action: &'static str) -> Result<()> {
        if self.is_own() {
            return Ok(());
        }
        let why = "this process is a fork of the one that opened it; open it again here";
        Err(Error::new(ErrorKind::InvalidInput, action, self.source.name(), why))
    }

    /// Describes a failed call on the file.
    #[cold]
    pub(super) fn failed(&self, action: &'static str, cause: std::io::Error) -> Error {
        Error::os(action, self.source.name(), cause)
    }

    /// Describes a fault in the file.
    #[cold]
    pub(super) fn faulted(&self, action: &'static str, fault: Fault) -> Error {
        Error::faulted(action, self.source.name(), fault)
    }
}

#[cold]
fn too_large(source: &Source, count: usize) -> Error {
    let why = format!("{count} elements and more do not fit into the address space");
    Error::new(ErrorKind::OutOfMemory, "map", source.name(), why)
}

/// Maps a file with as much address space as the system grants, at least up to `end`.
fn map_with_room<A: Access>(source: &Source, mapper: Mapper<A>, wanted: usize, end: usize) -> Result<Map<A>> {
    let mut reserve = wanted.max(end);
    loop {
        match mapper(&MapOptions::new().reserve(reserve), source.clone()) {
            Err(error) if error.kind() == ErrorKind::OutOfMemory && reserve > end.max(LEAST_RESERVE) => {
                reserve = (reserve / 2).max(end);
            }
            result => return result,
        }
    }
}
