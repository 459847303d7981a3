//! Sorts the records of a file in place: `cargo run --release --example record_sort -- [FILE [RECORDS]]`
//!
//! Makes an array of trades in a file, sorts it by price within 64 MiB of memory, however large it is, and
//! looks a price up by binary search. If the program is killed while it sorts, the file holds the old order;
//! afterwards, the new one.

#![allow(clippy::print_stdout, reason = "a program that prints")]

use std::path::PathBuf;
use std::time::Instant;

use mapwright::zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};
use mapwright::{MapVec, MapVecOptions, Plain, Result};

/// One record. The file remembers these fields, and refuses to be opened as anything else.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout, Plain)]
#[repr(C)]
struct Trade {
    id: u64,
    cents: u64,
}

fn main() -> std::result::Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args_os().skip(1);
    let folder = tempfile::tempdir()?;
    let path = arguments.next().map_or_else(|| folder.path().join("trades"), PathBuf::from);
    let count = match arguments.next() {
        Some(count) => count.to_string_lossy().parse()?,
        None => 8_000_000,
    };
    let mut trades = MapVecOptions::new().sort_memory(64 << 20).open_or_create(&path)?;
    if trades.is_empty() {
        let start = Instant::now();
        fill(&mut trades, count)?;
        println!("wrote {count} trades in {:.2?}", start.elapsed());
    }

    let start = Instant::now();
    trades.sort_by_key(|trade| trade.cents)?;
    println!("sorted {} trades in {:.2?}", trades.len(), start.elapsed());

    let wanted = trades.get(trades.len() / 2)?.cents;
    let first = trades.partition_point(|trade| trade.cents < wanted)?;
    println!("the median is {wanted} cents, first paid in {:?}", trades.get(first)?);

    trades.flush()?; // on the disk
    trades.close()?; // and what went wrong is reported
    Ok(())
}

/// Appends trades with prices that look random.
fn fill(trades: &mut MapVec<Trade>, count: u64) -> Result<()> {
    for id in 0..count {
        let cents = id.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 40;
        trades.push(Trade { id, cents })?;
    }
    Ok(())
}
