//! What the tests of this module share.

use std::fs::File;
use std::io::{Seek, Write};

use super::residency;

/// Says out loud that a test cannot run here; with `MAPWRIGHT_NO_SKIP=1` that is a failure.
pub(crate) fn skip(test: &str, why: impl std::fmt::Display) {
    assert!(std::env::var_os("MAPWRIGHT_NO_SKIP").is_none_or(|set| set != "1"), "{test} was skipped: {why}");
    // Not eprintln, which the test runner would capture.
    writeln!(std::io::stderr(), "SKIPPED {test}: {why}").unwrap();
}

/// A file of so many bytes, each its offset's lowest eight bits plus one, written to its disk and not cached.
///
/// `None`, and said out loud, where the temporary directory has no disk (tmpfs).
pub(crate) fn cold_file(test: &str, bytes: usize) -> Option<File> {
    let mut file = tempfile::tempfile().unwrap();
    let contents: Vec<u8> = (0..bytes).map(|at| at.wrapping_add(1).to_le_bytes()[0]).collect();
    file.write_all(&contents).unwrap();
    file.rewind().unwrap();
    file.sync_all().unwrap();
    // Pages that sit in another processor's batch survive the first try.
    for _ in 0..100 {
        rustix::fs::fadvise(&file, 0, None, rustix::fs::Advice::DontNeed).unwrap();
        if residency(&file, ..).unwrap().totals().cached == 0 {
            // So that a test which touches one page brings in that page only.
            rustix::fs::fadvise(&file, 0, None, rustix::fs::Advice::Random).unwrap();
            return Some(file);
        }
    }
    skip(test, "the temporary directory is not on a disk");
    None
}

/// Runs `child` in a forked process; returns its exit status, or the negated signal that ended it.
#[allow(unsafe_code, reason = "a test forks")]
pub(crate) fn in_child(child: impl FnOnce() -> i32) -> i32 {
    // SAFETY: the child runs `child` only, which the callers keep to system calls and this crate, and leaves
    // by _exit.
    match unsafe { libc::fork() } {
        0 => {
            let code = std::panic::catch_unwind(std::panic::AssertUnwindSafe(child)).unwrap_or(101);
            // SAFETY: ends the child without running what belongs to the parent.
            unsafe { libc::_exit(code) }
        }
        pid => {
            assert!(pid > 0, "fork failed");
            let mut status = 0;
            // SAFETY: waits for the child that was just made; the target is a local.
            let waited = unsafe { libc::waitpid(pid, &raw mut status, 0) };
            assert_eq!(waited, pid);
            if libc::WIFEXITED(status) { libc::WEXITSTATUS(status) } else { -libc::WTERMSIG(status) }
        }
    }
}
