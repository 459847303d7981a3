//! Copying pieces of a warm map into a buffer of the caller.

use std::ops::Deref;

use anyhow::Result;

use super::{IN_HUGE_PAGES, in_huge_pages, our_warm_map, warm_map};
use crate::harness::{Cache, Clock, Folder, Meter, Peer, Row, Target, Unit};
use crate::rival::AlignedBuffer;

/// More than the caches hold: most copies come from memory.
const FAR: usize = 64 << 20;
/// Less than a core's own cache: what is measured is the work around the copy.
const NEAR: usize = 256 << 10;

const LINE: usize = 64;
const PAGE: usize = 4096;

const MEMCPY: &str = "memmap2 + memcpy";

/// Where copies come from and go to.
struct Places {
    /// How much of the file they come from, at random multiples of `grain`.
    len: usize,
    grain: usize,
    /// How far behind a page's beginning the buffer begins.
    skew: usize,
}

/// 64 bytes, from a core's own cache.
pub(super) fn small(folder: &Folder) -> Result<Row> {
    let places = Places { len: NEAR, grain: LINE, skew: 0 };
    row::<64>(folder, "copy-64B", places, 1_000_000, vec![two_nanoseconds()])
}

/// 64 bytes, from memory: a processor overlaps as many of these as fit into its window, so that the shorter
/// code wins.
pub(super) fn small_from_far(folder: &Folder) -> Result<Row> {
    let places = Places { len: FAR, grain: LINE, skew: 0 };
    row::<64>(folder, "copy-64B-far", places, 1_000_000, vec![two_nanoseconds()])
}

/// A page.
pub(super) fn middle(folder: &Folder) -> Result<Row> {
    let places = Places { len: FAR, grain: LINE, skew: 0 };
    row::<PAGE>(folder, "copy-4KiB", places, 50_000, vec![as_fast()])
}

/// A page, to a place that lies 8 bytes further into its page than the source: where glibc's memcpy uses `rep
/// movsb`, some processors (Zen 3, Zen 4) then fall to a tenth of their speed.
pub(super) fn middle_skewed(folder: &Folder) -> Result<Row> {
    let places = Places { len: FAR, grain: PAGE, skew: 8 };
    row::<PAGE>(folder, "copy-4KiB-skewed", places, 50_000, vec![])
}

/// 1 MiB.
pub(super) fn large(folder: &Folder) -> Result<Row> {
    let places = Places { len: FAR, grain: LINE, skew: 0 };
    row::<{ 1 << 20 }>(folder, "copy-1MiB", places, 400, vec![as_fast()])
}

fn two_nanoseconds() -> Target {
    Target::nanoseconds_more("memcpy", &[MEMCPY], 2.0)
}

fn as_fast() -> Target {
    Target::ratio("memcpy", &[MEMCPY], 0.95)
}

fn row<const SIZE: usize>(
    folder: &Folder,
    name: &'static str,
    places: Places,
    copies: usize,
    targets: Vec<Target>,
) -> Result<Row> {
    let Places { len, grain, skew } = places;
    let fixture = folder.random(folder.size(len, len.min(4 << 20)))?;
    let mut random = fastrand::Rng::with_seed(folder.seed());
    let last = (fixture.len() - SIZE) / grain;
    let count = folder.size(copies, copies / 20);
    let offsets: Vec<usize> = (0..count).map(|_| random.usize(..=last) * grain).collect();

    let (map, places) = (our_warm_map(&fixture)?, offsets.clone());
    let mut memory = AlignedBuffer::new(SIZE + skew)?;
    let ours = Peer::ours(move |meter| {
        let view = map.view();
        let buffer = <&mut [u8; SIZE]>::try_from(&mut memory[skew..])?;
        meter.time(|| -> Result<()> {
            for &offset in &places {
                view.copy_to(offset, buffer)?;
                std::hint::black_box(&mut *buffer);
            }
            Ok(())
        })
    });
    let rival = Peer::rival(MEMCPY, memcpy::<SIZE>(warm_map(&fixture)?, offsets.clone(), skew)?);
    let limit = Peer::limit(IN_HUGE_PAGES, memcpy::<SIZE>(in_huge_pages(&fixture)?, offsets, skew)?);
    Ok(Row {
        name,
        about: format!("copy {SIZE} bytes from random places in {} KiB", fixture.len() >> 10),
        unit: Unit::Nanoseconds { operations: count as u64 },
        clock: Clock::Processor,
        cache: Cache::Warm,
        bytes_touched: (count * SIZE) as u64,
        rounds: 15,
        peers: vec![ours, rival, limit],
        targets,
    })
}

/// Copies by memcpy(3) out of what is a slice.
fn memcpy<const SIZE: usize>(
    from: impl Deref<Target = [u8]>,
    offsets: Vec<usize>,
    skew: usize,
) -> Result<impl FnMut(&mut Meter) -> Result<()>> {
    let mut memory = AlignedBuffer::new(SIZE + skew)?;
    Ok(move |meter: &mut Meter| {
        let buffer = <&mut [u8; SIZE]>::try_from(&mut memory[skew..])?;
        meter.time(|| {
            for &offset in &offsets {
                buffer.copy_from_slice(&from[offset..offset + SIZE]);
                std::hint::black_box(&mut *buffer);
            }
        });
        Ok(())
    })
}
