//! Sorting: in memory and on the disk, into a new file and into the same one.

use std::os::unix::fs::{MetadataExt, PermissionsExt};

use proptest::prelude::*;

use super::*;
use crate::error::ErrorKind;
use crate::vec::SortInto;

/// Numbers without order, from a seed, with many equal keys.
fn shuffled(count: usize, seed: u64) -> Vec<Record> {
    let mut state = seed | 1;
    let next = |serial: usize| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        Record { key: state % 1000, serial: crate::span::to_u64(serial) }
    };
    (0..count).map(next).collect()
}

fn array_of(path: &std::path::Path, options: &MapVecOptions, records: &[Record]) -> MapVec<Record> {
    let mut array = options.create(path).unwrap();
    array.extend_from_slice(records).unwrap();
    array
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    #[test]
    fn every_way_of_sorting_agrees_with_std(
        seed in any::<u64>(),
        // From a few records at once, with many passes, to all of them.
        (count, memory) in prop_oneof![
            (0usize..2000, prop::sample::select(vec![0, 600, 5000, 256 << 20])),
            (10_000usize..60_000, prop::sample::select(vec![200_000, 300_000, 256 << 20])),
        ],
        in_place in any::<bool>(),
        headerless in any::<bool>(),
    ) {
        let (directory, path) = fresh_in_memory();
        let mut options = MapVecOptions::new().sort_memory(memory);
        if in_place {
            options = options.sort_into(SortInto::SameFile);
        }
        if headerless {
            options = options.headerless();
        }
        let mut model = shuffled(count, seed);
        let mut array = array_of(&path, &options, &model);
        array.sort_by_key(|record| record.key).unwrap();
        model.sort_by_key(|record| record.key);
        prop_assert_eq!(&contents(&array), &model, "stable");
        array.sort_unstable_by_key(|record| !record.serial).unwrap();
        model.sort_unstable_by_key(|record| !record.serial);
        prop_assert_eq!(&contents(&array), &model, "unstable");
        array.push(Record { key: 0, serial: 0 }).unwrap();
        model.push(Record { key: 0, serial: 0 });
        array.close().unwrap();
        prop_assert_eq!(&contents(&options.open::<Record>(&path).unwrap()), &model, "reopened");
        prop_assert_eq!(names_in(&directory), ["array"]);
    }
}

#[test]
fn a_sort_into_a_new_file_leaves_the_old_one_to_those_who_have_it() {
    let (_directory, path) = fresh();
    let mut array = MapVec::create(&path).unwrap();
    array.extend([3u32, 1, 2]).unwrap();
    array.spill().unwrap();
    let reader = MapVec::<u32>::open_read_only(&path).unwrap();
    let before = std::fs::metadata(&path).unwrap().ino();
    array.sort().unwrap();
    assert_ne!(std::fs::metadata(&path).unwrap().ino(), before);
    assert_eq!(contents(&reader), [3, 1, 2]);
    assert_eq!(contents(&MapVec::<u32>::open_read_only(&path).unwrap()), [1, 2, 3]);
    assert_eq!(
        MapVec::<u32>::open(&path).unwrap_err().kind(),
        ErrorKind::Busy,
        "the new file is locked as the old one"
    );
    array.push(0).unwrap();
    assert_eq!(array.path(), Some(path.as_path()));
    assert_eq!(contents(&array), [1, 2, 3, 0]);
    assert_eq!(array.flushed_len(), 3, "a sorted file is on the disk");
}

#[test]
fn a_sort_into_the_same_file_shows_readers_the_new_order() {
    let (_directory, path) = fresh();
    let options = MapVecOptions::new().sort_into(SortInto::SameFile);
    let mut array = options.create(&path).unwrap();
    array.extend([3u32, 1, 2]).unwrap();
    array.spill().unwrap();
    let reader = MapVec::<u32>::open_read_only(&path).unwrap();
    let before = std::fs::metadata(&path).unwrap().ino();
    array.sort().unwrap();
    assert_eq!(std::fs::metadata(&path).unwrap().ino(), before);
    assert_eq!(contents(&reader), [1, 2, 3]);
}

#[test]
fn what_is_sorted_already_stays_where_it_is() {
    let (_directory, path) = fresh();
    let mut array = MapVec::create(&path).unwrap();
    array.extend(0..1000u32).unwrap();
    let before = std::fs::metadata(&path).unwrap().ino();
    array.sort().unwrap();
    assert_eq!(std::fs::metadata(&path).unwrap().ino(), before);
}

#[test]
fn a_new_file_has_the_permissions_and_every_name_of_the_old_one() {
    let (directory, path) = fresh();
    let mut array = MapVec::create(&path).unwrap();
    array.extend([2u8, 1]).unwrap();
    array.close().unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o640)).unwrap();
    let link = directory.path().join("link");
    std::os::unix::fs::symlink("array", &link).unwrap();
    let mut array = MapVec::<u8>::open(&link).unwrap();
    array.sort().unwrap();
    drop(array);
    assert!(std::fs::symlink_metadata(&link).unwrap().is_symlink());
    assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o640);
    assert_eq!(contents(&MapVec::<u8>::open(&path).unwrap()), [1, 2]);
}

#[test]
fn a_renamed_file_is_sorted_under_its_new_name() {
    let (directory, path) = fresh();
    let mut array = MapVec::create(&path).unwrap();
    array.extend([2u8, 1]).unwrap();
    array.close().unwrap();
    let mut array = MapVec::<u8>::open(&path).unwrap();
    let moved = directory.path().join("moved");
    std::fs::rename(&path, &moved).unwrap();
    array.sort().unwrap();
    assert_eq!(names_in(&directory), ["moved"]);
    assert_eq!(contents(&MapVec::<u8>::open_read_only(&moved).unwrap()), [1, 2]);
}

#[test]
fn a_file_with_two_names_is_not_torn_from_one_of_them() {
    let (directory, path) = fresh();
    let mut array = MapVec::create(&path).unwrap();
    array.extend([2u8, 1]).unwrap();
    array.spill().unwrap();
    std::fs::hard_link(&path, directory.path().join("second")).unwrap();
    let error = array.sort().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unsupported);
    assert_eq!(
        error.to_string(),
        format!(
            "cannot sort {path:?}: it has 2 names, and a new file can take the place of one; \
             MapVecOptions::sort_into(SortInto::SameFile) does without"
        )
    );
    assert_eq!(contents(&array), [2, 1]);
}

#[test]
fn a_file_without_a_name_is_sorted_in_place() {
    let (_directory, path) = fresh();
    let mut array = MapVecOptions::new().sort_memory(100).create(&path).unwrap();
    std::fs::remove_file(&path).unwrap();
    array.extend((0..10_000u32).rev()).unwrap();
    array.sort().unwrap();
    assert!(contents(&array).into_iter().eq(0..10_000));
}

#[test]
fn a_comparison_that_panics_leaves_the_array_as_it_was() {
    for memory in [1000, 1 << 20] {
        let (directory, path) = fresh();
        let records = shuffled(5000, 3);
        let mut array = array_of(&path, &MapVecOptions::new().sort_memory(memory), &records);
        let mut left = 30_000;
        let sorting = std::panic::AssertUnwindSafe(|| {
            array.sort_by(|one, other| {
                left -= 1;
                assert!(left > 0, "enough");
                one.key.cmp(&other.key)
            })
        });
        std::panic::catch_unwind(sorting).unwrap_err();
        assert_eq!(contents(&array), records);
        assert_eq!(names_in(&directory), ["array"]);
        array.sort_by_key(|record| record.serial).unwrap();
        assert_eq!(contents(&array), records);
    }
}

#[test]
fn a_comparison_that_contradicts_itself_loses_nothing() {
    let (_directory, path) = fresh();
    let mut array = array_of(&path, &MapVecOptions::new().sort_memory(10_000), &shuffled(3000, 9));
    let mut state = 1u32;
    let nonsense = std::panic::AssertUnwindSafe(|| {
        array.sort_by(|_, _| {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            if state >> 31 == 0 { std::cmp::Ordering::Less } else { std::cmp::Ordering::Greater }
        })
    });
    // std's sort may notice and panic; either way every element is still there.
    let _either = std::panic::catch_unwind(nonsense);
    let mut serials: Vec<_> = contents(&array).iter().map(|record| record.serial).collect();
    serials.sort_unstable();
    assert!(serials.into_iter().eq(0..3000));
}
