//! `evict`: what can go goes, and what cannot says why.

use std::fs::File;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::Stdio;

use mapwright::{MapOptions, Populate};

use crate::start::{Folder, Run, bytes, can_evict, eventually, finish, program, skip};

fn evict(arguments: &[&str], path: &Path) -> Run {
    finish(program().args(["evict", "--json"]).args(arguments).arg(path))
}

fn cached(path: &Path) -> u64 {
    mapwright::cache_usage(File::open(path).unwrap(), ..).unwrap().cached.unwrap()
}

#[test]
fn dirty_pages_are_written_and_let_go() {
    let folder = Folder::new();
    if !can_evict(&folder) {
        return;
    }
    let path = folder.path().join("dirty");
    File::create(&path).unwrap().write_all(&bytes(1 << 20)).unwrap();
    evict(&["--wait"], &path).ended(0);
    assert_eq!(cached(&path), 0);
    assert!(std::fs::read(&path).unwrap() == bytes(1 << 20), "what was evicted was lost");
}

#[test]
fn pages_that_a_process_has_mapped_stay_and_it_is_said() {
    let folder = Folder::new();
    if !can_evict(&folder) {
        return;
    }
    let path = folder.file("mapped", &bytes(1 << 20));
    eventually(|| {
        let map = MapOptions::new().populate(Populate::Now).open(&path).unwrap();
        let run = evict(&[], &path);
        drop(map);
        let left = run.json()["files"][0]["left_bytes"].as_u64().unwrap();
        // Dropping the caches elsewhere does not touch mapped pages, but memory pressure may.
        if left > 0 && [1, 3].contains(&run.code) && run.err.contains("mapped") {
            Ok(())
        } else {
            Err(run.err)
        }
    });
}

#[test]
fn waiting_is_said_once_with_the_reason_and_ends_when_it_is_over() {
    let folder = Folder::new();
    if !can_evict(&folder) {
        return;
    }
    let path = folder.file("mapped", &bytes(1 << 20));
    let map = MapOptions::new().populate(Populate::Now).open(&path).unwrap();
    let mut command = program();
    command.args(["evict", "--wait"]).arg(&path).stdout(Stdio::null()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
    let said = lines.next().unwrap().unwrap();
    assert!(said.contains("waiting for") && said.contains("mapped, or uses them"), "{said}");
    map.close().unwrap();
    assert_eq!((lines.next().transpose().unwrap(), child.wait().unwrap().code()), (None, Some(0)));
}

#[test]
fn a_range_takes_only_whole_pages() {
    let folder = Folder::new();
    if !can_evict(&folder) {
        return;
    }
    let page = rustix::param::page_size();
    let path = folder.file("range", &bytes(16 * page));
    let _read = std::fs::read(&path).unwrap();
    let inside = format!("1-{}", page);
    let json = evict(&["--range", &inside], &path).ended(0).json();
    assert_eq!((&json["files"][0]["done_bytes"], &json["files"][0]["left_bytes"]), (&0.into(), &0.into()));
}

#[test]
fn what_a_set_does_not_hold_is_let_go() {
    let folder = Folder::new();
    if !can_evict(&folder) {
        return;
    }
    let (path, set) = (folder.file("a", &bytes(8 << 20)), folder.path().join("set.json"));
    eventually(|| {
        evict(&["--wait"], &path).ended(0);
        mapwright::warm(File::open(&path).unwrap(), 0..1 << 20, |_| std::ops::ControlFlow::Continue(()))
            .unwrap();
        finish(program().arg("warm").arg(&path).args(["--range", "0-0", "--save"]).arg(&set)).ended(0);
        let empty = std::fs::read_to_string(&set).unwrap();
        assert!(empty.contains("\"ranges\": []"), "{empty}");
        finish(program().args(["evict", "--wait", "--restore"]).arg(&set)).ended(0);
        if cached(&path) == 0 { Ok(()) } else { Err(format!("{} pages are left", cached(&path))) }
    });
}

#[test]
fn where_nothing_was_found_there_is_no_table_of_nothing() {
    let run = finish(program().args(["evict", "/no/such/file"])).ended(1);
    assert_eq!(run.out, "");
}

#[test]
fn files_in_memory_have_no_other_place_and_it_is_said() {
    let Ok(folder) = tempfile::tempdir_in("/dev/shm") else {
        skip("tmpfs", "there is no /dev/shm");
        return;
    };
    let path = folder.path().join("tmpfs");
    std::fs::write(&path, bytes(10_000)).unwrap();
    let run = evict(&[], &path).ended(1);
    assert!(run.err.contains("tmpfs"), "{}", run.err);
}
