//! Every order of the steps of senders, receivers, and those who recover.

#![cfg(any(loom, shuttle))]

use std::sync::Arc;

use mapwright_core::peer::{Identity, Oracle, Ordering, Placed, Word64, relax};

use super::lane::{LaneReceiver, LaneSender};
use super::ring::{Mark, Ring, Shape, State, low};
use super::slots::{SlotReceiver, SlotSender};
use crate::orders::{Everybody, explore, explore_with, meet, meet_three};

/// The seat of somebody who has died.
const DEAD: usize = 7;

/// A participant to whom all are alive but that one.
#[derive(Debug)]
struct Survivor(Everybody);

impl Oracle for Survivor {
    fn me(&self) -> Identity {
        self.0.me()
    }

    fn is_alive(&self, who: Identity) -> bool {
        who.seat() != DEAD
    }

    fn is_short_alive(&self, short: u32) -> bool {
        short != Identity::new(DEAD, 1).short()
    }

    fn knows_thread_ids(&self) -> bool {
        false
    }
}

/// A queue of pairs of words, as seen by participants of these seats.
fn rings<const N: usize>(shape: Shape, capacity: u64) -> [Ring; N] {
    rings_of(shape, capacity, 2)
}

/// The same of values of so many words, of which the first two are used. A slot is one line.
fn rings_of<const N: usize>(shape: Shape, capacity: u64, value_words: usize) -> [Ring; N] {
    let words = |count| Placed::own_many((0..count).map(|_| Word64::new(0)).collect());
    let control: Placed<super::Control> = Placed::own(Default::default());
    let slots = words(capacity * 8);
    let tallies = words(capacity);
    std::array::from_fn(|seat| {
        let oracle: Arc<dyn Oracle> = Arc::new(Survivor(Everybody::at(seat)));
        Ring::new(control.clone(), slots.clone(), tallies.clone(), oracle, (shape, capacity, value_words))
    })
}

const fn shape(many: bool, drops: bool) -> Shape {
    Shape { many_senders: many, many_receivers: many, drops }
}

type Pair = [u64; 2];

fn whole(pair: Pair) -> u64 {
    assert_eq!(pair[0], pair[1], "torn");
    pair[0]
}

#[test]
fn model_one_to_one_all_arrives_whole_and_in_order() {
    one_to_one(2);
}

#[test]
fn model_one_to_one_values_that_fill_their_lines_arrive_whole_and_in_order() {
    one_to_one(8);
}

/// Sends some at once, then one more.
fn one_to_one(value_words: usize) {
    explore(move || {
        let [sending, receiving] = rings_of(shape(false, false), 2, value_words);
        let send = move || {
            let mut lane = LaneSender::resume(&sending);
            assert_eq!(lane.put_many::<Pair>(&sending, &[[1, 1], [2, 2]]), 2, "there is room");
            while !lane.put::<Pair>(&sending, &[3, 3]) {
                relax();
            }
        };
        let receive = move || {
            let mut lane = LaneReceiver::resume(&receiving);
            for value in 1..=3u64 {
                let got = loop {
                    match lane.peek::<Pair>(&receiving) {
                        Some(got) => break got,
                        None => relax(),
                    }
                };
                assert_eq!(whole(got), value);
                lane.advance();
                lane.publish(&receiving);
            }
        };
        meet(send, receive);
    });
}

#[test]
fn model_many_to_many_each_value_goes_to_one() {
    explore_with(2, || {
        let [first, second, third, mine] = rings(shape(true, false), 2);
        let send = |ring: Ring, value: u64| {
            move || assert!(SlotSender::resume(&ring).put(&ring, &[value, value]), "there is room")
        };
        let receive = move || {
            let mut receiver = SlotReceiver::resume(&third);
            let take = || receiver.take::<Pair>(&third).map(whole);
            std::iter::repeat_with(take).take(2).flatten().collect::<Vec<_>>()
        };
        let ((), (), mut got) = meet_three(send(first, 1), send(second, 2), receive);
        let mut receiver = SlotReceiver::resume(&mine);
        while let Some(pair) = receiver.take(&mine) {
            got.push(whole(pair));
        }
        got.sort_unstable();
        assert_eq!(got, [1, 2]);
    });
}

#[test]
fn model_a_slot_that_is_used_again_is_never_torn() {
    explore_with(2, || {
        let [sending, receiving, other] = rings(shape(true, false), 1);
        let after = receiving.clone();
        let send = move || {
            let mut sender = SlotSender::resume(&sending);
            let sent = |value: &u64| sender.put(&sending, &[*value, *value]);
            u64::try_from((1..=2).take_while(sent).count()).unwrap()
        };
        let take = |ring: Ring| move || SlotReceiver::resume(&ring).take::<Pair>(&ring).map(whole);
        let (sent, one, two) = meet_three(send, take(receiving), take(other));
        let mut got: Vec<u64> = one.into_iter().chain(two).collect();
        let receiving = after;
        let mut receiver = SlotReceiver::resume(&receiving);
        while let Some(pair) = receiver.take(&receiving) {
            got.push(whole(pair));
        }
        got.sort_unstable();
        assert_eq!(got, (1..=sent).collect::<Vec<_>>());
    });
}

#[test]
fn model_what_is_given_back_is_received() {
    explore(|| {
        let [mine, theirs] = rings(shape(true, false), 2);
        let mut sender = SlotSender::resume(&mine);
        assert!(sender.put(&mine, &[1u64, 1]) && sender.put(&mine, &[2u64, 2]));
        let hold = move || {
            let mut receiver = SlotReceiver::resume(&theirs);
            if let Some((pair, hold)) = receiver.hold::<Pair>(&theirs) {
                whole(pair);
                SlotReceiver::give_back(&theirs, hold);
            }
        };
        let taking = mine.clone();
        let take = move || {
            let mut receiver = SlotReceiver::resume(&taking);
            let got: Vec<u64> = receiver.take(&taking).map(whole).into_iter().collect();
            (receiver, got)
        };
        let ((), (mut receiver, mut got)) = meet(hold, take);
        while let Some(pair) = receiver.take(&mine) {
            got.push(whole(pair));
        }
        got.sort_unstable();
        assert_eq!(got, [1, 2]);
    });
}

/// Two who recover what a dead one has left at the first position, and then receive what there is.
fn recover_twice(drops: bool, state: State) -> (Vec<u64>, (u64, u64)) {
    let [mine, theirs] = rings(shape(true, drops), 1);
    let mut sender = SlotSender::resume(&mine);
    assert!(sender.put(&mine, &[1u64, 1]));
    let who = low(u64::from(Identity::new(DEAD, 1).short()));
    let left = Mark { lap: 0, state, again: false, who }.word();
    mine.slot(0).unwrap().0.store(left, Ordering::Release);
    let recover = |ring: &Ring| {
        let mut receiver = SlotReceiver::resume(ring);
        let mut got: Vec<u64> = receiver.take(ring).map(whole).into_iter().collect();
        receiver.settle(ring);
        got.extend(receiver.take(ring).map(whole));
        got
    };
    let after = mine.clone();
    let (mut got, others) = meet(move || recover(&theirs), move || recover(&mine));
    got.extend(others);
    let mine = after;
    got.sort_unstable();
    (got, mine.tallies())
}

#[test]
fn model_a_dead_receivers_value_is_redelivered_once() {
    explore_with(2, || assert_eq!(recover_twice(false, State::Reading), (vec![1], (0, 1))));
}

#[test]
fn model_a_dead_receivers_value_is_dropped_and_counted_once() {
    explore_with(2, || assert_eq!(recover_twice(true, State::Reading), (vec![], (0, 1))));
}

#[test]
fn model_a_dead_senders_claim_is_a_hole_once() {
    explore_with(2, || assert_eq!(recover_twice(false, State::Writing), (vec![], (1, 0))));
}
