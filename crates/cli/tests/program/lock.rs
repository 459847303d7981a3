//! `lock`: pages are held while a command runs or until a signal, as far as limits allow.

use std::fs::File;
use std::io::{BufRead, BufReader};
use std::ops::ControlFlow;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, Stdio};

use serde_json::Value;

use crate::start::{Folder, Run, bytes, can_evict, eventually, finish, program, skip};

/// Small enough for every usual limit.
const SMALL: usize = 40_000;

#[test]
fn pages_are_locked_while_the_command_runs_and_its_code_is_ours() {
    let folder = Folder::new();
    let path = folder.file("a", &bytes(SMALL));
    let status = |program: &str| {
        let script = format!("grep VmLck /proc/$PPID/status; exit {program}");
        finish(self::program().arg("lock").arg(&path).args(["--", "sh", "-c", &script]))
    };
    let run = status("0").ended(0);
    let locked = run.out.lines().find(|line| line.starts_with("VmLck")).unwrap();
    assert!(!locked.contains(" 0 kB"), "{locked}");
    status("7").ended(7);
}

#[test]
fn a_command_that_does_not_exist_is_named() {
    let folder = Folder::new();
    let path = folder.file("a", &bytes(SMALL));
    let run = finish(program().arg("lock").arg(&path).args(["--", "/no/such/command"])).ended(1);
    assert!(run.err.contains("cannot run \"/no/such/command\": no such file"), "{}", run.err);
}

#[test]
fn a_command_runs_where_there_was_nothing_to_lock_and_not_where_nothing_could_be() {
    let folder = Folder::new();
    let lock =
        |path: &Path| finish(program().arg("lock").arg(path).args(["--", "sh", "-c", "echo ran; exit 4"]));
    let run = lock(&folder.file("empty", b"")).ended(4);
    assert!(run.out.ends_with("ran\n"), "{}", run.out);
    let run = lock(&folder.path().join("missing")).ended(1);
    assert!(run.out.is_empty() && run.err.contains("no such file"), "{}{}", run.out, run.err);
}

#[test]
fn a_signal_lets_go() {
    let folder = Folder::new();
    let path = folder.file("a", &bytes(SMALL));
    let mut child =
        program().arg("lock").arg(&path).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
    let holding = lines.next().unwrap().unwrap();
    assert!(holding.contains("holding") && holding.contains("Ctrl-C"), "{holding}");
    let pid = rustix::process::Pid::from_child(&child);
    rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(0));
}

/// What `show --json` says of a file while a lock with some arguments holds.
fn shown_while_locked(arguments: &[&str], path: &Path) -> Value {
    let mut command = program();
    command.arg("lock").args(arguments).args(["--json", "--", env!("CARGO_BIN_EXE_mapwright")]);
    let run = finish(command.args(["show", "--json", "--ranges"]).arg(path)).ended(0);
    let mut documents = serde_json::Deserializer::from_str(&run.out).into_iter::<Value>();
    assert_eq!(documents.next().unwrap().unwrap()["schema"], "mapwright.lock/1");
    documents.next().unwrap().unwrap()["targets"][0].clone()
}

/// The stretches that are in memory.
fn cached(target: &Value) -> Vec<(u64, u64)> {
    let mut stretches: Vec<(u64, u64)> = Vec::new();
    for range in target["ranges"].as_array().unwrap() {
        let (from, to) = (range["from"].as_u64().unwrap(), range["to"].as_u64().unwrap());
        match stretches.last_mut() {
            _ if !range["state"].as_str().unwrap().contains("cached") => {}
            Some(last) if last.1 == from => last.1 = to,
            _ => stretches.push((from, to)),
        }
    }
    stretches
}

fn locked_kib(out: &str) -> u64 {
    let line = out.lines().find_map(|line| line.strip_prefix("VmLck:")).unwrap();
    line.trim().strip_suffix("kB").unwrap().trim().parse().unwrap()
}

#[test]
fn a_range_is_all_that_is_locked_at_any_rate() {
    let folder = Folder::new();
    let page = rustix::param::page_size();
    let path = folder.file("a", &bytes(20 * page));
    let range = format!("{}+{}", page, 3 * page);
    let mut command = program();
    command.arg("lock").arg(&path).args(["--range", &range, "--rate", "1G/s", "--"]);
    let run = finish(command.args(["sh", "-c", "grep VmLck /proc/$PPID/status"])).ended(0);
    assert_eq!(locked_kib(&run.out), u64::try_from(3 * page / 1024).unwrap(), "{}", run.out);
}

#[test]
fn on_fault_locks_without_reading() {
    let folder = Folder::new();
    if !can_evict(&folder) {
        return;
    }
    let path = folder.file("a", &bytes(SMALL));
    let path_text = path.to_str().unwrap();
    eventually(|| {
        mapwright::evict(File::open(&path).unwrap(), ..).unwrap();
        let now = shown_while_locked(&[path_text], &path);
        mapwright::evict(File::open(&path).unwrap(), ..).unwrap();
        let on_fault = shown_while_locked(&[path_text, "--on-fault"], &path);
        let cached = |target: &Value| target["cached_bytes"].as_u64().unwrap();
        if cached(&now) >= u64::try_from(SMALL).unwrap() && cached(&on_fault) == 0 {
            Ok(())
        } else {
            Err(format!("{now} {on_fault}"))
        }
    });
    let script = ["--on-fault", "--", "sh", "-c", "grep VmLck /proc/$PPID/status"];
    let run = finish(program().arg("lock").arg(&path).args(script)).ended(0);
    assert!(locked_kib(&run.out) >= u64::try_from(SMALL).unwrap() / 1024, "{}", run.out);
}

#[test]
fn a_set_that_was_saved_is_brought_back_and_held() {
    let folder = Folder::new();
    if !can_evict(&folder) {
        return;
    }
    let page = u64::try_from(rustix::param::page_size()).unwrap();
    let path = folder.file("a", &bytes(16 * rustix::param::page_size()));
    let (path_text, set) = (path.to_str().unwrap(), folder.path().join("set.json"));
    let set = set.to_str().unwrap();
    eventually(|| {
        let file = File::open(&path).unwrap();
        // So that warming brings in what it was told to, and nothing ahead.
        rustix::fs::fadvise(&file, 0, None, rustix::fs::Advice::Random).unwrap();
        mapwright::evict(&file, ..).unwrap();
        mapwright::warm(&file, 4 * page..7 * page, |_| ControlFlow::Continue(())).unwrap();
        let before = finish(program().args(["show", "--json", "--ranges", path_text])).json();
        let before = cached(&before["targets"][0]);
        finish(program().args(["lock", path_text, "--save", set, "--", "true"])).ended(0);
        mapwright::evict(&file, ..).unwrap();
        let during = cached(&shown_while_locked(&["--restore", set], &path));
        // Reading ahead may bring in more, but what was there must be there again.
        let is_back = |&(from, to): &(u64, u64)| during.iter().any(|it| it.0 <= from && to <= it.1);
        let saved: Value = serde_json::from_str(&std::fs::read_to_string(set).unwrap()).unwrap();
        let saved = &saved["files"][0]["ranges"];
        let wanted = serde_json::json!(before);
        if !before.is_empty() && before != [(0, 16 * page)] && *saved == wanted && before.iter().all(is_back)
        {
            Ok(())
        } else {
            Err(format!("before {before:?}, saved {saved}, during {during:?}"))
        }
    });
}

#[test]
fn waiting_for_what_can_never_be_is_refused_at_once() {
    let Some(run) = lock_a_mebibyte("ulimit -l 256", "--wait") else { return };
    let run = run.ended(1);
    assert!(run.err.contains("1048576 bytes") && run.err.contains("262144"), "{}", run.err);
    assert!(run.err.contains("hard limit") && run.out.is_empty(), "{}{}", run.err, run.out);
}

#[test]
fn what_a_limit_forbids_is_said_with_the_limit_and_the_rest_is_held() {
    let Some(run) = lock_a_mebibyte("ulimit -l 256", "") else { return };
    let run = run.ended(3);
    assert!(run.err.contains("RLIMIT_MEMLOCK") && run.err.contains("262144"), "{}", run.err);
    assert!(run.out.contains("not locked"), "{}", run.out);
}

#[test]
fn a_soft_limit_is_raised_to_the_hard_one() {
    let Some(run) = lock_a_mebibyte("ulimit -S -l 64 && ulimit -H -l 1200", "--wait") else { return };
    run.ended(0);
}

/// Locks a file of a mebibyte as a user who is bound by limits: root may lock without any.
fn lock_a_mebibyte(limits: &str, argument: &str) -> Option<Run> {
    let mut shell = Command::new("sh");
    if rustix::process::geteuid().is_root() {
        let mut probe = Command::new(env!("CARGO_BIN_EXE_mapwright"));
        if let Err(error) = probe.arg("--version").uid(65_534).gid(65_534).output() {
            skip("user", format!("nobody cannot start {}: {error}", env!("CARGO_BIN_EXE_mapwright")));
            return None;
        }
        shell.uid(65_534).gid(65_534);
    }
    let folder = tempfile::tempdir().unwrap();
    let everybody = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    std::fs::set_permissions(folder.path(), everybody).unwrap();
    let path = folder.path().join("a");
    std::fs::write(&path, bytes(1 << 20)).unwrap();
    let script = format!("{limits} && exec \"$0\" lock {argument} \"$1\" -- true");
    let run = finish(shell.args(["-c", &script]).arg(env!("CARGO_BIN_EXE_mapwright")).arg(&path));
    // The shell's words, not ours, which tell of `ulimit -l`.
    if run.err.contains("ulimit: ") {
        skip("ulimit", format!("sh cannot lower the limit: {}", run.err));
        return None;
    }
    Some(run)
}
