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
    RowPlan { name: "map-4KiB", build: map::small },
    RowPlan { name: "map-1MiB", build: map::middle },
    RowPlan { name: "map-1GiB", build: map::large },
    RowPlan { name: "load-one", build: loads::one_by_one },
    RowPlan { name: "load-batch", build: loads::in_batches },
    RowPlan { name: "copy-64B", build: copies::small },
    RowPlan { name: "copy-64B-far", build: copies::small_from_far },
    RowPlan { name: "copy-4KiB", build: copies::middle },
    RowPlan { name: "copy-4KiB-skewed", build: copies::middle_skewed },
    RowPlan { name: "copy-1MiB", build: copies::large },
    RowPlan { name: "search", build: search::literal },
    RowPlan { name: "scan-cold", build: scan::cold },
    RowPlan { name: "gather-cold", build: gather::cold },
    RowPlan { name: "small-1KiB", build: small::of_1_kib },
    RowPlan { name: "small-4KiB", build: small::of_4_kib },
    RowPlan { name: "small-16KiB", build: small::of_16_kib },
    RowPlan { name: "small-64KiB", build: small::of_64_kib },
    RowPlan { name: "small-256KiB", build: small::of_256_kib },
    RowPlan { name: "small-1MiB", build: small::of_1_mib },
    RowPlan { name: "fill", build: fill::create_and_fill },
    RowPlan { name: "append", build: append::records },
    RowPlan { name: "drop", build: drop::touched },
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
