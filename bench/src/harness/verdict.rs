//! From samples to figures, ratios and verdicts.
//!
//! A ratio is the median over the rounds of (their time ÷ our time) *within one round*, not a ratio of
//! medians: on a machine whose disk runs at 0.8 GB/s in one second and at 3 in the next, only neighbours can
//! be compared. The figures beside it are plain medians, so their quotient may differ from the ratio; the
//! spread says by how much to trust it.

use super::meter::{OfRounds, Sample};
use super::row::{Bound, Role, Row, Target};
use super::statistics::{extremes, median, spread};
use super::usage::Faults;

/// What was found about one peer.
#[derive(Debug)]
pub(crate) struct Measured {
    pub(crate) name: &'static str,
    pub(crate) role: Role,
    /// The median in the row's unit, its relative spread, the smallest and the largest.
    pub(crate) figure: f64,
    pub(crate) spread: f64,
    pub(crate) extremes: (f64, f64),
    /// Medians.
    pub(crate) faults: Faults,
    /// What else was seen, by name.
    pub(crate) facts: Vec<(&'static str, f64)>,
    /// Median seconds a sample; what bars and "best of" compare.
    pub(crate) seconds: f64,
    /// Ours against this one; none for ours itself.
    pub(crate) comparison: Option<Comparison>,
}

/// Ours held against one peer.
#[derive(Debug)]
pub(crate) struct Comparison {
    /// More than 1: ours is better.
    pub(crate) ratio: f64,
    pub(crate) spread: f64,
    pub(crate) goals: Vec<Goal>,
}

/// One target, and whether it was reached.
#[derive(Debug)]
pub(crate) struct Goal {
    pub(crate) label: &'static str,
    pub(crate) bound: Bound,
    /// The ratio, or the nanoseconds more, that was reached.
    pub(crate) reached: f64,
    pub(crate) met: bool,
}

/// Judges a row whose samples were taken.
pub(super) fn judge(row: &Row, samples: &[Vec<Sample>]) -> Vec<Measured> {
    let seconds: Vec<Vec<f64>> =
        samples.iter().map(|all| all.iter().map(|sample| sample.elapsed.as_secs_f64()).collect()).collect();
    let ours = row.peers.iter().position(|peer| peer.role == Role::Ours).map(|place| &seconds[place]);
    let binding = |target: &Target| {
        let named = (0..row.peers.len()).filter(|&place| target.against.contains(&row.peers[place].name));
        named.min_by(|&a, &b| median(&seconds[a]).total_cmp(&median(&seconds[b])))
    };
    let bound_to: Vec<Option<usize>> = row.targets.iter().map(binding).collect();
    assert!(!bound_to.contains(&None), "{}: each target names peers of the row", row.name);
    let measure = |place: usize| {
        let peer = &row.peers[place];
        let goals = row.targets.iter().zip(&bound_to).filter(|(_, bound)| **bound == Some(place));
        let compare = |ours: &Vec<f64>| compare(row, ours, &seconds[place], goals.map(|(target, _)| target));
        let figures: Vec<f64> = samples[place].iter().map(|sample| row.unit.figure(sample.elapsed)).collect();
        Measured {
            name: peer.name,
            role: peer.role,
            figure: median(&figures),
            spread: spread(&figures),
            extremes: extremes(&figures),
            faults: median_faults(&samples[place]),
            facts: facts(&samples[place]),
            seconds: median(&seconds[place]),
            comparison: if peer.role == Role::Ours { None } else { ours.map(compare) },
        }
    };
    (0..row.peers.len()).map(measure).collect()
}

fn compare<'row>(
    row: &Row,
    ours: &[f64],
    theirs: &[f64],
    targets: impl Iterator<Item = &'row Target>,
) -> Comparison {
    let ratios: Vec<f64> = theirs.iter().zip(ours).map(|(theirs, ours)| theirs / ours).collect();
    let per_operation = 1e9 / row.unit.count() as f64;
    let more: Vec<f64> =
        theirs.iter().zip(ours).map(|(theirs, ours)| (ours - theirs) * per_operation).collect();
    let goal = |target: &Target| {
        let (reached, met) = match target.bound {
            Bound::Ratio(least) => (median(&ratios), median(&ratios) >= least),
            Bound::NanosecondsMore(most) => (median(&more), median(&more) <= most),
        };
        Goal { label: target.label, bound: target.bound, reached, met }
    };
    Comparison { ratio: median(&ratios), spread: spread(&ratios), goals: targets.map(goal).collect() }
}

fn median_faults(samples: &[Sample]) -> Faults {
    let middle = |pick: fn(&Faults) -> u64| {
        let counts: Vec<f64> = samples.iter().map(|sample| pick(&sample.faults) as f64).collect();
        median(&counts).round() as u64
    };
    Faults { minor: middle(|faults| faults.minor), major: middle(|faults| faults.major) }
}

fn facts(samples: &[Sample]) -> Vec<(&'static str, f64)> {
    let of_all = |place: usize| {
        let first = samples[0].facts[place];
        let values: Vec<f64> = samples.iter().map(|sample| sample.facts[place].value).collect();
        let value = match first.of_rounds {
            OfRounds::Median => median(&values),
            OfRounds::Sum => values.iter().sum(),
            OfRounds::Largest => extremes(&values).1,
        };
        (first.label, value)
    };
    (0..samples.first().map_or(0, |sample| sample.facts.len())).map(of_all).collect()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::super::meter::Fact;
    use super::super::row::{Cache, Clock, Peer};
    use super::super::unit::Unit;
    use super::*;

    fn samples(milliseconds: &[u64]) -> Vec<Sample> {
        let sample = |&time: &u64| Sample {
            elapsed: Duration::from_millis(time),
            faults: Faults { minor: time, major: 0 },
            answer: None,
            facts: Vec::new(),
        };
        milliseconds.iter().map(sample).collect()
    }

    fn row(targets: Vec<Target>) -> Row {
        Row {
            name: "row",
            about: String::new(),
            unit: Unit::Nanoseconds { operations: 1_000_000 },
            clock: Clock::Wall,
            cache: Cache::Warm,
            bytes_touched: 0,
            rounds: 3,
            peers: vec![
                Peer::ours(|_| Ok(())),
                Peer::rival("slow", |_| Ok(())),
                Peer::rival("fast", |_| Ok(())),
            ],
            targets,
        }
    }

    fn judged(targets: Vec<Target>, ours: &[u64], slow: &[u64], fast: &[u64]) -> Vec<Measured> {
        judge(&row(targets), &[samples(ours), samples(slow), samples(fast)])
    }

    fn compared(peer: &Measured) -> &Comparison {
        peer.comparison.as_ref().expect("a rival is compared")
    }

    #[test]
    fn a_ratio_compares_neighbours_and_not_medians() {
        // The machine was ten times as slow in the first round and in the second; ours was twice as fast
        // throughout.
        let found = judged(vec![], &[100, 100, 10], &[200, 200, 20], &[100, 200, 20]);
        let slow = compared(&found[1]);
        assert_eq!((slow.ratio, slow.spread), (2.0, 0.0));
        assert_eq!(found[1].faults.minor, 200);
        assert!(found[0].comparison.is_none());
    }

    #[test]
    fn the_best_of_those_meant_counts() {
        let target = Target::ratio("both", &["slow", "fast"], 1.5);
        let found = judged(vec![target], &[10, 10, 10], &[20, 20, 20], &[12, 12, 12]);
        assert!(compared(&found[1]).goals.is_empty());
        let goal = &compared(&found[2]).goals[0];
        assert_eq!((goal.reached, goal.met), (1.2, false));
    }

    #[test]
    fn rivals_without_ours_are_measured_and_not_compared() {
        let mut alone = row(vec![Target::ratio("slow", &["slow"], 1.0)]);
        alone.peers.remove(0);
        let found = judge(&alone, &[samples(&[20]), samples(&[10])]);
        assert!(found.iter().all(|peer| peer.comparison.is_none()));
        assert_eq!(found[0].seconds, 0.02);
    }

    #[test]
    fn facts_are_medians_sums_or_the_largest() {
        let of_round = |value: f64| {
            let fact = |label, of_rounds| Fact { label, value, of_rounds };
            let facts = vec![
                fact("middle", OfRounds::Median),
                fact("all", OfRounds::Sum),
                fact("most", OfRounds::Largest),
            ];
            Sample { elapsed: Duration::from_secs(1), faults: Faults::default(), answer: None, facts }
        };
        let found = facts(&[of_round(1.0), of_round(2.0), of_round(6.0)]);
        assert_eq!(found, [("middle", 2.0), ("all", 9.0), ("most", 6.0)]);
    }

    #[test]
    fn nanoseconds_more_are_per_operation() {
        let target = Target::nanoseconds_more("fast", &["fast"], 2.0);
        let found = judged(vec![target], &[13, 14, 15], &[20, 20, 20], &[12, 12, 12]);
        let goal = &compared(&found[2]).goals[0];
        assert!((goal.reached - 2.0).abs() < 1e-6 && goal.met, "{goal:?}");
    }

    #[test]
    #[should_panic(expected = "names peers of the row")]
    fn a_target_against_nobody_is_a_mistake() {
        judged(vec![Target::ratio("nobody", &["nobody"], 1.0)], &[1], &[1], &[1]);
    }
}
