//! Waiting, with a mutex let go of, until somebody says that its value has changed.
//!
//! ```text
//!   word   bit 0: somebody listens · bits 1 to 31: how many notifications were heard
//! ```
//! There is no lock and no list in it, so a death leaves nothing to repair. What a death can do is to swallow
//! a wake-up: the one that [`notify_one`](Condvar::notify_one) has woken is killed before it does anything.
//! So the others look at the count every 100 ms, and one that has missed a notification goes to see for
//! itself.

use mapwright_core::peer::{Deadline, Ordering, Placed, Shared, Word32, relax, wait, wake};
use mapwright_core::{Plain, Result};

use super::mutex::{MutexGuard, MutexRecovery};
use super::waiting::{looks, slice};
use crate::answers::LockError;
use crate::figure::Figure;
use crate::object::{Kind, Object, Plan, Site, room};

const LISTENED: u32 = 1;
const HEARD: u32 = 2;

/// The word.
#[derive(Debug, Default, Shared)]
#[shared(crate = "mapwright_core")]
#[repr(C)]
pub(super) struct Head {
    word: Word32,
}

/// Where those sleep who wait for a mutex's value to become something.
///
/// # Caveats
/// - What is waited for is part of the mutex's value, and changed under the mutex. Then no notification is
///   lost.
/// - A waiter may come back for no reason. Wait in a loop, or by [`wait_while`](Self::wait_while).
/// - [`notify_one`](Self::notify_one) wakes one now; the others that waited come back by themselves within
///   100 ms, as if for no reason. That is the price for this: *no notification is lost by the death of the
///   one that it woke*, whenever it is killed.
///
/// # Death
/// | killed | what others see |
/// |---|---|
/// | a waiter, asleep or just woken | nothing; a wake-up it swallowed comes to the others within 100 ms |
/// | one that has the mutex, waiter or notifier | [`LockError::OwnerDied`], to a waiter within 100 ms |
/// | a notifier between counting and waking | its notification within 100 ms |
///
/// Waiters come back within 100 ms of a repair of the mutex too: it may have changed the value.
///
/// # Examples
/// ```
/// use mapwright_share::{Condvar, Deadline, Mutex, Segment};
/// let segment = Segment::anonymous("jobs")
///     .with::<Mutex<u64>>("open", 0)
///     .with::<Condvar>("more", ())
///     .create()?;
/// let (open, more): (Mutex<u64>, Condvar) = (segment.get("open")?, segment.get("more")?);
/// std::thread::scope(|scope| {
///     scope.spawn(|| {
///         open.lock().expect("nobody dies here").store(1);
///         more.notify_one();
///     });
///     let guard = open.lock().expect("nobody dies here");
///     let mut guard = more.wait_while(guard, Deadline::never(), |open| *open == 0).expect("nor here");
///     guard.update(|open| *open -= 1);
/// });
/// # Ok::<(), mapwright_share::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct Condvar {
    head: Placed<Head>,
}

type Woken<'a, T> = Result<MutexGuard<'a, T>, LockError<MutexRecovery<'a, T>>>;

impl Condvar {
    pub(super) const fn at(head: Placed<Head>) -> Self {
        Self { head }
    }

    /// Lets go of the mutex, sleeps until notified, and takes the mutex again.
    ///
    /// # Errors
    /// As [`Mutex::lock`](crate::Mutex::lock).
    ///
    /// # Kernel
    /// futex(2).
    pub fn wait<'a, T: Plain>(&self, guard: MutexGuard<'a, T>) -> Woken<'a, T> {
        self.wait_until(guard, Deadline::never())
    }

    /// As [`wait`](Self::wait), until a deadline at most, which includes taking the mutex again.
    ///
    /// # Errors
    /// As [`wait`](Self::wait). At [`LockError::TimedOut`] the mutex is not held.
    pub fn wait_until<'a, T: Plain>(&self, guard: MutexGuard<'a, T>, until: Deadline) -> Woken<'a, T> {
        self.head.check()?;
        let mutex = guard.mutex();
        let repairs = mutex.repairs();
        // The mark is made under the mutex: whoever notifies after it had the mutex sees it.
        let ticket = self.head.word.fetch_or(LISTENED, Ordering::SeqCst) | LISTENED;
        drop(guard);
        let is_notified = || (self.head.word.load(Ordering::Acquire) ^ ticket) & !LISTENED != 0;
        for _ in 0..looks() {
            if is_notified() {
                return mutex.lock_until(until);
            }
            relax();
        }
        loop {
            wait(&self.head.word, ticket, slice(until));
            let notified = is_notified();
            // Where the file was cut nobody is ever notified.
            self.head.check()?;
            if notified || mutex.repairs() != repairs || mutex.is_abandoned() {
                return mutex.lock_until(until);
            }
            if until.has_passed() {
                return Err(LockError::TimedOut);
            }
        }
    }

    /// Waits for as long as a condition holds of the value, until a deadline at most.
    ///
    /// # Errors
    /// As [`wait_until`](Self::wait_until).
    pub fn wait_while<'a, T: Plain>(
        &self,
        mut guard: MutexGuard<'a, T>,
        until: Deadline,
        mut condition: impl FnMut(&T) -> bool,
    ) -> Woken<'a, T> {
        while condition(&guard.load()) {
            guard = self.wait_until(guard, until)?;
        }
        Ok(guard)
    }

    /// Wakes one that waits, if there is one. The others come back later, as if for no reason.
    pub fn notify_one(&self) {
        let mut seen = self.head.word.load(Ordering::Relaxed);
        while seen & LISTENED != 0 {
            // The mark stays: others may sleep on.
            let heard = seen.wrapping_add(HEARD);
            match self.head.word.compare_exchange(seen, heard, Ordering::AcqRel, Ordering::Relaxed) {
                Ok(_) if wake(&self.head.word, 1) > 0 => return,
                // Nobody slept: whoever is about to sees the change. If nobody has marked it since, the mark
                // is taken away, aloud, because one may have lain down in this very moment.
                Ok(_) => return self.take_mark(heard),
                Err(now) => seen = now,
            }
        }
    }

    /// Wakes all that wait.
    pub fn notify_all(&self) {
        let mut seen = self.head.word.load(Ordering::Relaxed);
        while seen & LISTENED != 0 && !self.take_mark_from(seen) {
            seen = self.head.word.load(Ordering::Relaxed);
        }
    }

    fn take_mark(&self, seen: u32) {
        let _taken = self.take_mark_from(seen);
    }

    fn take_mark_from(&self, seen: u32) -> bool {
        let heard = (seen & !LISTENED).wrapping_add(HEARD);
        let taken = self.head.word.compare_exchange(seen, heard, Ordering::AcqRel, Ordering::Relaxed).is_ok();
        if taken {
            wake(&self.head.word, u32::MAX >> 1);
        }
        taken
    }

    /// Says what can be said of it.
    ///
    /// # Errors
    /// `Damaged` where the room is too small.
    pub fn inspect(site: &Site) -> Result<Vec<Figure>> {
        let word = site.parts().one::<Head>()?.word.load(Ordering::Relaxed);
        let state = if word & LISTENED != 0 { "somebody may wait" } else { "nobody waits" };
        Ok(vec![Figure::text("state", state), Figure::number("notified", (word >> 1).into())])
    }
}

impl Object for Condvar {
    const KIND: Kind = Kind::Condvar;

    type Options = ();

    fn plan((): &()) -> Result<Plan> {
        let len = room("plan a condition variable in", &[(size_of::<Head>(), 1)])?;
        Ok(Plan { kind: Self::KIND, len, layout: Self::layout(), parameters: [0; 6] })
    }

    fn create(_site: &Site, (): &()) -> Result<()> {
        Ok(())
    }

    fn layout() -> String {
        String::new()
    }

    fn attach(site: &Site) -> Result<Self> {
        Ok(Self::at(site.parts().one()?))
    }
}
