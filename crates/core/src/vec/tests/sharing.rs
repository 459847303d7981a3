//! Others who look while one writes, and others who would write too.

use std::sync::atomic::{AtomicBool, Ordering};

use super::*;
use crate::error::ErrorKind;

#[test]
fn an_array_has_one_writer_and_any_number_of_readers() {
    let (_directory, path) = fresh();
    let mut array = MapVec::<u8>::create(&path).unwrap();
    array.push(1).unwrap();
    array.spill().unwrap();
    let error = MapVec::<u8>::open(&path).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Busy);
    assert!(error.to_string().contains("an array has one writer"), "{error}");
    assert_eq!(contents(&MapVec::<u8>::open_read_only(&path).unwrap()), [1]);
    assert_eq!(contents(&MapVecOptions::new().without_lock().open::<u8>(&path).unwrap()), [1]);
    array.close().unwrap();
    MapVec::<u8>::open(&path).unwrap();
}

#[test]
fn a_lock_ends_with_its_array_even_if_the_file_lives_on() {
    let (_directory, path) = fresh();
    let file = MapVec::<u8>::create(&path).unwrap().into_file().unwrap();
    MapVec::<u8>::open(&path).unwrap();
    drop(file);
}

#[test]
fn a_reader_sees_what_was_written_when_it_looks_again() {
    for options in forms() {
        let (_directory, path) = fresh();
        let mut array = options.create::<u64>(&path).unwrap();
        let mut reader = options.clone().reserve(4096).open_read_only::<u64>(&path).unwrap();
        array.extend(0..70_000).unwrap();
        array.flush().unwrap();
        assert!(reader.is_empty());
        assert_eq!(reader.refresh().unwrap(), 70_000);
        assert!(contents(&reader).into_iter().eq(0..70_000));
        array.truncate(3).unwrap();
        assert!(reader.get(69_999).is_err());
        assert_eq!(reader.refresh().unwrap(), 3);
        assert_eq!(contents(&reader), [0, 1, 2]);
    }
}

#[test]
fn a_reader_never_counts_an_element_that_is_not_there() {
    let (_directory, path) = fresh();
    let mut array = MapVec::<u64>::create(&path).unwrap();
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let reader = scope.spawn(|| {
            let mut reader = MapVec::<u64>::open_read_only(&path).unwrap();
            let mut looks = 0u64;
            loop {
                let last_look = done.load(Ordering::Acquire);
                let count = reader.refresh().unwrap();
                if let Some(last) = count.checked_sub(1) {
                    assert_eq!(reader.get(last).unwrap(), crate::span::to_u64(last));
                    assert_eq!(reader.get(last / 2).unwrap(), crate::span::to_u64(last / 2));
                }
                looks += 1;
                if last_look {
                    return (count, looks);
                }
            }
        });
        for start in (0..3_000_000u64).step_by(1000) {
            array.extend(start..start + 1000).unwrap();
            array.spill().unwrap();
        }
        done.store(true, Ordering::Release);
        let (count, looks) = reader.join().unwrap();
        assert_eq!(count, 3_000_000);
        assert!(looks > 0);
    });
}

#[test]
fn flushing_remembers_how_far_it_came() {
    let (_directory, path) = fresh();
    let mut array = MapVec::<u64>::create(&path).unwrap();
    array.extend(0..10).unwrap();
    assert_eq!(array.flushed_len(), 0);
    array.flush().unwrap();
    array.push(10).unwrap();
    array.close().unwrap();
    let mut array = MapVec::<u64>::open(&path).unwrap();
    assert_eq!((array.len(), array.flushed_len()), (11, 10));
    array.truncate(4).unwrap();
    assert_eq!(array.flushed_len(), 4);
    array.extend(0..30).unwrap();
    array.close().unwrap();
    // What was flushed once and dropped must not vouch for what came in its place.
    let array = MapVec::<u64>::open(&path).unwrap();
    assert_eq!((array.len(), array.flushed_len()), (34, 4));
}

#[test]
fn sorting_into_the_same_file_takes_back_that_it_was_flushed() {
    let (_directory, path) = fresh();
    let options = MapVecOptions::new().sort_into(crate::vec::SortInto::SameFile);
    let mut array = options.create::<u64>(&path).unwrap();
    array.extend([3, 1, 2]).unwrap();
    array.flush().unwrap();
    array.sort().unwrap();
    array.close().unwrap();
    let array = options.open::<u64>(&path).unwrap();
    assert_eq!((contents(&array), array.flushed_len()), (vec![1, 2, 3], 0));
}

#[test]
fn an_array_can_move_between_threads() {
    fn demand<T: Send + Sync>() {}
    demand::<MapVec<Record>>();
    demand::<MapVec<Record, crate::map::ReadOnly>>();
}
