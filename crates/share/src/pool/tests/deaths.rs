//! A participant is killed at every step of what it does to chunks, and every chunk is in one place.

use mapwright_core::peer::points::{self, Child, End};

use crate::pool::{LoanError, Parcel, Pool, PoolOptions, RedeemError};
use crate::testing::{Ground, at_every_point};
use crate::topic::{Policy, Start, Topic, TopicOptions};

const CHUNKS: usize = 3;

/// What the parent keeps while children die.
struct Scene {
    ground: Ground,
    pool: Pool,
}

impl Scene {
    fn new() -> Self {
        let ground = Ground::new::<Pool>(&PoolOptions::new(64, CHUNKS).readers(2));
        let pool = ground.attach();
        Self { ground, pool }
    }

    /// All chunks can be had by a survivor, each once, whatever the dead had; so many are others' who live.
    fn all_can_be_had(&self, but: usize) {
        let mut loans: Vec<_> = std::iter::from_fn(|| self.pool.try_loan().ok()).collect();
        assert_eq!(loans.len(), CHUNKS - but);
        for (number, loan) in loans.iter_mut().enumerate() {
            loan.store(0, &number).unwrap();
        }
        let parcels: Vec<_> = loans.into_iter().map(|loan| loan.send()).collect();
        for (number, parcel) in parcels.into_iter().enumerate() {
            assert_eq!(self.pool.receive(parcel).unwrap().load::<usize>(0).unwrap(), number);
        }
        assert_eq!(self.pool.free(), CHUNKS - but);
    }
}

#[test]
fn a_sender_may_die_at_any_step_of_lending_and_handing_over() {
    at_every_point(
        "loan, hand over, recall",
        Scene::new,
        |scene, arm| {
            let pool = scene.ground.attach::<Pool>();
            arm();
            for round in 0..2u64 {
                let mut loan = pool.loan().unwrap();
                loan.store(0, &round).unwrap();
                loan.hand_over(|_| Ok::<(), ()>(())).unwrap();
            }
            let mut parcel = None;
            let failed = pool.loan().unwrap().hand_over(|it| {
                parcel = Some(it);
                Err(())
            });
            let again = failed.unwrap_err().1.unwrap().send();
            drop(pool.recall(again).unwrap());
        },
        |scene, _| scene.all_can_be_had(0),
    );
}

#[test]
fn a_receiver_may_die_at_any_step_and_the_message_is_had_once_or_not_at_all() {
    at_every_point(
        "receive and give back",
        || {
            let scene = Scene::new();
            let mut loan = scene.pool.loan().unwrap();
            loan.copy_from(b"message").unwrap();
            let parcel = loan.send();
            (scene, parcel)
        },
        |(scene, parcel), arm| {
            let pool = scene.ground.attach::<Pool>();
            arm();
            let received = pool.receive(*parcel).unwrap();
            assert_eq!(received.to_vec().unwrap(), b"message");
        },
        |(scene, parcel), point| {
            match scene.pool.receive(*parcel) {
                Ok(received) => assert_eq!((received.to_vec().unwrap(), point), (b"message".to_vec(), 1)),
                Err(error) => assert_eq!(error, RedeemError::Stale),
            }
            scene.all_can_be_had(0);
        },
    );
}

#[test]
fn publishers_and_readers_may_die_at_any_step_and_the_living_read_on() {
    at_every_point(
        "publish, read, take back",
        || {
            let scene = Scene::new();
            let mut loan = scene.pool.loan().unwrap();
            loan.copy_from(b"news").unwrap();
            let (parcel, published) = loan.publish();
            let reading = scene.pool.receive(parcel).unwrap();
            (scene, parcel, std::cell::Cell::new(Some((published, reading))))
        },
        |(scene, parcel, _), arm| {
            let pool = scene.ground.attach::<Pool>();
            arm();
            let reading = pool.receive(*parcel).unwrap();
            let (own, published) = pool.loan().unwrap().publish();
            let again = pool.receive(own).unwrap();
            drop(published);
            drop((again, reading));
        },
        |(scene, parcel, kept), _| {
            let (published, reading) = kept.take().unwrap();
            scene.all_can_be_had(1);
            // The dead one's hold is nobody's.
            drop(scene.pool.receive(*parcel).unwrap());
            drop(published);
            scene.all_can_be_had(1);
            assert_eq!(reading.to_vec().unwrap(), b"news");
            drop(reading);
            scene.all_can_be_had(0);
        },
    );
}

/// Leaves one chunk in each state that a dead one can leave: held, in transit, published with a hold.
fn leave_one_of_each(ground: &Ground) {
    let child = Child::fork(|| {
        let pool = std::mem::ManuallyDrop::new(ground.attach::<Pool>());
        let held = pool.receive(pool.loan().unwrap().send()).unwrap();
        let _sent: Parcel = pool.loan().unwrap().send();
        let (parcel, published) = pool.loan().unwrap().publish();
        let reading = pool.receive(parcel).unwrap();
        std::mem::forget((held, published, reading));
    });
    assert_eq!(child.wait(), End::Exited(0));
}

#[test]
fn whoever_recovers_may_die_too() {
    at_every_point(
        "recover",
        || {
            let scene = Scene::new();
            leave_one_of_each(&scene.ground);
            scene
        },
        |scene, arm| {
            let pool = scene.pool.clone();
            drop(pool);
            let site = scene.ground.site();
            arm();
            let pool = <Pool as crate::Object>::attach(&site).unwrap();
            pool.recover().unwrap();
        },
        |scene, _| scene.all_can_be_had(0),
    );
}

#[test]
fn every_death_of_a_sender_is_recovered_at_every_death_of_a_recoverer() {
    for first in 1.. {
        let scene = || {
            let scene = Scene::new();
            let child = Child::fork(|| {
                let pool = scene.ground.attach::<Pool>();
                points::arm(first);
                let (parcel, published) = pool.loan().unwrap().publish();
                let reading = pool.receive(parcel).unwrap();
                drop(published);
                drop(reading);
                drop(pool.receive(pool.loan().unwrap().send()).unwrap());
            });
            (child.wait() == End::Killed(9)).then_some(scene)
        };
        if scene().is_none() {
            break;
        }
        at_every_point(
            &format!("recover what was left at step {first}"),
            || scene().unwrap(),
            |scene, arm| {
                let pool = scene.ground.attach::<Pool>();
                arm();
                let loans: Vec<_> = std::iter::from_fn(|| pool.try_loan().ok()).collect();
                assert_eq!(loans.len(), CHUNKS);
            },
            |scene, _| scene.all_can_be_had(0),
        );
    }
}

#[test]
fn messages_of_a_dead_sender_arrive_as_long_as_something_is_free() {
    let scene = Scene::new();
    let topics = Ground::new::<Topic<Parcel>>(&TopicOptions::new(4));
    let mut reader = topics.attach::<Topic<Parcel>>().subscribe(Policy::Block, Start::Newest).unwrap();
    let child = Child::fork(|| {
        let pool = std::mem::ManuallyDrop::new(scene.ground.attach::<Pool>());
        let mut publisher = topics.attach::<Topic<Parcel>>().publisher().unwrap();
        for number in 0..2u64 {
            let mut loan = pool.loan().unwrap();
            loan.store(0, &number).unwrap();
            assert!(loan.hand_over(|parcel| publisher.publish(&parcel)).is_ok());
        }
    });
    assert_eq!(child.wait(), End::Exited(0));
    let first = scene.pool.receive(reader.receive().unwrap()).unwrap();
    assert_eq!(first.load::<u64>(0).unwrap(), 0);
    let second = reader.receive().unwrap();
    let loans = [scene.pool.loan().unwrap(), scene.pool.loan().unwrap()];
    assert_eq!(scene.pool.try_loan().unwrap_err(), LoanError::NoneFree);
    assert_eq!(scene.pool.receive(second).unwrap_err(), RedeemError::Stale, "it was needed");
    drop((first, loans));
    scene.all_can_be_had(0);
}

#[test]
fn two_processes_that_are_killed_at_random_lose_no_chunk() {
    let scene = Scene::new();
    let topics = Ground::new::<Topic<Parcel>>(&TopicOptions::new(4));
    let mut received = 0u32;
    for round in 0..20 {
        let mut reader =
            topics.attach::<Topic<Parcel>>().subscribe(Policy::DropOldest, Start::Newest).unwrap();
        let child = Child::fork(|| {
            let pool = scene.ground.attach::<Pool>();
            let mut publisher = topics.attach::<Topic<Parcel>>().publisher().unwrap();
            loop {
                let mut loan = pool.loan().unwrap();
                loan.store(0, &[7u64; 8]).unwrap();
                let (parcel, _published) = loan.publish();
                publisher.publish(&parcel).unwrap();
            }
        });
        let mut left = 5 + round * 3;
        while left > 0 {
            let Ok(parcel) = reader.receive() else { continue };
            left -= 1;
            if let Ok(message) = scene.pool.receive(parcel) {
                assert_eq!(message.load::<[u64; 8]>(0).unwrap(), [7; 8], "torn");
                received += 1;
            }
        }
        child.kill();
        assert_eq!(child.wait(), End::Killed(9));
        drop(reader);
        scene.all_can_be_had(0);
    }
    assert!(received < 2000);
}
