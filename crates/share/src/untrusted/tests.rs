//! Peers that behave, that end, and that do not behave.

use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::time::Duration;

use mapwright_core::peer::{Ordering, Word64};
use mapwright_core::{ErrorKind, MapOptions, MemFile, Plain, Seals};
use zerocopy::IntoBytes;

use super::memory;
use super::*;
use crate::Deadline;

/// A channel, and the other side's memory as somebody without manners has it.
struct Rude {
    channel: Channel,
    words: mapwright_core::peer::Placed<[Word64]>,
    socket: UnixStream,
}

const CAPACITY: usize = 256;
const SENT: usize = 16;
const TAKEN: usize = 32;
const RING: usize = 48;

fn soon() -> Deadline {
    Deadline::after(Duration::from_millis(20))
}

impl Rude {
    fn new() -> Self {
        let (here, there) = UnixStream::pair().unwrap();
        let heading = memory::Heading::new(memory::Purpose::Channel, CAPACITY, 0);
        let (area, file) = memory::own("rude", 384 + CAPACITY, heading).unwrap();
        let words = area.place_many::<Word64>(0, (384 + CAPACITY) / 8).unwrap();
        memory::send(&there, &file, Deadline::never()).unwrap();
        let channel = Channel::connect(here, CAPACITY).unwrap();
        Self { channel, words, socket: there }
    }
}

fn pair(capacity: usize) -> (Channel, Channel) {
    let (here, there) = UnixStream::pair().unwrap();
    std::thread::scope(|scope| {
        let other = scope.spawn(|| Channel::connect(there, capacity).unwrap());
        (Channel::connect(here, capacity).unwrap(), other.join().unwrap())
    })
}

#[test]
fn messages_of_every_length_arrive_in_order_and_around_the_end() {
    let (mut one, mut other) = pair(CAPACITY);
    let mut got = Vec::new();
    for length in (0..=CAPACITY - 8).chain([0, 1, 7, 8, 9]) {
        let message: Vec<u8> = (0..length).map(|index| u8::try_from(index % 255).unwrap()).collect();
        one.send(&message, Deadline::now()).unwrap();
        other.receive(&mut got, Deadline::now()).unwrap();
        assert_eq!(got, message);
    }
    assert_eq!(one.send(&[0; CAPACITY - 7], Deadline::now()), Err(PeerError::TooLarge));
}

#[test]
fn a_full_ring_and_an_empty_one_keep_their_deadline() {
    let (mut one, mut other) = pair(CAPACITY);
    let mut got = Vec::new();
    assert_eq!(other.receive(&mut got, Deadline::now()), Err(PeerError::TimedOut));
    assert_eq!(other.receive(&mut got, soon()), Err(PeerError::TimedOut));
    one.send(&[1; CAPACITY - 8], Deadline::now()).unwrap();
    assert_eq!(one.send(b"more", soon()), Err(PeerError::TimedOut));
    other.receive(&mut got, Deadline::now()).unwrap();
    one.send(b"more", Deadline::now()).unwrap();
}

#[test]
fn a_peer_that_ends_is_gone_after_its_last_message() {
    let (mut one, mut other) = pair(CAPACITY);
    one.send(b"last", Deadline::now()).unwrap();
    drop(one);
    let mut got = Vec::new();
    other.receive(&mut got, Deadline::never()).unwrap();
    assert_eq!(got, b"last");
    assert_eq!(other.receive(&mut got, Deadline::never()), Err(PeerError::Gone));
    while other.send(&[0; 64], Deadline::now()).is_ok() {}
    assert_eq!(other.send(&[0; 64], Deadline::never()), Err(PeerError::Gone));
}

#[test]
fn a_hundred_thousand_messages_pass_between_two_threads() {
    let (mut one, mut other) = pair(4096);
    std::thread::scope(|scope| {
        scope.spawn(move || {
            for number in 0..100_000u64 {
                one.send(&number.to_le_bytes(), Deadline::never()).unwrap();
            }
        });
        let mut got = Vec::new();
        for number in 0..100_000u64 {
            other.receive(&mut got, Deadline::never()).unwrap();
            assert_eq!(got, number.to_le_bytes());
        }
    });
}

#[test]
fn positions_that_cannot_be_are_refused() {
    let mut got = Vec::new();
    for (sent, says) in [(u64::MAX, "sent"), (264, "sent"), (4, "sent")] {
        let mut rude = Rude::new();
        rude.words[SENT].store(sent, Ordering::Release);
        let error = rude.channel.receive(&mut got, soon()).unwrap_err();
        assert_eq!(error, PeerError::Misbehaved(Misbehaviour::Sent(sent)), "{says}");
    }
    let mut rude = Rude::new();
    rude.words[TAKEN].store(8, Ordering::Release);
    while rude.channel.send(b"12345678", Deadline::now()).is_ok() {}
    rude.words[TAKEN].store(1 << 40, Ordering::Release);
    let error = rude.channel.send(b"12345678", soon()).unwrap_err();
    assert_eq!(error, PeerError::Misbehaved(Misbehaviour::Taken(1 << 40)));
}

#[test]
fn a_length_that_cannot_be_is_refused_and_nothing_is_allocated_for_it() {
    for length in [u64::MAX, u64::MAX - 7, 1 << 60, 249, 9] {
        let mut rude = Rude::new();
        let mut got = Vec::new();
        rude.words[RING].store(length, Ordering::Relaxed);
        rude.words[SENT].store(16, Ordering::Release);
        let error = rude.channel.receive(&mut got, soon()).unwrap_err();
        assert_eq!(error, PeerError::Misbehaved(Misbehaviour::Length(length)));
        assert_eq!(got.capacity(), 0);
    }
}

#[test]
fn a_peer_that_scribbles_everywhere_is_survived() {
    let mut seed = 0x2545_f491_4f6c_dd1du64;
    let mut random = move || {
        seed ^= seed << 13;
        seed ^= seed >> 7;
        seed ^= seed << 17;
        seed
    };
    let (mut misbehaved, mut received) = (0, 0);
    for _ in 0..300 {
        let Rude { mut channel, words, socket } = Rude::new();
        let mut got = Vec::new();
        for _ in 0..50 {
            let at = usize::try_from(random()).unwrap_or(0) % words.len();
            let value = match random() % 4 {
                0 => random(),
                1 => random() % 512 * 8,
                2 => 8,
                _ => 0,
            };
            words[at].store(value, Ordering::Release);
            words[SENT].store(random() % 64 * 8, Ordering::Release);
            let _sent = channel.send(b"hello", Deadline::now());
            match channel.receive(&mut got, Deadline::now()) {
                Ok(()) => received += 1,
                Err(PeerError::Misbehaved(_)) => misbehaved += 1,
                Err(_) => {}
            }
            assert!(got.len() <= CAPACITY);
        }
        drop(socket);
    }
    assert!(misbehaved > 100 && received > 100, "{misbehaved} {received}: both roads were taken");
}

#[test]
fn nobody_but_its_owner_can_write_what_is_published() {
    let mut publisher = Publisher::new(7u64).unwrap();
    let descriptor = publisher.descriptor().try_clone_to_owned().unwrap();
    let memory = MemFile::of(descriptor.try_clone().unwrap()).unwrap();
    assert!(MapOptions::new().map_mut(&memory).is_err(), "sealed against writing from now on");
    assert!(memory.file().set_len(0).is_err());
    assert!(std::os::unix::fs::FileExt::write_at(memory.file().as_ref(), b"x", 0).is_err());
    let viewer = Viewer::<u64>::of(descriptor).unwrap();
    assert_eq!(viewer.read().unwrap(), Some((0, 7)));
    publisher.publish(&8);
    assert_eq!(viewer.read().unwrap(), Some((1, 8)));
    assert_eq!(viewer.changed(0, Deadline::never()), Ok(true));
    assert_eq!(viewer.changed(1, soon()), Ok(false));
    // A larger type than was published, one of the same size, and no value at all.
    let other = || publisher.descriptor().as_fd().try_clone_to_owned().unwrap();
    let error = Viewer::<[u64; 64]>::of(other()).unwrap_err();
    assert!(error.to_string().contains("has 8 bytes, and [u64;64] has 512"), "{error}");
    let error = Viewer::<f64>::of(other()).unwrap_err();
    assert!(error.kind() == ErrorKind::TypeMismatch && error.to_string().contains("another layout"));
    let error = memory::theirs(other(), memory::Purpose::Channel, memory::LIMIT).unwrap_err();
    assert!(error.to_string().contains("a published value's, and not a channel's"), "{error}");
}

#[test]
fn memory_that_could_be_taken_away_is_refused() {
    let memory = MemFile::new("shrinking", 4096).unwrap();
    let error = Viewer::<u64>::of(memory.file().try_clone().unwrap().into()).unwrap_err();
    assert!(error.to_string().contains("not sealed against shrinking"), "{error}");
    memory.seal(Seals::SHRINK).unwrap();
    let error = Viewer::<u64>::of(memory.file().try_clone().unwrap().into()).unwrap_err();
    assert!(error.to_string().contains("not sealed against growing"), "{error}");
    memory.seal(Seals::GROW).unwrap();
    let error = Viewer::<u64>::of(memory.file().try_clone().unwrap().into()).unwrap_err();
    assert!(error.to_string().contains("not sealed against writing"), "{error}");
    memory.seal(Seals::FUTURE_WRITE).unwrap();
    let error = Viewer::<u64>::of(memory.file().try_clone().unwrap().into()).unwrap_err();
    assert!(error.to_string().contains("of which only 0 are there"), "{error}");
    let empty = MemFile::new("empty", 0).unwrap();
    empty.seal(Seals::SHRINK | Seals::GROW | Seals::WRITE).unwrap();
    assert!(Viewer::<u64>::of(empty.into_file().try_clone().unwrap().into()).is_err());
}

#[test]
fn a_publisher_that_writes_nonsense_gets_no_reader_to_loop_for_ever() {
    let heading = memory::Heading::new(memory::Purpose::Published, 32, <[u64; 4]>::STRUCTURE.hash());
    let (area, file) = memory::own("nonsense", 8192, heading).unwrap();
    let words = area.place_many::<Word64>(128, 1008).unwrap();
    for value in [0, 1, u64::MAX, u64::MAX - 1, 1 << 63] {
        words.iter().for_each(|word| word.store(value, Ordering::Relaxed));
        let viewer = Viewer::<[u64; 4]>::of(file.try_clone().unwrap().into()).unwrap();
        let read = viewer.read().unwrap();
        assert!(read.is_none_or(|(_, value)| value.as_bytes().len() == 32));
    }
}

#[test]
fn a_ring_larger_than_this_side_wants_is_refused_and_so_is_one_that_no_memory_has() {
    let (here, there) = UnixStream::pair().unwrap();
    std::thread::scope(|scope| {
        scope.spawn(|| Channel::connect(there, 4096).is_ok());
        let options = ChannelOptions::new(64).peer_limit(4000);
        let error = Channel::connect_until(here, options, Deadline::never()).unwrap_err();
        assert!(error.to_string().contains("are the most that are taken"), "{error}");
    });
    for capacity in [0, usize::MAX, usize::MAX - 7, usize::MAX - 400] {
        let (here, _there) = UnixStream::pair().unwrap();
        assert_eq!(Channel::connect(here, capacity).unwrap_err().kind(), ErrorKind::InvalidInput);
    }
}

#[test]
fn a_silent_peer_holds_nobody() {
    let (here, there) = UnixStream::pair().unwrap();
    let error = Channel::connect_until(here, ChannelOptions::new(64), soon()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Busy);
    drop(there);
    let (here, there) = UnixStream::pair().unwrap();
    assert_eq!(Viewer::<u64>::receive_until(&here, soon()).unwrap_err().kind(), ErrorKind::Busy);
    assert_eq!(crate::Segment::receive_until(&here, soon()).unwrap_err().kind(), ErrorKind::Busy);
    // One that takes nothing: the socket is full of what was sent before.
    here.set_nonblocking(true).unwrap();
    while std::io::Write::write(&mut &here, &[0; 4096]).is_ok() {}
    here.set_nonblocking(false).unwrap();
    let error = Channel::connect_until(here, ChannelOptions::new(64), soon()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Busy);
    drop(there);
}

#[test]
fn the_end_of_a_publisher_is_seen_after_its_last_value() {
    let (here, there) = UnixStream::pair().unwrap();
    let mut publisher = Publisher::new(7u64).unwrap();
    publisher.send(&here).unwrap();
    drop(here);
    let viewer = Viewer::<u64>::receive(&there).unwrap();
    assert_eq!(viewer.changed(0, soon()), Ok(false), "the publisher lives, and keeps its socket");
    publisher.publish(&8);
    drop(publisher);
    assert_eq!(viewer.changed(0, Deadline::never()), Ok(true));
    assert_eq!(viewer.changed(1, Deadline::never()), Err(PeerError::Gone));
    assert_eq!(viewer.read().unwrap(), Some((1, 8)));
}
