//! Whole files that are small and in memory: open, get the bytes, look at all of them, close.

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use memmap2::{Mmap, MmapOptions};

use crate::harness::{Cache, Clock, Folder, Meter, Peer, Row, Target, Unit};
use crate::rival::{AlignedBuffer, sum};

const RIVALS: &[&str] = &["fs::read", "memmap2", "memmap2 populate"];

pub(super) fn of_1_kib(folder: &Folder) -> Result<Row> {
    row(folder, "small-1KiB", 1 << 10)
}

pub(super) fn of_4_kib(folder: &Folder) -> Result<Row> {
    row(folder, "small-4KiB", 4 << 10)
}

pub(super) fn of_16_kib(folder: &Folder) -> Result<Row> {
    row(folder, "small-16KiB", 16 << 10)
}

pub(super) fn of_64_kib(folder: &Folder) -> Result<Row> {
    row(folder, "small-64KiB", 64 << 10)
}

pub(super) fn of_256_kib(folder: &Folder) -> Result<Row> {
    row(folder, "small-256KiB", 256 << 10)
}

pub(super) fn of_1_mib(folder: &Folder) -> Result<Row> {
    row(folder, "small-1MiB", 1 << 20)
}

fn row(folder: &Folder, name: &'static str, len: usize) -> Result<Row> {
    let paths = files(folder, len)?;
    let operations = paths.len() as u64;
    let mut peers = vec![
        Peer::ours(over(&paths, |path| Ok(sum(&mapwright::load(path)?)))),
        Peer::rival(RIVALS[0], over(&paths, |path| Ok(sum(&std::fs::read(path)?)))),
        Peer::rival(
            RIVALS[1],
            over(&paths, |path| {
                let file = File::open(path)?;
                // SAFETY: nobody changes the file while the bench runs.
                let map = unsafe { Mmap::map(&file) }?;
                Ok(sum(&map))
            }),
        ),
        Peer::rival(
            RIVALS[2],
            over(&paths, |path| {
                let file = File::open(path)?;
                // SAFETY: as above.
                let map = unsafe { MmapOptions::new().populate().map(&file) }?;
                Ok(sum(&map))
            }),
        ),
    ];
    let mut buffer = AlignedBuffer::new(len + 1)?;
    let limit = over(&paths, move |path| {
        let read = File::open(path)?.read(&mut buffer)?;
        Ok(sum(&buffer[..read]))
    });
    peers.push(Peer::limit("one read(2) into one buffer", limit));
    Ok(Row {
        name,
        about: format!("open a file of {} KiB, sum its bytes, close it", len >> 10),
        unit: Unit::Microseconds { operations },
        clock: Clock::Processor,
        cache: Cache::Warm,
        bytes_touched: operations * len as u64,
        rounds: 15,
        peers,
        targets: vec![Target::ratio("the better of fs::read and memmap2", RIVALS, 0.95)],
    })
}

/// Enough files that a sample takes some milliseconds, no more than fit into memory many times.
fn files(folder: &Folder, len: usize) -> Result<Vec<PathBuf>> {
    let count = folder.size(2_000, 20).min((256 << 20) / len);
    let parent = folder.path().join(format!("small-{len}"));
    std::fs::create_dir(&parent).with_context(|| format!("make the folder {}", parent.display()))?;
    let mut random = fastrand::Rng::with_seed(folder.seed() ^ len as u64);
    let mut bytes = vec![0; len];
    let make = |number| {
        let path = parent.join(format!("{number}"));
        random.fill(&mut bytes);
        std::fs::write(&path, &bytes).with_context(|| format!("make the file {}", path.display()))?;
        Ok(path)
    };
    (0..count).map(make).collect()
}

fn over(
    paths: &[PathBuf],
    mut sum_of: impl FnMut(&Path) -> Result<u64> + 'static,
) -> impl FnMut(&mut Meter) -> Result<()> + 'static {
    let paths = paths.to_vec();
    move |meter| {
        let total = meter.time(|| -> Result<u64> {
            paths.iter().try_fold(0u64, |total, path| Ok(total.wrapping_add(sum_of(path)?)))
        })?;
        meter.answer(total);
        Ok(())
    }
}
