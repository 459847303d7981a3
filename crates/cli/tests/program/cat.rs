//! `cat`: every byte, of everything that has bytes.

use std::fs::File;
use std::io::Write;
use std::process::Stdio;

use crate::start::{Folder, bytes, finish, program, run};

#[test]
fn all_bytes_come_out_in_the_order_of_the_targets() {
    let folder = Folder::new();
    let content = bytes((9 << 20) + 123);
    let (large, small) = (folder.file("large", &content), folder.file("small", b"tail"));
    let output = program().arg("cat").arg(&large).arg(&small).output().unwrap();
    assert!(output.stdout == [&content[..], b"tail"].concat(), "{} bytes came out", output.stdout.len());
    assert!(output.status.success());
}

#[test]
fn cold_bytes_come_out_the_same() {
    let folder = Folder::new();
    let content = bytes(20 << 20);
    let path = folder.file("cold", &content);
    mapwright::evict(File::open(&path).unwrap(), ..).unwrap();
    let output = program().arg("cat").arg(&path).output().unwrap();
    assert!(output.stdout == content, "{} bytes came out", output.stdout.len());
}

#[test]
fn ranges_stand_behind_a_target_or_hold_for_all() {
    let folder = Folder::new();
    let path = folder.file("a", b"0123456789");
    let cat = |target: &str, range: Option<&str>| {
        let mut command = program();
        command.arg("cat").current_dir(folder.path()).arg(target);
        if let Some(range) = range {
            command.args(["--range", range]);
        }
        finish(&mut command)
    };
    assert_eq!(cat("a:2-5", None).ended(0).out, "234");
    assert_eq!(cat("file:a:7+3", None).ended(0).out, "789");
    assert_eq!(cat("a:8-", None).ended(0).out, "89");
    assert_eq!(cat("a", Some("0-2")).ended(0).out, "01");
    assert_eq!(cat("a:4-6", Some("0-2")).ended(0).out, "45");
    assert_eq!(cat("a:5-5", None).ended(0).out, "");
    let run = cat("a:5-11", None).ended(1);
    assert!(run.err.contains("5-11") && run.err.contains("ends at 10"), "{}", run.err);
    drop(path);
}

#[test]
fn files_of_proc_and_pipes_have_bytes_too() {
    assert!(run(["cat", "/proc/self/status"]).ended(0).out.starts_with("Name:\tmapwright\n"));
    assert_eq!(run(["cat", "/proc/self/status:0-5"]).ended(0).out, "Name:");
    assert_eq!(run(["cat", "/proc/self/comm:3-6"]).ended(0).out, "wri");
    let mut child = program()
        .args(["cat", "/dev/stdin:1-4"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(b"abcdef").unwrap();
    assert_eq!(child.wait_with_output().unwrap().stdout, b"bcd");
    assert_eq!(run(["cat", "/dev/zero:0-3"]).ended(0).out, "\0\0\0");
}

#[test]
fn an_empty_file_has_nothing_to_say() {
    let folder = Folder::new();
    let path = folder.file("empty", b"");
    assert_eq!(finish(program().arg("cat").arg(&path)).ended(0).out, "");
}
