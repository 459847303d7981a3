//! Memory files and seals.

use std::io::Write;
use std::os::unix::fs::{FileExt, PermissionsExt};
use std::time::{Duration, Instant};

use super::{duplicate, forked, pattern, skip};
use crate::sys::page;
use crate::{ErrorKind, Frozen, FrozenBy, MapOptions, MemFile, MemFileOptions, Seals};

/// Freezes as soon as no child is left that another test forked while the file was mapped.
fn frozen_soon(file: &MemFile) -> Frozen {
    let give_up = Instant::now() + Duration::from_secs(60);
    loop {
        match file.clone().freeze() {
            Err(error) if error.kind() == ErrorKind::Busy && Instant::now() < give_up => {
                std::thread::yield_now();
            }
            result => return result.unwrap(),
        }
    }
}

#[test]
fn a_sealed_memory_file_shows_its_bytes_and_refuses_every_writer() {
    let bytes = pattern(3 * page::size() + 17);
    let file = MemFile::new("sealed", bytes.len()).unwrap();
    file.file().write_all_at(&bytes, 0).unwrap();
    let frozen = file.clone().freeze().unwrap();
    assert_eq!((&frozen, frozen.origin()), (&Frozen::from(bytes.clone()), FrozenBy::Seal));
    assert!(file.seals().unwrap().contains(Seals::WRITE | Seals::SHRINK | Seals::GROW | Seals::SEAL));
    assert!(file.file().write_all_at(b"x", 0).is_err());
    assert!(file.file().set_len(0).is_err());
    let error = MapOptions::new().map_mut(&file).unwrap_err();
    assert!(error.to_string().contains("sealed against writing"), "{error}");
    assert_eq!(frozen, bytes);
}

#[test]
fn the_write_seal_is_refused_while_a_map_may_write() {
    let file = MemFile::new("mapped", 4096).unwrap();
    let map = MapOptions::new().map_mut(&file).unwrap();
    let error = file.clone().freeze().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Busy);
    assert!(error.to_string().contains("a map that may write to it exists"), "{error}");
    map.view().store(0, 7u8).unwrap();
    drop(map);
    assert_eq!(frozen_soon(&file)[0], 7);
}

#[test]
fn a_large_map_that_was_just_dropped_does_not_hold_the_seal_up() {
    let len = crate::map::region::DEFER_FROM * 2;
    let file = MemFile::new("just-dropped", len).unwrap();
    for round in 1..=8u8 {
        let map = MapOptions::new().map_mut(&file).unwrap();
        for at in (0..len).step_by(1 << 20) {
            map.view().store(at, round).unwrap();
        }
    }
    let _maybe_held_up_by_a_child = file.clone().freeze();
    let maps = std::fs::read_to_string("/proc/self/maps").unwrap();
    let writable = |line: &str| line.contains("just-dropped") && line.contains(" rw-s ");
    assert!(!maps.lines().any(writable), "{maps}");
    let frozen = frozen_soon(&file);
    assert_eq!((frozen.len(), frozen[0], frozen[len - (1 << 20)]), (len, 8, 8));
}

#[test]
fn a_missing_seal_is_named() {
    let file = MemFile::new("half", 10).unwrap();
    let error = Frozen::from_sealed(&file).unwrap_err();
    assert!(error.to_string().contains("it lacks SHRINK | WRITE"), "{error}");
    file.seal(Seals::SHRINK | Seals::FUTURE_WRITE).unwrap();
    let error = Frozen::from_sealed(&file).unwrap_err();
    assert!(error.to_string().contains("it lacks WRITE (it has SHRINK | FUTURE_WRITE"), "{error}");
    assert!(error.to_string().contains("may still write"), "{error}");
    file.seal(Seals::SEAL).unwrap();
    let error = file.freeze().unwrap_err();
    assert!(error.to_string().contains("it takes no more seals"), "{error}");
}

#[test]
fn a_map_older_than_the_future_write_seal_still_writes_and_so_that_seal_is_not_enough() {
    let file = MemFile::new("future", 10).unwrap();
    let map = MapOptions::new().map_mut(&file).unwrap();
    file.seal(Seals::SHRINK | Seals::FUTURE_WRITE).unwrap();
    map.view().store(0, 9u8).unwrap();
    assert_eq!(Frozen::from_sealed(&file).unwrap_err().kind(), ErrorKind::InvalidInput);
}

#[test]
fn other_files_have_no_seals() {
    let file = tempfile::NamedTempFile::new_in(std::env::temp_dir()).unwrap();
    for error in [Frozen::from_sealed(file.as_file()).unwrap_err(), MemFile::of(file.as_file()).unwrap_err()]
    {
        // A file on tmpfs has the one seal that forbids all others.
        let known = [ErrorKind::Unsupported, ErrorKind::InvalidInput].contains(&error.kind());
        assert!(known, "{error:?}");
    }
}

#[test]
fn a_received_memory_file_can_be_frozen() {
    let made = MemFile::new("sent", 4).unwrap();
    made.file().write_all_at(b"sent", 0).unwrap();
    let received = MemFile::of(duplicate(&**made.file())).unwrap();
    assert_eq!(received.freeze().unwrap(), *b"sent");
}

#[test]
fn seals_are_not_added_twice_and_not_after_the_last() {
    let file = MemFileOptions::new().unsealable().create("closed", 1).unwrap();
    file.seal(Seals::SEAL).unwrap();
    let error = file.seal(Seals::WRITE).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::PermissionDenied);
    assert!(error.to_string().contains("SEAL allows no more seals"), "{error}");
}

#[test]
fn a_memory_file_is_no_program_unless_asked_for() {
    let bits = |file: &MemFile| file.file().metadata().unwrap().permissions().mode() & 0o111;
    assert_eq!(bits(&MemFile::new("data", 0).unwrap()), 0);
    match MemFileOptions::new().executable().create("program", 0) {
        Ok(file) => assert_eq!(bits(&file), 0o111),
        // vm.memfd_noexec=2
        Err(error) => assert_eq!(error.kind(), ErrorKind::PermissionDenied),
    }
}

#[test]
fn bad_names_lengths_and_page_sizes_are_refused() {
    for name in ["with\0zero", &"x".repeat(250)] {
        let error = MemFile::new(name, 1).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidInput);
        assert!(error.to_string().contains("at most 249 bytes"), "{error}");
    }
    assert!(MemFile::new(&"x".repeat(249), 1).is_ok());
    assert!(MemFile::new("too long", usize::MAX).is_err());
    let huge = |page, len| MemFileOptions::new().huge_pages(page).create("huge", len).unwrap_err();
    assert!(huge(3 << 20, 0).to_string().contains("not a size of huge pages"));
    assert!(huge(2 << 20, 5).to_string().contains("not a multiple"));
    // 16 TiB pages are on no machine.
    assert_eq!(huge(1 << 44, 0).kind(), ErrorKind::Unsupported);
}

#[test]
fn an_empty_memory_file_is_frozen_empty() {
    let frozen = MemFile::new("empty", 0).unwrap().freeze().unwrap();
    assert!(frozen.is_empty());
    assert_eq!(frozen.populate(), Ok(()));
}

#[test]
fn a_hole_reads_as_zeros() {
    let frozen = MemFile::new("hole", 1 << 20).unwrap().freeze().unwrap();
    assert!(frozen.iter().all(|&byte| byte == 0));
}

#[test]
fn a_forked_child_reads_and_drops_what_the_parent_keeps() {
    let file = MemFile::new("forked", 2).unwrap();
    file.file().write_all_at(b"ab", 0).unwrap();
    let frozen = file.freeze().unwrap();
    let child = frozen.clone();
    let ended = forked(move || {
        assert_eq!(child, *b"ab");
        drop(child);
        let mut line = std::io::stderr().lock();
        line.write_all(b"read it").unwrap();
    });
    assert!(ended.status.success() && ended.stderr == "read it", "{ended:?}");
    assert_eq!(frozen, *b"ab");
}

#[test]
fn huge_pages_are_frozen_whole() {
    const HUGE: usize = 2 << 20;
    let free = std::fs::read_to_string("/sys/kernel/mm/hugepages/hugepages-2048kB/free_hugepages");
    if free.ok().and_then(|free| free.trim().parse::<usize>().ok()).unwrap_or(0) < 2 {
        return skip("hugepages", "fewer than two pages of 2 MiB are free");
    }
    let file = MemFileOptions::new().huge_pages(HUGE).create("huge", 2 * HUGE).unwrap();
    let map = MapOptions::new().map_mut(&file).unwrap();
    map.view().store(HUGE - 4, u64::MAX).unwrap();
    drop(map);
    let frozen = frozen_soon(&file);
    assert_eq!((frozen[HUGE], frozen[HUGE - 4], frozen[2 * HUGE - 1]), (255, 255, 0));
    assert_eq!(frozen.populate(), Ok(()));
    let map = MapOptions::new().map_private(&file);
    let racy = map.and_then(crate::Map::into_racy_slice);
    assert!(racy.is_err(), "small pages cannot replace huge ones");
}
