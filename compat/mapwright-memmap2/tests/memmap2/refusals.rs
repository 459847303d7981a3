//! What maps refuse, and with which error: run against the original and against ours.

#![allow(unsafe_code, reason = "memmap2's constructors are unsafe")]

use std::fs::{File, OpenOptions};
use std::io::{self, ErrorKind};
use std::os::fd::AsRawFd;

use super::memmap2::{Advice, Mmap, MmapMut, MmapOptions, MmapRaw, RemapOptions, UncheckedAdvice};
use crate::support::Scratch;

/// Every way to map a file, by name.
fn all_ways(options: &MmapOptions, file: &File) -> Vec<(&'static str, io::Result<usize>)> {
    let len = |map: io::Result<Mmap>| map.map(|map| map.len());
    let len_mut = |map: io::Result<MmapMut>| map.map(|map| map.len());
    let len_raw = |map: io::Result<MmapRaw>| map.map(|map| map.len());
    vec![
        // SAFETY: the maps are dropped before anything in them is touched.
        ("map", len(unsafe { options.map(file) })),
        // SAFETY: as above.
        ("map_exec", len(unsafe { options.map_exec(file) })),
        // SAFETY: as above.
        ("map_mut", len_mut(unsafe { options.map_mut(file) })),
        // SAFETY: as above.
        ("map_copy", len_mut(unsafe { options.map_copy(file) })),
        // SAFETY: as above.
        ("map_copy_read_only", len(unsafe { options.map_copy_read_only(file) })),
        ("map_raw", len_raw(options.map_raw(file))),
        ("map_raw_read_only", len_raw(options.map_raw_read_only(file))),
    ]
}

#[test]
fn an_offset_beyond_the_file_is_invalid_data() {
    let scratch = Scratch::new();
    let file = scratch.of_len(100);
    for offset in [101, u64::MAX] {
        for (way, result) in all_ways(MmapOptions::new().offset(offset), &file) {
            assert_eq!(result.unwrap_err().kind(), ErrorKind::InvalidData, "{way} from {offset}");
        }
    }
    for (way, result) in all_ways(MmapOptions::new().offset(100), &file) {
        assert_eq!(result.unwrap(), 0, "{way}");
    }
}

#[test]
fn a_length_that_no_slice_has_is_invalid_data() {
    let scratch = Scratch::new();
    let file = scratch.of_len(100);
    for len in [usize::MAX, isize::MAX.unsigned_abs() + 1] {
        for (way, result) in all_ways(MmapOptions::new().len(len), &file) {
            assert_eq!(result.unwrap_err().kind(), ErrorKind::InvalidData, "{way} of {len}");
        }
        assert_eq!(MmapMut::map_anon(len).unwrap_err().kind(), ErrorKind::InvalidData);
    }
}

#[test]
fn a_length_beyond_the_address_space_is_out_of_memory() {
    let scratch = Scratch::new();
    let file = scratch.of_len(100);
    for len in [1 << 60, isize::MAX.unsigned_abs() - 8191] {
        for (way, result) in all_ways(MmapOptions::new().len(len), &file) {
            assert_eq!(result.unwrap_err().raw_os_error(), Some(libc::ENOMEM), "{way} of {len}");
        }
        assert_eq!(MmapMut::map_anon(len).unwrap_err().raw_os_error(), Some(libc::ENOMEM));
    }
}

#[test]
fn a_file_opened_for_reading_only_is_not_mapped_for_writing() {
    let scratch = Scratch::new();
    drop(scratch.of_len(100));
    let file = File::open(scratch.path()).unwrap();
    for (way, result) in all_ways(&MmapOptions::new(), &file) {
        if way == "map_mut" || way == "map_raw" {
            assert_eq!(result.unwrap_err().raw_os_error(), Some(libc::EACCES), "{way}");
        } else {
            assert_eq!(result.unwrap(), 100, "{way}");
        }
    }
    // SAFETY: the tests' files are their own.
    let map = unsafe { Mmap::map(&file) }.unwrap();
    assert_eq!(map.make_mut().unwrap_err().kind(), ErrorKind::PermissionDenied);
}

#[test]
fn a_file_opened_for_writing_only_is_not_mapped() {
    let scratch = Scratch::new();
    drop(scratch.of_len(100));
    let file = OpenOptions::new().write(true).open(scratch.path()).unwrap();
    for (way, result) in all_ways(&MmapOptions::new(), &file) {
        assert_eq!(result.unwrap_err().raw_os_error(), Some(libc::EACCES), "{way}");
    }
}

#[test]
fn what_has_no_bytes_in_places_is_not_mapped() {
    let folder = File::open("/").unwrap();
    for (way, result) in all_ways(MmapOptions::new().len(10), &folder) {
        let error = result.unwrap_err().raw_os_error();
        let writes = way == "map_mut" || way == "map_raw";
        assert_eq!(error, Some(if writes { libc::EACCES } else { libc::ENODEV }), "{way}");
    }
    let (reader, _writer) = io::pipe().unwrap();
    // SAFETY: it will be refused.
    let refused = unsafe { MmapOptions::new().len(10).map(&reader) };
    assert_eq!(refused.unwrap_err().raw_os_error(), Some(libc::ENODEV));
}

#[test]
fn a_number_that_names_no_open_file_is_a_bad_descriptor() {
    for number in [i32::MAX, 1_000_000] {
        for options in [MmapOptions::new(), MmapOptions::new().len(10).clone()] {
            // SAFETY: it will be refused.
            let refused = unsafe { options.map(number) };
            assert_eq!(refused.unwrap_err().raw_os_error(), Some(libc::EBADF));
            assert_eq!(options.map_raw(number).unwrap_err().raw_os_error(), Some(libc::EBADF));
        }
    }
}

#[test]
fn ranges_beyond_the_map_are_invalid_input() {
    let scratch = Scratch::new();
    let file = scratch.of_len(100);
    let map = MmapRaw::map_raw(&file).unwrap();
    for (offset, len) in [(101, 0), (0, 101), (100, 1), (50, 51), (usize::MAX, 1), (1, usize::MAX)] {
        for refused in [map.flush_range(offset, len), map.flush_async_range(offset, len)] {
            assert_eq!(refused.unwrap_err().kind(), ErrorKind::InvalidInput, "{offset}+{len}");
        }
    }
    for (offset, len) in [(101, 0), (0, 101), (usize::MAX, 1), (1, usize::MAX)] {
        let refused = map.advise_range(Advice::Normal, offset, len);
        assert_eq!(refused.unwrap_err().kind(), ErrorKind::InvalidInput, "{offset}+{len}");
        // SAFETY: it will be refused.
        let refused = unsafe { map.unchecked_advise_range(UncheckedAdvice::DontNeed, offset, len) };
        assert_eq!(refused.unwrap_err().kind(), ErrorKind::InvalidInput, "{offset}+{len}");
    }
}

#[test]
fn a_map_that_cannot_grow_is_left_as_it_was() {
    let mut map = MmapMut::map_anon(100).unwrap();
    map[99] = 7;
    let address = map.as_ptr();
    for options in [RemapOptions::new(), RemapOptions::new().may_move(true)] {
        // SAFETY: nothing refers to the map.
        let refused = unsafe { map.remap(1 << 60, options) };
        assert!(refused.is_err());
        assert_eq!((map.as_ptr(), map.len(), map[99]), (address, 100, 7));
    }
}

#[test]
fn an_empty_pool_of_huge_pages_is_out_of_memory() {
    // No machine has sixteen pages of a gibibyte, and few know of them: either way the kernel refuses.
    let refused = MmapOptions::new().len(1 << 40).huge(Some(30)).map_anon().unwrap_err();
    assert!(matches!(refused.raw_os_error(), Some(libc::ENOMEM | libc::EINVAL)), "{refused}");
}

#[test]
fn the_file_of_a_map_need_not_stay_open() {
    let scratch = Scratch::new();
    let file = scratch.of_len(100);
    let number = file.as_raw_fd();
    let map = MmapRaw::map_raw(number).unwrap();
    drop(file);
    map.flush().unwrap();
    map.flush_async().unwrap();
    map.advise(Advice::WillNeed).unwrap();
}
