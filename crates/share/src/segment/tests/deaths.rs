//! A process is killed at every step of making, attaching and removing.

use mapwright_core::peer::Ordering;

use super::{Cell, Directory, Folder, Segment};
use crate::testing::at_every_point;

fn demand_usable(folder: &Folder, value: u64) {
    let segment = folder.builder("one").with::<Cell>("cell", 7).open_or_create().unwrap();
    assert_eq!(segment.get::<Cell>("cell").unwrap().0.load(Ordering::Acquire), value);
    drop(segment);
    let pruned = folder.directory().prune().unwrap();
    assert_eq!((pruned.removed.len(), pruned.kept.len(), pruned.skipped.len()), (1, 0, 0));
    assert_eq!(std::fs::read_dir(folder.0.path()).unwrap().count(), 0, "nothing leaks");
}

#[test]
fn a_maker_that_dies_has_made_all_or_nothing() {
    at_every_point(
        "segment: create",
        Folder::new,
        |folder, begin| {
            begin();
            drop(folder.make("one"));
        },
        |folder, _| demand_usable(folder, 7),
    );
}

#[test]
fn one_that_dies_while_it_attaches_leaves_no_seat_and_no_lock() {
    at_every_point(
        "segment: open, get, leave",
        || {
            let folder = Folder::new();
            folder.make("one").get::<Cell>("cell").unwrap().0.store(8, Ordering::Release);
            folder
        },
        |folder, begin| {
            let directory: Directory = folder.directory();
            begin();
            let segment: Segment = directory.open("one").unwrap();
            let _cell = segment.get::<Cell>("cell").unwrap();
        },
        |folder, _| demand_usable(folder, 8),
    );
}

#[test]
fn one_that_dies_while_it_removes_has_removed_all_or_nothing() {
    at_every_point(
        "segment: prune",
        || {
            let folder = Folder::new();
            drop(folder.make("one"));
            folder
        },
        |folder, begin| {
            begin();
            folder.directory().prune().unwrap();
        },
        |folder, _| demand_usable(folder, 7),
    );
}
