//! Nothing hangs: the second process is watched, and the run ends loudly when it dies or stands still.
//!
//! The first process spins on memory that the second one writes, or sleeps in the kernel until it is woken;
//! neither notices a death. So a thread that sleeps on the second's pidfd does, and ends the run by SIGTERM,
//! which also removes the files of the run. The second dies with the first (PR_SET_PDEATHSIG).

use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::process::{Child, ExitStatus};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use anyhow::{Result, ensure};

/// How long a sample of two processes may take at most.
const PATIENCE: Duration = Duration::from_secs(60);

/// A second process under watch. Dropping it ends it.
pub(super) struct Watchdog {
    handle: Arc<OwnedFd>,
    excused: Arc<AtomicBool>,
    thread: Option<JoinHandle<Option<ExitStatus>>>,
}

impl Watchdog {
    pub(super) fn over(child: Child, what: String) -> Result<Self> {
        // SAFETY: no pointers are passed.
        let handle = unsafe { libc::syscall(libc::SYS_pidfd_open, child.id(), 0) };
        ensure!(handle >= 0, "watch the second process: {}", std::io::Error::last_os_error());
        // SAFETY: the descriptor is new and nobody else's.
        let handle = Arc::new(unsafe { OwnedFd::from_raw_fd(handle as i32) });
        let excused = Arc::new(AtomicBool::new(false));
        let watched = (Arc::clone(&handle), Arc::clone(&excused));
        let thread = std::thread::spawn(move || watch(child, &watched.0, &watched.1, &what));
        Ok(Self { handle, excused, thread: Some(thread) })
    }

    /// Waits until the second process has ended by itself.
    ///
    /// # Errors
    /// Where it did not succeed.
    pub(super) fn finish(mut self) -> Result<()> {
        let thread = self.thread.take().expect("it is joined once");
        let status = thread.join().expect("the watching thread does not panic");
        ensure!(status.is_some_and(|status| status.success()), "the second process has failed");
        Ok(())
    }
}

impl Drop for Watchdog {
    fn drop(&mut self) {
        let Some(thread) = self.thread.take() else { return };
        self.excused.store(true, Ordering::Release);
        end(&self.handle);
        // Whatever it died of: the reason that we are here is reported by somebody else.
        let _status = thread.join();
    }
}

fn watch(mut child: Child, handle: &OwnedFd, excused: &AtomicBool, what: &str) -> Option<ExitStatus> {
    let mut poll = libc::pollfd { fd: handle.as_raw_fd(), events: libc::POLLIN, revents: 0 };
    // SAFETY: one pollfd that is valid for reads and writes.
    let ready = unsafe { libc::poll(&mut poll, 1, PATIENCE.as_millis() as i32) };
    if ready <= 0 {
        end(handle);
    }
    let status = child.wait().ok();
    if status.is_some_and(|status| status.success()) || excused.load(Ordering::Acquire) {
        return status;
    }
    match status {
        Some(status) if ready > 0 => eprintln!("error: {what}: the second process ended with {status}"),
        _ => eprintln!("error: {what}: no end after {} s", PATIENCE.as_secs()),
    }
    // SAFETY: no pointers are passed. Our own handler removes the files of the run and ends it.
    unsafe { libc::kill(std::process::id() as i32, libc::SIGTERM) };
    status
}

fn end(handle: &OwnedFd) {
    let none = std::ptr::null::<libc::siginfo_t>();
    // SAFETY: a null siginfo is allowed. A process that has ended already cannot be ended: no matter.
    unsafe { libc::syscall(libc::SYS_pidfd_send_signal, handle.as_raw_fd(), libc::SIGKILL, none, 0) };
}
