//! What only ours promises.

#![allow(unsafe_code, reason = "memmap2's constructors are unsafe; asks the kernel what only libc can ask")]

use std::cell::Cell;
use std::fs::{self, File};
use std::io::{ErrorKind, Write};
use std::os::fd::{AsRawFd, FromRawFd, RawFd};

use mapwright_memmap2::{Advice, Mmap, MmapMut, MmapOptions, MmapRaw, RemapOptions, UncheckedAdvice};

use crate::support::{Scratch, huge_pages, memory_file, page, seal, skip, wait_until};

#[test]
fn advice_never_reaches_beyond_the_map() {
    let map = MmapMut::map_anon(2 * page()).unwrap();
    for (offset, len) in [(page(), page() + 1), (1, 2 * page()), (2 * page(), 1)] {
        let refused = map.advise_range(Advice::Normal, offset, len).unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::InvalidInput);
        let wanted = format!("bytes {offset}..{} were asked for, but there are only 8192", offset + len);
        assert_eq!(refused.to_string(), wanted);
        // SAFETY: it will be refused.
        let refused = unsafe { map.unchecked_advise_range(UncheckedAdvice::DontNeed, offset, len) };
        assert_eq!(refused.unwrap_err().kind(), ErrorKind::InvalidInput);
    }
}

#[test]
fn an_empty_range_in_the_middle_of_a_page_forgets_nothing() {
    let mut map = MmapMut::map_anon(page()).unwrap();
    map.fill(7);
    // SAFETY: no slice is held meanwhile.
    unsafe { map.unchecked_advise_range(UncheckedAdvice::DontNeed, 10, 0) }.unwrap();
    assert!(map.iter().all(|&byte| byte == 7));
}

#[test]
fn a_length_that_no_slice_has_is_not_remapped() {
    let scratch = Scratch::new();
    let file = scratch.of_len(20_000);
    // SAFETY: the tests' files are their own.
    let mut map = unsafe { MmapOptions::new().offset(77).len(100).map(&file) }.unwrap();
    for len in [usize::MAX, usize::MAX - 76, isize::MAX.unsigned_abs() + 1] {
        // SAFETY: it will be refused.
        let refused = unsafe { map.remap(len, RemapOptions::new().may_move(true)) };
        assert_eq!(refused.unwrap_err().kind(), ErrorKind::InvalidData);
    }
    assert_eq!((map.len(), map[99]), (100, 0));
}

/// How many pages of a file are dirty or on their way to the disk; `None` where the kernel does not tell.
fn unwritten_pages(file: &File) -> Option<u64> {
    const SYS_CACHESTAT: libc::c_long = 451;
    let (range, mut found) = ([0u64, 0u64], [0u64; 5]);
    let (range, target) = (range.as_ptr(), found.as_mut_ptr());
    // SAFETY: both arrays are laid out as the kernel's structures; the flags are 0.
    let result = unsafe { libc::syscall(SYS_CACHESTAT, file.as_raw_fd(), range, target, 0) };
    (result == 0).then(|| found[1] + found[2])
}

#[test]
fn flush_async_starts_write_back() {
    let scratch = Scratch::new();
    let file = scratch.of_len(8 << 20);
    file.sync_all().unwrap();
    // SAFETY: the tests' files are their own.
    let mut map = unsafe { MmapMut::map_mut(&file) }.unwrap();
    map.fill(1);
    match unwritten_pages(&file) {
        None => return skip("flush_async_starts_write_back", "needs cachestat(2), Linux 6.5"),
        Some(0) => {
            return skip("flush_async_starts_write_back", "the build lies on a file system without a disk");
        }
        Some(_) => {}
    }
    // Half of it first, from the middle of a page. Dirty pages lie about for half a minute if nobody asks.
    map.flush_async_range((4 << 20) + 5, 4 << 20).unwrap_err();
    map.flush_async_range((4 << 20) + 5, (4 << 20) - 5).unwrap();
    wait_until("the second half is written", || unwritten_pages(&file).is_some_and(|pages| pages <= 1024));
    map.flush_async().unwrap();
    wait_until("everything is written", || unwritten_pages(&file) == Some(0));
}

#[test]
fn flush_async_keeps_the_process_s_locks() {
    let scratch = Scratch::new();
    let file = scratch.of_len(1 << 20);
    // SAFETY: all zeros are a valid structure.
    let mut lock: libc::flock = unsafe { std::mem::zeroed() };
    lock.l_type = libc::F_WRLCK.try_into().unwrap();
    // SAFETY: takes an open descriptor and a local structure.
    assert_eq!(unsafe { libc::fcntl(file.as_raw_fd(), libc::F_SETLK, &raw const lock) }, 0);
    let inode = std::os::unix::fs::MetadataExt::ino(&file.metadata().unwrap());
    let is_locked = || fs::read_to_string("/proc/locks").unwrap().contains(&format!(":{inode} "));
    assert!(is_locked());
    // SAFETY: the tests' files are their own.
    let mut map = unsafe { MmapMut::map_mut(&file) }.unwrap();
    map.fill(1);
    map.flush_async().unwrap();
    if unwritten_pages(&file).is_some() {
        wait_until("everything is written", || unwritten_pages(&file) == Some(0));
    }
    drop(map);
    assert!(is_locked());
}

#[test]
fn a_map_keeps_no_descriptor() {
    let scratch = Scratch::new();
    let file = scratch.of_len(page().try_into().unwrap());
    // SAFETY: the tests' files are their own.
    let maps = [unsafe { MmapMut::map_mut(&file) }.unwrap(), unsafe { MmapMut::map_mut(&file) }.unwrap()];
    drop(file);
    let path = scratch.path();
    let open = fs::read_dir("/proc/self/fd").unwrap().flatten();
    assert_eq!(open.filter(|entry| fs::read_link(entry.path()).is_ok_and(|to| to == path)).count(), 0);
    maps[0].flush_async().unwrap();
}

/// Reads our own memory without touching it; `None` where nothing is mapped.
fn peek(address: usize) -> Option<[u8; 8]> {
    let mut bytes = [0u8; 8];
    let local = libc::iovec { iov_base: bytes.as_mut_ptr().cast(), iov_len: 8 };
    let remote = libc::iovec { iov_base: std::ptr::without_provenance_mut(address), iov_len: 8 };
    let process = i32::try_from(std::process::id()).unwrap();
    // SAFETY: fills the local array with what the kernel can read; an address that is not mapped is an error.
    let read = unsafe { libc::process_vm_readv(process, &raw const local, 1, &raw const remote, 1, 0) };
    (read == 8).then_some(bytes)
}

#[test]
fn much_memory_is_gone_in_the_end() {
    let mark = *b"memmap2!";
    let mut map = MmapMut::map_anon(128 << 20).unwrap();
    map.iter_mut().step_by(page()).for_each(|byte| *byte = 1);
    let places = [0, 40 << 20, (128 << 20) - page()];
    for place in places {
        map[place..place + 8].copy_from_slice(&mark);
    }
    let addresses = places.map(|place| map.as_ptr().addr() + place);
    assert!(addresses.iter().all(|&address| peek(address) == Some(mark)));
    drop(map);
    for address in addresses {
        wait_until("the memory is gone", || peek(address) != Some(mark));
    }
}

#[test]
fn huge_pages_go_back_to_their_pool_whatever_the_length() {
    let test = "huge_pages_go_back_to_their_pool_whatever_the_length";
    let (free, size) = huge_pages();
    if free < 2 {
        return skip(test, "the pool of huge pages is empty (vm.nr_hugepages)");
    }
    // More rounds than there are pages: a round that leaks one is found out. Other tests may hold pages for a
    // moment.
    for _ in 0..free + 8 {
        let mut memory = None;
        wait_until("a huge page is free", || {
            memory = MmapOptions::new().len(size / 2 + 1).huge(None).map_anon().ok();
            memory.is_some()
        });
        let mut map = memory.unwrap();
        map[size / 2] = 1;
        drop(map.make_read_only().unwrap());
    }
    // SAFETY: the name is a C string.
    let fd = unsafe { libc::memfd_create(c"huge".as_ptr(), libc::MFD_HUGETLB | libc::MFD_CLOEXEC) };
    assert!(fd >= 0);
    // SAFETY: the kernel has just made this descriptor for us.
    let file = unsafe { File::from_raw_fd(fd) };
    file.set_len(size.try_into().unwrap()).unwrap();
    for len in [1, page() + 1, size / 2, size] {
        // SAFETY: the tests' files are their own.
        let map = unsafe { MmapOptions::new().len(len).map_mut(&file) }.unwrap();
        let address = map.as_ptr().addr();
        drop(map.make_read_only().unwrap());
        let line = format!("{address:x}-{:x} ", address + size);
        assert!(!fs::read_to_string("/proc/self/maps").unwrap().contains(&line), "{len} bytes");
    }
}

/// Something whose descriptor changes each time it is asked for.
struct Changeling {
    first: RawFd,
    then: RawFd,
    asked: Cell<u32>,
}

impl AsRawFd for Changeling {
    fn as_raw_fd(&self) -> RawFd {
        self.asked.set(self.asked.get() + 1);
        if self.asked.get() == 1 { self.first } else { self.then }
    }
}

#[test]
fn what_was_found_safe_is_what_is_mapped() {
    let sealed = memory_file(b"nobody can change this");
    assert!(seal(&sealed, libc::F_SEAL_SHRINK | libc::F_SEAL_WRITE));
    let open = memory_file(b"anybody");
    let (first, then) = (sealed.as_raw_fd(), open.as_raw_fd());
    let changeling = Changeling { first, then, asked: Cell::new(0) };
    assert_eq!(&Mmap::map_if_safe(&changeling).unwrap()[..], b"nobody can change this");
    let changeling = Changeling { first: then, then: first, asked: Cell::new(0) };
    let refused = Mmap::map_if_safe(&changeling).unwrap_err();
    assert!(refused.not_safe());
    let wanted = "not safe to map: the file in memory lacks F_SEAL_SHRINK and F_SEAL_WRITE";
    assert_eq!(refused.to_string(), wanted);
}

#[test]
fn no_signal_handler_is_installed() {
    let scratch = Scratch::new();
    let mut file = scratch.of_len(0);
    let handler = || {
        // SAFETY: all zeros are a valid structure.
        let mut action: libc::sigaction = unsafe { std::mem::zeroed() };
        // SAFETY: asks for the present action and changes nothing.
        unsafe { libc::sigaction(libc::SIGBUS, std::ptr::null(), &raw mut action) };
        action.sa_sigaction
    };
    let before = handler();
    file.write_all(b"abc").unwrap();
    assert_eq!(MmapRaw::map_raw(&file).unwrap().len(), 3);
    assert_eq!(handler(), before);
}
