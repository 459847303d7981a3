//! Waiting for queues among other things.

use std::sync::Arc;

use mapwright_core::peer::Deadline;
use mapwright_core::peer::points::{Child, End};

use super::*;
use crate::answers::{ReceiveError, SendError};
use crate::testing::at_every_point;
use crate::waiting::{Ready, Signal, Waitable, wait_any};

/// Which of some things are ready.
fn ready(things: &[&dyn Waitable]) -> Vec<bool> {
    let now = |thing| wait_any(&[thing], Deadline::now()).unwrap() == Some(0);
    things.iter().map(|&thing| now(thing)).collect()
}

#[test]
fn receivers_and_senders_are_ready_when_a_call_has_an_answer_and_only_then() {
    for options in shapes(2) {
        let queue = Ground::new::<Queue<u64>>(&options).attach::<Queue<u64>>();
        let (mut sender, mut receiver) = (queue.sender().unwrap(), queue.receiver().unwrap());
        let (items, room) = (receiver.readiness(), sender.readiness());
        for round in 0..10 {
            assert_eq!(
                ready(&[&items, &receiver, &room, &sender]),
                [false, false, true, true],
                "{options:?}"
            );
            sender.send(&round).unwrap();
            assert_eq!(ready(&[&items, &room]), [true, true], "{options:?}");
            sender.send(&round).unwrap();
            assert_eq!(ready(&[&items, &room, &sender]), [true, false, false], "{options:?}");
            let lease = receiver.lease().unwrap();
            assert_eq!(ready(&[&room]), [false], "{options:?}");
            lease.complete().unwrap();
            assert_eq!(ready(&[&items, &room]), [true, true], "{options:?}");
            receiver.receive().unwrap();
        }
        sender.send(&1).unwrap();
        let lease = receiver.lease().unwrap();
        drop(sender);
        assert_eq!(ready(&[&items]), [false], "held, it may come back: {options:?}");
        drop(lease);
        assert_eq!((ready(&[&items]), receiver.receive()), (vec![true], Ok(1)), "{options:?}");
        assert_eq!(ready(&[&items, &receiver]), [true, true], "nobody is left to send: {options:?}");
        let mut sender = queue.sender().unwrap();
        assert_eq!(ready(&[&items]), [false], "{options:?}");
        assert_eq!(sender.send_many(&[1, 2]), Ok(2));
        drop(receiver);
        assert_eq!((ready(&[&room]), sender.send(&3)), (vec![true], Err(SendError::NoReceiver)));
    }
}

#[test]
fn records_are_waited_for_by_their_length() {
    let records = Ground::new::<Records>(&RecordsOptions::new(256)).attach::<Records>();
    let (mut sender, mut receiver) = (records.sender().unwrap(), records.receiver().unwrap());
    let (items, small, large) = (receiver.readiness(), sender.readiness(64), sender.readiness(200));
    assert_eq!(ready(&[&items, &receiver, &small, &large]), [false, false, true, true]);
    sender.send(&[1; 100]).unwrap();
    assert_eq!(ready(&[&items, &small, &sender]), [true, true, true]);
    assert_eq!(receiver.receive_with(<[u8]>::len), Ok(100));
    // First to the end of the ring, then over it: each call is one that was said to be possible.
    assert_eq!(
        (ready(&[&items, &large]), sender.try_send(&[2; 200])),
        (vec![false, true], Err(SendError::Full))
    );
    assert_eq!(ready(&[&items, &small, &large]), [true, true, false]);
    assert_eq!(receiver.try_receive_with(<[u8]>::len), Err(ReceiveError::Empty));
    assert_eq!((ready(&[&items, &large]), sender.try_send(&[2; 200])), (vec![false, true], Ok(())));
    assert_eq!(ready(&[&items, &small]), [true, false]);
    drop(receiver);
    assert_eq!(ready(&[&small, &sender]), [true, true]);
    drop(sender);
    let mut receiver = records.receiver().unwrap();
    assert_eq!(receiver.receive_with(<[u8]>::len), Ok(200));
    assert_eq!(ready(&[&items, &receiver]), [true, true]);
}

#[test]
fn one_call_waits_for_several_queues_and_sees_deaths() {
    for options in shapes(2) {
        let name = format!("send to one who waits for any, {options:?}");
        at_every_point(
            &name,
            || {
                let grounds = [0, 1].map(|_| Ground::new::<Queue<u64>>(&options));
                let silent = grounds[0].attach::<Queue<u64>>();
                let ends = (silent.sender().unwrap(), silent.receiver().unwrap());
                let receiver = grounds[1].attach::<Queue<u64>>().receiver().unwrap();
                (grounds, ends, std::cell::RefCell::new(receiver))
            },
            |(grounds, ..), arm| {
                let mut sender = grounds[1].attach::<Queue<u64>>().sender().unwrap();
                arm();
                sender.send(&1).unwrap();
            },
            |(_, (_sender, silent), receiver), point| {
                let ready = receiver.borrow().readiness();
                let answer = || {
                    assert_eq!(wait_any(&[silent, &ready], Deadline::never()).unwrap(), Some(1));
                    receiver.borrow_mut().try_receive()
                };
                match answer() {
                    Ok(1) => assert_eq!(answer(), Err(ReceiveError::NoSender), "{name}, {point}"),
                    other => assert_eq!((other, point > 0), (Err(ReceiveError::NoSender), true), "{name}"),
                }
            },
        );
    }
}

/// A process that sends 1, and then keeps its place and does nothing.
fn one_that_sends_once(ground: &Ground) -> Child {
    Child::fork(|| {
        let mut sender = ground.attach::<Queue<u64>>().sender().unwrap();
        sender.send(&1).unwrap();
        loop {
            std::thread::park();
        }
    })
}

#[test]
fn a_descriptor_tells_of_a_value_and_whoever_arms_it_of_the_senders_death() {
    let ground = Ground::new::<Queue<u64>>(&QueueOptions::new(2));
    let mut receiver = ground.attach::<Queue<u64>>().receiver().unwrap();
    let signal = Signal::of(Arc::new(receiver.readiness())).unwrap();
    let wait = || {
        while !signal.arm() {
            let moment = rustix::event::Timespec { tv_sec: 0, tv_nsec: 100_000_000 };
            let mut polled = [rustix::event::PollFd::new(&signal, rustix::event::PollFlags::IN)];
            rustix::event::poll(&mut polled, Some(&moment)).unwrap();
            signal.clear();
        }
    };
    assert!(!signal.arm());
    let child = one_that_sends_once(&ground);
    wait();
    assert_eq!(receiver.try_receive(), Ok(1));
    assert!(!signal.arm());
    child.kill();
    wait();
    assert_eq!(receiver.try_receive(), Err(ReceiveError::NoSender));
    assert_eq!(child.wait(), End::Killed(9));
}

#[test]
fn a_task_is_woken_by_a_value_and_by_the_senders_death() {
    let ground = Ground::new::<Queue<u64>>(&QueueOptions::new(2));
    let mut receiver = ground.attach::<Queue<u64>>().receiver().unwrap();
    let child = one_that_sends_once(&ground);
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).build().unwrap();
    let ready = Arc::new(Ready::new(receiver.readiness()).unwrap());
    runtime.block_on(ready.wait());
    assert_eq!(receiver.try_receive(), Ok(1));
    let task = runtime.spawn(async move { ready.wait().await });
    child.kill();
    runtime.block_on(task).unwrap();
    assert_eq!(receiver.try_receive(), Err(ReceiveError::NoSender));
    assert_eq!(child.wait(), End::Killed(9));
}
