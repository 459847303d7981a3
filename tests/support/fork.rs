//! Forked children of a role, without exec: they inherit maps and handlers, and have one thread.

#![allow(unsafe_code, reason = "fork has no safe form")]

use super::process::Ended;
use std::os::unix::process::ExitStatusExt;
use std::process::ExitStatus;

/// Runs `child` in a forked child and returns how that ended: 0 where it returned, 101 where it panicked.
///
/// Only for roles: they have one thread when they call this, so nobody else's lock is held in the child for
/// ever.
pub(crate) fn run(child: impl FnOnce()) -> Ended {
    // SAFETY: the calling process has one thread, so the child is as whole as its parent.
    match unsafe { libc::fork() } {
        -1 => panic!("fork: {}", std::io::Error::last_os_error()),
        0 => {
            let result = std::panic::catch_unwind(std::panic::AssertUnwindSafe(child));
            super::signals::exit_now(if result.is_ok() { 0 } else { 101 })
        }
        id => {
            let mut status = 0;
            // SAFETY: the status is a live local; the child is ours and was not waited for.
            assert_eq!(unsafe { libc::waitpid(id, &raw mut status, 0) }, id);
            ExitStatus::from_raw(status).into()
        }
    }
}
