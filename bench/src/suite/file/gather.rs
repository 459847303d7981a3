//! Fetching random blocks of a file that is not in memory.

use std::os::unix::fs::FileExt;
use std::sync::Arc;

use anyhow::Result;
use mapwright::{MapOptions, Span};
use memmap2::{Advice, Mmap};

use crate::harness::{Cache, Clock, Fixture, Folder, Meter, Peer, Role, Row, Target, Unit};
use crate::rival::{AlignedBuffer, read_blocks, sum};

const LEN: usize = 4 << 30;
const BLOCK: usize = 4 << 10;
const BLOCKS: usize = 20_000;

const MAPPED: &[&str] = &["memmap2 loop, default", "memmap2 loop, Random", "memmap2 loop, WillNeed a block"];

/// What all peers of the row share.
#[derive(Clone)]
struct Blocks {
    fixture: Arc<Fixture>,
    count: usize,
    seed: u64,
}

impl Blocks {
    /// Where the blocks of a round lie: the same for all peers, others in the next round.
    fn offsets(&self, meter: &Meter) -> Vec<u64> {
        let mut random = fastrand::Rng::with_seed(self.seed ^ (meter.round() << 32));
        let blocks = self.fixture.len() / BLOCK;
        (0..self.count).map(|_| (random.usize(..blocks) * BLOCK) as u64).collect()
    }
}

/// The row.
pub(super) fn cold(folder: &Folder) -> Result<Row> {
    let fixture = folder.random(folder.size(LEN, 64 << 20))?;
    let count = folder.size(BLOCKS, 500);
    let blocks = Blocks { fixture: Arc::clone(&fixture), count, seed: folder.seed() };
    let peers = vec![
        gathered(&blocks)?,
        mapped(MAPPED[0], &blocks, Mapped::Default)?,
        mapped(MAPPED[1], &blocks, Mapped::Random)?,
        mapped(MAPPED[2], &blocks, Mapped::WillNeedEach)?,
        mapped("memmap2 WillNeed all, then loop", &blocks, Mapped::WillNeedAll)?,
        pread(&blocks)?,
        ring(Role::Rival, "io_uring depth 64 O_DIRECT", &blocks, 64)?,
        ring(Role::Limit, "io_uring depth 256 O_DIRECT", &blocks, 256)?,
    ];
    Ok(Row {
        name: "gather-cold",
        about: format!("copy {count} random blocks of 4 KiB of {} MiB into a buffer", fixture.len() >> 20),
        unit: Unit::Thousands { operations: count as u64 },
        clock: Clock::Wall,
        cache: Cache::Cold(vec![fixture]),
        bytes_touched: (count * BLOCK) as u64,
        rounds: 5,
        peers,
        targets: vec![
            Target::ratio("memmap2 loop, best", MAPPED, 4.0),
            Target::ratio("io_uring depth 64 O_DIRECT", &["io_uring depth 64 O_DIRECT"], 0.8),
        ],
    })
}

fn gathered(blocks: &Blocks) -> Result<Peer> {
    let blocks = blocks.clone();
    let mut into = AlignedBuffer::new(blocks.count * BLOCK)?;
    Ok(Peer::ours(move |meter| {
        let file = blocks.fixture.open()?;
        let offsets = blocks.offsets(meter);
        meter.time(|| -> Result<()> {
            let map = MapOptions::new().map(file)?;
            let span = |&offset: &u64| Span::new(offset as usize, BLOCK);
            let spans: Vec<Span> = offsets.iter().filter_map(span).collect();
            Ok(map.view().gather(&spans, &mut into)?)
        })?;
        meter.answer(sum(&into));
        Ok(())
    }))
}

/// How the loop over a map prepares its accesses.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Mapped {
    /// Not at all.
    Default,
    /// By saying once that they will be random.
    Random,
    /// By asking for each block just before it is copied.
    WillNeedEach,
    /// By asking for all blocks before the first is copied: what a user does who knows all of them in
    /// advance.
    WillNeedAll,
}

fn mapped(name: &'static str, blocks: &Blocks, how: Mapped) -> Result<Peer> {
    let blocks = blocks.clone();
    let mut into = AlignedBuffer::new(blocks.count * BLOCK)?;
    Ok(Peer::rival(name, move |meter| {
        let file = blocks.fixture.open()?;
        let offsets = blocks.offsets(meter);
        meter.time(|| -> Result<()> {
            // SAFETY: nobody changes the file while the bench runs.
            let map = unsafe { Mmap::map(&file) }?;
            if how != Mapped::Default {
                map.advise(Advice::Random)?;
            }
            if how == Mapped::WillNeedAll {
                for &offset in &offsets {
                    map.advise_range(Advice::WillNeed, offset as usize, BLOCK)?;
                }
            }
            for (&offset, buffer) in offsets.iter().zip(into.chunks_exact_mut(BLOCK)) {
                if how == Mapped::WillNeedEach {
                    map.advise_range(Advice::WillNeed, offset as usize, BLOCK)?;
                }
                buffer.copy_from_slice(&map[offset as usize..][..BLOCK]);
            }
            Ok(())
        })?;
        meter.answer(sum(&into));
        Ok(())
    }))
}

/// One pread(2) after the other, the file advised as random.
fn pread(blocks: &Blocks) -> Result<Peer> {
    let blocks = blocks.clone();
    let mut into = AlignedBuffer::new(blocks.count * BLOCK)?;
    Ok(Peer::rival("pread(2), fadvise RANDOM", move |meter| {
        let file = blocks.fixture.open()?;
        let offsets = blocks.offsets(meter);
        meter.time(|| -> Result<()> {
            rustix::fs::fadvise(&file, 0, None, rustix::fs::Advice::Random)?;
            for (&offset, buffer) in offsets.iter().zip(into.chunks_exact_mut(BLOCK)) {
                file.read_exact_at(buffer, offset)?;
            }
            Ok(())
        })?;
        meter.answer(sum(&into));
        Ok(())
    }))
}

fn ring(role: Role, name: &'static str, blocks: &Blocks, depth: usize) -> Result<Peer> {
    let blocks = blocks.clone();
    let mut into = AlignedBuffer::new(blocks.count * BLOCK)?;
    Ok(Peer::new(role, name, move |meter| {
        let file = blocks.fixture.open_direct()?;
        let offsets = blocks.offsets(meter);
        meter.time(|| read_blocks(&file, &offsets, BLOCK, depth, &mut into))?;
        meter.answer(sum(&into));
        Ok(())
    }))
}
