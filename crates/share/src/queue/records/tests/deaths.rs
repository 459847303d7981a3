//! A death before every step of every operation; and real processes that are killed at any moment.

use std::cell::RefCell;

use mapwright_core::peer::points::{self, Child, End};
use mapwright_core::peer::{Area, Ordering, Placed, Word64};
use mapwright_core::{MapOptions, MemFile};

use super::*;
use crate::testing::at_every_point;

const LEN: usize = 256;

/// A ring of four blocks, of which the first three have been used, so that a record of two needs a pad.
fn ground(senders: Parties) -> Ground {
    let ground = Ground::new::<Records>(&RecordsOptions::new(LEN).senders(senders));
    let records = ground.attach::<Records>();
    let (mut sender, mut receiver) = (records.sender().unwrap(), records.receiver().unwrap());
    for number in 0..3 {
        sender.try_send(&record(number, 60)).unwrap();
        receiver.try_receive_with(|_| ()).unwrap();
    }
    ground
}

/// Receives what is left, and goes on twice around the ring; everything must add up.
fn survive(ground: &Ground, name: &str) -> Vec<Vec<u8>> {
    let records = ground.attach::<Records>();
    let (mut sender, mut receiver) = (records.sender().unwrap(), records.receiver().unwrap());
    let mut got = Vec::new();
    while let Ok(bytes) = receiver.try_receive_with(<[u8]>::to_vec) {
        got.push(bytes);
    }
    for number in 100..116 {
        sender.send(&record(number, 120)).unwrap_or_else(|error| panic!("{name}: {error}"));
        assert_eq!(receiver.receive_with(<[u8]>::to_vec), Ok(record(number, 120)), "{name}");
    }
    assert_eq!(receiver.try_receive_with(|_| ()), Err(ReceiveError::Empty), "{name}");
    let [sent, received, used] = ["sent", "received", "used"].map(|name| figure(ground, name));
    assert_eq!((sent, used), (received, 0), "{name}");
    got
}

#[test]
fn a_death_while_sending_leaves_the_record_or_nothing() {
    for senders in [Parties::One, Parties::Many] {
        let name = format!("send a record, {senders:?}");
        let operate = |ground: &Ground, arm: &dyn Fn()| {
            let mut sender = ground.attach::<Records>().sender().unwrap();
            arm();
            sender.try_send(&record(7, 100)).unwrap();
        };
        at_every_point(
            &name,
            || ground(senders),
            operate,
            |ground, point| {
                let got = survive(ground, &name);
                assert!(got == [record(7, 100)] || (got.is_empty() && point > 0), "{name}, {point}: {got:?}");
            },
        );
    }
}

#[test]
fn a_death_while_receiving_leaves_the_record_or_takes_it() {
    let prepare = || {
        let ground = ground(Parties::Many);
        let mut sender = ground.attach::<Records>().sender().unwrap();
        sender.try_send(&record(7, 100)).unwrap();
        ground
    };
    let operate = |ground: &Ground, arm: &dyn Fn()| {
        let mut receiver = ground.attach::<Records>().receiver().unwrap();
        arm();
        receiver.try_receive_into(&mut Vec::new()).unwrap();
    };
    at_every_point("receive a record", prepare, operate, |ground, point| {
        let got = survive(ground, "receive a record");
        assert!(got.is_empty() || (got == [record(7, 100)] && point > 0), "{point}: {got:?}");
        // What was received is counted once: 3 before, 16 after, and this one.
        assert_eq!(figure(ground, "received"), 20);
    });
}

#[test]
fn a_death_of_whoever_recovers_is_recovered_too() {
    for senders in [Parties::One, Parties::Many] {
        let (last, step) = (RefCell::new(false), RefCell::new(1));
        while !*last.borrow() {
            let prepare = || {
                let (ground, point) = (ground(senders), *step.borrow());
                let child = Child::fork(|| {
                    let mut sender = ground.attach::<Records>().sender().unwrap();
                    points::arm(point);
                    sender.try_send(&record(7, 100)).unwrap();
                });
                *last.borrow_mut() = child.wait() == End::Exited(0);
                ground
            };
            let recover = |ground: &Ground, arm: &dyn Fn()| {
                let records = ground.attach::<Records>();
                arm();
                let mut receiver = records.receiver().unwrap();
                let _got = receiver.try_receive_with(|_| ());
                let mut sender = records.sender().unwrap();
                let _sent = sender.try_send(&record(8, 60));
            };
            let name = format!("records, {senders:?}, pairs with {}", step.borrow());
            at_every_point(&name, prepare, recover, |ground, _| {
                let got = survive(ground, &name);
                let known = [record(7, 100), record(8, 60)];
                assert!(got.iter().all(|bytes| known.contains(bytes)) && got.len() <= 2, "{name}: {got:?}");
            });
            *step.borrow_mut() += 1;
        }
    }
}

#[test]
fn a_storm_of_kills_tears_and_doubles_nothing() {
    const KILLS: u64 = 60;
    let ground = Ground::new::<Records>(&RecordsOptions::new(4096).senders(Parties::Many));
    let file = MemFile::new("counters", 4096).unwrap();
    let state: Placed<[Word64]> =
        Area::new(MapOptions::new().map_mut(&file).unwrap()).unwrap().place_many(0, 512).unwrap();
    let send = |index: usize| {
        let (ground, state) = (&ground, &state);
        move || {
            let mut sender = ground.attach::<Records>().sender().unwrap();
            loop {
                // Each sender's records are numbered, so that one that comes twice is seen.
                let number =
                    state[index].fetch_add(1, Ordering::Relaxed) << 8 | u64::try_from(index).unwrap();
                let len = 16 + usize::try_from(number >> 8).unwrap() * 37 % 1500;
                let _sent = sender.send_until(&record(number, len), Deadline::after(Duration::from_secs(1)));
            }
        }
    };
    let receive = || {
        let mut receiver = ground.attach::<Records>().receiver().unwrap();
        loop {
            let _shown = receiver.receive_with_until(
                |bytes| {
                    let number = u64::from_le_bytes(bytes[..8].try_into().unwrap());
                    assert_eq!(bytes, record(number, bytes.len()), "torn");
                    let (index, count) = (usize::try_from(number & 0xff).unwrap(), (number >> 8) + 1);
                    // At least once: the last one may come again, an older one must not.
                    let before = state[100 + index].swap(count, Ordering::Relaxed);
                    assert!(before <= count, "number {count} of sender {index} came after {before}");
                    state[0].fetch_add(1, Ordering::Relaxed);
                },
                Deadline::after(Duration::from_secs(1)),
            );
        }
    };
    let mut workers = vec![Child::fork(receive), Child::fork(send(1)), Child::fork(send(2))];
    for kill in 0..KILLS {
        let before = state[0].load(Ordering::Relaxed);
        while state[0].load(Ordering::Relaxed) < before + kill % 17 {
            std::thread::yield_now();
        }
        let victim = usize::try_from(kill * 7919 % 3).unwrap();
        workers.remove(victim);
        workers.insert(victim, if victim == 0 { Child::fork(receive) } else { Child::fork(send(victim)) });
    }
    for worker in &workers {
        worker.kill();
    }
    assert!(workers.into_iter().all(|worker| worker.wait() == End::Killed(9)), "none ended by itself");
    let mut receiver = ground.attach::<Records>().receiver().unwrap();
    while receiver.try_receive_with(|_| ()).is_ok() {}
    let [sent, received, depth, used] =
        ["sent", "received", "depth", "used"].map(|name| figure(&ground, name));
    assert_eq!((sent, depth, used), (received, 0, 0));
    // Whatever was shown is counted, but for what a dead receiver was shown and the next one again.
    let shown = state[0].load(Ordering::Relaxed);
    assert!(
        shown <= received + KILLS + 1 && received <= shown + 4096 / 64,
        "{shown} shown, {received} received"
    );
}
