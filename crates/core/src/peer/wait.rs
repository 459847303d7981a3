//! Sleeping until a word changes.
//!
//! # Kernel
//! futex(2), between processes (never `FUTEX_PRIVATE_FLAG`): `FUTEX_WAIT_BITSET` with an absolute deadline of
//! the monotonic clock, and `FUTEX_WAKE`; futex_waitv(2) (Linux 5.16) to wait for several words, and where it
//! is missing or forbidden short sleeps on each in turn.

use super::deadline::Deadline;
use super::word::{LookWord32, Word32};

/// How many words one call can wait for.
pub const MAX_WAITS: usize = 128;

/// How a wait ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Waited {
    /// Woken, or the word had changed already, or for no reason: look again.
    Look,
    /// The deadline came.
    TimedOut,
}

impl LookWord32 {
    /// Sleeps while the word has a value, at most until a deadline.
    pub fn wait(&self, value: u32, until: Deadline) -> Waited {
        wait(&self.0, value, until)
    }
}

#[cfg(not(any(loom, shuttle)))]
mod real {
    use std::num::NonZeroU32;
    use std::time::Duration;

    use rustix::io::Errno;
    use rustix::thread::futex::{self, Flags, Wait, WaitFlags};

    use super::{Deadline, MAX_WAITS, Waited, Word32};
    use crate::peer::points;

    /// Sleeps while a word has a value, at most until a deadline.
    pub fn wait(word: &Word32, value: u32, until: Deadline) -> Waited {
        points::pass();
        if until.has_passed() {
            return Waited::TimedOut;
        }
        let timeout = until.timespec();
        let slept =
            futex::wait_bitset(word.atomic(), Flags::empty(), value, timeout.as_ref(), NonZeroU32::MAX);
        match slept {
            Err(Errno::TIMEDOUT) => Waited::TimedOut,
            _ => Waited::Look,
        }
    }

    /// Wakes at most so many of those who sleep on a word; returns how many there were.
    pub fn wake(word: &Word32, sleepers: u32) -> usize {
        points::pass();
        // Fails only where the page is gone, and then nobody sleeps there.
        futex::wake(word.atomic(), Flags::empty(), sleepers).unwrap_or(0)
    }

    /// Sleeps while each of several words has its value, at most until a deadline.
    ///
    /// # Panics
    /// Where there are more than [`MAX_WAITS`].
    pub fn wait_any(words: &[(&Word32, u32)], until: Deadline) -> Waited {
        assert!(words.len() <= MAX_WAITS, "{} words to wait for; at most {MAX_WAITS}", words.len());
        match words {
            [] => return wait(&Word32::new(0), 0, until),
            [(word, value)] => return wait(word, *value, until),
            _ => {}
        }
        points::pass();
        if until.has_passed() {
            return Waited::TimedOut;
        }
        let waits: Vec<Wait> = words.iter().map(|(word, value)| wait_for(word, *value)).collect();
        let timeout = until.timespec();
        match futex::waitv(&waits, futex::WaitvFlags::empty(), timeout.as_ref(), futex::ClockId::Monotonic) {
            Err(Errno::TIMEDOUT) => Waited::TimedOut,
            Ok(_) | Err(Errno::AGAIN | Errno::INTR) => Waited::Look,
            // `NOSYS` of an older kernel, `PERM` of a filter, `NOMEM`.
            Err(_) => in_turn(words, until),
        }
    }

    fn wait_for(word: &Word32, value: u32) -> Wait {
        let mut wait = Wait::new();
        wait.val = u64::from(value);
        wait.uaddr = futex::WaitPtr::new(std::ptr::from_ref(word).cast_mut().cast());
        wait.flags = WaitFlags::SIZE_U32;
        wait
    }

    /// Without futex_waitv: a millisecond on each.
    pub(super) fn in_turn(words: &[(&Word32, u32)], until: Deadline) -> Waited {
        const SLICE: Duration = Duration::from_millis(1);
        for (word, value) in words.iter().cycle() {
            if words
                .iter()
                .any(|(word, value)| word.atomic().load(std::sync::atomic::Ordering::Acquire) != *value)
            {
                return Waited::Look;
            }
            if until.has_passed() {
                return Waited::TimedOut;
            }
            let slice = Deadline::after(SLICE).earlier(until);
            if wait(word, *value, slice) == Waited::Look {
                return Waited::Look;
            }
        }
        Waited::Look
    }
}

#[cfg(not(any(loom, shuttle)))]
pub use real::{wait, wait_any, wake};

#[cfg(all(test, not(any(loom, shuttle))))]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn waiting_in_turn_sees_a_change_of_any_and_keeps_its_deadline() {
        let (one, other) = (Word32::new(0), Word32::new(0));
        let words = [(&one, 0), (&other, 0)];
        assert_eq!(real::in_turn(&words, Deadline::now()), Waited::TimedOut);
        assert_eq!(real::in_turn(&words, Deadline::after(Duration::from_millis(3))), Waited::TimedOut);
        std::thread::scope(|scope| {
            scope.spawn(|| other.store(1, crate::peer::Ordering::Release));
            assert_eq!(real::in_turn(&words, Deadline::never()), Waited::Look);
        });
    }
}

#[cfg(any(loom, shuttle))]
pub use model::{Bed, wait, wait_any, wake};

/// Sleeping under a model checker: a condition variable beside each word. Deadlines never come there, but the
/// one that has come.
#[cfg(any(loom, shuttle))]
mod model {
    #[cfg(loom)]
    use loom::sync::{Condvar, Mutex};
    #[cfg(shuttle)]
    use shuttle::sync::{Condvar, Mutex};

    use super::{Deadline, Waited, Word32};
    use crate::peer::word::Ordering;

    /// Where those sleep who wait for a word.
    #[derive(Debug)]
    pub struct Bed {
        lock: Mutex<()>,
        woken: Condvar,
    }

    impl Default for Bed {
        fn default() -> Self {
            Self { lock: Mutex::new(()), woken: Condvar::new() }
        }
    }

    /// Sleeps while a word has a value.
    pub fn wait(word: &Word32, value: u32, until: Deadline) -> Waited {
        if until == Deadline::now() {
            return Waited::TimedOut;
        }
        let guard = word.bed.lock.lock().expect("no model thread panics");
        if word.load(Ordering::SeqCst) == value {
            drop(word.bed.woken.wait(guard).expect("no model thread panics"));
        }
        Waited::Look
    }

    /// Wakes those who sleep on a word.
    pub fn wake(word: &Word32, sleepers: u32) -> usize {
        drop(word.bed.lock.lock().expect("no model thread panics"));
        if sleepers == 1 {
            word.bed.woken.notify_one();
        } else {
            word.bed.woken.notify_all();
        }
        usize::try_from(sleepers).unwrap_or(usize::MAX)
    }

    /// Sleeps until the first word changes, or yields where there are several.
    pub fn wait_any(words: &[(&Word32, u32)], until: Deadline) -> Waited {
        match words {
            [(word, value)] => wait(word, *value, until),
            _ => {
                crate::peer::relax();
                Waited::Look
            }
        }
    }
}
