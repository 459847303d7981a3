//! Ground for the model checkers: participants that live, those who meet, and what a model is worth.
//!
//! # What loom explores
//!
//! Loom remembers for each word the last access and the last change, not the last access of each thread.
//! Where a thread loads a word and then stores it (a sequence that goes up by one), the last access is its
//! own load, and that the store races with what another thread has loaded before goes unseen: a model that
//! begins with the reader then makes one run and finds nothing. Begun by the writer it is explored, since a
//! load is held against the last change. So those who [`meet`] are threads, the main thread does nothing
//! meanwhile, each model is explored begun from either end, and one that makes hardly any runs fails.
//!
//! # Mutants
//!
//! `MAPWRIGHT_WEAKEN=slot.rs:73` before the command that runs the models weakens the access or the fence in
//! that line of that file (see `weaken.rs` beside the words). A new ordering is worth such a run. Noticed:
//!
//! ```text
//!  claim.rs         both exchanges, the letting go
//!  table/slot       the sequence's load and store, the fence of `read`, those of `write` and `replace`
//!  table/group      both stores of a bucket's word
//!  table/store      the load of a bucket's word
//!  snapshot/cells   the version's load and store, the fences of `look` and `publish`, the store of WRITING,
//!                   the load of `why`
//!  log/words        the load of `find`, the store that ends `append`
//!  pool             `set`, both fences of holds; `take_if`: load and exchange, where neither acquires;
//!                   `receive`: where none of its loads and exchanges does
//!  records          the load of `look`, the last store of `fill`
//!  queue/lane       the store of a slot's word
//!  queue/slots      the load of `look`, the last store of `put`
//!  topic/ring       `read`: the first load, the fence; `write`: the fence, the last store; the exchange of
//!                   `claim`, the store of `release`
//!  lock/readers     the fences of readers and writers, the second look at the gate, its opening
//!  lock/semaphore   taking, giving back
//!  lock/once        the looks, the end
//!  lock/barrier     the state's load and exchange (release), an arrival's store and load
//!  lock/event       setting (release), `is_set`, `reset` (acquire), the load of `go_through`
//! ```
//! Not noticed, and why:
//!
//! - Letting go of room after *reading* it, and taking it before *writing*: receivers' positions, exchanges
//!   to free, holds that are let go, readers' counts, cursors and limits. That keeps loads from sinking
//!   below a store, and loom runs loads where they stand.
//! - An exchange's acquire where the value it replaces was loaded with acquire just before (a head's or a
//!   slot's claim, the event's, the once's, the barrier's): one of the two is enough.
//! - An exchange's release where it changes what a release store has written, and nothing was written since
//!   (held, given back): whoever reads the new value is ordered behind that store all the same.
//! - What a fence beside it does as well: SeqCst in `readers.rs`; the fence of `wait_until` in `barrier.rs`,
//!   which a bell's `listen` repeats before anybody sleeps; the load at the end of a snapshot's `look`. The
//!   last store of a cell's sequence: `published` is stored behind it.
//! - Hints that say only where to look first: the log's and the topic's tail, senders' positions, `ahead`.
//!   A log's claim finds words that nobody has written before.
//! - Places, tallies, poison, names of the dead, which of two copies holds: they matter after a death. That
//!   is learnt from the kernel, which orders all that the dead one did; the order speaks to the compiler.
//!
//! Shuttle runs the same models in many random orders, all of them sequentially consistent: it finds what
//! goes wrong between steps, not what goes wrong with memory orderings.

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
/// Where the model does, and where there was next to nothing to explore: then those who meet share nothing,
/// or the checker has not seen that they do.
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
