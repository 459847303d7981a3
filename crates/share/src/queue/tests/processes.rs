//! Two and more real processes, some of which are killed at any moment.

use std::time::Duration;

use mapwright_core::peer::points::{Child, End};
use mapwright_core::peer::{Area, Deadline, Ordering, Placed, Word64};
use mapwright_core::{MapOptions, MemFile};

use super::*;
use crate::answers::ReceiveError;

/// Counters outside of any queue.
fn counters(count: usize) -> Placed<[Word64]> {
    let file = MemFile::new("counters", count * 8).unwrap();
    Area::new(MapOptions::new().map_mut(&file).unwrap()).unwrap().place_many(0, count).unwrap()
}

#[test]
fn a_stream_between_two_processes_arrives_whole_and_in_order() {
    const COUNT: u64 = 50_000;
    for options in shapes(64) {
        let ground = Ground::new::<Queue<[u64; 7]>>(&options);
        let child = Child::fork(|| {
            let mut sender = ground.attach::<Queue<[u64; 7]>>().sender().unwrap();
            for value in 0..COUNT {
                sender.send(&[value; 7]).unwrap();
            }
        });
        let mut receiver = ground.attach::<Queue<[u64; 7]>>().receiver().unwrap();
        for value in 0..COUNT {
            assert_eq!(receiver.receive_until(Deadline::after(Duration::from_secs(60))), Ok([value; 7]));
        }
        assert_eq!(child.wait(), End::Exited(0));
        assert_eq!(receiver.receive(), Err(ReceiveError::NoSender));
    }
}

#[test]
fn a_forked_child_is_told_to_attach_itself() {
    let queue = Ground::new::<Queue<u64>>(&QueueOptions::new(2)).attach::<Queue<u64>>();
    let (mut sender, mut receiver) = (queue.sender().unwrap(), queue.receiver().unwrap());
    let child = Child::fork(|| {
        assert!(matches!(sender.try_send(&1), Err(crate::SendError::Fault(_))));
        assert!(matches!(receiver.try_receive(), Err(ReceiveError::Fault(_))));
        assert_eq!(queue.sender().unwrap_err().kind(), ErrorKind::Fault);
        // Ends with the places given back, as far as a child can.
        drop((queue.sender(), queue.receiver()));
    });
    assert_eq!(child.wait(), End::Exited(0));
    sender.send(&2).unwrap();
    assert_eq!(receiver.receive(), Ok(2), "the parent's places are its own still");
}

#[test]
fn a_storm_of_kills_loses_and_doubles_nothing_silently() {
    const KILLS: u64 = 40;
    const PLACES: u64 = 1 << 21;
    for options in shapes(16) {
        let ground = Ground::new::<Queue<u64>>(&options);
        // Which values were received, how often; who died with a value in its hands.
        let seen = counters(usize::try_from(PLACES).unwrap());
        let state = counters(64);
        let work = |is_sender: bool, index: usize| {
            let (ground, state, seen) = (&ground, &state, &seen);
            move || {
                let queue = ground.attach::<Queue<u64>>();
                if is_sender {
                    let mut sender = loop {
                        if let Ok(sender) = queue.sender() {
                            break sender;
                        }
                    };
                    loop {
                        // A number of its own each; it may be used up without being sent.
                        let value = state[0].fetch_add(1, Ordering::Relaxed);
                        if value >= PLACES {
                            return;
                        }
                        let _sent = sender.send_until(&value, Deadline::after(Duration::from_secs(1)));
                    }
                }
                let mut receiver = loop {
                    if let Ok(receiver) = queue.receiver() {
                        break receiver;
                    }
                };
                loop {
                    state[index].fetch_add(1, Ordering::Relaxed);
                    let lease = receiver.lease_until(Deadline::after(Duration::from_secs(1)));
                    let Ok(lease) = lease else { continue };
                    let value = usize::try_from(*lease).unwrap();
                    let again = u64::from(lease.is_redelivered()) << 32;
                    seen[value].fetch_add(1 + again, Ordering::Relaxed);
                    lease.complete().unwrap();
                }
            }
        };
        let mut workers: Vec<_> = [true, true, false, false]
            .into_iter()
            .enumerate()
            .map(|(index, is_sender)| Child::fork(work(is_sender, index + 1)))
            .collect();
        for kill in 0..KILLS {
            let before = state[0].load(Ordering::Relaxed);
            while state[0].load(Ordering::Relaxed) < (before + kill % 29).min(PLACES - 1) {
                std::thread::yield_now();
            }
            let victim = usize::try_from(kill * 7919 % 4).unwrap();
            workers[victim] = Child::fork(work(victim < 2, victim + 1));
        }
        drop(workers);
        // What is left, and what the last ones held.
        let mut receiver = ground.attach::<Queue<u64>>().receiver().unwrap();
        while let Ok(lease) = receiver.lease_until(Deadline::now()) {
            let again = u64::from(lease.is_redelivered()) << 32;
            let value = usize::try_from(lease.complete().unwrap()).unwrap();
            seen[value].fetch_add(1 + again, Ordering::Relaxed);
        }
        let figures = ["sent", "received", "depth", "held", "dropped", "redelivered"];
        let [sent, received, depth, held, dropped, redelivered] = figures.map(|name| figure(&ground, name));
        assert_eq!((depth, held), (0, 0), "{options:?}");
        assert_eq!(sent, received + dropped, "{options:?}");
        let (mut distinct, mut doubled) = (0, 0);
        for count in seen.iter().map(|count| count.load(Ordering::Relaxed)) {
            let (times, marked) = (count & 0xffff_ffff, count >> 32);
            distinct += u64::from(times > 0);
            doubled += u64::from(times > 1);
            assert!(times <= 1 + marked, "{times} times, of which {marked} were marked: {options:?}");
        }
        // A value that was seen is received, or its receiver died before it said so.
        assert!(distinct <= sent && distinct + dropped >= sent, "{distinct} of {sent}, {dropped} dropped");
        assert!(doubled <= redelivered, "{doubled} doubled, {redelivered} redelivered");
    }
}
