//! `tour`: every scene is told, and nothing stays behind or is harmed.

use std::process::Stdio;

use crate::start::{Folder, bytes, eventually, finish, program};

#[test]
fn a_small_tour_tells_every_scene_and_leaves_nothing_behind() {
    let folder = Folder::new();
    let run = finish(program().args(["tour", "--size", "16M", "--dir"]).arg(folder.path())).ended(0);
    let scenes = [
        "Fill",
        "Sum, in memory",
        "Search",
        "Where its pages are",
        "from the disk",
        "Sort records",
        "Grow",
        "Truncate",
        "Messages to another process",
        "A lock's holder is killed",
        "Read what is being written",
    ];
    // Sentences break where the width wants it.
    let text = run.out.split_whitespace().collect::<Vec<_>>().join(" ");
    for scene in scenes {
        assert!(text.contains(scene), "{scene}: {}", run.out);
    }
    assert!(text.contains("as they must") && text.contains("the same address"), "{}", run.out);
    assert!(text.contains("OwnerDied, with the value of its last finished change, 93"), "{}", run.out);
    assert!(text.contains("it was truncated") && text.contains("In figures"), "{}", run.out);
    assert!(run.out.lines().all(|line| line.chars().count() <= 80), "{}", run.out);
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
}

#[test]
fn json_holds_the_same_scenes_with_their_costs() {
    let folder = Folder::new();
    let run =
        finish(program().args(["tour", "--size", "16M", "--json", "--dir"]).arg(folder.path())).ended(0);
    let json = run.json();
    assert_eq!((json["schema"].as_str(), json["size"].as_u64()), (Some("mapwright.tour/1"), Some(16 << 20)));
    let chapter = &json["chapters"][0];
    assert_eq!(chapter["name"], "files");
    let fill = &chapter["scenes"][0];
    assert_eq!(fill["ways"][0]["cost"]["amount"], 16 << 20);
    assert_eq!(json["chapters"][1]["name"], "processes");
    assert_eq!(json["chapters"][1]["scenes"].as_array().unwrap().len(), 3);
    assert!(fill["ways"][0]["ours"].as_bool().unwrap() && !fill["ways"][1]["ours"].as_bool().unwrap());
}

#[test]
fn a_visitors_file_is_read_and_stays_as_it_was() {
    let folder = Folder::new();
    let content = bytes((3 << 20) + 5);
    let path = folder.file("mine", &content);
    let before = std::fs::metadata(&path).unwrap();
    let run = finish(
        program()
            .args(["tour", "--chapter", "files", "--size", "16M", "--dir"])
            .arg(folder.path())
            .arg(&path),
    )
    .ended(0);
    assert!(run.out.contains("mine") && !run.out.contains("stored into the last"), "{}", run.out);
    let after = std::fs::metadata(&path).unwrap();
    assert_eq!(before.modified().unwrap(), after.modified().unwrap());
    assert!(std::fs::read(&path).unwrap() == content);
    let tiny = folder.file("tiny", b"x");
    let run =
        finish(program().args(["tour", "--size", "16M", "--dir"]).arg(folder.path()).arg(&tiny)).ended(1);
    assert!(run.err.contains("tiny") && run.err.contains("1 MiB or more"), "{}", run.err);
}

#[test]
fn an_interrupted_tour_leaves_nothing_behind() {
    let folder = Folder::new();
    let mut command = program();
    command.args(["tour", "--size", "512M", "--dir"]).arg(folder.path());
    let mut child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    let entries = || std::fs::read_dir(folder.path()).unwrap().count();
    eventually(|| if entries() > 0 { Ok(()) } else { Err("no folder was made".into()) });
    let pid = rustix::process::Pid::from_child(&child);
    let files = || {
        let inside = std::fs::read_dir(folder.path()).unwrap().flatten().next();
        inside.is_some_and(|dir| std::fs::read_dir(dir.path()).is_ok_and(|mut dir| dir.next().is_some()))
    };
    eventually(|| {
        if files() || child.try_wait().unwrap().is_some() { Ok(()) } else { Err("no file was made".into()) }
    });
    let _ended_already = rustix::process::kill_process(pid, rustix::process::Signal::INT);
    child.wait().unwrap();
    assert_eq!(entries(), 0);
}

#[test]
fn a_place_that_cannot_be_written_is_named_with_what_to_do() {
    let run = finish(program().args(["tour", "--dir", "/proc"])).ended(1);
    assert!(run.err.contains("\"/proc\"") && run.err.contains("--dir"), "{}", run.err);
}
