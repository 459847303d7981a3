//! Many readers or one writer.
//!
//! ```text
//!   line 0      the writers' lock word, linked into the kernel's list of what the holder's thread holds
//!   line 1      gate · which copy is current · deaths · whose turn · bells
//!   then        a line for each seat: how many of its threads read
//!   then        copy 0 of the value · copy 1
//! ```

use std::sync::Arc;

use mapwright_core::peer::{
    Acquired, Deadline, Held, Identity, Line, MAX_SEATS, Oracle, Ordering, Placed, RobustWord, Taker, Word64,
};
use mapwright_core::{Error, ErrorKind, Plain, Result};

use super::answers::Poison;
use super::cell::{TwoCopies, words_of_both};
use super::readers::{DIED, Entry, Gate, OPEN, PANICKED, Readers, Slot};
use crate::answers::LockError;
use crate::figure::Figure;
use crate::object::{Kind, Object, Plan, Site, room};

/// The writers' word, on a line of its own.
pub(super) type WriterLine = Line<RobustWord>;

/// How a [`RwLock`] is made.
#[derive(Clone, Copy, Debug)]
pub struct RwLockOptions<T> {
    value: T,
    seats: usize,
}

impl<T> RwLockOptions<T> {
    /// With its first value, for participants on the first 64 seats.
    #[must_use]
    pub const fn new(value: T) -> Self {
        Self { value, seats: 64 }
    }

    /// For participants on so many seats, 1024 at most; each takes 128 bytes.
    #[must_use]
    pub const fn seats(mut self, seats: usize) -> Self {
        self.seats = seats;
        self
    }
}

/// A value that many threads of many processes may read at once, or one may change.
///
/// Reading writes to no cache line that another process writes to, so readers do not slow each other down.
/// Writers go first: once one waits, newcomers who want to read wait too. A reader that has slept goes before
/// the next writer. So neither starves.
///
/// # Caveats
/// - A thread that reads and wants to write, or to read once more while a writer waits, waits for itself.
///   (One that writes is told [`LockError::Deadlock`].)
/// - As for [`Mutex`](crate::Mutex), values are copied in and out; and as there, [`LockError::Deadlock`] is
///   answered of the same participant where lock words bear identities.
///
/// # Death
/// | killed | leaves | others get |
/// |---|---|---|
/// | a reader, at any instant | nothing: writers ask who lives, and clear its slot | the lock |
/// | a writer before it had the lock, or once it let go | nothing | the lock |
/// | a writer with the lock, or waiting for readers | the last value stored | [`LockError::OwnerDied`] once |
/// | one that was told so, before it repaired | the same, poisoned | [`LockError::Poisoned`] |
///
/// Readers see a writer's death as well, and whoever comes first is given the lock to repair the value.
///
/// # Examples
/// ```
/// use mapwright_share::{RwLock, RwLockOptions, Segment};
/// let segment =
///     Segment::anonymous("routes").with::<RwLock<[u32; 4]>>("table", RwLockOptions::new([0; 4])).create()?;
/// let table: RwLock<[u32; 4]> = segment.get("table")?;
/// let mut writer = table.write().expect("no writer has died");
/// writer.update(|routes| routes[2] = 7);
/// let reader = writer.downgrade();
/// assert_eq!(reader.load(), [0, 0, 7, 0]);
/// assert!(table.try_read().is_ok() && table.try_write().is_err());
/// # Ok::<(), mapwright_share::Error>(())
/// ```
#[derive(Debug)]
pub struct RwLock<T: Plain> {
    writer: Placed<RobustWord>,
    readers: Readers,
    value: TwoCopies<T>,
    taker: Taker,
}

/// The right to read; dropping it gives it back.
#[derive(Debug)]
#[must_use = "the lock is let go of at once"]
pub struct ReadGuard<'a, T: Plain> {
    lock: &'a RwLock<T>,
}

/// The right to change the value; dropping it gives it back. Dropped by a panic it leaves the lock poisoned.
#[derive(Debug)]
#[must_use = "the lock is let go of at once"]
pub struct WriteGuard<'a, T: Plain> {
    lock: &'a RwLock<T>,
    was_panicking: bool,
    /// Last: let go of after all else.
    _held: Held<'a>,
}

/// The lock, from a writer that died: poisoned until the value is [repaired](Self::repair) or found to be
/// [in order](Self::recover); dropping this leaves it so.
#[derive(Debug)]
#[must_use = "dropped, it leaves the lock poisoned"]
pub struct WriteRecovery<'a, T: Plain> {
    lock: &'a RwLock<T>,
    held: Held<'a>,
    who: Option<Identity>,
}

type Reading<'a, T> = Result<ReadGuard<'a, T>, LockError<WriteRecovery<'a, T>>>;
type Writing<'a, T> = Result<WriteGuard<'a, T>, LockError<WriteRecovery<'a, T>>>;

impl<T: Plain> Clone for RwLock<T> {
    fn clone(&self) -> Self {
        Self {
            writer: self.writer.clone(),
            readers: self.readers.clone(),
            value: self.value.clone(),
            taker: self.taker,
        }
    }
}

impl<T: Plain> RwLock<T> {
    /// `None` where there is no slot for this participant's seat.
    pub(super) fn at(
        writer: &Placed<WriterLine>,
        gate: Placed<Gate>,
        slots: Placed<[Slot]>,
        copies: Placed<[Word64]>,
        oracle: Arc<dyn Oracle>,
    ) -> Option<Self> {
        let value = TwoCopies::new(gate.part(|gate| &gate.current), copies);
        let taker = Taker::new(&*oracle);
        let readers = Readers::new(gate, slots, oracle)?;
        Some(Self { writer: writer.part(|line| &line.0), readers, value, taker })
    }

    /// Begins to read, however long that takes.
    ///
    /// # Errors
    /// [`LockError::OwnerDied`] with the right to write where the last writer died, [`LockError::Poisoned`],
    /// [`LockError::Deadlock`] where this thread writes, [`LockError::Fault`].
    ///
    /// # Kernel
    /// None while nobody writes; else futex(2).
    #[inline]
    pub fn read(&self) -> Reading<'_, T> {
        self.read_until(Deadline::never())
    }

    /// Begins to read if that needs no waiting.
    ///
    /// # Errors
    /// As [`read`](Self::read); [`LockError::TimedOut`] where somebody writes.
    #[inline]
    pub fn try_read(&self) -> Reading<'_, T> {
        self.read_until(Deadline::now())
    }

    /// Begins to read, waiting until a deadline at most.
    ///
    /// # Errors
    /// As [`read`](Self::read); [`LockError::TimedOut`] where the writers were not done before.
    #[inline]
    pub fn read_until(&self, until: Deadline) -> Reading<'_, T> {
        self.readers.gate.check()?;
        if self.readers.enter() {
            // Where the file was cut every gate is open.
            let guard = ReadGuard { lock: self };
            self.readers.gate.check()?;
            return Ok(guard);
        }
        self.read_slowly(until)
    }

    #[cold]
    fn read_slowly(&self, until: Deadline) -> Reading<'_, T> {
        loop {
            match self.readers.enter_until(until, |gate| self.is_abandoned(gate))? {
                Entry::Reading => return Ok(ReadGuard { lock: self }),
                Entry::TimedOut => return Err(LockError::TimedOut),
                Entry::Abandoned => {}
            }
            match self.writer.acquire(&*self.readers.oracle, until) {
                Acquired::Clean(held) | Acquired::Died(held) => {
                    // Somebody has opened it meanwhile: try again.
                    if self.gate() != OPEN {
                        return match self.enter_writing(held, until) {
                            Ok(guard) => Ok(guard.downgrade()),
                            Err(error) => Err(error),
                        };
                    }
                }
                Acquired::Deadlock => return Err(LockError::Deadlock),
                Acquired::TimedOut if until.has_passed() => return Err(LockError::TimedOut),
                Acquired::TimedOut => {}
            }
        }
    }

    /// Begins to write, however long that takes.
    ///
    /// # Errors
    /// [`LockError::OwnerDied`] with the lock where the last writer died, [`LockError::Poisoned`],
    /// [`LockError::Deadlock`] where this thread writes already, [`LockError::Fault`].
    ///
    /// # Kernel
    /// None while nobody reads or writes; else futex(2).
    pub fn write(&self) -> Writing<'_, T> {
        self.write_until(Deadline::never())
    }

    /// Begins to write if that needs no waiting.
    ///
    /// # Errors
    /// As [`write`](Self::write); [`LockError::TimedOut`] where somebody reads or writes.
    pub fn try_write(&self) -> Writing<'_, T> {
        self.write_until(Deadline::now())
    }

    /// Begins to write, waiting until a deadline at most.
    ///
    /// # Errors
    /// As [`write`](Self::write); [`LockError::TimedOut`] where others were not done before.
    pub fn write_until(&self, until: Deadline) -> Writing<'_, T> {
        let held = self.take_word(until)?;
        self.enter_writing(held, until)
    }

    /// Takes the lock whatever state it is in, changes the value, and clears the poison.
    ///
    /// # Errors
    /// [`LockError::TimedOut`], [`LockError::Deadlock`], [`LockError::Fault`].
    pub fn repair_until(&self, until: Deadline, change: impl FnOnce(&mut T)) -> Writing<'_, T> {
        let held = self.take_word(until)?;
        let left = self.gate();
        if left == OPEN {
            self.readers.close(until);
        }
        if !self.readers.wait_until_gone(until)? {
            self.readers.open(left);
            return Err(LockError::TimedOut);
        }
        // Until it is repaired: the function may panic, and this process may die.
        self.readers.gate.word.store(DIED, Ordering::SeqCst);
        Ok(WriteRecovery { lock: self, held, who: None }.repair(change))
    }

    /// As [`repair_until`](Self::repair_until), however long that takes.
    ///
    /// # Errors
    /// As there.
    pub fn repair(&self, change: impl FnOnce(&mut T)) -> Writing<'_, T> {
        self.repair_until(Deadline::never(), change)
    }

    /// Returns why it is poisoned, if it is.
    #[must_use]
    pub fn poisoned(&self) -> Option<Poison> {
        match self.gate() {
            DIED => Some(Poison::OwnerDied),
            PANICKED => Some(Poison::Panicked),
            _ => None,
        }
    }

    fn gate(&self) -> u64 {
        self.readers.gate.word.load(Ordering::Acquire)
    }

    fn take_word<G>(&self, until: Deadline) -> Result<Held<'_>, LockError<G>> {
        self.readers.gate.check()?;
        if let Some(held) = self.writer.acquire_at_once(self.taker) {
            return Ok(held);
        }
        // Whether the last one died, the gate tells: one that has not closed it has changed nothing.
        match self.writer.acquire(&*self.readers.oracle, until) {
            Acquired::Clean(held) | Acquired::Died(held) => Ok(held),
            Acquired::TimedOut => Err(LockError::TimedOut),
            Acquired::Deadlock => Err(LockError::Deadlock),
        }
    }

    /// What a writer does once it has the word.
    fn enter_writing<'a>(&'a self, held: Held<'a>, until: Deadline) -> Writing<'a, T> {
        let left = self.gate();
        match left {
            DIED | PANICKED => return Err(LockError::Poisoned),
            OPEN => self.readers.close(until),
            // A dead one's: it stays, should this one die too, or have no time.
            _ => {}
        }
        if !self.readers.wait_until_gone(until)? {
            if left == OPEN {
                self.readers.open(OPEN);
            }
            return Err(LockError::TimedOut);
        }
        if left == OPEN {
            return Ok(self.write_guard(held));
        }
        let deaths = self.readers.gate.deaths.load(Ordering::Relaxed).wrapping_add(1);
        self.readers.gate.deaths.store(deaths, Ordering::Relaxed);
        self.readers.gate.word.store(DIED, Ordering::SeqCst);
        Err(LockError::OwnerDied(WriteRecovery { lock: self, held, who: Identity::from_number(left) }))
    }

    fn write_guard<'a>(&'a self, held: Held<'a>) -> WriteGuard<'a, T> {
        WriteGuard { lock: self, was_panicking: std::thread::panicking(), _held: held }
    }

    /// Tells of a closed gate whether the one behind it is dead, has gone, or is this very thread.
    fn is_abandoned(&self, gate: u64) -> bool {
        let oracle = &self.readers.oracle;
        let dead = |who| Identity::from_number(who).is_none_or(|who| !oracle.is_alive(who));
        match gate {
            // Somebody may be about to repair it.
            DIED | PANICKED => {
                let (taken, holder) = self.writer.holder();
                !taken || dead(holder)
            }
            _ if gate == oracle.me().number() => {
                matches!(self.writer.acquire(&**oracle, Deadline::now()), Acquired::Deadlock)
                    || !self.writer.holder().0
            }
            _ => !self.writer.holder().0 || dead(gate),
        }
    }

    /// Says what can be said of a lock without knowing its value's type.
    ///
    /// # Errors
    /// `Damaged` where the room is too small.
    pub fn inspect(site: &Site) -> Result<Vec<Figure>> {
        let mut parts = site.parts();
        let (writer, gate) = (parts.one::<WriterLine>()?, parts.one::<Gate>()?);
        let slots = parts.many::<Slot>(seats_of(site)?)?;
        let closed = gate.word.load(Ordering::Relaxed);
        let readers = Readers::reading(&slots);
        let taken = writer.part(|line| &line.0).holder().0;
        let state = match closed {
            OPEN if readers.is_empty() => "free",
            OPEN => "read",
            DIED => "poisoned by a death",
            PANICKED => "poisoned by a panic",
            _ if !taken => "left by a dead writer",
            _ if readers.is_empty() => "written",
            _ => "a writer waits for readers",
        };
        let mut figures = vec![Figure::text("state", state)];
        figures.extend(Identity::from_number(closed).map(|who| Figure::who("writer", who)));
        figures.push(Figure::number("readers", readers.iter().map(|(_, count)| count).sum()));
        figures.extend(readers.iter().map(|&(who, _)| Figure::who("reader", who)));
        figures.push(Figure::number("died", gate.deaths.load(Ordering::Relaxed).into()));
        Ok(figures)
    }
}

impl<T: Plain> ReadGuard<'_, T> {
    /// Returns the value.
    #[inline]
    #[must_use]
    pub fn load(&self) -> T {
        self.lock.value.load()
    }
}

impl<T: Plain> Drop for ReadGuard<'_, T> {
    #[inline]
    fn drop(&mut self) {
        // In a child the right is its parent's.
        if self.lock.readers.gate.check().is_ok() {
            self.lock.readers.leave();
        }
    }
}

impl<'a, T: Plain> WriteGuard<'a, T> {
    /// Returns the value.
    #[inline]
    #[must_use]
    pub fn load(&self) -> T {
        self.lock.value.load()
    }

    /// Replaces the value, all of it or (if this process is killed meanwhile) nothing.
    ///
    /// Where somebody has cut the file short nothing is stored; the next attempt to lock says so.
    ///
    /// # Panics
    /// In a forked child: the lock is its parent's.
    pub fn store(&mut self, value: T) {
        self.lock.value.store_checked(&value, self.lock.readers.gate.check());
    }

    /// Changes the value: loads it, calls the function, stores it.
    ///
    /// # Panics
    /// As [`store`](Self::store), and where the function does: then nothing is stored.
    pub fn update<R>(&mut self, change: impl FnOnce(&mut T) -> R) -> R {
        let mut value = self.load();
        let result = change(&mut value);
        self.store(value);
        result
    }

    /// Goes on as a reader, without letting a writer in between.
    pub fn downgrade(self) -> ReadGuard<'a, T> {
        let lock = self.lock;
        // Waits where sixty-five thousand threads of this process read: none does, while this one writes.
        while !lock.readers.count_in() {
            mapwright_core::peer::relax();
        }
        ReadGuard { lock }
    }
}

impl<T: Plain> Drop for WriteGuard<'_, T> {
    fn drop(&mut self) {
        let readers = &self.lock.readers;
        if readers.gate.check().is_ok() {
            let panicked = std::thread::panicking() && !self.was_panicking;
            readers.open(if panicked { PANICKED } else { OPEN });
        }
    }
}

impl<'a, T: Plain> WriteRecovery<'a, T> {
    /// Returns who died; `None` where somebody has overwritten its name.
    #[must_use]
    pub const fn who(&self) -> Option<Identity> {
        self.who
    }

    /// Returns the value of the last `store` that was finished.
    #[must_use]
    pub fn load(&self) -> T {
        self.lock.value.load()
    }

    /// Says that the value is in order as it is.
    pub fn recover(self) -> WriteGuard<'a, T> {
        let readers = &self.lock.readers;
        readers.gate.word.store(readers.oracle.me().number(), Ordering::SeqCst);
        self.lock.write_guard(self.held)
    }

    /// Puts the value in order.
    ///
    /// # Panics
    /// Where the function does; then the lock stays poisoned.
    pub fn repair(self, change: impl FnOnce(&mut T)) -> WriteGuard<'a, T> {
        let mut value = self.load();
        change(&mut value);
        self.lock.value.store(&value);
        self.recover()
    }
}

fn seats_of(site: &Site) -> Result<usize> {
    let seats = site.parameters()[0];
    let fits = usize::try_from(seats).ok().filter(|seats| (1..=MAX_SEATS).contains(seats));
    fits.ok_or_else(|| site.damaged(format!("slots for {seats} seats; there are 1 to {MAX_SEATS}")))
}

impl<T: Plain> Object for RwLock<T> {
    const KIND: Kind = Kind::RwLock;

    type Options = RwLockOptions<T>;

    fn plan(options: &Self::Options) -> Result<Plan> {
        const ACTION: &str = "plan a lock for readers and writers in";
        let seats = options.seats;
        if !(1..=MAX_SEATS).contains(&seats) {
            let why = format!("it has room for readers on {seats} seats; choose 1 to {MAX_SEATS}");
            return Err(Error::new(ErrorKind::InvalidInput, ACTION, "shared memory", why));
        }
        let parts = [
            (size_of::<WriterLine>(), 1),
            (size_of::<Gate>(), 1),
            (size_of::<Slot>(), seats),
            (size_of::<Word64>(), words_of_both::<T>()),
        ];
        let parameters = [u64::try_from(seats).unwrap_or(u64::MAX), 0, 0, 0, 0, 0];
        Ok(Plan { kind: Self::KIND, len: room(ACTION, &parts)?, layout: Self::layout(), parameters })
    }

    fn create(site: &Site, options: &Self::Options) -> Result<()> {
        let mut parts = site.parts();
        parts.one::<WriterLine>()?;
        let gate = parts.one::<Gate>()?;
        parts.many::<Slot>(options.seats)?;
        let copies = parts.many(words_of_both::<T>())?;
        TwoCopies::new(gate.part(|gate| &gate.current), copies).store(&options.value);
        Ok(())
    }

    fn layout() -> String {
        T::STRUCTURE.to_string()
    }

    fn attach(site: &Site) -> Result<Self> {
        let seats = seats_of(site)?;
        let mut parts = site.parts();
        let (writer, gate) = (parts.one()?, parts.one()?);
        let (slots, copies) = (parts.many(seats)?, parts.many(words_of_both::<T>())?);
        let oracle = Arc::clone(site.oracle());
        let seat = oracle.me().seat();
        Self::at(&writer, gate, slots, copies, oracle).ok_or_else(|| {
            let why = format!("it has room for readers on {seats} seats, and this is seat {seat}");
            Error::new(ErrorKind::InvalidInput, "attach to", format!("\"{}\"", site.name()), why)
                .advice("make it with more seats")
        })
    }
}
