//! Large maps of pages from a reserved pool: every way there is to map them, and after the map's end all
//! pages are in the pool again. A page that is not given back is lost to the whole machine.

use crate::support::huge_pool::{HUGE, HugePool};
use crate::support::mount::Mount;
use crate::support::own_maps;
use crate::support::suite::{Verdict, suite};
use crate::support::watchdog::until;
use mapwright::{ErrorKind, HugePages, MapOptions, Placement, Populate, Unmap};
use mapwright_memmap2::MmapOptions;
use std::fs::File;
use std::path::{Path, PathBuf};

suite!(
    tests: [
        pages_of_large_memory_come_back,
        pages_of_large_files_come_back,
        pages_under_the_drop_in_come_back,
        gigabyte_page_is_mapped_and_comes_back,
        huge_map_is_split_at_a_huge_page_whatever_lies_before_it,
    ],
    roles: [],
);

/// So much that ordinary pages would be unmapped by another thread.
const PAGES: usize = 36;
const LARGE: usize = PAGES * HUGE;

/// Every combination of options that says how a map ends, and what lies around it.
fn all_options() -> Vec<MapOptions> {
    let mut all = Vec::new();
    for guard in [0, 4096] {
        for unmap in [Unmap::InBackground, Unmap::AtOnce] {
            for populate in [Populate::Lazily, Populate::InBackground] {
                all.push(MapOptions::new().guard(guard).unmap(unmap).populate(populate));
            }
        }
    }
    all
}

/// Asserts that the pool lacks pages while something is mapped, and has all of them soon after its end.
#[track_caller]
fn comes_back<M>(pool: &HugePool, what: &dyn std::fmt::Debug, map: impl FnOnce() -> M, end: impl FnOnce(M)) {
    let before = pool.available();
    let mapped = map();
    assert!(pool.available() < before, "no page came from the pool: {what:?}");
    end(mapped);
    until(&format!("{before} pages are available again after {what:?}"), || pool.available() == before);
}

fn pages_of_large_memory_come_back() -> Verdict {
    let pool = HugePool::with_free(PAGES + 1)?;
    for options in all_options() {
        let options = options.huge_pages(HugePages::Reserved(HUGE));
        // Whole pages, and a part of the last.
        for len in [LARGE, LARGE - HUGE + 5] {
            let touched = || {
                let mut memory = options.memory(len).unwrap();
                memory.iter_mut().step_by(HUGE).for_each(|byte| *byte = 1);
                memory
            };
            comes_back(&pool, &options, touched, drop);
            comes_back(&pool, &options, touched, |memory| {
                let map = memory.into_executable().unwrap();
                assert_eq!(own_maps::at(map.as_ptr().addr()).unwrap().access, "r-xp");
                drop(map.into_memory().unwrap());
            });
            comes_back(&pool, &options, touched, |memory| drop(memory.freeze()));
            let shared = || {
                let map = options.shared_memory(len).unwrap();
                map.view().store(len - 8, 1u64).unwrap();
                map
            };
            comes_back(&pool, &options, shared, drop);
            comes_back(&pool, &options, shared, |map| map.close().unwrap());
        }
    }
    Ok(())
}

/// A file of huge pages, all hole.
fn file_in(mount: &Mount, len: usize) -> PathBuf {
    let path = mount.path().join("file");
    File::create_new(&path).unwrap().set_len(u64::try_from(len).unwrap()).unwrap();
    path
}

fn pages_of_large_files_come_back() -> Verdict {
    // A private map needs a second page for each that it writes.
    let pool = HugePool::with_free(2 * PAGES + 1)?;
    let mount = Mount::new("hugetlbfs", Path::new("none"), "pagesize=2M")?;
    for options in all_options() {
        for offset in [0, 5_000] {
            let options = options.clone().offset(offset);
            let written = || {
                let map = options.open_mut(file_in(&mount, LARGE)).unwrap();
                map.view().fill(.., 7).unwrap();
                map
            };
            comes_back(&pool, &options, written, |map| {
                drop(map);
                std::fs::remove_file(mount.path().join("file")).unwrap();
            });
            let copied = || {
                let file = File::open(file_in(&mount, LARGE)).unwrap();
                let map = options.map_copy(file).unwrap();
                map.view().store(map.len() - 8, 7u64).unwrap();
                map.view().store(0, 7u8).unwrap();
                map
            };
            comes_back(&pool, &options, copied, |map| {
                drop(map);
                std::fs::remove_file(mount.path().join("file")).unwrap();
            });
        }
    }
    Ok(())
}

/// memmap2's interface does not know how large the pages are, and may ask for a part of one.
fn pages_under_the_drop_in_come_back() -> Verdict {
    let pool = HugePool::with_free(PAGES + 1)?;
    for len in [1, 3 * HUGE, LARGE - HUGE + 5, LARGE - 5, LARGE] {
        let touched = || {
            let huge = Some(u8::try_from(HUGE.trailing_zeros()).unwrap());
            let mut map = MmapOptions::new().len(len).huge(huge).map_anon().unwrap();
            map.iter_mut().step_by(HUGE).for_each(|byte| *byte = 1);
            map
        };
        comes_back(&pool, &(len, "dropped"), touched, drop);
        comes_back(&pool, &(len, "read only"), touched, |map| drop(map.make_read_only().unwrap()));
    }
    Ok(())
}

fn gigabyte_page_is_mapped_and_comes_back() -> Verdict {
    const GIGABYTE: usize = 1 << 30;
    let pool = HugePool::with_free_of(GIGABYTE, 1)?;
    for guard in [0, 4096] {
        let options = MapOptions::new().huge_pages(HugePages::Reserved(GIGABYTE)).guard(guard);
        let touched = || {
            let mut memory = options.memory(GIGABYTE - 1).unwrap();
            memory[GIGABYTE - 2] = 7;
            let report = memory.huge_pages().unwrap();
            println!("  {report}");
            assert_eq!((report.page_size, report.huge_bytes), (GIGABYTE, GIGABYTE));
            assert_eq!(own_maps::at(memory.as_ptr().addr()).unwrap().bytes("KernelPageSize"), GIGABYTE);
            memory
        };
        comes_back(&pool, &options, touched, |memory| {
            assert_eq!((memory[0], memory[GIGABYTE - 2]), (0, 7));
        });
        let shared = || {
            let map = options.shared_memory(GIGABYTE).unwrap();
            map.view().store(GIGABYTE - 8, 7u64).unwrap();
            map
        };
        comes_back(&pool, &options, shared, drop);
    }
    Ok(())
}

fn huge_map_is_split_at_a_huge_page_whatever_lies_before_it() -> Verdict {
    let pool = HugePool::with_free(4)?;
    let mount = Mount::new("hugetlbfs", Path::new("none"), "pagesize=2M")?;
    let path = file_in(&mount, 4 * HUGE);
    let before = pool.available();
    for (guard, offset) in [(0, 0), (4096, 0), (HUGE, 0), (4096, 8192)] {
        // Private pages: each part's go back to the pool without the other's.
        // No whole number of huge pages from the beginning of what is owned to the first byte.
        let odd = MapOptions::new().memory(HUGE).unwrap().as_ptr().addr() / HUGE * HUGE - (3 << 30) + 4096;
        let placement = if guard == 0 { Placement::Anywhere } else { Placement::Near(odd) };
        let options = MapOptions::new().guard(guard).offset(offset).placement(placement);
        let map = || {
            let map = options.map_copy(File::open(&path).unwrap()).unwrap();
            map.view().fill(.., 1).unwrap();
            map
        };
        let cut = 2 * HUGE - usize::try_from(offset).unwrap();
        for bad in [cut + 4096, 5, 4096] {
            let error = map().split(bad).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::InvalidInput, "{error}");
            assert!(error.to_string().contains("pages of 2097152 bytes"), "{error}");
        }
        let map = map();
        map.view().fill(cut.., 2).unwrap();
        let (first, second) = map.split(cut).unwrap_or_else(|error| panic!("guard {guard}: {error}"));
        assert!(first.view().equals(&vec![1; cut]).unwrap());
        assert_eq!((second.len(), second.file_offset()), (2 * HUGE, u64::try_from(2 * HUGE).unwrap()));
        drop(first);
        until("the first part's pages are back", || pool.available() == before - 2);
        assert!(second.view().equals(&vec![2; 2 * HUGE]).unwrap());
        let (second, third) = second.split(HUGE).unwrap();
        drop(third);
        second.view().store(HUGE - 8, 3u64).unwrap();
        second.close().unwrap();
        until("all pages are back", || pool.available() == before);
    }
    Ok(())
}
