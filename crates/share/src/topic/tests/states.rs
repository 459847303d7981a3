//! What readers of each policy get, miss, and hold up.

use std::time::Duration;

use mapwright_core::ErrorKind;
use mapwright_core::peer::Deadline;

use crate::testing::Ground;
use crate::topic::{Policy, Start, Topic, TopicOptions};
use crate::{Object, ReceiveError, SendError};

fn ground(capacity: usize, publishers: usize) -> Ground {
    Ground::new::<Topic<u64>>(&TopicOptions::new(capacity).readers(4).publishers(publishers))
}

#[test]
fn every_reader_gets_every_message_in_order_alone_and_among_publishers() {
    for publishers in [1, 3] {
        let ground = ground(8, publishers);
        let (writing, reading) = (ground.attach::<Topic<u64>>(), ground.attach::<Topic<u64>>());
        let mut publisher = writing.publisher().unwrap();
        let mut readers = [Policy::Block, Policy::DropOldest, Policy::DropNewest { places: 8 }, Policy::Fail]
            .map(|policy| reading.subscribe(policy, Start::Newest).unwrap());
        for round in 0..50 {
            for message in round * 5..round * 5 + 5 {
                publisher.try_publish(&message).unwrap();
            }
            for reader in &mut readers {
                for message in round * 5..round * 5 + 5 {
                    assert_eq!(reader.try_receive(), Ok(message));
                }
                assert_eq!(reader.try_receive(), Err(ReceiveError::Empty));
            }
        }
        assert_eq!(writing.published(), 250);
    }
}

#[test]
fn a_lapped_reader_is_told_how_many_it_missed_and_goes_on_in_order() {
    let ground = ground(16, 1);
    let topic = ground.attach::<Topic<u64>>();
    let mut publisher = topic.publisher().unwrap();
    let mut reader = topic.subscribe(Policy::DropOldest, Start::Newest).unwrap();
    for message in 0..100 {
        publisher.publish(&message).unwrap();
    }
    // An eighth of the ring is given up besides, so that there is time to read.
    assert_eq!(reader.try_receive(), Err(ReceiveError::Missed(87)));
    for message in 87..100 {
        assert_eq!(reader.try_receive(), Ok(message));
    }
    assert_eq!(reader.try_receive(), Err(ReceiveError::Empty));
}

#[test]
fn publishers_wait_for_readers_that_block_and_for_nobody_else() {
    for publishers in [1, 2] {
        let ground = ground(4, publishers);
        let topic = ground.attach::<Topic<u64>>();
        let mut publisher = topic.publisher().unwrap();
        let mut slow = topic.subscribe(Policy::Block, Start::Newest).unwrap();
        let _lossy = topic.subscribe(Policy::DropOldest, Start::Newest).unwrap();
        for message in 0..4 {
            publisher.publish(&message).unwrap();
        }
        assert_eq!(publisher.try_publish(&4), Err(SendError::Full));
        let soon = Deadline::after(Duration::from_millis(1));
        assert_eq!(publisher.publish_until(&4, soon), Err(SendError::TimedOut));
        assert_eq!(slow.receive(), Ok(0));
        publisher.publish(&4).unwrap();
        assert_eq!(publisher.try_publish(&5), Err(SendError::Full));
        drop(slow);
        publisher.publish(&5).unwrap();
    }
}

#[test]
fn a_sleeping_publisher_is_woken_by_a_reader_that_reads_or_goes() {
    let ground = ground(1, 1);
    let topic = ground.attach::<Topic<u64>>();
    let mut publisher = topic.publisher().unwrap();
    let mut reader = topic.subscribe(Policy::Block, Start::Newest).unwrap();
    std::thread::scope(|scope| {
        scope.spawn(|| {
            for message in 0..500 {
                publisher.publish(&message).unwrap();
            }
        });
        for message in 0..400 {
            assert_eq!(reader.receive(), Ok(message));
        }
        drop(reader);
    });
}

#[test]
fn publishing_fails_while_a_reader_that_wants_that_is_behind() {
    let ground = ground(2, 1);
    let topic = ground.attach::<Topic<u64>>();
    let mut publisher = topic.publisher().unwrap();
    let mut reader = topic.subscribe(Policy::Fail, Start::Newest).unwrap();
    publisher.publish(&1).unwrap();
    publisher.publish(&2).unwrap();
    assert_eq!(publisher.publish(&3), Err(SendError::Full));
    assert_eq!(reader.receive(), Ok(1));
    publisher.publish(&3).unwrap();
}

#[test]
fn a_reader_that_drops_the_newest_keeps_what_came_first() {
    let ground = ground(64, 1);
    let topic = ground.attach::<Topic<u64>>();
    let mut publisher = topic.publisher().unwrap();
    let mut reader = topic.subscribe(Policy::DropNewest { places: 2 }, Start::Newest).unwrap();
    for message in 0..10 {
        publisher.publish(&message).unwrap();
    }
    assert_eq!((reader.receive(), reader.receive()), (Ok(0), Ok(1)));
    assert_eq!(reader.try_receive(), Err(ReceiveError::Missed(8)));
    assert_eq!(reader.try_receive(), Err(ReceiveError::Empty));
    publisher.publish(&10).unwrap();
    assert_eq!(reader.receive(), Ok(10));
}

#[test]
fn late_joiners_begin_where_they_ask() {
    let ground = ground(16, 1);
    let topic = ground.attach::<Topic<u64>>();
    let mut publisher = topic.publisher().unwrap();
    for message in 0..40 {
        publisher.publish(&message).unwrap();
    }
    let first = |policy, start| topic.subscribe(policy, start).unwrap().try_receive();
    assert_eq!(first(Policy::DropOldest, Start::Oldest), Ok(24));
    assert_eq!(first(Policy::DropOldest, Start::Back(3)), Ok(37));
    assert_eq!(first(Policy::DropOldest, Start::Back(1000)), Ok(24));
    assert_eq!(first(Policy::DropOldest, Start::Newest), Err(ReceiveError::Empty));
    let oldest = first(Policy::Block, Start::Oldest).unwrap();
    assert!((24..=28).contains(&oldest), "began with {oldest}");
    assert_eq!(first(Policy::Block, Start::Back(5)), Ok(35));
}

#[test]
fn what_a_blocking_reader_was_promised_is_not_overwritten() {
    for back in 0..=8 {
        let ground = ground(8, 1);
        let topic = ground.attach::<Topic<u64>>();
        let mut publisher = topic.publisher().unwrap();
        for message in 0..21 {
            publisher.publish(&message).unwrap();
        }
        let mut reader = topic.subscribe(Policy::Block, Start::Back(back)).unwrap();
        let mut sent = 21;
        while publisher.try_publish(&sent).is_ok() {
            sent += 1;
        }
        let mut next = reader.try_receive().unwrap();
        assert!(next <= 21 && next >= 21 - u64::try_from(back).unwrap());
        while let Ok(message) = reader.try_receive() {
            next += 1;
            assert_eq!(message, next);
        }
        assert_eq!(next + 1, sent);
    }
}

#[test]
fn places_are_counted_and_given_back() {
    let ground = ground(4, 1);
    let topic = ground.attach::<Topic<u64>>();
    let publisher = topic.publisher().unwrap();
    assert_eq!(topic.publisher().unwrap_err().kind(), ErrorKind::Busy);
    drop(publisher);
    drop(topic.publisher().unwrap());
    let subscribe = || topic.subscribe(Policy::Block, Start::Newest);
    let readers: Vec<_> = (0..4).map(|_| subscribe().unwrap()).collect();
    assert_eq!(subscribe().unwrap_err().kind(), ErrorKind::Busy);
    drop(readers);
    drop(subscribe().unwrap());
}

#[test]
fn readers_that_wait_learn_that_no_publisher_is_left() {
    let ground = ground(4, 2);
    let (topic, other) = (ground.attach::<Topic<u64>>(), ground.attach::<Topic<u64>>());
    let mut reader = topic.subscribe(Policy::Block, Start::Newest).unwrap();
    let soon = Deadline::after(Duration::from_millis(1));
    assert_eq!(reader.receive_until(soon), Err(ReceiveError::TimedOut), "nobody was there yet");
    let mut publisher = other.publisher().unwrap();
    publisher.publish(&7).unwrap();
    drop(publisher);
    assert_eq!(reader.receive(), Ok(7));
    assert_eq!(reader.receive(), Err(ReceiveError::NoSender));
    other.publisher().unwrap().publish(&8).unwrap();
    assert_eq!(reader.receive(), Ok(8));
}

#[test]
fn several_topics_are_waited_for_at_once() {
    use crate::waiting::wait_any;
    let (first, second) = (ground(4, 2), ground(4, 1));
    let (one, other) = (first.attach::<Topic<u64>>(), second.attach::<Topic<u64>>());
    let mut readers = [
        one.subscribe(Policy::Block, Start::Newest).unwrap(),
        other.subscribe(Policy::DropNewest { places: 1 }, Start::Newest).unwrap(),
    ];
    let wait = |readers: &[crate::topic::Subscriber<u64>; 2], until| {
        wait_any(&[&readers[0], &readers[1]], until).unwrap()
    };
    let mut publishers = [one.publisher().unwrap(), other.publisher().unwrap()];
    assert_eq!(wait(&readers, Deadline::now()), None);
    for ready in [0, 1, 0, 1, 1] {
        publishers[ready].publish(&7).unwrap();
        assert_eq!(wait(&readers, Deadline::never()), Some(ready));
        assert_eq!(readers[ready].receive(), Ok(7));
    }
    assert_eq!(wait(&readers, Deadline::now()), None);
    drop(publishers);
    assert_eq!(wait(&readers, Deadline::never()), Some(0), "no sender is an answer");
}

#[test]
fn nonsense_sizes_are_refused_with_a_reason() {
    for options in [
        TopicOptions::new(0),
        TopicOptions::new(usize::MAX),
        TopicOptions::new(4).readers(0),
        TopicOptions::new(4).publishers(5000),
    ] {
        let error = Topic::<u64>::plan(&options).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidInput, "{error}");
    }
}

#[test]
fn it_shows_who_publishes_and_who_is_behind() {
    let ground = ground(4, 1);
    let topic = ground.attach::<Topic<u64>>();
    let mut publisher = topic.publisher().unwrap();
    let _reader = topic.subscribe(Policy::Block, Start::Newest).unwrap();
    publisher.publish(&1).unwrap();
    let shown = format!("{:?}", crate::topic::inspect(&ground.site()).unwrap());
    for part in
        ["\"published\", value: Number(1)", "\"publisher\", value: Who", "\"behind\", value: Number(1)"]
    {
        assert!(shown.contains(part), "{part} in {shown}");
    }
}

#[test]
fn scribbled_words_make_no_reader_or_publisher_panic() {
    use mapwright_core::peer::{Ordering, Word64};
    let words = |ground: &Ground| {
        let site = ground.site();
        site.parts().many::<Word64>(site.len() / 8).unwrap()
    };
    let mut random = 0x9e37_79b9_7f4a_7c15u64;
    for round in 0..200 {
        let ground = ground(4, 1 + round % 2);
        let topic = ground.attach::<Topic<u64>>();
        let mut publisher = topic.publisher().unwrap();
        let mut readers = [Policy::Block, Policy::DropOldest, Policy::DropNewest { places: 2 }]
            .map(|policy| topic.subscribe(policy, Start::Newest).unwrap());
        // All but the lock's line, on which a waiter may wait as long as its deadline lets it.
        let words = words(&ground);
        for (index, word) in words.iter().enumerate() {
            random = random.rotate_left(7).wrapping_mul(0xd129_42ff_1ce4_e5b9).wrapping_add(1);
            if !(48..56).contains(&index) {
                word.store(if round % 3 == 0 { u64::MAX } else { random }, Ordering::Relaxed);
            }
        }
        for _ in 0..4 {
            let _sent = publisher.try_publish(&1);
            for reader in &mut readers {
                let _received = reader.try_receive();
            }
        }
        let _shown = crate::topic::inspect(&ground.site());
    }
}
