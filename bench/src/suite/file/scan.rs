//! Reading a file that is not in memory from its beginning to its end, every byte summed by one thread.

use std::fs::File;
use std::io::Read;
use std::sync::Arc;

use anyhow::Result;
use mapwright::MapOptions;
use memmap2::{Advice, Mmap};

use crate::harness::{Cache, Clock, Fixture, Folder, Peer, Row, Target, Unit};
use crate::rival::{AlignedBuffer, sum, sum_by_readers, sum_by_threads, sum_in_order};

const LEN: usize = 1 << 30;
const MIB: usize = 1 << 20;

const ADVISED: &[&str] = &[
    "memmap2 Sequential",
    "memmap2 WillNeed",
    "memmap2 HugePage + Sequential",
    "memmap2 PopulateRead",
    "memmap2 Sequential + PopulateRead",
];
const DIRECT: &[&str] = &[
    "O_DIRECT, 2 threads of 1 MiB",
    "O_DIRECT, 4 threads of 4 MiB",
    "O_DIRECT, 8 threads of 2 MiB",
    "O_DIRECT, 8 readers of 2 MiB, 1 sums",
];

/// The row.
pub(super) fn cold(folder: &Folder) -> Result<Row> {
    let fixture = folder.random(folder.size(LEN, 64 * MIB))?;
    let peers = vec![
        streamed(&fixture),
        mapped("memmap2 default", &fixture, &[]),
        mapped(ADVISED[0], &fixture, &[Advice::Sequential]),
        mapped(ADVISED[1], &fixture, &[Advice::WillNeed]),
        mapped(ADVISED[2], &fixture, &[Advice::HugePage, Advice::Sequential]),
        mapped(ADVISED[3], &fixture, &[Advice::PopulateRead]),
        mapped(ADVISED[4], &fixture, &[Advice::Sequential, Advice::PopulateRead]),
        read("read(2) 1 MiB", &fixture, Read2::Plain),
        read("read(2) 1 MiB, fadvise SEQUENTIAL", &fixture, Read2::Sequential),
        direct(DIRECT[0], &fixture, 2, MIB)?,
        direct(DIRECT[1], &fixture, 4, 4 * MIB)?,
        direct(DIRECT[2], &fixture, 8, 2 * MIB)?,
        readers(DIRECT[3], &fixture, 8, 2 * MIB)?,
        ring("io_uring O_DIRECT, 16 × 1 MiB", &fixture, 16, MIB)?,
    ];
    let bytes = fixture.len() as u64;
    Ok(Row {
        name: "scan-cold",
        about: format!("sum {} MiB from beginning to end in one thread", fixture.len() / MIB),
        unit: Unit::Throughput { bytes },
        clock: Clock::Wall,
        cache: Cache::Cold(vec![fixture]),
        bytes_touched: bytes,
        rounds: 9,
        peers,
        targets: vec![
            Target::ratio("memmap2 default", &["memmap2 default"], 1.8),
            Target::ratio("memmap2, best advice", ADVISED, 1.0),
            Target::ratio("read(2) 1 MiB", &["read(2) 1 MiB"], 1.15),
            Target::ratio("best parallel O_DIRECT", DIRECT, 0.9),
        ],
    })
}

fn streamed(fixture: &Arc<Fixture>) -> Peer {
    let fixture = Arc::clone(fixture);
    Peer::ours(move |meter| {
        let file = fixture.open()?;
        let sum = meter.time(|| -> Result<u64> {
            let map = MapOptions::new().map(file)?;
            let (mut stream, mut total) = (map.view().stream(), 0u64);
            while let Some(chunk) = stream.next_chunk() {
                total = total.wrapping_add(sum(chunk?));
            }
            Ok(total)
        })?;
        meter.answer(sum);
        Ok(())
    })
}

fn mapped(name: &'static str, fixture: &Arc<Fixture>, advice: &'static [Advice]) -> Peer {
    let fixture = Arc::clone(fixture);
    Peer::rival(name, move |meter| {
        let file = fixture.open()?;
        let sum = meter.time(|| -> Result<u64> {
            // SAFETY: nobody changes the file while the bench runs.
            let map = unsafe { Mmap::map(&file) }?;
            for &advice in advice {
                map.advise(advice)?;
            }
            Ok(sum(&map))
        })?;
        meter.answer(sum);
        Ok(())
    })
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Read2 {
    Plain,
    Sequential,
}

fn read(name: &'static str, fixture: &Arc<Fixture>, how: Read2) -> Peer {
    let fixture = Arc::clone(fixture);
    let mut buffer = vec![1; MIB];
    Peer::rival(name, move |meter| {
        let file = fixture.open()?;
        let sum = meter.time(|| -> Result<u64> {
            if how == Read2::Sequential {
                rustix::fs::fadvise(&file, 0, None, rustix::fs::Advice::Sequential)?;
            }
            sum_by_reading(&file, &mut buffer)
        })?;
        meter.answer(sum);
        Ok(())
    })
}

fn sum_by_reading(mut file: &File, buffer: &mut [u8]) -> Result<u64> {
    let mut total = 0u64;
    loop {
        match file.read(buffer)? {
            0 => return Ok(total),
            len => total = total.wrapping_add(sum(&buffer[..len])),
        }
    }
}

/// Threads that read and sum: the parallel consumer that most programs are not.
fn direct(name: &'static str, fixture: &Arc<Fixture>, threads: usize, block: usize) -> Result<Peer> {
    let fixture = Arc::clone(fixture);
    let mut buffers = AlignedBuffer::new(threads * block)?;
    Ok(Peer::rival(name, move |meter| {
        let file = fixture.open_direct()?;
        let sum = meter.time(|| sum_by_threads(&file, fixture.len(), block, &mut buffers))?;
        meter.answer(sum);
        Ok(())
    }))
}

/// Threads that read, and one that sums.
fn readers(name: &'static str, fixture: &Arc<Fixture>, threads: usize, block: usize) -> Result<Peer> {
    let fixture = Arc::clone(fixture);
    let mut buffers = AlignedBuffer::new(2 * threads * block)?;
    Ok(Peer::rival(name, move |meter| {
        let file = fixture.open_direct()?;
        let sum = meter.time(|| sum_by_readers(&file, fixture.len(), block, &mut buffers))?;
        meter.answer(sum);
        Ok(())
    }))
}

/// A queue of reads into buffers that are ready: what the device gives to one thread.
fn ring(name: &'static str, fixture: &Arc<Fixture>, depth: usize, block: usize) -> Result<Peer> {
    let fixture = Arc::clone(fixture);
    let mut buffers = AlignedBuffer::new(depth * block)?;
    Ok(Peer::limit(name, move |meter| {
        let file = fixture.open_direct()?;
        let sum = meter.time(|| sum_in_order(&file, fixture.len(), block, &mut buffers))?;
        meter.answer(sum);
        Ok(())
    }))
}
