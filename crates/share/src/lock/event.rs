//! Something that has happened.
//!
//! ```text
//!   state   bit 0: it has happened · bits 1 to 31: how often it was set
//!   bell    rung when it is set
//! ```

use mapwright_core::Result;
use mapwright_core::peer::{Bell, Deadline, Ordering, Placed, Shared, Word32};

use super::answers::WaitError;
use super::waiting::wait_for;
use crate::figure::Figure;
use crate::object::{Kind, Object, Plan, Site, room};
use crate::waiting::Waitable;

const SET: u32 = 1;
const COUNTED: u32 = 2;

/// The state.
#[derive(Debug, Default, Shared)]
#[shared(crate = "mapwright_core")]
#[repr(C)]
pub(super) struct Head {
    state: Word32,
    bell: Bell,
}

/// How an [`Event`] is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EventOptions {
    /// It stays set until it is reset, and lets all through.
    Manual,
    /// It is reset by the one waiter that it lets through.
    Auto,
}

/// Something that happens, and that others wait for.
///
/// Of a manual event [`set`](Self::set) lets all through who wait at that moment, even if it is reset at
/// once. Of an automatic one each `set` lets one through, now or later; setting it twice before somebody came
/// is setting it once.
///
/// # Death
/// | killed | leaves |
/// |---|---|
/// | a waiter, asleep | nothing; it cannot be let through |
/// | a waiter, just let through by an automatic event | the event reset: that `set` was the dead one's |
/// | one that sets, before the word changed | nothing |
/// | one that sets, before it woke anybody | the event set: those asleep see it within 100 ms |
///
/// # Examples
/// ```
/// use mapwright_share::{Event, EventOptions, Segment};
/// let segment = Segment::anonymous("doors").with::<Event>("open", EventOptions::Manual).create()?;
/// let open: Event = segment.get("open")?;
/// assert!(open.try_wait().is_err());
/// open.set()?;
/// open.wait()?;
/// assert_eq!(open.reset(), Ok(true));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
pub struct Event {
    head: Placed<Head>,
    kind: EventOptions,
}

impl Waitable for Event {
    fn bell(&self) -> Placed<Bell> {
        self.head.part(|head| &head.bell)
    }

    fn is_ready(&self) -> bool {
        self.is_set() || self.head.check().is_err()
    }
}

impl Event {
    pub(super) const fn at(head: Placed<Head>, kind: EventOptions) -> Self {
        Self { head, kind }
    }

    /// Says that it has happened.
    ///
    /// # Errors
    /// [`WaitError::Fault`].
    ///
    /// # Kernel
    /// futex(2) where somebody sleeps.
    pub fn set(&self) -> Result<(), WaitError> {
        self.head.check()?;
        let mut seen = self.head.state.load(Ordering::Relaxed);
        // Also where it is set already: what this one has stored must be seen by whoever comes through.
        loop {
            let new = (seen | SET).wrapping_add(if seen & SET == 0 { COUNTED } else { 0 });
            match self.head.state.compare_exchange(seen, new, Ordering::AcqRel, Ordering::Relaxed) {
                Ok(_) => break,
                Err(now) => seen = now,
            }
        }
        self.head.bell.ring();
        // Where the file was cut nobody else sees it.
        Ok(self.head.check()?)
    }

    /// Says that it has not happened; returns whether it had.
    ///
    /// # Errors
    /// [`WaitError::Fault`].
    pub fn reset(&self) -> Result<bool, WaitError> {
        self.head.check()?;
        let was_set = self.head.state.fetch_and(!SET, Ordering::AcqRel) & SET != 0;
        self.head.check()?;
        Ok(was_set)
    }

    /// Returns whether it has happened.
    #[must_use]
    pub fn is_set(&self) -> bool {
        self.head.state.load(Ordering::Acquire) & SET != 0
    }

    /// Waits until it has happened.
    ///
    /// # Errors
    /// [`WaitError::Fault`].
    ///
    /// # Kernel
    /// None where it has; else futex(2).
    pub fn wait(&self) -> Result<(), WaitError> {
        self.wait_until(Deadline::never())
    }

    /// Goes through if it has happened; an automatic event is reset by that.
    ///
    /// # Errors
    /// [`WaitError::TimedOut`] where it has not, [`WaitError::Fault`].
    pub fn try_wait(&self) -> Result<(), WaitError> {
        self.wait_until(Deadline::now())
    }

    /// Waits until it has happened, until a deadline at most.
    ///
    /// # Errors
    /// As [`try_wait`](Self::try_wait).
    pub fn wait_until(&self, until: Deadline) -> Result<(), WaitError> {
        self.head.check()?;
        let first = self.head.state.load(Ordering::Acquire);
        let look = || self.go_through(first).then_some(());
        wait_for(|| self.head.check(), &self.head.bell, until, look, || None)?.ok_or(WaitError::TimedOut)
    }

    /// `first` is the state that this waiter came upon.
    fn go_through(&self, first: u32) -> bool {
        let seen = self.head.state.load(Ordering::Acquire);
        match self.kind {
            EventOptions::Manual => seen & SET != 0 || (seen ^ first) & !SET != 0,
            EventOptions::Auto => {
                seen & SET != 0
                    && self
                        .head
                        .state
                        .compare_exchange(seen, seen & !SET, Ordering::AcqRel, Ordering::Relaxed)
                        .is_ok()
            }
        }
    }

    /// Says what can be said of it.
    ///
    /// # Errors
    /// `Damaged` where the room is too small, or it is of no known kind.
    pub fn inspect(site: &Site) -> Result<Vec<Figure>> {
        let this = Self::attach(site)?;
        let seen = this.head.state.load(Ordering::Relaxed);
        let kind = if this.kind == EventOptions::Auto { "automatic" } else { "manual" };
        Ok(vec![
            Figure::text("state", if seen & SET != 0 { "set" } else { "not set" }),
            Figure::text("reset", kind),
            Figure::number("was set", (seen >> 1).into()),
        ])
    }
}

impl Object for Event {
    const KIND: Kind = Kind::Event;

    type Options = EventOptions;

    fn plan(options: &EventOptions) -> Result<Plan> {
        let len = room("plan an event in", &[(size_of::<Head>(), 1)])?;
        let kind = u64::from(*options == EventOptions::Auto);
        Ok(Plan { kind: Self::KIND, len, layout: Self::layout(), parameters: [kind, 0, 0, 0, 0, 0] })
    }

    fn create(_site: &Site, _options: &EventOptions) -> Result<()> {
        Ok(())
    }

    fn layout() -> String {
        String::new()
    }

    fn attach(site: &Site) -> Result<Self> {
        let kind = match site.parameters()[0] {
            0 => EventOptions::Manual,
            1 => EventOptions::Auto,
            other => return Err(site.damaged(format!("{other} is no kind of event; there are 0 and 1"))),
        };
        Ok(Self::at(site.parts().one()?, kind))
    }
}
