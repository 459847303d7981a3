//! Mutexes: what is left of a holder.

use super::*;
use mapwright_core::peer::points::{Child, End};

/// Two numbers that are always stored as equal ones.
type Twins = [u64; 2];

fn ground() -> Ground {
    Ground::new::<Mutex<Twins>>(&[0, 0])
}

/// As participants that the kernel lets go for, and as such for whom it does not.
fn both(test: impl Fn(&dyn Fn(&Ground) -> Mutex<Twins>)) {
    test(&|ground| ground.attach());
    test(&|ground| ground.attach::<Mutex<Twins>>().by_identity(|oracle| Arc::new(ByIdentity(oracle))));
}

#[test]
fn what_is_stored_is_loaded_by_the_next_holder() {
    both(|attach| {
        let ground = ground();
        let (one, other) = (attach(&ground), attach(&ground));
        let mut guard = one.lock().unwrap();
        guard.store([7, 7]);
        // A thread that holds it by another mapping may be told so.
        assert!(matches!(other.try_lock(), Err(LockError::TimedOut | LockError::Deadlock)));
        assert_eq!(guard.update(|value| std::mem::replace(value, [8, 8])), [7, 7]);
        drop(guard);
        assert_eq!(other.lock().unwrap().load(), [8, 8]);
        assert_eq!((one.poisoned(), one.is_abandoned()), (None, false));
    });
}

#[test]
fn one_thread_that_locks_twice_is_told_so() {
    both(|attach| {
        let ground = ground();
        let mutex = attach(&ground);
        let guard = mutex.lock().unwrap();
        assert!(matches!(mutex.lock(), Err(LockError::Deadlock)));
        assert!(matches!(mutex.clone().repair(|_| {}), Err(LockError::Deadlock)));
        let elsewhere = || matches!(mutex.try_lock(), Err(LockError::TimedOut));
        assert!(std::thread::scope(|scope| scope.spawn(elsewhere).join().unwrap()), "another thread waits");
        drop(guard);
        assert!(mutex.try_lock().is_ok());
    });
}

#[test]
fn a_dead_holder_is_reported_once_and_the_value_is_whole() {
    both(|attach| {
        let ground = ground();
        let mutex = attach(&ground);
        let child = Child::fork(|| {
            let mutex = attach(&ground);
            let mut guard = mutex.lock().unwrap();
            guard.store([3, 3]);
            die();
        });
        assert_eq!(child.wait(), End::Killed(9));
        assert!(mutex.is_abandoned());
        let Err(LockError::OwnerDied(recovery)) = mutex.lock_until(soon()) else { panic!("nobody died") };
        assert_eq!((recovery.load(), recovery.who().is_some()), ([3, 3], true));
        assert_eq!(recovery.recover().load(), [3, 3]);
        assert_eq!(mutex.lock_until(soon()).unwrap().load(), [3, 3]);
    });
}

#[test]
fn a_waiter_is_told_of_the_death_that_it_waited_for() {
    both(|attach| {
        let ground = ground();
        let mutex = attach(&ground);
        let (ready, go) =
            (Ground::new::<Event>(&EventOptions::Manual), Ground::new::<Event>(&EventOptions::Manual));
        let child = Child::fork(|| {
            let mutex = attach(&ground);
            let _guard = mutex.lock().unwrap();
            ready.attach::<Event>().set().unwrap();
            go.attach::<Event>().wait().unwrap();
            die();
        });
        ready.attach::<Event>().wait_until(soon()).unwrap();
        assert!(matches!(mutex.try_lock(), Err(LockError::TimedOut)));
        go.attach::<Event>().set().unwrap();
        assert!(matches!(mutex.lock_until(soon()), Err(LockError::OwnerDied(_))));
        assert_eq!(child.wait(), End::Killed(9));
    });
}

#[test]
fn unrepaired_it_stays_poisoned_for_all_until_somebody_repairs_it() {
    let ground = ground();
    let child = Child::fork(|| {
        let mutex: Mutex<Twins> = ground.attach();
        let _guard = mutex.lock().unwrap();
        die();
    });
    assert_eq!(child.wait(), End::Killed(9));
    let mutex: Mutex<Twins> = ground.attach();
    let Err(LockError::OwnerDied(recovery)) = mutex.lock_until(soon()) else { panic!("nobody died") };
    drop(recovery);
    let other: Mutex<Twins> = ground.attach();
    for mutex in [&mutex, &other] {
        assert!(matches!(mutex.lock(), Err(LockError::Poisoned)));
        assert_eq!(mutex.poisoned(), Some(Poison::OwnerDied));
    }
    drop(other.repair(|value| *value = [5, 5]).unwrap());
    assert_eq!(mutex.lock().unwrap().load(), [5, 5]);
}

#[test]
fn a_panic_poisons_and_a_panicking_repair_leaves_it_so() {
    let ground = ground();
    let mutex: Mutex<Twins> = ground.attach();
    let panics = |work: &dyn Fn()| {
        let work = std::panic::AssertUnwindSafe(work);
        assert!(std::panic::catch_unwind(work).is_err());
    };
    panics(&|| {
        let mut guard = mutex.lock().unwrap();
        guard.store([1, 1]);
        guard.update(|_| panic!("on purpose"));
    });
    assert!(matches!(mutex.lock(), Err(LockError::Poisoned)));
    assert_eq!(mutex.poisoned(), Some(Poison::Panicked));
    panics(&|| drop(mutex.repair(|_| panic!("on purpose"))));
    assert!(matches!(mutex.lock(), Err(LockError::Poisoned)));
    assert_eq!(mutex.repair(|value| value[0] += 1).unwrap().load(), [2, 1]);
    // A lock that is taken and let go of while something else unwinds has seen no panic of its own.
    struct Locks(Mutex<Twins>);
    impl Drop for Locks {
        fn drop(&mut self) {
            self.0.lock().unwrap().store([4, 4]);
        }
    }
    panics(&|| {
        let _locks = Locks(ground.attach());
        panic!("on purpose");
    });
    assert_eq!(mutex.lock().unwrap().load(), [4, 4]);
}

#[test]
fn a_forked_child_neither_lets_go_nor_locks_nor_stores() {
    let ground = ground();
    let mutex: Mutex<Twins> = ground.attach();
    let mut guard = Some(mutex.lock().unwrap());
    let child = Child::fork(|| {
        assert!(matches!(mutex.try_lock(), Err(LockError::Fault(_))));
        let mut inherited = guard.take().unwrap();
        let stored = std::panic::AssertUnwindSafe(|| inherited.store([1, 1]));
        assert!(std::panic::catch_unwind(stored).is_err());
        drop(inherited);
    });
    assert_eq!(child.wait(), End::Exited(0));
    let other: Mutex<Twins> = ground.attach();
    assert!(matches!(other.try_lock(), Err(LockError::TimedOut | LockError::Deadlock)));
}

#[test]
fn scribbled_bytes_neither_panic_nor_lead_out_of_the_copies() {
    use mapwright_core::peer::{Ordering, Word64};
    for pattern in [1, 2, 3, 0x8000_0001_u64, u64::MAX] {
        let ground = ground();
        let mutex: Mutex<Twins> = ground.attach();
        let words = ground.site().parts().many::<Word64>(32).unwrap();
        for word in words.iter() {
            word.store(pattern << 32 | pattern, Ordering::Relaxed);
        }
        let until = Deadline::after(Duration::from_millis(1));
        drop(mutex.lock_until(until));
        drop(mutex.repair_until(until, |value| value[0] = 1));
        let _any = mutex.poisoned();
        assert!(!Mutex::<Twins>::inspect(&ground.site()).unwrap().is_empty());
    }
}

#[test]
fn of_two_processes_that_lock_in_a_tight_loop_neither_starves() {
    use mapwright_core::peer::{Ordering, Word64};
    let ground = ground();
    let counts = Ground::new::<Mutex<[u64; 4]>>(&[0; 4]);
    let counted = |ground: &Ground| ground.site().parts().many::<Word64>(32).unwrap();
    let spin = |index: usize| {
        let (mutex, counts): (Mutex<Twins>, _) = (ground.attach(), counted(&counts));
        loop {
            let mut guard = mutex.lock().unwrap();
            guard.update(|value| value[0] += 1);
            drop(guard);
            counts[index].fetch_add(1, Ordering::Relaxed);
        }
    };
    let _both = [20, 21].map(|index| Child::fork(|| spin(index)));
    let counts = counted(&counts);
    let watchdog = soon();
    while counts[20].load(Ordering::Relaxed) < 1000 || counts[21].load(Ordering::Relaxed) < 1000 {
        assert!(!watchdog.has_passed(), "one of them starves");
        std::thread::yield_now();
    }
}

mod crash {
    use super::*;
    use crate::testing::at_every_point;

    fn two_stores(mutex: &Mutex<Twins>, arm: &dyn Fn()) {
        arm();
        let mut guard = mutex.lock().unwrap();
        guard.store([1, 1]);
        guard.store([2, 2]);
    }

    /// Whatever has happened, the next one gets the lock and a value that somebody has stored.
    fn goes_on(mutex: &Mutex<Twins>) -> Twins {
        let guard = match mutex.lock_until(soon()) {
            Ok(guard) => guard,
            Err(LockError::OwnerDied(recovery)) => recovery.recover(),
            Err(LockError::Poisoned) => mutex.repair_until(soon(), |_| {}).unwrap(),
            Err(error) => panic!("{error}"),
        };
        let value = guard.load();
        drop(guard);
        assert!(mutex.lock_until(soon()).is_ok(), "repaired, it is as before");
        assert_eq!(value[0], value[1], "torn");
        value
    }

    #[test]
    fn a_death_at_any_step_leaves_a_whole_value_and_a_lock_that_goes_on() {
        both(|attach| {
            at_every_point(
                "mutex lock, store, store, unlock",
                ground,
                |ground, arm| two_stores(&attach(ground), arm),
                |ground, point| {
                    let value = goes_on(&attach(ground));
                    assert!(value[0] <= 2 && (point != 0 || value == [2, 2]), "{value:?}");
                },
            );
        });
    }

    #[test]
    fn a_death_at_any_step_of_the_recovery_can_be_recovered_from() {
        both(|attach| {
            at_every_pair(
                "mutex recovery",
                ground,
                |ground, arm| two_stores(&attach(ground), arm),
                |ground, arm| {
                    let mutex = attach(ground);
                    arm();
                    match mutex.lock_until(soon()) {
                        Err(LockError::OwnerDied(recovery)) => drop(recovery.repair(|value| *value = [9, 9])),
                        Ok(mut guard) => guard.store([9, 9]),
                        Err(error) => panic!("{error}"),
                    }
                },
                |ground, point| {
                    let value = goes_on(&attach(ground));
                    assert!(point != 0 || value == [9, 9], "{value:?}");
                },
            );
        });
    }

    #[test]
    fn a_death_at_any_step_of_an_explicit_repair_leaves_it_poisoned_or_repaired() {
        at_every_point(
            "mutex repair",
            || {
                let ground = ground();
                let child = Child::fork(|| {
                    let mutex: Mutex<Twins> = ground.attach();
                    let _guard = mutex.lock().unwrap();
                    die();
                });
                assert_eq!(child.wait(), End::Killed(9));
                let mutex: Mutex<Twins> = ground.attach();
                let Err(LockError::OwnerDied(recovery)) = mutex.lock_until(soon()) else {
                    panic!("nobody died")
                };
                drop(recovery);
                ground
            },
            |ground, arm| {
                let mutex: Mutex<Twins> = ground.attach();
                arm();
                drop(mutex.repair(|value| *value = [9, 9]).unwrap());
            },
            |ground, point| {
                let value = goes_on(&ground.attach());
                assert!(value == [9, 9] || (point != 0 && value == [0, 0]), "{value:?}");
            },
        );
    }
}
