//! What a forked child gets of its parent's maps, and what it must not touch.

use crate::support::process::{self, Ended, Parent};
use crate::support::suite::{role, suite};
use crate::support::{fork, own_maps, scratch};
use mapwright::{Advice, ErrorKind, FaultKind, ForkPolicy, Map, MapOptions, Memory, mapped_here};
use std::fs::File;
use std::sync::atomic::Ordering;

suite!(
    tests: [forked_children_get_what_was_promised],
    roles: [
        inherited_map_is_shared,
        map_that_is_not_inherited_is_gone,
        child_never_maps_or_unmaps_where_it_did_not_inherit,
        holes_are_where_the_maps_are,
        wiped_memory_is_zero_in_the_child_only,
        private_memory_is_the_childs_own,
        child_maps_and_unmaps_for_itself,
        child_registers_its_own_maps,
        large_map_is_unmapped_in_the_child,
        grandchildren_too,
    ],
);

/// Each in a process of its own, which has one thread when it forks (two where one unmaps).
const ROLES: &[&str] = &[
    role!(inherited_map_is_shared),
    role!(map_that_is_not_inherited_is_gone),
    role!(child_never_maps_or_unmaps_where_it_did_not_inherit),
    role!(holes_are_where_the_maps_are),
    role!(wiped_memory_is_zero_in_the_child_only),
    role!(private_memory_is_the_childs_own),
    role!(child_maps_and_unmaps_for_itself),
    role!(child_registers_its_own_maps),
    role!(large_map_is_unmapped_in_the_child),
    role!(grandchildren_too),
];

fn forked_children_get_what_was_promised() {
    for role in ROLES {
        let report = process::run(role, &[]);
        assert_eq!(report.ended, Ended::Exit(0), "{role}: {report}");
    }
}

const OK: Ended = Ended::Exit(0);

fn inherited_map_is_shared(_parent: &mut Parent) {
    let map = MapOptions::new().shared_memory(4096).unwrap();
    let ended = fork::run(|| {
        map.view().atomic::<u64>(8).unwrap().store(5, Ordering::Release).unwrap();
    });
    assert_eq!(ended, OK);
    assert_eq!(map.view().atomic::<u64>(8).unwrap().load(Ordering::Acquire).unwrap(), 5);
}

fn map_that_is_not_inherited_is_gone(_parent: &mut Parent) {
    let folder = scratch::folder();
    let path = scratch::file(&folder, "file", &[7; 10_000]);
    let map = MapOptions::new().fork(ForkPolicy::DontFork).open_mut(&path).unwrap();
    let ended = fork::run(|| {
        assert_eq!(map.view().load::<u64>(4096).unwrap_err().kind(), FaultKind::Gone);
        assert_eq!(map.view().store(4096, 1u8).unwrap_err().kind(), FaultKind::Gone);
        assert_eq!(map.view().fill(.., 1).unwrap_err().kind(), FaultKind::Gone);
        assert_eq!(map.view().atomic::<u32>(0).unwrap().fetch_add(1).unwrap_err().kind(), FaultKind::Gone);
        assert_eq!(map.view().find(b"x").unwrap_err().kind(), FaultKind::Gone);
    });
    assert_eq!(ended, OK);
    assert_eq!(map.view().load::<u8>(4096).unwrap(), 7);
}

/// Where the parent's map is, nothing of the child's may come to lie: a view that was inherited would reach
/// it.
fn child_never_maps_or_unmaps_where_it_did_not_inherit(_parent: &mut Parent) {
    let map = MapOptions::new().fork(ForkPolicy::DontFork).shared_memory(1 << 20).unwrap();
    let part = MapOptions::new().shared_memory(1 << 20).unwrap();
    part.advise(Advice::DontFork, 4096..8192).unwrap();
    let place = map.as_ptr().addr();
    let mut map = Some(map);
    let ended = fork::run(|| {
        for taken in [place, part.as_ptr().addr() + 4096] {
            let there = MapOptions::new().placement(mapwright::Placement::Exactly(taken)).memory(4096);
            assert_eq!(there.unwrap_err().kind(), ErrorKind::AlreadyExists);
        }
        assert_eq!(part.view().load::<u8>(4096).unwrap_err().kind(), FaultKind::Gone);
        assert_eq!(part.view().load::<u8>(8192).unwrap(), 0);
        drop(map.take());
        assert!(own_maps::at(place).is_some(), "the child has unmapped what is not its own");
    });
    assert_eq!(ended, OK);
    map.unwrap().view().fill(.., 1).unwrap();
}

/// The table of what children lack follows a map that moves, is split, shared again and unmapped.
fn holes_are_where_the_maps_are(_parent: &mut Parent) {
    let folder = scratch::folder();
    let path = scratch::file(&folder, "file", &[7; 4 * 4096]);
    let dont_fork = || MapOptions::new().fork(ForkPolicy::DontFork);
    let mut moved = dont_fork().open_mut(&path).unwrap();
    moved.resize(64 << 20).unwrap();
    // Said piece by piece, it is moved as a whole all the same.
    let mut pieces = MapOptions::new().open_mut(&path).unwrap();
    pieces.advise(Advice::DontFork, ..4096).unwrap();
    pieces.advise(Advice::DontFork, 4096..).unwrap();
    pieces.resize(64 << 20).unwrap();
    let (left, right) = dont_fork().open_mut(&path).unwrap().split(8192).unwrap();
    let shared = dont_fork().open_mut(&path).unwrap();
    shared.advise(Advice::DoFork, ..).unwrap();
    let gone = dont_fork().open_mut(&path).unwrap();
    let was = gone.as_ptr().addr();
    gone.close().unwrap();
    drop(left);
    let is_free = own_maps::at(was).is_none();
    let ended = fork::run(|| {
        assert_eq!(moved.view().load::<u8>(0).unwrap_err().kind(), FaultKind::Gone);
        assert_eq!(right.view().load::<u8>(0).unwrap_err().kind(), FaultKind::Gone);
        assert_eq!(pieces.view().load::<u8>(8192).unwrap_err().kind(), FaultKind::Gone);
        assert_eq!(shared.view().load::<u8>(0).unwrap(), 7);
        let inside = |map: &Map<mapwright::ReadWrite>| map.as_ptr().addr() + (32 << 20);
        let taken = [inside(&moved), inside(&pieces), right.as_ptr().addr()];
        let places = taken.map(|place| (place, false)).into_iter().chain([(was, is_free)]);
        for (place, is_free) in places {
            let there = MapOptions::new().placement(mapwright::Placement::Exactly(place)).memory(4096);
            assert_eq!(there.is_ok(), is_free, "{place:#x}");
        }
    });
    assert_eq!(ended, OK);
}

fn wiped_memory_is_zero_in_the_child_only(_parent: &mut Parent) {
    let mut memory = MapOptions::new().fork(ForkPolicy::Wipe).memory(10_000).unwrap();
    memory.fill(9);
    assert_eq!(fork::run(|| assert!(memory.iter().all(|&byte| byte == 0))), OK);
    assert!(memory.iter().all(|&byte| byte == 9));
}

fn private_memory_is_the_childs_own(_parent: &mut Parent) {
    let mut memory = Memory::new(10_000).unwrap();
    memory.fill(9);
    let ended = fork::run(|| {
        assert!(memory.iter().all(|&byte| byte == 9));
        memory.fill(8);
    });
    assert_eq!(ended, OK);
    assert!(memory.iter().all(|&byte| byte == 9));
}

fn child_maps_and_unmaps_for_itself(_parent: &mut Parent) {
    let folder = scratch::folder();
    let path = scratch::file(&folder, "file", &[7; 10_000]);
    let before = Map::open(&path).unwrap();
    let ended = fork::run(|| {
        let own = Map::open(&path).unwrap();
        assert!(own.view().equals(&[7; 10_000]).unwrap());
        File::options().write(true).open(&path).unwrap().set_len(0).unwrap();
        assert_eq!(own.view().load::<u8>(0).unwrap_err().kind(), FaultKind::Truncated);
        own.close().unwrap();
    });
    assert_eq!(ended, OK);
    assert_eq!(before.view().load::<u8>(0).unwrap_err().kind(), FaultKind::Truncated);
}

/// A lock of the registry that the parent held at the fork is not the child's.
fn child_registers_its_own_maps(_parent: &mut Parent) {
    let folder = scratch::folder();
    let path = scratch::file(&folder, "file", &[7; 10_000]);
    let file = File::open(&path).unwrap();
    let parents = Map::open(&path).unwrap();
    assert_eq!(mapped_here(&file).unwrap(), 1);
    let ended = fork::run(|| {
        let own = Map::open(&path).unwrap();
        let count = mapped_here(&file).unwrap();
        drop(own);
        assert_eq!(mapped_here(&file).unwrap(), count - 1);
    });
    assert_eq!(ended, OK);
    drop(parents);
    assert_eq!(mapped_here(&file).unwrap(), 0);
}

/// The thread that unmaps what is large does not exist in the child.
fn large_map_is_unmapped_in_the_child(_parent: &mut Parent) {
    // The parent has a thread that unmaps; the child has none, and knows that.
    let before = MapOptions::new().shared_memory(128 << 20).unwrap();
    before.view().store(0, 1u8).unwrap();
    let place = before.as_ptr().addr();
    drop(before);
    crate::support::watchdog::until("the parent has unmapped a range", || own_maps::at(place).is_none());
    let large = MapOptions::new().shared_memory(128 << 20).unwrap();
    large.view().store(0, 1u8).unwrap();
    let mut large = Some(large);
    let ended = fork::run(|| {
        let place = large.as_ref().unwrap().as_ptr().addr();
        drop(large.take());
        crate::support::watchdog::until("the child has unmapped the range", || {
            !own_maps::is_any_in(&(place..place + 1))
        });
    });
    assert_eq!(ended, OK);
    large.unwrap().view().store(0, 1u8).unwrap();
}

fn grandchildren_too(_parent: &mut Parent) {
    let map = MapOptions::new().fork(ForkPolicy::DontFork).shared_memory(4096).unwrap();
    let ended = fork::run(|| {
        let own = MapOptions::new().fork(ForkPolicy::DontFork).shared_memory(4096).unwrap();
        own.view().store(0, 1u8).unwrap();
        let ended = fork::run(|| {
            assert_eq!(map.view().load::<u8>(0).unwrap_err().kind(), FaultKind::Gone);
            assert_eq!(own.view().load::<u8>(0).unwrap_err().kind(), FaultKind::Gone);
        });
        assert_eq!(ended, OK);
        assert_eq!(own.view().load::<u8>(0).unwrap(), 1);
    });
    assert_eq!(ended, OK);
}
