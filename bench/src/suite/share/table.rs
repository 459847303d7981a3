//! A table with a million entries, keys of 8 bytes and values of 64: looked up and inserted by one process,
//! and by two at once.
//!
//! LMDB lies in shared memory, not on a disk. It takes one commit an insert (so that others see each at once,
//! as in a shared table) and, at its best, a thousand inserts a commit. dashmap is in one process, with two
//! threads for two.

use std::hash::{BuildHasher, BuildHasherDefault, RandomState};
use std::path::Path;
use std::sync::Arc;
use std::sync::Barrier;
use std::time::Instant;

use anyhow::{Context, Result, ensure};

use mapwright::share::Table;

use super::{A_MILLION, row as row_of};
use crate::harness::{Duo, Folder, Meter, Peer, Pinned, Processors, Role, Row, Stage, Target, Unit};
use crate::ours;
use crate::rival::{KeyItself, Lmdb, Sharded, Value, bytes_of, key_of, sharded, sum, value_of};

/// How many inserts a commit has where many are gathered.
const GATHERED: u64 = 1000;

pub(super) const GETS_1: &[Duo] = &gets::<1>();
pub(super) const GETS_2: &[Duo] = &gets::<2>();
pub(super) const INSERTS_1: &[Duo] = &inserts::<1>();
pub(super) const INSERTS_2: &[Duo] = &inserts::<2>();

const LMDB_GETS: &[&str] = &["LMDB, a view a get", "LMDB, one view"];
const LMDB_INSERTS: &[&str] = &["LMDB", "LMDB, no sync, writable map", "the same, 1000 a commit"];

const fn gets<const PROCESSES: u64>() -> [Duo; 3] {
    [
        Duo {
            name: "mapwright",
            role: Role::Ours,
            first: first::<OurGets, PROCESSES>,
            second: second::<OurGets, PROCESSES>,
        },
        Duo {
            name: LMDB_GETS[0],
            role: Role::Rival,
            first: first::<LmdbGets<1>, PROCESSES>,
            second: second::<LmdbGets<1>, PROCESSES>,
        },
        Duo {
            name: LMDB_GETS[1],
            role: Role::Rival,
            first: first::<LmdbGets<{ u64::MAX }>, PROCESSES>,
            second: second::<LmdbGets<{ u64::MAX }>, PROCESSES>,
        },
    ]
}

const fn inserts<const PROCESSES: u64>() -> [Duo; 4] {
    [
        Duo {
            name: "mapwright",
            role: Role::Ours,
            first: first::<OurInserts, PROCESSES>,
            second: second::<OurInserts, PROCESSES>,
        },
        Duo {
            name: LMDB_INSERTS[0],
            role: Role::Rival,
            first: first::<LmdbInserts<false, 1>, PROCESSES>,
            second: second::<LmdbInserts<false, 1>, PROCESSES>,
        },
        Duo {
            name: LMDB_INSERTS[1],
            role: Role::Rival,
            first: first::<LmdbInserts<true, 1>, PROCESSES>,
            second: second::<LmdbInserts<true, 1>, PROCESSES>,
        },
        Duo {
            name: LMDB_INSERTS[2],
            role: Role::Rival,
            first: first::<LmdbInserts<true, GATHERED>, PROCESSES>,
            second: second::<LmdbInserts<true, GATHERED>, PROCESSES>,
        },
    ]
}

pub(super) fn get_by_1(folder: &Folder) -> Result<Row> {
    get(folder, "table-get-1", GETS_1, 1)
}

pub(super) fn get_by_2(folder: &Folder) -> Result<Row> {
    get(folder, "table-get-2", GETS_2, 2)
}

pub(super) fn insert_by_1(folder: &Folder) -> Result<Row> {
    insert(folder, "table-insert-1", INSERTS_1, 1)
}

pub(super) fn insert_by_2(folder: &Folder) -> Result<Row> {
    insert(folder, "table-insert-2", INSERTS_2, 2)
}

fn entries(folder: &Folder) -> u64 {
    folder.size(1_000_000, 10_000) as u64
}

fn get(folder: &Folder, name: &'static str, duos: &[Duo], workers: u64) -> Result<Row> {
    let (entries, operations) = (entries(folder), folder.size(200_000, 2_000) as u64);
    Lmdb::fill(folder.memory(), entries)?;
    ours::table(folder.memory(), entries)?;
    let amount = |duo: &Duo| if duo.name == "mapwright" { operations } else { operations / 2 };
    let mut peers: Vec<Peer> = duos.iter().map(|duo| duo.peer(name, folder.memory(), amount(duo))).collect();
    peers.push(sharded_getter::<RandomState>(DASHMAPS[0], entries, operations, workers));
    peers.push(sharded_getter::<BuildHasherDefault<KeyItself>>(DASHMAPS[1], entries, operations, workers));
    let about = format!("look up one of {entries} entries; {}", processes(workers));
    Ok(row_of(name, about, Unit::Millions { operations: A_MILLION }, peers, targets(LMDB_GETS)))
}

fn insert(folder: &Folder, name: &'static str, duos: &[Duo], workers: u64) -> Result<Row> {
    let (entries, operations) = (entries(folder), folder.size(40_000, 2_000) as u64);
    Lmdb::fill(folder.memory(), entries)?;
    ours::table(folder.memory(), entries)?;
    let amount = |duo: &Duo| if duo.name == "mapwright" { operations } else { operations / 10 };
    let mut peers: Vec<Peer> = duos.iter().map(|duo| duo.peer(name, folder.memory(), amount(duo))).collect();
    peers.push(sharded_inserter::<RandomState>(DASHMAPS[0], entries, operations, workers));
    peers.push(sharded_inserter::<BuildHasherDefault<KeyItself>>(DASHMAPS[1], entries, operations, workers));
    let about = format!("insert an entry beside {entries}; {}", processes(workers));
    Ok(row_of(name, about, Unit::Millions { operations: A_MILLION }, peers, targets(LMDB_INSERTS)))
}

fn targets(lmdb: &'static [&'static str]) -> Vec<Target> {
    vec![Target::ratio("dashmap", DASHMAPS, 0.5), Target::ratio("LMDB", lmdb, 5.0)]
}

fn processes(workers: u64) -> &'static str {
    if workers == 1 { "one process" } else { "two processes at once" }
}

/// Whose entries are looked up before the time counts.
const OTHERS: u64 = 2;

/// The entries that a worker looks up.
fn known_keys(entries: u64, count: u64, worker: u64) -> impl Iterator<Item = u64> {
    let mut random = fastrand::Rng::with_seed(worker + 1);
    (0..count).map(move |_| key_of(random.u64(..entries)))
}

/// The entries that a worker inserts: nobody else does.
fn new_keys(entries: u64, count: u64, worker: u64) -> impl Iterator<Item = u64> {
    (entries + worker * count..entries + (worker + 1) * count).map(key_of)
}

/// # Errors
/// Where the value is not the one under this key.
fn check(key: u64, value: &[u8]) -> Result<()> {
    ensure!(sum(value) == sum(bytes_of(&value_of(key))), "the value of key {key} is another one");
    Ok(())
}

/// dashmap with its own hash, and with the fastest that there can be.
const DASHMAPS: &[&str] = &["dashmap in one process", "dashmap, keys not hashed"];

fn sharded_getter<H>(name: &'static str, entries: u64, operations: u64, workers: u64) -> Peer
where
    H: BuildHasher + Clone + Default + Send + Sync + 'static,
{
    let map: Sharded<H> = sharded(entries);
    Peer::rival(name, move |meter| {
        let look_up = |worker| {
            known_keys(entries, operations / workers, worker).try_for_each(|key| {
                let value = map.get(&key).context("an entry that was inserted is found")?;
                check(key, bytes_of(value.value()))
            })
        };
        look_up(OTHERS)?;
        meter.did(operations / workers * workers, A_MILLION);
        by_threads(workers, meter, look_up)
    })
}

fn sharded_inserter<H>(name: &'static str, entries: u64, operations: u64, workers: u64) -> Peer
where
    H: BuildHasher + Clone + Default + Send + Sync + 'static,
{
    let map: Sharded<H> = sharded(entries);
    Peer::rival(name, move |meter| {
        meter.did(operations / workers * workers, A_MILLION);
        by_threads(workers, meter, |worker| {
            for key in new_keys(entries, operations / workers, worker) {
                map.insert(key, value_of(key));
            }
            Ok(())
        })?;
        for key in (0..workers).flat_map(|worker| new_keys(entries, operations / workers, worker)) {
            ensure!(map.remove(&key) == Some((key, value_of(key))), "an inserted entry is there");
        }
        Ok(())
    })
}

/// Times the work of one or two threads on processors of their own.
fn by_threads(workers: u64, meter: &mut Meter, work: impl Fn(u64) -> Result<()> + Sync) -> Result<()> {
    let processors = Processors::two()?;
    let _pinned = Pinned::to(processors.first)?;
    let together = Arc::new(Barrier::new(workers as usize));
    std::thread::scope(|scope| {
        let other = (workers == 2).then(|| {
            scope.spawn(|| {
                let pinned = Pinned::to(processors.second);
                together.wait();
                let _pinned = pinned?;
                work(1)
            })
        });
        together.wait();
        meter.time(|| {
            work(0)?;
            other.map_or(Ok(()), |other| other.join().expect("a working thread does not panic"))
        })
    })
}

/// What one process does to a table in shared memory.
trait Job: Sized {
    fn open(memory: &Path) -> Result<Self>;
    /// Touches everything, so that it is in this process's page table, and looks up as many other entries, so
    /// that the caches are as they are in the midst of such work.
    fn warm(&self, count: u64, worker: u64) -> Result<()>;
    fn work(&self, count: u64, worker: u64) -> Result<()>;
    /// Makes it as it was; done once, by the first.
    fn undo(&self, _count: u64, _workers: u64) -> Result<()> {
        Ok(())
    }
}

fn first<J: Job, const PROCESSES: u64>(stage: &mut Stage, meter: &mut Meter) -> Result<()> {
    let job = J::open(memory(stage)?)?;
    let share = stage.amount / PROCESSES;
    job.warm(share, OTHERS)?;
    stage.meet();
    stage.meet();
    let start = Instant::now();
    job.work(share, 0)?;
    stage.meet();
    meter.add(start.elapsed());
    meter.did(share * PROCESSES, A_MILLION);
    job.undo(share, PROCESSES)
}

fn second<J: Job, const PROCESSES: u64>(stage: &mut Stage) -> Result<()> {
    stage.meet();
    let job = J::open(memory(stage)?)?;
    job.warm(stage.amount / PROCESSES, OTHERS + 1)?;
    stage.meet();
    if PROCESSES == 2 {
        job.work(stage.amount / PROCESSES, 1)?;
    }
    stage.meet();
    Ok(())
}

fn memory(stage: &Stage) -> Result<&Path> {
    stage.folder.parent().context("a sample's folder is in the run's folder")
}

/// Ours, looked up.
struct OurGets {
    table: Table<u64, Value>,
    entries: u64,
}

impl Job for OurGets {
    fn open(memory: &Path) -> Result<Self> {
        let table: Table<u64, Value> = ours::open(memory, ours::TABLE)?;
        let entries = table.len() as u64;
        Ok(Self { table, entries })
    }

    fn warm(&self, count: u64, worker: u64) -> Result<()> {
        ensure!(self.table.iter()?.count() as u64 == self.entries, "all entries are there");
        self.work(count, worker)
    }

    fn work(&self, count: u64, worker: u64) -> Result<()> {
        known_keys(self.entries, count, worker).try_for_each(|key| {
            let value = self.table.get(&key)?.context("an entry that was inserted is found")?;
            check(key, bytes_of(&value))
        })
    }
}

/// Ours, inserted into.
struct OurInserts(OurGets);

impl Job for OurInserts {
    fn open(memory: &Path) -> Result<Self> {
        Ok(Self(OurGets::open(memory)?))
    }

    fn warm(&self, count: u64, worker: u64) -> Result<()> {
        self.0.warm(count, worker)
    }

    fn work(&self, count: u64, worker: u64) -> Result<()> {
        for key in new_keys(self.0.entries, count, worker) {
            self.0.table.insert(&key, &value_of(key))?;
        }
        Ok(())
    }

    fn undo(&self, count: u64, workers: u64) -> Result<()> {
        for key in (0..workers).flat_map(|worker| new_keys(self.0.entries, count, worker)) {
            ensure!(self.0.table.remove(&key)? == Some(value_of(key)), "an inserted entry is there");
        }
        Ok(())
    }
}

/// Lookups, so many in one view of the table.
struct LmdbGets<const A_VIEW: u64> {
    table: Lmdb,
    entries: u64,
}

impl<const A_VIEW: u64> Job for LmdbGets<A_VIEW> {
    fn open(memory: &Path) -> Result<Self> {
        let table = Lmdb::open::<true>(memory)?;
        let entries = table.len()?;
        Ok(Self { table, entries })
    }

    fn warm(&self, count: u64, worker: u64) -> Result<()> {
        self.table.touch()?;
        self.work(count, worker)
    }

    fn work(&self, count: u64, worker: u64) -> Result<()> {
        let mut txn = self.table.env.read_txn()?;
        for (number, key) in known_keys(self.entries, count, worker).enumerate() {
            if number > 0 && (number as u64).is_multiple_of(A_VIEW) {
                drop(txn);
                txn = self.table.env.read_txn()?;
            }
            let value = self.table.entries.get(&txn, &key.to_ne_bytes())?;
            check(key, value.context("an entry that was inserted is found")?)?;
        }
        Ok(())
    }
}

/// Inserts, so many in one commit.
struct LmdbInserts<const FAST: bool, const A_COMMIT: u64> {
    table: Lmdb,
    entries: u64,
}

impl<const FAST: bool, const A_COMMIT: u64> Job for LmdbInserts<FAST, A_COMMIT> {
    fn open(memory: &Path) -> Result<Self> {
        let table = Lmdb::open::<FAST>(memory)?;
        let entries = table.len()?;
        Ok(Self { table, entries })
    }

    fn warm(&self, _count: u64, _worker: u64) -> Result<()> {
        self.table.touch()
    }

    fn work(&self, count: u64, worker: u64) -> Result<()> {
        let mut keys = new_keys(self.entries, count, worker).peekable();
        while keys.peek().is_some() {
            let mut txn = self.table.env.write_txn()?;
            for key in keys.by_ref().take(A_COMMIT as usize) {
                self.table.entries.put(&mut txn, &key.to_ne_bytes(), bytes_of(&value_of(key)))?;
            }
            txn.commit()?;
        }
        Ok(())
    }

    fn undo(&self, count: u64, workers: u64) -> Result<()> {
        let mut txn = self.table.env.write_txn()?;
        for key in (0..workers).flat_map(|worker| new_keys(self.entries, count, worker)) {
            ensure!(self.table.entries.delete(&mut txn, &key.to_ne_bytes())?, "an inserted entry is there");
        }
        Ok(txn.commit()?)
    }
}
