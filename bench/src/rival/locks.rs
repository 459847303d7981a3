//! Locks that lie in shared memory.

use std::mem::MaybeUninit;
use std::path::Path;
use std::rc::Rc;
use std::sync::atomic::{AtomicU32, Ordering};

use anyhow::Result;

use crate::harness::Shared;

/// A lock for processes, around so many words.
pub(crate) trait Lock<const WORDS: usize>: Sized {
    /// Makes the lock; memory and folder are empty.
    fn make(memory: &Rc<Shared>, folder: &Path) -> Result<Self>;

    /// Finds the lock that the other process has made.
    fn open(memory: &Rc<Shared>, folder: &Path) -> Result<Self>;

    /// Changes the words, with the lock held.
    fn change<R>(&self, work: impl FnOnce(&mut [u64]) -> R) -> Result<R>;
}

/// Where the words are that a lock in the memory is around. It is at the start, and at most two lines long.
pub(crate) const BEHIND_LOCK: usize = 256;

/// A word and futex(2), as everybody writes it: free, taken, taken with somebody asleep. It survives nobody's
/// death. `SPINS` is how often it looks before it sleeps.
pub(crate) struct Futex<const SPINS: u32> {
    memory: Rc<Shared>,
}

const FREE: u32 = 0;
const TAKEN: u32 = 1;
const AWAITED: u32 = 2;

impl<const SPINS: u32, const WORDS: usize> Lock<WORDS> for Futex<SPINS> {
    fn make(memory: &Rc<Shared>, folder: &Path) -> Result<Self> {
        memory.half(0).store(FREE, Ordering::Release);
        <Self as Lock<WORDS>>::open(memory, folder)
    }

    fn open(memory: &Rc<Shared>, _folder: &Path) -> Result<Self> {
        Ok(Self { memory: Rc::clone(memory) })
    }

    #[inline]
    fn change<R>(&self, work: impl FnOnce(&mut [u64]) -> R) -> Result<R> {
        self.lock();
        let result = self.memory.change(BEHIND_LOCK, WORDS, work);
        self.unlock();
        Ok(result)
    }
}

impl<const SPINS: u32> Futex<SPINS> {
    #[inline]
    fn lock(&self) {
        let word = self.memory.half(0);
        if word.compare_exchange(FREE, TAKEN, Ordering::Acquire, Ordering::Relaxed).is_err() {
            wait::<SPINS>(word);
        }
    }

    #[inline]
    fn unlock(&self) {
        let word = self.memory.half(0);
        if word.swap(FREE, Ordering::Release) == AWAITED {
            let none = std::ptr::null::<libc::timespec>();
            // SAFETY: the word is valid; waking changes no memory.
            unsafe { libc::syscall(libc::SYS_futex, word.as_ptr(), libc::FUTEX_WAKE, 1, none, none, 0) };
        }
    }
}

#[cold]
fn wait<const SPINS: u32>(word: &AtomicU32) {
    for _ in 0..SPINS {
        std::hint::spin_loop();
        let free = word.load(Ordering::Relaxed) == FREE;
        if free && word.compare_exchange(FREE, TAKEN, Ordering::Acquire, Ordering::Relaxed).is_ok() {
            return;
        }
    }
    while word.swap(AWAITED, Ordering::Acquire) != FREE {
        let (pointer, none) = (word.as_ptr(), std::ptr::null::<libc::timespec>());
        // SAFETY: the word is valid; a null timeout is allowed. A vain wait is repeated by the loop.
        unsafe { libc::syscall(libc::SYS_futex, pointer, libc::FUTEX_WAIT, AWAITED, none, none, 0) };
    }
}

/// glibc's mutex between processes; `ROBUST`, the kind whose next holder hears of a death.
pub(crate) struct Glibc<const ROBUST: bool> {
    memory: Rc<Shared>,
}

impl<const ROBUST: bool> Glibc<ROBUST> {
    fn mutex(&self) -> *mut libc::pthread_mutex_t {
        self.memory.at(0, size_of::<libc::pthread_mutex_t>()).cast()
    }

    #[inline]
    fn lock(&self) {
        // SAFETY: the mutex was made before anybody uses it.
        let status = unsafe { libc::pthread_mutex_lock(self.mutex()) };
        assert_eq!(status, 0, "nobody dies with this lock");
    }

    #[inline]
    fn unlock(&self) {
        // SAFETY: the calling thread holds it.
        let status = unsafe { libc::pthread_mutex_unlock(self.mutex()) };
        assert_eq!(status, 0, "the holder unlocks");
    }
}

impl<const ROBUST: bool, const WORDS: usize> Lock<WORDS> for Glibc<ROBUST> {
    fn make(memory: &Rc<Shared>, folder: &Path) -> Result<Self> {
        let made = <Self as Lock<WORDS>>::open(memory, folder)?;
        let mut attributes = MaybeUninit::<libc::pthread_mutexattr_t>::uninit();
        let attributes = attributes.as_mut_ptr();
        // SAFETY: the pointer is valid for writes.
        let begun = unsafe { libc::pthread_mutexattr_init(attributes) };
        // SAFETY: the attributes are initialised.
        let shared = unsafe { libc::pthread_mutexattr_setpshared(attributes, libc::PTHREAD_PROCESS_SHARED) };
        let kind = if ROBUST { libc::PTHREAD_MUTEX_ROBUST } else { libc::PTHREAD_MUTEX_STALLED };
        // SAFETY: as above.
        let robust = unsafe { libc::pthread_mutexattr_setrobust(attributes, kind) };
        // SAFETY: the mutex's place is valid and nobody uses it yet.
        let mutex = unsafe { libc::pthread_mutex_init(made.mutex(), attributes) };
        assert_eq!([begun, shared, robust, mutex], [0; 4], "glibc makes a shared mutex");
        Ok(made)
    }

    fn open(memory: &Rc<Shared>, _folder: &Path) -> Result<Self> {
        Ok(Self { memory: Rc::clone(memory) })
    }

    #[inline]
    fn change<R>(&self, work: impl FnOnce(&mut [u64]) -> R) -> Result<R> {
        self.lock();
        let result = self.memory.change(BEHIND_LOCK, WORDS, work);
        self.unlock();
        Ok(result)
    }
}
