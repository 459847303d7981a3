//! Every order of the steps of two who loan, redeem, publish and take back.

use std::sync::Arc;

use mapwright_core::peer::{Bell, Line, Placed, Word64};

use crate::orders::{Everybody, explore, spawn};
use crate::pool::Pool;
use crate::pool::store::Store;

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
        let redeem = move |pool: Pool| {
            let received = pool.receive(parcel).ok();
            received.map(|received| received.load::<u64>(0).unwrap())
        };
        let first = spawn(move || redeem(one));
        // The chunk may be written again as soon as it was given back.
        if let Ok(mut loan) = other.try_loan() {
            loan.store(0, &8u64).unwrap();
        } else if let Ok(received) = other.receive(parcel) {
            assert_eq!(received.load::<u64>(0).unwrap(), 7);
            drop(received);
            assert_eq!(first.join().unwrap(), None);
            assert_eq!(sender.free(), 1);
            return;
        }
        assert_eq!(first.join().unwrap(), Some(7));
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
        let reading = spawn(move || {
            if let Ok(received) = reader.receive(parcel) {
                assert_eq!(received.load::<u64>(0).unwrap(), 7);
            }
        });
        drop(published);
        if let Ok(mut loan) = sender.try_loan() {
            loan.store(0, &8u64).unwrap();
        }
        reading.join().unwrap();
        assert_eq!(sender.free(), 1);
    });
}
