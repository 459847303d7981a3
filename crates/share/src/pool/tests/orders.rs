//! Every order of the steps of two who loan, redeem, publish and take back.

use std::sync::Arc;

use mapwright_core::peer::{Bell, Line, Placed, Word64};

use crate::orders::{Everybody, explore, explore_with, meet, meet_three};
use crate::pool::store::Store;
use crate::pool::{Parcel, Pool};

/// A pool of so many chunks of 8 bytes, as seen by participants of these seats.
fn pools<const N: usize>(chunks: usize) -> [Pool; N] {
    let many = |count: usize| (0..count).map(|_| Word64::new(0)).collect::<Vec<_>>();
    let (freed, holds, bytes) = (
        Placed::own(Line::<Bell>::default()),
        Placed::own_many(many(chunks * 2)),
        Placed::own_many(many(chunks)),
    );
    let all = Placed::own_many((0..chunks).map(|_| Default::default()).collect());
    std::array::from_fn(|seat| {
        let oracle = Arc::new(Everybody::at(seat));
        let (freed, all, holds, bytes) = (freed.clone(), all.clone(), holds.clone(), bytes.clone());
        Pool { store: Arc::new(Store::new(freed, all, holds, bytes, 8, oracle)) }
    })
}

#[test]
fn model_a_parcel_is_redeemed_by_one_of_two_and_its_bytes_are_whole() {
    explore(|| {
        let [sender, one, other] = pools(1);
        let mut loan = sender.try_loan().unwrap();
        loan.store(0, &7u64).unwrap();
        let parcel = loan.send();
        let redeem = move |pool: &Pool| {
            let received = pool.receive(parcel).ok();
            received.map(|received| received.load::<u64>(0).unwrap())
        };
        let (first, second) = meet(
            move || redeem(&one),
            move || {
                // The chunk may be written again as soon as it was given back.
                if let Ok(mut loan) = other.try_loan() {
                    loan.store(0, &8u64).unwrap();
                    return None;
                }
                redeem(&other)
            },
        );
        assert!(matches!((first, second), (Some(7), None) | (None, Some(7))), "{first:?} {second:?}");
        assert_eq!(sender.free(), 1);
    });
}

#[test]
fn model_a_chunk_that_is_taken_back_is_freed_once_and_never_under_a_reader() {
    explore(|| {
        let [sender, reader] = pools(1);
        let mut loan = sender.try_loan().unwrap();
        loan.store(0, &7u64).unwrap();
        let (parcel, published) = loan.publish();
        let after = sender.clone();
        let take_back = move || {
            drop(published);
            if let Ok(mut loan) = sender.try_loan() {
                loan.store(0, &8u64).unwrap();
            }
        };
        let read = move || {
            if let Ok(received) = reader.receive(parcel) {
                assert_eq!(received.load::<u64>(0).unwrap(), 7);
            }
        };
        meet(take_back, read);
        assert_eq!(after.free(), 1);
    });
}

#[test]
fn model_a_parcel_comes_with_the_bytes_it_was_sent_with() {
    explore(|| {
        let [sender, receiver] = pools(1);
        let send = move || {
            let mut loan = sender.try_loan().unwrap();
            loan.store(0, &7u64).unwrap();
            let _parcel = loan.send();
        };
        let receive = move || {
            // However a parcel travels, the chunk's own word has to say that all is written.
            if let Ok(received) = receiver.receive(Parcel::new(0, 1)) {
                assert_eq!(received.load::<u64>(0).unwrap(), 7);
            }
        };
        meet(send, receive);
    });
}

#[test]
fn model_what_is_written_into_a_chunk_comes_after_what_was_written_into_it_before() {
    explore_with(1, || {
        let [before, sender, receiver] = pools(1);
        let give_back = move || drop(before.try_loan().map(|mut loan| loan.store(0, &6u64)));
        let send = move || {
            if let Ok(mut loan) = sender.try_loan() {
                loan.store(0, &7u64).unwrap();
                let _parcel = loan.send();
            }
        };
        let receive = move || {
            for generation in 1..=2 {
                if let Ok(received) = receiver.receive(Parcel::new(0, generation)) {
                    assert_eq!(received.load::<u64>(0).unwrap(), 7);
                }
            }
        };
        meet_three(give_back, send, receive);
    });
}
