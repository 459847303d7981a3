//! What is in the way of a segment's name: nothing is followed, nothing is clobbered, and the error says what
//! it is.

use std::os::unix::fs::symlink;

use super::{Cell, ErrorKind, Folder, OtherCell, Segment};

fn open_error(folder: &Folder, name: &str) -> mapwright_core::Error {
    folder.directory().open(name).unwrap_err()
}

#[test]
fn names_that_are_no_names_reach_no_file() {
    let folder = Folder::new();
    for bad in ["", ".", "..", "../x", "a/b", "/etc/passwd", ".hidden", "a\nb", &"n".repeat(201)] {
        assert_eq!(open_error(&folder, bad).kind(), ErrorKind::InvalidInput, "{bad:?}");
        let error = folder.builder(bad).create().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidInput, "{bad:?}");
        assert_eq!(
            folder.builder("x").with::<Cell>(bad, 0).create().unwrap_err().kind(),
            ErrorKind::InvalidInput
        );
    }
    assert_eq!(std::fs::read_dir(folder.0.path()).unwrap().count(), 0, "nothing was made");
}

#[test]
fn a_link_in_the_way_is_not_followed() {
    let folder = Folder::new();
    drop(folder.make("real"));
    symlink(folder.file("real"), folder.file("link")).unwrap();
    symlink(folder.file("nowhere"), folder.file("dangling")).unwrap();
    for name in ["link", "dangling"] {
        let error = open_error(&folder, name);
        assert_eq!(error.kind(), ErrorKind::PermissionDenied, "{error}");
        assert!(error.to_string().contains("links are not followed"), "{error}");
        assert!(folder.builder(name).create().is_err() && folder.builder(name).open_or_create().is_err());
    }
    assert!(!folder.file("nowhere").exists(), "nothing was made behind the link");
}

#[test]
fn what_is_no_segment_is_named_and_left_alone() {
    let folder = Folder::new();
    std::fs::write(folder.file("text"), "hello").unwrap();
    std::fs::write(folder.file("long"), vec![b'x'; 10_000]).unwrap();
    std::fs::write(folder.file("empty"), "").unwrap();
    std::fs::create_dir(folder.file("folder")).unwrap();
    rustix::fs::mkfifoat(rustix::fs::CWD, folder.file("pipe"), rustix::fs::Mode::RWXU).unwrap();
    for (name, says) in [
        ("text", "it has 5 bytes"),
        ("long", "does not begin as a segment"),
        ("empty", "it has 0 bytes"),
        ("folder", "no regular file"),
        ("pipe", "no regular file"),
    ] {
        let error = open_error(&folder, name);
        assert_eq!(error.kind(), ErrorKind::Damaged, "{error}");
        assert!(error.to_string().contains(says), "{error}");
        assert!(folder.builder(name).with::<Cell>("cell", 1).open_or_create().is_err());
    }
    assert_eq!(std::fs::read_to_string(folder.file("text")).unwrap(), "hello");
    let pruned = folder.directory().prune().unwrap();
    assert_eq!((pruned.removed.len(), pruned.skipped.len()), (0, 5));
    assert!(folder.file("long").exists() && folder.file("pipe").exists());
}

#[test]
fn what_was_cut_or_overwritten_is_named() {
    let folder = Folder::new();
    drop(folder.make("cut"));
    std::fs::File::options().write(true).open(folder.file("cut")).unwrap().set_len(8000).unwrap();
    assert!(open_error(&folder, "cut").to_string().contains("and the file has 8000"));
    drop(folder.make("old"));
    let mut bytes = std::fs::read(folder.file("old")).unwrap();
    bytes[130] ^= 1;
    std::fs::write(folder.file("old"), &bytes).unwrap();
    assert!(open_error(&folder, "old").to_string().contains("the checksum differs"));
    bytes[8] = 9;
    std::fs::write(folder.file("old"), &bytes).unwrap();
    assert!(open_error(&folder, "old").to_string().contains("version 9"));
}

#[test]
fn another_kind_type_option_or_name_is_named_with_both_sides() {
    let folder = Folder::new();
    let made = folder.make("one");
    let error = made.get::<Cell>("sell").unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotFound);
    assert!(error.to_string().contains("there are: \"cell\""), "{error}");
    let error = made.get::<OtherCell>("cell").unwrap_err();
    assert_eq!(error.kind(), ErrorKind::TypeMismatch);
    assert!(error.to_string().contains("holds u64, and this program expects [f32;2]"), "{error}");
    let error = folder.builder("one").with::<Cell>("cell", 8).open_or_create().unwrap_err();
    assert!(error.to_string().contains("[7, 0, 0, 0, 0, 0]"), "{error}");
    let error = folder.builder("one").with::<OtherCell>("cell", ()).open_or_create().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::TypeMismatch);
    let twice = folder.builder("two").with::<Cell>("cell", 1).with::<Cell>("cell", 2).create().unwrap_err();
    assert!(twice.to_string().contains("two of its objects are named"), "{twice}");
}

#[test]
fn one_from_before_the_machines_start_is_refused_and_replaced() {
    let folder = Folder::new();
    let (bytes, contents) = super::super::header::lay_out(
        &[],
        4,
        super::super::header::Birth { nonce: 1, boot: 12345, namespace: 1, created: 1 },
    )
    .unwrap();
    let mut whole = bytes;
    whole.resize(contents.len(), 0);
    std::fs::write(folder.file("one"), &whole).unwrap();
    let error = open_error(&folder, "one");
    assert!(error.to_string().contains("before this machine was started"), "{error}");
    assert!(folder.directory().inspect("one").unwrap().is_outdated);
    let fresh = folder.builder("one").with::<Cell>("cell", 7).open_or_create().unwrap();
    assert!(fresh.get::<Cell>("cell").is_ok());
}

#[test]
fn no_room_is_an_error_when_the_segment_is_made() {
    #[derive(Debug)]
    struct Huge;
    impl crate::object::Object for Huge {
        const KIND: crate::Kind = crate::Kind::Pool;
        type Options = usize;
        fn plan(len: &usize) -> crate::Result<crate::Plan> {
            let (layout, parameters) = (String::new(), [0; 6]);
            Ok(crate::Plan { kind: crate::Kind::Pool, len: *len, layout, parameters })
        }
        fn create(_: &crate::Site, _: &usize) -> crate::Result<()> {
            Ok(())
        }
        fn layout() -> String {
            String::new()
        }
        fn attach(_: &crate::Site) -> crate::Result<Self> {
            Ok(Self)
        }
    }
    // Far more than any memory: refused before a page is taken.
    let folder = tempfile::tempdir_in("/dev/shm").unwrap();
    let builder = Segment::builder("huge").directory(folder.path()).with::<Huge>("huge", 1 << 46);
    let error = builder.create().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NoSpace, "{error}");
    assert!(error.to_string().contains("are free; prune"), "{error}");
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0, "nothing is left of it");
    assert!(Segment::anonymous("huge").with::<Huge>("huge", usize::MAX - 5000).create().is_err());
}

#[test]
fn another_users_segment_is_refused_unless_it_is_shared() {
    if !rustix::process::geteuid().is_root() {
        crate::testing::skip("root", "a file cannot be given to another user");
        return;
    }
    let folder = Folder::new();
    drop(folder.make("theirs"));
    std::os::unix::fs::chown(folder.file("theirs"), Some(12345), None).unwrap();
    let error = open_error(&folder, "theirs");
    assert_eq!(error.kind(), ErrorKind::PermissionDenied, "{error}");
    assert!(error.to_string().contains("belongs to user 12345"), "{error}");
    // Shared with a group: by whoever says that it trusts that group, and nobody else.
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o660);
    std::os::unix::fs::chown(folder.file("theirs"), Some(12345), Some(54321)).unwrap();
    std::fs::set_permissions(folder.file("theirs"), mode).unwrap();
    let error = open_error(&folder, "theirs");
    assert!(error.to_string().contains("Directory::trust_group(54321)"), "{error}");
    assert!(folder.directory().trust_group(54320).open("theirs").is_err());
    folder.directory().trust_group(54321).open("theirs").unwrap();
    folder.permit(0o755);
    let shared = |group| folder.builder("theirs").sharing(super::Sharing::Group(group)).open_or_create();
    shared(54321).unwrap();
    assert_eq!(shared(54320).unwrap_err().kind(), ErrorKind::PermissionDenied);
    // One with holes is not even looked at: there may be no memory for them.
    let file = std::fs::File::options().write(true).open(folder.file("theirs")).unwrap();
    folder.directory().open_read_only("theirs").unwrap();
    file.set_len(1 << 40).unwrap();
    let error = folder.directory().open_read_only("theirs").unwrap_err();
    assert!(error.to_string().contains("are there"), "{error}");
}

#[test]
fn a_table_that_is_there_will_do_whatever_its_seed() {
    use crate::{Table, TableOptions};
    let folder = Folder::new();
    let open =
        || folder.builder("one").with::<Table<u64, u64>>("table", TableOptions::new(100)).open_or_create();
    let first = open().unwrap().get::<Table<u64, u64>>("table").unwrap();
    first.insert(&1, &2).unwrap();
    assert_eq!(open().unwrap().get::<Table<u64, u64>>("table").unwrap().get(&1).unwrap(), Some(2));
    let other = TableOptions::new(200);
    assert!(folder.builder("one").with::<Table<u64, u64>>("table", other).open_or_create().is_err());
}
