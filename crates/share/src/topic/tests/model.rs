//! A topic beside a plain model of it, under random steps.

use std::collections::VecDeque;

use proptest::prelude::*;

use crate::testing::Ground;
use crate::topic::{Policy, Start, Subscriber, Topic, TopicOptions};
use crate::{ReceiveError, SendError};

const CAPACITY: usize = 8;

#[derive(Clone, Debug)]
enum Step {
    Publish,
    Receive(usize),
    Join(usize, usize),
    Leave(usize),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        8 => Just(Step::Publish),
        6 => (0usize..3).prop_map(Step::Receive),
        1 => (0usize..3, 0usize..10).prop_map(|(reader, back)| Step::Join(reader, back)),
        1 => (0usize..3).prop_map(Step::Leave),
    ];
    prop::collection::vec(step, 1..300)
}

/// What a reader should know: the messages it has yet to get.
struct Reader {
    real: Subscriber<u64>,
    expected: VecDeque<u64>,
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Readers 0 and 1 are waited for, reader 2 is lossy.
    #[test]
    fn a_topic_does_what_a_list_of_messages_does(steps in steps(), publishers in 1usize..3) {
        let ground =
            Ground::new::<Topic<u64>>(&TopicOptions::new(CAPACITY).readers(4).publishers(publishers));
        let topic = ground.attach::<Topic<u64>>();
        let mut publisher = topic.publisher().unwrap();
        let mut readers: [Option<Reader>; 3] = [const { None }; 3];
        let mut sent = 0u64;
        for step in steps {
            match step {
                Step::Publish => {
                    let is_full = readers[..2].iter().flatten().any(|it| it.expected.len() >= CAPACITY);
                    let expected = if is_full { Err(SendError::Full) } else { Ok(()) };
                    prop_assert_eq!(publisher.try_publish(&sent), expected);
                    if !is_full {
                        readers.iter_mut().flatten().for_each(|it| it.expected.push_back(sent));
                        sent += 1;
                    }
                }
                Step::Receive(index) => {
                    let Some(reader) = &mut readers[index] else { continue };
                    let over = reader.expected.len().saturating_sub(CAPACITY);
                    if index == 2 && over > 0 {
                        // An eighth of the ring and one are given up besides.
                        let missed = over + 1 + CAPACITY / 8;
                        reader.expected.drain(..missed);
                        let missed = u64::try_from(missed).unwrap();
                        prop_assert_eq!(reader.real.try_receive(), Err(ReceiveError::Missed(missed)));
                    } else {
                        let expected = reader.expected.pop_front().ok_or(ReceiveError::Empty);
                        prop_assert_eq!(reader.real.try_receive(), expected);
                    }
                }
                Step::Join(index, back) => {
                    readers[index] = None;
                    let policy = if index == 2 { Policy::DropOldest } else { Policy::Block };
                    let real = topic.subscribe(policy, Start::Back(back)).unwrap();
                    let there = sent.min(u64::try_from(CAPACITY.min(back)).unwrap());
                    let promised = u64::try_from(CAPACITY * 3 / 4).unwrap();
                    prop_assert!(real.behind() <= there);
                    prop_assert!(index != 2 || real.behind() == there);
                    prop_assert!(real.behind() >= there.min(promised));
                    let expected = (sent - real.behind()..sent).collect();
                    readers[index] = Some(Reader { real, expected });
                }
                Step::Leave(index) => readers[index] = None,
            }
        }
    }
}
