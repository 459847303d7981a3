//! A value that one process writes and another reads whole: while nothing is written, while it is written as
//! often for everybody (a writer that can write more often disturbs its readers more), and without a pause.
//!
//! Whoever reads looks at all words, where they are or in a copy, and counts the values that are torn.

use std::hint::black_box;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use mapwright::share::{Snapshot, SnapshotOptions, SnapshotWriter};
use mmap_sync::locks::LockDisabled;
use mmap_sync::synchronizer::Synchronizer;
use ringfire::{BlackboardConsumer, BlackboardProducer};

use super::{at_most, row as row_of, row_of_duos};
use crate::harness::{
    Duo, Folder, Meter, OfRounds, Peer, Pinned, Processors, Role, Row, Stage, Target, Unit,
};
use crate::ours;
use crate::rival::{Seqlock, fill, words_of};

/// The words of 64 bytes, 1 KiB and 64 KiB.
const SMALL: usize = 8;
const MIDDLE: usize = 128;
const LARGE: usize = 8192;

pub(super) const DUOS_64: &[Duo] = &duos::<SMALL, IDLE>();
pub(super) const DUOS_1K: &[Duo] = &large::<MIDDLE, IDLE>();
pub(super) const DUOS_64K: &[Duo] = &large::<LARGE, IDLE>();
pub(super) const BUSY_64: &[Duo] = &duos::<SMALL, BUSY>();
pub(super) const BUSY_1K: &[Duo] = &large::<MIDDLE, BUSY>();
pub(super) const BUSY_64K: &[Duo] = &large::<LARGE, BUSY>();
pub(super) const STORM_64: &[Duo] = &duos::<SMALL, STORM>();
pub(super) const STORM_64K: &[Duo] = &large::<LARGE, STORM>();

/// Ours alone, counted rather than measured.
pub(super) const BILLION_64: &[Duo] = &[duo::<Ours<SMALL>, SMALL, STORM>(Role::Ours, "mapwright")];
pub(super) const MILLIONS_64K: &[Duo] = &[duo::<Ours<LARGE>, LARGE, STORM>(Role::Ours, "mapwright")];

/// What the writer does while the reader reads: nothing, write as often for everybody, write without a pause.
const IDLE: u8 = 0;
const BUSY: u8 = 1;
const STORM: u8 = 2;

/// How often a busy writer writes: about as often as the slowest of them can.
const fn period(words: usize) -> Duration {
    Duration::from_nanos(if words == LARGE { 50_000 } else { 2_000 })
}

/// Which word says that the reader is done, and which one how often was written.
const DONE: usize = 0;
const WRITES: usize = 1;

const fn duos<const WORDS: usize, const WRITER: u8>() -> [Duo; 4] {
    [
        duo::<Ours<WORDS>, WORDS, WRITER>(Role::Ours, "mapwright"),
        duo::<MmapSync<WORDS, false>, WORDS, WRITER>(Role::Rival, "mmap-sync, unchecked"),
        duo::<MmapSync<WORDS, true>, WORDS, WRITER>(Role::Rival, "mmap-sync, checked"),
        duo::<Blackboard<WORDS>, WORDS, WRITER>(Role::Rival, "ringfire, blackboard"),
    ]
}

/// Large values are looked at where they are, as mmap-sync's are.
const fn large<const WORDS: usize, const WRITER: u8>() -> [Duo; 6] {
    let [_, unchecked, checked, blackboard] = duos::<WORDS, WRITER>();
    [
        duo::<InPlace<WORDS>, WORDS, WRITER>(Role::Ours, "mapwright"),
        duo::<Ours<WORDS>, WORDS, WRITER>(Role::Sibling, "mapwright, copied"),
        duo::<InPieces<WORDS>, WORDS, WRITER>(Role::Sibling, "mapwright, by pieces"),
        unchecked,
        checked,
        blackboard,
    ]
}

const fn duo<B: Board<WORDS>, const WORDS: usize, const WRITER: u8>(role: Role, name: &'static str) -> Duo {
    Duo { name, role, first: first::<B, WORDS>, second: second::<B, WORDS, WRITER> }
}

pub(super) fn idle_64_bytes(folder: &Folder) -> Result<Row> {
    row::<SMALL, IDLE>(folder, "snapshot-64B", DUOS_64)
}

pub(super) fn idle_1_kib(folder: &Folder) -> Result<Row> {
    row::<MIDDLE, IDLE>(folder, "snapshot-1KiB", DUOS_1K)
}

pub(super) fn idle_64_kib(folder: &Folder) -> Result<Row> {
    row::<LARGE, IDLE>(folder, "snapshot-64KiB", DUOS_64K)
}

pub(super) fn busy_64_bytes(folder: &Folder) -> Result<Row> {
    row::<SMALL, BUSY>(folder, "snapshot-64B-busy", BUSY_64)
}

pub(super) fn busy_1_kib(folder: &Folder) -> Result<Row> {
    row::<MIDDLE, BUSY>(folder, "snapshot-1KiB-busy", BUSY_1K)
}

pub(super) fn busy_64_kib(folder: &Folder) -> Result<Row> {
    row::<LARGE, BUSY>(folder, "snapshot-64KiB-busy", BUSY_64K)
}

pub(super) fn storm_64_bytes(folder: &Folder) -> Result<Row> {
    row::<SMALL, STORM>(folder, "snapshot-64B-storm", STORM_64)
}

pub(super) fn storm_64_kib(folder: &Folder) -> Result<Row> {
    row::<LARGE, STORM>(folder, "snapshot-64KiB-storm", STORM_64K)
}

/// A billion reads, none of which may be torn.
pub(super) fn a_billion_of_64_bytes(folder: &Folder) -> Result<Row> {
    counted(folder, "snapshot-64B-billion", BILLION_64, 1_000_000_000, 64)
}

/// Ten million reads, none of which may be torn.
pub(super) fn ten_million_of_64_kib(folder: &Folder) -> Result<Row> {
    counted(folder, "snapshot-64KiB-ten-million", MILLIONS_64K, 10_000_000, 65_536)
}

fn counted(folder: &Folder, name: &'static str, duos: &[Duo], reads: usize, bytes: usize) -> Result<Row> {
    const SAMPLES: usize = 100;
    let operations = folder.size(reads / SAMPLES, 10_000) as u64;
    let about = format!("{SAMPLES} times {operations} reads of {bytes} bytes under a writer without a pause");
    let unit = Unit::Nanoseconds { operations };
    let row = row_of_duos(folder, name, about, unit, duos, |_| operations, Vec::new());
    Ok(Row { rounds: SAMPLES, ..row })
}

fn row<const WORDS: usize, const WRITER: u8>(
    folder: &Folder,
    name: &'static str,
    duos: &[Duo],
) -> Result<Row> {
    let (full, quick) = match (WORDS, WRITER) {
        (LARGE, STORM) => (200, 10),
        (LARGE, _) => (5_000, 100),
        (MIDDLE, _) => (200_000, 2_000),
        (_, STORM) => (200_000, 10_000),
        _ => (1_000_000, 10_000),
    };
    let operations = folder.size(full, quick) as u64;
    let mut peers: Vec<Peer> = duos.iter().map(|duo| duo.peer(name, folder.memory(), operations)).collect();
    peers.push(Peer::rival("seqlock in one process", move |meter| {
        in_one_process::<WORDS, WRITER>(operations, meter)
    }));
    let writer = match WRITER {
        IDLE => "nobody writes it".to_owned(),
        BUSY => format!("another writes it every {} µs", period(WORDS).as_micros()),
        _ => "another writes it without a pause".to_owned(),
    };
    let about = format!("read a value of {} bytes while {writer}", WORDS * 8);
    let mut targets = vec![Target::ratio("a seqlock", &["seqlock in one process"], at_most(1.3))];
    if WRITER != STORM {
        // In a storm its writer waits for its reader, which so reads what is hardly ever written.
        targets.push(Target::ratio("mmap-sync", &["mmap-sync, unchecked", "mmap-sync, checked"], 1.0));
    }
    Ok(row_of(name, about, Unit::Nanoseconds { operations }, peers, targets))
}

/// A way to let others read a value whole.
trait Board<const WORDS: usize>: Sized {
    type Reader;
    /// Whether a torn value is a defect, and ends the run.
    const IS_NEVER_TORN: bool = false;
    fn writer(stage: &Stage) -> Result<Self>;
    fn write(&mut self, value: &[u64; WORDS]) -> Result<()>;
    fn reader(stage: &Stage) -> Result<Self::Reader>;
    /// Whether the value is whole.
    fn read(reader: &mut Self::Reader) -> Result<bool>;
}

/// Whether all words are of one value.
fn whole(words: &[u64]) -> bool {
    let first = words[0];
    let differ = |(place, word): (usize, &u64)| word ^ first.wrapping_add(place as u64);
    words.iter().enumerate().map(differ).fold(0, |any, differ| any | differ) == 0
}

fn first<B: Board<WORDS>, const WORDS: usize>(stage: &mut Stage, meter: &mut Meter) -> Result<()> {
    stage.meet();
    let mut reader = B::reader(stage)?;
    let mut torn = u64::from(!B::read(&mut reader)?);
    stage.meet();
    let start = Instant::now();
    for _ in 0..stage.amount {
        torn += u64::from(!B::read(&mut reader)?);
    }
    meter.add(start.elapsed());
    stage.report(DONE).store(1, Ordering::Release);
    drop(reader);
    stage.meet();
    ensure!(torn == 0 || !B::IS_NEVER_TORN, "{torn} of {} values were torn", stage.amount);
    note(meter, stage.amount, torn, stage.report(WRITES).load(Ordering::Acquire));
    Ok(())
}

fn second<B: Board<WORDS>, const WORDS: usize, const WRITER: u8>(stage: &mut Stage) -> Result<()> {
    let mut writer = B::writer(stage)?;
    let mut value = [0; WORDS];
    fill(&mut value, 0);
    writer.write(&value)?;
    stage.meet();
    stage.meet();
    let done = || stage.report(DONE).load(Ordering::Acquire) != 0;
    let writes = write_until::<WORDS, WRITER>(done, |value| writer.write(value))?;
    stage.report(WRITES).store(writes, Ordering::Release);
    stage.meet();
    Ok(())
}

/// Writes as this row's writer does, and returns how often it did.
fn write_until<const WORDS: usize, const WRITER: u8>(
    done: impl Fn() -> bool,
    mut write: impl FnMut(&[u64; WORDS]) -> Result<()>,
) -> Result<u64> {
    let mut value = [0; WORDS];
    let mut writes = 0;
    let start = Instant::now();
    while !done() {
        if WRITER == IDLE || WRITER == BUSY && start.elapsed() < period(WORDS) * writes as u32 {
            std::hint::spin_loop();
            continue;
        }
        writes += 1;
        fill(&mut value, writes);
        write(&value)?;
    }
    Ok(writes)
}

fn note(meter: &mut Meter, reads: u64, torn: u64, writes: u64) {
    meter.fact("reads", reads as f64, OfRounds::Sum);
    meter.fact("torn", torn as f64, OfRounds::Sum);
    meter.fact("written meanwhile", writes as f64, OfRounds::Median);
}

/// Ours, read through a map for reading.
struct Ours<const WORDS: usize>(SnapshotWriter<[u64; WORDS]>);

impl<const WORDS: usize> Board<WORDS> for Ours<WORDS> {
    /// The snapshot, and where it is copied to.
    type Reader = (Snapshot<[u64; WORDS]>, Box<[u64; WORDS]>);

    const IS_NEVER_TORN: bool = true;

    fn writer(stage: &Stage) -> Result<Self> {
        let options = SnapshotOptions::new([0; WORDS]);
        let snapshot: Snapshot<[u64; WORDS]> = ours::make(&stage.folder, "board", options)?;
        Ok(Self(snapshot.writer()?))
    }

    fn write(&mut self, value: &[u64; WORDS]) -> Result<()> {
        self.0.publish(value)?;
        Ok(())
    }

    fn reader(stage: &Stage) -> Result<Self::Reader> {
        Ok((ours::look_at(&stage.folder, "board")?, Box::new([0; WORDS])))
    }

    fn read((snapshot, copy): &mut Self::Reader) -> Result<bool> {
        if WORDS == SMALL {
            return Ok(whole(&snapshot.read()?));
        }
        snapshot.read_into(copy)?;
        Ok(whole(&copy[..]))
    }
}

/// Ours, looked at where it is.
struct InPlace<const WORDS: usize>(Ours<WORDS>);

impl<const WORDS: usize> Board<WORDS> for InPlace<WORDS> {
    type Reader = Snapshot<[u64; WORDS]>;
    const IS_NEVER_TORN: bool = true;

    fn writer(stage: &Stage) -> Result<Self> {
        Ok(Self(Ours::writer(stage)?))
    }

    fn write(&mut self, value: &[u64; WORDS]) -> Result<()> {
        self.0.write(value)
    }

    fn reader(stage: &Stage) -> Result<Self::Reader> {
        ours::look_at(&stage.folder, "board")
    }

    fn read(reader: &mut Self::Reader) -> Result<bool> {
        Ok(reader.look(|words| {
            let mut next = [words.load::<u64>(0).unwrap_or(0); 8];
            next.iter_mut().zip(0_u64..).for_each(|(next, place)| *next = next.wrapping_add(place));
            let mut differ = [0; 8];
            for line in words.lines() {
                for place in 0..8 {
                    differ[place] |= line[place] ^ next[place];
                    next[place] = next[place].wrapping_add(8);
                }
            }
            differ == [0; 8]
        })?)
    }
}

/// Ours, looked at piece by piece.
struct InPieces<const WORDS: usize>(Ours<WORDS>);

impl<const WORDS: usize> Board<WORDS> for InPieces<WORDS> {
    type Reader = Snapshot<[u64; WORDS]>;
    const IS_NEVER_TORN: bool = true;

    fn writer(stage: &Stage) -> Result<Self> {
        Ok(Self(Ours::writer(stage)?))
    }

    fn write(&mut self, value: &[u64; WORDS]) -> Result<()> {
        self.0.write(value)
    }

    fn reader(stage: &Stage) -> Result<Self::Reader> {
        ours::look_at(&stage.folder, "board")
    }

    fn read(reader: &mut Self::Reader) -> Result<bool> {
        // A piece is whole, and goes on where the one before it ended.
        let (is_whole, _) = reader.fold_pieces((true, None), |(is_whole, next), piece| {
            let words = words_of(piece);
            let goes_on = next.is_none_or(|next| next == words[0]);
            (is_whole && goes_on && whole(words), Some(words[0].wrapping_add(words.len() as u64)))
        })?;
        Ok(is_whole)
    }
}

type Synced = Synchronizer<wyhash::WyHash, LockDisabled, 1024, 0>;

/// mmap-sync, whose writer waits without sleeping; `CHECKED`, whose reader validates what it finds.
struct MmapSync<const WORDS: usize, const CHECKED: bool>(Synced);

/// How long its writer waits for a reader before it takes that one for dead.
const GRACE: Duration = Duration::from_secs(5);

impl<const WORDS: usize, const CHECKED: bool> Board<WORDS> for MmapSync<WORDS, CHECKED> {
    type Reader = Synced;

    fn writer(stage: &Stage) -> Result<Self> {
        Ok(Self(Synced::with_params(stage.folder.join("board").as_os_str())))
    }

    fn write(&mut self, value: &[u64; WORDS]) -> Result<()> {
        self.0.write(value, GRACE)?;
        Ok(())
    }

    fn reader(stage: &Stage) -> Result<Synced> {
        Ok(Self::writer(stage)?.0)
    }

    fn read(reader: &mut Synced) -> Result<bool> {
        // SAFETY: a read takes much less than the writer's patience, and the writer writes such values.
        let value = unsafe { reader.read::<[u64; WORDS]>(CHECKED) }?;
        Ok(whole(&*value))
    }
}

/// ringfire's table of seqlocks, with one entry.
struct Blackboard<const WORDS: usize>(BlackboardProducer<[u64; WORDS]>);

impl<const WORDS: usize> Board<WORDS> for Blackboard<WORDS> {
    type Reader = BlackboardConsumer<[u64; WORDS]>;

    fn writer(stage: &Stage) -> Result<Self> {
        Ok(Self(BlackboardProducer::create(stage.folder.join("board"), 1)?))
    }

    fn write(&mut self, value: &[u64; WORDS]) -> Result<()> {
        Ok(self.0.write(0, value)?)
    }

    fn reader(stage: &Stage) -> Result<Self::Reader> {
        Ok(BlackboardConsumer::attach(stage.folder.join("board"))?)
    }

    fn read(reader: &mut Self::Reader) -> Result<bool> {
        // It gives up where its writer is kept from the processor in the midst of a value; one has to ask
        // again.
        loop {
            if let Ok(value) = reader.read(0) {
                return Ok(whole(&value.context("the value was written before")?));
            }
        }
    }
}

/// The seqlock that is in no shared memory: the reader here, the writer in a thread on the other processor.
fn in_one_process<const WORDS: usize, const WRITER: u8>(operations: u64, meter: &mut Meter) -> Result<()> {
    let processors = Processors::two()?;
    let _pinned = Pinned::to(processors.first)?;
    let mut value = [0; WORDS];
    fill(&mut value, 0);
    let seqlock = Arc::new(Seqlock::new(&value));
    let writer = Writer::start::<WORDS, WRITER>(Arc::clone(&seqlock), processors.second);
    let mut torn = 0;
    meter.time(|| {
        for _ in 0..operations {
            seqlock.read(black_box(&mut value));
            torn += u64::from(!whole(&value));
        }
    });
    note(meter, operations, torn, writer.stop()?);
    Ok(())
}

/// A thread that writes until it is stopped.
struct Writer {
    done: Arc<AtomicBool>,
    thread: JoinHandle<Result<u64>>,
}

impl Writer {
    fn start<const WORDS: usize, const WRITER: u8>(seqlock: Arc<Seqlock<WORDS>>, processor: usize) -> Self {
        let done = Arc::new(AtomicBool::new(false));
        let told = Arc::clone(&done);
        let started = Arc::new(AtomicBool::new(false));
        let starts = Arc::clone(&started);
        let thread = std::thread::spawn(move || {
            let pinned = Pinned::to(processor);
            starts.store(true, Ordering::Release);
            let _pinned = pinned?;
            write_until::<WORDS, WRITER>(
                || told.load(Ordering::Acquire),
                |value| {
                    seqlock.write(value);
                    Ok(())
                },
            )
        });
        while !started.load(Ordering::Acquire) {
            std::thread::yield_now();
        }
        Self { done, thread }
    }

    fn stop(self) -> Result<u64> {
        self.done.store(true, Ordering::Release);
        self.thread.join().expect("the writing thread does not panic")
    }
}
