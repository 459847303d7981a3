//! What other threads do for a map: bring its pages in, and unmap what is large.

use crate::support::own_maps;
use crate::support::process::{self, Parent};
use crate::support::skip::{Need, Skip};
use crate::support::suite::{Verdict, role, suite};
use crate::support::watchdog::until;
use crate::support::{random::Random, scratch};
use mapwright::{Map, MapOptions, Memory, Populate, ReadWrite, Unmap};
use std::fs::File;

suite!(
    tests: [
        memory_becomes_resident_without_being_touched,
        file_becomes_resident_without_being_touched,
        helper_never_stands_in_the_way,
        large_maps_are_gone_when_their_end_says_so,
    ],
    roles: [change_at_once, drop_large_maps],
);

const MIB: usize = 1 << 20;

/// Large enough to be unmapped by another thread.
const LARGE: usize = 128 * MIB;

fn in_background() -> MapOptions {
    // The guard keeps the kernel from merging it with a neighbour, whose pages would be counted too.
    MapOptions::new().populate(Populate::InBackground).guard(4096)
}

fn resident_bytes(address: usize) -> usize {
    own_maps::at(address).unwrap().bytes("Rss")
}

/// Whether the kernel can bring memory in at all without its being touched.
fn can_populate() -> Verdict {
    let memory = MapOptions::new().populate(Populate::Now).guard(4096).memory(MIB).unwrap();
    match resident_bytes(memory.as_ptr().addr()) {
        0 => Err(Skip::new(Need::Populate, "this kernel ignored MADV_POPULATE_WRITE (Linux 5.14)")),
        resident => {
            assert_eq!(resident, MIB);
            Ok(())
        }
    }
}

fn memory_becomes_resident_without_being_touched() -> Verdict {
    can_populate()?;
    // The pieces of the helper's work, and one that is not whole.
    for len in [1, 4 * MIB, 21 * MIB + 5] {
        let memory = in_background().memory(len).unwrap();
        let address = memory.as_ptr().addr();
        until("all of the memory is resident", || resident_bytes(address) == len.next_multiple_of(4096));
        assert!(memory.iter().all(|&byte| byte == 0));
        let shared = in_background().shared_memory(len).unwrap();
        let address = shared.as_ptr().addr();
        until("all of the shared memory is resident", || {
            resident_bytes(address) == len.next_multiple_of(4096)
        });
    }
    Ok(())
}

fn file_becomes_resident_without_being_touched() {
    let folder = scratch::folder();
    let len = 9 * MIB + 5;
    let path = scratch::file(&folder, "file", &scratch::pattern(len));
    let whole = len.next_multiple_of(4096);
    let read = in_background().open(&path).unwrap();
    let private = in_background().map_copy(File::open(&path).unwrap()).unwrap();
    let written = in_background().open_mut(&path).unwrap();
    for address in [read.as_ptr().addr(), private.as_ptr().addr(), written.as_ptr().addr()] {
        until("all of the file is resident", || resident_bytes(address) == whole);
    }
    assert!(read.view().equals(&scratch::pattern(len)).unwrap(), "populating changed the file");
}

/// A change, or the end, of what was mapped a moment ago.
type Change<M> = (&'static str, fn(M));

/// Whatever is done to memory while a helper is still at work on it.
const CHANGES: &[Change<Memory>] = &[
    ("drop", drop),
    ("write", |mut memory| {
        memory.fill(1);
        assert!(memory.iter().all(|&byte| byte == 1));
    }),
    ("shorten and lengthen", |mut memory| {
        let len = memory.len();
        let before = memory.len() / 2 + 5;
        memory.fill(1);
        memory.resize(before).unwrap();
        memory.resize(len).unwrap();
        assert!(memory[..before].iter().all(|&byte| byte == 1));
        assert!(memory[before..].iter().all(|&byte| byte == 0));
    }),
    ("freeze", |mut memory| {
        let last = memory.len() - 1;
        memory[last] = 7;
        let frozen = memory.freeze();
        assert_eq!((frozen[0], frozen[last]), (0, 7));
    }),
    ("run", |memory| {
        let map = memory.into_executable().unwrap();
        assert_eq!(map.view().load::<u8>(map.len() - 1).unwrap(), 0);
        assert_eq!(own_maps::at(map.as_ptr().addr()).unwrap().access, "r-xp");
        let mut memory = map.into_memory().unwrap();
        memory.fill(1);
    }),
];

/// The same for maps of files.
const FILE_CHANGES: &[Change<Map<ReadWrite>>] = &[
    ("drop", drop),
    ("close", |map| map.close().unwrap()),
    ("split", |map| {
        let (first, second) = map.split(8 * MIB).unwrap();
        drop(first);
        second.view().store(0, 1u8).unwrap();
    }),
    ("retype", |map| {
        let map = map.into_read_only().unwrap();
        assert_eq!(own_maps::at(map.as_ptr().addr()).unwrap().access, "r--s");
    }),
    ("move", |mut map| {
        map.resize(40 * MIB).unwrap();
        map.view().store(40 * MIB - 1, 1u8).unwrap();
        map.resize(32 * MIB).unwrap();
    }),
    ("raw", |map| {
        let raw = map.into_raw();
        assert_eq!(raw.len, 32 * MIB);
    }),
];

const ROUNDS: usize = 5;

/// Makes each change many times at once after the mapping; then nothing is left of what was mapped.
fn change_at_once(parent: &mut Parent) {
    let folder = scratch::folder();
    let path = scratch::file(&folder, "file", &[]);
    File::options().write(true).open(&path).unwrap().set_len(u64::try_from(32 * MIB).unwrap()).unwrap();
    let mut random = Random::of_seed(1);
    for _ in 0..ROUNDS {
        for (_, change) in CHANGES {
            change(in_background().memory(24 * MIB + random.below(16 * MIB)).unwrap());
        }
        for (_, change) in FILE_CHANGES {
            change(in_background().open_mut(&path).unwrap());
        }
    }
    // What was handed out raw stays; helpers let go of the rest.
    let large = |kind: char| {
        let is_left =
            |mapping: &own_maps::Mapping| mapping.range.len() > 16 * MIB && mapping.access != "---p";
        own_maps::all().iter().filter(|mapping| is_left(mapping) && mapping.access.ends_with(kind)).count()
    };
    until("all memory is unmapped", || large('p') == 0);
    until("all maps of the file are unmapped", || large('s') == ROUNDS);
    parent.say(format!("{} changes were made", ROUNDS * (CHANGES.len() + FILE_CHANGES.len())));
}

fn helper_never_stands_in_the_way() {
    let report = process::run(role!(change_at_once), &[]);
    print!("  {}", report.assert_ok().said);
}

/// Touched, dropped, and looked for, in a process where nobody else maps anything in between.
fn drop_large_maps(parent: &mut Parent) {
    // The watchdog's thread gets its memory before, so that it cannot take the place of a map that is gone.
    until("the watchdog runs", || true);
    let folder = scratch::folder();
    let path = scratch::file(&folder, "file", &[]);
    File::options().write(true).open(&path).unwrap().set_len(u64::try_from(LARGE).unwrap()).unwrap();
    for when in [Unmap::AtOnce, Unmap::InBackground] {
        for populate in [Populate::Lazily, Populate::Now, Populate::InBackground] {
            for guard in [0, 4096] {
                let options = MapOptions::new().unmap(when).populate(populate).guard(guard);
                let mut memory = options.memory(LARGE).unwrap();
                memory.iter_mut().step_by(4096).for_each(|byte| *byte = 1);
                gone(&options, memory.as_ptr().addr(), when, || drop(memory));
                let map = options.open_mut(&path).unwrap();
                map.view().fill(..4 * MIB, 1).unwrap();
                gone(&options, map.as_ptr().addr(), when, || drop(map));
            }
        }
        parent.say(format!("{when:?}: gone"));
    }
}

#[track_caller]
fn gone(options: &MapOptions, address: usize, when: Unmap, end: impl FnOnce()) {
    let range = address..address + LARGE;
    assert!(own_maps::is_any_in(&range));
    end();
    match when {
        Unmap::AtOnce => assert!(!own_maps::is_any_in(&range), "{range:x?} is still mapped: {options:?}"),
        Unmap::InBackground => until("it is unmapped", || !own_maps::is_any_in(&range)),
    }
}

fn large_maps_are_gone_when_their_end_says_so() {
    let report = process::run(role!(drop_large_maps), &[]);
    report.assert_ok();
    assert_eq!(report.said, "AtOnce: gone\nInBackground: gone\n");
}
