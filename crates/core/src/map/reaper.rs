//! Unmapping away from the caller's thread.
//!
//! Tearing down a touched map of gigabytes holds its caller for as long as the kernel needs to free every
//! page. So a large map's range is pushed onto a stack here, and one thread unmaps it in pieces: each piece
//! takes the address-space lock for a short while only. The stack is lock-free, so that a forked child never
//! finds it locked; a child has no such thread and unmaps on the spot. Whoever needs the
//! ranges gone, such as one who seals a file, calls [`finish`].

#![allow(unsafe_code, reason = "unmaps ranges that were handed over; listed in docs/SOUNDNESS.md")]

use std::ptr::NonNull;
use std::sync::OnceLock;
use std::thread::Thread;

#[cfg(not(loom))]
use super::mapping::widening;
use crate::sync::{AtomicPtr, AtomicUsize, Ordering};
use crate::sys::fork::{self, Generation};
use crate::sys::memory;

/// How much is unmapped at once.
const PIECE: usize = 32 << 20;

/// How many ranges may wait. Beyond that their owners unmap them: a loop that maps and drops must not run out
/// of address space because one thread cannot keep up.
const WAITING: usize = 32;

/// A range on its way out. Invariant: whoever holds the node owns the range.
struct Node {
    base: usize,
    len: usize,
    next: *mut Self,
}

/// A stack that any thread pushes to and empties, and how many ranges it answers for.
struct Queue {
    top: AtomicPtr<Node>,
    /// Ranges that were handed over, or announced, and are not unmapped yet.
    pending: AtomicUsize,
}

impl Queue {
    #[cfg(not(loom))]
    const fn new() -> Self {
        Self { top: AtomicPtr::new(std::ptr::null_mut()), pending: AtomicUsize::new(0) }
    }

    #[cfg(loom)]
    fn new() -> Self {
        Self { top: AtomicPtr::new(std::ptr::null_mut()), pending: AtomicUsize::new(0) }
    }

    /// Counts a range, before it is handed over or instead.
    fn announce(&self) {
        self.pending.fetch_add(1, Ordering::Relaxed);
    }

    /// A range that was counted is unmapped.
    fn arrived(&self) {
        self.pending.fetch_sub(1, Ordering::Release);
    }

    fn pending(&self) -> usize {
        self.pending.load(Ordering::Acquire)
    }

    fn hand_over(&self, base: usize, len: usize) {
        self.announce();
        self.push(base, len);
    }

    fn push(&self, base: usize, len: usize) {
        let node = Box::into_raw(Box::new(Node { base, len, next: std::ptr::null_mut() }));
        let mut top = self.top.load(Ordering::Relaxed);
        loop {
            // SAFETY: the node is ours until it is published below.
            unsafe { (*node).next = top };
            match self.top.compare_exchange_weak(top, node, Ordering::Release, Ordering::Relaxed) {
                Ok(_) => return,
                Err(now) => top = now,
            }
        }
    }

    /// Takes everything at once and lets `each` unmap each range, the youngest first.
    fn drain(&self, mut each: impl FnMut(usize, usize)) {
        let mut node = self.top.swap(std::ptr::null_mut(), Ordering::Acquire);
        while !node.is_null() {
            // SAFETY: the swap took the whole list away from everybody else; each node was made by
            // Box::into_raw.
            let taken = unsafe { Box::from_raw(node) };
            each(taken.base, taken.len);
            self.arrived();
            node = taken.next;
        }
    }
}

#[cfg(not(loom))]
static QUEUE: Queue = Queue::new();

/// The thread and the process that it lives in.
static REAPER: OnceLock<Option<(Thread, Generation)>> = OnceLock::new();

/// Takes a range over and unmaps it later; hands it back where there is no thread to do so.
///
/// # Safety
/// The caller owned the range, and nothing refers to it any more.
#[cfg(not(loom))]
pub(crate) unsafe fn defer(base: NonNull<u8>, len: usize) -> Result<(), ()> {
    match REAPER.get_or_init(start) {
        Some(reaper) if in_this_process(reaper) && QUEUE.pending() < WAITING => {
            QUEUE.hand_over(base.as_ptr().expose_provenance(), len);
            reaper.0.unpark();
            Ok(())
        }
        _ => Err(()),
    }
}

/// Counts a range that somebody else will unmap soon, so that [`finish`] waits for it; not where there is no
/// reaper.
#[cfg(not(loom))]
pub(crate) fn announce() -> bool {
    let is_here = REAPER.get_or_init(start).as_ref().is_some_and(in_this_process);
    if is_here {
        QUEUE.announce();
    }
    is_here
}

#[cfg(loom)]
pub(crate) fn announce() -> bool {
    false
}

/// A range that was announced; it is unmapped when this is dropped.
pub(crate) struct Announced(());

impl Announced {
    /// Takes one announcement back.
    pub(crate) fn arrives() -> Self {
        Self(())
    }
}

impl Drop for Announced {
    fn drop(&mut self) {
        #[cfg(not(loom))]
        QUEUE.arrived();
    }
}

#[cfg(loom)]
pub(crate) unsafe fn defer(_: NonNull<u8>, _: usize) -> Result<(), ()> {
    Err(())
}

/// Waits until every range that was handed over before is unmapped, and helps.
#[cfg(not(loom))]
pub(crate) fn finish() {
    if !REAPER.get().is_some_and(|reaper| reaper.as_ref().is_some_and(in_this_process)) {
        return;
    }
    while QUEUE.pending() > 0 {
        QUEUE.drain(unmap_in_pieces);
        std::thread::yield_now();
    }
}

#[cfg(loom)]
pub(crate) fn finish() {}

/// A child inherits the count, but neither the thread nor a duty to unmap.
#[cfg(not(loom))]
fn in_this_process((_, generation): &(Thread, Generation)) -> bool {
    *generation == fork::generation()
}

#[cfg(not(loom))]
fn start() -> Option<(Thread, Generation)> {
    let builder = std::thread::Builder::new().name("mapwright-unmap".into()).stack_size(64 << 10);
    let handle = builder.spawn(run).ok()?;
    Some((handle.thread().clone(), fork::generation()))
}

#[cfg(not(loom))]
fn run() {
    loop {
        QUEUE.drain(unmap_in_pieces);
        std::thread::park();
    }
}

/// Unmaps from the end, so that what is left stays one range.
#[cfg(not(loom))]
fn unmap_in_pieces(base: usize, len: usize) {
    let Some(start) = NonNull::new(std::ptr::with_exposed_provenance_mut::<u8>(base)) else { return };
    let mut left = len;
    while left > 0 {
        let piece = left.min(PIECE);
        // SAFETY: the pieces lie inside of the range.
        let cut = unsafe { start.add(left - piece) };
        // SAFETY: the node's holder owns the range, and each piece is unmapped once.
        if unsafe { memory::unmap(cut, piece) }.is_err() {
            // Huge pages are not cut within. Failing again (the kernel has no memory to split a mapping)
            // leaves the rest mapped: leaked, not dangling.
            // SAFETY: as above, for all that is left.
            let unmap = |len| unsafe { memory::unmap(start, len) };
            // Once a part is gone, what lies behind the rest may be somebody else's.
            let _leaked = if left == len { widening(left, unmap) } else { unmap(left) };
            return;
        }
        left -= piece;
    }
}

#[cfg(all(test, loom))]
mod loom_tests {
    use super::*;
    use loom::sync::Arc;

    #[test]
    fn loom_every_range_pushed_is_drained_once() {
        loom::model(|| {
            let queue = Arc::new(Queue::new());
            let other = Arc::clone(&queue);
            let pusher = loom::thread::spawn(move || {
                other.hand_over(1, 10);
                other.hand_over(2, 20);
            });
            queue.hand_over(3, 30);
            let mut seen = Vec::new();
            queue.drain(|base, len| seen.push((base, len)));
            pusher.join().unwrap();
            queue.drain(|base, len| seen.push((base, len)));
            seen.sort_unstable();
            assert_eq!((seen, queue.pending()), (vec![(1, 10), (2, 20), (3, 30)], 0));
        });
    }

    /// Whoever hands a range over and waits finds it unmapped, whichever thread did it.
    #[test]
    fn loom_who_waits_finds_the_range_unmapped() {
        loom::model(|| {
            let queue = Arc::new(Queue::new());
            let is_mapped = Arc::new(loom::cell::UnsafeCell::new(true));
            let unmap = |is_mapped: &loom::cell::UnsafeCell<bool>| {
                // SAFETY: the model checks that no other access happens at the same time.
                is_mapped.with_mut(|mapped| unsafe { *mapped = false });
            };
            let (reaper, range) = (Arc::clone(&queue), Arc::clone(&is_mapped));
            let reaper = loom::thread::spawn(move || reaper.drain(|_, _| unmap(&range)));
            queue.hand_over(1, 10);
            while queue.pending() > 0 {
                queue.drain(|_, _| unmap(&is_mapped));
                loom::thread::yield_now();
            }
            // SAFETY: as above.
            assert!(!is_mapped.with(|mapped| unsafe { *mapped }));
            reaper.join().unwrap();
        });
    }
}
