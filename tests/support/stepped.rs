//! A child that is stopped before each of its system calls: a test kills it before the n-th, for every n.
//!
//! Between two system calls a process changes nothing but memory, so these are all states in which a kill can
//! leave files (of a single-threaded child; what a second one does meanwhile is left to chance).
#![allow(unsafe_code, reason = "ptrace has no safe form")]

use super::process::{self, Ended};
use super::skip::{Need, Skip};
use std::os::unix::process::ExitStatusExt;
use std::process::ExitStatus;
use std::ptr;

/// Said by a role: from here on its system calls are counted.
pub(crate) fn begin() {
    // SAFETY: the call takes no pointers here.
    let traced =
        unsafe { libc::ptrace(libc::PTRACE_TRACEME, 0, ptr::null_mut::<u8>(), ptr::null_mut::<u8>()) };
    assert_eq!(traced, 0, "ptrace: {}", std::io::Error::last_os_error());
    // SAFETY: the call takes no pointers.
    assert_eq!(unsafe { libc::raise(libc::SIGSTOP) }, 0);
}

/// Whether a child can be stepped at all.
pub(crate) fn is_possible() -> Result<(), Skip> {
    match std::env::var("MAPWRIGHT_TEST_RUNNER") {
        Ok(runner) if !runner.is_empty() => {
            Err(Skip::new(Need::Ptrace, "emulated system calls are not the child's"))
        }
        _ => Ok(()),
    }
}

/// Runs a role and kills it just before the `n`-th system call after [`begin`], counting from 0. `Some` is
/// how it ended by itself, where it has fewer.
#[allow(clippy::zombie_processes, reason = "it is waited for by its id, as ptrace wants it")]
pub(crate) fn kill_before_call(role: &str, args: &[&str], n: usize) -> Option<Ended> {
    let child = process::command(role, args).stdin(std::process::Stdio::null()).spawn().unwrap();
    let id = i32::try_from(child.id()).unwrap();
    if let Some(end) = until_stopped(id) {
        return Some(end);
    }
    let options = libc::PTRACE_O_EXITKILL | libc::PTRACE_O_TRACESYSGOOD;
    request(libc::PTRACE_SETOPTIONS, id, usize::try_from(options).unwrap());
    for call in 0.. {
        // To the entry of the call.
        if let Some(end) = go_on(id) {
            return Some(end);
        }
        if call == n {
            break;
        }
        // To its exit.
        if let Some(end) = go_on(id) {
            return Some(end);
        }
    }
    // SAFETY: the call takes no pointers; the child was not waited for, so the id is still its own.
    assert_eq!(unsafe { libc::kill(id, libc::SIGKILL) }, 0);
    assert_eq!(until_stopped(id), Some(Ended::Signal(libc::SIGKILL)));
    None
}

/// Lets the child run to its next stop at a system call, passing on signals that strike meanwhile.
fn go_on(id: i32) -> Option<Ended> {
    let mut signal = 0;
    loop {
        request(libc::PTRACE_SYSCALL, id, signal);
        let status = wait(id);
        if !libc::WIFSTOPPED(status) {
            return Some(ExitStatus::from_raw(status).into());
        }
        match libc::WSTOPSIG(status) {
            stop if stop == libc::SIGTRAP | 0x80 => return None,
            other => signal = usize::try_from(other).unwrap(),
        }
    }
}

/// Waits for a stop, or returns the end.
fn until_stopped(id: i32) -> Option<Ended> {
    let status = wait(id);
    (!libc::WIFSTOPPED(status)).then(|| ExitStatus::from_raw(status).into())
}

fn wait(id: i32) -> i32 {
    let mut status = 0;
    // SAFETY: the status is a live local, and the child is ours.
    assert_eq!(unsafe { libc::waitpid(id, &raw mut status, libc::__WALL) }, id);
    status
}

fn request(request: libc::c_uint, id: i32, data: usize) {
    let data = ptr::without_provenance_mut::<u8>(data);
    // SAFETY: the requests used here take a number in place of the pointer.
    let done = unsafe { libc::ptrace(request, id, ptr::null_mut::<u8>(), data) };
    assert_eq!(done, 0, "ptrace: {}", std::io::Error::last_os_error());
}
