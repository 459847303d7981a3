//! A lock word that is let go of when its holder dies.
//!
//! ```text
//!   bit 31     somebody sleeps
//!   bit 30     the last holder died
//!   bit 29     0: bits 0 to 28 are the holder's thread id, and the kernel lets go for it
//!              1: they are the holder's short identity, and the oracle knows whether it lives
//!   0 to 28    0 for nobody
//! ```
//! The first kind needs a list of the kernel's that this thread can join ([`thread`]) and thread ids that
//! mean the same to all; where either is missing, the second kind does the same a little later: a waiter asks
//! the oracle now and then. Both kinds meet on one word. Thread ids end below 2^22, so the two are never
//! mixed up.
//!
//! Of holders of the first kind that keep a waiter waiting it is asked now and then whether there is such a
//! thread at all: the kernel overlooks one that calls execve(2) from another thread than the first (it has
//! changed its id by then), and those on a list that somebody has cut.
//!
//! # Caveats
//! - That this thread holds a word already is known of the first kind whatever mapping and participant it was
//!   taken by, of the second kind (see [`thread`] for when that is) where it was taken by the same
//!   participant. A process that takes part twice, and takes one by the one and then by the other, waits for
//!   itself.
//! - What a thread still holds when its thread-local values are dropped has been let go of, as a dead
//!   holder's.
//!
//! The word excludes; it guards no memory. What a lock protects is copied in and out word by word, so that a
//! peer that ignores locks tears values and breaks nothing.
//!
//! # Kernel
//! set_robust_list(2), as the kernel walks it when a thread ends, and futex(2).

#![allow(unsafe_code, reason = "the kernel's robust list; listed in docs/SOUNDNESS.md")]

use std::marker::PhantomData;
use std::time::Duration;

use super::area::{Placed, Shared};
use super::deadline::Deadline;
use super::roster::{Identity, Oracle};
use super::thread::{self, List, Pending, Place};
use super::turn::Turn;
use super::wait::{Waited, wait, wake};
use super::word::{Ordering, Word32, Word64, relax};
use crate::sys::fork;

const SLEEPERS: u32 = 1 << 31;
const DIED: u32 = 1 << 30;
const BY_IDENTITY: u32 = 1 << 29;
const HOLDER: u32 = BY_IDENTITY | (BY_IDENTITY - 1);

/// How often a taken word is looked at before sleeping, ever more rarely, so that the holder is not
/// disturbed: in all about as long as a wake-up takes.
#[cfg(not(any(loom, shuttle)))]
const LOOKS: u32 = 10;
#[cfg(any(loom, shuttle))]
const LOOKS: u32 = 1;

/// Two to this power is how often a processor relaxes between two looks at most.
#[cfg(not(any(loom, shuttle)))]
const LONGEST_PAUSE: u32 = 6;
#[cfg(any(loom, shuttle))]
const LONGEST_PAUSE: u32 = 0;

/// A sleeper that has been passed over for so long asks for its turn.
const PATIENCE: Duration = Duration::from_micros(500);

/// After so long a sleeper asks whether the holder is still alive.
const ASK_AFTER: Duration = Duration::from_millis(100);

/// A lock word and the node by which it stands on the kernel's list.
///
/// All zeros is a free one.
#[derive(Debug, Default)]
#[repr(C, align(64))]
pub struct RobustWord {
    word: Word32,
    /// Who has waited for long.
    turn: Turn,
    /// Who took it last, for display.
    holder: Word64,
    /// Who died holding it last, for display.
    before: Word64,
    /// The C library writes here where it links one of its own in front of this one; nobody reads it.
    _previous: Word64,
    next: Word64,
    /// Of one of the second kind: which of the holder's threads holds it ([`thread_of`]); 0 for none.
    thread: Word64,
    _rest: [Word64; 2],
}

// SAFETY: words only, `repr(C)`.
unsafe impl Shared for RobustWord {}

/// How an attempt to take a word ended.
#[derive(Debug)]
pub enum Acquired<'a> {
    /// It is held, and the one before let go of it.
    Clean(Held<'a>),
    /// It is held, and the one before died holding it.
    Died(Held<'a>),
    /// The deadline came first.
    TimedOut,
    /// This thread holds it already.
    Deadlock,
}

/// A lock word that this thread holds; dropping lets go of it.
#[derive(Debug)]
#[must_use = "the lock is let go of at once"]
pub struct Held<'a> {
    word: &'a RobustWord,
    /// See [`tag()`]; never 0. Two words in all: a guard that travels through memory costs more than the
    /// lock.
    tag: u64,
    /// The list belongs to the thread.
    _not_send: PhantomData<*const ()>,
}

/// What taking a word needs to know of an oracle, looked up once.
#[derive(Clone, Copy, Debug)]
pub struct Taker {
    me: u64,
    /// In which this is so: not in a child, where the memory is not there any more. No epoch at all where
    /// thread ids mean nothing to the others.
    epoch: u64,
}

impl Taker {
    /// Asks an oracle.
    #[must_use]
    pub fn new(oracle: &dyn Oracle) -> Self {
        let me = oracle.me();
        let by_kernel = oracle.knows_thread_ids() && me != Identity::nobody();
        Self { me: me.number(), epoch: if by_kernel { fork::epoch_number() } else { u64::MAX } }
    }
}

impl Placed<RobustWord> {
    /// Takes the word, waiting until a deadline at most. An observer, who has no seat, never gets it.
    ///
    /// ```
    /// # use mapwright_core::{MapOptions, MemFile, peer::*};
    /// # let file = MemFile::new("lock", 8192)?;
    /// # let area = Area::new(MapOptions::new().map_mut(&file)?)?;
    /// # let life = Life::open(file.file().as_ref())?;
    /// # let roster = Roster::join(area.place_many(4096, 4)?, life, pid_namespace())?.unwrap();
    /// let lock = area.place::<RobustWord>(0)?;
    /// let held = lock.acquire(&roster, Deadline::never());
    /// assert!(matches!(held, Acquired::Clean(_)));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[inline]
    pub fn acquire(&self, oracle: &dyn Oracle, until: Deadline) -> Acquired<'_> {
        let (word, me): (&RobustWord, _) = (self, oracle.me());
        // An observer has no name that others could tell from a dead one's.
        if me == Identity::nobody() {
            return Acquired::TimedOut;
        }
        if word.is_held_here(me) {
            return Acquired::Deadlock;
        }
        let taking = Taking { oracle, me, knows_thread_ids: oracle.knows_thread_ids(), until };
        if taking.knows_thread_ids
            && let Some(list) = List::find()
            && let Some(acquired) = word.acquire_by_kernel(list, &taking)
        {
            return acquired;
        }
        let Ok(died) = word.take(BY_IDENTITY | me.short(), &taking, None) else { return Acquired::TimedOut };
        word.acquired(false, died, me)
    }

    /// Takes the word if it is free, this thread's list can be joined, and this is not a child of the process
    /// that asked the oracle. What is answered by `None`, [`acquire`](Self::acquire) finds out.
    #[inline(always)]
    pub fn acquire_at_once(&self, taker: Taker) -> Option<Held<'_>> {
        let word: &RobustWord = self;
        let tag = word.take_at_once(taker);
        // Not `then_some`: one that is made is let go of.
        if tag == 0 { None } else { Some(Held { word, tag, _not_send: PhantomData }) }
    }

    /// Returns whether anybody holds it, and who took it last.
    #[must_use]
    pub fn holder(&self) -> (bool, u64) {
        let taken = self.word.load(Ordering::Relaxed) & HOLDER != 0;
        (taken, self.holder.load(Ordering::Relaxed))
    }

    /// Returns whether the last holder died, and nobody has taken it since.
    #[must_use]
    pub fn has_died(&self) -> bool {
        let word = self.word.load(Ordering::Relaxed);
        word & DIED != 0 && word & HOLDER == 0
    }
}

impl RobustWord {
    /// Returns the tag of what is held, or 0. Called, and never inlined: a thread's own values are reached
    /// faster from within this crate, and what is returned in a register does not go through memory.
    ///
    /// Every store costs here: the next exchange waits for it.
    #[inline(never)]
    fn take_at_once(&self, taker: Taker) -> u64 {
        // What is rare is called last, so that nothing has to be kept on the stack for it.
        let Some(list) = List::of(taker.epoch) else { return self.take_at_first(taker) };
        if self.turn.is_asked() {
            return 0;
        }
        let Some((pending, place)) = list.begin(self) else { return 0 };
        if self.word.compare_exchange(0, list.id(), Ordering::Acquire, Ordering::Relaxed).is_err() {
            return 0;
        }
        list.link(self, place);
        pending.leave();
        if self.holder.load(Ordering::Relaxed) != taker.me {
            self.holder.store(taker.me, Ordering::Relaxed);
        }
        tag(list.epoch(), true)
    }

    #[cold]
    #[inline(never)]
    fn take_at_first(&self, taker: Taker) -> u64 {
        let is_new = List::find().is_some_and(|list| list.epoch() == taker.epoch);
        if is_new { self.take_at_once(taker) } else { 0 }
    }

    /// `None` where the thread's list cannot be joined now.
    #[inline]
    fn acquire_by_kernel(&self, list: List, taking: &Taking<'_>) -> Option<Acquired<'_>> {
        let mut joining = Joining { list, begun: Some(list.begin(self)?) };
        let mine = list.id();
        // By whatever mapping it was taken.
        if self.word.load(Ordering::Relaxed) & HOLDER == mine && !list.is_empty() {
            return Some(Acquired::Deadlock);
        }
        let died = match self.take(mine, taking, Some(&mut joining)) {
            Ok(died) => died,
            Err(Untaken::TimedOut) => return Some(Acquired::TimedOut),
            Err(Untaken::CannotJoin) => return None,
        };
        let (pending, place) = joining.begun?;
        list.link(self, place);
        drop(pending);
        Some(self.acquired(true, died, taking.me))
    }

    /// Tells whether this thread holds the word by an identity. Nobody else writes what is compared, and this
    /// thread takes it back before it lets go: so it is never an older one's.
    fn is_held_here(&self, me: Identity) -> bool {
        self.word.load(Ordering::Relaxed) & HOLDER == BY_IDENTITY | me.short()
            && thread_of(me).is_some_and(|mine| self.thread.load(Ordering::Relaxed) == mine)
    }

    fn acquired(&self, by_kernel: bool, died: bool, me: Identity) -> Acquired<'_> {
        if !by_kernel && let Some(mine) = thread_of(me) {
            self.thread.store(mine, Ordering::Relaxed);
        }
        if died {
            self.before.store(self.holder.load(Ordering::Relaxed), Ordering::Relaxed);
        }
        let held = self.held(fork::Epoch::current(), by_kernel, me.number());
        if died { Acquired::Died(held) } else { Acquired::Clean(held) }
    }

    #[inline]
    fn held(&self, epoch: u64, by_kernel: bool, me: u64) -> Held<'_> {
        self.holder.store(me, Ordering::Relaxed);
        Held { word: self, tag: tag(epoch, by_kernel), _not_send: PhantomData }
    }

    /// Makes the word ours; answers whether its last holder died.
    #[cold]
    fn take(
        &self,
        mine: u32,
        taking: &Taking<'_>,
        mut joining: Option<&mut Joining>,
    ) -> Result<bool, Untaken> {
        let until = taking.until;
        // One that may not wait gives nobody the way.
        if !until.has_passed() {
            self.turn.give_way(until);
        }
        let mut sleeper = Sleeper { word: self, since: None, token: None, has_slept: false };
        let mut looks = 0;
        // Once slept, somebody else may still sleep, and only we know.
        let mut sleepers = 0;
        // A thread that has held it for long: the kernel may have overlooked its death.
        let mut suspect = 0;
        let mut seen = self.word.load(Ordering::Relaxed);
        loop {
            let holder = seen & HOLDER;
            let dead = match holder {
                0 => false,
                _ if holder & BY_IDENTITY == 0 => {
                    holder == std::mem::take(&mut suspect) && self.is_left_by(holder)
                }
                _ if looks < LOOKS => false,
                _ => !taking.is_alive(holder & !BY_IDENTITY, self, joining.as_deref_mut())?,
            };
            if holder == 0 || dead {
                let new = mine | (seen & SLEEPERS) | sleepers;
                match self.word.compare_exchange(seen, new, Ordering::Acquire, Ordering::Relaxed) {
                    Ok(_) => {
                        // Whoever else sleeps is woken when we let go of it.
                        sleeper.has_slept = false;
                        return Ok(dead || seen & DIED != 0);
                    }
                    Err(now) => seen = now,
                }
                continue;
            }
            if looks < LOOKS {
                for _ in 0..1_u32 << looks.min(LONGEST_PAUSE) {
                    relax();
                }
                looks += 1;
                seen = self.word.load(Ordering::Relaxed);
                continue;
            }
            if until.has_passed() {
                return Err(Untaken::TimedOut);
            }
            if seen & SLEEPERS == 0 {
                let marked = seen | SLEEPERS;
                if let Err(now) =
                    self.word.compare_exchange(seen, marked, Ordering::Relaxed, Ordering::Relaxed)
                {
                    seen = now;
                    continue;
                }
            }
            sleeper.note(mine);
            sleepers = SLEEPERS;
            // Of those for whom the kernel does not let go it is asked now and then.
            let slice = Deadline::after(ASK_AFTER).earlier(until);
            if wait(&self.word, seen | SLEEPERS, slice) == Waited::TimedOut && taking.knows_thread_ids {
                suspect = holder;
            }
            seen = self.word.load(Ordering::Relaxed);
        }
    }

    /// Tells whether a thread that the word names is gone. Asked twice: what bore that id when the word was
    /// looked at in between is gone as well, should the id have been given to another.
    fn is_left_by(&self, thread: u32) -> bool {
        thread::is_gone(thread)
            && self.word.load(Ordering::Relaxed) & HOLDER == thread
            && thread::is_gone(thread)
    }

    /// Lets go of what is held by that tag.
    #[inline(never)]
    fn release(&self, held: u64) {
        // Neither in a child, whose parent's the lock is, nor in a thread that is ending, where all that was
        // on its list has been let go of already.
        let Some(list) = List::of(held) else { return self.release_by_identity(held) };
        let pending = list.begin_release(self);
        if !list.unlink(self) {
            return self.release_from_within(pending);
        }
        if self.word.swap(0, Ordering::Release) & SLEEPERS != 0 {
            return self.wake_next(pending);
        }
        drop(pending);
    }

    /// The same where something stands in front of it on the list.
    #[cold]
    #[inline(never)]
    fn release_from_within(&self, pending: Pending) {
        // Looked up anew: what is handed on would lie in memory on the other road, too.
        if let Some(list) = List::here() {
            list.unlink_from_within(self);
            self.let_go();
        }
        drop(pending);
    }

    /// With the kernel still looking: if this thread dies here, it wakes somebody.
    #[cold]
    #[inline(never)]
    fn wake_next(&self, pending: Pending) {
        wake(&self.word, 1);
        drop(pending);
    }

    #[cold]
    #[inline(never)]
    fn release_by_identity(&self, held: u64) {
        if held == tag(fork::Epoch::current(), false) {
            self.thread.store(0, Ordering::Relaxed);
            self.let_go();
        }
    }

    #[inline]
    fn let_go(&self) {
        if self.word.swap(0, Ordering::Release) & SLEEPERS != 0 {
            self.wake_one();
        }
    }

    #[cold]
    fn wake_one(&self) {
        wake(&self.word, 1);
    }

    /// Does what the kernel does for a thread that ends.
    pub(super) fn die(&self, thread: u32) {
        let mut seen = self.word.load(Ordering::Relaxed);
        while seen & HOLDER == thread {
            let new = (seen & SLEEPERS) | DIED;
            match self.word.compare_exchange(seen, new, Ordering::Release, Ordering::Relaxed) {
                Ok(_) => {
                    wake(&self.word, 1);
                    return;
                }
                Err(now) => seen = now,
            }
        }
    }

    #[inline]
    pub(super) fn set_next(&self, next: usize) {
        self.next.store(to_u64(next), Ordering::Relaxed);
    }

    /// Sets the next node of the word at an address.
    ///
    /// # Safety
    /// There is a word, mapped.
    pub(super) unsafe fn set_next_at(address: usize, next: usize) {
        // SAFETY: by this function's contract.
        let word = unsafe { &*std::ptr::with_exposed_provenance::<Self>(address) };
        word.set_next(next);
    }
}

impl Held<'_> {
    /// Returns who died holding the word last, as far as is known: one that dies before it has said who it is
    /// leaves the name of the one before.
    #[must_use]
    pub fn before(&self) -> Option<Identity> {
        Identity::from_number(self.word.before.load(Ordering::Relaxed))
    }
}

/// What an attempt to take a word knows.
struct Taking<'a> {
    oracle: &'a dyn Oracle,
    me: Identity,
    knows_thread_ids: bool,
    until: Deadline,
}

/// The list that a word is about to join, and where.
struct Joining {
    list: List,
    begun: Option<(Pending, Place)>,
}

/// Why a word was not taken.
enum Untaken {
    TimedOut,
    CannotJoin,
}

impl Taking<'_> {
    /// Asks with nothing pending: an oracle may panic, and may take locks itself.
    fn is_alive(
        &self,
        short: u32,
        word: &RobustWord,
        joining: Option<&mut Joining>,
    ) -> Result<bool, Untaken> {
        let Some(joining) = joining else { return Ok(self.oracle.is_short_alive(short)) };
        joining.begun = None;
        let is_alive = self.oracle.is_short_alive(short);
        joining.begun = Some(joining.list.begin(word).ok_or(Untaken::CannotJoin)?);
        Ok(is_alive)
    }
}

/// One that sleeps: asks for its turn when it has been passed over for long, and hands on the wake-up that it
/// may have got if it goes away without the word.
struct Sleeper<'a> {
    word: &'a RobustWord,
    since: Option<Deadline>,
    token: Option<u32>,
    has_slept: bool,
}

impl Sleeper<'_> {
    /// Called before each sleep.
    fn note(&mut self, token: u32) {
        self.has_slept = true;
        match self.since {
            None => self.since = Some(Deadline::after(PATIENCE)),
            // Each time: a newcomer that has stood back for long enough takes the word away.
            Some(since) if since.has_passed() && self.word.turn.ask(token) => self.token = Some(token),
            Some(_) => {}
        }
    }
}

impl Drop for Sleeper<'_> {
    fn drop(&mut self) {
        if let Some(token) = self.token {
            self.word.turn.done(token);
        }
        if self.has_slept {
            self.word.wake_one();
        }
    }
}

impl Drop for Held<'_> {
    #[inline(always)]
    fn drop(&mut self) {
        self.word.release(self.tag);
    }
}

/// What a guard remembers: the epoch, which is never 0 and never reaches bit 63, and in that bit whether the
/// word bears an identity.
#[inline(always)]
const fn tag(epoch: u64, by_kernel: bool) -> u64 {
    if by_kernel { epoch } else { epoch | 1 << 63 }
}

/// This thread as a holder of words that bear an identity: the identity's short form, and which of its
/// process's threads it is. `None` under a model checker, whose threads are all one.
fn thread_of(me: Identity) -> Option<u64> {
    let is_real = cfg!(not(any(loom, shuttle)));
    is_real.then(|| u64::from(me.short()) << 32 | u64::from(thread::number()))
}

#[inline]
fn to_u64(address: usize) -> u64 {
    u64::try_from(address).unwrap_or(0)
}

#[cfg(not(any(loom, shuttle)))]
const _: () = {
    assert!(std::mem::offset_of!(RobustWord, word) == 0);
    assert!(std::mem::offset_of!(RobustWord, _previous) == 24);
    assert!(std::mem::offset_of!(RobustWord, next) == 32);
};
