//! Mapping and unmapping a file that nobody touches: what the bookkeeping costs.

use std::sync::Arc;

use anyhow::Result;
use mapwright::MapOptions;

use crate::harness::{Cache, Clock, Folder, Peer, Row, Target, Unit};

/// A file of one page.
pub(super) fn small(folder: &Folder) -> Result<Row> {
    row(folder, "map-4KiB", 4 << 10)
}

/// A file of 1 MiB.
pub(super) fn middle(folder: &Folder) -> Result<Row> {
    row(folder, "map-1MiB", 1 << 20)
}

/// A file of 1 GiB.
pub(super) fn large(folder: &Folder) -> Result<Row> {
    row(folder, "map-1GiB", folder.size(1 << 30, 64 << 20))
}

fn row(folder: &Folder, name: &'static str, len: usize) -> Result<Row> {
    let fixture = folder.random(len)?;
    // A sample shorter than a time slice: the median is then of samples that nobody interrupted.
    let repetitions = 50;
    let mut handed_over = Some(Arc::new(fixture.open()?));
    let ours = Peer::ours(move |meter| {
        meter.time(|| {
            for _ in 0..repetitions {
                let file = handed_over.take().expect("each map gives its file back");
                let map = MapOptions::new().map(file)?;
                std::hint::black_box(map.view());
                handed_over = map.into_file();
            }
            Ok(())
        })
    });
    let theirs = fixture.open()?;
    let rival = Peer::rival("memmap2", move |meter| {
        meter.time(|| {
            for _ in 0..repetitions {
                // SAFETY: nobody changes the file, and nothing reads the map.
                let map = unsafe { memmap2::Mmap::map(&theirs) }?;
                std::hint::black_box(map.as_ptr());
            }
            Ok(())
        })
    });
    let limit = limit(&fixture.open()?, len, repetitions)?;
    Ok(Row {
        name,
        about: "map and unmap a file that is open, its pages untouched".to_owned(),
        unit: Unit::Nanoseconds { operations: repetitions },
        clock: Clock::Wall,
        cache: Cache::Warm,
        bytes_touched: 0,
        rounds: 301,
        peers: vec![ours, rival, limit],
        targets: vec![Target::ratio("memmap2", &["memmap2"], 0.95)],
    })
}

/// mmap(2) and munmap(2), with nothing around them.
fn limit(file: &std::fs::File, len: usize, repetitions: u64) -> Result<Peer> {
    use rustix::mm::{MapFlags, ProtFlags, mmap, munmap};
    let file = file.try_clone()?;
    Ok(Peer::limit("the two system calls", move |meter| {
        meter.time(|| {
            for _ in 0..repetitions {
                let nowhere = std::ptr::null_mut();
                // SAFETY: the kernel picks a free place.
                let start = unsafe { mmap(nowhere, len, ProtFlags::READ, MapFlags::SHARED, &file, 0) }?;
                // SAFETY: exactly what was mapped, and nobody has a reference into it.
                unsafe { munmap(start, len) }?;
            }
            Ok(())
        })
    }))
}
