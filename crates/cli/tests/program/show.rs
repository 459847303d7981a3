//! `show`: pictures, trees, ranges, JSON.

use std::fs::{self, File};
use std::io::Write;
use std::os::unix::fs::FileExt;
use std::process::Stdio;

use serde_json::Value;

use crate::start::{Folder, bytes, can_evict, eventually, finish, program, run, skip};

fn show(arguments: &[&str], path: &std::path::Path) -> crate::start::Run {
    finish(program().arg("show").args(arguments).arg(path)).ended(0)
}

#[test]
fn one_cell_shows_one_page_of_a_small_file() {
    let folder = Folder::new();
    if !can_evict(&folder) {
        return;
    }
    let file = folder.file("small", &bytes(10 * 4096));
    let page = rustix::param::page_size();
    let pages = (10 * 4096usize).div_ceil(page);
    eventually(|| {
        let open = File::open(&file).unwrap();
        mapwright::evict(&open, ..).unwrap();
        let cold = show(&["--ascii"], &file).out;
        // Reading one byte at random brings in one page and what the kernel likes to add.
        open.read_at(&mut [0], 0).unwrap();
        let warm = show(&["--ascii"], &file).out;
        let cells = |out: &str, cell: char| out.lines().nth(3).unwrap_or_default().matches(cell).count();
        if cells(&cold, '.') == pages && cells(&warm, '#') > 0 {
            Ok(())
        } else {
            Err(format!("{cold}\n{warm}"))
        }
    });
}

#[test]
fn an_empty_file_has_no_pages() {
    let folder = Folder::new();
    let out = show(&[], &folder.file("empty", b"")).out;
    assert!(out.contains("0 B") && out.contains("no pages"), "{out}");
    let json = show(&["--json"], &folder.path().join("empty")).json();
    assert_eq!(json["targets"][0]["size_bytes"], 0);
}

#[test]
fn holes_are_drawn_and_listed() {
    let folder = Folder::new();
    let path = folder.path().join("sparse");
    let file = File::create(&path).unwrap();
    file.set_len(4 << 20).unwrap();
    file.write_all_at(&bytes(1 << 20), 1 << 20).unwrap();
    file.sync_all().unwrap();
    let json = show(&["--json", "--ranges"], &path).json();
    let holes = json["targets"][0]["holes"].as_array().unwrap();
    if holes.is_empty() {
        skip("holes", "this file system does not tell of them");
        return;
    }
    assert_eq!(holes[0], serde_json::json!([0, 1 << 20]));
    assert!(show(&["--ascii"], &path).out.contains("_ hole"));
    let listed = show(&["--ranges"], &path).out;
    assert!(listed.lines().next().unwrap().ends_with("\thole"), "{listed}");
}

#[test]
fn json_says_its_schema_and_counts_agree() {
    let folder = Folder::new();
    let file = folder.file("a", &bytes(100_000));
    let json = show(&["--json", "--ranges"], &file).json();
    assert_eq!(json["schema"], "mapwright.show/1");
    let target = &json["targets"][0];
    assert_eq!((target["kind"].as_str(), target["size_bytes"].as_u64()), (Some("file"), Some(100_000)));
    let ranges = target["ranges"].as_array().unwrap();
    assert_eq!(ranges.first().unwrap()["from"], 0);
    assert_eq!(ranges.last().unwrap()["to"], 100_000);
    let connected = |two: &[Value]| two[0]["to"] == two[1]["from"] && two[0]["state"] != two[1]["state"];
    assert!(ranges.windows(2).all(connected), "{ranges:?}");
}

#[test]
fn listed_ranges_are_what_cat_takes() {
    let folder = Folder::new();
    let content = bytes(50_000);
    let file = folder.file("a", &content);
    let listed = show(&["--ranges"], &file).out;
    let targets: Vec<_> = listed.lines().map(|line| line.split('\t').next().unwrap().to_owned()).collect();
    let mut command = program();
    let output = command.arg("cat").args(&targets).output().unwrap();
    assert!(output.stdout == content, "{listed}");
}

#[test]
fn a_folder_is_a_tree_with_totals_and_hard_links_count_once() {
    let folder = Folder::new();
    fs::create_dir(folder.path().join("d")).unwrap();
    let file = folder.file("d/big", &bytes(200_000));
    folder.file("small", &bytes(1000));
    fs::hard_link(&file, folder.path().join("d/link")).unwrap();
    let json = show(&["--json", "--sort", "name"], folder.path()).json();
    let top = &json["targets"][0];
    assert_eq!((top["kind"].as_str(), top["files"].as_u64()), (Some("folder"), Some(2)));
    assert_eq!(top["size_bytes"], 201_000);
    let inside = top["entries"][0]["entries"].as_array().unwrap();
    assert_eq!(inside[1]["counted_before"], true);
    let out = show(&["--ascii"], folder.path()).out;
    assert!(out.contains("(same file as above)") && out.contains("`- ") && out.contains("2 files"), "{out}");
    let flat = show(&["--depth", "0"], folder.path()).out;
    assert!(!flat.contains("small") && flat.contains("2 files"), "{flat}");
}

#[test]
fn a_large_folder_shows_its_first_entries_unless_asked_for_all() {
    let folder = Folder::new();
    for number in 0..25 {
        fs::write(folder.path().join(format!("f{number}")), "x").unwrap();
    }
    assert!(show(&[], folder.path()).out.contains("5 more (--all)"));
    assert!(!show(&["--all"], folder.path()).out.contains("more"));
}

#[test]
fn only_cached_leaves_out_the_rest() {
    let folder = Folder::new();
    if !can_evict(&folder) {
        return;
    }
    let file = folder.file("cold", &bytes(65_536));
    eventually(|| {
        mapwright::evict(File::open(&file).unwrap(), ..).unwrap();
        let out = show(&["--only-cached", "--ranges"], folder.path()).out;
        if out.contains("/cold:") { Err(out) } else { Ok(()) }
    });
}

#[test]
fn paths_come_from_lists_too() {
    let folder = Folder::new();
    folder.file("a\nb", b"x");
    folder.file("c", b"x");
    let lists: [(&[u8], &[&str]); 2] = [(b"a\nb\0c\0", &["-0"]), (b"c\n", &[])];
    for (list, more) in lists {
        let mut command = program();
        command.args(["show", "--json", "--files-from", "-"]).args(more).current_dir(folder.path());
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        child.stdin.take().unwrap().write_all(list).unwrap();
        let output = child.wait_with_output().unwrap();
        let json: Value = serde_json::from_slice(&output.stdout).unwrap();
        assert_eq!(
            json["targets"].as_array().unwrap().len(),
            list.split(|&byte| byte == 0).count().max(2) - 1
        );
    }
    assert!(run(["show", "-0", "x"]).ended(2).err.contains("--files-from"));
}

#[test]
fn a_range_is_all_that_is_looked_at() {
    let folder = Folder::new();
    let file = folder.file("a", &bytes(100_000));
    let json = show(&["--json", "--range", "8K+4K"], &file).json();
    assert_eq!(json["targets"][0]["size_bytes"], 4096);
    let run = finish(program().args(["show", "--range", "0-1M"]).arg(&file)).ended(1);
    assert!(run.err.contains("100000"), "{}", run.err);
}

#[test]
fn pictures_fit_into_the_width_there_is() {
    let folder = Folder::new();
    let file = folder.file("a", &bytes(3 << 20));
    for columns in [40, 80, 120] {
        let run = finish(program().env("COLUMNS", columns.to_string()).arg("show").arg(&file)).ended(0);
        // The name's own line is as long as the name.
        let widest = run.out.lines().skip(1).map(|line| line.chars().count()).max().unwrap();
        assert!(widest <= columns, "{widest} columns of {columns}: {}", run.out);
    }
}
