//! The programs are run as a reader would run them.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::process::{Command, Output};

fn run(program: &str, arguments: &[&str]) -> Output {
    let folder = tempfile::tempdir_in("/dev/shm").unwrap();
    let output =
        Command::new(program).args(arguments).env("MAPWRIGHT_SHARE_DIR", folder.path()).output().unwrap();
    let left = std::fs::read_dir(folder.path()).unwrap().count();
    assert_eq!(left, 0, "segments are left: {output:?}");
    output
}

fn text(output: &Output) -> String {
    assert!(output.status.success(), "{output:?}");
    String::from_utf8_lossy(&output.stdout).into_owned()
}

#[test]
fn a_configuration_reaches_all_workers_and_outlives_its_publisher() {
    let text = text(&run(env!("CARGO_BIN_EXE_live_config"), &[]));
    assert!(text.contains("the workers still read edit 4"), "{text}");
    assert!(text.contains("another publisher has taken its place: edit 5"), "{text}");
    assert!(text.lines().filter(|line| line.starts_with("worker")).count() >= 3, "{text}");
}

#[test]
fn a_web_server_whose_workers_are_killed_answers_everything_and_counts_exactly() {
    let text = text(&run(env!("CARGO_BIN_EXE_preforked"), &[]));
    assert!(text.contains("16000 requests answered") && text.contains("60 kills"), "{text}");
    assert!(text.contains("12800 let through") && text.contains("3200 refused"), "{text}");
    assert!(text.contains("everything is counted exactly once"), "{text}");
}

#[test]
fn frames_reach_both_readers_and_every_chunk_comes_back() {
    let text = text(&run(env!("CARGO_BIN_EXE_frames"), &[]));
    assert!(text.contains("recorder: 60 frames, 0 missed"), "{text}");
    assert!(text.contains("12 of 12 chunks are free"), "{text}");
}
