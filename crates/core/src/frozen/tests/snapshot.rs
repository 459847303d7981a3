//! Snapshots by copy, and what is refused.

use std::fs::{File, OpenOptions};
use std::io::Write;
use std::os::unix::fs::FileExt;
use std::path::Path;

use super::pattern;
use crate::{ErrorKind, Frozen, FrozenBy, Map, MapOptions, MemFile};

/// Lengths around where copies get pages of their own, and whole pages.
const LENGTHS: [usize; 6] = [1, 4095, 4096, 4097, (4 << 20) - 1, 4 << 20];

fn changes_do_not_reach_a_snapshot(folder: &Path) {
    for len in LENGTHS {
        let bytes = pattern(len);
        let mut file = tempfile::NamedTempFile::new_in(folder).unwrap();
        file.write_all(&bytes).unwrap();
        let map = Map::open(file.path()).unwrap();
        let whole = [
            Frozen::open(file.path()).unwrap(),
            Frozen::snapshot(file.as_file(), ..).unwrap(),
            map.snapshot(..).unwrap(),
        ];
        let last = Frozen::snapshot(file.as_file(), len - 1..).unwrap();
        file.as_file().write_all_at(&vec![0xEE; len], 0).unwrap();
        for frozen in &whole {
            assert_eq!(
                (frozen.origin(), **frozen == *bytes),
                (FrozenBy::Copy, true),
                "{len} bytes, rewritten"
            );
        }
        file.as_file().set_len(0).unwrap();
        for frozen in &whole {
            assert!(**frozen == *bytes, "{len} bytes, truncated");
            assert_eq!(frozen.populate(), Ok(()));
        }
        assert_eq!(last, bytes[len - 1..]);
    }
}

#[test]
fn changes_of_a_file_on_the_disk_do_not_reach_its_snapshot() {
    changes_do_not_reach_a_snapshot(&std::env::temp_dir());
}

#[test]
fn changes_of_a_file_in_memory_do_not_reach_its_snapshot() {
    changes_do_not_reach_a_snapshot(Path::new("/dev/shm"));
}

#[test]
fn an_unsealed_memory_file_is_copied_and_a_sealed_one_is_not() {
    let file = MemFile::new("memory", 100_000).unwrap();
    assert_eq!(Frozen::of(&file).unwrap().origin(), FrozenBy::Copy);
    drop(file.clone().freeze().unwrap());
    assert_eq!(Frozen::of(&file).unwrap().origin(), FrozenBy::Seal);
}

#[test]
fn private_changes_are_part_of_a_snapshot_and_unwritten_pages_too() {
    let file = tempfile::tempfile().unwrap();
    file.write_all_at(&[1; 10_000], 0).unwrap();
    let map = MapOptions::new().offset(3).map_copy(&file).unwrap();
    map.view().store(5_000, 2u8).unwrap();
    let frozen = map.snapshot(4_999..=5_001).unwrap();
    map.view().store(5_000, 3u8).unwrap();
    assert_eq!(frozen, [1, 2, 1]);
}

#[test]
fn anonymous_shared_memory_has_snapshots() {
    let map = MapOptions::new().shared_memory(100_000).unwrap();
    map.view().fill(.., 4).unwrap();
    let frozen = map.snapshot(..).unwrap();
    map.view().fill(.., 5).unwrap();
    assert!(frozen.iter().all(|&byte| byte == 4) && frozen.len() == 100_000);
}

#[test]
fn ranges_beyond_the_end_are_refused_with_both_numbers() {
    let file = tempfile::tempfile().unwrap();
    file.set_len(10).unwrap();
    let map = Map::of(&file).unwrap();
    for error in [Frozen::snapshot(&file, 5..11).unwrap_err(), map.snapshot(5..11).unwrap_err()] {
        assert_eq!(error.kind(), ErrorKind::OutOfBounds);
        assert!(error.to_string().contains("bytes 5..11 were asked for, but there are only 10"), "{error}");
    }
    assert!(Frozen::snapshot(&file, ..=usize::MAX).is_err());
}

#[test]
fn a_map_of_a_shortened_file_says_so_instead_of_giving_a_snapshot() {
    let file = tempfile::tempfile().unwrap();
    file.set_len(100_000).unwrap();
    let map = Map::of(&file).unwrap();
    file.set_len(50_000).unwrap();
    assert_eq!(map.snapshot(..50_000).unwrap().len(), 50_000);
    let error = map.snapshot(..).unwrap_err();
    // The rest of the last page reads as zeros; pages are what a map loses.
    let whole_pages = 50_000usize.next_multiple_of(crate::sys::page::size());
    assert_eq!(error.fault().map(crate::Fault::offset), Some(whole_pages), "{error}");
}

#[test]
fn what_has_no_bytes_in_places_is_refused_by_name() {
    let (pipe, _writer) = std::io::pipe().unwrap();
    let refused = [
        (Frozen::open("/no/such/file").unwrap_err(), ErrorKind::NotFound, "/no/such/file"),
        (Frozen::open("/tmp").unwrap_err(), ErrorKind::InvalidInput, "it is a directory"),
        (Frozen::open("/dev/zero").unwrap_err(), ErrorKind::InvalidInput, "/dev/zero"),
        (Frozen::of(std::os::fd::OwnedFd::from(pipe)).unwrap_err(), ErrorKind::InvalidInput, "it is a pipe"),
    ];
    for (error, kind, words) in refused {
        assert_eq!(error.kind(), kind, "{error}");
        assert!(error.to_string().contains(words), "{error}");
    }
}

#[test]
fn a_file_that_cannot_be_read_is_refused() {
    let path = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(&path, b"bytes").unwrap();
    let writable: File = OpenOptions::new().write(true).open(&path).unwrap();
    let error = Frozen::snapshot(&writable, ..).unwrap_err();
    assert!(error.to_string().contains("cannot read"), "{error}");
}
