//! Something that is run once, by whoever comes first.
//!
//! ```text
//!   state   0 not yet · 1 done · else the identity of the participant that runs it
//!   bell    rung when it is done, or was given up
//! ```

use std::sync::Arc;

use mapwright_core::Result;
use mapwright_core::peer::{Bell, Deadline, Identity, Oracle, Ordering, Placed, Shared, Word32, Word64};

use super::answers::{Called, WaitError};
use super::waiting::wait_for;
use crate::figure::Figure;
use crate::object::{Kind, Object, Plan, Site, room};

const NOT_YET: u64 = 0;
const DONE: u64 = 1;

/// The state.
#[derive(Debug, Default, Shared)]
#[shared(crate = "mapwright_core")]
#[repr(C)]
pub(super) struct Head {
    state: Word64,
    ended: Bell,
    /// How often a run was taken over.
    taken_over: Word32,
}

/// A run that happens once among all processes, such as filling what others then use.
///
/// # Caveats
/// - What it does is in the caller's hands: after a death it is run again, on what the first run left.
/// - A function that calls the same [`call_once`](Self::call_once) waits for itself.
///
/// # Death
/// | killed | leaves | the next caller gets |
/// |---|---|---|
/// | before it began | nothing | the run |
/// | while running | its name | the run, and [`Called::TookOver`] with that name |
/// | after the word said done | nothing | [`Called::Already`]; those asleep wake within 100 ms |
///
/// A run that panics is given up: the next caller runs it.
///
/// # Examples
/// ```
/// use mapwright_share::{Called, Once, Segment};
/// let segment = Segment::anonymous("cache").with::<Once>("filled", ()).create()?;
/// let filled: Once = segment.get("filled")?;
/// let mut runs = 0;
/// assert_eq!(filled.call_once(|| runs += 1), Ok(Called::Ran));
/// assert_eq!(filled.call_once(|| runs += 1), Ok(Called::Already));
/// assert_eq!(runs, 1);
/// # Ok::<(), mapwright_share::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct Once {
    head: Placed<Head>,
    oracle: Arc<dyn Oracle>,
}

impl Once {
    pub(super) fn at(head: Placed<Head>, oracle: Arc<dyn Oracle>) -> Self {
        Self { head, oracle }
    }

    /// Runs the function, unless it has been run; waits for whoever is running it.
    ///
    /// # Errors
    /// [`WaitError::Fault`].
    ///
    /// # Kernel
    /// None once it is done; else futex(2).
    #[inline]
    pub fn call_once(&self, run: impl FnOnce()) -> Result<Called, WaitError> {
        self.call_once_until(Deadline::never(), |_| run())
    }

    /// As [`call_once`](Self::call_once), waiting for others until a deadline at most. The function is told
    /// who has died running it before.
    ///
    /// # Errors
    /// [`WaitError::TimedOut`] where somebody was still running it, [`WaitError::Fault`].
    #[inline]
    pub fn call_once_until(
        &self,
        until: Deadline,
        run: impl FnOnce(Option<Identity>),
    ) -> Result<Called, WaitError> {
        self.head.check()?;
        if self.is_completed() {
            return Ok(Called::Already);
        }
        self.call(until, run)
    }

    #[cold]
    fn call(&self, until: Deadline, run: impl FnOnce(Option<Identity>)) -> Result<Called, WaitError> {
        let take = |seen: u64, called: Called| {
            let me = self.oracle.me().number();
            let taken = self.head.state.compare_exchange(seen, me, Ordering::AcqRel, Ordering::Relaxed);
            taken.ok().map(|_| called)
        };
        let look = || match self.head.state.load(Ordering::Acquire) {
            DONE => Some(Called::Already),
            NOT_YET => take(NOT_YET, Called::Ran),
            _ => None,
        };
        let ask = || {
            let seen = self.head.state.load(Ordering::Acquire);
            match Identity::from_number(seen) {
                Some(who) if self.oracle.is_alive(who) => None,
                Some(who) => {
                    let taken = take(seen, Called::TookOver(who))?;
                    self.head.taken_over.fetch_add(1, Ordering::Relaxed);
                    Some(taken)
                }
                // Nobody's name, and no state: somebody has scribbled.
                None if seen > DONE => take(seen, Called::Ran),
                None => None,
            }
        };
        let called =
            wait_for(|| self.head.check(), &self.head.ended, until, look, ask)?.ok_or(WaitError::TimedOut)?;
        let died = match called {
            Called::Already => return Ok(called),
            Called::Ran => None,
            Called::TookOver(who) => Some(who),
        };
        let mut running = Running { once: self, end: NOT_YET };
        run(died);
        running.end = DONE;
        drop(running);
        Ok(called)
    }

    /// Returns whether it has been run to its end. What that run has stored is then visible.
    #[inline]
    #[must_use]
    pub fn is_completed(&self) -> bool {
        self.head.state.load(Ordering::Acquire) == DONE
    }

    /// Says what can be said of it.
    ///
    /// # Errors
    /// `Damaged` where the room is too small.
    pub fn inspect(site: &Site) -> Result<Vec<Figure>> {
        let head = site.parts().one::<Head>()?;
        let state = head.state.load(Ordering::Relaxed);
        let runner = Identity::from_number(state);
        let text = match state {
            DONE => "done",
            NOT_YET => "not yet",
            _ if runner.is_some_and(|who| site.oracle().is_alive(who)) => "running",
            _ => "left by a dead runner",
        };
        let mut figures = vec![Figure::text("state", text)];
        figures.extend(runner.map(|who| Figure::who("runner", who)));
        figures.push(Figure::number("taken over", head.taken_over.load(Ordering::Relaxed).into()));
        Ok(figures)
    }
}

/// A run; what becomes of the state when it ends, by a panic too.
struct Running<'a> {
    once: &'a Once,
    end: u64,
}

impl Drop for Running<'_> {
    fn drop(&mut self) {
        // In a child the run is its parent's.
        if self.once.head.check().is_ok() {
            self.once.head.state.store(self.end, Ordering::Release);
            self.once.head.ended.ring();
        }
    }
}

impl Object for Once {
    const KIND: Kind = Kind::Once;

    type Options = ();

    fn plan((): &()) -> Result<Plan> {
        let len = room("plan what is run once in", &[(size_of::<Head>(), 1)])?;
        Ok(Plan { kind: Self::KIND, len, layout: Self::layout(), parameters: [0; 6] })
    }

    fn create(_site: &Site, (): &()) -> Result<()> {
        Ok(())
    }

    fn layout() -> String {
        String::new()
    }

    fn attach(site: &Site) -> Result<Self> {
        Ok(Self::at(site.parts().one()?, Arc::clone(site.oracle())))
    }
}
