//! A death before every step of every operation, and of every recovery; then what was sent is counted.

use std::cell::RefCell;

use mapwright_core::peer::Deadline;
use mapwright_core::peer::points::{self, Child, End};

use super::*;
use crate::answers::{ReceiveError, SendError};
use crate::testing::at_every_point;

type Values = Queue<[u64; 8]>;

/// What the ground is like before the operation: values 1 to `sent` were sent, one each of them `taken`.
fn ground(options: &QueueOptions, sent: u64, taken: u64) -> Ground {
    let ground = Ground::new::<Values>(options);
    let queue = ground.attach::<Values>();
    let (mut sender, mut receiver) = (queue.sender().unwrap(), queue.receiver().unwrap());
    for value in 1..=sent {
        sender.try_send(&[value; 8]).unwrap();
        if value <= taken {
            assert_eq!(receiver.try_receive(), Ok([value; 8]));
        }
    }
    ground
}

/// Sends until it is full, receives all; everything must add up. Returns what was received, without what it
/// sent.
fn survive(ground: &Ground, name: &str) -> Vec<u64> {
    let queue = ground.attach::<Values>();
    let (mut sender, mut receiver) = (queue.sender().unwrap(), queue.receiver().unwrap());
    let capacity = queue.capacity();
    let mut got = Vec::new();
    let mut drain = || {
        let before = got.len();
        while let Ok(value) = receiver.try_receive() {
            assert!(value.iter().all(|&word| word == value[0]), "{name}: torn");
            got.push(value[0]);
        }
        got.len() - before
    };
    drain();
    // Two rounds, so that every slot is used again.
    for _ in 0..2 {
        for value in 0..u64::try_from(capacity).unwrap() {
            assert_eq!(sender.try_send(&[1000 + value; 8]), Ok(()), "{name}: {:?}", inspect(&ground.site()));
        }
        assert_eq!(sender.try_send(&[0; 8]), Err(SendError::Full), "{name}");
        assert_eq!(drain(), capacity, "{name}");
    }
    assert!(matches!(receiver.try_receive(), Err(ReceiveError::Empty)), "{name}");
    let names = ["sent", "received", "depth", "held", "dropped"];
    let [sent, received, depth, held, dropped] = names.map(|name| figure(ground, name));
    assert_eq!((depth, held, sent), (0, 0, received + dropped), "{name}");
    got.retain(|&value| value < 1000);
    // What came back may come after what was behind it.
    if figure(ground, "redelivered") > 0 {
        got.sort_unstable();
    }
    assert!(got.is_sorted_by(|one, next| one < next), "{name}: {got:?} in order, nothing twice");
    got
}

#[test]
fn a_death_while_sending_leaves_the_value_or_nothing() {
    for options in shapes(2) {
        let name = format!("send, {options:?}");
        let operate = |ground: &Ground, arm: &dyn Fn()| {
            let mut sender = ground.attach::<Values>().sender().unwrap();
            arm();
            sender.try_send(&[3; 8]).unwrap();
        };
        at_every_point(
            &name,
            || ground(&options, 2, 1),
            operate,
            |ground, point| {
                let got = survive(ground, &name);
                assert!(got == [2, 3] || (got == [2] && point > 0), "{name}, {point}: {got:?}");
            },
        );
    }
}

#[test]
fn a_death_while_receiving_leaves_the_value_or_takes_it() {
    for options in shapes(2) {
        let name = format!("receive, {options:?}");
        let operate = |ground: &Ground, arm: &dyn Fn()| {
            let mut receiver = ground.attach::<Values>().receiver().unwrap();
            arm();
            assert_eq!(receiver.try_receive(), Ok([2; 8]));
        };
        at_every_point(
            &name,
            || ground(&options, 3, 1),
            operate,
            |ground, point| {
                let got = survive(ground, &name);
                assert!(got == [3] || (got == [2, 3] && point > 0), "{name}, {point}: {got:?}");
                assert_eq!((figure(ground, "dropped"), figure(ground, "redelivered")), (0, 0));
            },
        );
    }
}

#[test]
fn a_death_with_a_lease_goes_by_the_policy() {
    for options in shapes(2) {
        for completes in [true, false] {
            let name = format!("lease, completed {completes}, {options:?}");
            let operate = |ground: &Ground, arm: &dyn Fn()| {
                let mut receiver = ground.attach::<Values>().receiver().unwrap();
                arm();
                let lease = receiver.try_lease().unwrap();
                if completes {
                    lease.complete().unwrap();
                } else {
                    drop(lease);
                }
            };
            at_every_point(
                &name,
                || ground(&options, 3, 1),
                operate,
                |ground, point| {
                    let got = survive(ground, &name);
                    let ([dropped, redelivered], held) =
                        (["dropped", "redelivered"].map(|name| figure(ground, name)), options.orphans);
                    assert!(dropped + redelivered <= u64::from(point > 0), "{name}, {point}");
                    assert!(dropped == 0 || held == Orphans::Drop);
                    assert!(
                        redelivered == 0 || (held == Orphans::Redeliver && got == [2, 3]),
                        "{name}, {point}"
                    );
                    assert!(
                        got == [2, 3] || got == [3] && (completes || dropped == 1),
                        "{name}, {point}: {got:?}"
                    );
                    assert!(got != [3] || held == Orphans::Drop || completes, "{name}, {point}: lost");
                },
            );
        }
    }
}

#[test]
fn a_death_while_coming_and_going_leaves_the_place_free() {
    for options in shapes(2) {
        let name = format!("enter and leave, {options:?}");
        let operate = |ground: &Ground, arm: &dyn Fn()| {
            let queue = ground.attach::<Values>();
            arm();
            drop((queue.sender().unwrap(), queue.receiver().unwrap()));
        };
        at_every_point(
            &name,
            || ground(&options, 2, 1),
            operate,
            |ground, _| {
                assert_eq!(survive(ground, &name), [2]);
            },
        );
    }
}

/// Kills a child at a step of an operation, then the one that recovers at each of its steps, for all steps.
fn pairs(
    name: &str,
    prepare: impl Fn() -> Ground,
    first: impl Fn(&Ground, &dyn Fn()),
    check: impl Fn(&Ground),
) {
    let (last, step) = (RefCell::new(false), RefCell::new(1));
    while !*last.borrow() {
        let prepare_both = || {
            let ground = prepare();
            let point = *step.borrow();
            let end = Child::fork(|| first(&ground, &|| points::arm(point))).wait();
            *last.borrow_mut() = end == End::Exited(0);
            ground
        };
        // The one that recovers: a sender that needs room, a receiver that looks for values.
        let recover = |ground: &Ground, arm: &dyn Fn()| {
            let queue = ground.attach::<Values>();
            arm();
            let (mut sender, mut receiver) = (queue.sender().unwrap(), queue.receiver().unwrap());
            let _full = sender.try_send(&[8; 8]);
            let lease = receiver.lease_until(Deadline::now());
            drop(lease);
        };
        at_every_point(
            &format!("{name}, pairs with {}", step.borrow()),
            prepare_both,
            recover,
            |ground, _| {
                check(ground);
            },
        );
        *step.borrow_mut() += 1;
    }
}

#[test]
fn a_death_of_whoever_recovers_is_recovered_too() {
    for options in shapes(2) {
        let name = format!("{options:?}");
        let hold = |ground: &Ground, arm: &dyn Fn()| {
            let queue = ground.attach::<Values>();
            let (mut sender, mut receiver) = (queue.sender().unwrap(), queue.receiver().unwrap());
            arm();
            let lease = receiver.try_lease().unwrap();
            let _sent = sender.try_send(&[3; 8]);
            lease.complete().unwrap();
        };
        pairs(
            &name,
            || ground(&options, 2, 1),
            hold,
            |ground| {
                let got = survive(ground, &name);
                let dropped = figure(ground, "dropped");
                assert!(
                    dropped <= 2 && (dropped == 0 || options.orphans == Orphans::Drop),
                    "{name}: {dropped}"
                );
                assert!(got.iter().all(|value| [2, 3, 8].contains(value)), "{name}: {got:?}");
            },
        );
    }
}
