//! Which side of a fork we are on.
//!
//! A page that the kernel wipes in a child (`MADV_WIPEONFORK`, Linux 4.14) holds a number that is never 0. A
//! child reads 0 there, however it was forked, and writes the next number. Process ids would not do: they are
//! reused, and two namespaces share them.

#![allow(unsafe_code, reason = "reads a page that the kernel wipes at fork; listed in docs/SOUNDNESS.md")]

use std::cell::Cell;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};

use super::{absent, memory, page};

/// Identifies a process among its ancestors: changes in a child at its first use after the fork.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Generation(u64);

/// Identifies a process among its ancestors at the price of one load of ordinary memory. Counted by a handler
/// of pthread_atfork(3), so children of a raw clone(2) go unnoticed: not for what soundness needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Epoch(u64);

static EPOCH: AtomicU64 = AtomicU64::new(1);

thread_local! {
    /// The epoch in which this thread has last settled; 0 before, and in a child.
    static SETTLED: Cell<u64> = const { Cell::new(0) };
}

/// Returns the epoch for which this thread has [settled](settle), or 0: a load of the thread's own memory.
#[inline(always)]
pub(crate) fn settled() -> u64 {
    SETTLED.with(Cell::get)
}

/// Says that what this thread knows of itself is right for an epoch, and is to be forgotten in a child; 0 for
/// not any more.
pub(crate) fn settle(epoch: u64) {
    SETTLED.with(|settled| settled.set(epoch));
}

/// How often something has happened in this process that may take shared memory away: see [`Calm`].
static UPSETS: AtomicU64 = AtomicU64::new(0);

/// Nothing has happened since that may have taken shared memory away: no fork, and no page had to be
/// replaced. While that is so one comparison with one word is all the checking there is to do; afterwards,
/// whoever asks has to look at what is its own.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Calm(u64);

impl Calm {
    /// Begins to watch. What is then looked at has to be looked at after this.
    pub(crate) fn now() -> Self {
        Self(UPSETS.load(Ordering::SeqCst))
    }

    /// Tells whether it is still so.
    #[inline(always)]
    pub(crate) fn lasts(self) -> bool {
        UPSETS.load(Ordering::Acquire) == self.0
    }
}

/// Says that a page had to be replaced. Async-signal-safe.
pub(crate) fn upset() {
    UPSETS.fetch_add(1, Ordering::SeqCst);
}

/// Returns this process's epoch. (Where pthread_atfork has no memory, children share their parent's.)
pub(crate) fn epoch() -> Epoch {
    let _hooked = absent::hook();
    Epoch(EPOCH.load(Ordering::Relaxed))
}

/// Returns this process's epoch as a number, once children are counted.
pub(crate) fn epoch_number() -> u64 {
    epoch().0
}

impl Epoch {
    /// Tells whether this is still the process that asked.
    #[inline]
    pub(crate) fn is_here(self) -> bool {
        EPOCH.load(Ordering::Relaxed) == self.0
    }

    /// The number, for comparing in places of one word. Never 0.
    #[inline]
    pub(crate) fn current() -> u64 {
        EPOCH.load(Ordering::Relaxed)
    }
}

/// Says that this is a child. Called by the handler, before the child runs a line of its own.
pub(super) fn begin_epoch() {
    EPOCH.fetch_add(1, Ordering::Relaxed);
    settle(0);
    upset();
}

/// Returns this process's generation.
pub(crate) fn generation() -> Generation {
    static NEXT: AtomicU64 = AtomicU64::new(1);
    static PAGE: OnceLock<Option<&'static AtomicU64>> = OnceLock::new();
    let Some(word) = PAGE.get_or_init(wiped_page) else {
        // A kernel before 4.14, or no memory left for one page: the process id is the next best thing.
        return Generation(u64::from(std::process::id()) << 32);
    };
    match word.load(Ordering::Relaxed) {
        0 => {
            // NEXT was inherited by the child. It moves before the page does: a fork in between gives the
            // grandchild a number that nobody above it has.
            let next = NEXT.fetch_add(1, Ordering::Relaxed).wrapping_add(1).max(1);
            match word.compare_exchange(0, next, Ordering::Relaxed, Ordering::Relaxed) {
                Ok(_) => Generation(next),
                // Another thread was faster; its number is this process's.
                Err(written) => Generation(written),
            }
        }
        number => Generation(number),
    }
}

fn wiped_page() -> Option<&'static AtomicU64> {
    let (protection, flags) = (libc::PROT_READ | libc::PROT_WRITE, libc::MAP_PRIVATE | libc::MAP_ANONYMOUS);
    // SAFETY: a new anonymous page at an address of the kernel's choice.
    let base = unsafe { memory::map(0, page::size(), protection, flags, memory::Backing::ANONYMOUS) }.ok()?;
    // SAFETY: the page is ours, and nothing refers to it yet.
    unsafe { memory::advise(base, page::size(), libc::MADV_WIPEONFORK) }.ok()?;
    // SAFETY: the page is zeroed, aligned, never unmapped, and only ever used through this atomic.
    Some(unsafe { base.cast::<AtomicU64>().as_ref() })
}
