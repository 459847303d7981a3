//! Direct reads in flight, in the order of a file: past the page cache, whose pages are left as they are.
//!
//! How many there are is a matter of [`Depth`]. Whatever goes wrong ends the queue, not the stream: the map
//! has the same bytes, and says what is wrong with them.

use std::collections::VecDeque;
use std::os::fd::{AsFd, OwnedFd};

use super::cached::{self, Cached};
use super::depth::Depth;
use crate::map::{Readable, Source};
use crate::ring::{self, BLOCK, Issuer, Reader};
use crate::span::to_u64;
use crate::view::View;

/// One direct read.
const SLOT: usize = 2 << 20;

/// The most that are in flight: 64 MiB.
const SLOTS: usize = 32;

/// How many are in flight at first, and where the file is short.
const FEWEST_SLOTS: usize = 8;

/// Direct reads in flight, in the order of the file.
pub(super) struct Direct {
    reader: Reader,
    file: OwnedFd,
    /// Slots in flight or being looked at, oldest first: the file offset that each begins at.
    queue: VecDeque<(usize, u64)>,
    /// How long the queue is to be.
    depth: Depth,
    /// Where the next read will begin.
    next: u64,
    /// Until where the page cache was asked, and whether it has those bytes.
    asked: u64,
    cached: bool,
    /// The slot that was lent out by the last call.
    lent: bool,
    /// A read failed: the map decides from here on.
    broken: bool,
}

impl std::fmt::Debug for Direct {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Direct").field("next", &self.next).field("queue", &self.queue).finish_non_exhaustive()
    }
}

impl Direct {
    /// Sets a queue up, if the file and the kernel allow it.
    pub(super) fn open(source: &Source, len: usize) -> Option<Self> {
        let file = ring::open_direct(source.fd()).ok()?;
        let slots = (len / SLOT / 8).clamp(FEWEST_SLOTS, SLOTS);
        let reader = Reader::new(slots, SLOT, Issuer::AnyThread).ok()?;
        let (queue, depth) = (VecDeque::with_capacity(slots), Depth::between(FEWEST_SLOTS, slots));
        Some(Self {
            reader,
            file,
            queue,
            depth,
            next: 0,
            asked: 0,
            cached: false,
            lent: false,
            broken: false,
        })
    }

    /// The bytes in a slot that [`take`](Self::take) has named.
    pub(super) fn bytes(&self, slot: usize) -> &[u8] {
        self.reader.bytes(slot)
    }

    /// Returns the slot that holds byte `at` of the view, with how much of it to skip and to use; `None`
    /// where the map has to be asked instead.
    pub(super) fn take<A: Readable>(
        &mut self,
        view: &View<'_, A>,
        at: usize,
    ) -> Option<(usize, usize, usize)> {
        if !self.reader.is_here() {
            // A forked child has neither the buffers nor the reads.
            return None;
        }
        if std::mem::take(&mut self.lent)
            && let Some((slot, _)) = self.queue.pop_front()
        {
            self.reader.release(slot);
            self.depth.used_one();
        }
        let wanted = view.file_offset(at);
        if self.broken {
            return None;
        }
        if self.is_cached(view, wanted) {
            self.depth.interrupted();
            return None;
        }
        if self.queue.is_empty() {
            self.next = wanted - wanted % to_u64(BLOCK);
        }
        self.fill_queue(view);
        let &(slot, start) = self.queue.front()?;
        let skip = usize::try_from(wanted.checked_sub(start)?).ok()?;
        let read = match self.reader.wait(slot) {
            Ok(read) => read,
            // The kernel will not say any more what becomes of it.
            Err(_) if !self.reader.is_done(slot) => {
                self.broken = true;
                return None;
            }
            Err(_) => 0,
        };
        let len = read.saturating_sub(skip).min(view.len() - at);
        self.lent = true;
        if len == 0 {
            // Shorter than expected, or an error: the access through the map says which.
            self.broken = true;
            return None;
        }
        // A short read ends at the file's end or before a bad block; what follows is the map's to explain.
        self.broken = read < SLOT && len < view.len() - at;
        Some((slot, skip, len))
    }

    /// Whether the page cache has the window that a byte lies in. Never so while reads are in flight before
    /// it.
    fn is_cached<A: Readable>(&mut self, view: &View<'_, A>, wanted: u64) -> bool {
        if !self.queue.is_empty() {
            return false;
        }
        if wanted >= self.asked {
            let window = self.window();
            let end = view.file_offset(view.len());
            let len = usize::try_from(end - wanted).unwrap_or(usize::MAX).min(window);
            self.cached = match view.source() {
                Some(source) => cached::ask(source.fd(), wanted, len) == Cached::Mostly,
                None => true,
            };
            self.asked = wanted + to_u64(len);
        }
        self.cached
    }

    /// Keeps as many reads in flight as there should be. Stops at the end of a window that was asked about,
    /// so that the next is asked about too.
    fn fill_queue<A: Readable>(&mut self, view: &View<'_, A>) {
        let end = view.file_offset(view.len());
        let mut queued = false;
        while let Some(slot) = self.free_slot().filter(|_| self.next < end) {
            if self.next >= self.asked && self.next_window_is_cached(view) {
                break;
            }
            self.reader.queue(slot, self.file.as_fd(), self.next, SLOT);
            self.queue.push_back((slot, self.next));
            self.next += to_u64(SLOT);
            queued = true;
        }
        if queued && self.reader.submit(0).is_err() {
            self.broken = true;
        }
    }

    /// Returns a slot, if one is free and more should be in flight.
    fn free_slot(&self) -> Option<usize> {
        if self.queue.len() < self.depth.now() { self.reader.free_slot() } else { None }
    }

    /// How much is asked about at once: the most that may be in flight.
    fn window(&self) -> usize {
        self.reader.slots() * self.reader.slot_len()
    }

    /// Asks about the window that the next read would begin in.
    fn next_window_is_cached<A: Readable>(&mut self, view: &View<'_, A>) -> bool {
        let window = self.window();
        let Some(source) = view.source() else { return true };
        if cached::ask(source.fd(), self.next, window) == Cached::Mostly {
            return true;
        }
        self.asked = self.next + to_u64(window);
        false
    }
}
