//! What is known of one client: what it may still ask, what became of its last request, and what was counted.
//!
//! All of it is one value, in one entry of a table, changed by one compare-and-update. That is what makes it
//! exact: a worker that is killed has taken the token, counted the request and remembered its answer, or has
//! done none of these. Whoever is asked the same again, because the answer broke with its worker, finds the
//! number of the request there and repeats the answer without counting.

use std::num::NonZeroU32;

use mapwright::Plain;
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// How much a client may ask: a bucket of tokens, of which each request takes one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout, Plain)]
#[repr(C)]
pub(crate) struct Limit {
    /// Tokens in a full bucket; a client begins with one.
    pub(crate) burst: u64,
    /// Nanoseconds in which a token comes back; 0 where none does.
    pub(crate) interval_ns: u64,
}

/// Which request it is, by the client's own count. A client asks one thing at a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Asked {
    /// 1 for its first request; the next one has the next number.
    pub(crate) number: u64,
    /// Which try of it: 2 where the connection of the first one broke.
    pub(crate) attempt: NonZeroU32,
}

/// What became of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// The client had no token left.
    Refused,
    /// The response was in the cache.
    Hit,
    /// It was made.
    Miss,
}

/// What was counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout, Plain)]
#[repr(C)]
pub(crate) struct Counters {
    /// Requests, each of them once.
    pub(crate) requests: u64,
    pub(crate) refused: u64,
    pub(crate) hits: u64,
    pub(crate) misses: u64,
    /// Tries of these requests, whether or not they reached a worker.
    pub(crate) attempts: u64,
    /// Tries that came after their request had been counted: its worker was killed before the answer was
    /// out.
    pub(crate) repeated: u64,
}

/// A client's entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout, Plain)]
#[repr(C)]
pub(crate) struct Client {
    pub(crate) tokens: u64,
    /// Up to when tokens have come back, in nanoseconds on the monotonic clock, which all processes of a
    /// machine share.
    filled_at: u64,
    /// The number of its last request.
    pub(crate) last: u64,
    last_attempt: u64,
    /// What became of it, as a number: see [`Outcome::of`].
    last_outcome: u64,
    pub(crate) counters: Counters,
}

impl Counters {
    /// Requests that were let through.
    pub(crate) const fn allowed(&self) -> u64 {
        self.hits + self.misses
    }

    pub(crate) const fn plus(self, other: &Self) -> Self {
        Self {
            requests: self.requests + other.requests,
            refused: self.refused + other.refused,
            hits: self.hits + other.hits,
            misses: self.misses + other.misses,
            attempts: self.attempts + other.attempts,
            repeated: self.repeated + other.repeated,
        }
    }
}

impl Outcome {
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Refused => "refused",
            Self::Hit => "hit",
            Self::Miss => "miss",
        }
    }

    const fn of(number: u64) -> Self {
        match number {
            0 => Self::Refused,
            1 => Self::Hit,
            _ => Self::Miss,
        }
    }
}

impl Client {
    /// One that was never seen. Its first request may have any number: it may know this server from before a
    /// restart.
    pub(crate) const fn new(limit: &Limit, asked: Option<Asked>, now: u64) -> Self {
        let before = match asked {
            Some(asked) => asked.number.wrapping_sub(1),
            None => 0,
        };
        let counters = Counters { requests: 0, refused: 0, hits: 0, misses: 0, attempts: 0, repeated: 0 };
        Self { tokens: limit.burst, filled_at: now, last: before, last_attempt: 0, last_outcome: 0, counters }
    }

    /// Returns what became of its last request.
    pub(crate) const fn last_outcome(&self) -> Outcome {
        Outcome::of(self.last_outcome)
    }

    /// Returns how it is after a request. Where that is neither its last one nor the next, nothing changes.
    pub(crate) fn after(mut self, asked: Option<Asked>, is_cached: bool, limit: &Limit, now: u64) -> Self {
        // Without a number every request is a new one.
        let next = self.last.wrapping_add(1);
        let asked = asked.unwrap_or(Asked { number: next, attempt: NonZeroU32::MIN });
        let attempt = u64::from(asked.attempt.get());
        if asked.number == next {
            self.fill(limit, now);
            let outcome = match (self.tokens, is_cached) {
                (0, _) => Outcome::Refused,
                (_, true) => Outcome::Hit,
                (_, false) => Outcome::Miss,
            };
            self.tokens = self.tokens.saturating_sub(1);
            (self.last, self.last_attempt, self.last_outcome) = (next, attempt, outcome as u64);
            self.counters.requests += 1;
            self.counters.attempts += attempt;
            match outcome {
                Outcome::Refused => self.counters.refused += 1,
                Outcome::Hit => self.counters.hits += 1,
                Outcome::Miss => self.counters.misses += 1,
            }
        } else if asked.number == self.last && attempt > self.last_attempt {
            self.counters.attempts += attempt - self.last_attempt;
            self.counters.repeated += 1;
            self.last_attempt = attempt;
        }
        self
    }

    /// Puts the tokens in that have come back since it was last done.
    fn fill(&mut self, limit: &Limit, now: u64) {
        let passed = now.saturating_sub(self.filled_at);
        // No interval: none comes back.
        let Some(back) = passed.checked_div(limit.interval_ns) else { return };
        self.tokens = self.tokens.saturating_add(back).min(limit.burst);
        self.filled_at += back * limit.interval_ns;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMIT: Limit = Limit { burst: 2, interval_ns: 0 };

    fn asked(number: u64, attempt: u32) -> Option<Asked> {
        NonZeroU32::new(attempt).map(|attempt| Asked { number, attempt })
    }

    #[test]
    fn a_request_that_comes_again_is_counted_once_and_has_the_same_answer() {
        let new = Client::new(&LIMIT, asked(1, 1), 0);
        let first = new.after(asked(1, 1), false, &LIMIT, 0);
        // Its worker has put the response into the cache before it was killed.
        let again = first.after(asked(1, 2), true, &LIMIT, 0);
        assert_eq!((again.tokens, again.last_outcome()), (1, Outcome::Miss));
        let counted = Counters { requests: 1, misses: 1, attempts: 2, repeated: 1, ..Counters::default() };
        assert_eq!(again.counters, counted);
    }

    #[test]
    fn tries_that_never_reached_a_worker_are_counted_by_the_one_that_does() {
        let client = Client::new(&LIMIT, asked(1, 1), 0).after(asked(1, 3), true, &LIMIT, 0);
        let counted = Counters { requests: 1, hits: 1, attempts: 3, ..Counters::default() };
        assert_eq!(client.counters, counted);
    }

    #[test]
    fn as_many_as_there_are_tokens_are_let_through_and_those_after_them_refused() {
        let mut client = Client::new(&LIMIT, None, 0);
        let outcomes = [(); 3].map(|()| {
            client = client.after(None, true, &LIMIT, u64::MAX);
            client.last_outcome()
        });
        assert_eq!(outcomes, [Outcome::Hit, Outcome::Hit, Outcome::Refused]);
        assert_eq!((client.counters.allowed(), client.counters.refused), (2, 1));
    }

    #[test]
    fn tokens_come_back_with_time_up_to_a_full_bucket() {
        let limit = Limit { burst: 2, interval_ns: 10 };
        let mut client = Client::new(&limit, None, 100);
        let mut is_let_through = |now| {
            client = client.after(None, true, &limit, now);
            client.last_outcome() == Outcome::Hit
        };
        assert_eq!(
            [100, 100, 109, 110, 119, 120].map(&mut is_let_through),
            [true, true, false, true, false, true]
        );
        assert_eq!([9000, 9000, 9000].map(&mut is_let_through), [true, true, false]);
    }

    #[test]
    fn a_number_that_is_neither_the_last_nor_the_next_changes_nothing() {
        let client = Client::new(&LIMIT, asked(7, 1), 0).after(asked(7, 1), true, &LIMIT, 0);
        assert_eq!(client.last, 7);
        for number in [0, 6, 9] {
            assert_eq!(client.after(asked(number, 1), true, &LIMIT, 0), client);
        }
        // One that was overtaken by its own repetition.
        assert_eq!(client.after(asked(7, 1), true, &LIMIT, 0), client);
    }
}
