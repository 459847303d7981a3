//! Who is alive: a lock on one byte of a file, which the kernel lets go of when its holder dies.
//!
//! The lock belongs to an open file description that one process owns. Children that are forked close it
//! before they run a line of their own, programs that are started never see it. So the byte is locked exactly
//! as long as the process lives (or until it lets go): immune to reused process ids, and the same from every
//! pid namespace.
//!
//! # Kernel
//! `F_OFD_SETLK` and `F_OFD_GETLK` of fcntl(2) (Linux 3.15), 190 ns a question. The bytes lie far beyond the
//! file's end, where they mean nothing but themselves.

#![allow(unsafe_code, reason = "locks bytes by fcntl(2); listed in docs/SOUNDNESS.md")]

use std::io;
use std::mem::ManuallyDrop;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};

use rustix::fs::OFlags;

use super::points;
use crate::sys::{absent, file, fork};

/// Where the byte of mark 0 is.
const MARKS_AT: i64 = 1 << 62;

/// The number of a byte.
pub type Mark = u32;

/// An open file description that is this process's alone, and whose locks say that it is alive.
///
/// ```
/// use mapwright_core::peer::Life;
/// # let file = tempfile::NamedTempFile::new().unwrap();
/// let (one, other) = (Life::open(file.as_file())?, Life::open(file.as_file())?);
/// assert!(one.claim(7)? && !other.claim(7)?);
/// assert!(other.is_held(7)?);
/// drop(one);      // or killed
/// assert!(!other.is_held(7)?);
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Debug)]
pub struct Life {
    /// Closed by the fork handler in children, who must not close it again.
    file: ManuallyDrop<OwnedFd>,
    epoch: fork::Epoch,
}

impl Life {
    /// Opens a file once more, for reading and writing, with a description of its own.
    ///
    /// # Errors
    /// Where /proc is not mounted, or the file may not be opened for writing.
    ///
    /// # Kernel
    /// open(2) of /proc/self/fd.
    pub fn open(file: impl AsFd) -> io::Result<Self> {
        let mut absent = absent::lock()?;
        let file = file::reopen(file.as_fd(), OFlags::RDWR | OFlags::CLOEXEC)?;
        absent.insert_descriptor(file.as_raw_fd());
        drop(absent);
        Ok(Self { file: ManuallyDrop::new(file), epoch: fork::epoch() })
    }

    /// Takes a byte's lock; `false` where somebody else has it, or keeps it from being taken: who may only
    /// read the file can do that by a lock for reading.
    ///
    /// # Errors
    /// What fcntl(2) says: `ENOLCK` where the kernel has no memory for locks.
    pub fn claim(&self, mark: Mark) -> io::Result<bool> {
        points::pass();
        match self.ask(libc::F_OFD_SETLK, libc::F_WRLCK, mark) {
            Ok(_) => Ok(true),
            Err(error) if matches!(error.raw_os_error(), Some(libc::EAGAIN | libc::EACCES)) => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Gives a byte's lock back.
    ///
    /// # Errors
    /// As [`claim`](Self::claim).
    pub fn release(&self, mark: Mark) -> io::Result<()> {
        points::pass();
        self.ask(libc::F_OFD_SETLK, libc::F_UNLCK, mark).map(drop)
    }

    /// Tells whether somebody *else* holds a byte's lock, as [`claim`](Self::claim) takes it: a lock for
    /// reading, which needs no right to write, is no sign of life.
    ///
    /// # Errors
    /// As [`claim`](Self::claim).
    pub fn is_held(&self, mark: Mark) -> io::Result<bool> {
        let found = self.ask(libc::F_OFD_GETLK, libc::F_RDLCK, mark)?;
        Ok(found != libc::F_UNLCK)
    }

    pub(super) fn is_here(&self) -> bool {
        self.epoch.is_here()
    }

    fn ask(&self, command: i32, kind: i32, mark: Mark) -> io::Result<i32> {
        self.ask_range(command, kind, MARKS_AT + i64::from(mark), 1)
    }

    fn ask_range(&self, command: i32, kind: i32, start: i64, len: i64) -> io::Result<i32> {
        if !self.epoch.is_here() {
            return Err(io::Error::from_raw_os_error(libc::EBADF));
        }
        let mut lock = libc::flock {
            l_type: libc::c_short::try_from(kind).unwrap_or_default(),
            l_whence: libc::c_short::try_from(libc::SEEK_SET).unwrap_or_default(),
            l_start: start,
            l_len: len,
            l_pid: 0,
        };
        // SAFETY: for these commands the kernel reads and writes one flock.
        match unsafe { libc::fcntl(self.file.as_raw_fd(), command, &raw mut lock) } {
            -1 => Err(io::Error::last_os_error()),
            _ => Ok(i32::from(lock.l_type)),
        }
    }
}

impl Drop for Life {
    fn drop(&mut self) {
        if !self.epoch.is_here() {
            return;
        }
        // A child that is just being forked closes its copy as soon as it runs; that must not count as life.
        let _let_go = self.ask_range(libc::F_OFD_SETLK, libc::F_UNLCK, MARKS_AT, 0);
        // Nobody forks between the two: a child would keep what it does not know.
        let absent = absent::lock().map(|mut absent| {
            absent.remove_descriptor(self.file.as_raw_fd());
            absent
        });
        // SAFETY: dropped once, here.
        unsafe { ManuallyDrop::drop(&mut self.file) };
        drop(absent);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn marks_are_independent_and_can_be_given_back() {
        let file = tempfile::tempfile().unwrap();
        let (one, other) = (Life::open(&file).unwrap(), Life::open(&file).unwrap());
        assert!(one.claim(0).unwrap() && other.claim(Mark::MAX).unwrap());
        assert!(!one.is_held(0).unwrap(), "one's own lock is nobody else's");
        assert!(one.is_held(Mark::MAX).unwrap() && other.is_held(0).unwrap());
        one.release(0).unwrap();
        assert!(other.claim(0).unwrap());
    }

    #[test]
    fn a_lock_for_reading_is_no_sign_of_life() {
        let file = tempfile::tempfile().unwrap();
        let (one, other) = (Life::open(&file).unwrap(), Life::open(&file).unwrap());
        one.ask(libc::F_OFD_SETLK, libc::F_RDLCK, 3).unwrap();
        assert!(!other.is_held(3).unwrap());
        assert!(!other.claim(3).unwrap(), "it keeps others from sitting down all the same");
    }

    #[test]
    fn a_forked_child_neither_keeps_the_lock_nor_closes_what_is_not_its_own() {
        let file = tempfile::tempfile().unwrap();
        let life = Life::open(&file).unwrap();
        assert!(life.claim(3).unwrap());
        let (mut reader, writer) = io::pipe().unwrap();
        // SAFETY: the child makes system calls and leaves by _exit.
        let child = unsafe { libc::fork() };
        if child == 0 {
            drop(writer);
            let refused = life.is_held(3).is_err();
            drop(life);
            // Lives until the parent has looked.
            let mut byte = [0];
            let _parent_is_done = io::Read::read(&mut reader, &mut byte);
            // SAFETY: ends the child.
            unsafe { libc::_exit(i32::from(!refused)) };
        }
        drop(life);
        let other = Life::open(&file).unwrap();
        // The child lives, and lets go as soon as it runs.
        let start = std::time::Instant::now();
        while other.is_held(3).unwrap() {
            assert!(start.elapsed().as_secs() < 20, "the child has kept it");
            std::thread::yield_now();
        }
        drop(writer);
        let mut status = 0;
        // SAFETY: the child is ours.
        unsafe { libc::waitpid(child, &raw mut status, 0) };
        assert_eq!(status, 0);
    }
}
