//! A death before every step of every operation, and of every recovery; then what was sent is counted.

use std::cell::RefCell;

use mapwright_core::peer::Deadline;
use mapwright_core::peer::points::{self, Child, End};

use super::*;
use crate::answers::{ReceiveError, SendError};
use crate::testing::at_every_point;

type Values<const W: usize> = Queue<[u64; W]>;

/// What the ground is like before the operation: values 1 to `sent` were sent, one each of them `taken`.
fn ground<const W: usize>(options: &QueueOptions, sent: u64, taken: u64) -> Ground {
    let ground = Ground::new::<Values<W>>(options);
    let queue = ground.attach::<Values<W>>();
    let (mut sender, mut receiver) = (queue.sender().unwrap(), queue.receiver().unwrap());
    for value in 1..=sent {
        sender.try_send(&[value; W]).unwrap();
        if value <= taken {
            assert_eq!(receiver.try_receive(), Ok([value; W]));
        }
    }
    ground
}

/// Sends until it is full, receives all; everything must add up. Returns what was received, without what it
/// sent.
fn survive<const W: usize>(ground: &Ground, name: &str) -> Vec<u64> {
    let queue = ground.attach::<Values<W>>();
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
            assert_eq!(sender.try_send(&[1000 + value; W]), Ok(()), "{name}: {:?}", inspect(&ground.site()));
        }
        assert_eq!(sender.try_send(&[0; W]), Err(SendError::Full), "{name}");
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

/// Values beside the slot's word; and, one to one, values that are all there is in a slot.
fn in_all_shapes(beside_a_word: fn(&QueueOptions), alone: fn(&QueueOptions)) {
    for options in shapes(2) {
        beside_a_word(&options);
        if options.shape().is_lane() {
            alone(&options);
        }
    }
}

#[test]
fn a_death_while_sending_leaves_the_value_or_nothing() {
    in_all_shapes(die_sending::<7>, die_sending::<8>);
}

fn die_sending<const W: usize>(options: &QueueOptions) {
    let name = format!("send, {options:?}");
    let operate = |ground: &Ground, arm: &dyn Fn()| {
        let mut sender = ground.attach::<Values<W>>().sender().unwrap();
        arm();
        sender.try_send(&[3; W]).unwrap();
    };
    at_every_point(
        &name,
        || ground::<W>(options, 2, 1),
        operate,
        |ground, point| {
            let got = survive::<W>(ground, &name);
            assert!(got == [2, 3] || (got == [2] && point > 0), "{name}, {point}: {got:?}");
        },
    );
}

#[test]
fn a_death_while_receiving_leaves_the_value_or_takes_it() {
    in_all_shapes(die_receiving::<7>, die_receiving::<8>);
}

fn die_receiving<const W: usize>(options: &QueueOptions) {
    let name = format!("receive, {options:?}");
    let operate = |ground: &Ground, arm: &dyn Fn()| {
        let mut receiver = ground.attach::<Values<W>>().receiver().unwrap();
        arm();
        assert_eq!(receiver.try_receive(), Ok([2; W]));
    };
    at_every_point(
        &name,
        || ground::<W>(options, 3, 1),
        operate,
        |ground, point| {
            let got = survive::<W>(ground, &name);
            assert!(got == [3] || (got == [2, 3] && point > 0), "{name}, {point}: {got:?}");
            assert_eq!((figure(ground, "dropped"), figure(ground, "redelivered")), (0, 0));
        },
    );
}

#[test]
fn a_death_with_a_lease_goes_by_the_policy() {
    in_all_shapes(die_with_a_lease::<7>, die_with_a_lease::<8>);
}

fn die_with_a_lease<const W: usize>(options: &QueueOptions) {
    for completes in [true, false] {
        let name = format!("lease, completed {completes}, {options:?}");
        let operate = |ground: &Ground, arm: &dyn Fn()| {
            let mut receiver = ground.attach::<Values<W>>().receiver().unwrap();
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
            || ground::<W>(options, 3, 1),
            operate,
            |ground, point| {
                let got = survive::<W>(ground, &name);
                let ([dropped, redelivered], held) =
                    (["dropped", "redelivered"].map(|name| figure(ground, name)), options.orphans);
                assert!(dropped + redelivered <= u64::from(point > 0), "{name}, {point}");
                assert!(dropped == 0 || held == Orphans::Drop);
                assert!(redelivered == 0 || (held == Orphans::Redeliver && got == [2, 3]), "{name}, {point}");
                assert!(
                    got == [2, 3] || got == [3] && (completes || dropped == 1),
                    "{name}, {point}: {got:?}"
                );
                assert!(got != [3] || held == Orphans::Drop || completes, "{name}, {point}: lost");
            },
        );
    }
}

#[test]
fn a_death_while_coming_and_going_leaves_the_place_free() {
    in_all_shapes(die_coming_and_going::<7>, die_coming_and_going::<8>);
}

fn die_coming_and_going<const W: usize>(options: &QueueOptions) {
    let name = format!("enter and leave, {options:?}");
    let operate = |ground: &Ground, arm: &dyn Fn()| {
        let queue = ground.attach::<Values<W>>();
        arm();
        drop((queue.sender().unwrap(), queue.receiver().unwrap()));
    };
    at_every_point(
        &name,
        || ground::<W>(options, 2, 1),
        operate,
        |ground, _| {
            assert_eq!(survive::<W>(ground, &name), [2]);
        },
    );
}

/// Kills a child at a step of an operation, then the one that recovers at each of its steps, for all steps.
fn pairs<const W: usize>(
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
            let queue = ground.attach::<Values<W>>();
            arm();
            let (mut sender, mut receiver) = (queue.sender().unwrap(), queue.receiver().unwrap());
            let _full = sender.try_send(&[8; W]);
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
    in_all_shapes(die_recovering::<7>, die_recovering::<8>);
}

fn die_recovering<const W: usize>(options: &QueueOptions) {
    let name = format!("{options:?}");
    let hold = |ground: &Ground, arm: &dyn Fn()| {
        let queue = ground.attach::<Values<W>>();
        let (mut sender, mut receiver) = (queue.sender().unwrap(), queue.receiver().unwrap());
        arm();
        let lease = receiver.try_lease().unwrap();
        let _sent = sender.try_send(&[3; W]);
        lease.complete().unwrap();
    };
    pairs::<W>(
        &name,
        || ground::<W>(options, 2, 1),
        hold,
        |ground| {
            let got = survive::<W>(ground, &name);
            let dropped = figure(ground, "dropped");
            assert!(dropped <= 2 && (dropped == 0 || options.orphans == Orphans::Drop), "{name}: {dropped}");
            assert!(got.iter().all(|value| [2, 3, 8].contains(value)), "{name}: {got:?}");
        },
    );
}

#[test]
fn a_death_while_sending_many_leaves_those_before_it() {
    in_all_shapes(die_sending_many::<7>, die_sending_many::<8>);
}

fn die_sending_many<const W: usize>(options: &QueueOptions) {
    let name = format!("send many, {options:?}");
    let operate = |ground: &Ground, arm: &dyn Fn()| {
        let mut sender = ground.attach::<Values<W>>().sender().unwrap();
        arm();
        assert_eq!(sender.send_many(&[[3; W], [4; W], [5; W]]), Ok(2), "as many as there is room for");
    };
    at_every_point(
        &name,
        || ground::<W>(options, 2, 2),
        operate,
        |ground, point| {
            let got = survive::<W>(ground, &name);
            assert!([3, 4].starts_with(&got) && (point > 0 || got.len() == 2), "{name}, {point}: {got:?}");
        },
    );
}
