//! Ground for the model checkers: participants that live, and threads.

use std::cell::Cell;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

#[cfg(loom)]
use loom::thread::spawn;
#[cfg(shuttle)]
use shuttle::thread::spawn;

use mapwright_core::peer::{Identity, Oracle};

thread_local! {
    /// Whether the last of those who meet begins.
    static LAST_BEGINS: Cell<bool> = const { Cell::new(false) };
}

/// The participant of a seat, to whom everybody is alive.
#[derive(Debug)]
pub(crate) struct Everybody {
    me: Identity,
}

impl Everybody {
    pub(crate) fn at(seat: usize) -> Self {
        Self { me: Identity::new(seat, 1) }
    }
}

impl Oracle for Everybody {
    fn me(&self) -> Identity {
        self.me
    }

    fn is_alive(&self, _who: Identity) -> bool {
        true
    }

    fn is_short_alive(&self, _short: u32) -> bool {
        true
    }

    fn knows_thread_ids(&self) -> bool {
        false
    }
}

/// Lets two meet, each in a thread of its own, and returns what they return.
pub(crate) fn meet<A: Send + 'static, B: Send + 'static>(
    one: impl FnOnce() -> A + Send + 'static,
    other: impl FnOnce() -> B + Send + 'static,
) -> (A, B) {
    let (first, second) = if LAST_BEGINS.get() {
        let second = spawn(other);
        (spawn(one), second)
    } else {
        (spawn(one), spawn(other))
    };
    (first.join().expect("the first panicked"), second.join().expect("the second panicked"))
}

/// Lets three meet.
pub(crate) fn meet_three<A: Send + 'static, B: Send + 'static, C: Send + 'static>(
    one: impl FnOnce() -> A + Send + 'static,
    two: impl FnOnce() -> B + Send + 'static,
    three: impl FnOnce() -> C + Send + 'static,
) -> (A, B, C) {
    let (one, two, three) = if LAST_BEGINS.get() {
        let three = spawn(three);
        let two = spawn(two);
        (spawn(one), two, three)
    } else {
        (spawn(one), spawn(two), spawn(three))
    };
    let (one, two) = (one.join().expect("the first panicked"), two.join().expect("the second panicked"));
    (one, two, three.join().expect("the third panicked"))
}

/// Runs a model in every order of its steps with three interruptions, or under shuttle in many random ones.
pub(crate) fn explore(model: impl Fn() + Send + Sync + 'static) {
    explore_with(3, model);
}

/// The same with another number of interruptions.
///
/// # Panics
/// Where the model does, and where there was next to nothing to explore: then those who meet share nothing, or
/// the checker has not seen that they do.
pub(crate) fn explore_with(interruptions: usize, model: impl Fn() + Send + Sync + 'static) {
    /// Two threads with a step each already have more orders than this, begun from either end.
    const LEAST: u64 = 10;
    let runs = Arc::new(AtomicU64::new(0));
    let model = {
        let runs = Arc::clone(&runs);
        Arc::new(move || {
            runs.fetch_add(1, Ordering::Relaxed);
            model();
        })
    };
    check(interruptions, &model);
    let runs = runs.load(Ordering::Relaxed);
    let thread = std::thread::current();
    if std::env::var_os("MAPWRIGHT_RUNS").is_some() {
        eprintln!("{runs:8} runs of {}", thread.name().unwrap_or("a model"));
    }
    assert!(runs >= LEAST, "only {runs} runs: nothing was explored");
}

#[cfg(loom)]
fn check(interruptions: usize, model: &Arc<impl Fn() + Send + Sync + 'static>) {
    for last_begins in [false, true] {
        LAST_BEGINS.set(last_begins);
        let mut builder = loom::model::Builder::new();
        builder.preemption_bound = Some(interruptions);
        builder.max_branches = 20_000;
        let model = Arc::clone(model);
        builder.check(move || model());
    }
}

#[cfg(shuttle)]
fn check(_interruptions: usize, model: &Arc<impl Fn() + Send + Sync + 'static>) {
    let mut config = shuttle::Config::new();
    // Formatting alone overflows what a thread has otherwise.
    config.stack_size = 1 << 20;
    let orders = shuttle::scheduler::RandomScheduler::new(20_000);
    let model = Arc::clone(model);
    shuttle::Runner::new(orders, config).run(move || model());
}
