//! Bad input: every mistake is an error that names what was asked for and what is so, and leaves no trace.
//!
//! The messages are printed: they are part of what is shown to users, and reading them is the review.

mod cases;
pub(crate) mod spans;

use crate::support::process::{self, Parent};
use crate::support::scratch;
use crate::support::suite::{Verdict, role, suite};
use cases::{ARRAYS, Case, MAPS, Trade};
use mapwright::{Error, ErrorKind, Map, MapOptions, MapVec, MapVecOptions};
use std::collections::BTreeMap;
use std::fs::Permissions;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;
use tempfile::TempDir;

suite!(
    tests: [
        every_mistake_with_maps_is_a_clear_error_that_leaves_no_trace,
        every_mistake_with_arrays_is_a_clear_error_that_leaves_no_trace,
        file_without_permission_is_named,
        empty_files_and_empty_memory_are_mapped,
    ],
    roles: [try_without_permission],
);

/// A folder with one of each: what the cases refer to by name.
fn folder() -> TempDir {
    let folder = scratch::folder();
    scratch::file(&folder, "ten", b"0123456789");
    scratch::file(&folder, "empty", b"");
    scratch::file(&folder, "text", b"this is no array of records, it is a text\n");
    std::fs::create_dir(folder.path().join("folder")).unwrap();
    let pipe = folder.path().join("pipe");
    rustix::fs::mknodat(
        rustix::fs::CWD,
        &pipe,
        rustix::fs::FileType::Fifo,
        rustix::fs::Mode::from_raw_mode(0o600),
        0,
    )
    .unwrap();
    drop(std::os::unix::net::UnixListener::bind(folder.path().join("socket")).unwrap());
    symlink("loop", folder.path().join("loop")).unwrap();
    add_arrays(&folder);
    folder
}

/// Whole arrays, and some that somebody has damaged.
fn add_arrays(folder: &TempDir) {
    scratch::file(folder, "long text", &b"all work and no play ".repeat(1_000));
    let mut trades = MapVec::create(folder.path().join("trades")).unwrap();
    trades.push(Trade { id: 1, price: 9.99 }).unwrap();
    trades.close().unwrap();
    let mut numbers = MapVec::<u64>::create(folder.path().join("numbers")).unwrap();
    numbers.extend(0..10).unwrap();
    numbers.close().unwrap();
    let whole = std::fs::read(folder.path().join("numbers")).unwrap();
    // The places are those of the format's description.
    for (name, place, byte) in
        [("magic", 0, b'X'), ("version", 12, 2), ("header", 300, 1), ("count", 128, 0xFF)]
    {
        let mut damaged = whole.clone();
        damaged[place] = byte;
        scratch::file(folder, name, &damaged);
    }
    scratch::file(folder, "cut", &whole[..4096 + 7 * 8 + 3]);
}

/// Each name in a folder with its length and content: equal before and after a mistake.
fn snapshot(folder: &Path) -> BTreeMap<String, (u64, Vec<u8>)> {
    let entries = std::fs::read_dir(folder).unwrap().map(|entry| {
        let entry = entry.unwrap();
        let meta = entry.metadata().unwrap();
        let content = if meta.is_file() { std::fs::read(entry.path()).unwrap() } else { Vec::new() };
        (entry.file_name().into_string().unwrap(), (meta.len(), content))
    });
    entries.collect()
}

fn every_mistake_with_maps_is_a_clear_error_that_leaves_no_trace() {
    make_mistakes(MAPS);
}

fn every_mistake_with_arrays_is_a_clear_error_that_leaves_no_trace() {
    make_mistakes(ARRAYS);
}

fn make_mistakes(cases: &[Case]) {
    let folder = folder();
    let before = (snapshot(folder.path()), maps_of_the_folder(folder.path()));
    let mut wrong = Vec::new();
    for case in cases {
        let verdict = match (case.run)(folder.path()) {
            Ok(()) => Err("no error".to_owned()),
            Err(error) => case.check(&error),
        };
        let after = (snapshot(folder.path()), maps_of_the_folder(folder.path()));
        let traceless = if after == before { Ok(()) } else { Err("it left a trace".to_owned()) };
        wrong.extend(verdict.and(traceless).err().map(|why| format!("{}: {why}", case.name)));
    }
    assert!(wrong.is_empty(), "{} of {} mistakes:\n{}", wrong.len(), cases.len(), wrong.join("\n"));
}

/// How many of this process's mappings show files of this folder.
fn maps_of_the_folder(folder: &Path) -> usize {
    let maps = std::fs::read_to_string("/proc/self/maps").unwrap();
    maps.lines().filter(|line| line.contains(folder.to_str().unwrap())).count()
}

/// Becomes nobody, then opens what belongs to another: folder.
fn try_without_permission(parent: &mut Parent) {
    let folder = Path::new(parent.arg(0)).to_owned();
    if rustix::process::geteuid().is_root() {
        let (user, group) = (rustix::process::Uid::from_raw(65534), rustix::process::Gid::from_raw(65534));
        rustix::thread::set_thread_groups(&[]).unwrap();
        rustix::thread::set_thread_res_gid(group, group, group).unwrap();
        rustix::thread::set_thread_res_uid(user, user, user).unwrap();
    }
    let mut tell = |name: &str, error: Error| parent.say(format!("{name}: {:?}: {error}", error.kind()));
    tell("read", Map::open(folder.join("secret")).unwrap_err());
    tell("write", Map::open_mut(folder.join("readable")).unwrap_err());
    tell("load", mapwright::load(folder.join("secret")).unwrap_err());
    tell("create", Map::create(folder.join("new"), 100).unwrap_err());
    tell("create an array", MapVec::<u64>::create(folder.join("new")).unwrap_err());
    tell("write an array", MapVec::<u64>::open(folder.join("array")).unwrap_err());
    tell("read an array", MapVec::<u64>::open_read_only(folder.join("secret")).unwrap_err());
    tell(
        "write a raw array",
        MapVecOptions::new().headerless().open::<u8>(folder.join("readable")).unwrap_err(),
    );
    tell("open or create an array", MapVec::<u64>::open_or_create(folder.join("new")).unwrap_err());
    drop(MapVec::<u64>::open_read_only(folder.join("array")).unwrap());
    drop(MapOptions::new().map_copy(std::fs::File::open(folder.join("readable")).unwrap()).unwrap());
}

fn file_without_permission_is_named() -> Verdict {
    let folder = scratch::folder();
    for (name, mode) in [("secret", 0o000), ("readable", 0o444)] {
        let path = scratch::file(&folder, name, b"x");
        std::fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
    }
    drop(MapVec::<u64>::create(folder.path().join("array")).unwrap());
    std::fs::set_permissions(folder.path().join("array"), Permissions::from_mode(0o444)).unwrap();
    std::fs::set_permissions(folder.path(), Permissions::from_mode(0o555)).unwrap();
    let report = process::run(role!(try_without_permission), &[folder.path().to_str().unwrap()]);
    std::fs::set_permissions(folder.path(), Permissions::from_mode(0o755)).unwrap();
    print!("{}", report.assert_ok().said);
    let names = ["secret", "readable", "secret", "new", "new", "array", "secret", "readable", "new"];
    for (line, name) in report.said.lines().zip(names) {
        assert!(line.contains(&format!("{:?}", ErrorKind::PermissionDenied)), "{line}");
        assert!(line.contains(name), "{line}");
    }
    assert_eq!(report.said.lines().count(), names.len());
    assert!(!folder.path().join("new").exists());
    Ok(())
}

fn empty_files_and_empty_memory_are_mapped() {
    let folder = folder();
    let map = Map::open(folder.path().join("empty")).unwrap();
    assert!(map.is_empty() && map.view().to_vec().unwrap().is_empty());
    assert_eq!(map.view().find(b"").unwrap(), Some(0));
    assert_eq!(map.view().find(b"x").unwrap(), None);
    assert!(map.view().lines().next_line().is_none());
    assert!(map.view().chunks(10).next_chunk().is_none());
    assert!(map.view().equals(b"").unwrap());
    map.close().unwrap();
    let end = MapOptions::new().offset(10).open(folder.path().join("ten")).unwrap();
    assert!(end.is_empty());
    assert!(MapOptions::new().len(0).open_mut(folder.path().join("ten")).unwrap().is_empty());
    assert!(MapOptions::new().memory(0).unwrap().is_empty());
    assert!(MapOptions::new().shared_memory(0).unwrap().is_empty());
}
