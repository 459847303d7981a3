//! The thread that listens to the bells of all of this process's signals and futures.
//!
//! It sleeps on up to 127 bells and on a word of its own, by which it is told of changes; beyond 127 bells
//! there is one more such thread for each further 127. An armed bell that has rung is disarmed, and its
//! eventfd written or its task woken. Whoever should ring may have died: now and then, however often other
//! bells ring, all armed things are asked whether they are ready, and those are told of that are.
//!
//! A child that was forked has none of the threads, and its parent may have held any lock at that instant: it
//! has listeners of its own, and leaves its parent's as they are.

use std::io;
use std::os::fd::OwnedFd;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::task::Waker;
use std::time::Duration;

use mapwright_core::peer::{
    Bell, Deadline, MAX_WAITS, Ordering, Placed, Ticket, Word32, others_fence, process_epoch, wait_any, wake,
};

use super::{LOOK_AFTER, LOOK_AFTER_BLIND, Waitable};

/// Bells for one thread; one place is the thread's own word's.
const MOST: usize = MAX_WAITS - 1;
/// So many forks deep, each from the one before, listeners can be had.
const GENERATIONS: usize = 256;

/// What is waited for.
pub(super) type Thing = Arc<dyn Waitable + Send + Sync>;

/// One bell that is listened to.
struct Line {
    number: u64,
    bell: Placed<Bell>,
    thing: Thing,
    target: Target,
    /// What the bell's word was when it was armed; `None` while nobody wants to know.
    armed: Option<Ticket>,
    /// The task that waits.
    waker: Option<Waker>,
}

/// Who is told.
pub(super) enum Target {
    /// Whoever polls an eventfd.
    Descriptor(Arc<OwnedFd>),
    /// The task that was polled last.
    Task,
}

/// One thread's bells.
pub(super) struct Listener {
    lines: Mutex<Vec<Line>>,
    /// Changes whenever the thread has to look at its lines anew.
    changes: Word32,
    /// The process whose thread it is.
    epoch: u64,
}

/// A bell's place with a listener; dropping takes it back.
pub(super) struct Registration {
    listener: Arc<Listener>,
    number: u64,
}

#[derive(Default)]
struct All {
    listeners: Vec<Arc<Listener>>,
    next: u64,
}

/// Returns this process's listeners. Each generation of forks has a place of its own: what a child inherits
/// may be locked by a thread that the child does not have.
fn all(epoch: u64) -> io::Result<MutexGuard<'static, All>> {
    static ALL: [OnceLock<Mutex<All>>; GENERATIONS] = [const { OnceLock::new() }; GENERATIONS];
    let place = usize::try_from(epoch).ok().and_then(|epoch| ALL.get(epoch));
    let why = "this process was forked from forked ones too often, 256 in a row, to listen to bells";
    let all = place.ok_or_else(|| io::Error::other(why))?;
    Ok(all.get_or_init(Mutex::default).lock().unwrap_or_else(PoisonError::into_inner))
}

impl Listener {
    /// Puts a thing's bell into the care of a thread that has room, or of a new one.
    pub(super) fn register(thing: &Thing, target: Target) -> io::Result<Registration> {
        let (bell, thing) = (thing.bell(), Arc::clone(thing));
        let epoch = process_epoch();
        let mut all = all(epoch)?;
        let number = all.next;
        all.next += 1;
        let with_room = all.listeners.iter().find(|listener| listener.lines().len() < MOST);
        let listener = match with_room {
            Some(listener) => Arc::clone(listener),
            None => {
                let lines = Mutex::new(Vec::new());
                let listener = Arc::new(Self { lines, changes: Word32::new(0), epoch });
                let its = Arc::clone(&listener);
                std::thread::Builder::new().name("mapwright-bells".into()).spawn(move || its.run())?;
                all.listeners.push(Arc::clone(&listener));
                listener
            }
        };
        listener.lines().push(Line { number, bell, thing, target, armed: None, waker: None });
        Ok(Registration { listener, number })
    }

    fn lines(&self) -> MutexGuard<'_, Vec<Line>> {
        self.lines.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn changed(&self) {
        self.changes.fetch_add(1, Ordering::Release);
        wake(&self.changes, 1);
    }

    fn run(&self) {
        let mut next_look = Deadline::now();
        loop {
            let seen = self.changes.load(Ordering::Acquire);
            let mut ready = Vec::new();
            // By the clock: a bell that rings without a pause must not keep us from it.
            if next_look.has_passed() {
                ready = self.look_around();
                next_look = Deadline::after(look_after());
            }
            let awaited = self.answer_and_collect(&ready);
            let mut words: Vec<(&Word32, u32)> = vec![(&self.changes, seen)];
            words.extend(awaited.iter().map(|line| (line.bell.word(), line.ticket.value())));
            let until = if awaited.is_empty() { Deadline::never() } else { next_look };
            let _looked = wait_any(&words, until);
        }
    }

    /// Returns the numbers and tickets of those armed lines whose things are ready without having rung.
    fn look_around(&self) -> Vec<(u64, Ticket)> {
        let armed: Vec<(u64, Ticket, Thing)> = {
            let lines = self.lines();
            let armed = |line: &Line| Some((line.number, line.armed?, Arc::clone(&line.thing)));
            lines.iter().filter_map(armed).collect()
        };
        // Outside of the lock, as all that is not ours: it may take its time, panic, or come back to us.
        let is_ready = |thing: &Thing| catch_unwind(AssertUnwindSafe(|| thing.is_ready())).unwrap_or(true);
        let ready = armed.iter().filter(|(_, _, thing)| is_ready(thing));
        let ready = ready.map(|&(number, ticket, _)| (number, ticket)).collect();
        armed.into_iter().for_each(|(_, _, thing)| quietly(|| drop(thing)));
        ready
    }

    /// Tells of bells that have rung and of what is ready, and returns those that are still awaited.
    fn answer_and_collect(&self, ready: &[(u64, Ticket)]) -> Vec<Awaited> {
        let mut awaited = Vec::new();
        let mut woken = Vec::new();
        for line in self.lines().iter_mut() {
            let Some(ticket) = line.armed else { continue };
            let has_rung = line.bell.word().load(Ordering::Acquire) != ticket.value();
            if !has_rung && !ready.contains(&(line.number, ticket)) {
                awaited.push(Awaited { bell: line.bell.clone(), ticket });
                continue;
            }
            line.armed = None;
            woken.extend(line.waker.take());
            if let Target::Descriptor(descriptor) = &line.target {
                // Full is as good as written: it is readable.
                let _written = rustix::io::write(descriptor, &1u64.to_ne_bytes());
            }
        }
        // Outside of the lock: a task that is woken may be run at once, and arm again. One that panics is
        // not to take the others' thread with it.
        woken.into_iter().for_each(|waker| quietly(|| waker.wake()));
        awaited
    }
}

/// Runs what belongs to somebody else; its panic is told by its own hook.
fn quietly(work: impl FnOnce()) {
    let _panicked = catch_unwind(AssertUnwindSafe(work));
}

/// After so long all things are asked; soon where ringers may not see our mark.
fn look_after() -> Duration {
    if others_fence() { LOOK_AFTER } else { LOOK_AFTER_BLIND }
}

/// A bell that is still awaited.
struct Awaited {
    bell: Placed<Bell>,
    ticket: Ticket,
}

impl Registration {
    /// Has the descriptor written, or the task woken, when the bell rings next. In a child that was forked
    /// since, nothing happens: the thread is its parent's.
    pub(super) fn arm(&self, waker: Option<&Waker>) {
        if !self.is_here() {
            return;
        }
        let mut waker = waker.cloned();
        let mut lines = self.listener.lines();
        let Some(line) = lines.iter_mut().find(|line| line.number == self.number) else { return };
        let ticket = line.bell.listen();
        std::mem::swap(&mut line.waker, &mut waker);
        let is_news = line.armed.replace(ticket) != Some(ticket);
        drop(lines);
        // The waker of before goes after the lock: dropping it may run anything.
        drop(waker);
        if is_news {
            self.listener.changed();
        }
    }

    fn is_here(&self) -> bool {
        self.listener.epoch == process_epoch()
    }
}

impl Drop for Registration {
    fn drop(&mut self) {
        if !self.is_here() {
            return;
        }
        let mut lines = self.listener.lines();
        let at = lines.iter().position(|line| line.number == self.number);
        let line = at.map(|at| lines.swap_remove(at));
        drop(lines);
        drop(line);
        self.listener.changed();
    }
}
