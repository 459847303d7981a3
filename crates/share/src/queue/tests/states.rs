//! States and answers.

use std::sync::atomic::{AtomicBool, Ordering as Order};
use std::time::Duration;

use mapwright_core::peer::{Deadline, Identity, Oracle};

use super::rough::Rough;
use super::*;
use crate::answers::{ReceiveError, SendError};
use crate::queue::ring::Mark;
use crate::queue::roles::Roles;

#[test]
fn a_full_queue_refuses_then_accepts_and_keeps_the_order() {
    for options in shapes(4) {
        let ground = Ground::new::<Queue<u64>>(&options);
        let queue = ground.attach::<Queue<u64>>();
        let (mut sender, mut receiver) = (queue.sender().unwrap(), queue.receiver().unwrap());
        for round in 0..10 {
            for value in 0..4 {
                sender.try_send(&(round * 4 + value)).unwrap();
            }
            assert_eq!(sender.try_send(&99), Err(SendError::Full), "{options:?}");
            for value in 0..4 {
                assert_eq!(receiver.try_receive(), Ok(round * 4 + value), "{options:?}");
            }
            assert_eq!(receiver.try_receive(), Err(ReceiveError::Empty), "{options:?}");
        }
        let figures = ["capacity", "sent", "received", "depth"].map(|name| figure(&ground, name));
        assert_eq!(figures, [4, 40, 40, 0], "{options:?}");
    }
}

#[test]
fn values_of_every_size_arrive_whole() {
    fn through<T: Plain + PartialEq + std::fmt::Debug>(value: T) {
        for options in shapes(2) {
            let queue = Ground::new::<Queue<T>>(&options).attach::<Queue<T>>();
            let (mut sender, mut receiver) = (queue.sender().unwrap(), queue.receiver().unwrap());
            for _ in 0..5 {
                sender.send(&value).unwrap();
                assert_eq!(receiver.receive(), Ok(value));
            }
        }
    }
    through([7u8; 1]);
    through([7u8; 55]);
    through([7u8; 56]);
    through([7u8; 57]);
    through([7u64; 8]);
    through([7u64; 15]);
    through([7u64; 16]);
    through([7u8; 5000]);
}

#[test]
fn a_queue_of_one_value_works() {
    for options in shapes(1) {
        let queue = Ground::new::<Queue<u64>>(&options).attach::<Queue<u64>>();
        let (mut sender, mut receiver) = (queue.sender().unwrap(), queue.receiver().unwrap());
        for value in 0..10 {
            sender.try_send(&value).unwrap();
            assert_eq!(sender.try_send(&99), Err(SendError::Full));
            assert_eq!(receiver.try_receive(), Ok(value));
        }
    }
}

#[test]
fn deadlines_are_kept_and_whoever_is_gone_is_named() {
    for options in shapes(1) {
        let queue = Ground::new::<Queue<u64>>(&options).attach::<Queue<u64>>();
        let soon = || Deadline::after(Duration::from_millis(1));
        let (mut sender, mut receiver) = (queue.sender().unwrap(), queue.receiver().unwrap());
        assert_eq!(receiver.receive_until(soon()), Err(ReceiveError::TimedOut));
        sender.send(&1).unwrap();
        assert_eq!(sender.send_until(&2, soon()), Err(SendError::TimedOut));
        drop(sender);
        assert_eq!(receiver.receive(), Ok(1));
        assert_eq!(receiver.receive(), Err(ReceiveError::NoSender));
        let mut sender = queue.sender().unwrap();
        assert_eq!(receiver.try_receive(), Err(ReceiveError::Empty));
        drop(receiver);
        sender.send(&3).unwrap();
        assert_eq!(sender.send(&4), Err(SendError::NoReceiver));
        assert_eq!(queue.receiver().unwrap().try_receive(), Ok(3));
    }
}

#[test]
fn a_second_one_is_refused_where_there_is_one_and_named() {
    let ground = Ground::new::<Queue<u64>>(&QueueOptions::new(1));
    let (one, other) = (ground.attach::<Queue<u64>>(), ground.attach::<Queue<u64>>());
    let sender = one.sender().unwrap();
    let refused = other.sender().unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Busy);
    assert!(refused.to_string().contains("participant"), "{refused}");
    drop(sender);
    let _next = other.sender().unwrap();
    let many = Ground::new::<Queue<u64>>(&QueueOptions::new(1).receivers(Parties::Many));
    let queue = many.attach::<Queue<u64>>();
    let all: Vec<_> = (0..64).map(|_| queue.receiver().unwrap()).collect();
    assert_eq!(queue.receiver().unwrap_err().kind(), ErrorKind::Busy);
    drop(all);
    let _next = queue.receiver().unwrap();
}

#[test]
fn a_lease_is_given_back_or_completed() {
    for options in shapes(4) {
        let ground = Ground::new::<Queue<u64>>(&options);
        let queue = ground.attach::<Queue<u64>>();
        let (mut sender, mut receiver) = (queue.sender().unwrap(), queue.receiver().unwrap());
        assert!(matches!(receiver.try_lease(), Err(ReceiveError::Empty)));
        for value in 1..=3 {
            sender.send(&value).unwrap();
        }
        let lease = receiver.lease().unwrap();
        assert_eq!((*lease, *lease.get(), lease.is_redelivered()), (1, 1, false));
        assert_eq!(["depth", "held"].map(|name| figure(&ground, name)), [3, 1]);
        drop(lease);
        assert_eq!(receiver.lease().unwrap().complete(), Ok(1), "{options:?}");
        assert_eq!(receiver.receive(), Ok(2));
        assert_eq!(receiver.lease().unwrap().complete(), Ok(3));
        let figures = ["sent", "received", "depth", "held", "dropped", "redelivered"];
        assert_eq!(figures.map(|name| figure(&ground, name)), [3, 3, 0, 0, 0, 0]);
    }
}

#[test]
fn a_lease_that_is_leaked_is_held_and_its_value_is_not_handed_out_again() {
    for options in shapes(4) {
        let queue = Ground::new::<Queue<u64>>(&options).attach::<Queue<u64>>();
        let (mut sender, mut receiver) = (queue.sender().unwrap(), queue.receiver().unwrap());
        sender.send(&1).unwrap();
        std::mem::forget(receiver.lease().unwrap());
        assert_eq!(receiver.try_lease().map(|lease| *lease), Err(ReceiveError::Empty), "{options:?}");
        assert_eq!(receiver.try_receive(), Err(ReceiveError::Empty), "{options:?}");
        drop(sender);
        assert_eq!(receiver.try_receive(), Err(ReceiveError::Empty), "it is held: {options:?}");
    }
}

#[test]
fn a_value_is_not_taken_for_one_that_was_held_four_billion_values_before() {
    let ground = Ground::new::<Queue<u64>>(&QueueOptions::new(4));
    let queue = ground.attach::<Queue<u64>>();
    let control = &queue.ring.control;
    control.receiver.count(1);
    for line in [&control.sender, &control.receiver] {
        line.position.store(1 << 32, Ordering::Relaxed);
    }
    let (mut sender, mut receiver) = (queue.sender().unwrap(), queue.receiver().unwrap());
    sender.send(&1).unwrap();
    assert!(!receiver.lease().unwrap().is_redelivered());
    control.receiver.count((1 << 32) + 1);
    assert!(receiver.lease().unwrap().is_redelivered());
    assert_eq!(figure(&ground, "redelivered"), 2);
}

#[test]
fn what_is_given_back_behind_others_comes_before_what_follows() {
    let options = QueueOptions::new(8).receivers(Parties::Many);
    let queue = Ground::new::<Queue<u64>>(&options).attach::<Queue<u64>>();
    let (mut sender, mut one, mut other) =
        (queue.sender().unwrap(), queue.receiver().unwrap(), queue.receiver().unwrap());
    for value in 1..=4 {
        sender.send(&value).unwrap();
    }
    let (first, second) = (one.lease().unwrap(), other.receive().unwrap());
    assert_eq!((*first, second), (1, 2));
    drop(first);
    assert_eq!((other.receive(), other.receive(), one.receive()), (Ok(1), Ok(3), Ok(4)));
    // A lease that is held holds up its slot after one round, and nothing before.
    for value in 5..=12 {
        sender.send(&value).unwrap();
    }
    let lease = one.lease().unwrap();
    for value in 6..=12 {
        assert_eq!(other.receive(), Ok(value));
    }
    assert_eq!(sender.try_send(&13), Err(SendError::Full));
    assert_eq!(other.try_receive(), Err(ReceiveError::Empty));
    drop(sender);
    assert_eq!(other.try_receive(), Err(ReceiveError::Empty), "it may come back");
    lease.complete().unwrap();
    assert_eq!(other.try_receive(), Err(ReceiveError::NoSender));
}

#[test]
fn batches_take_what_there_is_room_for() {
    for options in shapes(4) {
        let queue = Ground::new::<Queue<u64>>(&options).attach::<Queue<u64>>();
        let (mut sender, mut receiver) = (queue.sender().unwrap(), queue.receiver().unwrap());
        assert_eq!((sender.send_many(&[]), sender.send_many(&[1, 2, 3, 4, 5, 6])), (Ok(0), Ok(4)));
        assert_eq!(sender.send_many(&[5, 6]), Err(SendError::Full));
        let mut values = vec![0];
        assert_eq!(receiver.receive_many(&mut values, 3), Ok(3));
        assert_eq!(receiver.receive_many(&mut values, 3), Ok(1));
        assert_eq!(values, [0, 1, 2, 3, 4]);
        assert_eq!(receiver.receive_many(&mut values, 3), Err(ReceiveError::Empty));
        assert_eq!(receiver.receive_many(&mut values, 0), Ok(0));
    }
}

#[test]
fn options_and_rooms_that_make_no_sense_are_refused() {
    for capacity in [0, usize::MAX, usize::MAX / 16] {
        let refused = Queue::<u64>::plan(&QueueOptions::new(capacity)).unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::InvalidInput);
    }
    let ground = Ground::new::<Queue<u64>>(&QueueOptions::new(5));
    assert_eq!(ground.attach::<Queue<u64>>().capacity(), 8);
    let refused = Queue::<[u64; 2]>::attach(&ground.site()).unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Damaged);
    let rough = Rough::new::<Queue<u64>>(&QueueOptions::new(5), 0);
    for parameters in
        [[0, 1, 0], [3, 1, 0], [1 << 40, 1, 0], [8, u64::MAX, 0], [8, 1, 9], [1 << 63, 1 << 62, 0]]
    {
        let [capacity, words, shape] = parameters;
        let site = rough.site(Some([capacity, words, shape, 0, 0, 0]));
        assert_eq!(Queue::<u64>::attach(&site).unwrap_err().kind(), ErrorKind::Damaged, "{parameters:?}");
    }
}

#[test]
fn scribbled_words_are_survived() {
    for (round, options) in (0..200).zip(shapes(4).into_iter().cycle()) {
        let mut rough = Rough::new::<Queue<u64>>(&options, round);
        let queue = Queue::<u64>::attach(&rough.site(None)).unwrap();
        let (mut sender, mut receiver) = (queue.sender().unwrap(), queue.receiver().unwrap());
        for _ in 0..20 {
            rough.scribble();
            let _answers = (sender.try_send(&1), receiver.try_receive(), sender.try_send(&2));
            if let Ok(lease) = receiver.try_lease() {
                rough.scribble();
                let _done = lease.complete();
            }
            let _held = receiver.try_lease().map(drop);
            let _figures = inspect(&rough.site(None));
            drop(queue.receiver());
            drop(queue.sender());
        }
    }
}

#[test]
fn whoever_has_not_sent_or_received_for_half_of_all_laps_goes_on() {
    for options in shapes(4) {
        let queue = Ground::new::<Queue<u64>>(&options).attach::<Queue<u64>>();
        if queue.ring.shape.is_lane() {
            continue;
        }
        let (mut sender, mut receiver) = (queue.sender().unwrap(), queue.receiver().unwrap());
        sender.try_send(&1).unwrap();
        assert_eq!(receiver.try_receive(), Ok(1));
        // What others leave that have sent and received so much since.
        let (ring, lap) = (&queue.ring, 3 << 30);
        let end = u64::from(lap) * 4;
        for position in end..end + 4 {
            ring.slot(position).unwrap().0.store(Mark::free(lap).word(), Ordering::Relaxed);
        }
        ring.control.sender.position.store(end, Ordering::Relaxed);
        ring.control.receiver.ahead.store(end, Ordering::Relaxed);
        if !ring.shape.many_receivers {
            ring.control.receiver.position.store(end, Ordering::Relaxed);
        }
        for value in 2..20 {
            assert_eq!(sender.try_send(&value), Ok(()), "{options:?}");
            assert_eq!(receiver.try_receive(), Ok(value), "{options:?}");
        }
    }
}

/// One to whom the first is dead, and who lets the others change places when asked about it.
#[derive(Debug)]
struct Changing<'a> {
    roles: &'a Roles,
    me: usize,
    is_done: AtomicBool,
}

impl Oracle for Changing<'_> {
    fn me(&self) -> Identity {
        Identity::new(self.me, 1)
    }

    fn is_alive(&self, who: Identity) -> bool {
        if self.me == 0 && !self.is_done.swap(true, Order::Relaxed) {
            let [leaving, coming] =
                [2, 3].map(|me| Changing { roles: self.roles, me, is_done: AtomicBool::default() });
            assert_eq!(self.roles.enter(1, &coming, "come to").unwrap(), 0);
            self.roles.leave(1, &leaving);
        }
        who.seat() != 1
    }

    fn is_short_alive(&self, _short: u32) -> bool {
        true
    }

    fn knows_thread_ids(&self) -> bool {
        false
    }
}

#[test]
fn nobody_is_gone_while_one_comes_before_another_leaves() {
    let roles = Roles::default();
    let of = |me| Changing { roles: &roles, me, is_done: AtomicBool::default() };
    assert_eq!([1, 2].map(|me| roles.enter(2, &of(me), "come to").unwrap()), [0, 1]);
    assert!(!roles.are_gone(&of(0)));
    roles.leave(0, &of(3));
    assert!(roles.are_gone(&of(0)));
}
