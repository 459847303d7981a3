//! Random typed loads of 8 bytes at any alignment from 256 MiB that are in memory.

use std::ops::Deref;
use std::sync::Arc;

use anyhow::Result;
use mapwright::Fault;

use super::{IN_HUGE_PAGES, in_huge_pages, our_warm_map, warm_map};
use crate::harness::{Cache, Clock, Fixture, Folder, Meter, Peer, Row, Target, Unit};

const LEN: usize = 256 << 20;
const LOADS: usize = 2_000_000;

struct Loads {
    fixture: Arc<Fixture>,
    /// Where to load, anywhere in the file.
    offsets: Vec<usize>,
}

impl Loads {
    fn new(folder: &Folder) -> Result<Self> {
        let fixture = folder.random(folder.size(LEN, 8 << 20))?;
        fixture.warm()?;
        let mut random = fastrand::Rng::with_seed(folder.seed());
        let last = fixture.len() - size_of::<u64>();
        let offsets = (0..folder.size(LOADS, 50_000)).map(|_| random.usize(..=last)).collect();
        Ok(Self { fixture, offsets })
    }

    fn row(&self, name: &'static str, about: &str, peers: Vec<Peer>, targets: Vec<Target>) -> Row {
        let operations = self.offsets.len() as u64;
        Row {
            name,
            about: format!("{about} from {} MiB, offsets random and unaligned", self.fixture.len() >> 20),
            unit: Unit::Nanoseconds { operations },
            clock: Clock::Processor,
            cache: Cache::Warm,
            bytes_touched: operations * size_of::<u64>() as u64,
            rounds: 15,
            peers,
            targets,
        }
    }
}

fn load(bytes: &[u8], offset: usize) -> u64 {
    let (word, _) = bytes[offset..].split_first_chunk().expect("all offsets leave room for a word");
    u64::from_le_bytes(*word)
}

/// Loads from a slice, and adds up.
fn sum_of_loads(
    bytes: impl Deref<Target = [u8]>,
    offsets: Vec<usize>,
) -> impl FnMut(&mut Meter) -> Result<()> {
    move |meter| {
        let sum =
            meter.time(|| offsets.iter().fold(0u64, |sum, &offset| sum.wrapping_add(load(&bytes, offset))));
        meter.answer(sum);
        Ok(())
    }
}

/// Loads from a slice into an array.
fn many_loads(bytes: impl Deref<Target = [u8]>, offsets: Vec<usize>) -> impl FnMut(&mut Meter) -> Result<()> {
    let mut values = vec![1u64; offsets.len()];
    move |meter| {
        meter.time(|| {
            for (value, &offset) in values.iter_mut().zip(&offsets) {
                *value = load(&bytes, offset);
            }
        });
        meter.answer(values.iter().fold(0, |sum, &value| sum.wrapping_add(value)));
        Ok(())
    }
}

/// Each load on its own.
pub(super) fn one_by_one(folder: &Folder) -> Result<Row> {
    let loads = Loads::new(folder)?;
    let (map, offsets) = (our_warm_map(&loads.fixture)?, loads.offsets.clone());
    let ours = Peer::ours(move |meter| {
        let view = map.view();
        let sum = meter.time(|| {
            offsets
                .iter()
                .try_fold(0u64, |sum, &offset| Ok::<_, Fault>(sum.wrapping_add(view.load::<u64>(offset)?)))
        })?;
        meter.answer(sum);
        Ok(())
    });
    let rival = Peer::rival("memmap2 slice", sum_of_loads(warm_map(&loads.fixture)?, loads.offsets.clone()));
    let limit =
        Peer::limit(IN_HUGE_PAGES, sum_of_loads(in_huge_pages(&loads.fixture)?, loads.offsets.clone()));
    let target = Target::ratio("memmap2 slice", &["memmap2 slice"], 0.8);
    Ok(loads.row("load-one", "load u64s one by one", vec![ours, rival, limit], vec![target]))
}

/// All loads in one call.
pub(super) fn in_batches(folder: &Folder) -> Result<Row> {
    let loads = Loads::new(folder)?;
    let (map, offsets) = (our_warm_map(&loads.fixture)?, loads.offsets.clone());
    let mut values = vec![1u64; offsets.len()];
    let ours = Peer::ours(move |meter| {
        meter.time(|| map.view().load_many(&offsets, &mut values))?;
        meter.answer(values.iter().fold(0, |sum, &value| sum.wrapping_add(value)));
        Ok(())
    });
    let rival = Peer::rival("memmap2 slice", many_loads(warm_map(&loads.fixture)?, loads.offsets.clone()));
    let limit = Peer::limit(IN_HUGE_PAGES, many_loads(in_huge_pages(&loads.fixture)?, loads.offsets.clone()));
    let target = Target::ratio("memmap2 slice", &["memmap2 slice"], 0.95);
    Ok(loads.row("load-batch", "load u64s into an array", vec![ours, rival, limit], vec![target]))
}
