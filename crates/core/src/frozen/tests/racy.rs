//! Racy slices: zeros instead of SIGBUS, and the flag that says so.

use std::fs::File;

use super::{forked, pattern};
use crate::sys::page;
use crate::{ErrorKind, FaultKind, FileLock, Map, MapOptions, RacySlice};

fn racy(len: usize) -> (File, RacySlice) {
    let file = tempfile::tempfile().unwrap();
    std::os::unix::fs::FileExt::write_all_at(&file, &pattern(len), 0).unwrap();
    let racy = Map::of(&file).unwrap().into_racy_slice().unwrap();
    (file, racy)
}

#[test]
fn truncation_under_a_racy_slice_reads_as_zeros_and_is_told() {
    let (file, racy) = racy(5 * page::size());
    // SAFETY: the file is only shortened, never written.
    let slice = unsafe { racy.as_slice() };
    assert!(*slice == *pattern(5 * page::size()));
    assert_eq!((racy.poisoned(), racy.check()), (0, Ok(())));
    file.set_len(10).unwrap();
    let last = 5 * page::size() - 1;
    assert_eq!((slice[last], racy.poisoned()), (0, 1));
    assert_eq!(racy.check().unwrap_err().offset(), 4 * page::size());
    assert!(slice[10..].iter().all(|&byte| byte == 0));
    let fault = racy.check().unwrap_err();
    assert_eq!((fault.kind(), fault.offset(), racy.poisoned()), (FaultKind::Poisoned, page::size(), 4));
    // A page that was replaced stays so: the file's return is not shown.
    file.set_len(5 * u64::try_from(page::size()).unwrap()).unwrap();
    assert_eq!((slice[last], racy.poisoned()), (0, 4));
}

#[test]
fn a_racy_slice_need_not_begin_at_a_page() {
    let file = tempfile::tempfile().unwrap();
    file.set_len(20_000).unwrap();
    let racy = MapOptions::new().offset(4_000).len(9_000).map(&file).unwrap().into_racy_slice().unwrap();
    file.set_len(0).unwrap();
    // SAFETY: nobody writes.
    let slice = unsafe { racy.as_slice() };
    assert_eq!((slice[0], slice[8_999]), (0, 0));
    let fault = racy.check().unwrap_err();
    assert_eq!((fault.offset(), fault.file_offset()), (0, 4_000));
}

#[test]
fn threads_fault_on_the_same_pages_at_once() {
    let (file, racy) = racy(64 * page::size());
    file.set_len(0).unwrap();
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                // SAFETY: nobody writes.
                assert!(unsafe { racy.as_slice() }.iter().all(|&byte| byte == 0));
                assert_eq!(racy.check().unwrap_err().kind(), FaultKind::Poisoned);
            });
        }
    });
    assert!(racy.poisoned() >= 64);
}

#[test]
fn dropping_retires_the_range() {
    let file = std::sync::Arc::new(tempfile::tempfile().unwrap());
    file.set_len(1).unwrap();
    // More often than there are slots.
    for _ in 0..1100 {
        let racy = Map::of(std::sync::Arc::clone(&file)).unwrap().into_racy_slice().unwrap();
        assert_eq!((racy.len(), racy.is_empty()), (1, false));
    }
}

#[test]
fn an_empty_file_needs_no_watch() {
    let racy = Map::of(tempfile::tempfile().unwrap()).unwrap().into_racy_slice().unwrap();
    assert!(racy.is_empty() && racy.check().is_ok());
    // SAFETY: there is no byte.
    assert_eq!(unsafe { racy.as_slice() }, b"");
}

#[test]
fn a_lock_is_held_for_as_long_as_the_racy_slice_lives() {
    let file = tempfile::NamedTempFile::new().unwrap();
    file.as_file().set_len(1).unwrap();
    let exclusive = || MapOptions::new().lock_file(FileLock::Exclusive).open(file.path());
    let racy = exclusive().unwrap().into_racy_slice().unwrap();
    assert_eq!(exclusive().unwrap_err().kind(), ErrorKind::Busy);
    drop(racy);
    assert!(exclusive().is_ok());
}

#[test]
fn a_full_table_is_an_error_and_leaves_frozen_bytes_working() {
    // In a child, whose table is its own.
    let ended = forked(|| {
        let file = tempfile::tempfile().unwrap();
        file.set_len(1).unwrap();
        let file = std::sync::Arc::new(file);
        let mut taken = Vec::new();
        let error = loop {
            match Map::of(std::sync::Arc::clone(&file)).unwrap().into_racy_slice() {
                Ok(racy) => taken.push(racy),
                Err(error) => break error,
            }
        };
        assert!(taken.len() <= 1024, "{} ranges", taken.len());
        assert_eq!(error.kind(), ErrorKind::OutOfMemory);
        assert!(error.to_string().contains("all 1024 ranges are taken"), "{error}");
        drop(crate::MemFile::new("unexplained", 1).unwrap().freeze().unwrap());
        taken.pop();
        assert!(Map::of(file).unwrap().into_racy_slice().is_ok());
    });
    assert!(ended.status.success(), "{ended:?}");
}

#[test]
fn frozen_files_leave_room_for_racy_slices() {
    let ended = forked(|| {
        let sealed = crate::MemFile::new("sealed", 1).unwrap();
        drop(sealed.clone().freeze().unwrap());
        let frozen: Vec<_> = (0..1100).map(|_| crate::Frozen::from_sealed(&sealed).unwrap()).collect();
        let (_file, racy) = racy(1);
        assert_eq!((frozen.len(), racy.len()), (1100, 1));
    });
    assert!(ended.status.success(), "{ended:?}");
}

#[test]
fn a_plain_map_beside_a_racy_slice_still_ends_by_sigbus() {
    let (file, _racy) = racy(page::size());
    let plain = Map::of(&file).unwrap();
    file.set_len(0).unwrap();
    let ended = forked(|| {
        // SAFETY: this child is to die of it.
        std::hint::black_box(unsafe { plain.as_slice() }[0]);
    });
    ended.died_of(libc::SIGBUS);
}
