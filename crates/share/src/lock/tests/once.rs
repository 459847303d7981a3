//! What is run once: by whom, and after whom.

use super::*;
use mapwright_core::peer::points::{Child, End};

fn ground() -> (Ground, Once) {
    let ground = Ground::new::<Once>(&());
    let once = ground.attach();
    (ground, once)
}

#[test]
fn the_first_one_runs_it_and_others_find_it_done() {
    let (ground, once) = ground();
    assert!(!once.is_completed());
    assert_eq!(once.call_once(|| {}), Ok(Called::Ran));
    let other: Once = ground.attach();
    assert_eq!(other.call_once(|| panic!("it has been run")), Ok(Called::Already));
    assert!(other.is_completed());
}

#[test]
fn who_comes_while_it_runs_waits() {
    let (ground, once) = ground();
    let soon_over = Deadline::after(Duration::from_millis(1));
    let ran = once.call_once(|| {
        let other: Once = ground.attach();
        assert_eq!(other.call_once_until(soon_over, |_| panic!("it runs")), Err(WaitError::TimedOut));
    });
    assert_eq!(ran, Ok(Called::Ran));
}

#[test]
fn a_dead_runner_is_taken_over_from_and_named() {
    let (ground, once) = ground();
    let child = Child::fork(|| {
        let once: Once = ground.attach();
        let _never = once.call_once(|| die());
    });
    assert_eq!(child.wait(), End::Killed(9));
    let mut told = None;
    let called = once.call_once_until(soon(), |died| told = died).unwrap();
    assert!(told.is_some_and(|who| called == Called::TookOver(who)), "{called:?}, {told:?}");
    assert_eq!(once.call_once(|| {}), Ok(Called::Already));
}

#[test]
fn a_run_that_panics_is_given_up() {
    let (_ground, once) = ground();
    let run = std::panic::AssertUnwindSafe(|| once.call_once(|| panic!("on purpose")));
    assert!(std::panic::catch_unwind(run).is_err());
    assert_eq!(once.call_once(|| {}), Ok(Called::Ran));
}

#[test]
fn of_processes_that_race_one_runs_it_and_all_see_what_it_did() {
    let (ground, _once) = ground();
    let value = Ground::new::<Mutex<u64>>(&0);
    let child = || {
        Child::fork(|| {
            let (once, value): (Once, Mutex<u64>) = (ground.attach(), value.attach());
            once.call_once_until(soon(), |_| value.lock().unwrap().update(|it| *it += 1)).unwrap();
            assert_eq!(value.lock().unwrap().load(), 1);
        })
    };
    for child in [child(), child(), child()] {
        assert_eq!(child.wait(), End::Exited(0));
    }
}

#[test]
fn scribbled_bytes_are_run_over() {
    use mapwright_core::peer::{Ordering, Word64};
    for pattern in [2, 77, u64::MAX] {
        let (ground, once) = ground();
        ground.site().parts().one::<Word64>().unwrap().store(pattern, Ordering::Relaxed);
        assert!(once.call_once_until(soon(), |_| {}).is_ok_and(|called| called != Called::Already));
        assert!(!Once::inspect(&ground.site()).unwrap().is_empty());
    }
}

#[test]
fn a_death_at_any_step_of_a_run_and_of_its_take_over_leaves_it_to_the_next() {
    let run = |(ground, _): &(Ground, Once), arm: &dyn Fn()| {
        let once: Once = ground.attach();
        arm();
        once.call_once_until(soon(), |_| {}).unwrap();
    };
    at_every_pair("once", ground, run, run, |(_, once), point| {
        let called = once.call_once_until(soon(), |_| {}).unwrap();
        assert!(point != 0 || called == Called::Already, "{called:?}");
        assert!(once.is_completed());
    });
}
