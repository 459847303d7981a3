//! Every order of the steps of those who send records and of the one who receives them.

use std::sync::Arc;

use mapwright_core::peer::{Placed, Word64};

use super::receiver::RecordReceiver;
use super::ring::{BLOCK, BLOCK_WORDS, Control, Ring};
use super::sender::RecordSender;
use crate::orders::{Everybody, explore_with, meet, meet_three};
use crate::{ReceiveError, SendError};

/// A ring of so many blocks, as seen by participants of these seats.
fn rings<const N: usize>(blocks: usize, many_senders: bool) -> [Ring; N] {
    let words = |count: usize| Placed::own_many((0..count).map(|_| Word64::new(0)).collect());
    let control: Placed<Control> = Placed::own(Default::default());
    let (heads, bytes) = (words(blocks), words(blocks * BLOCK_WORDS));
    let capacity = u64::try_from(blocks).unwrap();
    std::array::from_fn(|seat| {
        let oracle = Arc::new(Everybody::at(seat));
        Ring::new(control.clone(), heads.clone(), bytes.clone(), oracle, (many_senders, capacity))
    })
}

/// So many bytes of one value, of which the last are in the last words.
fn record(value: u8, len: usize) -> Vec<u8> {
    vec![value; len]
}

/// Receives what there is, whole, at most so often.
fn receive(receiver: &mut RecordReceiver, times: usize) -> Vec<u8> {
    let (mut got, mut buffer) = (Vec::new(), Vec::new());
    for _ in 0..times {
        match receiver.try_receive_into(&mut buffer) {
            Ok(()) => {
                let first = buffer[0];
                assert!(buffer.iter().all(|byte| *byte == first), "torn: {buffer:?}");
                got.push(first);
            }
            Err(error) => assert!(matches!(error, ReceiveError::Empty | ReceiveError::NoSender), "{error}"),
        }
    }
    got
}

#[test]
fn model_records_arrive_whole_and_in_order_over_the_end_of_the_ring() {
    explore_with(3, || {
        let [sending, receiving] = rings(2, false);
        let mut sender = RecordSender::enter(&sending).unwrap();
        let mut receiver = RecordReceiver::enter(&receiving).unwrap();
        sender.try_send(&record(9, 1)).unwrap();
        let send = move || {
            // The second one does not fit before the end, and waits until the ring is empty.
            let lens = [(1, 9), (2, BLOCK + 8)];
            let mut sent = |(value, len)| sender.try_send(&record(value, len)) != Err(SendError::Full);
            let sent: Vec<u8> = lens.into_iter().take_while(|it| sent(*it)).map(|it| it.0).collect();
            (sender, sent)
        };
        let take = move || {
            let got = receive(&mut receiver, 2);
            (receiver, got)
        };
        let ((_sender, sent), (mut receiver, mut got)) = meet(send, take);
        got.extend(receive(&mut receiver, 3));
        assert_eq!(got, [&[9], &sent[..]].concat());
    });
}

#[test]
fn model_two_send_records_and_each_arrives_once() {
    explore_with(2, || {
        let [one, other, receiving] = rings(4, true);
        let send = |ring: &Ring, value: u8| {
            let mut sender = RecordSender::enter(ring).unwrap();
            move || {
                sender.try_send(&record(value, 9)).unwrap();
                sender
            }
        };
        let mut receiver = RecordReceiver::enter(&receiving).unwrap();
        let (one, other) = (send(&one, 1), send(&other, 2));
        let take = move || {
            let got = receive(&mut receiver, 1);
            (receiver, got)
        };
        let (_one, _other, (mut receiver, mut got)) = meet_three(one, other, take);
        got.extend(receive(&mut receiver, 2));
        got.sort_unstable();
        assert_eq!(got, [1, 2]);
    });
}
