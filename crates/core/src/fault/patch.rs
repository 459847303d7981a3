//! Ranges where the handler acts on the *address*: under slices, whose accesses are ordinary loads that
//! nobody listed.
//!
//! Two kinds of slices can stand over pages that may fault. An `unsafe` slice over a racy file: the owner
//! asked that a page of zeros be put under the fault and a flag be raised ([`Action::ZeroPage`]). Frozen
//! bytes over a file on a device that fails: safe code holds `&[u8]`, so other bytes must never appear; the
//! handler says which file and offset it was and lets the process end ([`Action::Explain`]).
//!
//! The ranges live in a fixed table of slots that is read without locks, because a signal handler must not
//! wait:
//!
//! ```text
//!   free ──claim──▶ busy ──publish──▶ live ──retire──▶ busy ──▶ free        one word a slot, odd while live
//! ```
//! A slot's word counts up at each step. A reader takes the fields between two equal, live readings of the
//! word, so it never acts on a mixture of two ranges. Deliberately absent: growth. A full table is an error
//! when the range is made.

#![allow(unsafe_code, reason = "maps a page from a signal handler; listed in docs/SOUNDNESS.md")]

use crate::sync::{AtomicU8, AtomicU64, AtomicUsize, Ordering, fence};

/// How many ranges can be patched at once.
#[cfg(not(loom))]
const SLOTS: usize = 1024;
#[cfg(loom)]
const SLOTS: usize = 2;

/// What the handler does about a fault inside a range.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Action {
    /// Puts a page of zeros under the fault and raises the range's flag.
    ZeroPage,
    /// Says on standard error what happened, then lets the fault take its course.
    Explain,
}

/// One slot. Invariant: `start`, `end` and `action` change only while `version % 4 == 1` (busy).
struct Slot {
    /// 0 mod 4: free; 1: busy; 2: live. Each step adds, so that a reused slot shows another number.
    version: AtomicU64,
    start: AtomicUsize,
    end: AtomicUsize,
    action: AtomicU8,
    /// How many faults were patched since the range was published.
    hits: AtomicUsize,
}

/// A registered range; dropping it retires the slot.
pub(crate) struct Patch {
    slot: usize,
    table: &'static Table,
}

/// The slots, and how far they were ever used (so that a search stays short).
pub(crate) struct Table {
    slots: [Slot; SLOTS],
    used: AtomicUsize,
}

#[cfg(not(loom))]
static TABLE: Table = Table {
    slots: [const {
        Slot {
            version: AtomicU64::new(0),
            start: AtomicUsize::new(0),
            end: AtomicUsize::new(0),
            action: AtomicU8::new(0),
            hits: AtomicUsize::new(0),
        }
    }; SLOTS],
    used: AtomicUsize::new(0),
};

impl Table {
    /// Registers a range, or returns `None` where all slots are taken.
    fn insert(&'static self, start: usize, end: usize, action: Action) -> Option<Patch> {
        for (index, slot) in self.slots.iter().enumerate() {
            let version = slot.version.load(Ordering::Relaxed);
            let free = version % 4 == 0;
            if free
                && slot
                    .version
                    .compare_exchange(version, version + 1, Ordering::Acquire, Ordering::Relaxed)
                    .is_ok()
            {
                // The fields must not become visible before the word says busy.
                fence(Ordering::Release);
                slot.start.store(start, Ordering::Relaxed);
                slot.end.store(end, Ordering::Relaxed);
                slot.action.store(u8::from(action == Action::Explain), Ordering::Relaxed);
                slot.hits.store(0, Ordering::Relaxed);
                self.used.fetch_max(index + 1, Ordering::Release);
                slot.version.store(version + 2, Ordering::Release);
                return Some(Patch { slot: index, table: self });
            }
        }
        None
    }

    /// Finds the live range that holds an address. Wait-free: one pass over the slots ever used.
    fn find(&self, address: usize) -> Option<(usize, Action)> {
        let used = self.used.load(Ordering::Acquire);
        self.slots.iter().take(used).enumerate().find_map(|(index, slot)| {
            let before = slot.version.load(Ordering::Acquire);
            let (start, end) = (slot.start.load(Ordering::Relaxed), slot.end.load(Ordering::Relaxed));
            let action =
                if slot.action.load(Ordering::Relaxed) == 0 { Action::ZeroPage } else { Action::Explain };
            fence(Ordering::Acquire);
            let stable = before % 4 == 2 && slot.version.load(Ordering::Relaxed) == before;
            (stable && (start..end).contains(&address)).then_some((index, action))
        })
    }
}

impl Patch {
    /// Returns how many pages of the range were replaced by zeros so far.
    pub(crate) fn hits(&self) -> usize {
        self.table.slots[self.slot].hits.load(Ordering::Acquire)
    }
}

impl Drop for Patch {
    fn drop(&mut self) {
        let slot = &self.table.slots[self.slot];
        // Straight to free: the fields stay as they are until the next claim, which changes the word first.
        slot.version.fetch_add(2, Ordering::Release);
    }
}

/// Registers a range with the handler.
#[cfg(not(loom))]
pub(crate) fn register(start: usize, len: usize, action: Action) -> Option<Patch> {
    TABLE.insert(start, start.saturating_add(len), action)
}

/// Acts on a fault by its address; returns whether the access may be tried again. Async-signal-safe.
#[cfg(not(loom))]
pub(crate) fn apply(address: usize, signal: i32) -> bool {
    let Some((index, action)) = TABLE.find(address) else { return false };
    match action {
        Action::Explain => {
            explain(address);
            false
        }
        Action::ZeroPage if signal == libc::SIGBUS => {
            let patched = put_zero_page(address);
            if patched {
                TABLE.slots[index].hits.fetch_add(1, Ordering::Release);
            }
            patched
        }
        Action::ZeroPage => false,
    }
}

#[cfg(loom)]
pub(crate) fn register(_: usize, _: usize, _: Action) -> Option<Patch> {
    None
}

#[cfg(loom)]
pub(crate) fn apply(_: usize, _: i32) -> bool {
    false
}

/// Replaces the page that holds an address of a live range by private zeros. Async-signal-safe: one system
/// call.
#[cfg(not(loom))]
fn put_zero_page(address: usize) -> bool {
    let page = crate::sys::page::size();
    let start = std::ptr::without_provenance_mut::<libc::c_void>(address & !(page - 1));
    let protection = libc::PROT_READ | libc::PROT_WRITE;
    let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_FIXED;
    // SAFETY: the page lies in a registered range, whose owner keeps it mapped until the slot is retired and
    // asked for exactly this; the faulting thread is stopped inside that range, so the range cannot have
    // been retired.
    let done = unsafe { libc::mmap(start, page, protection, flags, -1, 0) };
    done != libc::MAP_FAILED
}

/// Writes one line on standard error without allocating.
#[cfg(not(loom))]
fn explain(address: usize) {
    let mut line =
        *b"mapwright: the device or file behind frozen bytes failed at address 0x0000000000000000; ending\n";
    let end = line.len() - b"; ending\n".len();
    let mut rest = address;
    for place in (end - 16..end).rev() {
        line[place] = b"0123456789abcdef"[rest % 16];
        rest /= 16;
    }
    // SAFETY: writes a local buffer to standard error; write is async-signal-safe. A failure changes nothing.
    let _written = unsafe { libc::write(2, line.as_ptr().cast(), line.len()) };
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn a_registered_range_is_found_until_it_is_dropped() {
        let patch = register(0x1000, 0x1000, Action::ZeroPage).unwrap();
        assert_eq!(TABLE.find(0x1800), Some((patch.slot, Action::ZeroPage)));
        assert_eq!(TABLE.find(0x2000), None);
        drop(patch);
        assert_eq!(TABLE.find(0x1800), None);
    }
}

#[cfg(all(test, loom))]
mod loom_tests {
    use super::*;

    fn table() -> &'static Table {
        let slot = || Slot {
            version: AtomicU64::new(0),
            start: AtomicUsize::new(0),
            end: AtomicUsize::new(0),
            action: AtomicU8::new(0),
            hits: AtomicUsize::new(0),
        };
        Box::leak(Box::new(Table { slots: [slot(), slot()], used: AtomicUsize::new(0) }))
    }

    #[test]
    fn loom_a_reader_never_sees_a_mixture_of_two_ranges() {
        loom::model(|| {
            let table = table();
            let writer = loom::thread::spawn(move || {
                drop(table.insert(0x1000, 0x2000, Action::ZeroPage));
                drop(table.insert(0x8000, 0x9000, Action::Explain));
            });
            // 0x5000 lies in neither range, but in a mixture of the first's start and the second's end.
            assert_eq!(table.find(0x5000), None);
            if let Some((_, action)) = table.find(0x1800) {
                assert_eq!(action, Action::ZeroPage);
            }
            writer.join().unwrap();
        });
    }

    #[test]
    fn loom_two_inserts_take_two_slots() {
        loom::model(|| {
            let table = table();
            let other =
                loom::thread::spawn(move || table.insert(0x1000, 0x2000, Action::ZeroPage).map(|p| p.slot));
            let mine = table.insert(0x3000, 0x4000, Action::ZeroPage).map(|p| {
                let slot = p.slot;
                std::mem::forget(p);
                slot
            });
            let theirs = other.join().unwrap();
            assert!(mine.is_some() && theirs.is_some());
        });
    }
}
