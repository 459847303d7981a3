//! Appenders and readers of a log under a model checker.

use crate::orders::{explore, meet, meet_three};
use mapwright_core::peer::Identity;

use super::LogError;
use super::record::State;
use super::words::{Eyes, model};

/// The written records from the beginning to the first that is not.
fn records(eyes: &Eyes) -> Vec<u64> {
    let (mut at, mut records, mut buffer) = (0, Vec::new(), Vec::new());
    while let Some(found) = eyes.find(at).unwrap().filter(|it| it.state == State::Written) {
        eyes.copy(at, found, &mut buffer).unwrap();
        let [one, two] =
            [&buffer[..8], &buffer[8..]].map(|half| u64::from_ne_bytes(half.try_into().unwrap()));
        assert_eq!(one, two, "torn");
        records.push(one);
        at = found.next;
    }
    records
}

fn bytes_of(number: u64) -> [u8; 16] {
    let mut bytes = [0; 16];
    bytes[..8].copy_from_slice(&number.to_ne_bytes());
    bytes[8..].copy_from_slice(&number.to_ne_bytes());
    bytes
}

#[test]
fn model_a_reader_beside_two_appenders_sees_whole_records_in_one_order() {
    explore(|| {
        let (hand, eyes) = model(9);
        let append = |number: u64, seat| {
            let hand = hand.clone();
            move || hand.append(&bytes_of(number), Identity::new(seat, 1)).map(drop)
        };
        let reading = eyes.clone();
        let (one, other, early) = meet_three(append(1, 1), append(2, 2), move || records(&reading));
        assert_eq!((one, other), (Ok(()), Ok(())));
        let all = records(&eyes);
        assert!(all == [1, 2] || all == [2, 1], "{all:?}");
        assert!(all.starts_with(&early), "{early:?} and then {all:?}");
        assert_eq!(hand.tail(), 6);
    });
}

#[test]
fn model_the_last_room_is_given_to_one() {
    explore(|| {
        let (hand, eyes) = model(4);
        let other = hand.clone();
        let answers: [_; 2] = meet(
            move || hand.append(&bytes_of(1), Identity::new(1, 1)),
            move || other.append(&bytes_of(2), Identity::new(2, 1)),
        )
        .into();
        assert!(
            matches!(answers, [Ok(0), Err(LogError::Full)] | [Err(LogError::Full), Ok(0)]),
            "{answers:?}"
        );
        assert_eq!(records(&eyes).len(), 1);
    });
}
