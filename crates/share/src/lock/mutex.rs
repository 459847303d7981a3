//! One holder at a time, whose death is seen by the next.
//!
//! ```text
//!   line 0   lock word, linked into the kernel's list of what the holder's thread holds
//!            which copy is current · poison · repairs · deaths
//!   then     copy 0 of the value · copy 1
//! ```

use std::sync::Arc;

use mapwright_core::peer::{
    Acquired, Deadline, Held, Identity, Oracle, Ordering, Placed, RobustWord, Shared, Taker, Word32, Word64,
};
use mapwright_core::{Plain, Result};

use super::answers::Poison;
use super::cell::{TwoCopies, words_of_both};
use crate::answers::LockError;
use crate::figure::Figure;
use crate::object::{Kind, Object, Plan, Site, room};

const CLEAN: u32 = 0;
const DIED: u32 = 1;
const PANICKED: u32 = 2;

/// What a mutex is beside its value.
#[derive(Debug, Default, Shared)]
#[shared(crate = "mapwright_core")]
#[repr(C)]
pub(super) struct Head {
    word: RobustWord,
    current: Word32,
    poison: Word32,
    /// How often a poisoned value was repaired.
    repairs: Word32,
    /// How often a holder's death was handed to somebody.
    deaths: Word32,
}

/// A value that one thread of one process at a time can use.
///
/// # Caveats
/// - Values are copied: [`load`](MutexGuard::load) takes one out, [`store`](MutexGuard::store) puts one in,
///   whole. A holder that is killed leaves the value of its last finished `store`; several stores that belong
///   together may be half done, which is why its death has to be answered.
/// - A process that is stopped holds its locks. Deadlines are the remedy.
/// - A thread that locks what it holds is told [`LockError::Deadlock`]. Where the lock word bears not its
///   thread id but the participant's identity (between pid namespaces, beyond 32 locks that a thread holds at
///   once, while it holds a robust mutex of the C library's, in ending threads, with musl) that is known only
///   of the same participant: a process that has opened the segment twice can wait for itself.
/// - A guard that is still there when its thread ends (leaked, or kept in a thread-local value) is let go of
///   as a dead holder's.
/// - Where somebody cuts the file short, what is loaded by a guard is zeros.
///
/// # Death
/// | killed | leaves | the next one gets |
/// |---|---|---|
/// | before the lock was taken, or after it was let go of | nothing | the lock |
/// | while holding it, at any instant | the value of the last finished `store` | [`LockError::OwnerDied`] |
/// | between being told of a death and having repaired | the same, poisoned | [`LockError::Poisoned`] |
///
/// Those who wait are woken by the kernel at once (where thread ids mean nothing between the processes,
/// because they live in different pid namespaces, they ask every 100 ms).
///
/// A thread that has waited for half a millisecond goes before newcomers, so nobody starves.
///
/// # Examples
/// ```
/// use mapwright_share::{LockError, Mutex, Segment};
/// let segment = Segment::anonymous("bank").with::<Mutex<[i64; 2]>>("accounts", [100, 0]).create()?;
/// let accounts: Mutex<[i64; 2]> = segment.get("accounts")?;
/// let mut guard = match accounts.lock() {
///     Ok(guard) => guard,
///     // Whoever died has stored both accounts, or neither.
///     Err(LockError::OwnerDied(recovery)) => recovery.recover(),
///     Err(error) => panic!("{error}"),
/// };
/// guard.update(|[from, to]| {
///     *from -= 30;
///     *to += 30;
/// });
/// assert_eq!(guard.load(), [70, 30]);
/// # Ok::<(), mapwright_share::Error>(())
/// ```
#[derive(Debug)]
pub struct Mutex<T: Plain> {
    head: Placed<Head>,
    word: Placed<RobustWord>,
    value: TwoCopies<T>,
    taker: Taker,
    oracle: Arc<dyn Oracle>,
}

/// The right to the value; dropping it lets go of the lock.
///
/// Dropped by a panic it leaves the mutex poisoned.
#[derive(Debug)]
#[must_use = "the lock is let go of at once"]
pub struct MutexGuard<'a, T: Plain> {
    mutex: &'a Mutex<T>,
    was_panicking: bool,
    /// Last: let go of after all else.
    _held: Held<'a>,
}

/// The lock, from a holder that died. The mutex is poisoned until the value is [repaired](Self::repair) or
/// found to be [in order](Self::recover); dropping this leaves it so.
#[derive(Debug)]
#[must_use = "dropped, it leaves the mutex poisoned"]
pub struct MutexRecovery<'a, T: Plain> {
    mutex: &'a Mutex<T>,
    held: Held<'a>,
}

impl<T: Plain> Clone for Mutex<T> {
    fn clone(&self) -> Self {
        Self {
            head: self.head.clone(),
            word: self.word.clone(),
            value: self.value.clone(),
            taker: self.taker,
            oracle: Arc::clone(&self.oracle),
        }
    }
}

/// How taking the word ended. Told apart from the answer, which is large: one that came out of memory would
/// cost more than the lock itself.
#[derive(Clone, Copy)]
enum Taken {
    Clean,
    Died,
    Poisoned,
    TimedOut,
    Deadlock,
    Fault,
}

type Locked<'a, T> = Result<MutexGuard<'a, T>, LockError<MutexRecovery<'a, T>>>;

impl<T: Plain> Mutex<T> {
    pub(super) fn at(head: Placed<Head>, copies: Placed<[Word64]>, oracle: Arc<dyn Oracle>) -> Self {
        let (word, current) = (head.part(|head| &head.word), head.part(|head| &head.current));
        let taker = Taker::new(&*oracle);
        Self { head, word, value: TwoCopies::new(current, copies), taker, oracle }
    }

    /// Takes the lock, however long that takes.
    ///
    /// # Errors
    /// [`LockError::OwnerDied`] with the lock where the last holder died, [`LockError::Poisoned`],
    /// [`LockError::Deadlock`] where this thread holds it, [`LockError::Fault`].
    ///
    /// # Kernel
    /// None while nobody else holds it; else futex(2).
    #[inline(always)]
    pub fn lock(&self) -> Locked<'_, T> {
        self.lock_until(Deadline::never())
    }

    /// Takes the lock if that needs no waiting.
    ///
    /// # Errors
    /// As [`lock`](Self::lock); [`LockError::TimedOut`] where somebody holds it.
    #[inline(always)]
    pub fn try_lock(&self) -> Locked<'_, T> {
        self.lock_until(Deadline::now())
    }

    /// Takes the lock, waiting until a deadline at most.
    ///
    /// # Errors
    /// As [`lock`](Self::lock); [`LockError::TimedOut`] where it was not free before.
    #[inline(always)]
    pub fn lock_until(&self, until: Deadline) -> Locked<'_, T> {
        let (held, taken) = match self.word.acquire_at_once(self.taker) {
            Some(held) => {
                let is_clean = self.head.poison.load(Ordering::Relaxed) == CLEAN;
                // Where the file was cut every word is free.
                let taken = if self.head.check().is_err() {
                    Taken::Fault
                } else if is_clean {
                    Taken::Clean
                } else {
                    Taken::Poisoned
                };
                (Some(held), taken)
            }
            None => self.take_slowly(until),
        };
        match (taken, held) {
            (Taken::Clean, Some(held)) => Ok(self.guard(held)),
            (taken, held) => Err(self.refusal(taken, held)),
        }
    }

    #[cold]
    #[inline(never)]
    fn take_slowly(&self, until: Deadline) -> (Option<Held<'_>>, Taken) {
        if self.head.check().is_err() {
            return (None, Taken::Fault);
        }
        let (held, died) = match self.word.acquire(&*self.oracle, until) {
            Acquired::Clean(held) => (held, false),
            Acquired::Died(held) => (held, true),
            Acquired::TimedOut => return (None, Taken::TimedOut),
            Acquired::Deadlock => return (None, Taken::Deadlock),
        };
        let is_clean = self.head.poison.load(Ordering::Relaxed) == CLEAN;
        if self.head.check().is_err() {
            return (Some(held), Taken::Fault);
        }
        match (is_clean, died) {
            (false, _) => (Some(held), Taken::Poisoned),
            (true, false) => (Some(held), Taken::Clean),
            (true, true) => (Some(held), Taken::Died),
        }
    }

    #[cold]
    #[inline(never)]
    fn refusal<'a>(&'a self, taken: Taken, held: Option<Held<'a>>) -> LockError<MutexRecovery<'a, T>> {
        match (taken, held) {
            (Taken::Died, Some(held)) => {
                let deaths = self.head.deaths.load(Ordering::Relaxed).wrapping_add(1);
                self.head.deaths.store(deaths, Ordering::Relaxed);
                LockError::OwnerDied(self.recovery(held))
            }
            (Taken::TimedOut, _) => LockError::TimedOut,
            (Taken::Deadlock, _) => LockError::Deadlock,
            (Taken::Fault, _) => self.head.check().map_or_else(LockError::Fault, |()| LockError::TimedOut),
            _ => LockError::Poisoned,
        }
    }

    /// Takes the lock whatever state it is in, changes the value, and clears the poison.
    ///
    /// # Errors
    /// [`LockError::TimedOut`], [`LockError::Deadlock`], [`LockError::Fault`].
    pub fn repair_until(&self, until: Deadline, change: impl FnOnce(&mut T)) -> Locked<'_, T> {
        self.head.check()?;
        match self.word.acquire(&*self.oracle, until) {
            Acquired::Clean(held) | Acquired::Died(held) => {
                self.head.check()?;
                Ok(self.recovery(held).repair(change))
            }
            Acquired::TimedOut => Err(LockError::TimedOut),
            Acquired::Deadlock => Err(LockError::Deadlock),
        }
    }

    /// As [`repair_until`](Self::repair_until), however long that takes.
    ///
    /// # Errors
    /// As there.
    pub fn repair(&self, change: impl FnOnce(&mut T)) -> Locked<'_, T> {
        self.repair_until(Deadline::never(), change)
    }

    /// Has its words bear identities, as between pid namespaces.
    #[cfg(all(test, not(any(loom, shuttle))))]
    pub(super) fn by_identity(mut self, wrap: impl FnOnce(Arc<dyn Oracle>) -> Arc<dyn Oracle>) -> Self {
        self.oracle = wrap(self.oracle);
        self.taker = Taker::new(&*self.oracle);
        self
    }

    /// Returns why it is poisoned, if it is.
    #[must_use]
    pub fn poisoned(&self) -> Option<Poison> {
        match self.head.poison.load(Ordering::Acquire) {
            CLEAN => None,
            PANICKED => Some(Poison::Panicked),
            _ => Some(Poison::OwnerDied),
        }
    }

    /// Returns how often it was repaired: changes with every repair.
    pub(super) fn repairs(&self) -> u32 {
        self.head.repairs.load(Ordering::Acquire)
    }

    /// Tells whether somebody should take the lock to see what became of a holder.
    pub(super) fn is_abandoned(&self) -> bool {
        let (taken, holder) = self.word.holder();
        let dead = || Identity::from_number(holder).is_some_and(|who| !self.oracle.is_alive(who));
        self.head.poison.load(Ordering::Relaxed) != CLEAN || self.word.has_died() || (taken && dead())
    }

    #[inline]
    fn guard<'a>(&'a self, held: Held<'a>) -> MutexGuard<'a, T> {
        MutexGuard { mutex: self, was_panicking: std::thread::panicking(), _held: held }
    }

    /// A function of its own, and not of the guard, which stays in registers where nobody wants its address.
    #[cold]
    #[inline(never)]
    fn dropped_by_panic(&self, was_panicking: bool) {
        if !was_panicking && self.head.check().is_ok() {
            self.head.poison.store(PANICKED, Ordering::Release);
        }
    }

    /// From here on it is poisoned, until somebody says that the value is in order.
    fn recovery<'a>(&'a self, held: Held<'a>) -> MutexRecovery<'a, T> {
        self.head.poison.store(DIED, Ordering::Release);
        MutexRecovery { mutex: self, held }
    }

    /// Says what can be said of a mutex without knowing its value's type.
    ///
    /// # Errors
    /// `Damaged` where the room is too small.
    pub fn inspect(site: &Site) -> Result<Vec<Figure>> {
        let head = site.parts().one::<Head>()?;
        let state = match (head.poison.load(Ordering::Relaxed), head.part(|head| &head.word)) {
            (CLEAN, word) if word.holder().0 => "held",
            (CLEAN, word) if word.has_died() => "left by a dead holder",
            (CLEAN, _) => "free",
            (PANICKED, _) => "poisoned by a panic",
            _ => "poisoned by a death",
        };
        let mut figures = vec![Figure::text("state", state)];
        let (taken, holder) = head.part(|head| &head.word).holder();
        figures.extend(Identity::from_number(holder).filter(|_| taken).map(|who| Figure::who("holder", who)));
        figures.push(Figure::number("died", head.deaths.load(Ordering::Relaxed).into()));
        figures.push(Figure::number("repaired", head.repairs.load(Ordering::Relaxed).into()));
        Ok(figures)
    }
}

impl<'a, T: Plain> MutexGuard<'a, T> {
    /// Returns the value.
    #[inline]
    #[must_use]
    pub fn load(&self) -> T {
        self.mutex.value.load()
    }

    /// Replaces the value, all of it or (if this process is killed meanwhile) nothing.
    ///
    /// Where somebody has cut the file short nothing is stored; the next attempt to lock says so.
    ///
    /// # Panics
    /// In a forked child: the lock is its parent's.
    #[inline]
    pub fn store(&mut self, value: T) {
        self.mutex.value.store_checked(&value, self.mutex.head.check());
    }

    /// Changes the value: loads it, calls the function, stores it.
    ///
    /// # Panics
    /// As [`store`](Self::store), and where the function does: then nothing is stored.
    #[inline]
    pub fn update<R>(&mut self, change: impl FnOnce(&mut T) -> R) -> R {
        let mut value = self.load();
        let result = change(&mut value);
        self.store(value);
        result
    }

    pub(super) const fn mutex(&self) -> &'a Mutex<T> {
        self.mutex
    }
}

impl<T: Plain> Drop for MutexGuard<'_, T> {
    #[inline(always)]
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.mutex.dropped_by_panic(self.was_panicking);
        }
    }
}

impl<'a, T: Plain> MutexRecovery<'a, T> {
    /// Returns who died, as far as is known.
    #[must_use]
    pub fn who(&self) -> Option<Identity> {
        self.held.before()
    }

    /// Returns the value of the last `store` that was finished.
    #[must_use]
    pub fn load(&self) -> T {
        self.mutex.value.load()
    }

    /// Says that the value is in order as it is.
    pub fn recover(self) -> MutexGuard<'a, T> {
        let head = &self.mutex.head;
        // First what others compare, so that nobody sees a clean one that was never repaired.
        let repairs = head.repairs.load(Ordering::Relaxed).wrapping_add(1);
        head.repairs.store(repairs, Ordering::Release);
        head.poison.store(CLEAN, Ordering::Release);
        self.mutex.guard(self.held)
    }

    /// Puts the value in order.
    ///
    /// # Panics
    /// Where the function does; then the mutex stays poisoned.
    pub fn repair(self, change: impl FnOnce(&mut T)) -> MutexGuard<'a, T> {
        let mut value = self.load();
        change(&mut value);
        self.mutex.value.store(&value);
        self.recover()
    }
}

impl<T: Plain> Object for Mutex<T> {
    const KIND: Kind = Kind::Mutex;

    /// The first value.
    type Options = T;

    fn plan(_first: &T) -> Result<Plan> {
        let len =
            room("plan a mutex in", &[(size_of::<Head>(), 1), (size_of::<Word64>(), words_of_both::<T>())])?;
        Ok(Plan { kind: Self::KIND, len, layout: Self::layout(), parameters: [0; 6] })
    }

    fn create(site: &Site, first: &T) -> Result<()> {
        Self::attach(site)?.value.store(first);
        Ok(())
    }

    fn layout() -> String {
        T::STRUCTURE.to_string()
    }

    fn attach(site: &Site) -> Result<Self> {
        let mut parts = site.parts();
        let (head, copies) = (parts.one()?, parts.many(words_of_both::<T>())?);
        Ok(Self::at(head, copies, Arc::clone(site.oracle())))
    }
}
