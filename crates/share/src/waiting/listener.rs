//! The thread that listens to the bells of all of this process's signals and futures.
//!
//! It sleeps on up to 127 bells and on a word of its own, by which it is told of changes; beyond 127 bells
//! there is one more such thread for each further 127. An armed bell that has rung is disarmed, and its
//! eventfd written or its task woken. Tasks are woken now and then in any case: whoever should ring may have
//! died, and only they know whom to ask. A child that was forked has none of the threads: it makes its own.

use std::io;
use std::os::fd::OwnedFd;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::task::Waker;

use mapwright_core::peer::{
    Bell, Deadline, MAX_WAITS, Ordering, Placed, Ticket, Waited, Word32, others_fence, wait_any, wake,
};

use super::{LOOK_AFTER, LOOK_AFTER_BLIND};

/// Bells for one thread; one place is the thread's own word's.
const MOST: usize = MAX_WAITS - 1;

/// One bell that is listened to.
struct Line {
    number: u64,
    bell: Placed<Bell>,
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
    process: u32,
}

/// A bell's place with a listener; dropping takes it back.
pub(super) struct Registration {
    listener: Arc<Listener>,
    number: u64,
}

struct All {
    listeners: Vec<Arc<Listener>>,
    next: u64,
}

fn all() -> MutexGuard<'static, All> {
    static ALL: OnceLock<Mutex<All>> = OnceLock::new();
    let all = ALL.get_or_init(|| Mutex::new(All { listeners: Vec::new(), next: 0 }));
    all.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Listener {
    /// Puts a bell into the care of a thread that has room, or of a new one.
    pub(super) fn register(bell: Placed<Bell>, target: Target) -> io::Result<Registration> {
        let mut all = all();
        let number = all.next;
        all.next += 1;
        let process = std::process::id();
        // Those of the parent have no thread here.
        all.listeners.retain(|listener| listener.process == process);
        let with_room = all.listeners.iter().find(|listener| listener.lines().len() < MOST);
        let listener = match with_room {
            Some(listener) => Arc::clone(listener),
            None => {
                let listener =
                    Arc::new(Self { lines: Mutex::new(Vec::new()), changes: Word32::new(0), process });
                let its = Arc::clone(&listener);
                std::thread::Builder::new().name("mapwright-bells".into()).spawn(move || its.run())?;
                all.listeners.push(Arc::clone(&listener));
                listener
            }
        };
        listener.lines().push(Line { number, bell, target, armed: None, waker: None });
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
        let mut look_around = false;
        loop {
            let seen = self.changes.load(Ordering::Acquire);
            let awaited = self.answer_and_collect(look_around);
            let mut words: Vec<(&Word32, u32)> = vec![(&self.changes, seen)];
            words.extend(awaited.iter().map(|line| (line.bell.word(), line.ticket.value())));
            // Where ringers may not see our mark, look again after a while; else sleep until something
            // happens.
            let until = if awaited.is_empty() {
                Deadline::never()
            } else if !others_fence() {
                Deadline::after(LOOK_AFTER_BLIND)
            } else if awaited.iter().any(|line| line.is_task) {
                Deadline::after(LOOK_AFTER)
            } else {
                Deadline::never()
            };
            look_around = wait_any(&words, until) == Waited::TimedOut;
        }
    }

    /// Tells of bells that have rung, and returns those that are still awaited.
    fn answer_and_collect(&self, look_around: bool) -> Vec<Awaited> {
        let mut awaited = Vec::new();
        let mut woken = Vec::new();
        for line in self.lines().iter_mut() {
            let Some(ticket) = line.armed else { continue };
            let is_task = matches!(line.target, Target::Task);
            if line.bell.word().load(Ordering::Acquire) == ticket.value() && !(look_around && is_task) {
                awaited.push(Awaited { bell: line.bell.clone(), ticket, is_task });
                continue;
            }
            line.armed = None;
            woken.extend(line.waker.take());
            if let Target::Descriptor(descriptor) = &line.target {
                // Full is as good as written: it is readable.
                let _written = rustix::io::write(descriptor, &1u64.to_ne_bytes());
            }
        }
        // Outside of the lock: a task that is woken may be run at once, and arm again.
        woken.into_iter().for_each(Waker::wake);
        awaited
    }
}

/// A bell that is still awaited.
struct Awaited {
    bell: Placed<Bell>,
    ticket: Ticket,
    is_task: bool,
}

impl Registration {
    /// Has the descriptor written, or the task woken, when the bell rings next.
    pub(super) fn arm(&self, waker: Option<&Waker>) {
        let mut lines = self.listener.lines();
        if let Some(line) = lines.iter_mut().find(|line| line.number == self.number) {
            let ticket = line.bell.listen();
            line.waker = waker.cloned();
            if line.armed.replace(ticket) != Some(ticket) {
                drop(lines);
                self.listener.changed();
            }
        }
    }
}

impl Drop for Registration {
    fn drop(&mut self) {
        self.listener.lines().retain(|line| line.number != self.number);
        self.listener.changed();
    }
}
