//! Segments where the file system has no unnamed files: they are made under a hidden name, which a maker that
//! is killed leaves behind.

use std::path::PathBuf;
use std::time::{Duration, SystemTime};

use mapwright_core::peer::Ordering;

use super::fuse::{Fuse, Renaming};
use super::{Cell, Directory, Segment};
use crate::testing::{at_every_pair, at_every_point, skip};

/// A folder on such a file system.
struct Bare(Fuse);

impl Bare {
    fn new(renaming: Renaming) -> Self {
        Self(Fuse::mount(renaming).unwrap())
    }

    fn directory(&self) -> Directory {
        Directory::at(self.0.path()).unwrap()
    }

    fn builder(&self) -> crate::Builder {
        Segment::builder("one").directory(self.0.path()).with::<Cell>("cell", 7)
    }

    fn names(&self) -> Vec<String> {
        let names = std::fs::read_dir(self.0.path()).unwrap();
        names.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
    }

    fn hidden(&self) -> Vec<PathBuf> {
        let hidden = self.names().into_iter().filter(|name| name.starts_with(".mapwright-"));
        hidden.map(|name| self.0.path().join(name)).collect()
    }

    /// Opens the segment or makes it, and lets time pass until what killed makers left is old enough.
    fn demand_usable_and_leave_nothing(&self) {
        let segment = self.builder().open_or_create().unwrap();
        assert_eq!(segment.get::<Cell>("cell").unwrap().0.load(Ordering::Acquire), 7);
        drop(segment);
        let hidden = self.hidden();
        for path in &hidden {
            let mode = std::os::unix::fs::MetadataExt::mode(&std::fs::metadata(path).unwrap());
            assert_eq!(mode & 0o777, 0o600, "nobody else can open what is being made");
        }
        let pruned = self.directory().prune().unwrap();
        assert_eq!((pruned.removed.len(), pruned.kept.len()), (1, 0));
        assert_eq!(pruned.skipped.len(), hidden.len(), "somebody could still be at it");
        let then = SystemTime::now() - Duration::from_secs(7200);
        for path in &hidden {
            std::fs::File::options().write(true).open(path).unwrap().set_modified(then).unwrap();
        }
        assert_eq!(self.directory().prune().unwrap().removed.len(), hidden.len());
        assert_eq!(self.names(), [""; 0], "nothing leaks");
    }
}

/// Both ways from a hidden name to the right one.
fn both(test: impl Fn(Renaming, &str)) {
    if let Err(why) = Fuse::mount(Renaming::KnowsFlags) {
        return skip("fuse", &why);
    }
    test(Renaming::KnowsFlags, "renamed");
    test(Renaming::KnowsNone, "linked");
}

fn make(bare: &Bare, begin: &dyn Fn()) {
    begin();
    drop(bare.builder().open_or_create().unwrap());
}

#[test]
fn the_file_system_has_no_unnamed_files_and_segments_work_on_it() {
    both(|renaming, _| {
        let bare = Bare::new(renaming);
        let unnamed = rustix::fs::OFlags::TMPFILE | rustix::fs::OFlags::RDWR;
        let refused = rustix::fs::open(bare.0.path(), unnamed, rustix::fs::Mode::RWXU).unwrap_err();
        assert_eq!(refused, rustix::io::Errno::OPNOTSUPP);
        let made = bare.builder().create().unwrap();
        assert_eq!(bare.names(), ["one"]);
        let opened = bare.directory().open("one").unwrap();
        opened.get::<Cell>("cell").unwrap().0.store(8, Ordering::Release);
        assert_eq!(made.get::<Cell>("cell").unwrap().0.load(Ordering::Acquire), 8);
        assert!(made.is_alive(opened.me()) && bare.builder().create().is_err());
        assert_eq!(bare.names(), ["one"], "what was refused leaves nothing");
    });
}

#[test]
fn a_maker_that_dies_leaves_a_hidden_file_at_most() {
    both(|renaming, how| {
        let name = format!("segment: create under a hidden name, {how}");
        at_every_point(
            &name,
            || Bare::new(renaming),
            make,
            |bare, _| {
                assert!(bare.hidden().len() <= 1);
                bare.demand_usable_and_leave_nothing();
            },
        );
    });
}

#[test]
fn after_the_deaths_of_two_makers_the_third_goes_on() {
    both(|renaming, how| {
        let name = format!("segment: open_or_create twice under hidden names, {how}");
        at_every_pair(
            &name,
            || Bare::new(renaming),
            make,
            make,
            |bare, _| {
                assert!(bare.hidden().len() <= 2);
                bare.demand_usable_and_leave_nothing();
            },
        );
    });
}

#[test]
fn a_death_while_pruning_what_makers_left_leaves_it_to_the_next() {
    both(|renaming, how| {
        let name = format!("segment: prune a hidden file, {how}");
        at_every_point(
            &name,
            || {
                let bare = Bare::new(renaming);
                let left = bare.0.path().join(".mapwright-0123456789abcdef");
                let file = std::fs::File::create(left).unwrap();
                file.set_permissions(std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
                file.set_modified(SystemTime::now() - Duration::from_secs(7200)).unwrap();
                bare
            },
            |bare, begin| {
                begin();
                assert_eq!(bare.directory().prune().unwrap().removed.len(), 1);
            },
            |bare, _| {
                bare.directory().prune().unwrap();
                bare.demand_usable_and_leave_nothing();
            },
        );
    });
}
