//! Children that are made to die: forked, so that a test can enumerate thousands of deaths in seconds.

#![allow(unsafe_code, reason = "forks, for tests; listed in docs/SOUNDNESS.md")]

/// How a child ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// By itself, with a code: 0, or 101 where it panicked.
    Exited(i32),
    /// By a signal.
    Killed(i32),
    /// It has stopped (SIGSTOP), and can be continued.
    Stopped,
}

/// A forked child; killed and waited for when dropped.
///
/// For tests only. The child has one thread, whatever runs beside it in the parent, so it must not wait for
/// what another thread holds; the C library sees to it that it can allocate.
#[derive(Debug)]
pub struct Child(i32);

impl Child {
    /// Forks a child that runs a function and ends; after two minutes it ends in any case.
    ///
    /// # Panics
    /// Where the kernel makes no process.
    #[allow(clippy::panic, reason = "for tests")]
    pub fn fork(work: impl FnOnce()) -> Self {
        // SAFETY: the child runs the function and leaves by _exit or a signal: no destructor of another
        // thread runs, and no lock but the allocator's is waited for, which the C library keeps
        // usable.
        match unsafe { libc::fork() } {
            -1 => panic!("fork: {}", std::io::Error::last_os_error()),
            0 => {
                // SAFETY: takes numbers; ends a child whose parent has died, and one that hangs.
                unsafe { libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL) };
                // SAFETY: as above.
                unsafe { libc::alarm(120) };
                let result = std::panic::catch_unwind(std::panic::AssertUnwindSafe(work));
                // SAFETY: ends the child.
                unsafe { libc::_exit(if result.is_ok() { 0 } else { 101 }) }
            }
            id => Self(id),
        }
    }

    /// Sends a signal.
    pub fn signal(&self, signal: i32) {
        // SAFETY: the child is ours and was not waited for.
        unsafe { libc::kill(self.0, signal) };
    }

    /// Kills it (SIGKILL).
    pub fn kill(&self) {
        self.signal(libc::SIGKILL);
    }

    /// Waits until it has ended.
    #[must_use]
    pub fn wait(self) -> End {
        let end = self.wait_for(0);
        std::mem::forget(self);
        end
    }

    /// Waits until it has ended or stopped. One that has ended is not waited for again.
    #[must_use]
    pub fn wait_until_stopped(self) -> (Option<Self>, End) {
        match self.wait_for(libc::WUNTRACED) {
            End::Stopped => (Some(self), End::Stopped),
            end => {
                std::mem::forget(self);
                (None, end)
            }
        }
    }

    fn wait_for(&self, options: i32) -> End {
        let mut status = 0;
        // SAFETY: the child is ours; the status is a local.
        while unsafe { libc::waitpid(self.0, &raw mut status, options) } == -1 {
            let interrupted = std::io::Error::last_os_error().raw_os_error() == Some(libc::EINTR);
            assert!(interrupted, "waitpid: {}", std::io::Error::last_os_error());
        }
        match status {
            status if libc::WIFSTOPPED(status) => End::Stopped,
            status if libc::WIFSIGNALED(status) => End::Killed(libc::WTERMSIG(status)),
            status => End::Exited(libc::WEXITSTATUS(status)),
        }
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        self.kill();
        let _end = self.wait_for(0);
    }
}
