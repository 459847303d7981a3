//! What is known of one client: what it may still ask, what became of its last request, and what was counted.
//!
//! All of it is one value, in one entry of a table, changed by one compare-and-update. That is what makes it
//! exact: a worker that is killed has taken the token, counted the request and remembered its answer, or has
//! done none of these. Whoever is asked the same again, because the answer broke with its worker, finds the
//! number of the request there and repeats the answer without counting.
//!
//! A client may have several requests under way, over several connections and so with several workers, which
//! all change its one entry.

use std::cmp::Ordering;
use std::num::NonZeroU32;

use mapwright::Plain;
use zerocopy::{FromBytes, Immutable, IntoBytes};

/// How much a client may ask: a bucket of tokens, of which each request takes one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable, Plain)]
#[repr(C)]
pub(crate) struct Limit {
    /// Tokens in a full bucket; a client begins with one.
    pub(crate) burst: u64,
    /// Nanoseconds in which a token comes back; 0 where none does.
    pub(crate) interval_ns: u64,
}

/// How many requests of a client are remembered: so many it may have under way. One that is not answered yet
/// may be asked again until the client asks what has a number that is higher by this.
pub(crate) const WINDOW: usize = 16;

/// Which request it is, by the client's own count.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Asked {
    /// From 1 on, each number once.
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
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, Plain)]
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

/// A request that is remembered.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, Plain)]
#[repr(C)]
struct Remembered {
    /// 0 for none.
    number: u64,
    /// The latest try of it.
    attempt: u32,
    /// What became of it, as a number: see [`Outcome::of`].
    outcome: u32,
}

/// A client's entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable, Plain)]
#[repr(C)]
pub(crate) struct Client {
    pub(crate) tokens: u64,
    /// Up to when tokens have come back, in nanoseconds on the monotonic clock, which all processes of a
    /// machine share.
    filled_at: u64,
    pub(crate) counters: Counters,
    /// Request n is at n modulo their count, until a later one takes its place.
    remembered: [Remembered; WINDOW],
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

    const fn of(number: u32) -> Self {
        match number {
            0 => Self::Refused,
            1 => Self::Hit,
            _ => Self::Miss,
        }
    }
}

impl Client {
    pub(crate) fn new(limit: &Limit, now: u64) -> Self {
        let remembered = [Remembered::default(); WINDOW];
        Self { tokens: limit.burst, filled_at: now, counters: Counters::default(), remembered }
    }

    /// Returns how it is after a request, and what has become of that: `None` where a later one has taken its
    /// place in the memory, so that nobody knows whether it was counted.
    ///
    /// A request without a number is always a new one.
    pub(crate) fn after(
        mut self,
        asked: Option<Asked>,
        is_cached: bool,
        limit: &Limit,
        now: u64,
    ) -> (Self, Option<Outcome>) {
        let Some(Asked { number, attempt }) = asked else {
            let outcome = self.count(is_cached, limit, now);
            self.counters.attempts += 1;
            return (self, Some(outcome));
        };
        let place = usize::try_from(number % WINDOW as u64).unwrap_or(0);
        let before = self.remembered[place];
        let attempt = attempt.get();
        let (outcome, attempt) = match number.cmp(&before.number) {
            Ordering::Less => return (self, None),
            Ordering::Greater => {
                self.counters.attempts += u64::from(attempt);
                (self.count(is_cached, limit, now), attempt)
            }
            // Overtaken by its own repetition.
            Ordering::Equal if attempt <= before.attempt => (Outcome::of(before.outcome), before.attempt),
            Ordering::Equal => {
                self.counters.attempts += u64::from(attempt - before.attempt);
                self.counters.repeated += 1;
                (Outcome::of(before.outcome), attempt)
            }
        };
        self.remembered[place] = Remembered { number, attempt, outcome: outcome as u32 };
        (self, Some(outcome))
    }

    /// Decides what becomes of a new request, and counts it.
    fn count(&mut self, is_cached: bool, limit: &Limit, now: u64) -> Outcome {
        self.fill(limit, now);
        self.counters.requests += 1;
        if self.tokens == 0 {
            self.counters.refused += 1;
            return Outcome::Refused;
        }
        self.tokens -= 1;
        if is_cached {
            self.counters.hits += 1;
            Outcome::Hit
        } else {
            self.counters.misses += 1;
            Outcome::Miss
        }
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
        let (first, _) = Client::new(&LIMIT, 0).after(asked(1, 1), false, &LIMIT, 0);
        // Its worker has put the response into the cache before it was killed.
        let (again, outcome) = first.after(asked(1, 2), true, &LIMIT, 0);
        assert_eq!((again.tokens, outcome), (1, Some(Outcome::Miss)));
        let counted = Counters { requests: 1, misses: 1, attempts: 2, repeated: 1, ..Counters::default() };
        assert_eq!(again.counters, counted);
        // The first one was only late.
        assert_eq!(again.after(asked(1, 1), true, &LIMIT, 0), (again, outcome));
    }

    #[test]
    fn tries_that_never_reached_a_worker_are_counted_by_the_one_that_does() {
        let (client, _) = Client::new(&LIMIT, 0).after(asked(1, 3), true, &LIMIT, 0);
        let counted = Counters { requests: 1, hits: 1, attempts: 3, ..Counters::default() };
        assert_eq!(client.counters, counted);
    }

    #[test]
    fn requests_under_way_may_come_in_any_order() {
        let mut client = Client::new(&Limit { burst: 100, ..LIMIT }, 0);
        for number in [3, 1, 4, 2, 3, 16, 1] {
            let outcome;
            (client, outcome) = client.after(asked(number, 1), true, &LIMIT, 0);
            assert_eq!(outcome, Some(Outcome::Hit));
        }
        assert_eq!(client.counters.requests, 5);
    }

    #[test]
    fn one_whose_place_was_taken_is_not_known_and_changes_nothing() {
        let (client, _) = Client::new(&LIMIT, 0).after(asked(17, 1), true, &LIMIT, 0);
        assert_eq!(client.after(asked(1, 2), true, &LIMIT, 0), (client, None));
        assert_eq!(client.after(asked(2, 1), true, &LIMIT, 0).1, Some(Outcome::Hit));
    }

    #[test]
    fn as_many_as_there_are_tokens_are_let_through_and_those_after_them_refused() {
        let mut client = Client::new(&LIMIT, 0);
        let outcomes = [1, 2, 3].map(|number| {
            let outcome;
            (client, outcome) = client.after(asked(number, 1), true, &LIMIT, u64::MAX);
            outcome
        });
        assert_eq!(outcomes, [Outcome::Hit, Outcome::Hit, Outcome::Refused].map(Some));
        assert_eq!((client.counters.allowed(), client.counters.refused), (2, 1));
        // A refusal is remembered, too.
        assert_eq!(client.after(asked(3, 2), true, &LIMIT, 0).1, Some(Outcome::Refused));
    }

    #[test]
    fn tokens_come_back_with_time_up_to_a_full_bucket() {
        let limit = Limit { burst: 2, interval_ns: 10 };
        let mut client = Client::new(&limit, 100);
        let mut is_let_through = |now| {
            let outcome;
            (client, outcome) = client.after(None, true, &limit, now);
            outcome == Some(Outcome::Hit)
        };
        let times = [100, 100, 109, 110, 119, 120];
        assert_eq!(times.map(&mut is_let_through), [true, true, false, true, false, true]);
        assert_eq!([9000; 3].map(&mut is_let_through), [true, true, false]);
    }
}
