//! Every order of the steps of publishers and readers.

use std::marker::PhantomData;
use std::sync::Arc;

use mapwright_core::peer::{Placed, Word64};

use crate::orders::{Everybody, explore, explore_with, meet};
use crate::topic::board::{Board, Head};
use crate::topic::ring::Ring;
use crate::topic::{Policy, Publisher, Start, Topic};
use crate::{ReceiveError, SendError};

/// A topic of pairs of words, as seen by participants of these seats.
fn topics<const N: usize>(capacity: usize, publishers: usize) -> [Topic<[u64; 2]>; N] {
    let [small, large] = [capacity, publishers].map(|it| u64::try_from(it).unwrap());
    let words = (0..capacity * Ring::stride(2, large)).map(|_| Word64::new(0)).collect();
    let ring = Ring::new(Placed::own_many(words), small, 2, large);
    let head = Placed::own(Head::default());
    let readers = Placed::own_many((0..2).map(|_| Default::default()).collect());
    let places = Placed::own_many((0..publishers).map(|_| Default::default()).collect());
    std::array::from_fn(|seat| {
        let oracle = Arc::new(Everybody::at(seat));
        let board = Board::new(head.clone(), readers.clone(), places.clone(), ring.clone(), oracle);
        Topic { board: Arc::new(board), marker: PhantomData }
    })
}

#[test]
fn model_a_lossy_reader_sees_no_torn_message_and_counts_what_it_missed() {
    explore(|| {
        let [writing, reading] = topics(1, 1);
        let mut publisher = writing.publisher().unwrap();
        let mut reader = reading.subscribe(Policy::DropOldest, Start::Newest).unwrap();
        let send = move || {
            for message in 0..2 {
                publisher.try_publish(&[message, message]).unwrap();
            }
            publisher
        };
        let receive = move || {
            let mut next = 0;
            for _ in 0..2 {
                match reader.try_receive() {
                    Ok(message) => {
                        assert_eq!(message, [next, next]);
                        next += 1;
                    }
                    Err(ReceiveError::Missed(count)) => next += count,
                    Err(error) => assert_eq!(error, ReceiveError::Empty),
                }
            }
        };
        let (_publisher, ()) = meet(send, receive);
    });
}

#[test]
fn model_a_reader_that_is_waited_for_misses_nothing() {
    explore(|| {
        let [writing, reading] = topics(1, 1);
        let mut publisher = writing.publisher().unwrap();
        let mut reader = reading.subscribe(Policy::Block, Start::Newest).unwrap();
        let send = move || {
            let mut sent = 0;
            for _ in 0..2 {
                match publisher.try_publish(&[sent, sent]) {
                    Ok(()) => sent += 1,
                    Err(error) => assert_eq!(error, SendError::Full),
                }
            }
            (publisher, sent)
        };
        let receive = move || {
            let mut next = 0;
            for _ in 0..2 {
                if let Ok(message) = reader.try_receive() {
                    assert_eq!(message, [next, next]);
                    next += 1;
                }
            }
            (reader, next)
        };
        let ((publisher, sent), (mut reader, mut next)) = meet(send, receive);
        while let Ok(message) = reader.try_receive() {
            assert_eq!(message, [next, next]);
            next += 1;
        }
        assert_eq!(next, sent);
        drop(publisher);
    });
}

#[test]
fn model_two_publishers_send_each_message_once() {
    explore(|| {
        let [one, other, reading] = topics(2, 2);
        let mut reader = reading.subscribe(Policy::DropOldest, Start::Newest).unwrap();
        let publisher = one.publisher().unwrap();
        let second = other.publisher().unwrap();
        let send = |publisher: Publisher<[u64; 2]>, message: u64| {
            let mut publisher = publisher;
            move || {
                let sent = publisher.try_publish(&[message, message]).is_ok();
                (publisher, sent)
            }
        };
        let ((_first, other_sent), (_second, sent)) = meet(send(publisher, 1), send(second, 2));
        let mut seen = Vec::new();
        while let Ok(message) = reader.try_receive() {
            seen.push(message);
        }
        seen.sort_unstable();
        let expected: Vec<_> =
            [(other_sent, [1, 1]), (sent, [2, 2])].into_iter().filter(|it| it.0).map(|it| it.1).collect();
        assert_eq!(seen, expected);
        assert!(sent || other_sent);
    });
}

#[test]
fn model_two_publishers_that_use_one_slot_again_leave_the_newer_message_whole() {
    explore_with(2, || {
        let [one, other, reading] = topics(1, 2);
        let send = |publisher: Publisher<[u64; 2]>, message: u64| {
            let mut publisher = publisher;
            move || {
                let sent = publisher.try_publish(&[message, message]).is_ok();
                (publisher, sent)
            }
        };
        let (publisher, second) = (one.publisher().unwrap(), other.publisher().unwrap());
        let ((_first, sent), (_second, other_sent)) = meet(send(publisher, 1), send(second, 2));
        let mut reader = reading.subscribe(Policy::DropOldest, Start::Oldest).unwrap();
        let seen = reader.try_receive().unwrap();
        assert!(seen == [1, 1] || seen == [2, 2], "{seen:?}");
        assert!(sent || other_sent);
    });
}
