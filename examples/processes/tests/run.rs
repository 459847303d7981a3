//! The programs are run as a reader would run them.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use mapwright::share::{Attendance, Directory};
use rustix::process::Signal;

const LIVE_CONFIG: &str = env!("CARGO_BIN_EXE_live_config");
const PREFORKED: &str = env!("CARGO_BIN_EXE_preforked");
const FRAMES: &str = env!("CARGO_BIN_EXE_frames");

/// A program whose segments, and whose other files, lie in a folder of the test.
fn command(program: &str, folder: &Path) -> Command {
    let mut command = Command::new(program);
    command.env("MAPWRIGHT_SHARE_DIR", folder.join("segments")).env("TMPDIR", folder.join("files"));
    command
}

fn folder() -> tempfile::TempDir {
    let folder = tempfile::tempdir_in("/dev/shm").unwrap();
    for name in ["segments", "files"] {
        std::fs::create_dir(folder.path().join(name)).unwrap();
    }
    folder
}

fn demand_empty(folder: &Path, why: &Output) {
    let left = |name| std::fs::read_dir(folder.join(name)).unwrap().map(|entry| entry.unwrap().file_name());
    let left: Vec<_> = left("segments").chain(left("files")).collect();
    assert!(left.is_empty(), "{left:?} are left: {why:?}");
}

fn run(program: &str) -> Output {
    let folder = folder();
    let output = command(program, folder.path()).output().unwrap();
    demand_empty(folder.path(), &output);
    output
}

/// Starts a program, and returns when its segment is there.
fn start(program: &str, folder: &Path) -> (Child, String) {
    let mut command = command(program, folder);
    let child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    let directory = Directory::at(folder.join("segments")).unwrap();
    let name = wait_for("its segment", || directory.segments().unwrap().pop());
    (child, name)
}

/// Kills a program, and returns when nobody takes part in its segment any more.
fn kill(child: &mut Child, folder: &Path, segment: &str) {
    child.kill().unwrap();
    child.wait().unwrap();
    let directory = Directory::at(folder.join("segments")).unwrap();
    wait_for("the end of its processes", || {
        let overview = directory.inspect(segment).unwrap();
        overview.participants.iter().all(|one| one.state != Attendance::Alive).then_some(())
    });
}

fn wait_for<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let start = Instant::now();
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(start.elapsed() < Duration::from_secs(60), "waited for {what} in vain");
        std::thread::yield_now();
    }
}

fn text(output: &Output) -> String {
    assert!(output.status.success(), "{output:?}");
    String::from_utf8_lossy(&output.stdout).into_owned()
}

#[test]
fn a_configuration_reaches_all_workers_and_outlives_its_publisher() {
    let text = text(&run(LIVE_CONFIG));
    assert!(text.contains("the workers still read edit 4"), "{text}");
    assert!(text.contains("another publisher has taken its place: edit 5"), "{text}");
    assert!(text.lines().filter(|line| line.starts_with("worker")).count() >= 3, "{text}");
}

#[test]
fn a_web_server_whose_workers_are_killed_answers_everything_and_counts_exactly() {
    let text = text(&run(PREFORKED));
    assert!(text.contains("16000 requests answered") && text.contains("60 kills"), "{text}");
    assert!(text.contains("12800 let through") && text.contains("3200 refused"), "{text}");
    assert!(text.contains("everything is counted exactly once"), "{text}");
}

#[test]
fn frames_reach_both_readers_and_every_chunk_comes_back() {
    let text = text(&run(FRAMES));
    assert!(text.contains("recorder: 60 frames, 0 missed"), "{text}");
    assert!(text.contains("12 of 12 chunks are free"), "{text}");
}

#[test]
fn what_a_killed_show_leaves_is_removed_by_the_next_one() {
    for program in [LIVE_CONFIG, PREFORKED] {
        let folder = folder();
        let (mut child, name) = start(program, folder.path());
        kill(&mut child, folder.path(), &name);
        let output = command(program, folder.path()).output().unwrap();
        assert!(output.status.success(), "{output:?}");
        demand_empty(folder.path(), &output);
    }
}

#[test]
fn an_interrupted_show_leaves_nothing() {
    for program in [LIVE_CONFIG, PREFORKED] {
        let folder = folder();
        let (child, _) = start(program, folder.path());
        rustix::process::kill_process(rustix::process::Pid::from_child(&child), Signal::INT).unwrap();
        let output = child.wait_with_output().unwrap();
        demand_empty(folder.path(), &output);
    }
}

#[test]
fn a_web_server_that_was_killed_is_gone_on_with() {
    let folder = folder();
    let segments = || Directory::at(folder.path().join("segments")).unwrap().segments().unwrap();
    let said = [(); 2].map(|()| {
        let mut command = command(PREFORKED, folder.path());
        // The same address both times: the port is the one of the segment's name.
        let address =
            segments().pop().map_or("127.0.0.1:0".to_owned(), |name| name.replace("preforked-", ""));
        let mut child = command.args(["serve", &address]).stdout(Stdio::piped()).spawn().unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let first = lines.next().unwrap().unwrap();
        let address = first.split("http://").nth(1).unwrap().split('/').next().unwrap().to_owned();
        let mut connection = TcpStream::connect(&address).unwrap();
        connection.write_all(b"GET /item/7 HTTP/1.1\r\nhost: it\r\nconnection: close\r\n\r\n").unwrap();
        let mut answer = String::new();
        connection.read_to_string(&mut answer).unwrap();
        assert!(answer.starts_with("HTTP/1.1 200") && answer.contains("item 7 of"), "{answer}");
        kill(&mut child, folder.path(), &segments().pop().unwrap());
        (answer, lines.map(Result::unwrap).collect::<Vec<_>>())
    });
    let [(first, _), (second, lines)] = &said;
    assert!(first.contains("x-outcome: miss") && second.contains("x-outcome: hit"), "{first} {second}");
    assert!(lines[0].contains("1 requests are counted"), "{lines:?}");
}
