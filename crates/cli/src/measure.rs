//! How long something took, and how often it had to wait for a page.

use std::fs;
use std::time::{Duration, Instant};

use serde::{Serialize, Serializer};

/// Page faults of this process.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub(crate) struct Faults {
    /// The page was in memory and only had to be mapped.
    pub(crate) minor: u64,
    /// The page had to be read from the disk.
    pub(crate) major: u64,
}

impl Faults {
    /// How many there were so far, as getrusage(2) counts them; none where /proc is not mounted.
    pub(crate) fn so_far() -> Self {
        fs::read_to_string("/proc/self/stat").ok().and_then(|stat| Self::in_stat(&stat)).unwrap_or_default()
    }

    /// Reads the counters out of a line of /proc/PID/stat.
    fn in_stat(stat: &str) -> Option<Self> {
        // The command's name, in brackets, may contain anything; fields are counted from behind it.
        let (_, fields) = stat.rsplit_once(')')?;
        let mut fields = fields.split_ascii_whitespace().skip(7);
        let minor = fields.next()?.parse().ok()?;
        let major = fields.nth(1)?.parse().ok()?;
        Some(Self { minor, major })
    }

    /// How many were added since an earlier moment; none where it could not be read at this one.
    fn since(self, earlier: Self) -> Self {
        Self {
            minor: self.minor.saturating_sub(earlier.minor),
            major: self.major.saturating_sub(earlier.major),
        }
    }

    /// Both kinds.
    pub(crate) fn all(self) -> u64 {
        self.minor + self.major
    }
}

/// What some work cost.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub(crate) struct Cost {
    /// How much was done: bytes, or operations.
    pub(crate) amount: u64,
    /// How long it took.
    #[serde(rename = "seconds", serialize_with = "as_seconds")]
    pub(crate) time: Duration,
    /// The page faults that it took.
    pub(crate) faults: Faults,
}

fn as_seconds<S: Serializer>(time: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_f64(time.as_secs_f64())
}

impl Cost {
    /// Does work that says how much it was and what came out, and measures it.
    pub(crate) fn of<T, E>(work: impl FnOnce() -> Result<(u64, T), E>) -> Result<(Self, T), E> {
        let (faults, start) = (Faults::so_far(), Instant::now());
        let (amount, result) = work()?;
        let time = start.elapsed();
        Ok((Self { amount, time, faults: Faults::so_far().since(faults) }, result))
    }

    /// How much a second.
    pub(crate) fn speed(self) -> f64 {
        crate::ui::words::per_second(self.amount, self.time)
    }
}

/// The middle of several speeds of the same work.
pub(crate) fn median(mut costs: Vec<Cost>) -> Option<Cost> {
    costs.sort_by(|left, right| left.speed().total_cmp(&right.speed()));
    costs.get(costs.len() / 2).copied()
}

/// The fastest of several runs of the same work.
pub(crate) fn best(costs: Vec<Cost>) -> Option<Cost> {
    costs.into_iter().max_by(|left, right| left.speed().total_cmp(&right.speed()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counters_are_found_behind_a_name_with_brackets() {
        let line = "17 (a) b (c)) S 1 17 17 0 -1 4194304 1234 9 56 8 0 0";
        assert_eq!(Faults::in_stat(line), Some(Faults { minor: 1234, major: 56 }));
        assert_eq!(Faults::in_stat("17 (a) S 1"), None);
    }

    #[test]
    fn counters_that_cannot_be_read_are_no_faults() {
        let before = Faults { minor: 5, major: 1 };
        assert_eq!(Faults::default().since(before), Faults::default());
        assert_eq!(Faults { minor: 7, major: 1 }.since(before), Faults { minor: 2, major: 0 });
    }

    #[test]
    fn touching_fresh_memory_faults_and_is_counted() {
        let work = || Ok::<_, ()>((64 << 20, vec![1u8; 64 << 20]));
        let (cost, memory) = Cost::of(work).unwrap();
        assert_eq!((cost.amount, memory.len()), (64 << 20, 64 << 20));
        assert!(cost.faults.all() > 0, "{cost:?}");
    }

    #[test]
    fn the_median_and_the_best_are_costs_that_were_measured() {
        let cost = |amount| Cost { amount, time: Duration::from_secs(1), faults: Faults::default() };
        assert_eq!(median(vec![cost(5), cost(1), cost(3)]).map(|cost| cost.amount), Some(3));
        assert_eq!(best(vec![cost(5), cost(9), cost(3)]).map(|cost| cost.amount), Some(9));
        assert_eq!((median(Vec::new()), best(Vec::new())), (None, None));
    }
}
