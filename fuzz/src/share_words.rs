//! Segments whose header, catalogue, seats and objects were overwritten: opened or refused, used or refused,
//! and nobody panics, waits for ever, or reaches other memory.

use std::path::Path;
use std::sync::OnceLock;

use arbitrary::Arbitrary;
use mapwright_share::{
    Barrier, BarrierOptions, Deadline, Directory, Event, EventOptions, Log, LogOptions, Mutex, Once, Parties,
    Policy, Pool, PoolOptions, Queue, QueueOptions, Records, RecordsOptions, RwLock, RwLockOptions, Segment,
    Semaphore, SemaphoreOptions, Snapshot, SnapshotOptions, Start, Table, TableOptions, Topic, TopicOptions,
};

/// What somebody has written over a segment.
#[derive(Arbitrary, Debug)]
pub struct Scribble {
    /// Over its first pages, before it is opened: place and bytes.
    header: Vec<(u16, u8)>,
    /// Over the objects, while it is open.
    words: Vec<(u16, Word)>,
    /// What is used, in which order.
    uses: Vec<u8>,
}

/// Numbers that mean something, and others.
#[derive(Arbitrary, Debug, Clone, Copy)]
enum Word {
    Any(u64),
    Small(u8),
    High(u8),
    All,
}

impl Word {
    fn value(self) -> u64 {
        match self {
            Self::Any(value) => value,
            Self::Small(value) => value.into(),
            Self::High(value) => u64::from(value) << 56 | 1,
            Self::All => u64::MAX,
        }
    }
}

/// A whole segment as it is born, and where its first object is.
fn template() -> &'static [u8] {
    static BYTES: OnceLock<Vec<u8>> = OnceLock::new();
    BYTES.get_or_init(|| {
        let folder = tempfile::tempdir().expect("a folder");
        drop(make(folder.path()));
        std::fs::read(folder.path().join("one")).expect("what was just made")
    })
}

fn make(folder: &Path) -> Segment {
    let many = || QueueOptions::new(4).senders(Parties::Many).receivers(Parties::Many);
    Segment::builder("one")
        .directory(folder)
        .participants(4)
        .with::<Mutex<u64>>("mutex", 7)
        .with::<RwLock<u64>>("rwlock", RwLockOptions::new(7).seats(4))
        .with::<Semaphore>("semaphore", SemaphoreOptions::new(2))
        .with::<Barrier>("barrier", BarrierOptions::new(2))
        .with::<Once>("once", ())
        .with::<Event>("event", EventOptions::Auto)
        .with::<Queue<u64>>("queue", many())
        .with::<Queue<[u64; 9]>>("lane", QueueOptions::new(4))
        .with::<Records>("records", RecordsOptions::new(256))
        .with::<Topic<u64>>("topic", TopicOptions::new(4))
        .with::<Pool>("pool", PoolOptions::new(64, 4))
        .with::<Snapshot<[u64; 4]>>("snapshot", SnapshotOptions::new([0; 4]))
        .with::<Table<u64, u64>>("table", TableOptions::new(16).seed(1))
        .with::<Log>("log", LogOptions::new(256))
        .create()
        .expect("a segment")
}

/// Opens and uses what is left of a segment.
pub fn check(scribble: &Scribble) {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("one");
    let mut bytes = template().to_vec();
    for &(place, byte) in &scribble.header {
        bytes[usize::from(place) % 8192] = byte;
    }
    std::fs::write(&path, &bytes).expect("the file");
    let directory = Directory::at(folder.path()).expect("the folder");
    let _seen = directory.inspect("one");
    let Ok(segment) = directory.open("one") else {
        let _removed_or_not = directory.prune();
        return;
    };
    let file = std::fs::File::options().write(true).open(&path).expect("the file");
    let words = bytes.len() / 8 - 512;
    for (turn, &(place, word)) in scribble.words.iter().enumerate() {
        let place = 4096 + 8 * (usize::from(place) % words);
        let place = u64::try_from(place).expect("a place in a file");
        std::os::unix::fs::FileExt::write_all_at(&file, &word.value().to_ne_bytes(), place).expect("a write");
        if let Some(&what) = scribble.uses.get(turn) {
            use_one(&segment, what);
        }
    }
    (0..14).for_each(|what| use_one(&segment, what));
    let _seen = directory.inspect("one");
}

/// Uses one object, without waiting.
fn use_one(segment: &Segment, what: u8) {
    let now = Deadline::now();
    match what % 14 {
        0 => {
            if let Ok(mutex) = segment.get::<Mutex<u64>>("mutex") {
                let _answer = mutex.try_lock().map(|mut guard| guard.store(1)).map_err(drop);
                let _answer = mutex.repair_until(now, |value| *value = 1).map(drop).map_err(drop);
            }
        }
        1 => {
            if let Ok(lock) = segment.get::<RwLock<u64>>("rwlock") {
                let _answer = lock.try_read().map(|guard| guard.load()).map_err(drop);
                let _answer = lock.try_write().map(|mut guard| guard.store(1)).map_err(drop);
            }
        }
        2 => {
            if let Ok(semaphore) = segment.get::<Semaphore>("semaphore") {
                let _permit = semaphore.try_acquire();
            }
        }
        3 => {
            if let Ok(barrier) = segment.get::<Barrier>("barrier") {
                let _answer = barrier.join().map(|mut member| member.wait_until(now));
                let _answer = barrier.reset();
            }
        }
        4 => {
            if let Ok(once) = segment.get::<Once>("once") {
                let _answer = once.call_once_until(now, |_| ());
            }
        }
        5 => {
            if let Ok(event) = segment.get::<Event>("event") {
                let _answer = (event.set(), event.try_wait());
            }
        }
        6 => {
            if let Ok(queue) = segment.get::<Queue<u64>>("queue") {
                let _answer = queue.sender().map(|mut sender| sender.try_send(&1));
                let _answer = queue.receiver().map(|mut receiver| receiver.try_receive());
                let _answer = queue.receiver().map(|mut receiver| drop(receiver.try_lease()));
            }
        }
        7 => {
            if let Ok(queue) = segment.get::<Queue<[u64; 9]>>("lane") {
                let _answer = queue.sender().map(|mut sender| sender.try_send(&[1; 9]));
                let _answer = queue.receiver().map(|mut receiver| receiver.try_receive());
            }
        }
        8 => {
            if let Ok(records) = segment.get::<Records>("records") {
                let _answer = records.sender().map(|mut sender| sender.try_send(b"record"));
                let mut buffer = Vec::new();
                let _answer = records.receiver().map(|mut receiver| receiver.try_receive_into(&mut buffer));
            }
        }
        9 => {
            if let Ok(topic) = segment.get::<Topic<u64>>("topic") {
                let _answer = topic.publisher().map(|mut publisher| publisher.try_publish(&1));
                let reader = topic.subscribe(Policy::DropOldest, Start::Oldest);
                let _answer = reader.map(|mut reader| (reader.try_receive(), reader.behind()));
            }
        }
        10 => {
            if let Ok(pool) = segment.get::<Pool>("pool") {
                if let Ok(mut loan) = pool.try_loan() {
                    let _answer = loan.copy_from(b"bytes");
                    let parcel = loan.send();
                    let _answer = pool.receive(parcel).map(|received| received.to_vec());
                }
                let _answer = (pool.in_transit().len(), pool.recover(), pool.free());
            }
        }
        11 => {
            if let Ok(snapshot) = segment.get::<Snapshot<[u64; 4]>>("snapshot") {
                let _answer = snapshot.try_read();
                let _answer = snapshot.writer_until(now).map(|mut writer| writer.publish(&[1; 4]));
            }
        }
        12 => {
            if let Ok(table) = segment.get::<Table<u64, u64>>("table") {
                for key in 0..4 {
                    let _answers = (table.insert(&key, &key), table.get(&key), table.remove(&key));
                }
                assert!(
                    table.iter().map_or(0, |entries| entries.take(1000).count()) < 1000,
                    "a walk without end"
                );
            }
        }
        _ => {
            if let Ok(log) = segment.get::<Log>("log") {
                let _answer = log.append(b"record");
                let mut reader = log.read_from(0);
                assert!(
                    (0..1000).take_while(|_| reader.try_next().is_ok()).count() < 1000,
                    "a log without end"
                );
            }
        }
    }
}
