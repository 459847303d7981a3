//! Dropping a large map whose pages were touched: how long the caller waits.

use std::sync::Arc;

use anyhow::Result;
use mapwright::{MapOptions, Populate};
use memmap2::{Advice, Mmap};

use crate::harness::{Cache, Clock, Folder, Peer, Row, Target, Unit};

const LEN: usize = 4 << 30;

/// The row.
pub(super) fn touched(folder: &Folder) -> Result<Row> {
    let fixture = folder.random(folder.size(LEN, 64 << 20))?;
    fixture.warm()?;
    let mapped = Arc::clone(&fixture);
    let ours = Peer::ours(move |meter| {
        let map = MapOptions::new().populate(Populate::Now).map(mapped.open()?)?;
        meter.time(|| drop(map));
        // The pages are given back by another thread; the next sample, whoever's it is, does not pay for
        // that.
        let name = mapped.path().display().to_string();
        while std::fs::read_to_string("/proc/self/maps")?.contains(&name) {
            std::thread::yield_now();
        }
        Ok(())
    });
    let mapped = Arc::clone(&fixture);
    let rival = Peer::rival("memmap2", move |meter| {
        let file = mapped.open()?;
        // SAFETY: nobody changes the file while the bench runs.
        let map = unsafe { Mmap::map(&file) }?;
        map.advise(Advice::PopulateRead)?;
        meter.time(|| drop(map));
        Ok(())
    });
    let mapped = Arc::clone(&fixture);
    let limit = Peer::limit("a map of which no page was touched", move |meter| {
        // SAFETY: as above.
        let map = unsafe { Mmap::map(&mapped.open()?) }?;
        meter.time(|| drop(map));
        Ok(())
    });
    let bytes = fixture.len() as u64;
    Ok(Row {
        name: "drop",
        about: format!("drop a map of {} MiB of which every page was touched", fixture.len() >> 20),
        unit: Unit::Microseconds { operations: 1 },
        clock: Clock::Wall,
        cache: Cache::Warm,
        bytes_touched: bytes,
        rounds: 9,
        peers: vec![ours, rival, limit],
        targets: vec![Target::ratio("memmap2", &["memmap2"], 20.0)],
    })
}
