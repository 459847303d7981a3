//! From samples to figures, ratios and verdicts.
//!
//! A ratio is the median over the rounds of (their time ÷ our time) *within one round*, not a ratio of
//! medians: on a machine whose disk runs at 0.8 GB/s in one second and at 3 in the next, only neighbours can
//! be compared. The figures beside it are plain medians, so their quotient may differ from the ratio; the
//! spread says by how much to trust it.

use super::meter::Sample;
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
