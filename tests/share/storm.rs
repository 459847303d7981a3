//! Everything at once, between processes that are killed and stopped at random: nobody hangs, nothing is
//! torn, and in the end everything adds up.
//!
//! A role drives it: it has one thread, and forks the workers. Each worker does one random thing after the
//! other, counts what it has done in memory that outlives it, and checks whatever it reads. The driver sends
//! thousands of signals: SIGKILL, after which another worker takes the place, and SIGSTOP, with SIGCONT some
//! signals later. A worker that has done nothing for a minute, although nobody is stopped, has hung.

#![allow(unsafe_code, reason = "fork and kill have no safe form")]

use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use mapwright::share::{
    Barrier, BarrierOptions, Deadline, Event, EventOptions, Kind, LockError, Log, LogError, LogOptions,
    LogReader, Mutex, MutexGuard, Once, Orphans, Parcel, Parties, Policy, Pool, PoolOptions, Queue,
    QueueOptions, RwLock, RwLockOptions, Segment, Semaphore, SemaphoreOptions, Snapshot, SnapshotOptions,
    Start, Table, TableOptions, Topic, TopicOptions, WriteGuard,
};
use mapwright::{Map, MapOptions, ReadWrite};

use crate::support::process::{Parent, Process};
use crate::support::random::{self, Random};
use crate::support::signals::exit_now;
use crate::support::suite::{role, suite};

suite!(tests: [a_storm_of_kills_and_stops_over_everything_adds_up], roles: [drive]);

/// How many signals are sent.
const SIGNALS: u64 = 10_000;
const WORKERS: usize = 4;
const PERMITS: usize = 3;
const CHUNKS: usize = 16;
/// Every value is two numbers that are always changed together.
type Pair = [u64; 2];

fn a_storm_of_kills_and_stops_over_everything_adds_up() {
    let seed = random::seed().to_string();
    let signals = std::env::var("MAPWRIGHT_STORM").unwrap_or_else(|_| SIGNALS.to_string());
    let mut driver = Process::start(role!(drive), &[&seed, &signals]);
    let said = driver.hear_all();
    let summary = said.lines().last().unwrap_or_default().to_owned();
    assert_eq!(driver.wait(), crate::support::process::Ended::Exit(0), "{said}");
    println!("{summary}");
}

/// One thing that a worker does, and what it is called.
type Deed = (&'static str, fn(&mut Worker));

/// What a worker does, one of these at a time.
const DEEDS: [Deed; 13] = [
    ("mutex", Worker::mutex),
    ("rwlock read", Worker::read),
    ("rwlock write", Worker::write),
    ("semaphore", Worker::semaphore),
    ("queue send", Worker::send),
    ("queue receive", Worker::receive),
    ("topic publish", Worker::publish),
    ("topic receive", Worker::subscribe),
    ("pool", Worker::pool),
    ("snapshot", Worker::snapshot),
    ("table", Worker::table),
    ("log", Worker::log),
    ("event, once, barrier", Worker::meet),
];

/// The word of a worker's place that says what it is doing.
const NOW: usize = 15;
/// The word of a worker's place that says how many there have found something wrong.
const WRONG: usize = 14;

/// A word for each deed of each worker.
struct Tally(Map<ReadWrite>);

impl Tally {
    fn new() -> Self {
        Self(MapOptions::new().shared_memory(4096).unwrap())
    }

    fn word(&self, worker: usize, deed: usize) -> mapwright::AtomicView<'_, u64, ReadWrite> {
        self.0.view().atomic::<u64>((worker * 16 + deed) * 8).unwrap()
    }

    fn of(&self, worker: usize) -> u64 {
        (0..DEEDS.len()).map(|deed| self.word(worker, deed).load(Ordering::Relaxed).unwrap()).sum()
    }

    fn total(&self) -> u64 {
        (0..WORKERS).map(|worker| self.of(worker)).sum()
    }
}

fn make() -> Segment {
    Segment::anonymous("storm")
        .with::<Mutex<Pair>>("mutex", [0; 2])
        .with::<RwLock<Pair>>("rwlock", RwLockOptions::new([0; 2]))
        .with::<Semaphore>("semaphore", SemaphoreOptions::new(PERMITS))
        .with::<Queue<Pair>>(
            "queue",
            QueueOptions::new(64).senders(Parties::Many).receivers(Parties::Many).orphans(Orphans::Redeliver),
        )
        .with::<Topic<Pair>>("topic", TopicOptions::new(64).publishers(8).readers(16))
        .with::<Pool>("pool", PoolOptions::new(1024, CHUNKS))
        .with::<Queue<Parcel>>(
            "parcels",
            QueueOptions::new(CHUNKS)
                .senders(Parties::Many)
                .receivers(Parties::Many)
                .orphans(Orphans::Redeliver),
        )
        .with::<Snapshot<Pair>>("snapshot", SnapshotOptions::new([0; 2]))
        .with::<Table<u64, Pair>>("table", TableOptions::new(64))
        .with::<Log>("log", LogOptions::new(1 << 20))
        .with::<Event>("event", EventOptions::Auto)
        .with::<Once>("once", ())
        .with::<Barrier>("barrier", BarrierOptions::new(2))
        .create()
        .unwrap()
}

struct Worker {
    segment: Segment,
    random: Random,
    log: LogReader,
}

impl Worker {
    fn run(segment: &Segment, tally: &Tally, index: usize, seed: u64) -> ! {
        let segment = segment.reattach().unwrap();
        let log = segment.get::<Log>("log").unwrap().read_from(0);
        let mut worker = Self { segment, random: Random::of_seed(seed), log };
        loop {
            let deed = worker.random.below(DEEDS.len());
            tally.word(index, NOW).store(u64::try_from(deed).unwrap(), Ordering::Relaxed).unwrap();
            for _ in 0..1 + worker.random.below(8) {
                DEEDS[deed].1(&mut worker);
            }
            tally.word(index, deed).fetch_add(1).unwrap();
        }
    }

    fn soon(&mut self) -> Deadline {
        let micros = [0, 50, 500, 5000][self.random.below(4)];
        Deadline::after(Duration::from_micros(micros))
    }

    fn mutex(&mut self) {
        let mutex: Mutex<Pair> = self.segment.get("mutex").unwrap();
        take(&mutex).update(step);
    }

    fn read(&mut self) {
        let lock: RwLock<Pair> = self.segment.get("rwlock").unwrap();
        match lock.read() {
            Ok(guard) => whole(guard.load()),
            Err(LockError::OwnerDied(recovery)) => drop(recovery.recover()),
            Err(_) => drop(own(&lock)),
        }
    }

    fn write(&mut self) {
        let lock: RwLock<Pair> = self.segment.get("rwlock").unwrap();
        own(&lock).update(step);
    }

    fn semaphore(&mut self) {
        let semaphore: Semaphore = self.segment.get("semaphore").unwrap();
        let until = self.soon();
        let permit = semaphore.acquire_until(until);
        assert!(semaphore.available() <= PERMITS);
        drop(permit);
    }

    fn send(&mut self) {
        let number = self.random.next();
        let queue: Queue<Pair> = self.segment.get("queue").unwrap();
        let until = self.soon();
        if let Ok(mut sender) = queue.sender() {
            let _full = sender.send_until(&[number, number], until);
        }
    }

    fn receive(&mut self) {
        let queue: Queue<Pair> = self.segment.get("queue").unwrap();
        let until = self.soon();
        let Ok(mut receiver) = queue.receiver() else { return };
        if self.random.below(2) == 0 {
            if let Ok(value) = receiver.receive_until(until) {
                whole(value);
            }
        } else if let Ok(lease) = receiver.lease_until(until)
            && let Ok(value) = lease.complete()
        {
            whole(value);
        }
    }

    fn publish(&mut self) {
        let topic: Topic<Pair> = self.segment.get("topic").unwrap();
        let number = self.random.next();
        let until = self.soon();
        if let Ok(mut publisher) = topic.publisher() {
            for _ in 0..20 {
                let _full = publisher.publish_until(&[number, number], until);
            }
        }
    }

    fn subscribe(&mut self) {
        let topic: Topic<Pair> = self.segment.get("topic").unwrap();
        let policy = [Policy::Block, Policy::DropOldest, Policy::DropNewest { places: 8 }, Policy::Fail]
            [self.random.below(4)];
        let start = [Start::Newest, Start::Oldest][self.random.below(2)];
        let until = self.soon();
        if let Ok(mut subscriber) = topic.subscribe(policy, start) {
            for _ in 0..20 {
                if let Ok(value) = subscriber.receive_until(until) {
                    whole(value);
                }
            }
        }
    }

    fn pool(&mut self) {
        let pool: Pool = self.segment.get("pool").unwrap();
        let parcels: Queue<Parcel> = self.segment.get("parcels").unwrap();
        if let Ok(mut loan) = pool.try_loan() {
            let byte = u8::try_from(self.random.below(256)).unwrap();
            loan.copy_from(&[byte; 1000]).unwrap();
            if self.random.below(3) > 0
                && let Ok(mut sender) = parcels.sender()
            {
                let _full = loan.hand_over(|parcel| sender.try_send(&parcel));
            }
        }
        if let Ok(mut receiver) = parcels.receiver()
            && let Ok(parcel) = receiver.try_receive()
            // Refused where its sender died and the chunk was needed.
            && let Ok(received) = pool.receive(parcel)
        {
            let bytes = received.to_vec().unwrap();
            assert!(bytes.len() == 1000 && bytes.iter().all(|&byte| byte == bytes[0]), "a chunk was torn");
        }
    }

    fn snapshot(&mut self) {
        let snapshot: Snapshot<Pair> = self.segment.get("snapshot").unwrap();
        whole(snapshot.read().unwrap());
        let until = self.soon();
        if let Ok(mut writer) = snapshot.writer_until(until) {
            writer.update(step).unwrap();
        }
    }

    fn table(&mut self) {
        let table: Table<u64, Pair> = self.segment.get("table").unwrap();
        let key = u64::try_from(self.random.below(50)).unwrap();
        match self.random.below(4) {
            0 => table.get(&key).unwrap().into_iter().for_each(whole),
            1 => drop(table.insert(&key, &[key, key])),
            2 => drop(table.remove(&key)),
            _ => drop(table.update_if(&key, |mut pair| {
                whole(pair);
                step(&mut pair);
                Some(pair)
            })),
        }
    }

    fn log(&mut self) {
        let log: Log = self.segment.get("log").unwrap();
        let byte = u8::try_from(self.random.below(256)).unwrap();
        let len = 1 + self.random.below(40);
        match log.append(&vec![byte; len]) {
            Ok(_) | Err(LogError::Full) => {}
            Err(error) => panic!("append: {error}"),
        }
        let mut record = Vec::new();
        for _ in 0..4 {
            if self.log.try_next_into(&mut record).is_ok() {
                assert!(record.iter().all(|&byte| byte == record[0]), "a record was torn");
            }
        }
    }

    fn meet(&mut self) {
        let event: Event = self.segment.get("event").unwrap();
        event.set().unwrap();
        let until = self.soon();
        let _too_late = event.wait_until(until);
        let once: Once = self.segment.get("once").unwrap();
        let _already = once.call_once(|| ()).unwrap();
        assert!(once.is_completed());
        let barrier: Barrier = self.segment.get("barrier").unwrap();
        if let Ok(mut member) = barrier.join() {
            let until = self.soon();
            let _broken = member.wait_until(until);
        }
        if barrier.broken().is_some() {
            let _reset = barrier.reset();
        }
    }
}

fn step(pair: &mut Pair) {
    whole(*pair);
    pair[0] += 1;
    pair[1] += 1;
}

fn whole(pair: Pair) {
    assert_eq!(pair[0], pair[1], "torn");
}

fn take(mutex: &Mutex<Pair>) -> MutexGuard<'_, Pair> {
    match mutex.lock() {
        Ok(guard) => guard,
        Err(LockError::OwnerDied(recovery)) => recovery.recover(),
        Err(_) => mutex.repair(|_| ()).unwrap(),
    }
}

fn own(lock: &RwLock<Pair>) -> WriteGuard<'_, Pair> {
    match lock.write() {
        Ok(guard) => guard,
        Err(LockError::OwnerDied(recovery)) => recovery.recover(),
        Err(_) => lock.repair(|_| ()).unwrap(),
    }
}

/// A worker process, and whether it is stopped.
struct Subject {
    process: i32,
    is_stopped: bool,
    /// What its place had done when it began.
    done_before: u64,
}

impl Subject {
    fn start(segment: &Segment, tally: &'static Tally, index: usize, seed: u64) -> Self {
        let done_before = tally.of(index);
        // SAFETY: the driver has one thread, so the child is as whole as its parent.
        match unsafe { libc::fork() } {
            -1 => panic!("fork: {}", std::io::Error::last_os_error()),
            0 => {
                // SAFETY: takes numbers: the worker dies with the driver.
                unsafe { libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL) };
                // First of all it is noted: the worker may be killed before it has ended by itself.
                std::panic::set_hook(Box::new(move |what| {
                    let _before = tally.word(index, WRONG).fetch_add(1);
                    eprintln!("{what}");
                    exit_now(101)
                }));
                Worker::run(segment, tally, index, seed)
            }
            process => Self { process, is_stopped: false, done_before },
        }
    }

    fn signal(&mut self, signal: i32) {
        // SAFETY: takes numbers; the child was not waited for.
        assert_eq!(unsafe { libc::kill(self.process, signal) }, 0);
        self.is_stopped = signal == libc::SIGSTOP;
    }

    /// Kills it, and demands that it had not ended by itself.
    fn kill(&mut self) {
        self.signal(libc::SIGKILL);
        let mut status = 0;
        // SAFETY: the child is ours; the status is a local.
        assert_eq!(unsafe { libc::waitpid(self.process, &raw mut status, 0) }, self.process);
        assert!(libc::WIFSIGNALED(status), "a worker ended by itself: a check failed ({status:#x})");
    }
}

fn drive(parent: &mut Parent) {
    let seed: u64 = parent.arg(0).parse().unwrap();
    let signals: u64 = parent.arg(1).parse().unwrap();
    let mut random = Random::of_seed(seed);
    let segment = make();
    let tally: &Tally = Box::leak(Box::new(Tally::new()));
    let begin = |index: usize, random: &mut Random| Subject::start(&segment, tally, index, random.next());
    let mut workers: Vec<Subject> = (0..WORKERS).map(|index| begin(index, &mut random)).collect();
    let (mut kills, mut stops) = (0u64, 0u64);
    let start = Instant::now();
    for sent in 0..signals {
        let index = random.below(WORKERS);
        let wanted = random.below(30);
        let worker = &mut workers[index];
        if worker.is_stopped {
            worker.signal(libc::SIGCONT);
            continue;
        }
        // Sometimes in its first steps, sometimes later. It may be waiting for one that is stopped.
        for _ in 0..wanted {
            if tally.of(index) > worker.done_before {
                break;
            }
            std::thread::yield_now();
        }
        if random.below(3) == 0 {
            worker.signal(libc::SIGSTOP);
            stops += 1;
        } else {
            worker.kill();
            kills += 1;
            workers[index] = begin(index, &mut random);
        }
        if sent % 1000 == 999 {
            demand_progress(&mut workers, tally);
        }
    }
    demand_progress(&mut workers, tally);
    workers.iter_mut().for_each(Subject::kill);
    let wrong = |index| tally.word(index, WRONG).load(Ordering::Relaxed).unwrap();
    assert_eq!((0..WORKERS).map(wrong).sum::<u64>(), 0, "workers found something wrong (see above)");
    let summary = add_up(&segment, tally);
    let seconds = start.elapsed().as_secs();
    parent.say(format!("{signals} signals ({kills} kills, {stops} stops) in {seconds} s; {summary}"));
}

/// Continues everybody, and waits until each worker has done something more.
fn demand_progress(workers: &mut [Subject], tally: &Tally) {
    workers.iter_mut().filter(|worker| worker.is_stopped).for_each(|worker| worker.signal(libc::SIGCONT));
    let before: Vec<u64> = (0..WORKERS).map(|index| tally.of(index)).collect();
    let start = Instant::now();
    while (0..WORKERS).any(|index| tally.of(index) == before[index]) {
        let hung: Vec<usize> = (0..WORKERS).filter(|&index| tally.of(index) == before[index]).collect();
        assert!(start.elapsed() < Duration::from_secs(60), "{}", blame(&hung, tally));
        std::thread::yield_now();
    }
}

/// Says what those were doing who hang.
fn blame(hung: &[usize], tally: &Tally) -> String {
    let deed = |&worker: &usize| {
        let deed = tally.word(worker, NOW).load(Ordering::Relaxed).unwrap();
        format!("worker {worker} ({})", DEEDS[usize::try_from(deed).unwrap()].0)
    };
    let hung: Vec<String> = hung.iter().map(deed).collect();
    format!("nothing was done for a minute by {}", hung.join(", "))
}

/// Nobody is left: everything has to be usable, and complete.
fn add_up(segment: &Segment, tally: &Tally) -> String {
    let minute = || Deadline::after(Duration::from_secs(60));
    let locked = take(&segment.get::<Mutex<Pair>>("mutex").unwrap()).load();
    let written = own(&segment.get::<RwLock<Pair>>("rwlock").unwrap()).load();
    whole(locked);
    whole(written);
    let semaphore: Semaphore = segment.get("semaphore").unwrap();
    let permits: Vec<_> = (0..PERMITS).map(|_| semaphore.acquire_until(minute()).unwrap()).collect();
    assert!(semaphore.try_acquire().is_err(), "a permit too many");
    drop(permits);
    let queue: Queue<Pair> = segment.get("queue").unwrap();
    let (mut sender, mut receiver) = (queue.sender().unwrap(), queue.receiver().unwrap());
    while let Ok(value) = receiver.try_receive() {
        whole(value);
    }
    let room = u64::try_from(queue.capacity()).unwrap();
    (0..room).for_each(|number| sender.try_send(&[number; 2]).unwrap());
    assert!(sender.try_send(&[0; 2]).is_err(), "a place too many");
    let received: Vec<Pair> = (0..room).map(|_| receiver.try_receive().unwrap()).collect();
    assert!((0..room).zip(&received).all(|(number, value)| *value == [number; 2]), "{received:?}");
    let parcels: Queue<Parcel> = segment.get("parcels").unwrap();
    let pool: Pool = segment.get("pool").unwrap();
    let mut parcels = parcels.receiver().unwrap();
    while let Ok(parcel) = parcels.try_receive() {
        drop(pool.receive(parcel));
    }
    pool.in_transit().into_iter().for_each(|parcel| drop(pool.recall(parcel)));
    let loans: Vec<_> = (0..CHUNKS).map(|_| pool.loan_until(minute()).unwrap()).collect();
    assert!(pool.try_loan().is_err(), "a chunk too many");
    drop(loans);
    whole(segment.get::<Snapshot<Pair>>("snapshot").unwrap().read().unwrap());
    let table: Table<u64, Pair> = segment.get("table").unwrap();
    table.iter().unwrap().for_each(|(_, pair)| whole(pair));
    for key in 0..64u64 {
        let _before = table.insert(&key, &[key, key]).unwrap();
    }
    assert_eq!(table.len(), 64);
    assert_eq!(segment.objects().filter(|(_, kind)| *kind == Kind::Queue).count(), 2);
    let mut records = 0;
    let mut log = segment.get::<Log>("log").unwrap().read_from(0);
    while log.try_next().is_ok() {
        records += 1;
    }
    let topic: Topic<Pair> = segment.get("topic").unwrap();
    topic.publisher().unwrap().publish_until(&[1; 2], minute()).unwrap();
    let deeds = tally.total();
    format!(
        "{deeds} rounds of work, {} under the mutex, {} written, {records} log records",
        locked[0], written[0]
    )
}
