//! What options do, as the kernel shows it in `/proc/self/smaps`: places, guards, permissions, and the words
//! that it keeps about a mapping.

use crate::support::own_maps::{self, Mapping};
use crate::support::plain_map;
use crate::support::process::{self, Parent};
use crate::support::scratch;
use crate::support::skip::{Need, Skip};
use crate::support::suite::{Verdict, role, suite};
use mapwright::{Access, Commitment, CoreDump, Map, MapOptions, Memory, Placement};
use std::fs::File;
use std::ops::Range;

suite!(
    tests: [
        free_place_nearby_is_taken_and_a_taken_one_is_left_alone,
        core_dumps_leave_out_what_was_excluded,
        pages_that_are_not_charged_are_marked_so,
        guards_lie_on_both_sides_of_whatever_is_mapped,
        access_just_beyond_a_guarded_map_dies,
        executable_map_is_never_writable_on_the_way_there_and_back,
    ],
    roles: [map_nearby, go_beyond],
);

const PAGE: usize = 4096;

/// What every kind of map has: an address, and a number of bytes.
trait Placed {
    fn place(&self) -> (usize, usize);
}

impl<A: Access> Placed for Map<A> {
    fn place(&self) -> (usize, usize) {
        (self.as_ptr().addr(), self.len())
    }
}

impl Placed for Memory {
    fn place(&self) -> (usize, usize) {
        (self.as_ptr().addr(), self.len())
    }
}

/// One of each kind of map, of at most three pages each, by these options.
fn one_of_each(options: &MapOptions) -> Vec<(&'static str, Box<dyn Placed>)> {
    let folder = scratch::folder();
    let path = scratch::file(&folder, "file", &scratch::pattern(3 * PAGE - 5));
    let file = || File::open(&path).unwrap();
    vec![
        ("a file, read", Box::new(options.open(&path).unwrap())),
        ("a file from its middle, read", Box::new(options.clone().offset(5_000).open(&path).unwrap())),
        ("a file, written", Box::new(options.open_mut(&path).unwrap())),
        ("a file, private", Box::new(options.map_private(file()).unwrap())),
        ("a file, copied on write", Box::new(options.map_copy(file()).unwrap())),
        ("a file, executable", Box::new(options.map_exec(file()).unwrap())),
        ("memory", Box::new(options.memory(2 * PAGE + 1).unwrap())),
        ("shared memory", Box::new(options.shared_memory(3 * PAGE).unwrap())),
    ]
}

/// The kernel's mapping that has the first byte.
fn mapping_of(map: &dyn Placed) -> Mapping {
    own_maps::at(map.place().0).unwrap()
}

/// In a process with one thread: nobody else takes the place in between.
fn map_nearby(_parent: &mut Parent) {
    // Far from where the kernel would put a map by itself, which is beside the last one.
    let beside = MapOptions::new().memory(PAGE).unwrap();
    let place = beside.as_ptr().addr() - (3 << 30);
    let folder = scratch::folder();
    let path = scratch::file(&folder, "file", &[7; 2 * PAGE]);
    assert!(!own_maps::is_any_in(&(place - 16 * PAGE..place + 16 * PAGE)));
    for guard in [0, PAGE] {
        let near = MapOptions::new().placement(Placement::Near(place + 123)).guard(guard);
        let mut memory = near.memory(2 * PAGE).unwrap();
        assert_eq!(memory.as_ptr().addr(), place, "guard {guard}");
        memory.fill(5);
        let moved = [near.open(&path).unwrap(), near.open(&path).unwrap()];
        for map in &moved {
            assert_ne!(map.as_ptr().addr(), place);
            assert!(map.view().equals(&[7; 2 * PAGE]).unwrap());
        }
        assert!(memory.iter().all(|&byte| byte == 5), "what was there was replaced");
    }
    let file = MapOptions::new().placement(Placement::Near(place)).open(&path).unwrap();
    assert_eq!(file.as_ptr().addr(), place, "the place is free again");
}

fn free_place_nearby_is_taken_and_a_taken_one_is_left_alone() {
    process::run(role!(map_nearby), &[]).assert_ok();
}

fn core_dumps_leave_out_what_was_excluded() {
    for (dump, is_marked) in [(CoreDump::Include, false), (CoreDump::Exclude, true)] {
        for (name, map) in one_of_each(&MapOptions::new().guard(PAGE).core_dump(dump)) {
            let mapping = mapping_of(&*map);
            assert_eq!(mapping.has_flag("dd"), is_marked, "{dump:?}, {name}: {mapping:?}");
        }
    }
}

fn pages_that_are_not_charged_are_marked_so() -> Verdict {
    const STRICT: &str = "2";
    let policy = std::fs::read_to_string("/proc/sys/vm/overcommit_memory").unwrap();
    if policy.trim() == STRICT {
        return Err(Skip::new(Need::Overcommit, "vm.overcommit_memory is 2: everything is charged"));
    }
    for (commitment, is_marked) in [(Commitment::Charged, false), (Commitment::NotCharged, true)] {
        for (name, map) in one_of_each(&MapOptions::new().guard(PAGE).commitment(commitment)) {
            let mapping = mapping_of(&*map);
            assert_eq!(mapping.has_flag("nr"), is_marked, "{commitment:?}, {name}: {mapping:?}");
        }
    }
    // More than any machine has, where the kernel guesses; each page comes when it is touched.
    let mut memory = MapOptions::new().commitment(Commitment::NotCharged).memory(8 << 40).unwrap();
    memory[7 << 40] = 1;
    assert_eq!(memory[(7 << 40) + 1], 0);
    Ok(())
}

fn guards_lie_on_both_sides_of_whatever_is_mapped() {
    for guard in [1, PAGE, 10_000] {
        for (name, map) in one_of_each(&MapOptions::new().guard(guard)) {
            let (start, len) = map.place();
            let mappings = own_maps::all();
            let at = mappings.iter().position(|mapping| mapping.range.contains(&start)).unwrap();
            let [before, body, after] = &mappings[at - 1..=at + 1] else { unreachable!() };
            let what = format!("{guard} bytes around {name}: {before:?}\n{body:?}\n{after:?}");
            assert_ne!(body.access, "---p", "{what}");
            // Whole pages and no more: the first inaccessible byte is behind the last page.
            let pages = start / PAGE * PAGE..(start + len).next_multiple_of(PAGE);
            assert_eq!(body.range, pages, "{what}");
            assert_eq!((before.access.as_str(), after.access.as_str()), ("---p", "---p"), "{what}");
            assert_eq!((before.range.end, after.range.start), (pages.start, pages.end), "{what}");
            assert!(before.range.len() >= guard && after.range.len() >= guard, "{what}");
        }
    }
}

/// Touches a guard's nearest byte by a plain load: which of the kinds of map, and on which side.
fn go_beyond(parent: &mut Parent) {
    let maps = one_of_each(&MapOptions::new().guard(PAGE));
    let (_, map) = &maps[parent.arg(0).parse::<usize>().unwrap()];
    let (start, len) = map.place();
    let (first, end) = (start / PAGE * PAGE, (start + len).next_multiple_of(PAGE));
    for inside in [first, end - 1] {
        plain_map::load_anywhere(inside);
    }
    parent.say("inside is fine");
    plain_map::load_anywhere(if parent.arg(1) == "before" { first - 1 } else { end });
}

fn access_just_beyond_a_guarded_map_dies() {
    for number in 0..one_of_each(&MapOptions::new()).len() {
        for side in ["before", "behind"] {
            let report = process::run(role!(go_beyond), &[&number.to_string(), side]);
            report.assert_died_of(libc::SIGSEGV);
            assert_eq!(report.said, "inside is fine\n", "{side}: {report}");
        }
    }
}

/// The mappings that can be both written and run. An emulator's process may have some.
fn written_and_run() -> Vec<Range<usize>> {
    let mappings = own_maps::all().into_iter();
    let both = mappings.filter(|mapping| mapping.access.contains('w') && mapping.access.contains('x'));
    both.map(|mapping| mapping.range).collect()
}

fn executable_map_is_never_writable_on_the_way_there_and_back() {
    let folder = scratch::folder();
    let bytes = scratch::pattern(2 * PAGE);
    let path = scratch::file(&folder, "code", &bytes);
    let before = written_and_run();
    let access_of = |map: &dyn Placed| {
        assert_eq!(written_and_run(), before);
        mapping_of(map).access
    };
    for guard in [0, PAGE] {
        let options = MapOptions::new().offset(100).guard(guard);
        let map = options.map_exec(File::open(&path).unwrap()).unwrap();
        assert_eq!(access_of(&map), "r-xp");
        let map = map.into_copy_on_write().unwrap();
        assert_eq!(access_of(&map), "rw-p");
        map.view().store(8_000, [1u8; 50]).unwrap();
        let map = map.into_executable().unwrap();
        assert_eq!(access_of(&map), "r-xp");
        let mut expected = bytes[100..].to_vec();
        expected[8_000..8_050].fill(1);
        assert_eq!(map.view().to_vec().unwrap(), expected);
        let map = map.into_copy_on_write().unwrap();
        assert_eq!(access_of(&map), "rw-p");
        map.view().store(0, 2u8).unwrap();
        assert!(std::fs::read(&path).unwrap() == bytes, "a private store reached the file");

        let mut memory = MapOptions::new().guard(guard).memory(PAGE + 1).unwrap();
        memory.fill(3);
        let map = memory.into_executable().unwrap();
        assert_eq!(access_of(&map), "r-xp");
        let mut memory = map.into_memory().unwrap();
        assert_eq!(access_of(&memory), "rw-p");
        assert!(memory.iter().all(|&byte| byte == 3));
        memory.fill(4);
    }
}
