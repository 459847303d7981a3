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
    /// Addresses: first one that makes the thread's head a node like the others, so that each word has one
    /// before it; then those of the words, oldest first; then zeros.
    held: [AtomicUsize; 1 + MAX_HELD],
}

/// What a thread has that has not settled: nobody's, and always empty.
static NONE: Block = Block::new();

static BLOCKS: AtomicPtr<Block> = AtomicPtr::new(ptr::null_mut());

/// What a thread knows of itself; true while the thread has [settled](fork::settled).
struct Thread {
    /// The epoch in which this thread has looked.
    epoch: Cell<u64>,
    head: Cell<*mut Head>,
    id: Cell<u32>,
    /// How many words are on the list.
    len: Cell<usize>,
    block: Cell<&'static Block>,
}

thread_local! {
    /// Nothing is to be dropped here, so that using it is a load and no question.
    static THREAD: Thread = const { Thread::new() };
    /// Made when the thread's list is first used.
    static ENDING: Ending = const { Ending };
}

/// Dropped when the thread ends.
struct Ending;

/// This thread's list, copied out once: between two exchanges every load counts.
#[derive(Clone, Copy)]
pub(super) struct List {
    thread: &'static Thread,
    head: *mut Head,
    block: &'static Block,
    epoch: u64,
}

/// Where a word comes to stand on the list.
#[derive(Clone, Copy)]
pub(super) struct Place {
    len: usize,
    older: *mut Node,
    place: &'static AtomicUsize,
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
        let [_head, words @ ..] = &block.held;
        if words.iter().rev().any(|word| range.contains(&word.load(Ordering::Acquire))) {
            return true;
        }
        next = block.next.load(Ordering::Acquire);
    }
    false
}

impl Thread {
    const fn new() -> Self {
        Self {
            epoch: Cell::new(0),
            head: Cell::new(ptr::null_mut()),
            id: Cell::new(0),
            len: Cell::new(0),
            block: Cell::new(&NONE),
        }
    }

    /// Finds out whether there is a list that a word could join.
    fn set_up(&self) {
        let epoch = fork::epoch_number();
        if self.epoch.replace(epoch) == epoch {
            return;
        }
        // A child: its parent's words are not its own.
        self.block.get().clear();
        self.len.set(0);
        let Some(head) = kernel_list() else { return };
        // In a thread that is ending nobody would let go of what it holds.
        if ENDING.try_with(|_ending| ()).is_err() {
            return;
        }
        if ptr::eq(self.block.get(), &raw const NONE) {
            self.block.set(Block::take());
        }
        let as_word = head.expose_provenance().wrapping_sub(WORD_TO_NODE.unsigned_abs());
        self.block.get().held[0].store(as_word, Ordering::Relaxed);
        self.id.set(rustix::thread::gettid().as_raw_nonzero().get().unsigned_abs());
        self.head.set(head);
        fork::settle(epoch);
    }

    /// The thread ends. Guards that were leaked are let go of here, as the kernel would: it must not walk
    /// over nodes that others may have overwritten while this process lives on.
    fn end(&self) {
        if let Some(list) = List::here() {
            while let Some((last, older)) = list.held().split_last() {
                // SAFETY: a word on the list stays mapped, and while the block remembers it.
                let word =
                    unsafe { &*ptr::with_exposed_provenance::<RobustWord>(last.load(Ordering::Relaxed)) };
                let pending = list.begin_release(word);
                list.take_off(older.len());
                word.die(list.id());
                drop(pending);
                // Only now: from here on whoever owns the memory may unmap it.
                list.forget(older.len());
            }
        }
        fork::settle(0);
        let block = self.block.replace(&NONE);
        block.clear();
        block.in_use.store(false, Ordering::Release);
    }
}

impl List {
    /// Returns this thread's list where it is known that it has one.
    #[inline(always)]
    pub(super) fn here() -> Option<Self> {
        let list = Self::unchecked();
        (list.epoch != 0).then_some(list)
    }

    /// Returns this thread's list of that epoch, which is not 0.
    #[inline(always)]
    pub(super) fn of(epoch: u64) -> Option<Self> {
        let list = Self::unchecked();
        (list.epoch == epoch).then_some(list)
    }

    #[inline(always)]
    fn unchecked() -> Self {
        // By a pointer: what is called with a reference is not inlined when it has much to do.
        let thread = THREAD.with(ptr::from_ref);
        // SAFETY: nothing is dropped with it, so it is there for as long as its thread runs, which is this
        // one and cannot hand the reference on: a `Thread` is not `Sync`.
        let thread = unsafe { &*thread };
        Self { thread, head: thread.head.get(), block: thread.block.get(), epoch: fork::settled() }
    }

    /// Returns this thread's list; `None` where it has none that a word could join.
    #[inline]
    pub(super) fn find() -> Option<Self> {
        Self::here().or_else(Self::find_first)
    }

    #[cold]
    fn find_first() -> Option<Self> {
        THREAD.with(Thread::set_up);
        Self::here()
    }

    /// The epoch in which every word on the list was taken.
    #[inline(always)]
    pub(super) fn epoch(self) -> u64 {
        self.epoch
    }

    /// The thread's id, as lock words hold it.
    #[inline(always)]
    pub(super) fn id(self) -> u32 {
        self.thread.id.get()
    }

    /// Tells whether this thread has no word on its list.
    pub(super) fn is_empty(self) -> bool {
        self.thread.len.get() == 0
    }

    /// Says that a word is about to be taken: if the thread dies, the kernel looks at it. Refused where the
    /// list has no room, or has neighbours that we do not know.
    #[inline(always)]
    pub(super) fn begin(self, word: &RobustWord) -> Option<(Pending, Place)> {
        let len = self.thread.len.get();
        let [older, place] = self.block.held.get(len..len + 2)? else { return None };
        let older = node_at(older.load(Ordering::Relaxed));
        (self.first() == older).then(|| (self.begin_release(word), Place { len, older, place }))
    }

    /// Says that a word that is held is about to be let go of.
    #[inline(always)]
    pub(super) fn begin_release(self, word: &RobustWord) -> Pending {
        let pending = Pending { head: self.head };
        pending.set(node_of(word));
        pending
    }

    /// Tells whether the kernel looks at a word that is not on the list.
    #[cfg(all(test, not(any(loom, shuttle))))]
    pub(super) fn is_pending(self) -> bool {
        // SAFETY: as in `first`.
        !unsafe { ptr::read_volatile(pending_of(self.head)) }.is_null()
    }

    /// Puts a word that was taken on the list, at the place that was the next one when it was begun.
    #[inline(always)]
    pub(super) fn link(self, word: &RobustWord, Place { len, older, place }: Place) {
        // Whoever sees it sees where the entries have moved that stood here before.
        place.store(ptr::from_ref(word).addr(), Ordering::Release);
        self.thread.len.set(len + 1);
        // Nobody reads a node's way back: we know our neighbours, and the C library its own.
        word.set_next(older.expose_provenance());
        compiler_fence(Ordering::SeqCst);
        points::pass();
        self.set_first(node_of(word));
        compiler_fence(Ordering::SeqCst);
    }

    /// Takes the newest word from the list; `false` where something stands in front of it.
    #[inline(always)]
    pub(super) fn unlink(self, word: &RobustWord) -> bool {
        let len = self.thread.len.get();
        let Some([.., older, newest]) = self.block.held.get(..=len) else { return false };
        if newest.load(Ordering::Relaxed) != ptr::from_ref(word).addr() || self.first() != node_of(word) {
            return false;
        }
        points::pass();
        self.set_first(node_at(older.load(Ordering::Relaxed)));
        self.thread.len.set(len - 1);
        compiler_fence(Ordering::SeqCst);
        newest.store(0, Ordering::Release);
        true
    }

    /// Takes a word from the list where something stands in front of it.
    pub(super) fn unlink_from_within(self, word: &RobustWord) {
        let address = ptr::from_ref(word).addr();
        let position = self.held().iter().rposition(|held| held.load(Ordering::Relaxed) == address);
        let Some(index) = position else { return };
        self.take_off(index);
        self.forget(index);
    }

    /// Forgets the word of that index. Each newer one is written to its new place before its old one is.
    fn forget(self, index: usize) {
        let held = self.held();
        for (target, source) in held.iter().skip(index).zip(held.iter().skip(index + 1)) {
            target.store(source.load(Ordering::Relaxed), Ordering::Release);
        }
        if let Some(last) = held.last() {
            last.store(0, Ordering::Release);
        }
        self.thread.len.set(held.len().saturating_sub(1));
    }

    /// The words on the list, oldest first.
    fn held(self) -> &'static [AtomicUsize] {
        let [_head, words @ ..] = &self.block.held;
        &words[..self.thread.len.get().min(MAX_HELD)]
    }

    /// Takes the word of that index off the kernel's list; the block remembers it.
    fn take_off(self, index: usize) {
        let held = self.held();
        let next = self.node_before(index);
        points::pass();
        let newer = held.get(index + 1).map(|newer| newer.load(Ordering::Relaxed));
        match (newer, held.get(index)) {
            // SAFETY: a word on the list stays mapped (`area` asks `has_held_in`), and the field is an
            // atomic's.
            (Some(newer), _) => unsafe { RobustWord::set_next_at(newer, next.expose_provenance()) },
            (None, Some(newest)) => self.skip(node_at(newest.load(Ordering::Relaxed)), next),
            (None, None) => {}
        }
        compiler_fence(Ordering::SeqCst);
    }

    /// What the node of the word of that index points to: the next older one, or the head.
    fn node_before(self, index: usize) -> *mut Node {
        node_at(self.block.held[index].load(Ordering::Relaxed))
    }

    /// Makes whatever points to our newest node point past it: the head, or a mutex of the C library that was
    /// locked after it.
    fn skip(self, node: *mut Node, next: *mut Node) {
        /// What the kernel walks at most.
        const LIMIT: usize = 2048;
        /// In a pointer to a mutex that lends its holder the waiters' priority.
        const LENDS_PRIORITY: usize = 1;
        let head = self.head.cast::<Node>();
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

    #[inline(always)]
    fn first(self) -> *mut Node {
        // SAFETY: the C library's head of this thread, which lives as long as the thread.
        unsafe { ptr::read_volatile(next_of(self.head.cast())) }
    }

    #[inline(always)]
    fn set_first(self, node: *mut Node) {
        // SAFETY: as in `first`; only this thread and the kernel, after its death, use it.
        unsafe { ptr::write_volatile(next_of(self.head.cast()), node) };
    }
}

/// While it lives, the kernel looks at one more word if the thread dies. Ends by a panic, too.
pub(super) struct Pending {
    /// This thread's.
    head: *mut Head,
}

impl Pending {
    /// Leaves it to the list, which the word is on by now: one store less. (It is looked at once.)
    #[inline(always)]
    pub(super) fn leave(self) {
        std::mem::forget(self);
    }

    #[inline(always)]
    fn set(&self, node: *mut Node) {
        points::pass();
        compiler_fence(Ordering::SeqCst);
        // SAFETY: the C library's head of this thread, which lives as long as the thread; a pointer of this
        // type does not go to another one. Only this thread and the kernel, after its death, use it.
        unsafe { ptr::write_volatile(pending_of(self.head), node) };
        compiler_fence(Ordering::SeqCst);
    }
}

impl Drop for Pending {
    #[inline(always)]
    fn drop(&mut self) {
        self.set(ptr::null_mut());
    }
}

impl Drop for Ending {
    fn drop(&mut self) {
        THREAD.with(Thread::end);
    }
}

impl Block {
    const fn new() -> Self {
        Self {
            next: AtomicPtr::new(ptr::null_mut()),
            in_use: AtomicBool::new(true),
            held: [const { AtomicUsize::new(0) }; 1 + MAX_HELD],
        }
    }

    /// Forgets what the thread of that block had on its list in the process that this one was forked from,
    /// or had before it ended.
    fn clear(&self) {
        self.held.iter().skip(1).for_each(|held| held.store(0, Ordering::Release));
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
        let block: &'static Self = Box::leak(Box::new(Self::new()));
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

#[inline(always)]
const fn pending_of(head: *mut Head) -> *mut *mut Node {
    head.wrapping_byte_add(offset_of!(Head, pending)).cast()
}

#[inline]
fn node_of(word: &RobustWord) -> *mut Node {
    node_at(ptr::from_ref(word).expose_provenance())
}

#[inline]
fn node_at(word: usize) -> *mut Node {
    ptr::with_exposed_provenance_mut(word.wrapping_add(WORD_TO_NODE.unsigned_abs()))
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
                // Its own entries, and nothing of the kernel's: it has no list yet.
                let list = List { block, ..List::unchecked() };
                let thread = list.thread;
                for _ in 0..ROUNDS {
                    for (index, place) in block.held.iter().skip(1).enumerate() {
                        place.store(FAR + index, Ordering::Release);
                    }
                    thread.len.set(MAX_HELD);
                    held.store(1, Ordering::SeqCst);
                    wait_for_looks();
                    for _ in 0..MAX_HELD - 2 {
                        list.forget(0);
                    }
                    held.store(0, Ordering::SeqCst);
                    wait_for_looks();
                }
                thread.len.set(0);
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
        block.clear();
        block.in_use.store(false, Ordering::Release);
        assert_eq!(missed, 0, "missed on its way");
    }
}
