//! Files that somebody has broken: cut, overwritten, of another type, sealed.

use std::fs::OpenOptions;
use std::os::unix::fs::FileExt;
use std::path::Path;

use super::*;
use crate::error::{ErrorKind, FaultKind};
use crate::map::FileLock;
use crate::vec::header;

fn change(path: &Path, offset: u64, bytes: &[u8]) {
    OpenOptions::new().write(true).open(path).unwrap().write_all_at(bytes, offset).unwrap();
}

fn cut(path: &Path, len: u64) {
    OpenOptions::new().write(true).open(path).unwrap().set_len(len).unwrap();
}

#[test]
fn every_changed_byte_of_the_header_is_an_error_or_harmless() {
    let (_directory, path) = fresh();
    let mut array = MapVec::<Record>::create(&path).unwrap();
    let records: Vec<_> = (0..300).map(|key| Record { key, serial: !key }).collect();
    array.extend_from_slice(&records).unwrap();
    array.flush().unwrap();
    array.close().unwrap();
    let whole = std::fs::read(&path).unwrap();
    let (mut refused, mut harmless) = (0, 0);
    for (place, &byte) in whole[..header::LEN].iter().enumerate() {
        for flip in [0x01, 0x10, 0xff] {
            change(&path, crate::span::to_u64(place), &[byte ^ flip]);
            match MapVec::<Record>::open(&path) {
                Ok(array) => {
                    assert_eq!(contents(&array), records, "byte {place} ^ {flip:#x}");
                    harmless += 1;
                }
                Err(error) => {
                    assert!(
                        matches!(error.kind(), ErrorKind::Damaged | ErrorKind::Unsupported),
                        "byte {place} ^ {flip:#x}: {error}"
                    );
                    assert!(error.to_string().contains(&format!("{path:?}")), "{error}");
                    refused += 1;
                }
            }
        }
        change(&path, crate::span::to_u64(place), &[byte]);
    }
    // Harmless are the word of the last flush and the room behind it: 8 + 112 bytes.
    assert_eq!((refused, harmless), (3 * (4096 - 120), 3 * 120));
    assert_eq!(std::fs::read(&path).unwrap(), whole);
}

#[test]
fn another_type_is_refused_by_what_differs() {
    let (_directory, path) = fresh();
    MapVec::create(&path).unwrap().push(1u64).unwrap();
    for error in [
        MapVec::<u32>::open(&path).unwrap_err(),
        MapVec::<i64>::open(&path).unwrap_err(),
        MapVec::<[u64; 1]>::open(&path).unwrap_err(),
        MapVec::<Record>::open_read_only(&path).unwrap_err(),
    ] {
        assert_eq!(error.kind(), ErrorKind::TypeMismatch);
        assert!(
            error.to_string().contains("its elements are `u64` (8 bytes, aligned to 8), not `"),
            "{error}"
        );
    }
}

#[test]
fn what_is_no_array_is_refused() {
    let (_directory, path) = fresh();
    for (bytes, says) in [
        (
            vec![],
            "it has 0 bytes, and the header of an array alone has 4096; remove it and create the array anew",
        ),
        (vec![1; 4095], "it has 4095 bytes, and the header of an array alone has 4096"),
        (vec![b'x'; 5000], "it is no array: it begins with"),
        (vec![b'x'; 5000], "an array without a header is opened with MapVecOptions::headerless"),
    ] {
        std::fs::write(&path, bytes).unwrap();
        let error = MapVec::<u64>::open(&path).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Damaged);
        assert!(error.to_string().contains(says), "{error}");
    }
}

#[test]
fn a_file_shorter_than_its_count_is_refused_and_its_prefix_can_be_recovered() {
    let (_directory, path) = fresh();
    let mut array = MapVec::<u64>::create(&path).unwrap();
    array.extend(0..1000).unwrap();
    array.flush().unwrap();
    array.close().unwrap();
    cut(&path, 4096 + 8 * 400 + 3);
    let error = MapVec::<u64>::open(&path).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Damaged);
    assert_eq!(
        error.to_string(),
        format!(
            "cannot open {path:?}: it says that it has 1000 elements, but it ends after 400; \
             MapVecOptions::recover opens those"
        )
    );
    let reader = MapVecOptions::new().recover().open_read_only::<u64>(&path).unwrap();
    assert_eq!((reader.len(), reader.flushed_len()), (400, 400));
    let mut array = MapVecOptions::new().recover().open::<u64>(&path).unwrap();
    array.push(77).unwrap();
    array.close().unwrap();
    let array = MapVec::<u64>::open(&path).unwrap();
    assert_eq!((array.len(), array.get(399).unwrap(), array.get(400).unwrap()), (401, 399, 77));
}

#[test]
fn a_damaged_count_is_refused_and_all_that_was_written_can_be_recovered() {
    let (_directory, path) = fresh();
    let mut array = MapVec::<u64>::create(&path).unwrap();
    array.extend(0..1000).unwrap();
    array.close().unwrap();
    change(&path, crate::span::to_u64(header::COUNT), &[0; 8]);
    let error = MapVec::<u64>::open(&path).unwrap_err();
    assert!(
        error.to_string().contains("its count is damaged; the file has room for 1000 elements"),
        "{error}"
    );
    let array = MapVecOptions::new().recover().open::<u64>(&path).unwrap();
    assert!(contents(&array).into_iter().eq(0..1000));
    drop(array);
    assert_eq!(MapVec::<u64>::open(&path).unwrap().len(), 1000);
}

#[test]
fn a_file_longer_than_its_count_is_fine() {
    let (_directory, path) = fresh();
    MapVec::create(&path).unwrap().push(5u64).unwrap();
    cut(&path, 1 << 20);
    let mut array = MapVec::<u64>::open(&path).unwrap();
    array.push(6).unwrap();
    assert_eq!(contents(&array), [5, 6]);
    array.close().unwrap();
    assert_eq!(contents(&MapVec::<u64>::open(&path).unwrap()), [5, 6]);
}

#[test]
fn half_an_element_is_an_error_that_says_so() {
    let (_directory, path) = fresh();
    std::fs::write(&path, [7; 21]).unwrap();
    let options = MapVecOptions::new().headerless();
    let error = options.open::<u64>(&path).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Damaged);
    assert!(
        error
            .to_string()
            .contains("its 21 bytes are no multiple of the 8 that an element takes: 2 elements and 5"),
        "{error}"
    );
    assert_eq!(options.clone().recover().open_read_only::<u64>(&path).unwrap().len(), 2);
    assert_eq!(std::fs::metadata(&path).unwrap().len(), 21);
    assert_eq!(options.clone().recover().open::<u64>(&path).unwrap().len(), 2);
    assert_eq!(std::fs::metadata(&path).unwrap().len(), 16);
}

#[test]
fn a_file_cut_under_an_array_makes_errors_and_no_signal() {
    for options in forms() {
        let (_directory, path) = fresh();
        let mut array = options.create::<u64>(&path).unwrap();
        array.extend(0..100_000).unwrap();
        array.spill().unwrap();
        cut(&path, 8192);
        let error = array.get(90_000).unwrap_err();
        assert_eq!(error.fault().unwrap().kind(), FaultKind::Truncated);
        assert!(error.to_string().starts_with(&format!("cannot read an element of {path:?}: ")), "{error}");
        assert_eq!(array.get(100).unwrap(), 100);
        assert_eq!(array.set(90_000, 1).unwrap_err().fault().unwrap().kind(), FaultKind::Truncated);
        assert!(array.to_vec(..).is_err());
        let mut seen = array.iter();
        assert!(seen.by_ref().take_while(Result::is_ok).count() <= 1024);
        assert!(seen.next().is_none());
        assert!(array.sort().is_err());
        // Written behind the cut, the gap would read as zeros.
        array.push(1).unwrap();
        let error = array.spill().unwrap_err();
        assert_eq!(error.fault().unwrap().kind(), FaultKind::Truncated);
        assert!(error.to_string().contains("of its 100000 elements are left"), "{error}");
        assert_eq!((array.len(), array.get(100_000).unwrap()), (100_001, 1));
        assert!(array.truncate(5).is_err());
        assert!(array.close().is_err());
        assert_eq!(std::fs::metadata(&path).unwrap().len(), 8192);
        assert_eq!(options.clone().recover().open::<u64>(&path).unwrap().get(100).unwrap(), 100);
    }
}

#[test]
fn a_file_emptied_under_an_array_stays_empty() {
    let (_directory, path) = fresh();
    let mut array = MapVec::<u64>::create(&path).unwrap();
    array.extend(0..10).unwrap();
    array.spill().unwrap();
    array.push(10).unwrap();
    cut(&path, 0);
    assert!(array.flush().is_err());
    drop(array);
    assert_eq!(std::fs::metadata(&path).unwrap().len(), 0);
}

/// A memory file, and the path under which this process can open it again.
fn memory_file() -> (std::fs::File, PathBuf) {
    use std::os::fd::AsFd;
    let flags = rustix::fs::MemfdFlags::CLOEXEC | rustix::fs::MemfdFlags::ALLOW_SEALING;
    let file = std::fs::File::from(rustix::fs::memfd_create("array", flags).unwrap());
    let path = crate::sys::file::proc_path(file.as_fd());
    (file, path)
}

#[test]
fn elements_that_could_not_be_written_wait_and_are_written_later() {
    // A seal against growing stands for a full disk: the write fails, and nothing else changes.
    let (file, path) = memory_file();
    let options = MapVecOptions::new().headerless();
    let mut array = options.open::<u64>(&path).unwrap();
    array.extend(0..10).unwrap();
    array.spill().unwrap();
    rustix::fs::fcntl_add_seals(&file, rustix::fs::SealFlags::GROW).unwrap();
    let room = crate::span::to_u64(super::super::TAIL_BYTES / 8);
    let mut pushed = 10;
    let error = loop {
        match array.push(pushed) {
            Ok(()) => pushed += 1,
            Err(error) => break error,
        }
    };
    assert_eq!(error.kind(), ErrorKind::PermissionDenied);
    assert_eq!(pushed, 10 + room, "the element that was refused is not in the array");
    assert!(
        array.push(pushed).is_err() && array.spill().is_err() && array.extend_from_slice(&[1, 2]).is_err()
    );
    assert!(contents(&array).into_iter().eq(0..pushed), "nothing that was pushed is lost");
    // Room that was already in the file can be written all the same.
    array.truncate(5).unwrap();
    assert_eq!(array.len(), 5);
    let error = {
        array.extend(5..10).unwrap();
        array.close().unwrap_err()
    };
    assert!(error.to_string().starts_with("cannot append to"), "{error}");
    assert_eq!(options.open_read_only::<u64>(&path).unwrap().len(), 5);
}

#[test]
fn a_header_that_others_overwrote_is_noticed_before_more_is_written() {
    let (_directory, path) = fresh();
    let mut array = MapVec::<u64>::create(&path).unwrap();
    array.extend(0..10).unwrap();
    array.spill().unwrap();
    // Emptied, and filled with zeros up to its old length: the length alone looks right.
    cut(&path, 0);
    cut(&path, 4096 + 80);
    array.push(10).unwrap();
    let error = array.spill().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Damaged);
    assert!(error.to_string().contains("somebody has overwritten its header"), "{error}");
    drop(array);
    assert_eq!(std::fs::read(&path).unwrap(), [0; 4096 + 80]);
}

#[test]
fn locks_that_were_asked_for_are_taken_or_refused() {
    let (_directory, path) = fresh();
    let array = MapVec::<u8>::create(&path).unwrap();
    let error = MapVecOptions::new().lock_file(FileLock::Shared).open_read_only::<u8>(&path).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Busy);
    drop(array);
    let reader = MapVecOptions::new().lock_file(FileLock::Shared).open_read_only::<u8>(&path).unwrap();
    let _second = MapVecOptions::new().lock_file(FileLock::Shared).open_read_only::<u8>(&path).unwrap();
    assert_eq!(MapVec::<u8>::open(&path).unwrap_err().kind(), ErrorKind::Busy);
    drop(reader);
}

/// The kernel's answer to a file that grows beyond RLIMIT_FSIZE is a signal that ends the process.
#[test]
fn a_limit_on_the_size_of_files_is_an_error_and_no_signal() {
    let (_directory, path) = fresh();
    let code = crate::changes::testing::in_child(|| {
        let limit = rustix::process::Rlimit { current: Some(1 << 20), maximum: Some(1 << 20) };
        rustix::process::setrlimit(rustix::process::Resource::Fsize, limit).unwrap();
        let mut array = MapVec::<u64>::create(&path).unwrap();
        let failed = (0..).find_map(|number| array.push(number).err().map(|error| (number, error))).unwrap();
        assert_eq!(failed.1.kind(), ErrorKind::NoSpace, "{}", failed.1);
        // What was appended is there all the same, and the array can be used.
        assert_eq!(array.len(), usize::try_from(failed.0).unwrap());
        assert_eq!(array.get(99).unwrap(), 99);
        0
    });
    assert_eq!(code, 0);
}
