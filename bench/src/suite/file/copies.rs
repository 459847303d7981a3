//! Copying pieces of a warm map into a buffer of the caller.

use anyhow::Result;

use super::{our_warm_map, warm_map};
use crate::harness::{Cache, Clock, Folder, Peer, Row, Target, Unit};

/// More than the caches hold: most copies come from memory.
const FAR: usize = 64 << 20;
/// Less than a core's own cache: what is measured is the work around the copy.
const NEAR: usize = 256 << 10;

/// 64 bytes, from a core's own cache.
pub(super) fn small(folder: &Folder) -> Result<Row> {
    let target = Target::nanoseconds_more("memcpy", &["memmap2 + memcpy"], 2.0);
    row::<64>(folder, "copy-64B", NEAR, 1_000_000, target)
}

/// 64 bytes, from memory: a processor overlaps as many of these as fit into its window, so that the shorter
/// code wins.
pub(super) fn small_from_far(folder: &Folder) -> Result<Row> {
    let target = Target::nanoseconds_more("memcpy", &["memmap2 + memcpy"], 2.0);
    row::<64>(folder, "copy-64B-far", FAR, 1_000_000, target)
}

/// A page.
pub(super) fn middle(folder: &Folder) -> Result<Row> {
    row::<4096>(folder, "copy-4KiB", FAR, 50_000, Target::ratio("memcpy", &["memmap2 + memcpy"], 0.95))
}

/// 1 MiB.
pub(super) fn large(folder: &Folder) -> Result<Row> {
    row::<{ 1 << 20 }>(folder, "copy-1MiB", FAR, 400, Target::ratio("memcpy", &["memmap2 + memcpy"], 0.95))
}

/// The buffer is on a cache line's boundary for everybody: on some processors an unlucky distance between
/// source and target costs memcpy a factor of 17, and that is not what this row is about.
#[repr(align(4096))]
struct Buffer<const SIZE: usize>([u8; SIZE]);

fn row<const SIZE: usize>(
    folder: &Folder,
    name: &'static str,
    len: usize,
    copies: usize,
    target: Target,
) -> Result<Row> {
    let fixture = folder.random(folder.size(len, len.min(4 << 20)))?;
    let mut random = fastrand::Rng::with_seed(folder.seed());
    let lines = (fixture.len() - SIZE) / 64;
    let count = folder.size(copies, copies / 20);
    let offsets: Vec<usize> = (0..count).map(|_| random.usize(..=lines) * 64).collect();
    let (map, places) = (our_warm_map(&fixture)?, offsets.clone());
    let mut buffer = Box::new(Buffer([1u8; SIZE]));
    let ours = Peer::ours(move |meter| {
        let view = map.view();
        meter.time(|| -> Result<()> {
            for &offset in &places {
                view.copy_to(offset, &mut buffer.0)?;
                std::hint::black_box(&mut buffer.0);
            }
            Ok(())
        })
    });
    let (map, places) = (warm_map(&fixture)?, offsets);
    let mut buffer = Box::new(Buffer([1u8; SIZE]));
    let rival = Peer::rival("memmap2 + memcpy", move |meter| {
        meter.time(|| {
            for &offset in &places {
                buffer.0.copy_from_slice(&map[offset..offset + SIZE]);
                std::hint::black_box(&mut buffer.0);
            }
        });
        Ok(())
    });
    Ok(Row {
        name,
        about: format!("copy {SIZE} bytes from random lines of {} KiB", fixture.len() >> 10),
        unit: Unit::Nanoseconds { operations: count as u64 },
        clock: Clock::Processor,
        cache: Cache::Warm,
        bytes_touched: (count * SIZE) as u64,
        rounds: 15,
        peers: vec![ours, rival],
        targets: vec![target],
    })
}
