//! `warm`: what is missing is brought in, and nothing else.

use std::fs::{self, File};
use std::path::Path;

use serde_json::Value;

use crate::start::{Folder, Run, bytes, can_evict, eventually, finish, program};

fn warm(arguments: &[&str], path: &Path) -> Run {
    finish(program().args(["warm", "--json"]).args(arguments).arg(path))
}

fn evicted(path: &Path) {
    let file = File::open(path).unwrap();
    eventually(|| match mapwright::evict(&file, ..).unwrap().cached {
        Some(0) => Ok(()),
        left => Err(format!("{left:?} pages are left")),
    });
}

fn figures(json: &Value) -> (u64, u64, u64) {
    let file = &json["files"][0];
    let figure = |name: &str| file[name].as_u64().unwrap();
    (figure("done_bytes"), figure("already_bytes"), figure("left_bytes"))
}

#[test]
fn only_what_is_missing_is_brought_in() {
    let folder = Folder::new();
    if !can_evict(&folder) {
        return;
    }
    let path = folder.file("a", &bytes(4 << 20));
    eventually(|| {
        evicted(&path);
        let first = figures(&warm(&["--wait"], &path).ended(0).json());
        let second = figures(&warm(&[], &path).json());
        if (first, second) == ((4 << 20, 0, 0), (0, 4 << 20, 0)) {
            Ok(())
        } else {
            Err(format!("{first:?} {second:?}"))
        }
    });
}

#[test]
fn a_range_is_all_that_is_brought_in() {
    let folder = Folder::new();
    if !can_evict(&folder) {
        return;
    }
    let path = folder.file("a", &bytes(64 << 20));
    eventually(|| {
        evicted(&path);
        warm(&["--range", "1M+1M", "--wait"], &path).ended(0);
        let cached = mapwright::cache_usage(File::open(&path).unwrap(), ..).unwrap().cached_bytes().unwrap();
        // The kernel may read further ahead than it was asked to, but not all.
        if (1 << 20..33 << 20).contains(&cached) { Ok(()) } else { Err(format!("{cached} bytes")) }
    });
}

#[test]
fn a_saved_set_is_brought_back() {
    let folder = Folder::new();
    if !can_evict(&folder) {
        return;
    }
    let (path, set) = (folder.file("a", &bytes(8 << 20)), folder.path().join("set.json"));
    eventually(|| {
        evicted(&path);
        mapwright::warm(
            File::open(&path).unwrap(),
            1 << 20..2 << 20,
            |_| std::ops::ControlFlow::Continue(()),
        )
        .unwrap();
        finish(program().arg("evict").arg(&path).arg("--save").arg(&set)).ended(0);
        let saved: Value = serde_json::from_str(&fs::read_to_string(&set).unwrap()).unwrap();
        assert_eq!(saved["schema"], "mapwright.set/1");
        let run = finish(program().args(["warm", "--json", "--wait", "--restore"]).arg(&set)).ended(0);
        let (done, already, left) = figures(&run.json());
        if done >= 1 << 20 && already + left == 0 {
            Ok(())
        } else {
            Err(format!("{saved} {done} {already} {left}"))
        }
    });
}

#[test]
fn a_set_that_is_none_is_refused_and_nothing_is_done() {
    let folder = Folder::new();
    let set = folder.file("set", b"{\"schema\":\"something/1\",\"files\":[]}");
    let run = finish(program().args(["warm", "--restore"]).arg(&set)).ended(1);
    assert!(run.err.contains("something/1") && run.err.contains("mapwright.set/1"), "{}", run.err);
}

#[test]
fn a_file_that_is_gone_from_a_set_is_named() {
    let folder = Folder::new();
    let (path, set) = (folder.file("a", &bytes(10_000)), folder.path().join("set.json"));
    finish(program().arg("warm").arg(&path).arg("--save").arg(&set).arg("--wait")).ended(0);
    fs::remove_file(&path).unwrap();
    let run = finish(program().args(["warm", "--restore"]).arg(&set)).ended(1);
    assert!(run.err.contains("/a\": no such file"), "{}", run.err);
}

#[test]
fn there_may_be_more_files_than_descriptors() {
    let folder = Folder::new();
    for index in 0..60 {
        fs::write(folder.path().join(format!("{index}")), bytes(100)).unwrap();
    }
    for (command, end) in [("evict --wait", ""), ("warm --wait", ""), ("lock", "-- true")] {
        // The soft limit only: lock needs a descriptor for each file, and raises it.
        let script = format!("ulimit -S -n 40 && exec \"$0\" {command} \"$1\" {end}");
        let mut shell = std::process::Command::new("sh");
        let shell = shell.args(["-c", &script]).arg(env!("CARGO_BIN_EXE_mapwright")).arg(folder.path());
        let run = finish(shell).ended(0);
        assert!(run.out.contains("60 files together") && run.err.is_empty(), "{}{}", run.out, run.err);
    }
}

#[test]
fn an_empty_file_and_a_folder_can_be_warmed() {
    let folder = Folder::new();
    let empty = folder.file("empty", b"");
    assert_eq!(figures(&warm(&[], &empty).ended(0).json()), (0, 0, 0));
    folder.file("b", &bytes(5000));
    let run = finish(program().args(["warm", "--wait"]).arg(folder.path())).ended(0);
    assert!(run.out.contains("2 files together"), "{}", run.out);
}
