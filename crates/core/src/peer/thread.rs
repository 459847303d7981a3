//! Each thread's list of lock words that the kernel lets go of when the thread dies.
//!
//! The kernel knows one list a thread, and the C library has registered its own. We join it: our nodes stand
//! in front of it and point on to it.
//!
//! ```text
//!   head (C library) ─▶ newest of ours ─▶ … ─▶ oldest of ours ─▶ head
//! ```
//! A node is in shared memory, beside its word, where another process may overwrite it. So no pointer is
//! ever *read* from one of ours: which of them are linked, and in which order, is kept in this process
//! ([`Block`]), and a node is only joined while no robust mutex of the C library is on the list, so that all
//! neighbours are known. (If the C library adds one of its own afterwards, in front, it is found by walking
//! from the head over its nodes, which are believed as the C library believes them.)
//!
//! # Kernel
//! get_robust_list(2). glibc registers a list for every thread, with the word 32 bytes before the node. musl
//! registers none, or with another distance; there, and in threads whose C library knows nothing of them, the
//! lock word names the participant instead, and the oracle answers for it.

#![allow(unsafe_code, reason = "the kernel's robust list; listed in docs/SOUNDNESS.md")]

use std::cell::Cell;
use std::mem::offset_of;
use std::ops::Range;
use std::ptr;
use std::sync::atomic::{AtomicBool, AtomicPtr, AtomicU32, AtomicUsize, Ordering, compiler_fence};

use super::points;
use super::robust::RobustWord;
use crate::sys::fork;

/// How many lock words a thread has on its list at once. Those beyond name the participant.
const MAX_HELD: usize = 32;
/// From the word to the node, in bytes: what glibc has registered.
const WORD_TO_NODE: isize = 32;

/// The kernel's `struct robust_list_head`.
#[repr(C)]
struct Head {
    next: *mut Node,
    offset: isize,
    pending: *mut Node,
}

/// The kernel's `struct robust_list`.
#[repr(C)]
pub(super) struct Node {
    next: *mut Node,
}

/// Which words a thread has on its list, oldest first, for its own use and for whoever is about to unmap one.
/// Blocks are never freed, only used again, so that they can be walked without a lock (a forked child would
/// find it held).
pub(super) struct Block {
    next: AtomicPtr<Block>,
    in_use: AtomicBool,
    len: AtomicUsize,
    held: [AtomicUsize; MAX_HELD],
}

static BLOCKS: AtomicPtr<Block> = AtomicPtr::new(ptr::null_mut());

/// What a thread knows of itself.
pub(super) struct Thread {
    /// The epoch in which all this is true; 0 where the kernel's list is of no use here.
    ready: Cell<u64>,
    /// The epoch in which this thread has looked.
    epoch: Cell<u64>,
    head: Cell<*mut Head>,
    id: Cell<u32>,
    /// What stands first on the list, unless the C library has put one of its own there.
    newest: Cell<*mut Node>,
    block: Cell<Option<&'static Block>>,
}

thread_local! {
    static THREAD: Thread = const {
        Thread {
            ready: Cell::new(0),
            epoch: Cell::new(0),
            head: Cell::new(ptr::null_mut()),
            id: Cell::new(0),
            newest: Cell::new(ptr::null_mut()),
            block: Cell::new(None),
        }
    };
}

/// Runs a function with this thread's list; `None` where it has none that a word could join.
#[inline]
pub(super) fn with<R>(work: impl FnOnce(&Thread, &'static Block) -> R) -> Option<R> {
    let run = |thread: &Thread| {
        if thread.ready.get() != fork::Epoch::current() && !thread.set_up() {
            return None;
        }
        thread.block.get().map(|block| work(thread, block))
    };
    // Where the thread is ending, its list is done with.
    THREAD.try_with(run).ok().flatten()
}

/// Returns this thread's number, which no other thread of this process has ever had: unlike the kernel's id
/// it says whether a thread that has ended left a word behind. Never 0.
pub(super) fn number() -> u32 {
    static LAST: AtomicU32 = AtomicU32::new(0);
    thread_local! {
        static NUMBER: Cell<u32> = const { Cell::new(0) };
    }
    NUMBER.with(|number| {
        while number.get() == 0 {
            number.set(LAST.fetch_add(1, Ordering::Relaxed).wrapping_add(1));
        }
        number.get()
    })
}

/// Tells whether any thread of this process has a word in a range on its list.
pub(super) fn has_held_in(range: Range<usize>) -> bool {
    let mut next = BLOCKS.load(Ordering::Acquire);
    // SAFETY: blocks are never freed.
    while let Some(block) = unsafe { next.as_ref() } {
        // From the newest to the oldest: entries only move towards the oldest, each before what it was is
        // overwritten, so one that moves meanwhile is met further down.
        if block.held().iter().rev().any(|word| range.contains(&word.load(Ordering::Acquire))) {
            return true;
        }
        next = block.next.load(Ordering::Acquire);
    }
    false
}

impl Thread {
    /// Finds out whether there is a list that a word could join.
    #[cold]
    fn set_up(&self) -> bool {
        let epoch = fork::epoch_number();
        if self.epoch.get() == epoch {
            return false;
        }
        // A child: its parent's words are not its own.
        if let Some(block) = self.block.get() {
            block.len.store(0, Ordering::Release);
        }
        self.epoch.set(epoch);
        self.ready.set(0);
        let Some(head) = kernel_list() else { return false };
        if self.block.get().is_none() {
            self.block.set(Some(Block::take()));
        }
        self.id.set(rustix::thread::gettid().as_raw_nonzero().get().unsigned_abs());
        self.head.set(head);
        self.newest.set(head.cast());
        self.ready.set(epoch);
        true
    }

    /// The thread's id, as lock words hold it.
    #[inline]
    pub(super) fn id(&self) -> u32 {
        self.id.get()
    }

    /// The epoch in which this is this thread's list.
    #[inline]
    pub(super) fn epoch(&self) -> u64 {
        self.ready.get()
    }

    /// Says that a word is about to be taken: if the thread dies, the kernel looks at it. Refused where the
    /// list has no room, or has neighbours that we do not know.
    #[inline]
    pub(super) fn begin(&self, block: &Block, word: &RobustWord) -> Option<Pending<'_>> {
        let has_room = block.len.load(Ordering::Relaxed) < MAX_HELD;
        (has_room && self.first() == self.newest.get()).then(|| self.begin_release(word))
    }

    /// Says that a word that is held is about to be let go of.
    #[inline]
    pub(super) fn begin_release(&self, word: &RobustWord) -> Pending<'_> {
        self.set_pending(node_of(word));
        Pending(self)
    }

    /// Tells whether the kernel looks at a word that is not on the list.
    #[cfg(all(test, not(any(loom, shuttle))))]
    pub(super) fn is_pending(&self) -> bool {
        let pending = self.head.get().wrapping_byte_add(offset_of!(Head, pending)).cast::<*mut Node>();
        // SAFETY: as in `first`.
        !unsafe { ptr::read_volatile(pending) }.is_null()
    }

    /// Puts a word that was taken on the list.
    #[inline]
    pub(super) fn link(&self, block: &Block, word: &RobustWord) {
        let node = node_of(word);
        let len = block.len.load(Ordering::Relaxed);
        // `begin` has seen that there is room.
        let Some(place) = block.held.get(len) else { return };
        // Whoever sees it sees where the entries have moved that stood here before.
        place.store(ptr::from_ref(word).addr(), Ordering::Release);
        block.len.store(len + 1, Ordering::Release);
        // Nobody reads a node's way back: we know our neighbours, and the C library its own.
        word.set_next(self.newest.get().expose_provenance());
        compiler_fence(Ordering::SeqCst);
        points::pass();
        self.set_first(node);
        self.newest.set(node);
    }

    /// Takes a word from the list.
    #[inline]
    pub(super) fn unlink(&self, block: &Block, word: &RobustWord) {
        let node = node_of(word);
        let len = block.len.load(Ordering::Relaxed);
        if self.newest.get() != node || self.first() != node {
            return self.unlink_from_within(block, word);
        }
        let next = self.node_before(block, len.wrapping_sub(1));
        points::pass();
        self.set_first(next);
        self.newest.set(next);
        compiler_fence(Ordering::SeqCst);
        block.len.store(len.saturating_sub(1), Ordering::Release);
    }

    /// The same where something stands in front of it.
    #[cold]
    fn unlink_from_within(&self, block: &Block, word: &RobustWord) {
        let address = ptr::from_ref(word).addr();
        let position = block.held().iter().rposition(|held| held.load(Ordering::Relaxed) == address);
        let Some(index) = position else { return };
        self.take_off(block, index);
        block.forget(index);
    }

    /// Takes the word of that index off the kernel's list; the block remembers it.
    fn take_off(&self, block: &Block, index: usize) {
        let held = block.held();
        let next = self.node_before(block, index);
        points::pass();
        let newer = held.get(index + 1).map(|newer| newer.load(Ordering::Relaxed));
        match (newer, held.get(index)) {
            // SAFETY: a word on the list stays mapped (`area` asks `has_held_in`), and the field is an
            // atomic's.
            (Some(newer), _) => unsafe { RobustWord::set_next_at(newer, next.expose_provenance()) },
            (None, Some(newest)) => {
                self.skip(node_at(newest.load(Ordering::Relaxed)), next);
                self.newest.set(next);
            }
            (None, None) => {}
        }
        compiler_fence(Ordering::SeqCst);
    }

    /// What the node of the word of that index points to: the next older one, or the head.
    #[inline]
    fn node_before(&self, block: &Block, index: usize) -> *mut Node {
        let older = index.checked_sub(1).and_then(|older| block.held.get(older));
        older.map_or(self.head.get().cast(), |older| node_at(older.load(Ordering::Relaxed)))
    }

    /// Makes whatever points to our newest node point past it: the head, or a mutex of the C library that was
    /// locked after it.
    fn skip(&self, node: *mut Node, next: *mut Node) {
        /// What the kernel walks at most.
        const LIMIT: usize = 2048;
        /// In a pointer to a mutex that lends its holder the waiters' priority.
        const LENDS_PRIORITY: usize = 1;
        let head = self.head.get().cast::<Node>();
        let mut at = head;
        for _ in 0..LIMIT {
            // SAFETY: the head, or a node of the C library between it and our newest one: it keeps them
            // mapped for as long as they are on its list. (A head begins with its `next`.)
            let following = unsafe { ptr::read_volatile(next_of(at)) };
            let following = following.map_addr(|address| address & !LENDS_PRIORITY);
            if following == node {
                // SAFETY: as above; the list belongs to this thread.
                unsafe { ptr::write_volatile(next_of(at), next) };
                return;
            }
            // Not a list as the C library keeps it, or one that ours is not on.
            if following.is_null() || !following.is_aligned() || following == head {
                return;
            }
            at = following;
        }
    }

    #[inline]
    fn first(&self) -> *mut Node {
        // SAFETY: the C library's head of this thread, which lives as long as the thread.
        unsafe { ptr::read_volatile(next_of(self.head.get().cast())) }
    }

    #[inline]
    fn set_first(&self, node: *mut Node) {
        // SAFETY: as in `first`; only this thread and the kernel, after its death, use it.
        unsafe { ptr::write_volatile(next_of(self.head.get().cast()), node) };
    }

    #[inline]
    fn set_pending(&self, node: *mut Node) {
        points::pass();
        compiler_fence(Ordering::SeqCst);
        let pending = self.head.get().wrapping_byte_add(offset_of!(Head, pending)).cast();
        // SAFETY: as in `set_first`.
        unsafe { ptr::write_volatile(pending, node) };
        compiler_fence(Ordering::SeqCst);
    }
}

/// While it lives, the kernel looks at one more word if the thread dies. Ends by a panic, too.
pub(super) struct Pending<'a>(&'a Thread);

impl Drop for Pending<'_> {
    #[inline]
    fn drop(&mut self) {
        self.0.set_pending(ptr::null_mut());
    }
}

impl Drop for Thread {
    /// The thread ends. Guards that were leaked are let go of here, as the kernel would: it must not walk
    /// over nodes that others may have overwritten while this process lives on.
    fn drop(&mut self) {
        let Some(block) = self.block.get() else { return };
        if self.ready.get() == fork::Epoch::current() {
            while let Some((last, older)) = block.held().split_last() {
                // SAFETY: a word on the list stays mapped, and while the block remembers it.
                let word =
                    unsafe { &*ptr::with_exposed_provenance::<RobustWord>(last.load(Ordering::Relaxed)) };
                let pending = self.begin_release(word);
                self.take_off(block, older.len());
                word.die(self.id());
                drop(pending);
                // Only now: from here on whoever owns the memory may unmap it.
                block.forget(older.len());
            }
        }
        block.len.store(0, Ordering::Release);
        block.in_use.store(false, Ordering::Release);
    }
}

impl Block {
    fn held(&self) -> &[AtomicUsize] {
        let len = self.len.load(Ordering::Acquire).min(MAX_HELD);
        &self.held[..len]
    }

    /// Forgets the word of that index. Each newer one is written to its new place before its old one is.
    fn forget(&self, index: usize) {
        let held = self.held();
        for (target, source) in held.iter().skip(index).zip(held.iter().skip(index + 1)) {
            target.store(source.load(Ordering::Relaxed), Ordering::Release);
        }
        self.len.store(held.len().saturating_sub(1), Ordering::Release);
    }

    /// Tells whether its thread holds any word.
    pub(super) fn is_empty(&self) -> bool {
        self.held().is_empty()
    }

    /// Returns one that no thread uses.
    fn take() -> &'static Self {
        let mut next = BLOCKS.load(Ordering::Acquire);
        // SAFETY: blocks are never freed.
        while let Some(block) = unsafe { next.as_ref() } {
            if !block.in_use.swap(true, Ordering::AcqRel) {
                return block;
            }
            next = block.next.load(Ordering::Acquire);
        }
        let block: &'static Self = Box::leak(Box::new(Self {
            next: AtomicPtr::new(ptr::null_mut()),
            in_use: AtomicBool::new(true),
            len: AtomicUsize::new(0),
            held: [const { AtomicUsize::new(0) }; MAX_HELD],
        }));
        let mut first = BLOCKS.load(Ordering::Acquire);
        loop {
            block.next.store(first, Ordering::Relaxed);
            let new = ptr::from_ref(block).cast_mut();
            match BLOCKS.compare_exchange(first, new, Ordering::AcqRel, Ordering::Acquire) {
                Ok(_) => return block,
                Err(now) => first = now,
            }
        }
    }
}

/// A node, and the head too, begin with what comes next.
const fn next_of(node: *mut Node) -> *mut *mut Node {
    node.cast()
}

#[inline]
fn node_of(word: &RobustWord) -> *mut Node {
    node_at(ptr::from_ref(word).expose_provenance())
}

#[inline]
fn node_at(word: usize) -> *mut Node {
    ptr::with_exposed_provenance_mut(word + WORD_TO_NODE.unsigned_abs())
}

/// Tells whether there is no thread of that id: a proof only for ids of this process's pid namespace.
///
/// # Kernel
/// tkill(2) with no signal.
pub(super) fn is_gone(id: u32) -> bool {
    let Ok(id) = libc::pid_t::try_from(id) else { return false };
    // SAFETY: takes two numbers, and sends nothing.
    let asked = unsafe { libc::syscall(libc::SYS_tkill, id, 0) };
    asked == -1 && std::io::Error::last_os_error().raw_os_error() == Some(libc::ESRCH)
}

/// Asks for the list that the C library has registered for this thread.
fn kernel_list() -> Option<*mut Head> {
    if cfg!(any(loom, shuttle)) {
        return None;
    }
    let mut head: *mut Head = ptr::null_mut();
    let mut len = 0usize;
    // SAFETY: the kernel writes a pointer and a size to two locals; 0 is this thread.
    let asked = unsafe { libc::syscall(libc::SYS_get_robust_list, 0, &raw mut head, &raw mut len) };
    if asked != 0 || len != size_of::<Head>() || head.is_null() {
        return None;
    }
    let offset = head.wrapping_byte_add(offset_of!(Head, offset)).cast::<isize>();
    // SAFETY: what is registered for this thread is a head, and stays one while the thread lives.
    let offset = unsafe { ptr::read_volatile(offset) };
    (offset == -WORD_TO_NODE).then_some(head)
}

#[cfg(all(test, not(any(loom, shuttle))))]
mod tests {
    use super::*;
    use crate::peer::relax;

    #[test]
    fn a_word_is_found_while_older_ones_are_forgotten() {
        const ROUNDS: usize = 3000;
        /// Beyond every address space, so that no other test's are met.
        const FAR: usize = 1 << 62;
        const SECOND_NEWEST: usize = FAR + MAX_HELD - 2;
        let block = Block::take();
        let mut missed = 0;
        let (held, looks) = (AtomicUsize::new(0), AtomicUsize::new(0));
        let wait_for_looks = || {
            let before = looks.load(Ordering::SeqCst);
            while looks.load(Ordering::SeqCst) < before + 2 {
                relax();
            }
        };
        std::thread::scope(|scope| {
            scope.spawn(|| {
                for _ in 0..ROUNDS {
                    for (index, place) in block.held.iter().enumerate() {
                        place.store(FAR + index, Ordering::Release);
                    }
                    block.len.store(MAX_HELD, Ordering::Release);
                    held.store(1, Ordering::SeqCst);
                    wait_for_looks();
                    for _ in 0..MAX_HELD - 2 {
                        block.forget(0);
                    }
                    held.store(0, Ordering::SeqCst);
                    wait_for_looks();
                }
                held.store(2, Ordering::SeqCst);
            });
            loop {
                let before = held.load(Ordering::SeqCst);
                let found = has_held_in(SECOND_NEWEST..SECOND_NEWEST + 1);
                missed += usize::from(!found && before == 1 && held.load(Ordering::SeqCst) == 1);
                looks.fetch_add(1, Ordering::SeqCst);
                if before == 2 {
                    break;
                }
            }
        });
        block.len.store(0, Ordering::Release);
        block.in_use.store(false, Ordering::Release);
        assert_eq!(missed, 0, "missed on its way");
    }
}
