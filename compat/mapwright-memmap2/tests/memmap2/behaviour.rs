//! What maps do: run against the original and against ours.

#![allow(unsafe_code, reason = "memmap2's constructors are unsafe")]

use std::fs::{self, File};
use std::io::{Read, Write};
use std::os::fd::AsRawFd;

use super::memmap2::{Advice, Mmap, MmapMut, MmapOptions, MmapRaw, RemapOptions, UncheckedAdvice};
use crate::support::{Scratch, huge_pages, memory_file, page, seal, signal_that_ends, skip};

/// Counts up.
fn pattern(len: usize) -> Vec<u8> {
    (0..len).map(|place| u8::try_from(place % 251).unwrap()).collect()
}

fn map(file: &File) -> Mmap {
    // SAFETY: the tests' files are their own.
    unsafe { Mmap::map(file).unwrap() }
}

fn map_mut(file: &File) -> MmapMut {
    // SAFETY: the tests' files are their own.
    unsafe { MmapMut::map_mut(file).unwrap() }
}

fn may_move() -> RemapOptions {
    RemapOptions::new().may_move(true)
}

#[test]
fn a_file_is_read_as_a_slice() {
    let scratch = Scratch::new();
    let file = scratch.with(&pattern(10_000));
    assert_eq!(&map(&file)[..], pattern(10_000));
    assert_eq!(map(&file).as_ref(), pattern(10_000));
    // SAFETY: as for map.
    assert_eq!(&unsafe { Mmap::map(file.as_raw_fd()) }.unwrap()[..], pattern(10_000));
}

#[test]
fn what_is_written_reaches_the_file() {
    let scratch = Scratch::new();
    let mut file = scratch.of_len(5_000);
    let mut map = map_mut(&file);
    assert!(map.iter().all(|&byte| byte == 0));
    map.copy_from_slice(&pattern(5_000));
    map.as_mut()[0] = 77;
    map.flush().unwrap();
    let mut read = Vec::new();
    file.read_to_end(&mut read).unwrap();
    assert_eq!((read[0], &read[1..]), (77, &pattern(5_000)[1..]));
}

#[test]
fn a_map_lives_without_its_file() {
    let scratch = Scratch::new();
    let file = scratch.with(b"still here");
    let map = map(&file);
    drop(file);
    fs::remove_file(scratch.path()).unwrap();
    assert_eq!(&map[..], b"still here");
}

#[test]
fn a_file_is_free_as_soon_as_its_map_is_dropped() {
    let scratch = Scratch::new();
    let file = scratch.of_len(128 << 20);
    let mut maps = [map_mut(&file), map_mut(&file)];
    maps[0].iter_mut().step_by(100 * page()).for_each(|byte| *byte = 1);
    assert!(!scratch.mappings().is_empty());
    drop(maps);
    assert_eq!(scratch.mappings(), [""; 0]);
    let memory = memory_file(&[0; 100]);
    drop(map_mut(&memory));
    // The kernel refuses this while a writable map is left.
    assert!(seal(&memory, libc::F_SEAL_WRITE));
}

#[test]
fn an_empty_file_is_an_empty_slice_with_an_address() {
    let scratch = Scratch::new();
    let file = scratch.of_len(0);
    for address in [map(&file).as_ptr(), map_mut(&file).as_ptr()] {
        assert!(!address.is_null() && address.addr().is_multiple_of(page()));
    }
    assert!(map(&file).is_empty() && map_mut(&file).is_empty());
    assert!(MmapOptions::new().map_anon().unwrap().is_empty());
    assert_eq!(MmapRaw::map_raw(&file).unwrap().len(), 0);
}

#[test]
fn an_empty_map_takes_every_call() {
    let scratch = Scratch::new();
    let file = scratch.of_len(0);
    let mut map = map_mut(&file);
    map.flush().unwrap();
    map.flush_async().unwrap();
    map.flush_range(0, 0).unwrap();
    map.advise(Advice::Random).unwrap();
    map.lock().unwrap();
    map.unlock().unwrap();
    // SAFETY: nothing refers to the map.
    unsafe { map.unchecked_advise(UncheckedAdvice::DontNeed).unwrap() };
    // SAFETY: as above.
    unsafe { map.remap(0, may_move()).unwrap() };
    let map = map.make_read_only().unwrap().make_mut().unwrap().make_exec().unwrap();
    assert!(map.is_empty());
}

#[test]
fn an_offset_need_not_be_a_page_s() {
    let scratch = Scratch::new();
    let file = scratch.with(&pattern(3 * page()));
    for offset in [0, 1, 77, page() - 1, page(), page() + 1, 3 * page() - 1, 3 * page()] {
        let mut options = MmapOptions::new();
        options.offset(u64::try_from(offset).unwrap());
        // SAFETY: the tests' files are their own.
        let map = unsafe { options.map(&file) }.unwrap();
        assert_eq!(&map[..], &pattern(3 * page())[offset..]);
        assert_eq!(map.as_ptr().addr() % page(), offset % page());
    }
}

#[test]
fn an_offset_may_lie_beyond_four_gibibytes() {
    let scratch = Scratch::new();
    let (offset, len) = (u64::from(u32::MAX) + 2, 5_432);
    let file = scratch.of_len(offset + 5_432);
    // SAFETY: the tests' files are their own.
    let rest = unsafe { MmapOptions::new().offset(offset).map_mut(&file) }.unwrap();
    // SAFETY: as above.
    let mut asked = unsafe { MmapOptions::new().offset(offset).len(len).map_mut(&file) }.unwrap();
    asked.copy_from_slice(&pattern(len));
    assert_eq!(&rest[..], pattern(len));
}

#[test]
fn a_map_may_be_longer_than_its_file() {
    let scratch = Scratch::new();
    let file = scratch.with(b"abc");
    // SAFETY: the tests' files are their own; only what the file's last page has is touched.
    let map = unsafe { MmapOptions::new().len(5 * page()).map(&file) }.unwrap();
    assert_eq!((map.len(), &map[..4]), (5 * page(), &b"abc\0"[..]));
    file.set_len(10_000).unwrap();
    assert_eq!(map[9_999], 0);
}

#[test]
fn touching_what_was_cut_off_raises_sigbus() {
    let scratch = Scratch::new();
    let file = scratch.of_len(100_000);
    let map = map(&file);
    let raw = MmapOptions::new().map_raw_read_only(&file).unwrap();
    let copy = MmapRaw::map_raw(&file).unwrap();
    file.set_len(0).unwrap();
    for address in [map.as_ptr(), raw.as_ptr(), copy.as_ptr()] {
        let read = || {
            // SAFETY: a byte of a live mapping.
            let _byte = unsafe { address.read_volatile() };
        };
        // SAFETY: the child reads one byte.
        let ended = unsafe { signal_that_ends(read) };
        assert_eq!(ended, Ok(libc::SIGBUS));
    }
}

#[test]
fn writing_to_a_read_only_map_by_pointer_raises_sigsegv() {
    let scratch = Scratch::new();
    let file = scratch.of_len(100);
    let raw = MmapOptions::new().map_raw_read_only(&file).unwrap();
    let address = raw.as_mut_ptr();
    // SAFETY: a byte of a live mapping.
    let write = || unsafe { address.write_volatile(1) };
    // SAFETY: the child writes one byte, or fails to.
    let ended = unsafe { signal_that_ends(write) };
    assert_eq!(ended, Ok(libc::SIGSEGV));
}

#[test]
fn a_copy_keeps_its_changes_to_itself() {
    let scratch = Scratch::new();
    let mut file = scratch.of_len(128);
    // SAFETY: the tests' files are their own.
    let mut copy = unsafe { MmapOptions::new().map_copy(&file) }.unwrap();
    copy[..6].copy_from_slice(b"abc123");
    copy.flush().unwrap();
    copy.flush_async().unwrap();
    let mut read = [1u8; 6];
    file.read_exact(&mut read).unwrap();
    assert_eq!((&copy[..6], read, &map(&file)[..6]), (&b"abc123"[..], [0; 6], &[0; 6][..]));
    // SAFETY: as above.
    let read_only = unsafe { MmapOptions::new().map_copy_read_only(&file) }.unwrap();
    let mut writable = read_only.make_mut().unwrap();
    writable[0] = 1;
    assert_eq!(map(&file)[0], 0);
}

#[test]
fn a_copy_of_a_file_that_can_only_be_read_is_writable() {
    let scratch = Scratch::new();
    drop(scratch.with(b"abc"));
    let file = File::open(scratch.path()).unwrap();
    // SAFETY: the tests' files are their own.
    let mut copy = unsafe { MmapOptions::new().map_copy(&file) }.unwrap();
    copy[1] = b'x';
    assert_eq!(&copy[..], b"axc");
}

#[test]
fn ranges_are_flushed_from_any_byte() {
    let scratch = Scratch::new();
    let file = scratch.of_len(30_000);
    // SAFETY: the tests' files are their own.
    let mut map = unsafe { MmapOptions::new().offset(2).len(20_000).map_mut(&file) }.unwrap();
    map.fill(1);
    for (offset, len) in [(0, 20_000), (0, 0), (20_000, 0), (4_094, 1), (4_093, 5_000), (19_999, 1)] {
        map.flush_range(offset, len).unwrap();
        map.flush_async_range(offset, len).unwrap();
        map.advise_range(Advice::WillNeed, offset, len).unwrap();
    }
    let raw = MmapRaw::from(map);
    raw.flush().unwrap();
    raw.flush_async().unwrap();
    raw.flush_range(3, 5).unwrap();
    raw.flush_async_range(3, 5).unwrap();
}

#[test]
fn memory_is_zeroed_and_writable() {
    let mut map = MmapMut::map_anon(100_000).unwrap();
    assert!(map.iter().all(|&byte| byte == 0));
    (&mut map[..]).write_all(&pattern(100_000)).unwrap();
    assert_eq!(&map[..], pattern(100_000));
    let options = MmapOptions::new().len(5_000).stack().populate().no_reserve_swap().clone();
    assert_eq!(options.map_anon().unwrap().len(), 5_000);
}

#[test]
fn populating_does_not_change_what_is_read() {
    let scratch = Scratch::new();
    let file = scratch.with(&pattern(50_000));
    let mut options = MmapOptions::new();
    options.populate().no_reserve_swap().no_probe_handle();
    // SAFETY: the tests' files are their own.
    assert_eq!(&unsafe { options.map(&file) }.unwrap()[..], pattern(50_000));
    // SAFETY: as above.
    assert_eq!(&unsafe { options.map_copy(&file) }.unwrap()[..], pattern(50_000));
}

/// Writes a function that returns 0xab, makes it executable and calls it.
fn run_as_instructions(mut map: MmapMut) {
    #[cfg(target_arch = "x86_64")]
    let code = [0xb8, 0xab, 0, 0, 0, 0xc3]; // mov eax, 0xab; ret
    #[cfg(target_arch = "aarch64")]
    let code = [0x60, 0x15, 0x80, 0x52, 0xc0, 0x03, 0x5f, 0xd6]; // mov w0, #0xab; ret
    map[..code.len()].copy_from_slice(&code);
    let map = map.make_exec().unwrap();
    // The original leaves this to its callers.
    #[cfg(target_arch = "aarch64")]
    {
        unsafe extern "C" {
            fn __clear_cache(start: *const u8, end: *const u8);
        }
        let range = map.as_ptr_range();
        // SAFETY: cleans caches over bytes that are mapped.
        unsafe { __clear_cache(range.start, range.end) };
    }
    // SAFETY: the bytes are a function of this type.
    let function: extern "C" fn() -> u8 = unsafe { std::mem::transmute(map.as_ptr()) };
    assert_eq!(function(), 0xab);
}

#[test]
fn memory_and_files_can_be_run() {
    let scratch = Scratch::new();
    run_as_instructions(MmapMut::map_anon(4096).unwrap());
    let file = scratch.of_len(4096);
    run_as_instructions(map_mut(&file));
    // SAFETY: the tests' files are their own.
    let map = unsafe { MmapOptions::new().map_exec(&file) }.unwrap();
    // SAFETY: the bytes are the function that was written above.
    let function: extern "C" fn() -> u8 = unsafe { std::mem::transmute(map.as_ptr()) };
    assert_eq!(function(), 0xab);
}

#[test]
fn protection_goes_back_and_forth() {
    let scratch = Scratch::new();
    let file = scratch.of_len(256);
    // SAFETY: the tests' files are their own.
    let copy = unsafe { MmapOptions::new().offset(3).map_copy(&file) }.unwrap();
    for map in [map_mut(&file), copy, MmapMut::map_anon(256).unwrap()] {
        let mut map = map.make_read_only().unwrap().make_mut().unwrap();
        map[..3].copy_from_slice(b"abc");
        let map = map.make_exec().unwrap();
        assert_eq!(&map[..3], b"abc");
    }
    assert_eq!(&map(&file)[..3], b"abc");
}

#[test]
fn raw_maps_show_the_file_by_pointer() {
    let scratch = Scratch::new();
    let file = scratch.with(b"abc123");
    let raw = MmapRaw::map_raw(&file).unwrap();
    // SAFETY: the file's first byte is mapped and writable.
    unsafe { raw.as_mut_ptr().write(b'x') };
    let read_only = MmapOptions::new().map_raw_read_only(&File::open(scratch.path()).unwrap()).unwrap();
    // SAFETY: the file's first byte is mapped.
    assert_eq!((unsafe { read_only.as_ptr().read() }, read_only.len()), (b'x', 6));
    read_only.advise(Advice::Normal).unwrap();
    let from_map = MmapRaw::from(map(&file));
    // SAFETY: as above.
    assert_eq!(unsafe { from_map.as_ptr().read() }, b'x');
}

#[test]
fn every_advice_is_taken_or_unknown_to_the_kernel() {
    let scratch = Scratch::new();
    let file = scratch.with(&pattern(20_000));
    let map = map_mut(&file);
    let changes_nothing = [
        Advice::Normal,
        Advice::Random,
        Advice::Sequential,
        Advice::WillNeed,
        Advice::DontFork,
        Advice::DoFork,
        Advice::HugePage,
        Advice::NoHugePage,
        Advice::DontDump,
        Advice::DoDump,
        Advice::PopulateRead,
        Advice::PopulateWrite,
    ];
    for advice in changes_nothing {
        let given = map.advise(advice);
        assert!(given.is_ok() || !advice.is_supported(), "{advice:?}: {given:?}");
        assert_eq!(&map[..], pattern(20_000), "{advice:?}");
    }
    for always in [Advice::Normal, Advice::Random, Advice::Sequential, Advice::WillNeed] {
        assert!(always.is_supported());
    }
    assert!(UncheckedAdvice::DontNeed.is_supported());
}

#[test]
fn pages_of_memory_that_are_not_needed_read_as_zeros() {
    let mut map = MmapMut::map_anon(3 * page()).unwrap();
    map.fill(255);
    let map = map.make_read_only().unwrap();
    // SAFETY: no slice is held meanwhile.
    unsafe { map.unchecked_advise_range(UncheckedAdvice::DontNeed, page(), page()) }.unwrap();
    assert_eq!((map[0], map[page()], map[2 * page()]), (255, 0, 255));
    // SAFETY: as above.
    unsafe { map.unchecked_advise(UncheckedAdvice::DontNeed) }.unwrap();
    assert!(map.iter().all(|&byte| byte == 0));
}

#[test]
fn what_is_locked_stays_in_memory_until_unlocked() {
    let scratch = Scratch::new();
    let file = scratch.of_len(128);
    let map = map(&file);
    let is_locked = || scratch.mappings().iter().any(|text| !text.contains("Locked:                0 kB"));
    assert!(!is_locked());
    for _ in 0..2 {
        map.lock().unwrap();
        assert!(is_locked());
    }
    for _ in 0..2 {
        map.unlock().unwrap();
        assert!(!is_locked());
    }
}

#[test]
fn a_map_grows_and_shrinks_with_its_contents() {
    let scratch = Scratch::new();
    let file = scratch.with(&pattern(20_000));
    for offset in [0usize, 77, 4_096] {
        let mut options = MmapOptions::new();
        options.offset(u64::try_from(offset).unwrap()).len(128);
        // SAFETY: the tests' files are their own.
        let mut map = unsafe { options.map_mut(&file) }.unwrap();
        for len in [2_000, 15_000, 1, 0, 400] {
            // SAFETY: nothing refers to the map, and the file is long enough.
            unsafe { map.remap(len, may_move()) }.unwrap();
            assert_eq!(&map[..], &pattern(20_000)[offset..offset + len]);
        }
    }
}

#[test]
fn a_map_that_may_not_move_shrinks_in_place() {
    let mut map = MmapMut::map_anon(20_000).unwrap();
    map.fill(7);
    let address = map.as_ptr();
    // SAFETY: nothing refers to the map.
    unsafe { map.remap(400, RemapOptions::new()) }.unwrap();
    assert_eq!((map.as_ptr(), &map[..]), (address, &[7; 400][..]));
}

#[test]
fn sealed_memory_files_are_mapped_safely() {
    let file = memory_file(b"Hello, world!");
    assert!(Mmap::map_if_safe(&file).unwrap_err().not_safe());
    assert!(seal(&file, libc::F_SEAL_SHRINK));
    assert!(Mmap::map_if_safe(&file).unwrap_err().not_safe());
    assert!(seal(&file, libc::F_SEAL_WRITE));
    assert_eq!(&Mmap::map_if_safe(&file).unwrap()[..], b"Hello, world!");
    assert_eq!(&MmapOptions::new().offset(7).map_if_safe(&file).unwrap()[..], b"world!");
    assert!(MmapOptions::new().offset(7).len(100).map_if_safe(&file).unwrap_err().not_safe());
    assert!(MmapOptions::new().offset(14).map_if_safe(&file).unwrap_err().map_failed());
    let mapped = Mmap::map_if_safe(&file).unwrap();
    assert_eq!(mapped.make_mut().unwrap_err().raw_os_error(), Some(libc::EACCES));
}

#[test]
fn ordinary_files_are_not_mapped_safely() {
    let scratch = Scratch::new();
    let error = Mmap::map_if_safe(&scratch.of_len(128)).unwrap_err();
    assert!(error.not_safe() && !error.map_failed() && !error.not_supported());
    assert!(!error.to_string().is_empty() && format!("{error:?}").starts_with("NotSafe("));
    assert_eq!(std::io::Error::from(error).kind(), std::io::ErrorKind::InvalidInput);
    assert!(Mmap::map_if_safe(i32::MAX).unwrap_err().map_failed());
}

#[test]
fn huge_pages_come_from_their_pool() {
    let (free, size) = huge_pages();
    if free < 2 {
        return skip("huge_pages_come_from_their_pool", "the pool of huge pages is empty (vm.nr_hugepages)");
    }
    let bits = u8::try_from(size.trailing_zeros()).unwrap();
    for huge in [None, Some(bits)] {
        let mut map = MmapOptions::new().len(size).huge(huge).map_anon().unwrap();
        map[size - 1] = 1;
        assert!(map.as_ptr().addr().is_multiple_of(size));
    }
}

#[test]
fn the_handle_may_move_while_its_bytes_are_borrowed() {
    fn is_stable(bytes: impl stable_deref_trait::StableDeref<Target = [u8]>) -> usize {
        bytes.len()
    }
    assert_eq!(is_stable(MmapMut::map_anon(128).unwrap()), 128);
    assert_eq!(is_stable(MmapMut::map_anon(128).unwrap().make_read_only().unwrap()), 128);
}

#[test]
fn debugging_shows_address_and_length() {
    let map = MmapMut::map_anon(128).unwrap();
    let address = map.as_ptr();
    assert_eq!(format!("{map:?}"), format!("MmapMut {{ ptr: {address:?}, len: 128 }}"));
    let map = map.make_read_only().unwrap();
    assert_eq!(format!("{map:?}"), format!("Mmap {{ ptr: {address:?}, len: 128 }}"));
    assert_eq!(format!("{:?}", MmapRaw::from(map)), format!("MmapRaw {{ ptr: {address:?}, len: 128 }}"));
}
