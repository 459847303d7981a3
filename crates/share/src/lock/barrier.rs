//! So many members wait for each other, again and again.
//!
//! ```text
//!   line 0   state · who died · bell
//!            state: bits 0 to 19 changes · 20 to 39 generation · 40 to 51 resets · 52 to 63 the place of a
//!            dead member, counted from 1; 0 where the barrier is whole
//!   then     a line for each place: its member's identity · where it has arrived
//! ```
//! A generation is over when every place has arrived at it, which anybody can see; and it *is* over for all
//! in the instant in which one exchange of the state says so. A death breaks it by an exchange of the same
//! word. So each generation ends in one way for all its members, whoever is killed.

use std::sync::Arc;

use mapwright_core::peer::{
    Bell, Deadline, Identity, Line, MAX_SEATS, Oracle, Ordering, Placed, Shared, Word32, Word64, fence,
};
use mapwright_core::{Error, ErrorKind, Result};

use super::answers::{Arrival, BarrierError};
use super::waiting::wait_for;
use crate::figure::Figure;
use crate::object::{Kind, Object, Plan, Site, room};

/// What a barrier is beside its places.
#[derive(Debug, Default, Shared)]
#[shared(crate = "mapwright_core")]
#[repr(C)]
pub(super) struct Head {
    state: Word64,
    /// Who was found dead last.
    died: Word64,
    bell: Bell,
    _rest: Word32,
}

/// Where a member stands.
#[derive(Debug, Default, Shared)]
#[shared(crate = "mapwright_core")]
#[repr(C)]
pub(super) struct Place {
    /// 0, or the member's identity.
    who: Word64,
    /// 0, or where it has arrived: `HERE`, resets, generation.
    arrived: Word64,
}

/// The state word, taken apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct State(u64);

impl State {
    const HERE: u64 = 1 << 63;
    const TWENTY: u64 = (1 << 20) - 1;
    const TWELVE: u64 = (1 << 12) - 1;

    const fn changes(self) -> u64 {
        self.0 & Self::TWENTY
    }

    const fn generation(self) -> u64 {
        self.0 >> 20 & Self::TWENTY
    }

    const fn resets(self) -> u64 {
        self.0 >> 40 & Self::TWELVE
    }

    const fn is_broken(self) -> bool {
        self.0 >> 52 != 0
    }

    /// What a member's word says once it has arrived at this generation.
    const fn arrival(self) -> u64 {
        Self::HERE | self.resets() << 20 | self.generation()
    }

    const fn of(generation: u64, resets: u64, broken: u64, changes: u64) -> Self {
        Self(
            changes & Self::TWENTY
                | (generation & Self::TWENTY) << 20
                | (resets & Self::TWELVE) << 40
                | (broken & Self::TWELVE) << 52,
        )
    }

    /// All have arrived.
    const fn opened(self) -> Self {
        Self::of(self.generation() + 1, self.resets(), 0, self.changes() + 1)
    }

    /// One has gone again: whoever counts the arrivals has to count anew.
    const fn recounted(self) -> Self {
        Self::of(self.generation(), self.resets(), 0, self.changes() + 1)
    }

    const fn broken_at(self, place: u64) -> Self {
        Self::of(self.generation(), self.resets(), place + 1, self.changes() + 1)
    }

    const fn reset(self) -> Self {
        Self::of(self.generation(), self.resets() + 1, 0, self.changes() + 1)
    }
}

/// How a [`Barrier`] is made.
#[derive(Clone, Copy, Debug)]
pub struct BarrierOptions {
    members: usize,
}

impl BarrierOptions {
    /// For so many members, 1 to 1024; each takes 128 bytes.
    #[must_use]
    pub const fn new(members: usize) -> Self {
        Self { members }
    }
}

/// A place where a fixed number of members wait for each other.
///
/// Threads of any process [`join`](Self::join) it; who joins takes one of its places, for as long as it keeps
/// the [`Member`]. Each generation ends when all places have arrived: an empty one is waited for until
/// somebody has joined and arrived there.
///
/// # Death
/// | killed | others get |
/// |---|---|
/// | a member that has not arrived | [`BarrierError::Broken`], all of them, until [`reset`](Self::reset) |
/// | a member that has arrived | their way, if all arrive before anybody notices; else all get `Broken` |
/// | one that resets, on the way | `Broken` still, until somebody else resets |
///
/// That a generation ended by `Broken` for one of its members and well for another never happens.
///
/// # Examples
/// ```
/// use mapwright_share::{Arrival, Barrier, BarrierOptions, Segment};
/// let segment = Segment::anonymous("race").with::<Barrier>("start", BarrierOptions::new(2)).create()?;
/// let start: Barrier = segment.get("start")?;
/// let meet = || start.join()?.wait();
/// let both = std::thread::scope(|scope| {
///     let other = scope.spawn(meet);
///     [meet(), other.join().expect("it does not panic")]
/// });
/// assert!(both.contains(&Ok(Arrival::Leader)) && both.contains(&Ok(Arrival::Follower)));
/// # Ok::<(), mapwright_share::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct Barrier {
    head: Placed<Head>,
    places: Placed<[Line<Place>]>,
    oracle: Arc<dyn Oracle>,
}

/// One of a barrier's places; dropping it leaves the place to another.
#[derive(Debug)]
pub struct Member<'a> {
    barrier: &'a Barrier,
    place: &'a Place,
}

impl Barrier {
    pub(super) fn at(head: Placed<Head>, places: Placed<[Line<Place>]>, oracle: Arc<dyn Oracle>) -> Self {
        Self { head, places, oracle }
    }

    /// Takes a place.
    ///
    /// # Errors
    /// [`BarrierError::Full`], [`BarrierError::Broken`] where all are taken and a member has died,
    /// [`BarrierError::Fault`].
    pub fn join(&self) -> Result<Member<'_>, BarrierError> {
        self.head.check()?;
        let me = self.oracle.me().number();
        let take = |place: &&Line<Place>| {
            place.who.load(Ordering::Relaxed) == 0
                && place.who.compare_exchange(0, me, Ordering::AcqRel, Ordering::Relaxed).is_ok()
        };
        let taken = self.places.iter().find(take);
        // Where the file was cut all places are free.
        self.head.check()?;
        match taken {
            Some(place) => Ok(Member { barrier: self, place }),
            None => match self.find_dead() {
                Some((_, who)) => Err(BarrierError::Broken { who: Identity::from_number(who) }),
                None => Err(BarrierError::Full),
            },
        }
    }

    /// Makes a broken barrier whole: the places of the dead are free, and nobody has arrived. Returns whether
    /// it was broken.
    ///
    /// # Errors
    /// [`BarrierError::Fault`].
    pub fn reset(&self) -> Result<bool, BarrierError> {
        loop {
            self.head.check()?;
            let state = self.state();
            if !state.is_broken() {
                let Some((index, who)) = self.find_dead() else {
                    self.head.check()?;
                    return Ok(false);
                };
                self.break_at(state, index, who);
                continue;
            }
            // First the places: a barrier whose reset was cut short is broken still.
            for place in self.places.iter() {
                let who = place.who.load(Ordering::Acquire);
                if who != 0 && !self.lives(who) {
                    // Fails where somebody else resets.
                    let _left = place.who.compare_exchange(who, 0, Ordering::AcqRel, Ordering::Relaxed);
                }
            }
            if self.change(state, state.reset()) {
                self.head.bell.ring();
                return Ok(true);
            }
        }
    }

    /// Returns how many members it is for.
    #[must_use]
    pub fn members(&self) -> usize {
        self.places.len()
    }

    /// Returns who died, where the barrier is broken.
    #[must_use]
    pub fn broken(&self) -> Option<BarrierError> {
        self.state().is_broken().then(|| self.broken_by())
    }

    /// Returns how many have arrived at the present generation, at this moment.
    #[must_use]
    pub fn arrived(&self) -> usize {
        let mine = self.state().arrival();
        self.places.iter().filter(|place| place.arrived.load(Ordering::Relaxed) == mine).count()
    }

    fn state(&self) -> State {
        State(self.head.state.load(Ordering::Acquire))
    }

    fn change(&self, from: State, to: State) -> bool {
        self.head.state.compare_exchange(from.0, to.0, Ordering::AcqRel, Ordering::Relaxed).is_ok()
    }

    fn broken_by(&self) -> BarrierError {
        BarrierError::Broken { who: Identity::from_number(self.head.died.load(Ordering::Acquire)) }
    }

    fn lives(&self, who: u64) -> bool {
        Identity::from_number(who).is_some_and(|who| self.oracle.is_alive(who))
    }

    fn find_dead(&self) -> Option<(u64, u64)> {
        (0..).zip(self.places.iter()).find_map(|(index, place)| {
            let who = place.who.load(Ordering::Acquire);
            (who != 0 && !self.lives(who)).then_some((index, who))
        })
    }

    /// How it stands with a generation that was seen whole.
    fn look(&self, mine: State) -> Option<Result<Arrival, BarrierError>> {
        let state = self.state();
        if state.generation() != mine.generation() {
            return Some(Ok(Arrival::Follower));
        }
        if state.is_broken() || state.resets() != mine.resets() {
            return Some(Err(self.broken_by()));
        }
        let all = self.places.iter().all(|place| place.arrived.load(Ordering::Acquire) == mine.arrival());
        if all && self.change(state, state.opened()) {
            self.head.bell.ring();
            return Some(Ok(Arrival::Leader));
        }
        None
    }

    /// Breaks the barrier, if a member is dead.
    fn ask(&self, mine: State) -> Option<Result<Arrival, BarrierError>> {
        let state = self.state();
        let (index, who) = self.find_dead()?;
        if state.generation() == mine.generation() && !state.is_broken() && state.resets() == mine.resets() {
            self.break_at(state, index, who);
        }
        self.look(mine)
    }

    fn break_at(&self, state: State, index: u64, who: u64) {
        self.head.died.store(who, Ordering::Release);
        if self.change(state, state.broken_at(index)) {
            self.head.bell.ring();
        }
    }

    /// Says what can be said of a barrier.
    ///
    /// # Errors
    /// `Damaged` where the room and the number of members do not fit together.
    pub fn inspect(site: &Site) -> Result<Vec<Figure>> {
        let this = Self::attach(site)?;
        let number = |count: usize| u64::try_from(count).unwrap_or(u64::MAX);
        let state = this.state();
        let mut figures = vec![
            Figure::text("state", if state.is_broken() { "broken" } else { "whole" }),
            Figure::number("places", number(this.members())),
            Figure::number("arrived", number(this.arrived())),
            Figure::number("generation", state.generation()),
            Figure::number("resets", state.resets()),
        ];
        let died = Identity::from_number(this.head.died.load(Ordering::Relaxed));
        figures.extend(died.filter(|_| state.is_broken()).map(|who| Figure::who("died", who)));
        let members = this.places.iter().map(|place| place.who.load(Ordering::Relaxed));
        figures.extend(members.filter_map(Identity::from_number).map(|who| Figure::who("member", who)));
        Ok(figures)
    }
}

impl Member<'_> {
    /// Arrives, and waits for all others.
    ///
    /// # Errors
    /// [`BarrierError::Broken`], [`BarrierError::Fault`].
    ///
    /// # Kernel
    /// futex(2), unless all others are there.
    pub fn wait(&mut self) -> Result<Arrival, BarrierError> {
        self.wait_until(Deadline::never())
    }

    /// As [`wait`](Self::wait), until a deadline at most; then the arrival is taken back.
    ///
    /// # Errors
    /// As [`wait`](Self::wait), and [`BarrierError::TimedOut`].
    pub fn wait_until(&mut self, until: Deadline) -> Result<Arrival, BarrierError> {
        let barrier = self.barrier;
        barrier.head.check()?;
        let mine = barrier.state();
        if mine.is_broken() {
            return Err(barrier.broken_by());
        }
        self.place.arrived.store(mine.arrival(), Ordering::Release);
        // Of two that arrive at once, at least one sees the other.
        fence(Ordering::SeqCst);
        let ended = wait_for(
            || barrier.head.check(),
            &barrier.head.bell,
            until,
            || barrier.look(mine),
            || barrier.ask(mine),
        );
        ended?.unwrap_or_else(|| self.take_back(mine))
    }

    fn take_back(&self, mine: State) -> Result<Arrival, BarrierError> {
        self.place.arrived.store(0, Ordering::Release);
        loop {
            let state = self.barrier.state();
            if state.generation() != mine.generation() {
                return Ok(Arrival::Follower);
            }
            if state.is_broken() || state.resets() != mine.resets() {
                return Err(self.barrier.broken_by());
            }
            // Whoever has counted this one among the arrivals fails to say so from here on.
            if self.barrier.change(state, state.recounted()) {
                return Err(BarrierError::TimedOut);
            }
        }
    }
}

impl Drop for Member<'_> {
    fn drop(&mut self) {
        // In a child the place is its parent's.
        if self.barrier.head.check().is_ok() {
            let me = self.barrier.oracle.me().number();
            // Fails where somebody has scribbled.
            let _left = self.place.who.compare_exchange(me, 0, Ordering::AcqRel, Ordering::Relaxed);
        }
    }
}

impl Object for Barrier {
    const KIND: Kind = Kind::Barrier;

    type Options = BarrierOptions;

    fn plan(options: &BarrierOptions) -> Result<Plan> {
        const ACTION: &str = "plan a barrier in";
        let members = options.members;
        if !(1..=MAX_SEATS).contains(&members) {
            let why = format!("it is for {members} members; choose 1 to {MAX_SEATS}");
            return Err(Error::new(ErrorKind::InvalidInput, ACTION, "shared memory", why));
        }
        let len = room(ACTION, &[(size_of::<Head>(), 1), (size_of::<Line<Place>>(), members)])?;
        let parameters = [u64::try_from(members).unwrap_or(u64::MAX), 0, 0, 0, 0, 0];
        Ok(Plan { kind: Self::KIND, len, layout: Self::layout(), parameters })
    }

    fn create(_site: &Site, _options: &BarrierOptions) -> Result<()> {
        Ok(())
    }

    fn layout() -> String {
        String::new()
    }

    fn attach(site: &Site) -> Result<Self> {
        let members = site.parameters()[0];
        let fits = usize::try_from(members).ok().filter(|members| (1..=MAX_SEATS).contains(members));
        let Some(members) = fits else {
            return Err(site.damaged(format!("places for {members} members; there are 1 to {MAX_SEATS}")));
        };
        let mut parts = site.parts();
        Ok(Self::at(parts.one()?, parts.many(members)?, Arc::clone(site.oracle())))
    }
}
