//! Locks for readers and writers: what is left of either.

use super::*;
use mapwright_core::peer::points::{Child, End};

/// Two numbers that are always stored as equal ones.
type Twins = [u64; 2];

fn ground() -> Ground {
    Ground::new::<RwLock<Twins>>(&RwLockOptions::new([0, 0]).seats(16))
}

fn attach(ground: &Ground) -> RwLock<Twins> {
    ground.attach()
}

#[test]
fn readers_read_together_and_writers_alone() {
    let ground = ground();
    let (one, other) = (attach(&ground), attach(&ground));
    let first = one.read().unwrap();
    let (second, third) = (other.read().unwrap(), one.try_read().unwrap());
    assert!(matches!(other.try_write(), Err(LockError::TimedOut)));
    assert_eq!((first.load(), second.load(), third.load()), ([0, 0], [0, 0], [0, 0]));
    drop((first, second));
    assert!(matches!(other.try_write(), Err(LockError::TimedOut)));
    drop(third);
    let mut writer = other.write().unwrap();
    writer.store([1, 1]);
    assert!(matches!(one.try_read(), Err(LockError::TimedOut | LockError::Deadlock)));
    assert_eq!(writer.update(|value| value[0]), 1);
    let reader = writer.downgrade();
    assert_eq!((reader.load(), one.try_read().unwrap().load()), ([1, 1], [1, 1]));
    assert!(matches!(one.try_write(), Err(LockError::TimedOut)));
}

#[test]
fn a_thread_that_writes_and_wants_more_is_told_so() {
    let ground = ground();
    let lock = attach(&ground);
    let guard = lock.write().unwrap();
    assert!(matches!(lock.write(), Err(LockError::Deadlock)));
    assert!(matches!(lock.read(), Err(LockError::Deadlock)));
    drop(guard);
    assert!(lock.read().is_ok());
}

#[test]
fn a_dead_reader_is_not_waited_for() {
    let ground = ground();
    let child = Child::fork(|| {
        let lock = attach(&ground);
        let _guards = [lock.read().unwrap(), lock.read().unwrap()];
        die();
    });
    assert_eq!(child.wait(), End::Killed(9));
    let lock = attach(&ground);
    lock.write_until(soon()).unwrap().store([1, 1]);
    assert_eq!(lock.read().unwrap().load(), [1, 1]);
}

#[test]
fn a_dead_writer_is_reported_to_whoever_comes_first_reader_or_writer() {
    for reads in [true, false] {
        let ground = ground();
        let child = Child::fork(|| {
            let lock = attach(&ground);
            let mut guard = lock.write().unwrap();
            guard.store([3, 3]);
            die();
        });
        assert_eq!(child.wait(), End::Killed(9));
        let lock = attach(&ground);
        let error = if reads { lock.read_until(soon()).err() } else { lock.write_until(soon()).err() };
        let Some(LockError::OwnerDied(recovery)) = error else { panic!("{error:?}") };
        assert_eq!((recovery.load(), recovery.who().is_some()), ([3, 3], true));
        assert!(matches!(attach(&ground).try_read(), Err(LockError::TimedOut | LockError::Deadlock)));
        drop(recovery.repair(|value| *value = [4, 4]));
        assert_eq!(lock.read_until(soon()).unwrap().load(), [4, 4]);
    }
}

#[test]
fn a_writer_that_dies_waiting_for_readers_does_not_keep_them_out() {
    let ground = ground();
    let lock = attach(&ground);
    let reader = lock.read().unwrap();
    let child = Child::fork(|| {
        let lock = attach(&ground);
        let _never = lock.write();
    });
    // Until it has closed the gate.
    while lock.try_read().is_ok() {
        std::thread::yield_now();
    }
    child.kill();
    assert_eq!(child.wait(), End::Killed(9));
    drop(reader);
    let Err(LockError::OwnerDied(recovery)) = lock.read_until(soon()) else { panic!("nobody died") };
    drop(recovery.recover());
    assert!(lock.read_until(soon()).is_ok());
}

#[test]
fn unrepaired_it_stays_poisoned_and_a_panic_poisons_too() {
    let ground = ground();
    let lock = attach(&ground);
    let panics = |work: &dyn Fn()| {
        assert!(std::panic::catch_unwind(std::panic::AssertUnwindSafe(work)).is_err());
    };
    panics(&|| {
        let _guard = lock.write().unwrap();
        panic!("on purpose");
    });
    assert_eq!(lock.poisoned(), Some(Poison::Panicked));
    assert!(matches!(lock.read(), Err(LockError::Poisoned)));
    assert!(matches!(lock.write(), Err(LockError::Poisoned)));
    panics(&|| drop(lock.repair(|_| panic!("on purpose"))));
    assert!(matches!(lock.read(), Err(LockError::Poisoned)));
    drop(lock.repair(|value| *value = [6, 6]).unwrap());
    assert_eq!((lock.read().unwrap().load(), lock.poisoned()), ([6, 6], None));
    let child = Child::fork(|| {
        let lock = attach(&ground);
        let _guard = lock.write().unwrap();
        die();
    });
    assert_eq!(child.wait(), End::Killed(9));
    let Err(LockError::OwnerDied(recovery)) = lock.write_until(soon()) else { panic!("nobody died") };
    drop(recovery);
    assert!(matches!(lock.read(), Err(LockError::Poisoned)));
    assert_eq!(lock.poisoned(), Some(Poison::OwnerDied));
}

#[test]
fn a_writer_gets_in_between_readers_that_never_leave_it_free() {
    let ground = ground();
    let reader = || {
        Child::fork(|| {
            let lock = attach(&ground);
            loop {
                assert!(lock.read().is_ok());
            }
        })
    };
    let _readers = [reader(), reader()];
    let lock = attach(&ground);
    for round in 1..200 {
        lock.write_until(soon()).unwrap().store([round, round]);
    }
}

#[test]
fn a_reader_gets_in_between_writers_that_never_leave_it_free() {
    let ground = ground();
    let writer = || {
        Child::fork(|| {
            let lock = attach(&ground);
            loop {
                lock.write().unwrap().update(|value| *value = [value[0] + 1; 2]);
            }
        })
    };
    let _writers = [writer(), writer()];
    let lock = attach(&ground);
    for _ in 0..100 {
        let value = lock.read_until(soon()).unwrap().load();
        assert_eq!(value[0], value[1], "torn");
    }
}

#[test]
fn a_storm_of_kills_tears_nothing_and_stops_nobody() {
    let ground = ground();
    let rounds = |lock: &RwLock<Twins>| match lock.read_until(soon()) {
        Ok(guard) => guard.load(),
        Err(LockError::OwnerDied(recovery)) => recovery.recover().load(),
        Err(LockError::Poisoned) => lock.repair_until(soon(), |_| {}).unwrap().load(),
        Err(error) => panic!("{error}"),
    };
    let worker = |writes: bool| {
        Child::fork(|| {
            let lock = attach(&ground);
            loop {
                let value = rounds(&lock);
                assert_eq!(value[0], value[1], "torn");
                if writes && let Ok(mut guard) = lock.write() {
                    guard.update(|value| *value = [value[0] + 1; 2]);
                }
            }
        })
    };
    let mut workers = [true, false, true, false].map(&worker);
    let lock = attach(&ground);
    for kill in 0..60 {
        let before = rounds(&lock)[0];
        while rounds(&lock)[0] < before + kill % 7 {
            std::thread::yield_now();
        }
        let victim = usize::try_from(kill * 7919 % 4).unwrap();
        let killed = std::mem::replace(&mut workers[victim], worker(victim % 2 == 0));
        killed.kill();
        assert_eq!(killed.wait(), End::Killed(9), "it has found a torn value");
    }
    drop(workers);
    let value = rounds(&lock);
    assert_eq!(value[0], value[1], "torn");
    assert!(lock.write_until(soon()).is_ok());
}

#[test]
fn a_right_to_read_stays_with_the_parent() {
    let ground = ground();
    let lock = attach(&ground);
    let mut guard = Some(lock.read().unwrap());
    let child = Child::fork(|| drop(guard.take()));
    assert_eq!(child.wait(), End::Exited(0));
    assert!(matches!(attach(&ground).try_write(), Err(LockError::TimedOut)));
}

#[test]
fn one_whose_seat_has_no_slot_is_refused_with_advice() {
    let ground = Ground::new::<RwLock<Twins>>(&RwLockOptions::new([0, 0]).seats(2));
    let attached: Vec<_> = (0..2).map(|_| attach(&ground)).collect();
    let error = RwLock::<Twins>::attach(&ground.site()).unwrap_err();
    assert!(error.to_string().contains("seat 2"), "{error}");
    assert!(<RwLock<Twins>>::plan(&RwLockOptions::new([0, 0]).seats(0)).is_err());
    assert!(<RwLock<Twins>>::plan(&RwLockOptions::new([0, 0]).seats(1025)).is_err());
    drop(attached);
}

#[test]
fn scribbled_bytes_neither_panic_nor_outlast_a_deadline() {
    use mapwright_core::peer::{Ordering, Word64};
    for pattern in [1, 2, 3, 0x8000_0001_u64, u64::MAX] {
        let ground = ground();
        let lock = attach(&ground);
        for word in ground.site().parts().many::<Word64>(32 + 16 * 16 + 4).unwrap().iter() {
            word.store(pattern << 32 | pattern, Ordering::Relaxed);
        }
        let until = Deadline::after(Duration::from_millis(1));
        drop(lock.read_until(until));
        drop(lock.write_until(until));
        drop(lock.repair_until(until, |value| value[0] = 1));
        assert!(!RwLock::<Twins>::inspect(&ground.site()).unwrap().is_empty());
    }
}

mod crash {
    use super::*;
    use crate::testing::at_every_point;

    /// Two events: a child says that it is ready, and is told to go on.
    struct Signals(Ground, Ground);

    impl Signals {
        fn new() -> Self {
            let event = || Ground::new::<Event>(&EventOptions::Manual);
            Self(event(), event())
        }

        fn ready(&self) {
            self.0.attach::<Event>().set().unwrap();
            self.1.attach::<Event>().wait().unwrap();
        }

        fn wait(&self) {
            self.0.attach::<Event>().wait_until(soon()).unwrap();
        }

        fn go(&self) {
            self.1.attach::<Event>().set().unwrap();
        }
    }

    fn write(lock: &RwLock<Twins>, value: u64) {
        match lock.write_until(soon()) {
            Ok(mut guard) => guard.store([value, value]),
            Err(LockError::OwnerDied(recovery)) => drop(recovery.repair(|it| *it = [value, value])),
            Err(error) => panic!("{error}"),
        }
    }

    /// Whatever has happened, a reader and a writer get what they want.
    fn goes_on(lock: &RwLock<Twins>) -> Twins {
        let value = match lock.read_until(soon()) {
            Ok(guard) => guard.load(),
            Err(LockError::OwnerDied(recovery)) => recovery.recover().load(),
            Err(LockError::Poisoned) => lock.repair_until(soon(), |_| {}).unwrap().load(),
            Err(error) => panic!("{error}"),
        };
        assert_eq!(value[0], value[1], "torn");
        assert!(lock.write_until(soon()).is_ok() && lock.read_until(soon()).is_ok());
        value
    }

    #[test]
    fn a_death_at_any_step_of_reading_loses_nothing() {
        at_every_point(
            "rwlock read",
            ground,
            |ground, arm| {
                let lock = attach(ground);
                arm();
                let (one, other) = (lock.read().unwrap(), lock.read().unwrap());
                drop((one, other));
            },
            |ground, _| {
                // No death to report: a reader changes nothing.
                attach(ground).write_until(soon()).unwrap().store([5, 5]);
                assert_eq!(goes_on(&attach(ground)), [5, 5]);
            },
        );
    }

    #[test]
    fn a_death_at_any_step_of_writing_and_of_its_recovery_leaves_a_whole_value() {
        at_every_pair(
            "rwlock write, and recovery by the next writer",
            ground,
            |ground, arm| {
                let lock = attach(ground);
                arm();
                write(&lock, 1);
            },
            |ground, arm| {
                let lock = attach(ground);
                arm();
                write(&lock, 9);
            },
            |ground, point| {
                let value = goes_on(&attach(ground));
                assert!(point != 0 || value == [9, 9], "{value:?}");
            },
        );
    }

    #[test]
    fn a_death_at_any_step_of_a_readers_recovery_leaves_a_whole_value() {
        at_every_pair(
            "rwlock write and downgrade, and recovery by the next reader",
            ground,
            |ground, arm| {
                let lock = attach(ground);
                arm();
                let mut guard = lock.write().unwrap();
                guard.store([1, 1]);
                drop(guard.downgrade());
            },
            |ground, arm| {
                let lock = attach(ground);
                arm();
                match lock.read_until(soon()) {
                    Ok(guard) => drop(guard),
                    Err(LockError::OwnerDied(recovery)) => drop(recovery.recover()),
                    Err(error) => panic!("{error}"),
                }
            },
            |ground, _| assert!(goes_on(&attach(ground))[0] <= 1),
        );
    }

    #[test]
    fn a_death_at_any_step_of_waiting_for_readers_leaves_them_alone() {
        let signals = || (ground(), Signals::new());
        at_every_point(
            "rwlock write while somebody reads",
            || {
                let (ground, signals) = signals();
                let reader = Child::fork(|| {
                    let lock = attach(&ground);
                    let guard = lock.read().unwrap();
                    signals.ready();
                    drop(guard);
                });
                signals.wait();
                (ground, signals, std::cell::Cell::new(Some(reader)))
            },
            |(ground, ..), arm| {
                let lock = attach(ground);
                arm();
                let soon = Deadline::after(Duration::from_micros(200));
                assert!(matches!(lock.write_until(soon), Err(LockError::TimedOut)));
            },
            |(ground, signals, reader), _| {
                signals.go();
                assert_eq!(reader.take().unwrap().wait(), End::Exited(0));
                assert_eq!(goes_on(&attach(ground)), [0, 0]);
            },
        );
    }

    #[test]
    fn a_death_at_any_step_of_waiting_for_a_writer_leaves_it_alone() {
        at_every_point(
            "rwlock read while somebody writes",
            || {
                let (ground, signals) = (ground(), Signals::new());
                let writer = Child::fork(|| {
                    let lock = attach(&ground);
                    let mut guard = lock.write().unwrap();
                    signals.ready();
                    guard.store([1, 1]);
                });
                signals.wait();
                (ground, signals, std::cell::Cell::new(Some(writer)))
            },
            |(ground, ..), arm| {
                let lock = attach(ground);
                arm();
                let soon = Deadline::after(Duration::from_micros(200));
                assert!(matches!(lock.read_until(soon), Err(LockError::TimedOut)));
            },
            |(ground, signals, writer), _| {
                signals.go();
                assert_eq!(writer.take().unwrap().wait(), End::Exited(0));
                assert_eq!(goes_on(&attach(ground)), [1, 1]);
            },
        );
    }
}
