//! Giving way: a hint by which whoever has waited for long goes first.
//!
//! A lock is taken fastest by whoever has it in its cache: the one that has just let go of it. So that others
//! get their turn, one that was passed over says so here, and newcomers wait for it: a millisecond at most,
//! after which they take the word away and go on. It decides nothing: a stray value, or the death of the one
//! that asked before it has woken anybody, costs that millisecond.

use std::time::Duration;

use mapwright_derive::Shared;

use super::deadline::Deadline;
use super::wait::{Waited, wait, wake};
use super::word::{Ordering, Word32, relax};

/// How long newcomers stand back: many times what a wake-up takes.
const COURTESY: Duration = Duration::from_millis(1);

/// How often a newcomer looks before it sleeps.
#[cfg(not(any(loom, shuttle)))]
const LOOKS: u32 = 100;
#[cfg(any(loom, shuttle))]
const LOOKS: u32 = 1;

/// Who is to go first: 0 for nobody.
///
/// ```
/// use mapwright_core::peer::{Deadline, Turn};
/// let turn = Turn::default();
/// turn.give_way(Deadline::never());       // nobody asked: returns at once
/// assert!(turn.ask(7) && turn.is_asked());
/// turn.done(7);
/// assert!(!turn.is_asked());
/// ```
#[derive(Debug, Default, Shared)]
#[shared(crate = "crate")]
#[repr(C)]
pub struct Turn {
    word: Word32,
}

impl Turn {
    /// Asks newcomers to stand back; `false` where somebody else has done so. The token is not 0.
    pub fn ask(&self, token: u32) -> bool {
        self.word.compare_exchange(0, token, Ordering::Relaxed, Ordering::Relaxed).is_ok()
    }

    /// Says that the one that asked got what it waited for, or gave up.
    pub fn done(&self, token: u32) {
        if self.word.compare_exchange(token, 0, Ordering::Relaxed, Ordering::Relaxed).is_ok() {
            wake(&self.word, u32::MAX >> 1);
        }
    }

    /// Tells whether somebody has asked.
    #[inline]
    #[must_use]
    pub fn is_asked(&self) -> bool {
        self.word.load(Ordering::Relaxed) != 0
    }

    /// Lets the one that asked go first: waits until it is done, a millisecond at most.
    #[inline]
    pub fn give_way(&self, until: Deadline) {
        let seen = self.word.load(Ordering::Relaxed);
        if seen != 0 {
            self.stand_back(seen, until);
        }
    }

    #[cold]
    fn stand_back(&self, seen: u32, until: Deadline) {
        let until_then = until.earlier(Deadline::after(COURTESY));
        for _ in 0..LOOKS {
            relax();
            if self.word.load(Ordering::Relaxed) != seen {
                return;
            }
        }
        // Under a model checker no time passes.
        while cfg!(not(any(loom, shuttle))) && self.word.load(Ordering::Relaxed) == seen {
            if wait(&self.word, seen, until_then) == Waited::TimedOut {
                break;
            }
        }
        if !until.has_passed() {
            // Fails where it is done meanwhile.
            let _taken = self.word.compare_exchange(seen, 0, Ordering::Relaxed, Ordering::Relaxed);
        }
    }
}

#[cfg(all(test, not(any(loom, shuttle))))]
#[allow(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on fails")]
mod tests {
    use super::*;

    #[test]
    fn one_that_never_comes_is_waited_for_once() {
        let turn = Turn::default();
        assert!(turn.ask(5) && !turn.ask(6));
        turn.done(6);
        assert!(turn.is_asked(), "another's turn is not taken away");
        turn.give_way(Deadline::now());
        assert!(turn.is_asked(), "one that may not wait at all has not waited long enough");
        turn.give_way(Deadline::never());
        assert!(!turn.is_asked());
    }

    #[test]
    fn newcomers_go_on_as_soon_as_it_is_done() {
        let turn = Turn::default();
        assert!(turn.ask(5));
        std::thread::scope(|scope| {
            scope.spawn(|| turn.give_way(Deadline::never()));
            turn.done(5);
        });
        assert!(!turn.is_asked());
    }
}
