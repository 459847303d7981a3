//! Appending small records to a file, one at a time.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::os::unix::fs::FileExt;
use std::path::Path;

use anyhow::{Result, ensure};
use mapwright::MapVec;
use mapwright::zerocopy::IntoBytes;
use memmap2::MmapMut;

use super::fill::{create, sync_and_remove};
use crate::harness::{Cache, Clock, Folder, Meter, Peer, Row, Target, Unit};

const RECORDS: usize = 50_000_000;
const SIZE: usize = size_of::<Record>();

type Record = [u64; 2];

/// The record of a number: cheap to make, and no two alike.
fn record(number: usize) -> Record {
    let number = number as u64;
    [number, number.wrapping_mul(0x9E37_79B9_7F4A_7C15)]
}

/// The row.
pub(super) fn records(folder: &Folder) -> Result<Row> {
    let count = folder.size(RECORDS, 500_000);
    let new = |append: Append| {
        let path = folder.path().join("append");
        move |meter: &mut Meter| {
            meter.time(|| append(create(&path)?, count))?;
            let len = std::fs::metadata(&path)?.len();
            ensure!(len == (count * SIZE) as u64, "the file has {len} bytes, {} were appended", count * SIZE);
            sync_and_remove(&path)
        }
    };
    let path = folder.path().join("append");
    let ours = Peer::ours(move |meter| {
        meter.time(|| ours(&path, count))?;
        let len = MapVec::<Record>::open(&path)?.len();
        ensure!(len == count, "the array has {len} records, {count} were appended");
        sync_and_remove(&path)
    });
    let limit = |file, count| by_blocks(file, count, 256 << 10);
    let peers = vec![
        ours,
        Peer::rival("BufWriter", new(|file, count| by_writing(BufWriter::new(file), count))),
        Peer::rival(
            "BufWriter 256 KiB",
            new(|file, count| by_writing(BufWriter::with_capacity(256 << 10, file), count)),
        ),
        Peer::rival("memmap2, remapped on growth", new(by_remapping)),
        Peer::limit("fallocate, blocks of 256 KiB, pwrite", new(limit)),
    ];
    Ok(Row {
        name: "append",
        about: format!("append {count} records of {SIZE} bytes to a new file, not synced"),
        unit: Unit::Millions { operations: count as u64 },
        clock: Clock::Wall,
        cache: Cache::New,
        bytes_touched: (count * SIZE) as u64,
        rounds: 7,
        peers,
        targets: vec![
            Target::ratio("BufWriter, best", &["BufWriter", "BufWriter 256 KiB"], 1.0),
            Target::ratio("memmap2 with remap on growth", &["memmap2, remapped on growth"], 1.2),
        ],
    })
}

fn ours(path: &Path, count: usize) -> Result<()> {
    let mut records = MapVec::<Record>::create(path)?;
    (0..count).try_for_each(|number| records.push(record(number)))?;
    Ok(records.close()?)
}

type Append = fn(File, usize) -> Result<()>;

fn by_writing(mut writer: BufWriter<File>, count: usize) -> Result<()> {
    (0..count).try_for_each(|number| writer.write_all(record(number).as_bytes()))?;
    Ok(writer.flush()?)
}

/// What a program does that knows the number of records in advance and nothing else to do.
fn by_blocks(file: File, count: usize, block: usize) -> Result<()> {
    rustix::fs::fallocate(&file, rustix::fs::FallocateFlags::empty(), 0, (count * SIZE) as u64)?;
    let mut records = Vec::with_capacity(block);
    let mut written = 0;
    for number in 0..count {
        records.extend_from_slice(record(number).as_bytes());
        if records.len() == block || number + 1 == count {
            file.write_all_at(&records, written)?;
            written += records.len() as u64;
            records.clear();
        }
    }
    Ok(())
}

/// Doubles the file and maps it anew when it is full, as a Vec does; cuts it at the end.
fn by_remapping(file: File, count: usize) -> Result<()> {
    let grow = |len: usize| -> Result<MmapMut> {
        file.set_len(len as u64)?;
        // SAFETY: nobody else knows the file, and the map it had before is dropped or about to be.
        Ok(unsafe { MmapMut::map_mut(&file) }?)
    };
    let mut map = grow(1 << 20)?;
    let mut len = 0;
    for number in 0..count {
        if len + SIZE > map.len() {
            map = grow(2 * map.len())?;
        }
        map[len..len + SIZE].copy_from_slice(record(number).as_bytes());
        len += SIZE;
    }
    drop(map);
    Ok(file.set_len(len as u64)?)
}
