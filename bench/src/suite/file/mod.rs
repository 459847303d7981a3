//! Files as arrays: mapping, access, scanning, gathering, writing, and dropping.

mod append;
mod copies;
mod drop;
mod fill;
mod gather;
mod loads;
mod map;
mod scan;
mod search;
mod small;

use anyhow::Result;
use mapwright::{HugePages, Map, MapOptions, Memory, Populate};
use memmap2::Mmap;

use super::Suite;
use crate::harness::{Fixture, RowPlan};

/// The suite.
pub(super) const SUITE: Suite =
    Suite { name: "file", about: "files as arrays", rows: ROWS, duos: &[], hop: None };

const ROWS: &[RowPlan] = &[
    RowPlan::new("map-4KiB", map::small),
    RowPlan::new("map-1MiB", map::middle),
    RowPlan::new("map-1GiB", map::large),
    RowPlan::new("load-one", loads::one_by_one),
    RowPlan::new("load-batch", loads::in_batches),
    RowPlan::new("copy-64B", copies::small),
    RowPlan::new("copy-64B-far", copies::small_from_far),
    RowPlan::new("copy-4KiB", copies::middle),
    RowPlan::new("copy-4KiB-skewed", copies::middle_skewed),
    RowPlan::new("copy-1MiB", copies::large),
    RowPlan::new("search", search::literal),
    RowPlan::new("scan-cold", scan::cold),
    RowPlan::new("gather-cold", gather::cold),
    RowPlan::new("small-1KiB", small::of_1_kib),
    RowPlan::new("small-4KiB", small::of_4_kib),
    RowPlan::new("small-16KiB", small::of_16_kib),
    RowPlan::new("small-64KiB", small::of_64_kib),
    RowPlan::new("small-256KiB", small::of_256_kib),
    RowPlan::new("small-1MiB", small::of_1_mib),
    RowPlan::new("fill", fill::create_and_fill),
    RowPlan::new("append", append::records),
    RowPlan::new("drop", drop::touched),
];

/// Maps a file by memmap2 with all its pages in memory and in the page table.
fn warm_map(fixture: &Fixture) -> Result<Mmap> {
    fixture.warm()?;
    // SAFETY: nobody changes the file while the bench runs.
    Ok(unsafe { memmap2::MmapOptions::new().populate().map(&fixture.open()?) }?)
}

/// What no mapped file can be faster than.
const IN_HUGE_PAGES: &str = "ordinary memory in huge pages";

/// A file's bytes in ordinary memory, of huge pages where the kernel has some.
fn in_huge_pages(fixture: &Fixture) -> Result<Memory> {
    let mut memory = MapOptions::new().huge_pages(HugePages::Transparent).memory(fixture.len())?;
    our_warm_map(fixture)?.view().copy_to(0, &mut memory)?;
    Ok(memory)
}

/// Maps a file by ours with all its pages in memory and in the page table.
fn our_warm_map(fixture: &Fixture) -> Result<Map> {
    fixture.warm()?;
    Ok(MapOptions::new().populate(Populate::Now).map(fixture.open()?)?)
}
