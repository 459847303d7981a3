//! Mutexes: around words that lie elsewhere, as the rivals' locks are, and around a value of their own.

use std::path::Path;
use std::rc::Rc;

use anyhow::Result;
use mapwright::share::{LockError, Mutex, MutexRecovery};

use super::{make, open};
use crate::harness::Shared;
use crate::rival::{BEHIND_LOCK, Lock};

/// What the segment is called.
const NAME: &str = "lock";

/// Guards the words behind the rivals' locks: nothing but locking and unlocking.
pub(crate) struct Guarding {
    mutex: Mutex<u64>,
    memory: Rc<Shared>,
}

impl<const WORDS: usize> Lock<WORDS> for Guarding {
    fn make(memory: &Rc<Shared>, folder: &Path) -> Result<Self> {
        Ok(Self { mutex: make(folder, NAME, 0)?, memory: Rc::clone(memory) })
    }

    fn open(memory: &Rc<Shared>, folder: &Path) -> Result<Self> {
        Ok(Self { mutex: open(folder, NAME)?, memory: Rc::clone(memory) })
    }

    #[inline]
    fn change<R>(&self, work: impl FnOnce(&mut [u64]) -> R) -> Result<R> {
        let guard = self.mutex.lock().map_err(refused)?;
        let result = self.memory.change(BEHIND_LOCK, WORDS, work);
        drop(guard);
        Ok(result)
    }
}

/// Has the words as its value: copied out, and copied back so that a death never leaves half of them.
pub(crate) struct Keeping<const WORDS: usize> {
    mutex: Mutex<[u64; WORDS]>,
}

impl<const WORDS: usize> Lock<WORDS> for Keeping<WORDS> {
    fn make(_memory: &Rc<Shared>, folder: &Path) -> Result<Self> {
        Ok(Self { mutex: make(folder, NAME, [0; WORDS])? })
    }

    fn open(_memory: &Rc<Shared>, folder: &Path) -> Result<Self> {
        Ok(Self { mutex: open(folder, NAME)? })
    }

    #[inline]
    fn change<R>(&self, work: impl FnOnce(&mut [u64]) -> R) -> Result<R> {
        let mut guard = self.mutex.lock().map_err(refused)?;
        Ok(guard.update(|words| work(words)))
    }
}

#[cold]
fn refused<T: mapwright::share::Plain>(error: LockError<MutexRecovery<'_, T>>) -> anyhow::Error {
    error.without_lock().into()
}
