//! A bell: whoever waits for something listens to it; whoever makes something happen rings it.
//!
//! Ringing costs one load as long as nobody listens. That needs an order between two stores of two processes
//! (the listener marks the bell, then looks once more; the ringer publishes, then looks at the mark): a full
//! fence on both sides, of which the listener pays both ([`barrier`](super::barrier)).
//!
//! A listener that dies leaves a mark: the next ring wakes nobody, and takes it away. A ringer that dies may
//! have published, or taken the mark away too, and woken nobody: so nobody sleeps for longer than 100 ms
//! without looking.
//!
//! # What idling costs
//! Looking around ten times a second costs a waiter 15 to 25 µs of processor time each, most of which is the
//! kernel's for falling asleep and waking up: 100 processes that wait for nothing take about 2 % of one
//! processor (measured over 10 s on a virtual machine; one takes a fiftieth of a percent). Where barriers
//! cannot be issued ([`others_fence`]) a ring can be missed, so a waiter looks every 5 ms: 100 of them take a
//! quarter of a processor.
//!
//! Nothing but looking would do: a death wakes nobody here. The kernel lets go of a dead thread's lock words
//! and wakes one who sleeps on each ([`RobustWord`](super::RobustWord)); it knows of no other word, and of
//! none where they bear no thread ids, as between pid namespaces. A process with many waiters has them wait
//! by descriptors: one thread of it looks around for all.

use std::time::Duration;

use mapwright_derive::Shared;

#[cfg(not(any(loom, shuttle)))]
use super::barrier::light_fence;
use super::barrier::{heavy_fence, others_fence};
use super::deadline::Deadline;
use super::wait::{Waited, wait, wake};
use super::word::{Ordering, Word32};

const LISTENED: u32 = 1;
const RING: u32 = 2;

/// Where sleepers are woken: bit 0 says that somebody listens, the rest counts the rings that were heard.
#[derive(Debug, Default, Shared)]
#[shared(crate = "crate")]
#[repr(C)]
pub struct Bell {
    word: Word32,
}

/// What a listener has heard so far.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ticket(u32);

impl Ticket {
    /// Returns the value of the bell's word while nothing has happened.
    #[must_use]
    pub const fn value(self) -> u32 {
        self.0
    }
}

impl Bell {
    /// Wakes all who listen. Called after what they wait for was published.
    #[inline]
    pub fn ring(&self) {
        let seen = self.look();
        if seen & LISTENED != 0 {
            self.ring_loudly(seen);
        }
    }

    #[cfg(not(any(loom, shuttle)))]
    #[inline]
    fn look(&self) -> u32 {
        light_fence();
        self.word.load(Ordering::Relaxed)
    }

    /// Under a model checker: an exchange, which sees the newest mark and orders nothing but this word. A
    /// fence would hide the ones that others forget.
    #[cfg(any(loom, shuttle))]
    fn look(&self) -> u32 {
        self.word.fetch_add(0, Ordering::Release)
    }

    #[cold]
    fn ring_loudly(&self, mut seen: u32) {
        while seen & LISTENED != 0 {
            let heard = (seen & !LISTENED).wrapping_add(RING);
            match self.word.compare_exchange(seen, heard, Ordering::AcqRel, Ordering::Relaxed) {
                Ok(_) => {
                    wake(&self.word, u32::MAX >> 1);
                    return;
                }
                Err(now) => seen = now,
            }
        }
    }

    /// Says that somebody is about to sleep. Look once more after this, then [`sleep`](Self::sleep).
    pub fn listen(&self) -> Ticket {
        let seen = self.word.fetch_or(LISTENED, Ordering::SeqCst) | LISTENED;
        heavy_fence();
        Ticket(seen)
    }

    /// Sleeps until the bell rings, at most until a deadline. Wakes for no reason every 100 ms, as whoever
    /// rings may die on the way: look again, and [`listen`](Self::listen) anew.
    pub fn sleep(&self, ticket: Ticket, until: Deadline) -> Waited {
        /// Where a ringer may have died.
        const LONGEST: Duration = Duration::from_millis(100);
        /// Where a ringer may not have seen the mark.
        const BLIND: Duration = Duration::from_millis(5);
        let longest = if others_fence() { LONGEST } else { BLIND };
        match wait(&self.word, ticket.value(), until.earlier(Deadline::after(longest))) {
            Waited::TimedOut if !until.has_passed() => Waited::Look,
            waited => waited,
        }
    }

    /// The word on which sleepers of several bells sleep.
    #[must_use]
    pub fn word(&self) -> &Word32 {
        &self.word
    }
}

#[cfg(all(test, not(any(loom, shuttle))))]
#[allow(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on fails")]
mod tests {
    use super::*;
    use crate::peer::Placed;

    #[test]
    fn a_ring_before_sleeping_is_not_slept_over() {
        let bell = Placed::own(Bell::default());
        let ticket = bell.listen();
        bell.ring();
        assert_eq!(bell.sleep(ticket, Deadline::never()), Waited::Look);
    }

    #[test]
    fn nobody_sleeps_on_for_ever_if_nobody_rings() {
        let bell = Bell::default();
        let ticket = bell.listen();
        assert_eq!(bell.sleep(ticket, Deadline::never()), Waited::Look);
    }

    #[test]
    fn nobody_is_woken_who_does_not_listen_and_deadlines_are_kept() {
        let bell = Bell::default();
        bell.ring();
        let ticket = bell.listen();
        assert_eq!(bell.sleep(ticket, Deadline::now()), Waited::TimedOut);
        let soon = Deadline::after(Duration::from_millis(1));
        while bell.sleep(ticket, soon) != Waited::TimedOut {}
        assert!(soon.has_passed());
    }

    #[test]
    fn two_threads_that_wait_for_each_other_never_miss_a_ring() {
        const TURNS: u32 = 2000;
        let (turn, bell) = (Placed::own(Word32::new(0)), Placed::own(Bell::default()));
        let play = |mine: u32| {
            for round in 0..TURNS {
                let wanted = 2 * round + mine;
                loop {
                    let ticket = bell.listen();
                    if turn.load(Ordering::Acquire) == wanted {
                        break;
                    }
                    bell.sleep(ticket, Deadline::never());
                }
                turn.store(wanted + 1, Ordering::Release);
                bell.ring();
            }
        };
        std::thread::scope(|scope| {
            scope.spawn(|| play(0));
            scope.spawn(|| play(1));
        });
        assert_eq!(turn.load(Ordering::Relaxed), 2 * TURNS);
    }
}
