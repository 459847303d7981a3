//! Semaphores: a permit is always in exactly one place.

use super::*;
use crate::waiting::wait_any;
use mapwright_core::peer::points::{Child, End};

fn ground(permits: usize) -> Ground {
    Ground::new::<Semaphore>(&SemaphoreOptions::new(permits))
}

fn attach(ground: &Ground) -> Semaphore {
    ground.attach()
}

#[test]
fn there_are_so_many_permits_and_no_more() {
    let ground = ground(3);
    let (one, other) = (attach(&ground), attach(&ground));
    let mut permits = vec![one.acquire().unwrap(), other.acquire().unwrap(), one.try_acquire().unwrap()];
    assert_eq!((one.permits(), one.available()), (3, 0));
    assert_eq!(other.try_acquire().err(), Some(WaitError::TimedOut));
    permits.pop();
    assert_eq!(other.available(), 1);
    assert_eq!(other.try_acquire().unwrap().before(), None);
}

#[test]
fn a_permit_can_be_waited_for_among_other_things_also_a_dead_ones() {
    let ground = ground(1);
    let semaphore = attach(&ground);
    assert_eq!(wait_any(&[&semaphore], Deadline::now()).unwrap(), Some(0));
    let permit = semaphore.acquire().unwrap();
    assert_eq!(wait_any(&[&semaphore], Deadline::now()).unwrap(), None);
    std::thread::scope(|scope| {
        let waiting = scope.spawn(|| wait_any(&[&semaphore], soon()));
        drop(permit);
        assert_eq!(waiting.join().unwrap().unwrap(), Some(0));
    });
    let child = Child::fork(|| {
        let semaphore = attach(&ground);
        let _permit = semaphore.acquire().unwrap();
        die();
    });
    assert_eq!(child.wait(), End::Killed(9));
    assert_eq!(wait_any(&[&semaphore], soon()).unwrap(), Some(0));
    assert!(semaphore.try_acquire().unwrap().before().is_some());
}

#[test]
fn the_permits_of_the_dead_are_taken_over_and_say_so() {
    let ground = ground(2);
    let child = Child::fork(|| {
        let semaphore = attach(&ground);
        let _permits = [semaphore.acquire().unwrap(), semaphore.acquire().unwrap()];
        die();
    });
    assert_eq!(child.wait(), End::Killed(9));
    let semaphore = attach(&ground);
    assert_eq!(semaphore.available(), 2);
    let (first, second) = (semaphore.try_acquire().unwrap(), semaphore.acquire_until(soon()).unwrap());
    assert!(first.before().is_some() && first.before() == second.before());
    assert!(semaphore.try_acquire().is_err());
    drop(first);
    assert_eq!(semaphore.try_acquire().unwrap().before(), None, "said once");
}

#[test]
fn one_that_sleeps_gets_what_another_process_gives_back() {
    let ground = ground(1);
    let semaphore = attach(&ground);
    let permit = semaphore.acquire().unwrap();
    let child = Child::fork(|| drop(attach(&ground).acquire_until(soon()).unwrap()));
    // Until it has asked for its turn, which it does before it sleeps.
    while !semaphore.is_waited_for() {
        std::thread::yield_now();
    }
    drop(permit);
    assert_eq!(child.wait(), End::Exited(0));
    assert_eq!(semaphore.available(), 1);
}

#[test]
fn a_permit_stays_with_the_parent() {
    let ground = ground(1);
    let semaphore = attach(&ground);
    let mut permit = Some(semaphore.acquire().unwrap());
    let child = Child::fork(|| {
        drop(permit.take());
        assert!(matches!(semaphore.try_acquire(), Err(WaitError::Fault(_))));
    });
    assert_eq!(child.wait(), End::Exited(0));
    assert_eq!(attach(&ground).available(), 0);
}

#[test]
fn no_permits_or_too_many_are_refused() {
    for permits in [0, (1 << 20) + 1, usize::MAX] {
        assert!(Semaphore::plan(&SemaphoreOptions::new(permits)).is_err());
    }
}

#[test]
fn scribbled_bytes_neither_panic_nor_outlast_a_deadline() {
    use mapwright_core::peer::{Ordering, Word64};
    for pattern in [1, 2, 3, 0x8000_0001_u64, u64::MAX] {
        let ground = ground(16);
        let semaphore = attach(&ground);
        for word in ground.site().parts().many::<Word64>(32).unwrap().iter() {
            word.store(pattern << 32 | pattern, Ordering::Relaxed);
        }
        drop(semaphore.acquire_until(Deadline::after(Duration::from_millis(1))));
        assert!(!Semaphore::inspect(&ground.site()).unwrap().is_empty());
    }
}

#[test]
fn a_storm_of_kills_loses_no_permit_and_makes_none() {
    let ground = ground(2);
    let inside = Ground::new::<Mutex<[u64; 2]>>(&[0, 0]);
    let worker = || {
        Child::fork(|| {
            let (semaphore, rounds) = (attach(&ground), inside.attach::<Mutex<[u64; 2]>>());
            loop {
                let permit = semaphore.acquire().unwrap();
                let mut guard = match rounds.lock() {
                    Ok(guard) => guard,
                    Err(LockError::OwnerDied(recovery)) => recovery.recover(),
                    Err(LockError::Poisoned) => rounds.repair(|_| {}).unwrap(),
                    Err(error) => panic!("{error}"),
                };
                guard.update(|value| value[0] += 1);
                drop((guard, permit));
            }
        })
    };
    let rounds: Mutex<[u64; 2]> = inside.attach();
    let count = || match rounds.lock_until(soon()) {
        Ok(guard) => guard.load()[0],
        Err(LockError::OwnerDied(recovery)) => recovery.recover().load()[0],
        Err(LockError::Poisoned) => rounds.repair(|_| {}).unwrap().load()[0],
        Err(error) => panic!("{error}"),
    };
    let mut workers = [worker(), worker(), worker()];
    for kill in 0..60 {
        let before = count();
        while count() < before + 3 * (kill % 5) {
            std::thread::yield_now();
        }
        workers[usize::try_from(kill * 7919 % 3).unwrap()] = worker();
    }
    drop(workers);
    let semaphore = attach(&ground);
    assert_eq!(semaphore.available(), 2);
    let _permits = [semaphore.acquire_until(soon()).unwrap(), semaphore.acquire_until(soon()).unwrap()];
    assert!(semaphore.try_acquire().is_err());
}

mod crash {
    use super::*;
    use crate::testing::at_every_point;

    /// All that nobody alive holds can be had, once each.
    fn adds_up(ground: &Ground) {
        let semaphore = attach(ground);
        let permits: Vec<_> = (0..3).map(|_| semaphore.acquire_until(soon()).unwrap()).collect();
        assert!(semaphore.try_acquire().is_err(), "one more than there are");
        drop(permits);
        assert_eq!(semaphore.available(), 3);
        assert!((0..3).all(|_| semaphore.try_acquire().unwrap().before().is_none()));
    }

    fn take_and_give(ground: &Ground, arm: &dyn Fn()) {
        let semaphore = attach(ground);
        arm();
        let permits: Vec<_> = (0..3).map(|_| semaphore.acquire_until(soon()).unwrap()).collect();
        let soon = Deadline::after(Duration::from_micros(200));
        assert!(semaphore.acquire_until(soon).is_err());
        drop(permits);
    }

    #[test]
    fn a_death_at_any_step_and_at_any_step_of_taking_over_conserves_the_permits() {
        at_every_pair("semaphore", || ground(3), take_and_give, take_and_give, |ground, _| adds_up(ground));
    }

    #[test]
    fn one_that_dies_giving_back_wakes_the_waiter_all_the_same() {
        at_every_point(
            "semaphore release while another waits",
            || {
                let (ground, held) = (ground(1), Ground::new::<Event>(&EventOptions::Manual));
                let waiter = Child::fork(|| {
                    held.attach::<Event>().wait_until(soon()).unwrap();
                    drop(attach(&ground).acquire_until(soon()).unwrap());
                });
                (ground, held, std::cell::Cell::new(Some(waiter)))
            },
            |(ground, held, _), arm| {
                let semaphore = attach(ground);
                let permit = semaphore.acquire().unwrap();
                held.attach::<Event>().set().unwrap();
                while !semaphore.is_waited_for() {
                    std::thread::yield_now();
                }
                arm();
                drop(permit);
            },
            |(ground, _, waiter), _| {
                assert_eq!(waiter.take().unwrap().wait(), End::Exited(0));
                assert_eq!(attach(ground).acquire_until(soon()).map(drop), Ok(()));
            },
        );
    }
}
