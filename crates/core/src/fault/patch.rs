//! Ranges where the handler acts on the *address*: under slices, whose accesses are ordinary loads that
//! nobody listed.
//!
//! Two kinds of slices can stand over pages that may fault. An `unsafe` slice over a racy file: the owner
//! asked that a page of zeros be put under the fault and a flag be raised ([`Action::ZeroPage`]). Frozen
//! bytes over a file on a device that fails: safe code holds `&[u8]`, so other bytes must never appear; the
//! handler says which file and offset it was and what reading there answers, and lets the process end
//! ([`Action::Explain`]).
//!
//! The ranges live in a fixed table of slots that is read without locks, because a signal handler must not
//! wait:
//!
//! ```text
//!   free ──claim──▶ busy ──publish──▶ live ──retire──▶ busy ──▶ free     one word a slot, 2 mod 4 while live
//! ```
//! A slot's word counts up at each step. A reader takes the fields between two equal, live readings of the
//! word, so it never acts on a mixture of two ranges. Deliberately absent: growth. A full table is an error
//! when the range is made; an explanation is a courtesy, so those ranges leave half of the table to the
//! others.

#![allow(unsafe_code, reason = "maps a page from a signal handler; listed in docs/SOUNDNESS.md")]

use std::os::fd::RawFd;

use crate::sync::{AtomicU8, AtomicU64, AtomicUsize, Ordering, fence};
use crate::sys::fork;

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

/// A range to be registered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Range {
    pub(crate) start: usize,
    pub(crate) end: usize,
    pub(crate) action: Action,
    /// What is mapped there, to be named: open for as long as the range is registered, or -1.
    pub(crate) file: RawFd,
    /// The file offset of `start`.
    pub(crate) offset: u64,
}

/// One slot. Invariant: `start` to `offset` change only while `version % 4 == 1` (busy).
struct Slot {
    /// 0 mod 4: free; 1: busy; 2: live. Each step adds, so that a reused slot shows another number.
    version: AtomicU64,
    start: AtomicUsize,
    end: AtomicUsize,
    action: AtomicU8,
    /// The descriptor's bits.
    file: AtomicU64,
    offset: AtomicU64,
    /// How many faults were patched since the range was published.
    hits: AtomicUsize,
    /// The lowest address among them.
    lowest: AtomicUsize,
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
            file: AtomicU64::new(0),
            offset: AtomicU64::new(0),
            hits: AtomicUsize::new(0),
            lowest: AtomicUsize::new(0),
        }
    }; SLOTS],
    used: AtomicUsize::new(0),
};

impl Table {
    /// Registers a range, or returns `None` where all slots that it may have are taken.
    fn insert(&'static self, range: Range) -> Option<Patch> {
        let room = if range.action == Action::Explain { SLOTS / 2 } else { SLOTS };
        for (index, slot) in self.slots.iter().take(room).enumerate() {
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
                slot.start.store(range.start, Ordering::Relaxed);
                slot.end.store(range.end, Ordering::Relaxed);
                slot.action.store(u8::from(range.action == Action::Explain), Ordering::Relaxed);
                slot.file.store(u64::try_from(range.file).unwrap_or(u64::MAX), Ordering::Relaxed);
                slot.offset.store(range.offset, Ordering::Relaxed);
                slot.hits.store(0, Ordering::Relaxed);
                slot.lowest.store(usize::MAX, Ordering::Relaxed);
                self.used.fetch_max(index + 1, Ordering::Release);
                slot.version.store(version + 2, Ordering::Release);
                return Some(Patch { slot: index, table: self });
            }
        }
        None
    }

    /// Finds the live range that holds an address, and its slot. Wait-free: one pass over the slots ever
    /// used.
    fn find(&self, address: usize) -> Option<(usize, Range)> {
        let used = self.used.load(Ordering::Acquire);
        self.slots.iter().take(used).enumerate().find_map(|(index, slot)| {
            let before = slot.version.load(Ordering::Acquire);
            let (start, end) = (slot.start.load(Ordering::Relaxed), slot.end.load(Ordering::Relaxed));
            let action =
                if slot.action.load(Ordering::Relaxed) == 0 { Action::ZeroPage } else { Action::Explain };
            let file = RawFd::try_from(slot.file.load(Ordering::Relaxed)).unwrap_or(-1);
            let offset = slot.offset.load(Ordering::Relaxed);
            fence(Ordering::Acquire);
            let stable = before % 4 == 2 && slot.version.load(Ordering::Relaxed) == before;
            let range = Range { start, end, action, file, offset };
            (stable && (start..end).contains(&address)).then_some((index, range))
        })
    }
}

impl Patch {
    /// Returns how many faults in the range were answered by a page of zeros so far.
    pub(crate) fn hits(&self) -> usize {
        self.table.slots[self.slot].hits.load(Ordering::Acquire)
    }

    /// Returns the lowest address that such a fault struck, or `None` where none did.
    pub(crate) fn lowest(&self) -> Option<usize> {
        let slot = &self.table.slots[self.slot];
        (self.hits() > 0).then(|| slot.lowest.load(Ordering::Relaxed))
    }
}

impl std::fmt::Debug for Patch {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Patch").field("slot", &self.slot).field("hits", &self.hits()).finish_non_exhaustive()
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
pub(crate) fn register(range: Range) -> Option<Patch> {
    TABLE.insert(range)
}

/// Acts on a fault by its address; returns whether the access may be tried again. Async-signal-safe.
#[cfg(not(loom))]
pub(crate) fn apply(address: usize, signal: i32) -> bool {
    // A page that cannot be had is SIGBUS. SIGSEGV here is a mistake, such as a store: nothing of ours to
    // answer.
    if signal != libc::SIGBUS {
        return false;
    }
    let Some((index, range)) = TABLE.find(address) else { return false };
    match range.action {
        Action::Explain => {
            explain(address, &range);
            false
        }
        Action::ZeroPage => {
            let slot = &TABLE.slots[index];
            // Before the page is there: whoever has read its zeros and asks afterwards must find the flag
            // up.
            slot.lowest.fetch_min(address, Ordering::Relaxed);
            slot.hits.fetch_add(1, Ordering::Release);
            fork::upset();
            put_zero_page(address)
        }
    }
}

#[cfg(loom)]
pub(crate) fn register(_: Range) -> Option<Patch> {
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
    // SAFETY: the page lies in a registered range, whose owner keeps it mapped until the slot is retired
    // and asked for exactly this; the faulting thread is stopped inside that range, so the range cannot
    // have been retired.
    let done = unsafe { libc::mmap(start, page, protection, flags, -1, 0) };
    done != libc::MAP_FAILED
}

/// Says on standard error which byte of which file failed, and what reading it answers now.
/// Async-signal-safe.
#[cfg(not(loom))]
fn explain(address: usize, range: &Range) {
    let mut line = Line { text: [0; 512], len: 0 };
    let offset = range.offset.saturating_add(u64::try_from(address - range.start).unwrap_or(0));
    line.add(b"mapwright: byte ");
    line.add_number(offset);
    line.add(b" of \"");
    line.add_name(range.file);
    line.add(b"\" is lost under frozen bytes, which must not change (");
    let mut byte = 0u8;
    let at = i64::try_from(offset).unwrap_or(i64::MAX);
    // SAFETY: reads at most one byte into a local; pread is async-signal-safe.
    match unsafe { libc::pread(range.file, (&raw mut byte).cast(), 1, at) } {
        1.. => line.add(b"it can be read again"),
        0 => line.add(b"the file ends before it"),
        _ => {
            line.add(b"reading it is error ");
            let number = std::io::Error::last_os_error().raw_os_error();
            line.add_number(number.and_then(|number| u64::try_from(number).ok()).unwrap_or(0));
        }
    }
    line.add(b"); the process ends here\n");
    // SAFETY: writes a local buffer to standard error; write is async-signal-safe. A failure changes
    // nothing.
    let _written = unsafe { libc::write(2, line.text.as_ptr().cast(), line.len) };
}

/// A line that is put together without allocating; what does not fit is left out.
#[cfg(not(loom))]
struct Line {
    text: [u8; 512],
    len: usize,
}

#[cfg(not(loom))]
impl Line {
    /// Room that is kept for the words behind a name.
    const REST: usize = 160;

    fn add(&mut self, words: &[u8]) {
        let room = &mut self.text[self.len..];
        let len = words.len().min(room.len());
        room[..len].copy_from_slice(&words[..len]);
        self.len += len;
    }

    fn add_number(&mut self, number: u64) {
        let (mut digits, mut first, mut rest) = ([b'0'; 20], 19, number);
        while rest > 9 {
            digits[first] = b"0123456789"[usize::try_from(rest % 10).unwrap_or(0)];
            rest /= 10;
            first -= 1;
        }
        digits[first] = b"0123456789"[usize::try_from(rest).unwrap_or(0)];
        self.add(&digits[first..]);
    }

    /// Adds the path that the kernel remembers for a descriptor.
    fn add_name(&mut self, file: RawFd) {
        let Ok(number) = u64::try_from(file) else { return };
        let mut link = Self { text: [0; 512], len: 0 };
        link.add(b"/proc/self/fd/");
        link.add_number(number);
        link.add(b"\0");
        let room = self.text.len().saturating_sub(self.len + Self::REST);
        let target = &mut self.text[self.len..self.len + room];
        // SAFETY: the link's name ends with a zero, and the target has `room` bytes; readlink is
        // async-signal-safe.
        let len = unsafe { libc::readlink(link.text.as_ptr().cast(), target.as_mut_ptr().cast(), room) };
        self.len += usize::try_from(len).unwrap_or(0);
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    fn range(start: usize, end: usize, action: Action) -> Range {
        Range { start, end, action, file: -1, offset: 0 }
    }

    #[test]
    fn a_registered_range_is_found_until_it_is_dropped() {
        let patch = register(range(0x1000, 0x2000, Action::ZeroPage)).unwrap();
        let found = TABLE.find(0x1800).map(|(slot, range)| (slot, range.action));
        assert_eq!(found, Some((patch.slot, Action::ZeroPage)));
        assert!(TABLE.find(0x2000).is_none());
        drop(patch);
        assert!(TABLE.find(0x1800).is_none());
    }

    #[test]
    fn a_line_holds_any_number_and_cuts_what_does_not_fit() {
        let mut line = Line { text: [0; 512], len: 0 };
        for number in [0, 9, 10, u64::MAX] {
            line.add_number(number);
            line.add(b" ");
        }
        assert_eq!(&line.text[..line.len], b"0 9 10 18446744073709551615 ");
        line.add(&[b'x'; 600]);
        assert_eq!(line.len, 512);
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
            file: AtomicU64::new(0),
            offset: AtomicU64::new(0),
            hits: AtomicUsize::new(0),
            lowest: AtomicUsize::new(0),
        };
        Box::leak(Box::new(Table { slots: [slot(), slot()], used: AtomicUsize::new(0) }))
    }

    fn range(start: usize, end: usize, action: Action) -> Range {
        Range { start, end, action, file: -1, offset: 0 }
    }

    #[test]
    fn loom_a_reader_never_sees_a_mixture_of_two_ranges() {
        let mut model = loom::model::Builder::new();
        // All interleavings take minutes; three switches are more than a mixture needs.
        model.preemption_bound = Some(3);
        model.check(|| {
            let table = table();
            let writer = loom::thread::spawn(move || {
                drop(table.insert(range(0x1000, 0x2000, Action::ZeroPage)));
                drop(table.insert(range(0x8000, 0x9000, Action::Explain)));
            });
            // 0x5000 lies in neither range, but in a mixture of the first's start and the second's end.
            assert_eq!(table.find(0x5000), None);
            if let Some((_, found)) = table.find(0x1800) {
                assert_eq!(found.action, Action::ZeroPage);
            }
            writer.join().unwrap();
        });
    }

    #[test]
    fn loom_two_inserts_take_two_slots() {
        loom::model(|| {
            let table = table();
            let other = loom::thread::spawn(move || {
                table.insert(range(0x1000, 0x2000, Action::ZeroPage)).map(|p| p.slot)
            });
            let mine = table.insert(range(0x3000, 0x4000, Action::ZeroPage)).map(|p| {
                let slot = p.slot;
                std::mem::forget(p);
                slot
            });
            let theirs = other.join().unwrap();
            assert!(mine.is_some() && theirs.is_some());
        });
    }
}
