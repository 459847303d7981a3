//! A process is killed at every step of making, attaching and removing.

use mapwright_core::peer::Ordering;

use super::fixtures::of_boot;
use super::{Attendance, Cell, Directory, Folder, Segment};
use crate::testing::{at_every_pair, at_every_point, at_every_stop};

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

#[test]
fn one_that_dies_while_it_removes_by_name_has_removed_all_or_nothing() {
    at_every_point(
        "segment: remove",
        || {
            let folder = Folder::new();
            drop(folder.make("one"));
            folder
        },
        |folder, begin| {
            begin();
            folder.directory().remove("one").unwrap();
        },
        |folder, point| {
            assert!(point != 0 || !folder.file("one").exists(), "it came to its end");
            demand_usable(folder, 7);
        },
    );
}

#[test]
fn a_child_that_dies_while_it_takes_a_seat_takes_nothing_from_its_parent() {
    at_every_point(
        "segment: reattach, get, leave",
        || {
            let folder = Folder::new();
            // Two seats: the parent's, and the one that every child needs anew.
            let parent = folder.builder("one").with::<Cell>("cell", 7).participants(2).create().unwrap();
            (folder, parent)
        },
        |(_, parent), begin| {
            begin();
            let mine = parent.reattach().unwrap();
            mine.get::<Cell>("cell").unwrap().0.store(8, Ordering::Release);
        },
        |(folder, parent), point| {
            let me = parent.me();
            assert!(parent.is_alive(me) && parent.check().is_ok());
            let next = parent.reattach().unwrap();
            assert!(next.me() != me && parent.is_alive(next.me()));
            let states = parent.participants().into_iter().map(|it| it.state);
            assert_eq!(states.filter(|state| *state == Attendance::Alive).count(), 2, "at point {point}");
            let value = parent.get::<Cell>("cell").unwrap().0.load(Ordering::Acquire);
            assert!(value == 8 || (point != 0 && value == 7), "{value} at point {point}");
            assert_eq!(folder.directory().remove("one").unwrap_err().kind(), mapwright_core::ErrorKind::Busy);
        },
    );
}

/// A folder with a segment from before the machine's start, in which the cell is 9.
fn outdated() -> Folder {
    let folder = Folder::new();
    let made = folder.make("one");
    made.get::<Cell>("cell").unwrap().0.store(9, Ordering::Release);
    drop(made);
    let bytes = std::fs::read(folder.file("one")).unwrap();
    std::fs::write(folder.file("one"), of_boot(12345, bytes)).unwrap();
    assert!(folder.directory().inspect("one").unwrap().is_outdated);
    folder
}

fn open_or_create(folder: &Folder, begin: &dyn Fn()) {
    begin();
    drop(folder.builder("one").with::<Cell>("cell", 7).open_or_create().unwrap());
}

#[test]
fn one_that_dies_while_it_replaces_an_outdated_segment_has_replaced_all_or_nothing() {
    let name = "segment: open_or_create replaces an outdated one";
    at_every_point(name, outdated, open_or_create, |folder, _| demand_usable(folder, 7));
}

#[test]
fn one_who_finds_an_outdated_segment_takes_the_one_that_somebody_else_has_put_there_since() {
    at_every_stop(
        "segment: open_or_create, replaced meanwhile",
        outdated,
        open_or_create,
        |folder| {
            let elsewhere = Folder::new();
            drop(elsewhere.make("one"));
            // As if whoever did it had been through: renamed to its place in one step.
            std::fs::copy(elsewhere.file("one"), folder.file("new")).unwrap();
            std::fs::rename(folder.file("new"), folder.file("one")).unwrap();
        },
        |folder| demand_usable(folder, 7),
    );
}

/// Opens or makes the segment, counts, and leaves.
fn count(folder: &Folder, begin: &dyn Fn()) {
    begin();
    let segment = folder.builder("one").with::<Cell>("cell", 0).open_or_create().unwrap();
    segment.get::<Cell>("cell").unwrap().0.fetch_add(1, Ordering::AcqRel);
}

/// What can have been counted by those who were killed: each by one at most.
fn demand_counted(folder: &Folder, at_most: u64) {
    let segment = folder.builder("one").with::<Cell>("cell", 0).open_or_create().unwrap();
    let counted = segment.get::<Cell>("cell").unwrap().0.load(Ordering::Acquire);
    assert!(counted <= at_most, "{counted} by {at_most}");
    assert_eq!(segment.participants().iter().filter(|it| it.state == Attendance::Alive).count(), 1);
    drop(segment);
    assert_eq!(folder.directory().prune().unwrap().removed, ["one"]);
    assert_eq!(std::fs::read_dir(folder.0.path()).unwrap().count(), 0, "nothing leaks");
}

#[test]
fn after_two_deaths_on_the_way_into_a_segment_the_third_goes_on() {
    at_every_pair("segment: open_or_create twice", Folder::new, count, count, |folder, second| {
        demand_counted(folder, if second == 0 { 2 } else { 1 } + 1);
    });
}

#[test]
fn after_two_deaths_on_the_way_to_replace_an_outdated_segment_the_third_goes_on() {
    let name = "segment: open_or_create replaces twice";
    at_every_pair(name, outdated, open_or_create, open_or_create, |folder, _| demand_usable(folder, 7));
}

#[test]
fn after_a_death_while_removing_and_one_while_opening_the_third_goes_on() {
    let made = || {
        let folder = Folder::new();
        drop(folder.builder("one").with::<Cell>("cell", 0).create().unwrap());
        folder
    };
    let remove = |folder: &Folder, begin: &dyn Fn()| {
        begin();
        folder.directory().remove("one").unwrap();
    };
    at_every_pair("segment: remove, open_or_create", made, remove, count, |folder, _| {
        demand_counted(folder, 1);
    });
    at_every_pair("segment: open_or_create, remove", made, count, remove, |folder, _| {
        demand_counted(folder, 1);
    });
}
