//! The stopwatch that a peer is handed: it says what belongs to the sample and what is preparation.

use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};

use super::row::Clock;
use super::usage::Faults;

/// Measures one sample of one peer.
#[derive(Debug)]
pub(crate) struct Meter {
    round: u64,
    clock: Clock,
    elapsed: Duration,
    faults: Faults,
    answer: Option<u64>,
}

impl Meter {
    pub(super) fn new(round: u64, clock: Clock) -> Self {
        Self { round, clock, elapsed: Duration::ZERO, faults: Faults::default(), answer: None }
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

    pub(super) fn finish(self) -> Sample {
        Sample { elapsed: self.elapsed, faults: self.faults, answer: self.answer }
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
#[derive(Clone, Copy, Debug)]
pub(super) struct Sample {
    pub(super) elapsed: Duration,
    pub(super) faults: Faults,
    pub(super) answer: Option<u64>,
}
