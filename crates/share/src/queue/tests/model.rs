//! Against a plain queue.

use std::collections::VecDeque;

use proptest::prelude::*;

use super::*;
use crate::answers::{ReceiveError, SendError};

#[derive(Clone, Debug)]
enum Step {
    Send,
    SendMany(usize),
    Receive,
    ReceiveMany(usize),
    Complete,
    GiveBack,
    /// Sender and receiver leave, and others come.
    Turn,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => Just(Step::Send),
        2 => (0usize..6).prop_map(Step::SendMany),
        4 => Just(Step::Receive),
        2 => (0usize..6).prop_map(Step::ReceiveMany),
        2 => Just(Step::Complete),
        1 => Just(Step::GiveBack),
        1 => Just(Step::Turn),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn a_queue_is_what_a_deque_is(
        shape in 0usize..8, power in 0u32..4, steps in prop::collection::vec(step(), 1..120),
    ) {
        let capacity = 1usize << power;
        let ground = Ground::new::<Queue<[u64; 9]>>(&shapes(capacity)[shape]);
        let queue = ground.attach::<Queue<[u64; 9]>>();
        let (mut sender, mut receiver) = (queue.sender().unwrap(), queue.receiver().unwrap());
        let (mut model, mut next, mut received) = (VecDeque::new(), 0u64, 0u64);
        for step in steps {
            match step {
                Step::Send => {
                    let answer = sender.try_send(&[next; 9]);
                    let expected = if model.len() < capacity { Ok(()) } else { Err(SendError::Full) };
                    prop_assert_eq!(answer, expected);
                    if answer.is_ok() {
                        model.push_back(next);
                        next += 1;
                    }
                }
                Step::SendMany(count) => {
                    let values: Vec<_> = (next..).take(count).map(|value| [value; 9]).collect();
                    let room = count.min(capacity - model.len());
                    let expected = if room == 0 && count > 0 { Err(SendError::Full) } else { Ok(room) };
                    prop_assert_eq!(sender.send_many(&values), expected);
                    model.extend((next..).take(room));
                    next += u64::try_from(room).unwrap();
                }
                Step::Receive => {
                    let expected = model.pop_front().map(|value| [value; 9]).ok_or(ReceiveError::Empty);
                    received += u64::from(expected.is_ok());
                    prop_assert_eq!(receiver.try_receive(), expected);
                }
                Step::ReceiveMany(count) => {
                    let mut values = Vec::new();
                    let answer = receiver.receive_many(&mut values, count);
                    let there = count.min(model.len());
                    let is_refused = there == 0 && count > 0;
                    prop_assert_eq!(answer, if is_refused { Err(ReceiveError::Empty) } else { Ok(there) });
                    let expected: Vec<_> = model.drain(..there).map(|value| [value; 9]).collect();
                    received += u64::try_from(there).unwrap();
                    prop_assert_eq!(values, expected);
                }
                Step::Complete => {
                    let expected = model.pop_front().map(|value| [value; 9]);
                    received += u64::from(expected.is_some());
                    let lease = receiver.try_lease().ok();
                    prop_assert_eq!(lease.map(|lease| lease.complete().unwrap()), expected);
                }
                Step::GiveBack => {
                    let lease = receiver.try_lease().ok();
                    prop_assert_eq!(lease.map(|lease| lease[0]), model.front().copied());
                }
                Step::Turn => {
                    drop((sender, receiver));
                    (sender, receiver) = (queue.sender().unwrap(), queue.receiver().unwrap());
                }
            }
        }
        let depth = u64::try_from(model.len()).unwrap();
        let figures = ["sent", "received", "depth", "dropped"].map(|name| figure(&ground, name));
        prop_assert_eq!(figures, [next, received, depth, 0]);
    }
}
