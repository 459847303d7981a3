//! Residency, warming, evicting and write-back, with the kernel's own numbers as the other witness.

use crate::support::page_cache;
use crate::support::process::{Parent, Process};
use crate::support::random::Random;
use crate::support::scratch;
use crate::support::skip::{Need, Skip};
use crate::support::suite::{Verdict, role, suite};
use crate::support::watchdog;
use mapwright::{Map, MapOptions, Populate, cache_usage, evict, residency, warm};
use std::fs::File;
use std::ops::ControlFlow;
use std::path::PathBuf;
use tempfile::TempDir;

suite!(
    tests: [
        residency_is_what_the_kernel_says,
        warming_and_evicting_change_what_is_cached,
        pages_that_others_hold_stay_and_it_says_so,
        population_in_the_background_brings_everything_in,
        started_write_back_reaches_the_disk_by_itself,
    ],
    roles: [hold_pages],
);

const PAGES: usize = 1_000;
/// The most pages that the kernel keeps or drops together.
const FOLIO: usize = 512;

fn file_on_the_disk() -> Result<(TempDir, PathBuf, File), Skip> {
    let folder = scratch::folder();
    scratch::is_on_a_disk(&folder)?;
    let path = scratch::file(&folder, "file", &scratch::pattern(PAGES * 4096 - 100));
    let file = File::options().read(true).write(true).open(&path).unwrap();
    file.sync_all().unwrap();
    Ok((folder, path, file))
}

fn go_on(_done: u64) -> ControlFlow<()> {
    ControlFlow::Continue(())
}

fn wide(number: usize) -> u64 {
    u64::try_from(number).unwrap()
}

fn residency_is_what_the_kernel_says() -> Verdict {
    let (_folder, path, file) = file_on_the_disk()?;
    let map = MapOptions::new().offset(5_000).open(&path).unwrap();
    let mut random = Random::stream(0);
    for _ in 0..30 {
        evict(&file, ..).unwrap();
        for _ in 0..random.below(8) {
            let page = random.below(PAGES);
            let end = (page + random.below(100)).min(PAGES - 1);
            warm(&file, wide(page * 4096)..wide(end * 4096), go_on).unwrap();
        }
        let kernel = page_cache::resident_pages(&file);
        let ours: Vec<bool> =
            residency(&file, ..).unwrap().pages().map(mapwright::PageState::is_cached).collect();
        assert_eq!(ours, kernel);
        let of_map: Vec<bool> =
            map.residency(..).unwrap().pages().map(mapwright::PageState::is_cached).collect();
        assert_eq!(of_map, kernel[1..], "the map begins in the second page");
        let cached = kernel.iter().filter(|&&is_cached| is_cached).count();
        assert_eq!(cache_usage(&file, ..).unwrap().cached, Some(wide(cached)));
    }
    Ok(())
}

fn warming_and_evicting_change_what_is_cached() -> Verdict {
    let (_folder, path, file) = file_on_the_disk()?;
    assert_eq!(evict(&file, ..).unwrap().cached, Some(0));
    assert_eq!(page_cache::resident_count(&file), 0);
    // Exactly what was asked for: no read-ahead beyond it.
    warm(&file, 100 * 4096..200 * 4096, go_on).unwrap();
    let resident = page_cache::resident_pages(&file);
    assert!(resident[100..200].iter().all(|&is_resident| is_resident));
    assert_eq!(resident.iter().filter(|&&is_resident| is_resident).count(), 100);
    warm(&file, .., go_on).unwrap();
    assert_eq!(page_cache::resident_count(&file), PAGES);
    let map = MapOptions::new().populate(Populate::Now).open(&path).unwrap();
    map.evict(FOLIO * 4096..).unwrap();
    let resident = page_cache::resident_pages(&file);
    assert!(resident[FOLIO..].iter().all(|&is_resident| !is_resident));
    assert_eq!(page_cache::resident_count(&file), FOLIO);
    Ok(())
}

/// The first page that is held.
const HELD: usize = 600;

/// Maps the end of a file and keeps its pages: path.
fn hold_pages(parent: &mut Parent) {
    let map =
        MapOptions::new().offset(wide(HELD * 4096)).populate(Populate::Now).open(parent.arg(0)).unwrap();
    parent.say("held");
    parent.wait_for_the_end();
    drop(map);
}

fn pages_that_others_hold_stay_and_it_says_so() -> Verdict {
    let (_folder, path, file) = file_on_the_disk()?;
    let mut holder = Process::start(role!(hold_pages), &[path.to_str().unwrap()]);
    assert_eq!(holder.hear(), "held");
    let usage = evict(&file, ..).unwrap();
    let resident = page_cache::resident_pages(&file);
    assert!(resident[HELD..].iter().all(|&is_resident| is_resident), "{usage:?}");
    assert!(resident[..FOLIO].iter().all(|&is_resident| !is_resident), "{usage:?}");
    assert_eq!(usage.cached, Some(wide(page_cache::resident_count(&file))));
    holder.kill();
    assert_eq!(evict(&file, ..).unwrap().cached, Some(0));
    Ok(())
}

fn population_in_the_background_brings_everything_in() -> Verdict {
    let (_folder, path, file) = file_on_the_disk()?;
    evict(&file, ..).unwrap();
    let map = MapOptions::new().populate(Populate::InBackground).open(&path).unwrap();
    watchdog::until("every page is in memory", || page_cache::resident_count(&file) == PAGES);
    drop(map);
    // A map that goes first takes its helper along.
    for _ in 0..20 {
        evict(&file, ..).unwrap();
        drop(MapOptions::new().populate(Populate::InBackground).open(&path).unwrap());
    }
    evict(&file, ..).unwrap();
    Ok(())
}

fn started_write_back_reaches_the_disk_by_itself() -> Verdict {
    let (_folder, path, file) = file_on_the_disk()?;
    let stat = |from: usize, pages: usize| page_cache::stat(&file, wide(from * 4096), wide(pages * 4096));
    if stat(0, PAGES).is_none() {
        return Err(Skip::new(Need::Cachestat, "this kernel does not count dirty pages"));
    }
    let map = Map::open_mut(&path).unwrap();
    let dirty = |from, pages| stat(from, pages).unwrap().dirty;
    // The kernel may begin by itself at any moment; it does not do so every time.
    let is_seen = (0..20).any(|_| {
        map.view().fill(.., 7).unwrap();
        let all_were_dirty = dirty(0, PAGES) == wide(PAGES);
        map.start_writeback(..FOLIO * 4096).unwrap();
        let rest = PAGES - FOLIO;
        assert_eq!(dirty(0, FOLIO), 0, "write-back has begun for all that was asked");
        let others_were_left = dirty(FOLIO, rest) == wide(rest);
        watchdog::until("the disk has it", || stat(0, FOLIO).unwrap().writeback == 0);
        assert_eq!(stat(0, FOLIO).unwrap().cached, wide(FOLIO), "what was written stays in memory");
        all_were_dirty && others_were_left
    });
    assert!(is_seen, "nothing else was written back");
    map.wait_writeback(..).unwrap();
    let all = stat(0, PAGES).unwrap();
    assert_eq!((all.dirty, all.writeback), (0, 0));
    Ok(())
}
