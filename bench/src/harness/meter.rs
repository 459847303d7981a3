//! The stopwatch that a peer is handed: it says what belongs to the sample and what is preparation.

use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};

use super::row::Clock;
use super::statistics::percentile;
use super::usage::Faults;

/// How many one-way trips a sample of round trips stands for.
pub(crate) const ONE_WAY_TRIPS: u64 = 1000;

/// Measures one sample of one peer.
#[derive(Debug)]
pub(crate) struct Meter {
    round: u64,
    clock: Clock,
    elapsed: Duration,
    faults: Faults,
    answer: Option<u64>,
    facts: Vec<Fact>,
    scale: f64,
}

/// Something else that a sample has shown, beside its time.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Fact {
    pub(crate) label: &'static str,
    pub(crate) value: f64,
    pub(crate) of_rounds: OfRounds,
}

/// What the rounds' values of one fact become.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum OfRounds {
    Median,
    Sum,
    Largest,
}

impl Meter {
    pub(crate) fn new(round: u64, clock: Clock) -> Self {
        Self {
            round,
            clock,
            elapsed: Duration::ZERO,
            faults: Faults::default(),
            answer: None,
            facts: Vec::new(),
            scale: 1.0,
        }
    }

    /// The number of the round: the same for all peers of it, so that all of them can be given the same fresh
    /// work.
    pub(crate) fn round(&self) -> u64 {
        self.round
    }

    /// Does the work and counts its time and its page faults. What is outside is preparation.
    pub(crate) fn time<R>(&mut self, work: impl FnOnce() -> R) -> R {
        let before = Faults::so_far();
        let start = now(self.clock);
        let result = std::hint::black_box(work());
        self.elapsed += now(self.clock) - start;
        self.faults = self.faults + (Faults::so_far() - before);
        result
    }

    /// Says what the work found. All peers of a round must find the same, or they have not done the same
    /// work.
    pub(crate) fn answer(&mut self, answer: u64) {
        self.answer = Some(answer);
    }

    /// Counts time that was measured otherwise: by another process, or as a percentile.
    pub(crate) fn add(&mut self, elapsed: Duration) {
        self.elapsed += elapsed;
    }

    /// Says that this peer did only so many of the row's operations, because it takes long: its time counts
    /// as if it had done them all.
    pub(crate) fn did(&mut self, done: u64, of: u64) {
        self.scale = of as f64 / done as f64;
    }

    /// Counts trips, in nanoseconds: the sample is a thousand of them at their median.
    pub(crate) fn one_way_trips(&mut self, nanoseconds: &mut [u32]) {
        self.trips(nanoseconds, 1.0);
    }

    /// Counts round trips, in nanoseconds, as two trips each.
    pub(crate) fn round_trips(&mut self, nanoseconds: &mut [u32]) {
        self.trips(nanoseconds, 2.0);
    }

    fn trips(&mut self, nanoseconds: &mut [u32], ways: f64) {
        nanoseconds.sort_unstable();
        let median = percentile(nanoseconds, 50) / ways;
        self.add(Duration::from_nanos((median * ONE_WAY_TRIPS as f64) as u64));
        self.fact("p99", percentile(nanoseconds, 99) / ways, OfRounds::Median);
    }

    /// Notes something else that is worth knowing.
    pub(crate) fn fact(&mut self, label: &'static str, value: f64, of_rounds: OfRounds) {
        self.facts.push(Fact { label, value, of_rounds });
    }

    /// The time so far and the fact of this name, for those who use one sample for itself.
    pub(crate) fn so_far(&self, label: &str) -> (Duration, Option<f64>) {
        (self.elapsed, self.facts.iter().find(|fact| fact.label == label).map(|fact| fact.value))
    }

    pub(super) fn finish(self) -> Sample {
        let elapsed = self.elapsed.mul_f64(self.scale);
        Sample { elapsed, faults: self.faults, answer: self.answer, facts: self.facts }
    }
}

fn now(clock: Clock) -> Duration {
    let time = clock_gettime(match clock {
        Clock::Wall => ClockId::Monotonic,
        Clock::Processor => ClockId::ThreadCPUTime,
    });
    Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
}

/// What one run of one peer has shown.
#[derive(Clone, Debug)]
pub(super) struct Sample {
    pub(super) elapsed: Duration,
    pub(super) faults: Faults,
    pub(super) answer: Option<u64>,
    pub(super) facts: Vec<Fact>,
}
