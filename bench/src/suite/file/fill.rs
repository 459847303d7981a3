//! Creating a file and filling it, in pieces of 1 MiB that the program has made.

use std::fs::{File, OpenOptions};
use std::io::Write;
use std::os::unix::fs::FileExt;
use std::path::Path;

use anyhow::{Context, Result};
use mapwright::Map;
use memmap2::{Advice, MmapMut};

use crate::harness::{Cache, Clock, Folder, Meter, Peer, Row, Target, Unit};

const LEN: usize = 1 << 30;
const PIECE: usize = 1 << 20;

/// The row.
pub(super) fn create_and_fill(folder: &Folder) -> Result<Row> {
    let len = folder.size(LEN, 16 << 20);
    let mut piece = vec![0; PIECE];
    fastrand::Rng::with_seed(folder.seed()).fill(&mut piece);
    let new = |fill: Fill| {
        let (path, piece) = (folder.path().join("fill"), piece.clone());
        move |meter: &mut Meter| in_new_file(meter, &path, len, &piece, fill)
    };
    let peers = vec![
        Peer::ours({
            let (path, piece) = (folder.path().join("fill"), piece.clone());
            move |meter| {
                meter.time(|| ours(&path, len, &piece))?;
                sync_and_remove(&path)
            }
        }),
        Peer::rival("write(2) 1 MiB", new(by_writing)),
        Peer::rival("memmap2 set_len + memcpy", new(by_mapping)),
        Peer::rival("memmap2 fallocate, PopulateWrite", new(by_mapping_with_advice)),
        Peer::limit("fallocate + pwrite 1 MiB", new(by_reserving)),
    ];
    Ok(Row {
        name: "fill",
        about: format!("create a file and fill {} MiB, not synced", len >> 20),
        unit: Unit::Throughput { bytes: len as u64 },
        clock: Clock::Wall,
        cache: Cache::New,
        bytes_touched: len as u64,
        rounds: 9,
        peers,
        targets: vec![
            Target::ratio("write(2) 1 MiB", &["write(2) 1 MiB"], 0.95),
            Target::ratio("memmap2 set_len + memcpy", &["memmap2 set_len + memcpy"], 1.2),
        ],
    })
}

type Fill = fn(File, usize, &[u8]) -> Result<()>;

/// Times creating, filling and closing; then the file is synced and removed, so that the next sample does not
/// pay for it.
fn in_new_file(meter: &mut Meter, path: &Path, len: usize, piece: &[u8], fill: Fill) -> Result<()> {
    meter.time(|| fill(create(path)?, len, piece))?;
    sync_and_remove(path)
}

/// A new file that can be read, as mapping needs, and written.
pub(super) fn create(path: &Path) -> Result<File> {
    let open = OpenOptions::new().read(true).write(true).create_new(true).open(path);
    open.with_context(|| format!("create {}", path.display()))
}

/// Ends what a sample has begun.
pub(super) fn sync_and_remove(path: &Path) -> Result<()> {
    File::open(path)?.sync_all().context("sync the file")?;
    std::fs::remove_file(path).context("remove the file")
}

fn ours(path: &Path, len: usize, piece: &[u8]) -> Result<()> {
    let map = Map::create(path, len)?;
    (0..len / PIECE).try_for_each(|number| Ok(map.view().write_bulk(number * PIECE, piece)?))
}

fn by_writing(mut file: File, len: usize, piece: &[u8]) -> Result<()> {
    (0..len / PIECE).try_for_each(|_| Ok(file.write_all(piece)?))
}

fn by_mapping(file: File, len: usize, piece: &[u8]) -> Result<()> {
    file.set_len(len as u64)?;
    // SAFETY: nobody else knows the file.
    let mut map = unsafe { MmapMut::map_mut(&file) }?;
    map.chunks_exact_mut(PIECE).for_each(|target| target.copy_from_slice(piece));
    Ok(())
}

/// The best that can be said to the kernel: the blocks first, then the pages, piece by piece.
fn by_mapping_with_advice(file: File, len: usize, piece: &[u8]) -> Result<()> {
    rustix::fs::fallocate(&file, rustix::fs::FallocateFlags::empty(), 0, len as u64)?;
    // SAFETY: nobody else knows the file.
    let mut map = unsafe { MmapMut::map_mut(&file) }?;
    for number in 0..len / PIECE {
        map.advise_range(Advice::PopulateWrite, number * PIECE, PIECE)?;
        map[number * PIECE..][..PIECE].copy_from_slice(piece);
    }
    Ok(())
}

fn by_reserving(file: File, len: usize, piece: &[u8]) -> Result<()> {
    rustix::fs::fallocate(&file, rustix::fs::FallocateFlags::empty(), 0, len as u64)?;
    (0..len / PIECE).try_for_each(|number| Ok(file.write_all_at(piece, (number * PIECE) as u64)?))
}
