//! What a forked child does not have: ranges of memory, in whose place it finds nothing, for good; and
//! descriptors.
//!
//! `MADV_DONTFORK` leaves a hole in the child. Whatever the child maps next may land in it, and a view that
//! was inherited would reach that. So the holes are filled before the child runs a line of its own: a handler
//! of pthread_atfork(3) puts inaccessible pages there, where every access faults.
//!
//! A descriptor on whose open file description a lock says that *this* process is alive must not live on in a
//! child either: it is closed there by the same handler.
//!
//! A lock around each change, held by whoever forks, sees to it that a child's holes are those of the table.
//! Children made without fork(3) (by a raw clone(2), by `_Fork`) skip such handlers; they may call nothing
//! but what is async-signal-safe anyway. Children that share the memory (vfork, posix_spawn) have no holes.

#![allow(unsafe_code, reason = "maps pages into a child's holes; listed in docs/SOUNDNESS.md")]

use std::cell::UnsafeCell;
use std::io;
use std::ops::Range;
use std::os::fd::RawFd;
use std::ptr::NonNull;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};

use super::memory::{self as kernel, Backing};
use super::page;

/// The ranges, by address, none of which touch.
struct Table {
    locked: AtomicBool,
    ranges: UnsafeCell<Vec<Range<usize>>>,
    descriptors: UnsafeCell<Vec<RawFd>>,
}

// SAFETY: the ranges and descriptors are touched by whoever holds the lock, and by the one thread of a child
// whose parent's thread held it.
unsafe impl Sync for Table {}

static TABLE: Table = Table {
    locked: AtomicBool::new(false),
    ranges: UnsafeCell::new(Vec::new()),
    descriptors: UnsafeCell::new(Vec::new()),
};

/// The table, while nobody forks and nobody else changes it.
pub(crate) struct Locked(());

/// Sees to it that forks lock the table and fill the child's holes. Called with the first map: handlers that
/// were registered later run before ours, so that none of their locks is waited for while ours is held.
///
/// # Errors
/// Where pthread_atfork(3) has no memory.
pub(crate) fn hook() -> io::Result<()> {
    static HOOKED: OnceLock<i32> = OnceLock::new();
    // SAFETY: the three functions touch the table and make system calls only.
    let hooks = || unsafe { libc::pthread_atfork(Some(before), Some(in_parent), Some(in_child)) };
    match *HOOKED.get_or_init(hooks) {
        0 => Ok(()),
        refused => Err(io::Error::from_raw_os_error(refused)),
    }
}

/// Locks the table.
///
/// # Errors
/// As [`hook`].
pub(crate) fn lock() -> io::Result<Locked> {
    hook()?;
    acquire();
    Ok(Locked(()))
}

impl Locked {
    /// Says that children will lack a range. It is joined with those that it touches.
    pub(crate) fn insert(&mut self, range: Range<usize>) {
        let mut whole = range;
        let ranges = self.ranges();
        ranges.retain(|known| {
            let touches = known.start <= whole.end && whole.start <= known.end;
            if touches {
                whole = known.start.min(whole.start)..known.end.max(whole.end);
            }
            !touches
        });
        let place = ranges.partition_point(|known| known.start < whole.start);
        ranges.insert(place, whole);
    }

    /// Says that children will have a range again, or that nobody has it any more.
    pub(crate) fn remove(&mut self, range: Range<usize>) {
        let ranges = self.ranges();
        let mut rest = Vec::new();
        ranges.retain(|known| {
            let overlaps = known.start < range.end && range.start < known.end;
            if overlaps {
                rest.extend(
                    [known.start..range.start, range.end..known.end].into_iter().filter(|it| !it.is_empty()),
                );
            }
            !overlaps
        });
        ranges.extend(rest);
        ranges.sort_unstable_by_key(|known| known.start);
    }

    /// Says that a range has moved, or changed its length: whether children lack it stays as it was.
    pub(crate) fn move_to(&mut self, old: Range<usize>, new: Range<usize>) {
        if self.ranges().iter().any(|known| known.start <= old.start && old.end <= known.end) {
            self.remove(old);
            self.insert(new);
        }
    }

    /// Says that children close a descriptor. Taken back before it is closed here.
    pub(crate) fn insert_descriptor(&mut self, descriptor: RawFd) {
        self.descriptors().push(descriptor);
    }

    /// Says that children keep a descriptor, or that nobody has it any more.
    pub(crate) fn remove_descriptor(&mut self, descriptor: RawFd) {
        self.descriptors().retain(|&known| known != descriptor);
    }

    fn descriptors(&mut self) -> &mut Vec<RawFd> {
        // SAFETY: this is the holder of the lock, and it is borrowed mutably.
        unsafe { &mut *TABLE.descriptors.get() }
    }

    fn ranges(&mut self) -> &mut Vec<Range<usize>> {
        // SAFETY: this is the holder of the lock, and it is borrowed mutably.
        unsafe { &mut *TABLE.ranges.get() }
    }
}

impl Drop for Locked {
    fn drop(&mut self) {
        release();
    }
}

fn acquire() {
    while TABLE.locked.compare_exchange_weak(false, true, Ordering::Acquire, Ordering::Relaxed).is_err() {
        // Held for a system call, or for as long as somebody forks.
        std::thread::yield_now();
    }
}

fn release() {
    TABLE.locked.store(false, Ordering::Release);
}

extern "C" fn before() {
    acquire();
}

extern "C" fn in_parent() {
    release();
}

/// Fills the holes. Allocates nothing.
extern "C" fn in_child() {
    // SAFETY: the thread that forked held the lock, and this is its copy: the only thread that there is.
    let ranges = unsafe { &*TABLE.ranges.get() };
    ranges.iter().cloned().for_each(fill);
    // SAFETY: as above; nobody holds a reference, and clearing frees nothing.
    let descriptors = unsafe { &mut *TABLE.descriptors.get() };
    for descriptor in descriptors.drain(..) {
        // SAFETY: takes a number; whoever owns it in the parent knows that the child has it no more
        // (the epoch tells).
        let _closed = unsafe { libc::close(descriptor) };
    }
    super::fork::begin_epoch();
    release();
}

/// Fills what is free of a range, and leaves the rest as it is: the child of a child has inherited what fills
/// its parent's holes, and a range may have been lacking in part.
fn fill(range: Range<usize>) {
    let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_NORESERVE | libc::MAP_FIXED_NOREPLACE;
    let len = range.len();
    // SAFETY: nothing that exists is replaced.
    let filled = unsafe { kernel::map(range.start, len, libc::PROT_NONE, flags, Backing::ANONYMOUS) };
    let is_taken = filled.is_err_and(|error| error.raw_os_error() == Some(libc::EEXIST));
    if !is_taken || len <= page::size() || kernel::is_mapped_whole(range.start, len) {
        return;
    }
    let middle = range.start + (len / 2).next_multiple_of(page::size());
    fill(range.start..middle);
    fill(middle..range.end);
}

/// The addresses of a range.
pub(crate) fn addresses(base: NonNull<u8>, len: usize) -> Range<usize> {
    let start = base.addr().get();
    start..start + len
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Beyond every address space.
    const FAR: usize = 1 << 62;

    fn known() -> Vec<Range<usize>> {
        let mut table = lock().unwrap();
        table
            .ranges()
            .iter()
            .filter(|range| range.start >= FAR)
            .map(|it| it.start - FAR..it.end - FAR)
            .collect()
    }

    fn far(range: Range<usize>) -> Range<usize> {
        FAR + range.start..FAR + range.end
    }

    #[test]
    fn ranges_are_cut_joined_and_moved_whole() {
        let change = |change: &dyn Fn(&mut Locked)| {
            change(&mut lock().unwrap());
            known()
        };
        assert!(change(&|_| {}).is_empty());
        change(&|table| table.insert(far(10..20)));
        assert_eq!(change(&|table| table.insert(far(30..40))), [10..20, 30..40]);
        assert_eq!(change(&|table| table.insert(far(15..18))), [10..20, 30..40]);
        assert_eq!(change(&|table| table.insert(far(20..25))), [10..25, 30..40]);
        assert_eq!(change(&|table| table.remove(far(12..35))), [10..12, 35..40]);
        assert_eq!(change(&|table| table.move_to(far(35..40), far(50..60))), [10..12, 50..60]);
        assert_eq!(change(&|table| table.move_to(far(10..13), far(70..73))), [10..12, 50..60]);
        assert!(change(&|table| table.remove(far(0..100))).is_empty());
    }
}
