//! Chunks go from hand to hand; parcels that come too late are refused.

use std::time::Duration;

use mapwright_core::ErrorKind;
use mapwright_core::peer::Deadline;
use mapwright_core::peer::points::{Child, End};
use proptest::prelude::*;

use crate::pool::{Loan, LoanError, Parcel, Pool, PoolOptions, Published, Received, RedeemError};
use crate::testing::Ground;
use crate::topic::{Policy, Start, Topic, TopicOptions};
use crate::waiting::wait_any;
use crate::{Kind, Object};

fn ground(chunks: usize) -> Ground {
    Ground::new::<Pool>(&PoolOptions::new(1000, chunks).readers(2))
}

#[test]
fn what_was_written_arrives_and_the_chunk_comes_back() {
    let ground = ground(2);
    let (sender, receiver) = (ground.attach::<Pool>(), ground.attach::<Pool>());
    for round in 0..10u8 {
        let bytes: Vec<u8> = (0..999).map(|at| round.wrapping_add(u8::try_from(at % 251).unwrap())).collect();
        let mut loan = sender.loan().unwrap();
        loan.copy_from(&bytes).unwrap();
        let received = receiver.receive(loan.send()).unwrap();
        assert_eq!(received.to_vec().unwrap(), bytes);
        let mut pieces = Vec::new();
        received.for_each_piece(|piece| pieces.extend_from_slice(piece)).unwrap();
        assert_eq!(pieces, bytes);
        let words = received.fold_words(0u64, |sum, word| sum.wrapping_add(word)).unwrap();
        let expected = bytes.chunks(8).fold(0u64, |sum, chunk| {
            let mut word = [0; 8];
            word[..chunk.len()].copy_from_slice(chunk);
            sum.wrapping_add(u64::from_ne_bytes(word))
        });
        assert_eq!(words, expected);
        drop(received);
        assert_eq!(sender.free(), 2);
    }
}

#[test]
fn values_and_pieces_are_written_where_they_belong_and_not_beyond_the_end() {
    let ground = ground(1);
    let pool = ground.attach::<Pool>();
    let mut loan = pool.loan().unwrap();
    assert!(loan.is_empty());
    loan.store(3, &0x1122_3344_5566_7788u64).unwrap();
    assert_eq!(loan.len(), 11);
    assert_eq!(loan.write_at(999, &[1, 2]).unwrap_err().kind(), ErrorKind::OutOfBounds);
    assert_eq!(loan.write_at(usize::MAX, &[1, 2]).unwrap_err().kind(), ErrorKind::OutOfBounds);
    loan.write_at(998, &[1, 2]).unwrap();
    let received = pool.receive(loan.send()).unwrap();
    assert_eq!(received.load::<u64>(3).unwrap(), 0x1122_3344_5566_7788);
    assert_eq!(received.load::<[u8; 2]>(998).unwrap(), [1, 2]);
    assert_eq!(received.load::<u16>(999).unwrap_err().kind(), ErrorKind::OutOfBounds);
    drop(received);
    let mut loan = pool.loan().unwrap();
    loan.fill(700, |offset, piece| piece.fill(u8::try_from(offset / 4096 + 7).unwrap())).unwrap();
    assert_eq!(pool.receive(loan.send()).unwrap().to_vec().unwrap(), [7; 700]);
}

#[test]
fn a_parcel_is_redeemed_once_and_refused_afterwards() {
    let ground = ground(1);
    let pool = ground.attach::<Pool>();
    let parcel = pool.loan().unwrap().send();
    let received = pool.receive(parcel).unwrap();
    assert_eq!(pool.receive(parcel).unwrap_err(), RedeemError::Stale);
    assert_eq!(pool.try_loan().unwrap_err(), LoanError::NoneFree);
    drop(received);
    assert_eq!(pool.receive(parcel).unwrap_err(), RedeemError::Stale);
    let next = pool.loan().unwrap().send();
    assert_eq!(pool.receive(parcel).unwrap_err(), RedeemError::Stale, "the chunk's next time");
    drop(pool.receive(next).unwrap());
}

#[test]
fn an_unsent_loan_and_one_that_did_not_get_away_come_back() {
    let ground = ground(1);
    let pool = ground.attach::<Pool>();
    drop(pool.loan().unwrap());
    let mut loan = pool.loan().unwrap();
    loan.copy_from(b"once more").unwrap();
    let mut lost = None;
    let (error, loan) = loan
        .hand_over(|parcel| {
            lost = Some(parcel);
            Err("full")
        })
        .unwrap_err();
    assert_eq!((error, pool.free()), ("full", 0));
    assert_eq!(pool.receive(lost.unwrap()).unwrap_err(), RedeemError::Stale);
    let parcel = loan.unwrap().send();
    assert_eq!(pool.in_transit(), [parcel]);
    let loan = pool.recall(parcel).unwrap();
    assert_eq!(pool.recall(parcel).unwrap_err(), RedeemError::Stale);
    let received = pool.receive(loan.send()).unwrap();
    assert_eq!(received.to_vec().unwrap(), b"once more", "it has its message still");
    drop(received);
    assert_eq!(pool.free(), 1);
}

#[test]
fn a_chunk_can_be_waited_for_among_other_things() {
    let ground = ground(1);
    let pool = ground.attach::<Pool>();
    assert_eq!(wait_any(&[&pool], Deadline::now()).unwrap(), Some(0));
    let loan = pool.loan().unwrap();
    assert_eq!(wait_any(&[&pool], Deadline::now()).unwrap(), None);
    std::thread::scope(|scope| {
        let waiting = scope.spawn(|| wait_any(&[&pool], Deadline::after(Duration::from_secs(60))).unwrap());
        drop(loan);
        assert_eq!(waiting.join().unwrap(), Some(0));
    });
    // What a dead one had can be had, and counts as ready.
    let child = Child::fork(|| std::mem::forget(ground.attach::<Pool>().loan().unwrap()));
    assert_eq!(child.wait(), End::Exited(0));
    assert_eq!(wait_any(&[&pool], Deadline::now()).unwrap(), Some(0));
    drop(pool.try_loan().unwrap());
}

#[test]
fn a_spare_chunk_of_another_is_had_where_nothing_else_is_free() {
    let ground = ground(2);
    let (one, other) = (ground.attach::<Pool>(), ground.attach::<Pool>());
    let mut parcel = None;
    let sent = one.loan().unwrap().hand_over(|it| {
        parcel = Some(it);
        Ok::<(), ()>(())
    });
    assert!(sent.is_ok());
    // The other chunk is the first one's spare; it counts as free.
    assert_eq!(other.free(), 1);
    let loan = other.loan().unwrap();
    assert_eq!(one.try_loan().unwrap_err(), LoanError::NoneFree);
    drop((loan, other.receive(parcel.unwrap()).unwrap()));
    drop(one.loan().unwrap());
    drop(one);
    assert_eq!(other.free(), 2);
}

#[test]
fn a_published_chunk_is_read_by_many_and_free_when_all_have_let_go() {
    let ground = ground(1);
    let (sender, one, other) = (ground.attach::<Pool>(), ground.attach::<Pool>(), ground.attach::<Pool>());
    let mut loan = sender.loan().unwrap();
    loan.copy_from(b"news").unwrap();
    let (parcel, published) = loan.publish();
    let first = one.receive(parcel).unwrap();
    let second = other.receive(parcel).unwrap();
    let more: Vec<_> = (2..16).map(|_| one.receive(parcel).unwrap()).collect();
    assert_eq!(other.receive(parcel).unwrap_err(), RedeemError::TooManyReaders);
    drop(published);
    assert_eq!(one.receive(parcel).unwrap_err(), RedeemError::Stale);
    drop((first, more));
    assert_eq!(sender.try_loan().unwrap_err(), LoanError::NoneFree);
    assert_eq!(second.to_vec().unwrap(), b"news");
    drop(second);
    assert_eq!(sender.free(), 1);
}

#[test]
fn parcels_travel_through_a_topic() {
    let (pools, topics) = (ground(4), Ground::new::<Topic<Parcel>>(&TopicOptions::new(4)));
    let (pool, topic) = (pools.attach::<Pool>(), topics.attach::<Topic<Parcel>>());
    let mut readers = [(); 2].map(|()| topic.subscribe(Policy::Block, Start::Newest).unwrap());
    let mut publisher = topic.publisher().unwrap();
    let mut loan = pool.loan().unwrap();
    loan.copy_from(b"frame").unwrap();
    let (parcel, _published) = loan.publish();
    publisher.publish(&parcel).unwrap();
    for reader in &mut readers {
        assert_eq!(pool.receive(reader.receive().unwrap()).unwrap().to_vec().unwrap(), b"frame");
    }
}

#[test]
fn whoever_waits_for_a_chunk_is_woken_or_out_of_time() {
    let ground = ground(1);
    let (one, other) = (ground.attach::<Pool>(), ground.attach::<Pool>());
    let loan = one.loan().unwrap();
    let soon = Deadline::after(Duration::from_millis(1));
    assert_eq!(other.loan_until(soon).unwrap_err(), LoanError::TimedOut);
    std::thread::scope(|scope| {
        let waiting = scope.spawn(|| other.loan().map(drop));
        drop(loan);
        assert_eq!(waiting.join().unwrap(), Ok(()));
    });
}

#[test]
fn nonsense_sizes_are_refused_and_it_shows_where_its_chunks_are() {
    for options in [
        PoolOptions::new(0, 1),
        PoolOptions::new(1, 0),
        PoolOptions::new(usize::MAX, 1 << 30),
        PoolOptions::new(1, 1).readers(0),
    ] {
        assert_eq!(Pool::plan(&options).unwrap_err().kind(), ErrorKind::InvalidInput);
    }
    let ground = ground(3);
    let pool = ground.attach::<Pool>();
    let _loan = pool.loan().unwrap();
    let shown = format!("{:?}", Kind::Pool.inspect(&ground.site()).unwrap());
    for part in ["\"free\", value: Number(2)", "\"loaned\", value: Number(1)"] {
        assert!(shown.contains(part), "{part} in {shown}");
    }
}

#[test]
fn scribbled_words_make_nobody_panic() {
    use mapwright_core::peer::{Ordering, Word64};
    let mut random = 0x9e37_79b9_7f4a_7c15u64;
    for round in 0..300 {
        let ground = ground(3);
        let pool = ground.attach::<Pool>();
        let parcel = pool.loan().unwrap().send();
        let (read, published) = pool.loan().unwrap().publish();
        let received = pool.receive(read);
        let site = ground.site();
        for word in site.parts().many::<Word64>(site.len() / 8).unwrap().iter() {
            random = random.rotate_left(7).wrapping_mul(0xd129_42ff_1ce4_e5b9).wrapping_add(1);
            word.store(if round % 3 == 0 { u64::MAX } else { random }, Ordering::Relaxed);
        }
        let _received = pool.receive(parcel).map(|it| it.to_vec());
        drop((received, published));
        if let Ok(mut loan) = pool.try_loan() {
            loan.copy_from(&[1; 1000]).unwrap();
            drop(pool.receive(loan.send()));
        }
        let (_recalled, _recovered) = (pool.recall(parcel), pool.recover());
        let _shown = Kind::Pool.inspect(&ground.site());
    }
}

#[derive(Clone, Debug)]
enum Step {
    Loan,
    Unloan,
    Send,
    Redeem(usize),
    GiveBack(usize),
    Recall(usize),
    Publish,
    Retire(usize),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        4 => Just(Step::Loan),
        1 => Just(Step::Unloan),
        2 => Just(Step::Send),
        3 => (0usize..8).prop_map(Step::Redeem),
        3 => (0usize..8).prop_map(Step::GiveBack),
        1 => (0usize..8).prop_map(Step::Recall),
        1 => Just(Step::Publish),
        1 => (0usize..8).prop_map(Step::Retire),
    ];
    prop::collection::vec(step, 1..200)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn chunks_are_where_a_list_of_them_says(steps in steps()) {
        const CHUNKS: usize = 4;
        let ground = ground(CHUNKS);
        let (sender, receiver) = (ground.attach::<Pool>(), ground.attach::<Pool>());
        let mut loans: Vec<(Loan, u64)> = Vec::new();
        let mut sent: Vec<(Parcel, u64)> = Vec::new();
        let mut held: Vec<(Received, u64)> = Vec::new();
        let mut published: Vec<(Published, Parcel, u64)> = Vec::new();
        let mut message = 0;
        for step in steps {
            match step {
                Step::Loan => {
                    let in_use = loans.len() + sent.len() + held.len() + published.len();
                    match sender.try_loan() {
                        Ok(mut loan) => {
                            prop_assert!(in_use < CHUNKS);
                            message += 1;
                            loan.store(0, &message).unwrap();
                            loans.push((loan, message));
                        }
                        Err(error) => prop_assert_eq!((error, in_use), (LoanError::NoneFree, CHUNKS)),
                    }
                }
                Step::Unloan => drop(loans.pop()),
                Step::Send => sent.extend(loans.pop().map(|(loan, message)| (loan.send(), message))),
                Step::Redeem(at) if at < sent.len() => {
                    let (parcel, message) = sent.remove(at);
                    held.push((receiver.receive(parcel).unwrap(), message));
                    prop_assert_eq!(receiver.receive(parcel).unwrap_err(), RedeemError::Stale);
                }
                Step::GiveBack(at) if at < held.len() => {
                    let (received, message) = held.remove(at);
                    prop_assert_eq!(received.load::<u64>(0).unwrap(), message);
                }
                Step::Recall(at) if at < sent.len() => {
                    let (parcel, message) = sent.remove(at);
                    loans.push((sender.recall(parcel).unwrap(), message));
                    loans.last_mut().unwrap().0.store(0, &message).unwrap();
                }
                Step::Publish => published.extend(loans.pop().map(|(loan, message)| {
                    let (parcel, published) = loan.publish();
                    (published, parcel, message)
                })),
                Step::Retire(at) if at < published.len() => {
                    let (published, parcel, message) = published.remove(at);
                    let reading = receiver.receive(parcel).unwrap();
                    drop(published);
                    prop_assert_eq!(receiver.receive(parcel).unwrap_err(), RedeemError::Stale);
                    prop_assert_eq!(reading.load::<u64>(0).unwrap(), message);
                }
                _ => {}
            }
            let in_use = loans.len() + sent.len() + held.len() + published.len();
            prop_assert_eq!(receiver.free(), CHUNKS - in_use);
        }
    }
}
