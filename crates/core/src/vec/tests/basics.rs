//! One call at a time.

use std::os::unix::fs::MetadataExt;

use super::*;
use crate::error::ErrorKind;

#[test]
fn what_was_pushed_is_there_before_and_after_closing() {
    for options in forms() {
        let (_directory, path) = fresh();
        let mut array = options.create::<u32>(&path).unwrap();
        assert!(array.is_empty());
        array.extend(0..10).unwrap();
        array.push(10).unwrap();
        array.extend_from_slice(&[11, 12]).unwrap();
        assert_eq!((array.len(), array.get(12).unwrap()), (13, 12));
        assert_eq!(contents(&array), (0..13).collect::<Vec<_>>());
        array.close().unwrap();
        assert_eq!(contents(&options.open::<u32>(&path).unwrap()), (0..13).collect::<Vec<_>>());
        assert_eq!(contents(&options.open_read_only::<u32>(&path).unwrap()), (0..13).collect::<Vec<_>>());
    }
}

#[test]
fn dropping_writes_what_waits() {
    let (_directory, path) = fresh();
    MapVec::create(&path).unwrap().push(7u8).unwrap();
    assert_eq!(contents(&MapVec::<u8>::open(&path).unwrap()), [7]);
}

#[test]
fn elements_larger_than_the_tail_are_written_one_by_one() {
    type Large = [u64; 50_000];
    let work = || {
        let (_directory, path) = fresh();
        let mut array = MapVec::<Large>::create(&path).unwrap();
        for number in 0..3 {
            array.push([number; 50_000]).unwrap();
        }
        assert_eq!(array.get(2).unwrap()[49_999], 2);
        array.close().unwrap();
        let array = MapVec::<Large>::open(&path).unwrap();
        assert_eq!(array.iter().map(|large| large.unwrap()[7]).collect::<Vec<_>>(), [0, 1, 2]);
    };
    // Such values are moved about on the stack, and that of a test is small.
    std::thread::Builder::new().stack_size(64 << 20).spawn(work).unwrap().join().unwrap();
}

#[test]
fn odd_sizes_at_every_boundary_of_the_tail_survive() {
    type Odd = [u8; 7];
    let room = super::super::TAIL_BYTES / 7;
    for count in [0, 1, room - 1, room, room + 1, 2 * room, 2 * room + 1] {
        let (_directory, path) = fresh();
        let odd = |number: usize| -> Odd { std::array::from_fn(|place| number.to_le_bytes()[place]) };
        let mut array = MapVec::<Odd>::create(&path).unwrap();
        array.extend((0..count).map(odd)).unwrap();
        assert_eq!(array.len(), count);
        array.close().unwrap();
        let array = MapVec::<Odd>::open(&path).unwrap();
        assert!(contents(&array).into_iter().eq((0..count).map(odd)), "{count} elements");
    }
}

#[test]
fn a_slice_is_appended_whole_at_every_fill_of_the_tail() {
    let room = super::super::TAIL_BYTES / 8;
    for (before, count) in [(0, room), (1, room), (room - 1, 1), (room - 1, 2), (room, 5), (3, 3 * room)] {
        let (_directory, path) = fresh();
        let mut array = MapVec::<u64>::create(&path).unwrap();
        array.extend((0..before).map(crate::span::to_u64)).unwrap();
        let slice: Vec<_> = (before..before + count).map(crate::span::to_u64).collect();
        array.extend_from_slice(&slice).unwrap();
        assert!(contents(&array).into_iter().eq(0..crate::span::to_u64(before + count)));
    }
}

#[test]
fn changes_reach_written_and_waiting_elements() {
    let (_directory, path) = fresh();
    let mut array = MapVec::<u32>::create(&path).unwrap();
    array.extend(0..4).unwrap();
    array.spill().unwrap();
    array.extend(4..8).unwrap();
    array.set(0, 100).unwrap();
    array.set(7, 107).unwrap();
    array.copy_from(2, &[202, 203, 204, 205]).unwrap();
    assert_eq!(contents(&array), [100, 1, 202, 203, 204, 205, 6, 107]);
    let mut middle = [0; 4];
    array.copy_to(2, &mut middle).unwrap();
    assert_eq!(middle, [202, 203, 204, 205]);
    assert_eq!(array.to_vec(3..=4).unwrap(), [203, 204]);
    assert_eq!(array.to_vec(8..).unwrap(), []);
    array.close().unwrap();
    assert_eq!(contents(&MapVec::<u32>::open(&path).unwrap()), [100, 1, 202, 203, 204, 205, 6, 107]);
}

#[test]
fn beyond_the_end_is_an_error_that_says_both_numbers() {
    let (_directory, path) = fresh();
    let mut array = MapVec::<u32>::create(&path).unwrap();
    array.extend(0..3).unwrap();
    let error = array.get(3).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::OutOfBounds);
    assert_eq!(
        error.to_string(),
        format!("cannot read elements of {path:?}: element 3 was asked for, but there are only 3")
    );
    for error in [
        array.get(usize::MAX).unwrap_err(),
        array.set(3, 0).unwrap_err(),
        array.copy_from(2, &[0, 0]).unwrap_err(),
        array.copy_from(usize::MAX, &[0]).unwrap_err(),
        array.copy_to(1, &mut [0; 3]).unwrap_err(),
        array.to_vec(2..5).unwrap_err(),
        array.to_vec(..=usize::MAX).unwrap_err(),
    ] {
        assert_eq!(error.kind(), ErrorKind::OutOfBounds, "{error}");
    }
    assert_eq!(contents(&array), [0, 1, 2]);
}

#[test]
fn truncating_drops_waiting_then_written_elements_and_gives_room_back() {
    for options in forms() {
        let (_directory, path) = fresh();
        let mut array = options.create::<u64>(&path).unwrap();
        array.extend(0..100_000).unwrap();
        array.spill().unwrap();
        array.extend(100_000..100_010).unwrap();
        array.truncate(200_000).unwrap();
        assert_eq!(array.len(), 100_010);
        array.truncate(100_005).unwrap();
        assert_eq!(array.len(), 100_005);
        array.truncate(10).unwrap();
        array.push(77).unwrap();
        assert_eq!(contents(&array), [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 77]);
        array.close().unwrap();
        assert!(std::fs::metadata(&path).unwrap().len() <= 4096 + 11 * 8);
        let mut array = options.open::<u64>(&path).unwrap();
        assert_eq!(array.get(10).unwrap(), 77);
        array.clear().unwrap();
        assert!(array.is_empty() && array.get(0).is_err());
    }
}

#[test]
fn what_was_reserved_on_the_disk_is_given_back() {
    let (_directory, path) = fresh();
    let mut array = MapVec::<u64>::create(&path).unwrap();
    array.extend(0..200_000).unwrap();
    array.spill().unwrap();
    let len = 4096 + 200_000 * 8;
    assert_eq!(std::fs::metadata(&path).unwrap().len(), len, "what is reserved is not in the file's length");
    array.close().unwrap();
    let used = std::fs::metadata(&path).unwrap().blocks() * 512;
    assert!(used < len + (128 << 10), "{used} bytes are used for {len}");
}

#[test]
fn an_array_outgrows_the_address_space_it_reserved() {
    for options in forms() {
        let (_directory, path) = fresh();
        drop(options.clone().reserve(0).create::<u64>(&path).unwrap());
        let mut array = options.reserve(0).open::<u64>(&path).unwrap();
        assert_eq!(array.capacity(), 0);
        array.extend(0..500_000).unwrap();
        array.spill().unwrap();
        assert!(array.capacity() >= 500_000);
        assert!(contents(&array).into_iter().eq(0..500_000));
        assert_eq!(array.get(499_999).unwrap(), 499_999);
    }
}

#[test]
fn an_absurd_reservation_is_halved_until_the_system_agrees() {
    let (_directory, path) = fresh();
    let array = MapVecOptions::new().reserve(usize::MAX).create::<u64>(&path).unwrap();
    assert!(array.capacity() > 1 << 20);
}

#[test]
fn search_finds_what_a_slice_finds() {
    let (_directory, path) = fresh();
    let mut array = MapVec::<u32>::create(&path).unwrap();
    let values: Vec<u32> = (0..1000).map(|number| number * 3).collect();
    array.extend_from_slice(&values[..600]).unwrap();
    array.spill().unwrap();
    array.extend_from_slice(&values[600..]).unwrap();
    for wanted in [0, 1, 2, 3, 1799, 1800, 1801, 2997, 2998, u32::MAX] {
        assert_eq!(array.binary_search(&wanted).unwrap(), values.binary_search(&wanted));
        assert_eq!(
            array.binary_search_by_key(&(wanted / 2), |value| value / 2).unwrap().is_ok(),
            values.binary_search_by_key(&(wanted / 2), |value| value / 2).is_ok()
        );
        assert_eq!(
            array.partition_point(|&value| value < wanted).unwrap(),
            values.partition_point(|&value| value < wanted)
        );
    }
}

#[test]
fn iteration_skips_without_losing_its_place() {
    let (_directory, path) = fresh();
    let mut array = MapVec::<u16>::create(&path).unwrap();
    array.extend(0..60_000u16).unwrap();
    let every: Vec<u16> = array.iter().step_by(7001).map(Result::unwrap).collect();
    assert_eq!(every, (0..60_000u16).step_by(7001).collect::<Vec<_>>());
    let mut rest = array.iter().skip(59_998);
    assert_eq!(rest.next().unwrap().unwrap(), 59_998);
    assert_eq!(rest.size_hint(), (1, Some(1)));
    assert_eq!(rest.next().unwrap().unwrap(), 59_999);
    assert!(rest.next().is_none() && rest.next().is_none());
    assert!(array.iter().nth(usize::MAX).is_none());
    assert_eq!((&array).into_iter().size_hint(), (1, Some(60_000)));
}

#[test]
fn the_view_shows_the_bytes_of_written_elements() {
    for options in forms() {
        let (_directory, path) = fresh();
        let mut array = options.create::<u16>(&path).unwrap();
        array.extend([1, 2]).unwrap();
        assert_eq!(array.as_view().len(), 0);
        array.spill().unwrap();
        assert_eq!(array.as_view().to_vec().unwrap(), [1, 0, 2, 0]);
    }
}

#[test]
fn the_file_comes_out_whole() {
    let (_directory, path) = fresh();
    let mut array = MapVecOptions::new().headerless().create::<u8>(&path).unwrap();
    array.extend(*b"bytes").unwrap();
    let file = array.into_file().unwrap();
    assert_eq!(file.metadata().unwrap().len(), 5);
    assert_eq!(std::fs::read(&path).unwrap(), b"bytes");
}

#[test]
fn creating_over_something_is_refused_and_changes_nothing() {
    let (directory, path) = fresh();
    std::fs::write(&path, b"precious").unwrap();
    let error = MapVec::<u8>::create(&path).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::AlreadyExists);
    assert_eq!(error.to_string(), format!("cannot create {path:?}: file exists"));
    assert_eq!(std::fs::read(&path).unwrap(), b"precious");
    let error = MapVec::<u8>::create(directory.path().join("no/such/array")).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotFound);
    let error = MapVec::<u8>::open(directory.path().join("none")).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotFound);
    assert_eq!(names_in(&directory), ["array"]);
}

#[test]
fn a_link_that_leads_nowhere_is_neither_opened_nor_replaced() {
    let (_directory, path) = fresh();
    std::os::unix::fs::symlink("nowhere", &path).unwrap();
    let error = MapVec::<u8>::open_or_create(&path).unwrap_err();
    assert!(error.to_string().contains("a symbolic link that leads nowhere"), "{error}");
}

#[test]
fn open_or_create_does_either() {
    let (_directory, path) = fresh();
    MapVec::open_or_create(&path).unwrap().push(1u8).unwrap();
    let mut array = MapVec::<u8>::open_or_create(&path).unwrap();
    array.push(2).unwrap();
    assert_eq!(contents(&array), [1, 2]);
}

#[test]
fn what_is_no_regular_file_is_refused_at_once() {
    let (directory, path) = fresh();
    rustix::fs::mknodat(
        rustix::fs::CWD,
        &path,
        rustix::fs::FileType::Fifo,
        rustix::fs::Mode::from_raw_mode(0o600),
        0,
    )
    .unwrap();
    for refused in [
        MapVec::<u8>::open_read_only(&path).map(drop),
        MapVec::<u8>::open(&path).map(drop),
        MapVec::<u8>::open_read_only(directory.path()).map(drop),
        MapVec::<u8>::open_read_only("/dev/zero").map(drop),
    ] {
        let error = refused.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidInput, "{error}");
    }
}

#[test]
fn debug_names_the_path_and_the_length() {
    let (_directory, path) = fresh();
    let mut array = MapVec::<u8>::create(&path).unwrap();
    array.push(1).unwrap();
    let text = format!("{array:?}");
    assert!(text.contains("array") && text.contains("len: 1"), "{text}");
}
