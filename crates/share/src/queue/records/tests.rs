//! States and answers, a plain model, and deaths.

#![cfg(not(any(loom, shuttle)))]

mod deaths;

use std::collections::VecDeque;
use std::time::Duration;

use mapwright_core::peer::{Deadline, Ordering};
use proptest::prelude::*;

use super::ring::Counts;
use super::*;
use crate::answers::{ReceiveError, SendError};
use crate::figure::Value;
use crate::queue::tests::rough::Rough;
use crate::testing::Ground;

/// One of the numbers that are said of the ring.
fn figure(ground: &Ground, name: &str) -> u64 {
    let figures = inspect(&ground.site()).unwrap();
    match figures.iter().find(|figure| figure.name == name).map(|figure| &figure.value) {
        Some(Value::Number(number)) => *number,
        other => panic!("{name} is {other:?}"),
    }
}

/// A record that tells its number and its length.
fn record(number: u64, len: usize) -> Vec<u8> {
    let bytes = number.to_le_bytes();
    (0..len).map(|index| bytes[index % 8].wrapping_add(u8::try_from(index / 8 % 256).unwrap())).collect()
}

#[test]
fn a_full_ring_refuses_then_accepts() {
    for senders in [Parties::One, Parties::Many] {
        let ground = Ground::new::<Records>(&RecordsOptions::new(256).senders(senders));
        let records = ground.attach::<Records>();
        let (mut sender, mut receiver) = (records.sender().unwrap(), records.receiver().unwrap());
        let mut buffer = Vec::new();
        assert_eq!(records.longest(), 256);
        assert_eq!(sender.try_send(&[0; 257]), Err(SendError::TooLarge));
        for round in 0..20 {
            sender.try_send(&record(round, 100)).unwrap();
            sender.try_send(&[]).unwrap();
            assert_eq!(sender.try_send(&record(round, 129)), Err(SendError::Full));
            receiver.try_receive_into(&mut buffer).unwrap();
            assert_eq!(buffer, record(round, 100));
            assert_eq!(receiver.try_receive_with(<[u8]>::len), Ok(0));
            assert_eq!(receiver.try_receive_into(&mut buffer), Err(ReceiveError::Empty));
            // The longest needs all of the ring, from its beginning.
            let mut sent = sender.try_send(&record(round, 256));
            if sent.is_err() {
                assert_eq!(receiver.try_receive_into(&mut buffer), Err(ReceiveError::Empty));
                sent = sender.try_send(&record(round, 256));
            }
            assert_eq!(sent, Ok(()));
            receiver.receive_into(&mut buffer).unwrap();
            assert_eq!(buffer, record(round, 256));
        }
        let figures = ["capacity", "sent", "received", "depth", "used", "holes"];
        assert_eq!(figures.map(|name| figure(&ground, name)), [256, 60, 60, 0, 0, 0]);
    }
}

#[test]
fn deadlines_are_kept_and_whoever_is_gone_is_named() {
    let records = Ground::new::<Records>(&RecordsOptions::new(1)).attach::<Records>();
    let soon = || Deadline::after(Duration::from_millis(1));
    let (mut sender, mut receiver) = (records.sender().unwrap(), records.receiver().unwrap());
    assert_eq!(records.sender().unwrap_err().kind(), ErrorKind::Busy);
    assert_eq!(records.receiver().unwrap_err().kind(), ErrorKind::Busy);
    assert_eq!(receiver.receive_with_until(<[u8]>::len, soon()), Err(ReceiveError::TimedOut));
    sender.send(b"one").unwrap();
    assert_eq!(sender.send_until(b"two", soon()), Err(SendError::TimedOut));
    drop(sender);
    assert_eq!(receiver.receive_with(<[u8]>::to_vec), Ok(b"one".to_vec()));
    assert_eq!(receiver.receive_with(<[u8]>::len), Err(ReceiveError::NoSender));
    let mut sender = records.sender().unwrap();
    drop(receiver);
    sender.send(b"three").unwrap();
    assert_eq!(sender.send(b"four"), Err(SendError::NoReceiver));
}

#[test]
fn options_and_rooms_that_make_no_sense_are_refused() {
    for len in [0, usize::MAX] {
        assert_eq!(Records::plan(&RecordsOptions::new(len)).unwrap_err().kind(), ErrorKind::InvalidInput);
    }
    let rough = Rough::new::<Records>(&RecordsOptions::new(256), 0);
    for parameters in [[0, 0], [3, 0], [1 << 40, 0], [4, 2], [1 << 63, 0]] {
        let [blocks, many] = parameters;
        let site = rough.site(Some([blocks, many, 0, 0, 0, 0]));
        assert_eq!(Records::attach(&site).unwrap_err().kind(), ErrorKind::Damaged, "{parameters:?}");
    }
}

#[test]
fn scribbled_words_are_survived() {
    for round in 0..200 {
        let senders = if round % 2 == 0 { Parties::One } else { Parties::Many };
        let mut rough = Rough::new::<Records>(&RecordsOptions::new(512).senders(senders), round);
        let records = Records::attach(&rough.site(None)).unwrap();
        let (mut sender, mut receiver) = (records.sender().unwrap(), records.receiver().unwrap());
        let mut buffer = Vec::new();
        for len in 0..20 {
            rough.scribble();
            let _sent = (sender.try_send(&record(1, 7 * len)), sender.try_send(&record(2, 130)));
            let _received = receiver.try_receive_into(&mut buffer);
            let _figures = inspect(&rough.site(None));
            drop(records.sender());
            drop(records.receiver());
        }
    }
}

/// Everything was sent and received up to a position.
fn go_to(records: &Records, position: u64) {
    records.ring.control.sender.store(position, Ordering::Relaxed);
    records.ring.set_counts(position, Counts::default());
}

#[test]
fn heads_where_no_record_began_for_half_of_all_rounds_keep_nobody_from_sending() {
    for senders in [Parties::One, Parties::Many] {
        let records = Ground::new::<Records>(&RecordsOptions::new(256).senders(senders)).attach::<Records>();
        go_to(&records, 4 * (3 << 30));
        let (mut sender, mut receiver) = (records.sender().unwrap(), records.receiver().unwrap());
        for number in 0..20 {
            sender.try_send(&record(number, 100)).unwrap();
            assert_eq!(receiver.try_receive_with(<[u8]>::to_vec), Ok(record(number, 100)));
        }
    }
}

#[test]
fn a_sender_that_has_not_sent_for_half_of_all_rounds_goes_on() {
    let options = RecordsOptions::new(256).senders(Parties::Many);
    let records = Ground::new::<Records>(&options).attach::<Records>();
    let mut sender = records.sender().unwrap();
    let rounds = 3 << 30;
    go_to(&records, 4 * u64::from(rounds));
    for position in 0..4 {
        let head = records.ring.head(position).unwrap();
        head.store(Head::Full { len: 1 }.word(rounds), Ordering::Relaxed);
    }
    let mut receiver = records.receiver().unwrap();
    for number in 0..20 {
        sender.try_send(&record(number, 100)).unwrap();
        assert_eq!(receiver.try_receive_with(<[u8]>::to_vec), Ok(record(number, 100)));
    }
}

#[test]
fn a_receiver_is_woken_to_pass_over_what_is_left_at_the_end() {
    let records = Ground::new::<Records>(&RecordsOptions::new(256)).attach::<Records>();
    let (mut sender, mut receiver) = (records.sender().unwrap(), records.receiver().unwrap());
    sender.try_send(&[1; 100]).unwrap();
    assert_eq!(receiver.try_receive_with(<[u8]>::len), Ok(100));
    let ticket = records.ring.control.items.listen();
    assert_eq!(sender.try_send(&[2; 200]), Err(SendError::Full));
    assert_ne!(records.ring.control.items.word().load(Ordering::Relaxed), ticket.value());
    assert_eq!(receiver.try_receive_with(<[u8]>::len), Err(ReceiveError::Empty));
    assert_eq!(sender.try_send(&[2; 200]), Ok(()));
}

#[test]
fn counts_that_somebody_scribbled_over_wrap() {
    let ground = Ground::new::<Records>(&RecordsOptions::new(256));
    let records = ground.attach::<Records>();
    records.ring.set_counts(0, Counts { received: u64::MAX, holes: u64::MAX });
    let (mut sender, mut receiver) = (records.sender().unwrap(), records.receiver().unwrap());
    sender.try_send(&[1; 100]).unwrap();
    assert_eq!(receiver.try_receive_with(<[u8]>::len), Ok(100));
    assert!(records.ring.make_hole(2, 0, 1));
    assert_eq!([figure(&ground, "received"), figure(&ground, "holes")], [0, 0]);
    assert_eq!(receiver.try_receive_with(<[u8]>::len), Err(ReceiveError::Empty));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn a_ring_is_what_a_deque_is(
        power in 0usize..5, many: bool, steps in prop::collection::vec((0usize..4, 0usize..300), 1..120),
    ) {
        let capacity = 64usize << power;
        let senders = if many { Parties::Many } else { Parties::One };
        let ground = Ground::new::<Records>(&RecordsOptions::new(capacity).senders(senders));
        let records = ground.attach::<Records>();
        let (mut sender, mut receiver) = (records.sender().unwrap(), records.receiver().unwrap());
        let mut model: VecDeque<(u64, usize)> = VecDeque::new();
        let (mut next, mut received) = (0u64, 0u64);
        for (step, len) in steps {
            match step {
                0 | 1 => {
                    let answer = sender.try_send(&record(next, len));
                    if len > capacity {
                        prop_assert_eq!(answer, Err(SendError::TooLarge));
                        continue;
                    }
                    let room = |len: usize| len.div_ceil(64).max(1) * 64;
                    let used: usize = model.iter().map(|&(_, len)| room(len)).sum();
                    // What is left at the end of the ring is lost to a record that does not fit there.
                    if used + room(len) > capacity {
                        prop_assert_eq!(answer, Err(SendError::Full));
                    }
                    if answer.is_ok() {
                        model.push_back((next, len));
                        next += 1;
                    } else {
                        let left = receiver.try_receive_with(|_| ());
                        prop_assert!(model.is_empty() == left.is_err());
                        received += u64::from(left.is_ok());
                        model.pop_front();
                    }
                }
                2 => {
                    let expected = model.pop_front().map(|(number, len)| record(number, len));
                    received += u64::from(expected.is_some());
                    prop_assert_eq!(receiver.try_receive_with(<[u8]>::to_vec).ok(), expected);
                }
                _ => {
                    drop((sender, receiver));
                    (sender, receiver) = (records.sender().unwrap(), records.receiver().unwrap());
                }
            }
        }
        let depth = u64::try_from(model.len()).unwrap();
        let figures = ["sent", "received", "depth", "holes"].map(|name| figure(&ground, name));
        prop_assert_eq!(figures, [next, received, depth, 0]);
    }
}
