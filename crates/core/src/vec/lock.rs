//! The advisory lock that makes an array's writer the only one.

use std::fs::File;
use std::sync::Arc;

use crate::error::{Error, ErrorKind, Result};
use crate::map::{FileLock, Source};
use crate::sys::fork::{self, Generation};

/// An advisory lock, given back before the last descriptor is closed: a forked child may hold one, too.
#[derive(Debug)]
pub(super) struct Lock {
    file: Arc<File>,
    taken_by: Generation,
}

impl Lock {
    /// Takes a lock or says at once that somebody else has it.
    pub(super) fn take(source: &Source, lock: FileLock) -> Result<Self> {
        use rustix::fs::FlockOperation;
        let operation = match lock {
            FileLock::Shared => FlockOperation::NonBlockingLockShared,
            FileLock::Exclusive => FlockOperation::NonBlockingLockExclusive,
        };
        rustix::fs::flock(source.fd(), operation).map_err(|cause| {
            let error = Error::os("lock", source.name(), cause);
            match error.kind() {
                ErrorKind::Busy => error.advice("somebody has it open for writing; an array has one writer"),
                _ => error,
            }
        })?;
        Ok(Self { file: Arc::clone(source.file()), taken_by: fork::generation() })
    }
}

impl Drop for Lock {
    fn drop(&mut self) {
        // The lock belongs to the open file, which a child shares with its parent: only the taker gives it
        // back.
        if self.taken_by == fork::generation() {
            let _gone_with_the_file = rustix::fs::flock(&self.file, rustix::fs::FlockOperation::Unlock);
        }
    }
}
