//! `lock`: pages are held while a command runs or until a signal, as far as limits allow.

use std::io::{BufRead, BufReader};
use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};

use crate::start::{Folder, bytes, finish, program};

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

#[test]
fn what_a_limit_forbids_is_said_with_the_limit_and_the_rest_is_held() {
    if !rustix::process::geteuid().is_root() {
        return limited(&mut Command::new("sh"));
    }
    // Root may lock without limits; somebody else may not, where they can reach the program at all.
    let mut shell = Command::new("sh");
    let probe =
        Command::new(env!("CARGO_BIN_EXE_mapwright")).arg("--version").uid(65_534).gid(65_534).output();
    if probe.is_err() || std::fs::metadata("/proc/self").is_err() {
        eprintln!("SKIPPED: an unprivileged user cannot start {}", env!("CARGO_BIN_EXE_mapwright"));
        return;
    }
    limited(shell.uid(65_534).gid(65_534));
}

fn limited(shell: &mut Command) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a");
    std::fs::write(&path, bytes(1 << 20)).unwrap();
    let open = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    std::fs::set_permissions(folder.path(), open).unwrap();
    let script = "ulimit -l 256 && exec \"$0\" lock \"$1\" -- true";
    let run = finish(shell.args(["-c", script]).arg(env!("CARGO_BIN_EXE_mapwright")).arg(&path));
    if run.err.contains("ulimit") {
        eprintln!("SKIPPED: sh cannot lower the limit: {}", run.err);
        return;
    }
    let run = run.ended(3);
    assert!(run.err.contains("RLIMIT_MEMLOCK") && run.err.contains("262144"), "{}", run.err);
    assert!(run.out.contains("not locked"), "{}", run.out);
}
