//! Segments as files: born whole, refused when they are not what they seem, removed when nobody holds them.

mod deaths;
mod fixtures;
mod fuse;
mod handovers;
mod hidden;
mod refusals;

use std::os::unix::net::UnixStream;

use mapwright_core::peer::{Ordering, Placed, Word64};
use mapwright_core::{ErrorKind, FaultKind, Plain, Result};

use super::{Attendance, Directory, Segment, Sharing};
use crate::object::{Kind, Object, Plan, Site};

/// The simplest object: one word.
#[derive(Clone, Debug)]
struct Cell(Placed<Word64>);

impl Object for Cell {
    const KIND: Kind = Kind::Event;
    type Options = u64;

    fn plan(options: &u64) -> Result<Plan> {
        Ok(Plan {
            kind: Kind::Event,
            len: 128,
            layout: Self::layout(),
            parameters: [*options, 0, 0, 0, 0, 0],
        })
    }

    fn create(site: &Site, options: &u64) -> Result<()> {
        site.parts().one::<Word64>()?.store(*options, Ordering::Relaxed);
        Ok(())
    }

    fn layout() -> String {
        u64::STRUCTURE.to_string()
    }

    fn attach(site: &Site) -> Result<Self> {
        Ok(Self(site.parts().one()?))
    }
}

/// The same kind with another type in it.
#[derive(Debug)]
struct OtherCell;

impl Object for OtherCell {
    const KIND: Kind = Kind::Event;
    type Options = ();

    fn plan((): &()) -> Result<Plan> {
        Ok(Plan { kind: Kind::Event, len: 128, layout: Self::layout(), parameters: [0; 6] })
    }

    fn create(_: &Site, (): &()) -> Result<()> {
        Ok(())
    }

    fn layout() -> String {
        <[f32; 2]>::STRUCTURE.to_string()
    }

    fn attach(_: &Site) -> Result<Self> {
        Ok(Self)
    }
}

struct Folder(tempfile::TempDir);

impl Folder {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn permit(&self, mode: u32) {
        let mode = std::os::unix::fs::PermissionsExt::from_mode(mode);
        std::fs::set_permissions(self.0.path(), mode).unwrap();
    }

    fn directory(&self) -> Directory {
        Directory::at(self.0.path()).unwrap()
    }

    fn builder(&self, name: &str) -> super::Builder {
        Segment::builder(name).directory(self.0.path())
    }

    fn make(&self, name: &str) -> Segment {
        self.builder(name).with::<Cell>("cell", 7).create().unwrap()
    }

    fn file(&self, name: &str) -> std::path::PathBuf {
        self.0.path().join(name)
    }
}

#[test]
fn what_one_participant_stores_another_one_loads() {
    let folder = Folder::new();
    let made = folder.make("one");
    let opened = folder.directory().open("one").unwrap();
    assert_ne!(made.me(), opened.me());
    let (mine, theirs) = (made.get::<Cell>("cell").unwrap(), opened.get::<Cell>("cell").unwrap());
    assert_eq!(theirs.0.load(Ordering::Relaxed), 7);
    mine.0.store(8, Ordering::Release);
    assert_eq!(theirs.0.load(Ordering::Acquire), 8);
    let mode = std::os::unix::fs::MetadataExt::mode(&std::fs::metadata(folder.file("one")).unwrap());
    assert_eq!(mode & 0o777, 0o600);
}

#[test]
fn participants_are_known_while_they_live_and_when_they_have_left() {
    let folder = Folder::new();
    let made = folder.make("one");
    let opened = folder.directory().open("one").unwrap();
    let who = opened.me();
    assert!(made.is_alive(who));
    let states = |segment: &Segment| segment.participants().iter().map(|it| it.state).collect::<Vec<_>>();
    assert_eq!(states(&made), [Attendance::Alive, Attendance::Alive]);
    assert!(made.participants().iter().all(|it| it.process == std::process::id() && !it.program.is_empty()));
    // A handle keeps the seat.
    let cell = opened.get::<Cell>("cell").unwrap();
    drop(opened);
    drop(cell);
    assert!(!made.is_alive(who));
    assert_eq!(states(&made), [Attendance::Alive, Attendance::Left]);
}

#[test]
fn the_second_of_two_makers_finds_the_first_ones_segment() {
    let folder = Folder::new();
    let first = folder.builder("one").with::<Cell>("cell", 7).open_or_create().unwrap();
    first.get::<Cell>("cell").unwrap().0.store(9, Ordering::Release);
    let second = folder.builder("one").with::<Cell>("cell", 7).open_or_create().unwrap();
    assert_eq!(second.get::<Cell>("cell").unwrap().0.load(Ordering::Acquire), 9);
    let error = folder.builder("one").with::<Cell>("cell", 7).create().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::AlreadyExists);
}

#[test]
fn many_makers_at_once_end_in_one_segment() {
    let folder = Folder::new();
    const MAKERS: usize = 8;
    let join = || folder.builder("one").with::<Cell>("cell", 0).open_or_create().unwrap();
    let segments: Vec<_> = std::thread::scope(|scope| {
        let makers: Vec<_> = (0..MAKERS).map(|_| scope.spawn(join)).collect();
        makers.into_iter().map(|maker| maker.join().unwrap()).collect()
    });
    for segment in &segments {
        segment.get::<Cell>("cell").unwrap().0.fetch_add(1, Ordering::Relaxed);
    }
    let total = segments[0].get::<Cell>("cell").unwrap().0.load(Ordering::Relaxed);
    assert_eq!(total, u64::try_from(MAKERS).unwrap());
}

#[test]
fn an_anonymous_segment_goes_through_a_socket() {
    let (here, there) = UnixStream::pair().unwrap();
    let made = Segment::anonymous("parcel").with::<Cell>("cell", 5).create().unwrap();
    assert_eq!(made.path(), None);
    made.send(&here).unwrap();
    let received = Segment::receive(&there).unwrap();
    assert_ne!(received.me(), made.me());
    assert_eq!(received.quoted(), made.quoted(), "the label goes with it");
    assert_eq!(received.get::<Cell>("cell").unwrap().0.load(Ordering::Relaxed), 5);
    drop(here);
    assert!(Segment::receive(&there).unwrap_err().to_string().contains("closed"));
}

#[test]
fn a_received_segment_with_holes_is_refused() {
    use std::os::unix::fs::FileExt;
    let made = Segment::anonymous("whole").with::<Cell>("cell", 5).create().unwrap();
    let len = made.inner.contents.len();
    let mut first = vec![0; 4096];
    made.inner.file.read_exact_at(&mut first, 0).unwrap();
    let sparse = mapwright_core::MemFile::new("sparse", len).unwrap();
    sparse.file().write_all_at(&first, 0).unwrap();
    sparse.seal(mapwright_core::Seals::SHRINK).unwrap();
    let error = Segment::from_descriptor(sparse.file().try_clone().unwrap().into()).unwrap_err();
    assert!(error.to_string().contains("of which only 4096 are there"), "{error}");
    sparse.file().write_all_at(&vec![0; len - 4096], 4096).unwrap();
    Segment::from_descriptor(sparse.file().try_clone().unwrap().into()).unwrap();
}

#[test]
fn only_what_nobody_holds_is_removed() {
    let folder = Folder::new();
    let (held, left) = (folder.make("held"), folder.make("left"));
    drop(left);
    std::fs::write(folder.file("notes"), "not a segment").unwrap();
    let directory = folder.directory();
    assert_eq!(directory.segments().unwrap(), ["held", "left"]);
    let error = directory.remove("held").unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Busy);
    let pruned = directory.prune().unwrap();
    assert_eq!((pruned.removed, pruned.kept), (vec!["left".to_owned()], vec!["held".to_owned()]));
    assert_eq!(pruned.skipped[0].0, "notes");
    assert!(folder.file("notes").exists() && !folder.file("left").exists());
    drop(held);
    directory.remove("held").unwrap();
    assert_eq!(directory.open("held").unwrap_err().kind(), ErrorKind::NotFound);
}

#[test]
fn looking_on_takes_no_seat() {
    let folder = Folder::new();
    let made = folder.builder("one").with::<Cell>("cell", 7).participants(1).create().unwrap();
    let seen = folder.directory().inspect("one").unwrap();
    assert_eq!((seen.seats, seen.participants.len(), seen.objects.len()), (1, 1, 1));
    assert_eq!((seen.objects[0].name.as_str(), seen.objects[0].layout.as_str()), ("cell", "u64"));
    assert_eq!(seen.participants[0].state, Attendance::Alive);
    let error = folder.directory().open("one").unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Busy);
    drop(made);
    assert_eq!(folder.directory().inspect("one").unwrap().participants[0].state, Attendance::Left);
    folder.directory().open("one").unwrap();
}

#[test]
fn a_segment_that_is_cut_short_answers_and_does_not_end_the_process() {
    let folder = Folder::new();
    let made = folder.make("one");
    let cell = made.get::<Cell>("cell").unwrap();
    std::fs::File::options().write(true).open(folder.file("one")).unwrap().set_len(0).unwrap();
    cell.0.store(1, Ordering::Relaxed);
    assert_eq!(cell.0.load(Ordering::Relaxed), 1);
    assert_eq!(cell.0.check().unwrap_err().kind(), FaultKind::Poisoned);
    assert_eq!(made.check().unwrap_err().kind(), FaultKind::Poisoned);
    assert!(made.get::<Cell>("cell").is_err());
}

#[test]
fn a_group_can_be_let_in_for_reading_or_writing() {
    let folder = Folder::new();
    folder.permit(0o755);
    let group = rustix::process::getegid().as_raw();
    let mode = |name: &str, sharing| {
        let _made = folder.builder(name).sharing(sharing).create().unwrap();
        std::os::unix::fs::MetadataExt::mode(&std::fs::metadata(folder.file(name)).unwrap()) & 0o777
    };
    assert_eq!(mode("a", Sharing::Group(group)), 0o660);
    assert_eq!(mode("b", Sharing::GroupReads(group)), 0o640);
    assert_eq!(mode("c", Sharing::EveryoneReads), 0o644);
    let found = |sharing| folder.builder("b").sharing(sharing).open_or_create().map(drop);
    found(Sharing::GroupReads(group)).unwrap();
    for other in
        [Sharing::Owner, Sharing::EveryoneReads, Sharing::Group(group), Sharing::GroupReads(group + 1)]
    {
        let error = found(other).unwrap_err();
        assert!(error.to_string().contains("it is there with mode 640"), "{error}");
    }
}

#[test]
fn what_is_shared_is_refused_where_nobody_else_could_reach_it() {
    let folder = Folder::new();
    folder.permit(0o700);
    let group = rustix::process::getegid().as_raw();
    for sharing in [Sharing::Group(group), Sharing::GroupReads(group), Sharing::EveryoneReads] {
        let error = folder.builder("one").sharing(sharing).create().map(drop).unwrap_err();
        assert!(error.to_string().contains("others cannot enter its folder (mode 700)"), "{error}");
    }
    folder.builder("one").create().unwrap();
}

#[test]
fn a_reader_and_a_child_are_told_when_the_segment_was_replaced() {
    let folder = Folder::new();
    let first = folder.make("one");
    let reader = folder.directory().open_read_only("one").unwrap();
    assert!(reader.is_current() && first.reattach().is_ok());
    std::fs::remove_file(folder.file("one")).unwrap();
    assert!(!reader.is_current());
    assert_eq!(first.reattach().unwrap_err().kind(), ErrorKind::NotFound);
    let _second = folder.make("one");
    assert!(!reader.is_current());
    assert_eq!(first.reattach().unwrap_err().kind(), ErrorKind::NotFound);
}

#[test]
fn hidden_files_of_killed_makers_go_when_they_are_old_and_unheld() {
    let folder = Folder::new();
    let hide = |name: &str, age: u64| {
        let file = std::fs::File::create(folder.file(name)).unwrap();
        let then = std::time::SystemTime::now() - std::time::Duration::from_secs(age);
        file.set_modified(then).unwrap();
        std::fs::File::options().read(true).write(true).open(folder.file(name)).unwrap()
    };
    let [old, young, held] = [1, 2, 3].map(|number| format!(".mapwright-{number:016x}"));
    drop((hide(&old, 7200), hide(&young, 60), hide(".mapwright-other", 7200)));
    let life = mapwright_core::peer::Life::open(hide(&held, 7200)).unwrap();
    assert!(life.claim(0).unwrap());
    let pruned = folder.directory().prune().unwrap();
    assert_eq!(pruned.removed, [old]);
    let skipped: Vec<_> = pruned.skipped.into_iter().map(|(name, _)| name).collect();
    assert_eq!(skipped, [young, held]);
}
