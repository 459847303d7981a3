//! Progress: a bar on a terminal while work is done, nothing where stderr is a file, and nothing left behind.

use std::fs::File;
use std::io::Read;
use std::os::fd::OwnedFd;
use std::process::Command;

use rustix::pty::{OpenptFlags, grantpt, openpt, unlockpt};

use crate::start::{Folder, bytes, can_evict, eventually, finish, program, skip};

/// What a command shows on a terminal that is its stderr; nothing, and said aloud, where none can be had.
fn on_terminal(command: &mut Command) -> Option<String> {
    let terminal = || {
        let ours = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC)?;
        grantpt(&ours)?;
        unlockpt(&ours)?;
        let name = rustix::pty::ptsname(&ours, Vec::new())?;
        Ok::<_, std::io::Error>((ours, File::options().read(true).write(true).open(name.to_str().unwrap())?))
    };
    let (ours, theirs): (OwnedFd, File) = match terminal() {
        Ok(pair) => pair,
        Err(error) => {
            skip("terminal", error);
            return None;
        }
    };
    let mut child = command.env("TERM", "xterm").stderr(theirs).spawn().unwrap();
    // Our own copy of their end would keep the terminal open.
    command.stderr(std::process::Stdio::null());
    let (mut ours, mut shown, mut piece) = (File::from(ours), Vec::new(), [0; 4096]);
    // The other end's last closing is an error here (EIO).
    while let Ok(len) = ours.read(&mut piece) {
        shown.extend_from_slice(&piece[..len]);
    }
    assert!(child.wait().unwrap().success());
    Some(String::from_utf8_lossy(&shown).into_owned())
}

#[test]
fn a_bar_is_shown_on_a_terminal_and_cleared_away() {
    let folder = Folder::new();
    if !can_evict(&folder) {
        return;
    }
    let path = folder.file("a", &bytes(8 << 20));
    eventually(|| {
        let _in_memory = std::fs::read(&path).unwrap();
        for (verb, word) in [("evict", "evicting"), ("warm", "warming")] {
            let mut command = program();
            command.args([verb, "--json"]).arg(&path).stdout(std::process::Stdio::null());
            let Some(shown) = on_terminal(&mut command) else { return Ok(()) };
            // Others may have evicted or read it, and then there is nothing to be done.
            if !(shown.contains(word) && shown.contains("8.00 MiB") && shown.contains('\u{2588}')) {
                return Err(format!("{shown:?}"));
            }
            // It fits into a line, so that it never has to be taken from two.
            assert!(!shown.contains("\u{1b}[1A"), "{shown:?}");
            // The last thing is a line that was cleared.
            let last = shown.rsplit('\r').next().unwrap();
            assert!(!last.contains(word), "{shown:?}");
        }
        Ok(())
    });
}

#[test]
fn no_bar_goes_into_a_pipe() {
    let folder = Folder::new();
    let path = folder.file("a", &bytes(1 << 20));
    for command in ["evict", "warm"] {
        let run = finish(program().arg(command).arg(&path));
        assert!(!run.err.contains("ing ") && !run.err.contains('\r'), "{command}: {}", run.err);
    }
}
