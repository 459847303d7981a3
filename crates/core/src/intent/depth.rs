//! How many reads to keep in flight, found out while reading.
//!
//! No number is right for every device. A disk behind a hypervisor or a network takes tens of milliseconds
//! for a read and is fast only with many of them in flight; one whose bytes come out of somebody's cache is
//! fastest with few, whose buffers stay in the processor's own (measured on one disk within the same minute:
//! 8, 16, 32 reads of 2 MiB give 2.0, 2.3, 2.6 GB/s while it is slow, and 3.7, 3.6, 2.8 while it is fast). So
//! depth is doubled for as long as that pays, and tried again from the beginning now and then.

use std::time::{Duration, Instant};

/// What is measured at one depth, in reads, after as many as are in flight have been let by.
const MEASURED: usize = 24;

/// A deeper queue must be better by so much: less is noise, and costs memory.
const GAIN: f64 = 1.04;

/// So many reads after it was found, the best depth is looked for again.
const SETTLED: usize = 2048;

/// A queue's depth.
#[derive(Debug)]
pub(super) struct Depth {
    now: usize,
    fewest: usize,
    most: usize,
    /// The depth that was best so far, with its reads a second.
    best: (usize, f64),
    phase: Phase,
    /// Reads that were used up in this phase.
    used: usize,
}

#[derive(Debug)]
enum Phase {
    /// What was asked for at another depth is used up.
    Filling,
    Measuring(Instant),
    Settled,
}

impl Depth {
    /// Begins with the fewest.
    pub(super) fn between(fewest: usize, most: usize) -> Self {
        let fewest = fewest.min(most);
        Self { now: fewest, fewest, most, best: (fewest, 0.0), phase: Phase::Filling, used: 0 }
    }

    /// How many reads there should be in flight.
    pub(super) fn now(&self) -> usize {
        self.now
    }

    /// One read was used up.
    pub(super) fn used_one(&mut self) {
        self.used += 1;
        match self.phase {
            Phase::Filling if self.used >= self.now => self.enter(Phase::Measuring(Instant::now())),
            Phase::Measuring(start) if self.used >= MEASURED => self.measured(start.elapsed()),
            Phase::Settled if self.used >= SETTLED => {
                self.best.1 = 0.0;
                self.change(self.fewest);
            }
            _ => {}
        }
    }

    /// Somebody else was at work in between: what was measured says nothing about the queue.
    pub(super) fn interrupted(&mut self) {
        if !matches!(self.phase, Phase::Settled) {
            self.enter(Phase::Filling);
        }
    }

    /// `MEASURED` reads took so long at this depth.
    fn measured(&mut self, time: Duration) {
        let rate = 1.0 / time.as_secs_f64().max(1e-9);
        let is_better = rate > self.best.1 * GAIN;
        if is_better {
            self.best = (self.now, rate);
        }
        if is_better && self.now < self.most {
            self.change((self.now * 2).min(self.most));
        } else {
            self.now = self.best.0;
            self.enter(Phase::Settled);
        }
    }

    fn change(&mut self, depth: usize) {
        self.now = depth;
        self.enter(Phase::Filling);
    }

    fn enter(&mut self, phase: Phase) {
        self.phase = phase;
        self.used = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Where the climb ends on a device that takes so many milliseconds for the measured reads at each depth.
    fn found(time: impl Fn(usize) -> u64) -> usize {
        let mut depth = Depth::between(8, 32);
        while !matches!(depth.phase, Phase::Settled) {
            depth.measured(Duration::from_millis(time(depth.now())));
        }
        depth.now()
    }

    #[test]
    fn depth_grows_for_as_long_as_it_pays() {
        assert_eq!(found(|depth| 1000 / u64::try_from(depth).unwrap()), 32);
        assert_eq!(found(|depth| if depth < 16 { 20 } else { 10 }), 16);
        assert_eq!(found(|_| 10), 8);
        assert_eq!(found(|depth| u64::try_from(depth).unwrap()), 8);
    }

    #[test]
    fn a_shallow_range_is_kept_to() {
        let depth = Depth::between(8, 3);
        assert_eq!((depth.now(), depth.fewest, depth.most), (3, 3, 3));
    }

    #[test]
    fn what_settled_is_tried_again() {
        let mut depth = Depth::between(8, 32);
        depth.measured(Duration::from_millis(10));
        depth.measured(Duration::from_millis(5));
        depth.measured(Duration::from_millis(5));
        assert_eq!(depth.now(), 16);
        (0..SETTLED).for_each(|_| depth.used_one());
        assert!(depth.now() == 8 && matches!(depth.phase, Phase::Filling));
    }
}
