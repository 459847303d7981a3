//! Permits, of which there are so many and no more.
//!
//! ```text
//!   line 0   bell · whose turn · how many were taken over from the dead
//!   then     a word for each permit: 0, or the identity of the participant that holds it
//! ```
//! A permit *is* its word. It is taken by one exchange that names the holder, and given back by one store, so
//! at each instant it is in exactly one place: free, or with somebody whose name it bears. There is nothing
//! in transit, and no count that could disagree. The permits of the dead are those that bear a dead one's
//! name, and are taken over, one exchange each, by whoever needs one.

use std::sync::Arc;
use std::sync::atomic::AtomicUsize;

use mapwright_core::peer::{
    Bell, Deadline, Identity, Oracle, Ordering, Placed, Shared, Turn, Word32, Word64,
};
use mapwright_core::{Error, ErrorKind, Result};

use super::answers::WaitError;
use super::waiting::{token, wait_for};
use crate::figure::Figure;
use crate::object::{Kind, Object, Plan, Site, room};
use crate::waiting::Waitable;

const MAX_PERMITS: usize = 1 << 20;

/// What a semaphore is beside its permits.
#[derive(Debug, Default, Shared)]
#[shared(crate = "mapwright_core")]
#[repr(C)]
pub(super) struct Head {
    returned: Bell,
    turn: Turn,
    /// How many permits were taken over from the dead.
    taken_over: Word32,
    _rest: Word32,
}

/// How a [`Semaphore`] is made.
#[derive(Clone, Copy, Debug)]
pub struct SemaphoreOptions {
    permits: usize,
}

impl SemaphoreOptions {
    /// With so many permits, 1 to 1,048,576; each takes eight bytes.
    #[must_use]
    pub const fn new(permits: usize) -> Self {
        Self { permits }
    }
}

/// Permits that processes share.
///
/// Whoever has a [`Permit`] gives it back by dropping it, or by dying. It cannot be given back by anybody
/// else: to signal something, use an [`Event`](crate::Event).
///
/// # Caveats
/// - With very many permits nearly all of which are taken, finding a free one takes a look at each.
/// - Among those who wait nobody is first; but one that has slept goes before newcomers.
///
/// # Death
/// | killed | leaves | others get |
/// |---|---|---|
/// | before it has a permit, or after it was given back | nothing | |
/// | with permits, at any instant | each with its name on it | it; [`Permit::before`] names the dead |
/// | between giving one back and waking others | a free permit | it, within 100 ms |
///
/// # Examples
/// ```
/// use mapwright_share::{Segment, Semaphore, SemaphoreOptions, WaitError};
/// let segment =
///     Segment::anonymous("printers").with::<Semaphore>("free", SemaphoreOptions::new(2)).create()?;
/// let free: Semaphore = segment.get("free")?;
/// let (one, other) = (free.try_acquire(), free.try_acquire());
/// assert_eq!(free.try_acquire().err(), Some(WaitError::TimedOut));
/// drop((one, other));
/// assert_eq!(free.available(), 2);
/// # Ok::<(), mapwright_share::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct Semaphore {
    head: Placed<Head>,
    permits: Placed<[Word64]>,
    oracle: Arc<dyn Oracle>,
    /// Where this process found one last: only a hint, and this process's own.
    hint: Arc<AtomicUsize>,
}

/// The right to one of so many; dropping it gives it back.
#[derive(Debug)]
#[must_use = "the permit is given back at once"]
pub struct Permit<'a> {
    semaphore: &'a Semaphore,
    index: usize,
    before: Option<Identity>,
}

impl Semaphore {
    pub(super) fn at(head: Placed<Head>, permits: Placed<[Word64]>, oracle: Arc<dyn Oracle>) -> Self {
        // Each seat begins on a line of its own, while there are enough.
        let first = oracle.me().seat() * 16 % permits.len().max(1);
        Self { head, permits, oracle, hint: Arc::new(AtomicUsize::new(first)) }
    }

    /// Takes a permit, however long that takes.
    ///
    /// # Errors
    /// [`WaitError::Fault`].
    ///
    /// # Kernel
    /// None while there is one; else futex(2).
    #[inline]
    pub fn acquire(&self) -> Result<Permit<'_>, WaitError> {
        self.acquire_until(Deadline::never())
    }

    /// Takes a permit, if one is free or a dead one's.
    ///
    /// # Errors
    /// [`WaitError::TimedOut`] where there is none, [`WaitError::Fault`].
    #[inline]
    pub fn try_acquire(&self) -> Result<Permit<'_>, WaitError> {
        self.acquire_until(Deadline::now())
    }

    /// Takes a permit, waiting until a deadline at most.
    ///
    /// # Errors
    /// As [`try_acquire`](Self::try_acquire).
    #[inline]
    pub fn acquire_until(&self, until: Deadline) -> Result<Permit<'_>, WaitError> {
        self.head.check()?;
        if until != Deadline::now() {
            self.head.turn.give_way(until);
        }
        if let Some(permit) = self.take_free() {
            // Where the file was cut all words are free.
            self.head.check()?;
            return Ok(permit);
        }
        self.acquire_slowly(until)
    }

    #[cold]
    fn acquire_slowly(&self, until: Deadline) -> Result<Permit<'_>, WaitError> {
        let mine = token(self.oracle.me());
        let mut asked = false;
        let ask = || {
            let taken = self.take_over();
            // Each time: a newcomer that has stood back for long enough takes the word away.
            asked |= taken.is_none() && until != Deadline::now() && self.head.turn.ask(mine);
            taken
        };
        let taken = wait_for(|| self.head.check(), &self.head.returned, until, || self.take_free(), ask);
        if asked {
            self.head.turn.done(mine);
        }
        taken?.ok_or(WaitError::TimedOut)
    }

    /// Returns how many permits there are.
    #[must_use]
    pub fn permits(&self) -> usize {
        self.permits.len()
    }

    /// Returns how many of them nobody alive holds, at this moment.
    #[must_use]
    pub fn available(&self) -> usize {
        let free = |word: &&Word64| !self.is_held(word.load(Ordering::Relaxed));
        self.permits.iter().filter(free).count()
    }

    #[inline]
    fn take_free(&self) -> Option<Permit<'_>> {
        let (me, first) = (self.oracle.me().number(), self.hint.load(Ordering::Relaxed));
        let (behind, ahead) = self.permits.split_at(first.min(self.permits.len()));
        let found = position(ahead, me).map(|index| first + index).or_else(|| position(behind, me));
        found.map(|index| Permit { semaphore: self, index, before: None })
    }

    /// Takes a permit from the dead.
    fn take_over(&self) -> Option<Permit<'_>> {
        let me = self.oracle.me().number();
        self.permits.iter().enumerate().find_map(|(index, word)| {
            let seen = word.load(Ordering::Relaxed);
            if self.is_held(seen) {
                return None;
            }
            word.compare_exchange(seen, me, Ordering::Acquire, Ordering::Relaxed).ok()?;
            let before = Identity::from_number(seen);
            if before.is_some() {
                self.head.taken_over.fetch_add(1, Ordering::Relaxed);
            }
            Some(Permit { semaphore: self, index, before })
        })
    }

    /// Returns whether somebody that sleeps has asked for its turn.
    #[cfg(all(test, not(any(loom, shuttle))))]
    pub(super) fn is_waited_for(&self) -> bool {
        self.head.turn.is_asked()
    }

    fn is_held(&self, word: u64) -> bool {
        Identity::from_number(word).is_some_and(|who| self.oracle.is_alive(who))
    }

    /// Says what can be said of a semaphore.
    ///
    /// # Errors
    /// `Damaged` where the room and the number of permits do not fit together.
    pub fn inspect(site: &Site) -> Result<Vec<Figure>> {
        let this = Self::attach(site)?;
        let number = |count: usize| u64::try_from(count).unwrap_or(u64::MAX);
        let mut holders: Vec<_> = this
            .permits
            .iter()
            .filter_map(|word| Identity::from_number(word.load(Ordering::Relaxed)))
            .collect();
        holders.sort_unstable();
        holders.dedup();
        let mut figures = vec![
            Figure::number("permits", number(this.permits())),
            Figure::number("available", number(this.available())),
            Figure::number("taken over", this.head.taken_over.load(Ordering::Relaxed).into()),
        ];
        figures.extend(holders.into_iter().map(|who| Figure::who("holder", who)));
        Ok(figures)
    }
}

/// Ready where a permit can be had, be it a dead one's; another may be faster.
impl Waitable for Semaphore {
    fn bell(&self) -> Placed<Bell> {
        self.head.part(|head| &head.returned)
    }

    fn is_ready(&self) -> bool {
        self.head.check().is_err() || self.available() > 0
    }
}

/// Takes the first free word, and returns where it is.
#[inline]
fn position(words: &[Word64], me: u64) -> Option<usize> {
    let take = |word: &Word64| {
        word.load(Ordering::Relaxed) == 0
            && word.compare_exchange(0, me, Ordering::Acquire, Ordering::Relaxed).is_ok()
    };
    words.iter().position(take)
}

impl Permit<'_> {
    /// Returns who died with this permit, where it was taken over: what it stands for may be half done.
    #[must_use]
    pub const fn before(&self) -> Option<Identity> {
        self.before
    }
}

impl Drop for Permit<'_> {
    #[inline]
    fn drop(&mut self) {
        // In a child the permit is its parent's.
        if self.semaphore.head.check().is_err() {
            return;
        }
        // Nobody else changes it while this process lives.
        if let Some(word) = self.semaphore.permits.get(self.index) {
            word.store(0, Ordering::Release);
        }
        self.semaphore.hint.store(self.index, Ordering::Relaxed);
        self.semaphore.head.returned.ring();
    }
}

impl Object for Semaphore {
    const KIND: Kind = Kind::Semaphore;

    type Options = SemaphoreOptions;

    fn plan(options: &SemaphoreOptions) -> Result<Plan> {
        const ACTION: &str = "plan a semaphore in";
        let permits = options.permits;
        if !(1..=MAX_PERMITS).contains(&permits) {
            let why = format!("it has {permits} permits; choose 1 to {MAX_PERMITS}");
            return Err(Error::new(ErrorKind::InvalidInput, ACTION, "shared memory", why));
        }
        let len = room(ACTION, &[(size_of::<Head>(), 1), (size_of::<Word64>(), permits)])?;
        let parameters = [u64::try_from(permits).unwrap_or(u64::MAX), 0, 0, 0, 0, 0];
        Ok(Plan { kind: Self::KIND, len, layout: Self::layout(), parameters })
    }

    fn create(_site: &Site, _options: &SemaphoreOptions) -> Result<()> {
        Ok(())
    }

    fn layout() -> String {
        String::new()
    }

    fn attach(site: &Site) -> Result<Self> {
        let permits = site.parameters()[0];
        let fits = usize::try_from(permits).ok().filter(|permits| (1..=MAX_PERMITS).contains(permits));
        let Some(permits) = fits else {
            return Err(site.damaged(format!("{permits} permits; there are 1 to {MAX_PERMITS}")));
        };
        let mut parts = site.parts();
        Ok(Self::at(parts.one()?, parts.many(permits)?, Arc::clone(site.oracle())))
    }
}
