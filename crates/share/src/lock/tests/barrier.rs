//! Barriers: all together, or broken for all.

use super::*;
use mapwright_core::peer::points::{Child, End};

fn ground(members: usize) -> (Ground, Barrier) {
    let ground = Ground::new::<Barrier>(&BarrierOptions::new(members));
    let barrier = ground.attach();
    (ground, barrier)
}

fn is_broken<T>(result: Result<T, BarrierError>) -> bool {
    matches!(result, Err(BarrierError::Broken { who: Some(_) }))
}

#[test]
fn one_member_is_always_alone_and_the_leader() {
    let (_ground, barrier) = ground(1);
    let mut member = barrier.join().unwrap();
    assert_eq!(barrier.join().err(), Some(BarrierError::Full));
    assert_eq!((member.wait(), member.wait()), (Ok(Arrival::Leader), Ok(Arrival::Leader)));
    drop(member);
    assert!(barrier.join().is_ok());
    assert_eq!((barrier.reset(), barrier.broken(), barrier.members()), (Ok(false), None, 1));
}

#[test]
fn processes_meet_again_and_again_with_one_leader_each_time() {
    const ROUNDS: u64 = 200;
    let (ground, _barrier) = ground(3);
    let leaders = Ground::new::<Mutex<u64>>(&0);
    let child = || {
        Child::fork(|| {
            let (barrier, leaders): (Barrier, Mutex<u64>) = (ground.attach(), leaders.attach());
            let mut member = barrier.join().unwrap();
            for round in 0..ROUNDS {
                if member.wait_until(soon()).unwrap() == Arrival::Leader {
                    leaders.lock().unwrap().update(|count| *count += 1);
                }
                member.wait_until(soon()).unwrap();
                assert!(leaders.lock().unwrap().load() > round);
            }
        })
    };
    // The second meeting of a round has a leader too, that is not counted.
    for child in [child(), child(), child()] {
        assert_eq!(child.wait(), End::Exited(0));
    }
    assert_eq!(leaders.attach::<Mutex<u64>>().lock().unwrap().load(), ROUNDS);
}

#[test]
fn an_arrival_that_timed_out_does_not_count() {
    let (ground, barrier) = ground(2);
    let (mut one, other): (_, Barrier) = (barrier.join().unwrap(), ground.attach());
    let mut two = other.join().unwrap();
    let short = || Deadline::after(Duration::from_millis(1));
    assert_eq!(one.wait_until(short()), Err(BarrierError::TimedOut));
    assert_eq!(two.wait_until(short()), Err(BarrierError::TimedOut));
    assert_eq!(one.wait_until(Deadline::now()), Err(BarrierError::TimedOut));
    std::thread::scope(|scope| {
        let first = scope.spawn(move || one.wait_until(soon()));
        let second = two.wait_until(soon());
        let both = [first.join().unwrap(), second];
        assert!(both.contains(&Ok(Arrival::Leader)) && both.contains(&Ok(Arrival::Follower)), "{both:?}");
    });
}

#[test]
fn a_dead_member_breaks_it_for_all_until_it_is_reset() {
    let (ground, barrier) = ground(3);
    let mut member = barrier.join().unwrap();
    let child = Child::fork(|| {
        let barrier: Barrier = ground.attach();
        let _member = barrier.join().unwrap();
        die();
    });
    assert_eq!(child.wait(), End::Killed(9));
    assert!(is_broken(member.wait_until(soon())));
    let other: Barrier = ground.attach();
    let mut second = other.join().unwrap();
    assert!(is_broken(other.join()) && is_broken(second.wait_until(soon())) && is_broken(member.wait()));
    assert!(barrier.broken().is_some());
    assert_eq!((other.reset(), other.reset()), (Ok(true), Ok(false)));
    let mut third = other.join().unwrap();
    std::thread::scope(|scope| {
        let waits = [scope.spawn(|| member.wait_until(soon())), scope.spawn(|| second.wait_until(soon()))];
        assert!(third.wait_until(soon()).is_ok());
        assert!(waits.into_iter().all(|wait| wait.join().unwrap().is_ok()));
    });
}

#[test]
fn one_who_sleeps_is_told_of_a_death() {
    let (ground, barrier) = ground(2);
    let mut member = barrier.join().unwrap();
    let child = Child::fork(|| {
        let barrier: Barrier = ground.attach();
        let _member = barrier.join().unwrap();
        // Until the parent has arrived.
        while barrier.arrived() == 0 {
            relax();
        }
        die();
    });
    assert!(is_broken(member.wait_until(soon())));
    assert_eq!(child.wait(), End::Killed(9));
}

#[test]
fn a_place_stays_with_the_parent_and_senseless_sizes_are_refused() {
    let (ground, barrier) = ground(1);
    let mut member = Some(barrier.join().unwrap());
    let child = Child::fork(|| {
        assert!(matches!(member.as_mut().unwrap().wait(), Err(BarrierError::Fault(_))));
        drop(member.take());
    });
    assert_eq!(child.wait(), End::Exited(0));
    assert_eq!(ground.attach::<Barrier>().join().err(), Some(BarrierError::Full));
    for members in [0, 1025, usize::MAX] {
        assert!(Barrier::plan(&BarrierOptions::new(members)).is_err());
    }
}

#[test]
fn scribbled_bytes_neither_panic_nor_outlast_a_deadline() {
    use mapwright_core::peer::{Ordering, Word64};
    for pattern in [1, 2, 3, 0x8000_0001_u64, u64::MAX] {
        let (ground, barrier) = ground(2);
        let mut member = barrier.join().unwrap();
        for word in ground.site().parts().many::<Word64>(48).unwrap().iter() {
            word.store(pattern << 32 | pattern, Ordering::Relaxed);
        }
        let _any = member.wait_until(Deadline::after(Duration::from_millis(1)));
        let _any = (barrier.reset(), barrier.broken());
        assert!(!Barrier::inspect(&ground.site()).unwrap().is_empty());
    }
}

mod crash {
    use super::*;

    /// Two members of one process meet; where it is broken, it is reset first.
    fn meet(ground: &Ground) {
        let barrier: Barrier = ground.attach();
        barrier.reset().unwrap();
        let (mut one, mut two) = (barrier.join().unwrap(), barrier.join().unwrap());
        std::thread::scope(|scope| {
            let first = scope.spawn(|| one.wait_until(soon()));
            let second = two.wait_until(soon());
            let both = [first.join().unwrap(), second];
            assert!(both.contains(&Ok(Arrival::Leader)) && both.contains(&Ok(Arrival::Follower)), "{both:?}");
        });
    }

    #[test]
    fn a_death_at_any_step_of_meeting_and_of_resetting_can_be_reset() {
        at_every_pair(
            "barrier join, wait in vain, leave; then reset",
            || ground(2),
            |(ground, _), arm| {
                let barrier: Barrier = ground.attach();
                arm();
                let mut member = barrier.join().unwrap();
                let soon = Deadline::after(Duration::from_micros(200));
                assert_eq!(member.wait_until(soon), Err(BarrierError::TimedOut));
            },
            |(ground, _), arm| {
                let barrier: Barrier = ground.attach();
                arm();
                barrier.reset().unwrap();
                let mut member = barrier.join().unwrap();
                let soon = Deadline::after(Duration::from_micros(200));
                assert_eq!(member.wait_until(soon), Err(BarrierError::TimedOut));
            },
            |(ground, _), _| meet(ground),
        );
    }

    #[test]
    fn a_death_at_any_step_of_opening_is_the_end_of_one_generation_in_one_way() {
        use crate::testing::at_every_point;
        at_every_point(
            "barrier opened while two others wait",
            || {
                let (ground, barrier) = ground(3);
                let outcomes = Ground::new::<Mutex<[u64; 2]>>(&[0, 0]);
                let wait = || {
                    Child::fork(|| {
                        let (barrier, outcomes): (Barrier, Mutex<[u64; 2]>) =
                            (ground.attach(), outcomes.attach());
                        let mut member = barrier.join().unwrap();
                        let broken = usize::from(is_broken(member.wait_until(soon())));
                        outcomes.lock().unwrap().update(|count| count[broken] += 1);
                    })
                };
                let children = std::cell::Cell::new(vec![wait(), wait()]);
                while barrier.arrived() < 2 {
                    std::thread::yield_now();
                }
                (ground, outcomes, children)
            },
            |(ground, ..), arm| {
                let barrier: Barrier = ground.attach();
                let mut member = barrier.join().unwrap();
                arm();
                assert!(member.wait_until(soon()).is_ok());
            },
            |(_, outcomes, children), point| {
                for child in children.take() {
                    assert_eq!(child.wait(), End::Exited(0));
                }
                let [through, broken] = outcomes.attach::<Mutex<[u64; 2]>>().lock().unwrap().load();
                assert!(matches!((through, broken), (2, 0) | (0, 2)), "{through} through, {broken} broken");
                assert!(point != 0 || through == 2);
            },
        );
    }
}
