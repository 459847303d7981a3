//! A really full file system: growing is an error, a store into a hole is `NoSpace`, nothing dies and nothing
//! is lost.

use crate::support::random::Random;
use crate::support::suite::{Verdict, suite};
use crate::support::tmpfs::Tmpfs;
use mapwright::{ErrorKind, Fault, FaultKind, Map, MapOptions, MapVec, MapVecOptions, ReadWrite, View};
use std::io::{Seek, SeekFrom, Write};
use std::sync::atomic::Ordering;

suite!(
    tests: [
        store_into_a_hole_is_no_space_whatever_the_store,
        store_works_once_there_is_space_again,
        fill_up_to_the_hole_was_done,
        load_from_a_hole_is_no_space,
        creating_fails_and_leaves_nothing_behind,
        growing_is_an_error_that_leaves_the_map_as_it_was,
        array_keeps_what_was_pushed_until_there_is_room,
    ],
    roles: [],
);

const SIZE: u64 = 8 << 20;
const HOLE: usize = 1 << 20;

/// A full tmpfs with a hole in it that is mapped; gone with all of it, the hole's map goes first.
struct FullDisk {
    map: Map<ReadWrite>,
    tmpfs: Tmpfs,
    full: std::path::PathBuf,
}

impl FullDisk {
    fn new() -> Result<Self, crate::support::skip::Skip> {
        let tmpfs = Tmpfs::of_bytes(SIZE)?;
        let hole = tmpfs.hole("hole", u64::try_from(HOLE).unwrap());
        let map = Map::open_mut(hole).unwrap();
        let (full, _) = tmpfs.fill("full");
        Ok(Self { map, tmpfs, full })
    }

    fn view(&self) -> View<'_, ReadWrite> {
        self.map.view()
    }
}

/// One way to write eight bytes.
type Store = fn(View<'_, ReadWrite>, usize) -> Result<(), Fault>;

const STORES: &[(&str, Store)] = &[
    ("store u8", |view, at| view.store(at, 1u8)),
    ("store u16", |view, at| view.store(at, 1u16)),
    ("store u32", |view, at| view.store(at, 1u32)),
    ("store u64", |view, at| view.store(at, 1u64)),
    ("store [u8; 24]", |view, at| view.store(at, [1u8; 24])),
    ("store_slice", |view, at| view.store_slice(at, &[1u64; 9])),
    ("copy_from", |view, at| view.copy_from(at, &[1; 1000])),
    ("fill", |view, at| view.fill(at..at + 3000, 1)),
    ("atomic store", |view, at| view.atomic::<u64>(at)?.store(1, Ordering::Release)),
    ("atomic swap", |view, at| view.atomic::<u32>(at)?.swap(1).map(drop)),
    ("atomic fetch_add", |view, at| view.atomic::<u16>(at)?.fetch_add(1).map(drop)),
    ("atomic compare_exchange", |view, at| view.atomic::<u8>(at)?.compare_exchange(0, 1).map(drop)),
    ("cursor write", |view, at| {
        let mut cursor = view.cursor();
        cursor.seek(SeekFrom::Start(u64::try_from(at).unwrap())).unwrap();
        let error = match cursor.write(&[1; 100]) {
            Ok(_) => return Ok(()),
            Err(error) => error,
        };
        assert_eq!(error.kind(), std::io::ErrorKind::StorageFull);
        Err(*error.get_ref().and_then(|inner| inner.downcast_ref()).unwrap())
    }),
];

fn store_into_a_hole_is_no_space_whatever_the_store() -> Verdict {
    let disk = FullDisk::new()?;
    let mut random = Random::stream(0);
    for (name, store) in STORES {
        for _ in 0..10 {
            let at = random.below((HOLE - 4096) / 8) * 8;
            let fault = store(disk.view(), at).expect_err(name);
            assert_eq!(fault.kind(), FaultKind::NoSpace, "{name} at {at}: {fault}");
            assert_eq!(fault.raw_os_error(), Some(libc::ENOSPC), "{name}");
            assert_eq!(fault.offset(), at, "{name}");
        }
    }
    assert_eq!(
        std::fs::metadata(disk.tmpfs.path().join("hole")).unwrap().len(),
        u64::try_from(HOLE).unwrap()
    );
    Ok(())
}

fn store_works_once_there_is_space_again() -> Verdict {
    let disk = FullDisk::new()?;
    assert_eq!(disk.view().store(8192, 1u64).unwrap_err().kind(), FaultKind::NoSpace);
    std::fs::remove_file(&disk.full).unwrap();
    for (number, (name, store)) in STORES.iter().enumerate() {
        store(disk.view(), 4096 * (1 + number)).unwrap_or_else(|fault| panic!("{name}: {fault}"));
        assert_eq!(disk.view().load::<u8>(4096 * (1 + number)).unwrap(), 1, "{name}");
    }
    Ok(())
}

fn fill_up_to_the_hole_was_done() -> Verdict {
    let tmpfs = Tmpfs::of_bytes(SIZE)?;
    let path = tmpfs.hole("hole", u64::try_from(HOLE).unwrap());
    let map = Map::open_mut(&path).unwrap();
    map.view().fill(..3 * 4096, 7).unwrap();
    tmpfs.fill("full");
    let bytes = vec![9; HOLE - 100];
    let fill: &dyn Fn() -> Result<(), Fault> = &|| map.view().fill(100..HOLE, 9);
    let copy: &dyn Fn() -> Result<(), Fault> = &|| map.view().copy_from(100, &bytes);
    for (name, write) in [("fill", fill), ("copy_from", copy)] {
        let fault = write().expect_err(name);
        assert_eq!((fault.kind(), fault.offset()), (FaultKind::NoSpace, 3 * 4096), "{name}");
        assert!(map.view().sub(100..3 * 4096).unwrap().equals(&[9; 3 * 4096 - 100]).unwrap(), "{name}");
        map.view().fill(100..3 * 4096, 7).unwrap();
    }
    Ok(())
}

/// One way to read eight bytes, of which each must be zero.
type Load = fn(View<'_, ReadWrite>, usize) -> Result<[u8; 8], Fault>;

const LOADS: &[(&str, Load)] = &[
    ("load", |view, at| view.load(at)),
    ("copy_to", |view, at| {
        let mut bytes = [1; 8];
        view.copy_to(at, &mut bytes).map(|()| bytes)
    }),
    ("load_many", |view, at| {
        let mut words = [1u64; 2];
        view.load_many(&[at, at], &mut words).map(|()| words[1].to_ne_bytes())
    }),
    ("atomic load", |view, at| Ok(view.atomic::<u64>(at)?.load(Ordering::Acquire)?.to_ne_bytes())),
    ("find_byte", |view, at| {
        let found = view.sub(at..at + 8)?.find_byte(1)?;
        Ok([u8::from(found.is_some()); 8])
    }),
];

/// tmpfs makes a page for a hole that is only read through a map, too. A kernel that shows zeros instead
/// would be as right.
fn load_from_a_hole_is_no_space() -> Verdict {
    let disk = FullDisk::new()?;
    let (mut zeros, mut faults) = (0, 0);
    for (number, (name, load)) in LOADS.iter().enumerate() {
        for page in 0..10 {
            let at = (number * 10 + page) * 4096 + 64;
            match load(disk.view(), at) {
                Ok(bytes) => {
                    assert_eq!(bytes, [0; 8], "{name} at {at}");
                    zeros += 1;
                }
                Err(fault) => {
                    // A fault of a part counts from the part.
                    assert_eq!(fault.kind(), FaultKind::NoSpace, "{name} at {at}: {fault}");
                    assert_eq!(fault.raw_os_error(), Some(libc::ENOSPC), "{name} at {at}: {fault}");
                    assert_eq!(fault.file_offset(), u64::try_from(at).unwrap(), "{name} at {at}: {fault}");
                    faults += 1;
                }
            }
        }
    }
    println!("  {zeros} loads gave zeros, {faults} faults");
    assert_eq!(zeros + faults, LOADS.len() * 10);
    std::fs::remove_file(&disk.full).unwrap();
    for (number, (name, load)) in LOADS.iter().enumerate() {
        assert_eq!(load(disk.view(), number * 10 * 4096 + 64).unwrap(), [0; 8], "{name}");
    }
    Ok(())
}

fn creating_fails_and_leaves_nothing_behind() -> Verdict {
    let disk = FullDisk::new()?;
    let path = disk.tmpfs.path().join("new");
    let error = Map::create(&path, HOLE).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NoSpace, "{error}");
    assert!(error.to_string().contains("new"), "{error}");
    assert!(!path.exists());
    Ok(())
}

fn growing_is_an_error_that_leaves_the_map_as_it_was() -> Verdict {
    let disk = FullDisk::new()?;
    let path = disk.tmpfs.path().join("small");
    std::fs::write(&path, b"").unwrap();
    let map = MapOptions::new().reserve(HOLE).open_mut(&path).unwrap();
    let error = map.grow(HOLE).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NoSpace, "{error}");
    assert!(error.to_string().contains("small"), "{error}");
    assert_eq!((map.len(), std::fs::metadata(&path).unwrap().len()), (0, 0));
    std::fs::remove_file(&disk.full).unwrap();
    map.grow(HOLE).unwrap();
    map.view().fill(.., 1).unwrap();
    Ok(())
}

fn array_keeps_what_was_pushed_until_there_is_room() -> Verdict {
    for options in [MapVecOptions::new(), MapVecOptions::new().headerless()] {
        let tmpfs = Tmpfs::of_bytes(SIZE)?;
        let (path, ballast) = (tmpfs.path().join("array"), tmpfs.path().join("ballast"));
        std::fs::write(&ballast, vec![0xFF; 4 << 20]).unwrap();
        let mut array = options.create::<u64>(&path).unwrap();
        let mut pushed = 0;
        let error = loop {
            match array.push(pushed) {
                Ok(()) => pushed += 1,
                Err(error) => break error,
            }
        };
        println!("  after {pushed} elements: {error}");
        assert_eq!(error.kind(), ErrorKind::NoSpace, "{error}");
        assert!(error.to_string().contains("array"), "{error}");
        // Some were written, and a disk of 4 MiB has no room for more.
        assert!((100_000..600_000).contains(&pushed), "{pushed} elements");
        let is_whole = |array: &MapVec<u64>, count| array.iter().map(Result::unwrap).eq(0..count);
        for again in 0..3 {
            assert!(is_whole(&array, pushed), "attempt {again}: what was pushed is lost");
            for refused in [array.push(pushed), array.spill(), array.extend_from_slice(&[1; 100_000])] {
                assert_eq!(refused.unwrap_err().kind(), ErrorKind::NoSpace);
            }
        }
        // Others see a whole array, too: as much of it as was written.
        let seen = options.open_read_only::<u64>(&path).unwrap();
        let written = u64::try_from(seen.len()).unwrap();
        assert!(written > 0 && written < pushed && seen.iter().map(Result::unwrap).eq(0..written));

        std::fs::remove_file(&ballast).unwrap();
        for number in pushed..pushed + 200_000 {
            array.push(number).unwrap();
        }
        assert!(is_whole(&array, pushed + 200_000));
        array.close().unwrap();
        assert!(is_whole(&options.open(&path).unwrap(), pushed + 200_000));
    }
    Ok(())
}
