//! Locks in shared memory: taken by one process alone, and fought for by two.

use std::time::Instant;

use anyhow::{Result, ensure};

use super::{at_most, row, row_of_duos};
use crate::harness::{Clock, Duo, Folder, Meter, OfRounds, Peer, Role, Row, Shared, Stage, Target, Unit};
use crate::rival::{BEHIND_LOCK, Futex, Glibc, Lock};

/// What a spinning futex lock spins at most, as Rust's own mutex does.
const SPINS: u32 = 100;

pub(super) const DUOS: &[Duo] = &[
    duo::<Futex<SPINS>>("futex, spinning first"),
    duo::<Futex<0>>("futex"),
    duo::<Glibc<true>>("glibc robust"),
    duo::<Glibc<false>>("glibc, not robust"),
];

const fn duo<L: Lock>(name: &'static str) -> Duo {
    Duo { name, role: Role::Rival, first: first::<L>, second: second::<L> }
}

pub(super) fn alone(folder: &Folder) -> Result<Row> {
    let operations = folder.size(2_000_000, 50_000) as u64;
    let peers = vec![
        alone_by::<Futex<SPINS>>("futex", operations)?,
        alone_by::<Glibc<true>>("glibc robust", operations)?,
        alone_by::<Glibc<false>>("glibc, not robust", operations)?,
    ];
    let about = "lock, count, unlock; nobody else wants it".to_owned();
    let unit = Unit::Nanoseconds { operations };
    let targets = vec![
        Target::ratio("a futex", &["futex"], at_most(1.25)),
        Target::ratio("glibc robust", &["glibc robust"], 1.0),
    ];
    Ok(Row { clock: Clock::Processor, ..row("lock-alone", about, unit, peers, targets) })
}

fn alone_by<L: Lock>(name: &'static str, operations: u64) -> Result<Peer> {
    let memory = Shared::new(4096)?;
    L::make(&memory);
    Ok(Peer::rival(name, move |meter| {
        let before = memory.look(BEHIND_LOCK, 1, |words| words[0]);
        let count = || {
            for _ in 0..operations {
                L::lock(&memory);
                memory.change(BEHIND_LOCK, 1, |words| words[0] += 1);
                L::unlock(&memory);
            }
        };
        meter.time(count);
        meter.answer(memory.look(BEHIND_LOCK, 1, |words| words[0]) - before);
        Ok(())
    }))
}

pub(super) fn contended(folder: &Folder) -> Result<Row> {
    let operations = folder.size(5_000_000, 10_000) as u64;
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

/// Counts until both together have counted enough, and returns how often this side did.
fn count<L: Lock>(stage: &Stage) -> u64 {
    let (memory, amount, owner) = (&stage.memory, stage.amount, stage.side as u64 + 1);
    let mut mine = 0;
    loop {
        L::lock(memory);
        let counted = memory.change(BEHIND_LOCK, 4, |words| {
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
        });
        L::unlock(memory);
        if !counted {
            return mine;
        }
        mine += 1;
    }
}

fn first<L: Lock>(stage: &mut Stage, meter: &mut Meter) -> Result<()> {
    L::make(&stage.memory);
    stage.meet();
    let start = Instant::now();
    let ours = count::<L>(stage);
    stage.meet();
    meter.add(start.elapsed());
    let theirs = stage.report(0).load(std::sync::atomic::Ordering::Acquire);
    ensure!(ours + theirs == stage.amount, "{ours} and {theirs} were counted, must be {}", stage.amount);
    let longest = stage.memory.look(BEHIND_LOCK, 4, |words| words[Word::LongestRun as usize]);
    let larger = ours.max(theirs) as f64 / stage.amount as f64;
    meter.fact("larger share %", larger * 100.0, OfRounds::Median);
    meter.fact("at most", larger * 100.0, OfRounds::Largest);
    meter.fact("longest run", longest as f64, OfRounds::Largest);
    Ok(())
}

fn second<L: Lock>(stage: &mut Stage) -> Result<()> {
    stage.meet();
    let mine = count::<L>(stage);
    stage.report(0).store(mine, std::sync::atomic::Ordering::Release);
    stage.meet();
    Ok(())
}
