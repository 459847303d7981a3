//! Who holds a lock word, and what its death leaves.

#![allow(unsafe_code, reason = "robust mutexes of the C library; listed in docs/SOUNDNESS.md")]

use super::{
    Acquired, Area, Child, Deadline, End, Ground, Identity, Life, MapOptions, Oracle, Ordering, Placed,
    Roster, Taker, die, pid_namespace, relax,
};
use std::time::Duration;

/// Both kinds of holders: by the kernel's list, and by the oracle.
fn both(test: impl Fn(u64)) {
    test(pid_namespace());
    test(1);
}

#[test]
fn a_holder_that_is_killed_is_seen_by_the_next() {
    both(|namespace| {
        let ground = Ground::new();
        let child = Child::fork(|| {
            let me = ground.join(namespace);
            let lock = ground.lock();
            let held = lock.acquire(&me, Deadline::never());
            assert!(matches!(held, Acquired::Clean(_)));
            die();
        });
        assert_eq!(child.wait(), End::Killed(libc::SIGKILL));
        let me = ground.join(namespace);
        assert_eq!(me.knows_thread_ids(), namespace != 1);
        let lock = ground.lock();
        let held = lock.acquire(&me, Deadline::after(Duration::from_secs(20)));
        assert!(matches!(held, Acquired::Died(_)), "{held:?}");
        drop(held);
        assert!(matches!(lock.acquire(&me, Deadline::now()), Acquired::Clean(_)), "said once");
    });
}

#[test]
fn a_blocked_waiter_is_woken_by_the_holders_death() {
    both(|namespace| {
        let ground = Ground::new();
        let ready = ground.counters();
        let child = Child::fork(|| {
            let me = ground.join(namespace);
            let lock = ground.lock();
            let _held = lock.acquire(&me, Deadline::never());
            ready[0].store(1, Ordering::Release);
            while ready[0].load(Ordering::Acquire) != 2 {
                relax();
            }
            die();
        });
        while ready[0].load(Ordering::Acquire) != 1 {
            relax();
        }
        let me = ground.join(namespace);
        let lock = ground.lock();
        assert!(matches!(lock.acquire(&me, Deadline::now()), Acquired::TimedOut));
        ready[0].store(2, Ordering::Release);
        let held = lock.acquire(&me, Deadline::after(Duration::from_secs(20)));
        assert!(matches!(held, Acquired::Died(_)), "{held:?}");
        assert_eq!(child.wait(), End::Killed(libc::SIGKILL));
    });
}

#[test]
fn both_kinds_of_holders_meet_on_one_word() {
    let ground = Ground::new();
    let (by_kernel, by_oracle) = (ground.join(pid_namespace()), ground.join(1));
    let lock = ground.lock();
    let held = lock.acquire(&by_kernel, Deadline::never());
    assert!(matches!(lock.acquire(&by_kernel, Deadline::now()), Acquired::Deadlock));
    assert!(matches!(lock.acquire(&by_oracle, Deadline::now()), Acquired::TimedOut));
    assert_eq!(lock.holder(), (true, by_kernel.me().number()));
    drop(held);
    let held = lock.acquire(&by_oracle, Deadline::never());
    assert!(matches!(lock.acquire(&by_kernel, Deadline::now()), Acquired::TimedOut));
    drop(held);
    assert!(!lock.holder().0);
}

#[test]
fn a_thread_that_ends_with_a_leaked_guard_has_died_holding_it() {
    let ground = Ground::new();
    let me = ground.join(pid_namespace());
    let lock = ground.lock();
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let held = lock.acquire(&me, Deadline::never());
            std::mem::forget(held);
        });
    });
    let held = lock.acquire(&me, Deadline::after(Duration::from_secs(20)));
    assert!(matches!(held, Acquired::Died(_)), "{held:?}");
}

#[test]
fn an_area_with_a_leaked_guard_stays_mapped() {
    let ground = Ground::new();
    let me = ground.join(pid_namespace());
    let lock = ground.lock();
    std::mem::forget(lock.acquire(&me, Deadline::never()));
    drop((lock, me, ground));
    // Another word is linked in front of the leaked one, whose memory is gone from all owners.
    let ground = Ground::new();
    let me = ground.join(pid_namespace());
    assert!(matches!(ground.lock().acquire(&me, Deadline::now()), Acquired::Clean(_)));
}

#[test]
fn a_thread_that_starts_another_program_has_died_holding_it() {
    let ground = Ground::new();
    let child = Child::fork(|| {
        let me = ground.join(pid_namespace());
        std::thread::scope(|scope| {
            scope.spawn(|| {
                let lock = ground.lock();
                let _held = lock.acquire(&me, Deadline::never());
                let failed =
                    std::os::unix::process::CommandExt::exec(&mut std::process::Command::new("true"));
                panic!("{failed}");
            });
        });
    });
    assert_eq!(child.wait(), End::Exited(0));
    let me = ground.join(pid_namespace());
    let lock = ground.lock();
    assert!(lock.holder().0, "if the kernel lets go of it, nothing is shown");
    let held = lock.acquire(&me, Deadline::after(Duration::from_secs(20)));
    assert!(matches!(held, Acquired::Died(_)), "{held:?}");
}

#[test]
fn a_word_that_was_taken_by_another_mapping_is_known_as_ours() {
    let ground = Ground::new();
    let me = ground.join(pid_namespace());
    let other = Area::new(MapOptions::new().map_mut(&ground.file).unwrap()).unwrap();
    let (lock, same) = (ground.lock(), other.place::<super::RobustWord>(0).unwrap());
    let _held = lock.acquire(&me, Deadline::never());
    assert!(matches!(same.acquire(&me, Deadline::never()), Acquired::Deadlock));
}

#[test]
fn a_word_that_bears_our_identity_is_known_as_this_threads_or_another_ones() {
    let ground = Ground::new();
    let me = ground.join(1);
    let other = Area::new(MapOptions::new().map_mut(&ground.file).unwrap()).unwrap();
    let (lock, same) = (ground.lock(), other.place::<super::RobustWord>(0).unwrap());
    for _ in 0..3 {
        let held = lock.acquire(&me, Deadline::never());
        assert!(matches!(held, Acquired::Clean(_)), "{held:?}");
        assert!(matches!(same.acquire(&me, Deadline::never()), Acquired::Deadlock));
        let elsewhere = || matches!(lock.acquire(&me, Deadline::now()), Acquired::TimedOut);
        assert!(std::thread::scope(|scope| scope.spawn(elsewhere).join().unwrap()), "not that thread's");
        drop(held);
        std::thread::scope(|scope| {
            scope.spawn(|| drop(lock.acquire(&me, Deadline::never())));
        });
    }
    // A thread that has leaked its guard holds it for ever; the next one with its id is another one.
    std::thread::scope(|scope| {
        scope.spawn(|| std::mem::forget(lock.acquire(&me, Deadline::never())));
    });
    let late = || matches!(lock.acquire(&me, Deadline::now()), Acquired::TimedOut);
    assert!(std::thread::scope(|scope| scope.spawn(late).join().unwrap()));
}

#[test]
fn what_a_dead_holder_wrote_of_its_thread_is_nobody_elses() {
    let ground = Ground::new();
    // The child's thread has the number that this one's children have.
    let me = ground.join(1);
    drop(ground.lock().acquire(&me, Deadline::never()));
    let child = Child::fork(|| {
        let me = ground.join(1);
        std::mem::forget(ground.lock().acquire(&me, Deadline::never()));
        die();
    });
    assert_eq!(child.wait(), End::Killed(libc::SIGKILL));
    let lock = ground.lock();
    let held = lock.acquire(&me, Deadline::after(Duration::from_secs(20)));
    assert!(matches!(held, Acquired::Died(_)), "{held:?}");
    assert!(matches!(lock.acquire(&me, Deadline::never()), Acquired::Deadlock));
}

#[test]
fn an_observer_takes_nothing() {
    let ground = Ground::new();
    let life = Life::open(ground.file.file().as_ref()).unwrap();
    let observer = Roster::observe(ground.area.place_many(4096, 16).unwrap(), life);
    let lock = ground.lock();
    assert!(matches!(lock.acquire(&observer, Deadline::never()), Acquired::TimedOut));
    assert!(lock.acquire_at_once(Taker::new(&observer)).is_none() && !lock.holder().0);
}

/// An oracle that takes a lock before it answers, or panics.
#[derive(Debug)]
struct Nosy<'a> {
    of: &'a Roster,
    lock: Option<Placed<super::RobustWord>>,
}

impl Oracle for Nosy<'_> {
    fn me(&self) -> Identity {
        self.of.me()
    }

    fn is_alive(&self, who: Identity) -> bool {
        self.of.is_alive(who)
    }

    fn is_short_alive(&self, short: u32) -> bool {
        assert!(!crate::peer::thread::List::find().unwrap().is_pending(), "asked on the way");
        let lock = self.lock.as_ref().expect("an oracle that panics");
        std::mem::forget(lock.acquire(self.of, Deadline::never()));
        self.of.is_short_alive(short)
    }

    fn knows_thread_ids(&self) -> bool {
        self.of.knows_thread_ids()
    }
}

#[test]
fn an_oracle_may_take_locks_and_panic() {
    let ground = Ground::new();
    let (me, other) = (ground.join(pid_namespace()), ground.join(1));
    let (lock, second) = (ground.lock(), ground.area.place::<super::RobustWord>(8192).unwrap());
    let is_pending = || crate::peer::thread::List::find().unwrap().is_pending();
    std::mem::forget(lock.acquire(&other, Deadline::never()));
    let panics = Nosy { of: &me, lock: None };
    let asked = || lock.acquire(&panics, Deadline::never());
    assert!(std::panic::catch_unwind(std::panic::AssertUnwindSafe(asked)).is_err());
    assert!(!is_pending());
    drop(other);
    let takes = Nosy { of: &me, lock: Some(second) };
    assert!(matches!(lock.acquire(&takes, Deadline::never()), Acquired::Died(_)));
    assert!(!is_pending());
}

#[test]
fn locks_are_let_go_of_in_any_order_and_beyond_what_the_list_takes() {
    let ground = Ground::new();
    let me = ground.join(pid_namespace());
    let locks = ground.area.place_many::<super::RobustWord>(8192, 40).unwrap();
    let locks: Vec<_> = (0..40).map(|index| locks.one(index).unwrap()).collect();
    let mut held: Vec<_> = locks.iter().map(|lock| lock.acquire(&me, Deadline::never())).collect();
    // From the middle, the oldest, the newest.
    for index in [20, 0, 37, 5, 30, 0] {
        drop(held.remove(index));
    }
    drop(held);
    for lock in &locks {
        assert!(matches!(lock.acquire(&me, Deadline::now()), Acquired::Clean(_)));
    }
    let child = Child::fork(|| {
        let me = ground.join(pid_namespace());
        let held: Vec<_> = locks.iter().map(|lock| lock.acquire(&me, Deadline::never())).collect();
        assert!(held.iter().all(|held| matches!(held, Acquired::Clean(_))));
        die();
    });
    assert_eq!(child.wait(), End::Killed(libc::SIGKILL));
    for lock in &locks {
        let held = lock.acquire(&me, Deadline::after(Duration::from_secs(20)));
        assert!(matches!(held, Acquired::Died(_)), "{held:?}");
    }
}

#[test]
fn a_robust_mutex_of_the_c_library_and_ours_do_not_disturb_each_other() {
    meets_a_c_mutex(libc::PTHREAD_PRIO_NONE);
}

#[test]
fn nor_does_one_that_lends_priority_whose_pointer_is_marked() {
    meets_a_c_mutex(libc::PTHREAD_PRIO_INHERIT);
}

fn meets_a_c_mutex(protocol: i32) {
    let ground = Ground::new();
    let me = ground.join(pid_namespace());
    let lock = ground.lock();
    let mut theirs = c_mutex(protocol);
    // Ours first, theirs in front of it; ours let go of first.
    let held = lock.acquire(&me, Deadline::never());
    // SAFETY: an initialised mutex that stays where it is.
    assert_eq!(unsafe { libc::pthread_mutex_lock(&raw mut *theirs) }, 0);
    drop(held);
    // Theirs is on the list: ours goes by identity.
    let held = lock.acquire(&me, Deadline::never());
    assert!(matches!(held, Acquired::Clean(_)));
    // SAFETY: as above; this thread has locked it.
    assert_eq!(unsafe { libc::pthread_mutex_unlock(&raw mut *theirs) }, 0);
    drop(held);
    assert!(lock.acquire_at_once(Taker::new(&me)).is_some(), "the list is as it was");
}

fn c_mutex(protocol: i32) -> Box<libc::pthread_mutex_t> {
    let mut mutex = Box::new(libc::PTHREAD_MUTEX_INITIALIZER);
    let mut attributes = std::mem::MaybeUninit::<libc::pthread_mutexattr_t>::uninit();
    // SAFETY: initialises the attributes.
    assert_eq!(unsafe { libc::pthread_mutexattr_init(attributes.as_mut_ptr()) }, 0);
    // SAFETY: they are initialised.
    let set =
        unsafe { libc::pthread_mutexattr_setrobust(attributes.as_mut_ptr(), libc::PTHREAD_MUTEX_ROBUST) };
    assert_eq!(set, 0);
    // SAFETY: as above.
    let set = unsafe { libc::pthread_mutexattr_setprotocol(attributes.as_mut_ptr(), protocol) };
    assert_eq!(set, 0);
    // SAFETY: initialises the mutex in its place.
    assert_eq!(unsafe { libc::pthread_mutex_init(&raw mut *mutex, attributes.as_ptr()) }, 0);
    mutex
}

#[test]
fn a_storm_of_kills_loses_no_increment_that_was_finished() {
    both(|namespace| {
        let ground = Ground::new();
        let counters = ground.counters();
        let worker = || {
            Child::fork(|| {
                let me = ground.join(namespace);
                let lock = ground.lock();
                loop {
                    let (Acquired::Clean(held) | Acquired::Died(held)) = lock.acquire(&me, Deadline::never())
                    else {
                        panic!("neither deadline nor deadlock");
                    };
                    // Twice the same: a value that differs was seen by two holders at once.
                    let value = counters[0].load(Ordering::Relaxed);
                    counters[0].store(value + 1, Ordering::Relaxed);
                    if counters[1].fetch_add(1, Ordering::Relaxed) != value {
                        counters[1].store(value + 1, Ordering::Relaxed);
                        counters[2].fetch_add(1, Ordering::Relaxed);
                    }
                    drop(held);
                }
            })
        };
        let mut workers = [worker(), worker(), worker()];
        const KILLS: u64 = 150;
        for kill in 1..=KILLS {
            let before = counters[0].load(Ordering::Relaxed);
            while counters[0].load(Ordering::Relaxed) < before + 50 * (kill % 7) {
                std::thread::yield_now();
            }
            let victim = usize::try_from(kill * 7919 % 3).unwrap();
            workers[victim] = worker();
        }
        drop(workers);
        let torn = counters[2].load(Ordering::Relaxed);
        assert!(torn <= KILLS + 3, "{torn} times two holders met, with {KILLS} kills");
        let me = ground.join(namespace);
        let lock = ground.lock();
        let held = lock.acquire(&me, Deadline::after(Duration::from_secs(20)));
        assert!(matches!(held, Acquired::Clean(_) | Acquired::Died(_)), "{held:?}");
    });
}
