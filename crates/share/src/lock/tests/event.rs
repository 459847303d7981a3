//! Events: who is let through.

use super::*;
use mapwright_core::peer::points::{Child, End};

fn ground(kind: EventOptions) -> (Ground, Event) {
    let ground = Ground::new::<Event>(&kind);
    let event = ground.attach();
    (ground, event)
}

#[test]
fn a_manual_event_lets_all_through_until_it_is_reset() {
    let (ground, event) = ground(EventOptions::Manual);
    assert_eq!(event.try_wait(), Err(WaitError::TimedOut));
    event.set().unwrap();
    event.set().unwrap();
    assert!(event.try_wait().is_ok() && ground.attach::<Event>().wait().is_ok() && event.is_set());
    assert_eq!((event.reset(), event.reset()), (Ok(true), Ok(false)));
    assert_eq!(event.wait_until(Deadline::after(Duration::from_millis(1))), Err(WaitError::TimedOut));
}

#[test]
fn an_automatic_event_lets_one_through_for_each_set() {
    let (ground, event) = ground(EventOptions::Auto);
    event.set().unwrap();
    event.set().unwrap();
    assert!(ground.attach::<Event>().wait().is_ok());
    assert_eq!(event.try_wait(), Err(WaitError::TimedOut));
}

#[test]
fn processes_that_sleep_are_woken() {
    for kind in [EventOptions::Manual, EventOptions::Auto] {
        let (ground, event) = ground(kind);
        let child = || Child::fork(|| ground.attach::<Event>().wait_until(soon()).unwrap());
        let (one, other) = (child(), child());
        event.set().unwrap();
        // Until the automatic one has let one through, whichever that is.
        while kind == EventOptions::Auto && event.is_set() {
            std::thread::yield_now();
        }
        event.set().unwrap();
        assert_eq!((one.wait(), other.wait()), (End::Exited(0), End::Exited(0)));
    }
}

#[test]
fn who_waits_is_let_through_even_if_it_is_reset_at_once() {
    let (_ground, event) = ground(EventOptions::Manual);
    let ready = std::sync::Barrier::new(2);
    std::thread::scope(|scope| {
        let waiter = scope.spawn(|| {
            ready.wait();
            event.wait_until(soon())
        });
        ready.wait();
        while !waiter.is_finished() {
            event.set().unwrap();
            event.reset().unwrap();
        }
        assert_eq!(waiter.join().unwrap(), Ok(()));
    });
}

#[test]
fn what_it_is_can_be_read_and_damage_is_refused() {
    let (ground, event) = ground(EventOptions::Auto);
    event.set().unwrap();
    let figures = Event::inspect(&ground.site()).unwrap();
    assert_eq!(figures[0], crate::figure::Figure::text("state", "set"));
}

#[test]
fn a_death_at_any_step_of_setting_or_waiting_leaves_it_set_or_not() {
    for kind in [EventOptions::Manual, EventOptions::Auto] {
        at_every_pair(
            "event set, wait, reset",
            || ground(kind).0,
            |ground, arm| {
                let event: Event = ground.attach();
                arm();
                event.set().unwrap();
                event.wait().unwrap();
                let soon = Deadline::after(Duration::from_micros(200));
                assert_eq!(event.wait_until(soon).is_ok(), kind == EventOptions::Manual);
                event.reset().unwrap();
            },
            |ground, arm| {
                let event: Event = ground.attach();
                arm();
                event.set().unwrap();
            },
            |ground, point| {
                let event: Event = ground.attach();
                assert!(point != 0 || event.is_set());
                event.set().unwrap();
                assert_eq!(
                    (event.wait_until(soon()), event.is_set()),
                    (Ok(()), kind == EventOptions::Manual)
                );
            },
        );
    }
}
