//! Locks in shared memory: taken by one process alone, and fought for by two.

use std::rc::Rc;
use std::time::Instant;

use anyhow::{Result, ensure};

use super::{at_most, row, row_of_duos};
use crate::harness::{Clock, Duo, Folder, Meter, OfRounds, Peer, Role, Row, Shared, Stage, Target, Unit};
use crate::ours::{Guarding, Keeping};
use crate::rival::{Futex, Glibc, Lock};

/// What a spinning futex lock spins at most, as Rust's own mutex does.
const SPINS: u32 = 100;

/// Ours that has the count as its value: a death never leaves half of it.
const KEEPING: &str = "mapwright, its own value";

pub(super) const DUOS: &[Duo] = &[
    duo::<Guarding>(Role::Ours, "mapwright"),
    duo::<Keeping<FOUGHT_FOR>>(Role::Sibling, KEEPING),
    duo::<Futex<SPINS>>(Role::Rival, "futex, spinning first"),
    duo::<Futex<0>>(Role::Rival, "futex"),
    duo::<Glibc<true>>(Role::Rival, "glibc robust"),
    duo::<Glibc<false>>(Role::Rival, "glibc, not robust"),
];

const fn duo<L: Lock<FOUGHT_FOR>>(role: Role, name: &'static str) -> Duo {
    Duo { name, role, first: first::<L>, second: second::<L> }
}

pub(super) fn alone(folder: &Folder) -> Result<Row> {
    let operations = folder.size(2_000_000, 50_000) as u64;
    let peers = vec![
        alone_by::<Guarding>(Role::Ours, "mapwright", folder, operations)?,
        alone_by::<Keeping<1>>(Role::Sibling, KEEPING, folder, operations)?,
        alone_by::<Futex<SPINS>>(Role::Rival, "futex", folder, operations)?,
        alone_by::<Glibc<true>>(Role::Rival, "glibc robust", folder, operations)?,
        alone_by::<Glibc<false>>(Role::Rival, "glibc, not robust", folder, operations)?,
    ];
    let about = "lock, count, unlock; nobody else wants it".to_owned();
    let unit = Unit::Nanoseconds { operations };
    let targets = vec![
        Target::ratio("a futex", &["futex"], at_most(1.25)),
        Target::ratio("glibc robust", &["glibc robust"], 1.0),
    ];
    Ok(Row { clock: Clock::Processor, ..row("lock-alone", about, unit, peers, targets) })
}

fn alone_by<L: Lock<1> + 'static>(
    role: Role,
    name: &'static str,
    folder: &Folder,
    operations: u64,
) -> Result<Peer> {
    let place = folder.memory().join(name);
    std::fs::create_dir(&place)?;
    let lock = L::make(&Rc::new(Shared::new(4096)?), &place)?;
    Ok(Peer::new(role, name, move |meter| {
        let before = lock.change(|words| words[0])?;
        meter.time(|| (0..operations).try_for_each(|_| lock.change(|words| words[0] += 1)))?;
        meter.answer(lock.change(|words| words[0])? - before);
        Ok(())
    }))
}

pub(super) fn contended(folder: &Folder) -> Result<Row> {
    let operations = folder.size(2_000_000, 10_000) as u64;
    let about = "lock, count, unlock; two processes that do nothing else".to_owned();
    let unit = Unit::Nanoseconds { operations };
    let targets = vec![
        Target::ratio("a futex", &["futex, spinning first", "futex"], at_most(1.25)),
        Target::ratio("glibc robust", &["glibc robust"], 1.0),
    ];
    Ok(row_of_duos(folder, "lock-contended", about, unit, DUOS, |_| operations, targets))
}

/// What the lock protects.
#[derive(Clone, Copy)]
enum Word {
    Count,
    LastOwner,
    Run,
    LongestRun,
}

/// How many words that are.
const FOUGHT_FOR: usize = 4;

/// Counts until both together have counted enough, and returns how often this side did.
fn count(lock: &impl Lock<FOUGHT_FOR>, stage: &Stage) -> Result<u64> {
    let (amount, owner) = (stage.amount, stage.side as u64 + 1);
    let mut mine = 0;
    loop {
        let counted = lock.change(|words| {
            if words[Word::Count as usize] == amount {
                return false;
            }
            words[Word::Count as usize] += 1;
            let again = words[Word::LastOwner as usize] == owner;
            words[Word::Run as usize] = if again { words[Word::Run as usize] + 1 } else { 1 };
            words[Word::LastOwner as usize] = owner;
            let longest = words[Word::LongestRun as usize].max(words[Word::Run as usize]);
            words[Word::LongestRun as usize] = longest;
            true
        })?;
        if !counted {
            return Ok(mine);
        }
        mine += 1;
    }
}

fn first<L: Lock<FOUGHT_FOR>>(stage: &mut Stage, meter: &mut Meter) -> Result<()> {
    let lock = L::make(&stage.memory, &stage.folder)?;
    stage.meet();
    stage.meet();
    let start = Instant::now();
    let ours = count(&lock, stage)?;
    stage.meet();
    meter.add(start.elapsed());
    let theirs = stage.report(0).load(std::sync::atomic::Ordering::Acquire);
    ensure!(ours + theirs == stage.amount, "{ours} and {theirs} were counted, must be {}", stage.amount);
    let longest = lock.change(|words| words[Word::LongestRun as usize])?;
    let larger = ours.max(theirs) as f64 / stage.amount as f64;
    meter.fact("larger share %", larger * 100.0, OfRounds::Median);
    meter.fact("at most", larger * 100.0, OfRounds::Largest);
    meter.fact("longest run", longest as f64, OfRounds::Largest);
    Ok(())
}

fn second<L: Lock<FOUGHT_FOR>>(stage: &mut Stage) -> Result<()> {
    stage.meet();
    let lock = L::open(&stage.memory, &stage.folder)?;
    stage.meet();
    let mine = count(&lock, stage)?;
    stage.report(0).store(mine, std::sync::atomic::Ordering::Release);
    stage.meet();
    Ok(())
}
