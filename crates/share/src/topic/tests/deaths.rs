//! Publishers and readers are killed at every step, and the others go on.

use mapwright_core::peer::Deadline;
use mapwright_core::peer::points::{Child, End};

use crate::ReceiveError;
use crate::testing::{Ground, at_every_point};
use crate::topic::{Policy, Start, Topic, TopicOptions};
use crate::waiting::Waitable;

fn ground(capacity: usize, publishers: usize) -> Ground {
    Ground::new::<Topic<u64>>(&TopicOptions::new(capacity).readers(4).publishers(publishers))
}

/// What the parent keeps while children die.
struct Scene {
    ground: Ground,
    topic: Topic<u64>,
}

impl Scene {
    fn new(capacity: usize, publishers: usize) -> Self {
        let ground = ground(capacity, publishers);
        let topic = ground.attach();
        Self { ground, topic }
    }

    /// A survivor publishes 100 to 120, which arrive in order behind what a blocking reader has yet to get;
    /// returns the latter.
    fn go_on(&self) -> Vec<u64> {
        let mut reader = self.topic.subscribe(Policy::Block, Start::Oldest).unwrap();
        let mut publisher = self.ground.attach::<Topic<u64>>().publisher().unwrap();
        let mut before = Vec::new();
        while let Ok(message) = reader.try_receive() {
            before.push(message);
        }
        for message in 100..120 {
            publisher.publish(&message).unwrap();
            loop {
                match reader.receive().unwrap() {
                    got if got >= 100 => break assert_eq!(got, message),
                    got => before.push(got),
                }
            }
        }
        drop(publisher);
        assert_eq!(reader.receive_until(Deadline::never()), Err(ReceiveError::NoSender));
        // All places can be had again.
        drop(reader);
        let readers: Vec<_> =
            (0..4).map(|_| self.topic.subscribe(Policy::Block, Start::Newest).unwrap()).collect();
        drop(readers);
        before
    }
}

#[test]
fn a_publisher_may_die_at_any_step_of_publishing() {
    for publishers in [1, 2] {
        at_every_point(
            &format!("publish, {publishers} at most"),
            || Scene::new(4, publishers),
            |scene, arm| {
                let mut publisher = scene.ground.attach::<Topic<u64>>().publisher().unwrap();
                arm();
                // Enough to raise the limit now and then, and to lap the ring.
                for message in 0..7 {
                    publisher.publish(&message).unwrap();
                }
                drop(publisher);
            },
            |scene, _| {
                let all_of = |policy| {
                    let mut reader = scene.topic.subscribe(policy, Start::Oldest).unwrap();
                    let mut seen = Vec::new();
                    loop {
                        match reader.receive() {
                            Ok(message) => seen.push(message),
                            Err(ReceiveError::Missed(_)) => {}
                            Err(_) => return seen,
                        }
                    }
                };
                let seen = all_of(Policy::DropOldest);
                let let_in = all_of(Policy::DropNewest { places: 8 });
                let before = scene.go_on();
                // Rows without a gap, up to the same last one: nothing is lost, doubled, or half there.
                for row in [&seen, &let_in, &before] {
                    assert!(row.windows(2).all(|pair| pair[1] == pair[0] + 1), "{row:?}");
                }
                assert_eq!((seen.last(), let_in.last()), (before.last(), before.last()));
            },
        );
    }
}

#[test]
fn a_publisher_may_die_while_readers_wait_at_its_slot() {
    at_every_point(
        "publish to a waiting reader",
        || {
            let scene = Scene::new(4, 2);
            let reader = scene.topic.subscribe(Policy::Block, Start::Newest).unwrap();
            (scene, std::cell::RefCell::new(reader))
        },
        |(scene, _), arm| {
            let mut publisher = scene.ground.attach::<Topic<u64>>().publisher().unwrap();
            arm();
            publisher.publish(&1).unwrap();
        },
        |(scene, reader), _| {
            let mut reader = reader.borrow_mut();
            let mut other = scene.topic.publisher().unwrap();
            other.publish(&2).unwrap();
            let got = reader.receive().unwrap();
            assert!(got == 2 || (got == 1 && reader.receive() == Ok(2)), "{got}");
        },
    );
}

#[test]
fn readers_that_only_poll_get_past_a_dead_publisher_and_hold_nobody_up() {
    let policies = [Policy::Block, Policy::DropOldest, Policy::DropNewest { places: 64 }, Policy::Fail];
    at_every_point(
        "publish to readers that poll",
        || {
            let scene = Scene::new(4, 2);
            let readers = policies.map(|policy| scene.topic.subscribe(policy, Start::Newest).unwrap());
            let other = scene.topic.publisher().unwrap();
            (scene, std::cell::RefCell::new((readers, other)))
        },
        |(scene, _), arm| {
            let mut publisher = scene.ground.attach::<Topic<u64>>().publisher().unwrap();
            arm();
            publisher.publish(&1).unwrap();
        },
        |(_, ends), point| {
            let (readers, other) = &mut *ends.borrow_mut();
            // What was sent is there for all of them, and nobody is told of a message that is none.
            let mut rows = [const { Vec::new() }; 4];
            for (reader, row) in readers.iter_mut().zip(&mut rows) {
                let was_ready = reader.is_ready();
                row.extend(reader.try_receive());
                assert_eq!(was_ready, !row.is_empty(), "{point}: {reader:?}");
            }
            for message in 2..30 {
                let mut sent = false;
                for _ in 0..3 {
                    sent = sent || other.try_publish(&message).is_ok();
                    for (reader, row) in readers.iter_mut().zip(&mut rows) {
                        row.extend(std::iter::from_fn(|| reader.try_receive().ok()));
                    }
                }
                assert!(sent, "{point}: {message} was held up");
            }
            let expected: Vec<u64> = (if rows[0].first() == Some(&1) { 1 } else { 2 }..30).collect();
            for row in &rows {
                assert_eq!(*row, expected, "{point}");
            }
        },
    );
}

#[test]
fn a_reader_may_die_at_any_step_of_subscribing_receiving_and_leaving() {
    for policy in [Policy::Block, Policy::DropOldest, Policy::DropNewest { places: 2 }, Policy::Fail] {
        at_every_point(
            &format!("read, {policy:?}"),
            || {
                let scene = Scene::new(4, 1);
                scene.topic.publisher().unwrap().publish(&1).unwrap();
                scene
            },
            |scene, arm| {
                let topic = scene.ground.attach::<Topic<u64>>();
                arm();
                let mut reader = topic.subscribe(policy, Start::Oldest).unwrap();
                assert_eq!(reader.receive(), Ok(1));
            },
            |scene, _| assert_eq!(scene.go_on(), [1]),
        );
    }
}

#[test]
fn whoever_settles_what_a_dead_publisher_left_may_die_too() {
    // The first dies between claiming a slot and letting go of it; the second at every step of settling that.
    for first in 1.. {
        let scene = || {
            let scene = Scene::new(4, 2);
            let child = Child::fork(|| {
                let mut publisher = scene.ground.attach::<Topic<u64>>().publisher().unwrap();
                publisher.publish(&1).unwrap();
                mapwright_core::peer::points::arm(first);
                publisher.publish(&2).unwrap();
                std::mem::forget(publisher);
            });
            (child.wait() == End::Killed(9)).then_some(scene)
        };
        if scene().is_none() {
            break;
        }
        at_every_point(
            &format!("settle what was left at step {first}"),
            || scene().unwrap(),
            |scene, arm| {
                let topic = scene.ground.attach::<Topic<u64>>();
                let mut reader = topic.subscribe(Policy::DropOldest, Start::Oldest).unwrap();
                let mut publisher = topic.publisher().unwrap();
                arm();
                while reader.receive_until(Deadline::now()).is_ok() {}
                publisher.publish(&3).unwrap();
            },
            |scene, _| {
                let before = scene.go_on();
                assert!([&[1][..], &[1, 2], &[1, 3], &[1, 2, 3]].contains(&&*before), "{before:?}");
            },
        );
    }
}

#[test]
fn whoever_sees_off_a_dead_reader_may_die_too() {
    at_every_point(
        "see off a dead reader",
        || {
            let scene = Scene::new(2, 2);
            let child = Child::fork(|| {
                let topic = scene.ground.attach::<Topic<u64>>();
                std::mem::forget(topic.subscribe(Policy::Block, Start::Newest).unwrap());
                std::mem::forget(topic);
            });
            assert_eq!(child.wait(), End::Exited(0));
            scene
        },
        |scene, arm| {
            let mut publisher = scene.ground.attach::<Topic<u64>>().publisher().unwrap();
            arm();
            for message in 0..4 {
                publisher.publish(&message).unwrap();
            }
        },
        |scene, _| {
            scene.go_on();
        },
    );
}

#[test]
fn a_dead_reader_that_blocks_is_seen_off_and_a_dead_publisher_replaced() {
    for publishers in [1, 2] {
        let ground = ground(2, publishers);
        let child = Child::fork(|| {
            let topic = ground.attach::<Topic<u64>>();
            let _reader = std::mem::ManuallyDrop::new(topic.subscribe(Policy::Block, Start::Newest).unwrap());
            let mut publisher = std::mem::ManuallyDrop::new(topic.publisher().unwrap());
            publisher.publish(&0).unwrap();
            std::mem::forget(topic);
        });
        assert_eq!(child.wait(), End::Exited(0));
        let topic = ground.attach::<Topic<u64>>();
        let mut reader = topic.subscribe(Policy::DropOldest, Start::Oldest).unwrap();
        assert_eq!(reader.receive(), Ok(0));
        assert_eq!(reader.receive(), Err(ReceiveError::NoSender));
        let mut publisher = topic.publisher().unwrap();
        for message in 1..10 {
            publisher.publish(&message).unwrap();
            assert_eq!(reader.receive(), Ok(message));
        }
    }
}

#[test]
fn two_publishers_in_two_processes_lose_and_double_nothing() {
    const EACH: u64 = 20_000;
    let ground = ground(64, 2);
    let topic = ground.attach::<Topic<u64>>();
    let mut reader = topic.subscribe(Policy::Block, Start::Newest).unwrap();
    let publish = |from: u64| {
        let topic = ground.attach::<Topic<u64>>();
        let mut publisher = topic.publisher().unwrap();
        for message in from..from + EACH {
            publisher.publish(&message).unwrap();
        }
    };
    let children = [0, EACH].map(|from| Child::fork(|| publish(from)));
    let mut next = [0, EACH];
    for _ in 0..2 * EACH {
        let message = reader.receive().unwrap();
        let of = &mut next[usize::from(message >= EACH)];
        assert_eq!(message, *of);
        *of += 1;
    }
    assert_eq!(reader.receive(), Err(ReceiveError::NoSender));
    for child in children {
        assert_eq!(child.wait(), End::Exited(0));
    }
}

#[test]
fn publishers_that_are_killed_at_random_leave_rows_without_gaps() {
    let ground = ground(8, 2);
    let topic = ground.attach::<Topic<u64>>();
    let mut reader = topic.subscribe(Policy::Block, Start::Newest).unwrap();
    for round in 0..30u64 {
        let children = [0u64, 1].map(|who| {
            Child::fork(|| {
                let mut publisher = ground.attach::<Topic<u64>>().publisher().unwrap();
                for message in (round << 33 | who << 32).. {
                    publisher.publish(&message).unwrap();
                }
            })
        });
        let mut next = [0u64; 2];
        let mut take = |reader: &mut crate::topic::Subscriber<u64>| {
            let message = reader.receive()?;
            assert_eq!(message >> 33, round, "nothing comes later than its publisher's end");
            let of = &mut next[usize::from(message >> 32 & 1 == 1)];
            assert_eq!(message & 0xffff_ffff, *of);
            *of += 1;
            Ok(())
        };
        // Until the first of them is there, the last ones are gone.
        let mut wanted = 10 + round * 7;
        while wanted > 0 {
            wanted -= u64::from(take(&mut reader).is_ok());
        }
        for child in children {
            child.kill();
            assert_eq!(child.wait(), End::Killed(9));
        }
        while take(&mut reader) != Err(ReceiveError::NoSender) {}
    }
}
