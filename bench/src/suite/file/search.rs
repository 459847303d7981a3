//! Searching a text in memory for a word that is not in it.

use anyhow::Result;
use memchr::memmem::Finder;

use super::{our_warm_map, warm_map};
use crate::harness::{Cache, Clock, Folder, Peer, Row, Target, Unit};
use crate::rival::sum;

const LEN: usize = 256 << 20;
/// Made of the letters of the text, so that its parts occur; longer than any word of it.
const NEEDLE: &[u8] = b"nowhereinthetext";
/// What "not found" is called in an answer.
const NOWHERE: u64 = u64::MAX;

/// One literal, the whole text.
pub(super) fn literal(folder: &Folder) -> Result<Row> {
    let fixture = folder.text(folder.size(LEN, 8 << 20))?;
    let map = our_warm_map(&fixture)?;
    let ours = Peer::ours(move |meter| {
        let found = meter.time(|| map.view().find(NEEDLE))?;
        meter.answer(found.map_or(NOWHERE, |place| place as u64));
        Ok(())
    });
    let map = warm_map(&fixture)?;
    let rival = Peer::rival("memchr over memmap2", move |meter| {
        let found = meter.time(|| Finder::new(NEEDLE).find(&map));
        meter.answer(found.map_or(NOWHERE, |place| place as u64));
        Ok(())
    });
    let map = warm_map(&fixture)?;
    let limit = Peer::limit("every byte summed", move |meter| {
        meter.time(|| sum(&map));
        Ok(())
    });
    let bytes = fixture.len() as u64;
    Ok(Row {
        name: "search",
        about: format!("search {} MiB of text for a word of {} bytes", fixture.len() >> 20, NEEDLE.len()),
        unit: Unit::Throughput { bytes },
        clock: Clock::Processor,
        cache: Cache::Warm,
        bytes_touched: bytes,
        rounds: 15,
        peers: vec![ours, rival, limit],
        targets: vec![Target::ratio("memchr over memmap2", &["memchr over memmap2"], 0.85)],
    })
}
