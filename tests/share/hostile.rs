//! Peers without manners: a process that scribbles over everything it may write while others use it.
//!
//! Over an untrusted channel that must change nothing but its own messages. Over a segment, which is for
//! processes that cooperate, it may spoil every answer, and still nobody crashes and nobody touches other
//! memory.

use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::process::Stdio;
use std::time::{Duration, Instant};

use mapwright::Map;
use mapwright::share::untrusted::{Channel, PeerError, Publisher, Viewer};
use mapwright::share::{
    Barrier, BarrierOptions, Deadline, Directory, Event, EventOptions, Log, LogOptions, Mutex, Once, Parties,
    Policy, Pool, PoolOptions, Queue, QueueOptions, Records, RecordsOptions, RwLock, RwLockOptions, Segment,
    Semaphore, SemaphoreOptions, Snapshot, SnapshotOptions, Start, Table, TableOptions, Topic, TopicOptions,
};

use crate::support::process::{Ended, Parent, Process};
use crate::support::random::{self, Random};
use crate::support::suite::{role, suite};
use crate::support::watchdog::Watch;

suite!(
    tests: [
        a_peer_that_scribbles_over_its_side_of_a_channel_harms_nobody,
        a_publisher_that_scribbles_over_its_value_harms_nobody,
        a_process_that_scribbles_over_a_segment_makes_nobody_crash,
    ],
    roles: [
        scribble_over_a_channel,
        scribble_over_a_value,
        scribble_over_a_segment,
        use_everything,
        look_at_everything,
    ],
);

const TIME: Duration = Duration::from_secs(3);

/// Speaks the channel's protocol by hand: sends a memory file that it goes on scribbling over.
fn scribble_over_a_channel(parent: &mut Parent) {
    let mut random = Random::of_seed(parent.arg(0).parse().unwrap());
    let socket = UnixStream::from(std::io::stdin().as_fd().try_clone_to_owned().unwrap());
    // A real one first, whose outbox is then found among this process's maps and written by hand.
    let channel = Channel::connect(socket, 4096).unwrap();
    let outbox = own_memory("channel");
    loop {
        for _ in 0..100 {
            let at = random.below(outbox.len() / 8) * 8;
            let value = match random.below(4) {
                0 => random.next(),
                1 => u64::try_from(random.below(1024) * 8).unwrap(),
                _ => u64::try_from(random.below(64)).unwrap(),
            };
            outbox.view().store(at, value).unwrap();
        }
        // The position of what was sent, so that the other side looks.
        outbox.view().store(128, u64::try_from(random.below(1024) * 8).unwrap()).unwrap();
        std::hint::black_box(&channel);
    }
}

/// The memory that this process shares as its own side. It is sealed against new maps for writing, so it is
/// written through the map that exists: by way of /proc/self/mem, as a debugger would.
struct Outbox {
    memory: std::fs::File,
    start: u64,
    len: usize,
}

impl Outbox {
    const fn len(&self) -> usize {
        self.len
    }

    fn view(&self) -> &Self {
        self
    }

    fn store(&self, at: usize, value: u64) -> std::io::Result<()> {
        let place = self.start + u64::try_from(at).unwrap();
        std::os::unix::fs::FileExt::write_all_at(&self.memory, &value.to_ne_bytes(), place)
    }
}

fn own_memory(label: &str) -> Outbox {
    let maps = std::fs::read_to_string("/proc/self/maps").unwrap();
    let name = format!("/memfd:{label}");
    let line = maps.lines().find(|line| line.contains(&name) && line.contains("rw-s")).unwrap();
    let (start, end) = line.split_whitespace().next().unwrap().split_once('-').unwrap();
    let [start, end] = [start, end].map(|number| u64::from_str_radix(number, 16).unwrap());
    let memory = std::fs::File::options().write(true).open("/proc/self/mem").unwrap();
    Outbox { memory, start, len: usize::try_from(end - start).unwrap() }
}

fn a_peer_that_scribbles_over_its_side_of_a_channel_harms_nobody() {
    let seed = random::seed();
    let start = Instant::now();
    let (mut channels, mut calls, mut received, mut refused) = (0u32, 0u32, 0u32, 0u32);
    while start.elapsed() < TIME || refused == 0 {
        let (here, there) = UnixStream::pair().unwrap();
        let seed = (seed ^ u64::from(channels)).to_string();
        let peer = Process::start_with_stdin(
            role!(scribble_over_a_channel),
            &[&seed],
            Stdio::from(OwnedFd::from(there)),
        );
        channels += 1;
        let Ok(mut channel) = Channel::connect(here, 4096) else {
            // It scribbled over its header before we could read it.
            refused += 1;
            continue;
        };
        let mut message = Vec::new();
        for _ in 0..2000 {
            let _watch = Watch::with_patience("one call with a hostile peer", Duration::from_secs(60));
            let asked = Instant::now();
            let soon = Deadline::after(Duration::from_micros(200));
            let answer = channel.receive(&mut message, soon);
            let sent = channel.send(b"are you well?", soon);
            assert!(asked.elapsed() < Duration::from_secs(30), "a call came back long after its deadline");
            assert!(message.len() <= 4096);
            calls += 2;
            received += u32::from(answer.is_ok());
            let is_over = |answer: &Result<(), PeerError>| matches!(answer, Err(PeerError::Misbehaved(_)));
            if is_over(&answer) || is_over(&sent) {
                refused += 1;
                break;
            }
        }
        assert_eq!(peer.kill(), Ended::Signal(9), "the scribbler itself has failed");
    }
    println!("{channels} hostile peers, {calls} calls: {received} messages of nonsense, {refused} refusals");
}

/// Publishes a value, and then anything at all.
fn scribble_over_a_value(parent: &mut Parent) {
    let mut random = Random::of_seed(parent.arg(0).parse().unwrap());
    let socket = UnixStream::from(std::io::stdin().as_fd().try_clone_to_owned().unwrap());
    let mut publisher = Publisher::new([1u64; 4]).unwrap();
    publisher.send(&socket).unwrap();
    let memory = own_memory("published");
    loop {
        let at = random.below(memory.len() / 8) * 8;
        memory.view().store(at, random.next()).unwrap();
        // Where the number of the newest is, and where a reader looks by it.
        memory.view().store(128, u64::try_from(random.below(8)).unwrap()).unwrap();
        if random.below(4) == 0 {
            publisher.publish(&[random.next(); 4]);
        }
    }
}

fn a_publisher_that_scribbles_over_its_value_harms_nobody() {
    let seed = random::seed();
    let start = Instant::now();
    let (mut peers, mut read, mut gave_up, mut refused) = (0u32, 0u32, 0u32, 0u32);
    while start.elapsed() < TIME {
        let (here, there) = UnixStream::pair().unwrap();
        let seed = (seed ^ u64::from(peers)).to_string();
        let stdin = Stdio::from(OwnedFd::from(there));
        let peer = Process::start_with_stdin(role!(scribble_over_a_value), &[&seed], stdin);
        peers += 1;
        let until = Deadline::after(Duration::from_secs(60));
        match Viewer::<[u64; 4]>::receive_until(&here, until) {
            Err(_) => refused += 1,
            Ok(viewer) => {
                for round in 0..2000 {
                    let _watch = Watch::with_patience("a look at a hostile value", Duration::from_secs(60));
                    let _changed = viewer.changed(round % 8, Deadline::after(Duration::from_micros(200)));
                    match viewer.read().unwrap() {
                        Some(_) => read += 1,
                        None => gave_up += 1,
                    }
                }
            }
        }
        assert_eq!(peer.kill(), Ended::Signal(9), "the scribbler itself has failed");
    }
    println!("{peers} hostile publishers: {read} values, {gave_up} times none, {refused} refusals");
}

fn make(path: &std::path::Path) -> Segment {
    Segment::builder("one")
        .directory(path)
        .with::<Mutex<u64>>("mutex", 7)
        .with::<RwLock<u64>>("rwlock", RwLockOptions::new(7))
        .with::<Semaphore>("semaphore", SemaphoreOptions::new(2))
        .with::<Queue<u64>>("queue", QueueOptions::new(16).senders(Parties::Many).receivers(Parties::Many))
        .with::<Queue<u64>>("lane", QueueOptions::new(16))
        .with::<Topic<u64>>("topic", TopicOptions::new(16))
        .with::<Pool>("pool", PoolOptions::new(256, 8))
        .with::<Snapshot<[u64; 4]>>("snapshot", SnapshotOptions::new([0; 4]))
        .with::<Table<u64, u64>>("table", TableOptions::new(32))
        .with::<Log>("log", LogOptions::new(4096))
        .with::<Records>("records", RecordsOptions::new(4096))
        .with::<Barrier>("barrier", BarrierOptions::new(2))
        .with::<Once>("once", ())
        .with::<Event>("event", EventOptions::Auto)
        .create()
        .unwrap()
}

/// Writes random words all over the segment's objects, through a map of the file.
fn scribble_over_a_segment(parent: &mut Parent) {
    let mut random = Random::of_seed(parent.arg(1).parse().unwrap());
    let map = Map::open_mut(std::path::Path::new(parent.arg(0)).join("one")).unwrap();
    let view = map.view();
    // The first page is put back again and again: whoever opens it is to come past the checksum.
    let first: Vec<u64> = (0..512).map(|index| view.load(index * 8).unwrap()).collect();
    for round in 0u64.. {
        if round.is_multiple_of(64) {
            first.iter().enumerate().for_each(|(index, &word)| view.store(index * 8, word).unwrap());
        }
        let at = random.below(view.len() / 8) * 8;
        let value = match random.below(3) {
            0 => random.next(),
            1 => u64::try_from(random.below(256)).unwrap(),
            _ => 0,
        };
        view.store(at, value).unwrap();
    }
}

/// Uses every object again and again, with deadlines. Answers may be anything; it has to come to its end.
fn use_everything(parent: &mut Parent) {
    let segment = Directory::at(parent.arg(0)).unwrap().open("one");
    parent.say("ready");
    assert_eq!(parent.hear(), "begin");
    let segment = segment.unwrap();
    let start = Instant::now();
    let mut rounds = 0u64;
    while start.elapsed() < TIME {
        use_once(&segment);
        rounds += 1;
    }
    parent.say(rounds);
    // Locks that were scribbled over are nobody's; what holds them must not be waited for at the end either.
    crate::support::signals::exit_now(0);
}

/// Opens the segment and looks at it from outside, again and again; answers may be anything.
fn look_at_everything(parent: &mut Parent) {
    let directory = Directory::at(parent.arg(0)).unwrap();
    parent.say("ready");
    assert_eq!(parent.hear(), "begin");
    let start = Instant::now();
    let (mut rounds, mut opened, mut inspected) = (0u64, 0u64, 0u64);
    while start.elapsed() < TIME {
        rounds += 1;
        if let Ok(segment) = directory.open("one") {
            opened += 1;
            use_once(&segment);
        }
        inspected += u64::from(directory.inspect("one").is_ok());
        let _named = directory.survey().unwrap();
        if let Ok(reader) = directory.open_read_only("one") {
            let _objects = reader.objects().count();
            drop(reader.raw_snapshot("snapshot").map(|(snapshot, _)| snapshot.read_into(&mut Vec::new())));
        }
        let pruned = directory.prune().unwrap();
        assert!(pruned.removed.is_empty(), "a segment was removed that others hold");
    }
    parent.say(format!("{rounds} looks ({opened} opened, {inspected} inspected)"));
    crate::support::signals::exit_now(0);
}

fn use_once(segment: &Segment) {
    let soon = || Deadline::after(Duration::from_micros(500));
    if let Ok(mutex) = segment.get::<Mutex<u64>>("mutex") {
        match mutex.lock_until(soon()) {
            Ok(mut guard) => guard.update(|value| *value = value.wrapping_add(1)),
            Err(_) => drop(mutex.repair_until(soon(), |_| ()).map(drop)),
        }
    }
    if let Ok(lock) = segment.get::<RwLock<u64>>("rwlock") {
        drop(lock.read_until(soon()).map(|guard| guard.load()));
        drop(lock.write_until(soon()).map(|mut guard| guard.store(1)));
    }
    if let Ok(semaphore) = segment.get::<Semaphore>("semaphore") {
        drop(semaphore.acquire_until(soon()));
    }
    for queue in ["queue", "lane"] {
        if let Ok(queue) = segment.get::<Queue<u64>>(queue) {
            if let Ok(mut sender) = queue.sender() {
                let _full = sender.send_until(&1, soon());
            }
            if let Ok(mut receiver) = queue.receiver() {
                let _empty = receiver.receive_until(soon());
            }
        }
    }
    if let Ok(topic) = segment.get::<Topic<u64>>("topic") {
        if let Ok(mut publisher) = topic.publisher() {
            let _full = publisher.publish_until(&1, soon());
        }
        if let Ok(mut subscriber) = topic.subscribe(Policy::DropOldest, Start::Oldest) {
            let _empty = subscriber.receive_until(soon());
        }
    }
    if let Ok(pool) = segment.get::<Pool>("pool")
        && let Ok(mut loan) = pool.loan_until(soon())
    {
        drop(loan.copy_from(b"bytes"));
        let parcel = loan.send();
        drop(pool.receive(parcel).map(|received| received.to_vec()));
    }
    if let Ok(snapshot) = segment.get::<Snapshot<[u64; 4]>>("snapshot") {
        let _lapped = snapshot.try_read();
        if let Ok(mut writer) = snapshot.writer_until(soon()) {
            let _damaged = writer.publish(&[1; 4]);
        }
    }
    if let Ok(table) = segment.get::<Table<u64, u64>>("table") {
        for key in 0..8 {
            let _answers = (table.insert(&key, &key), table.get(&key), table.remove(&key));
        }
        if let Ok(entries) = table.iter() {
            assert!(entries.take(10_000).count() < 10_000, "a walk over a table of 32 has no end");
        }
    }
    if let Ok(log) = segment.get::<Log>("log") {
        let _full = log.append(b"record");
        let mut reader = log.read_from(0);
        for _ in 0..100 {
            if reader.try_next().is_err() {
                break;
            }
        }
    }
    if let Ok(records) = segment.get::<Records>("records") {
        if let Ok(mut sender) = records.sender() {
            let _full = sender.send_until(b"record", soon());
        }
        if let Ok(mut receiver) = records.receiver() {
            let _empty = receiver.receive_into_until(&mut Vec::new(), soon());
        }
    }
    if let Ok(barrier) = segment.get::<Barrier>("barrier") {
        if let Ok(mut member) = barrier.join() {
            let _broken = member.wait_until(soon());
        }
        let _whole = barrier.reset();
    }
    if let Ok(once) = segment.get::<Once>("once") {
        let _called = once.call_once_until(soon(), |_| ());
    }
    if let Ok(event) = segment.get::<Event>("event") {
        let _set = event.set();
        let _came = event.wait_until(soon());
    }
    let _whoever = segment.participants();
}

fn a_process_that_scribbles_over_a_segment_makes_nobody_crash() {
    let seed = random::seed().to_string();
    let folder = super::folder();
    let path = folder.path().to_str().unwrap();
    let segment = make(folder.path());
    let mut users: Vec<Process> = (0..2).map(|_| Process::start(role!(use_everything), &[path])).collect();
    users.push(Process::start(role!(look_at_everything), &[path]));
    for user in &mut users {
        assert_eq!(user.hear(), "ready");
    }
    let scribbler = Process::start_with_stdin(role!(scribble_over_a_segment), &[path, &seed], Stdio::null());
    users.iter_mut().for_each(|user| user.say("begin"));
    for mut user in users {
        let _watch =
            Watch::with_patience("a user of a segment that is scribbled over", Duration::from_secs(120));
        let rounds = user.hear();
        println!("{rounds} rounds while somebody scribbled");
        assert_eq!(user.wait(), Ended::Exit(0));
    }
    scribbler.kill();
    let _still_answers = Directory::at(path).unwrap().inspect("one");
    drop(segment);
}
