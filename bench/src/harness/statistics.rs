//! Medians and their spread. Nothing here assumes a distribution: disks and shared machines have none.

/// The middle value, or the mean of the two middle ones.
///
/// # Panics
/// Where there is no value.
pub(crate) fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    assert!(!sorted.is_empty(), "a median needs a value");
    let middle = sorted.len() / 2;
    if sorted.len() % 2 == 1 { sorted[middle] } else { (sorted[middle - 1] + sorted[middle]) / 2.0 }
}

/// The median absolute deviation from the median, as a part of the median.
pub(crate) fn spread(values: &[f64]) -> f64 {
    let middle = median(values);
    let deviations: Vec<f64> = values.iter().map(|value| (value - middle).abs()).collect();
    median(&deviations) / middle
}

/// The smallest and the largest value.
pub(crate) fn extremes(values: &[f64]) -> (f64, f64) {
    let fold = |pick: fn(f64, f64) -> f64, start| values.iter().copied().fold(start, pick);
    (fold(f64::min, f64::INFINITY), fold(f64::max, f64::NEG_INFINITY))
}

/// The value that so many percent are no larger than.
///
/// Clocks tick: on some processors every 10 ns, which is a lot beside a hop of 60. Equal values are therefore
/// taken as spread evenly around their tick, which is the usual median of grouped values.
///
/// # Panics
/// Where there is no value.
pub(crate) fn percentile(sorted: &[u32], percent: usize) -> f64 {
    let rank = (sorted.len() * percent / 100).min(sorted.len() - 1);
    let value = sorted[rank];
    let from = sorted.partition_point(|&other| other < value);
    let to = sorted.partition_point(|&other| other <= value);
    let below = from.checked_sub(1).map(|place| value - sorted[place]);
    let above = sorted.get(to).map(|other| other - value);
    let tick = below.into_iter().chain(above).min().unwrap_or(0);
    let part = (rank - from) as f64 / (to - from) as f64 - 0.5;
    f64::from(value) + f64::from(tick) * if to - from > 1 { part } else { 0.0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_ignores_an_outlier() {
        assert_eq!(median(&[3.0, 1.0, 100.0]), 3.0);
        assert_eq!(median(&[1.0, 2.0]), 1.5);
    }

    #[test]
    fn the_spread_is_relative_to_the_median() {
        assert_eq!(spread(&[8.0, 10.0, 12.0]), 0.2);
        assert_eq!(spread(&[10.0]), 0.0);
    }

    #[test]
    fn a_percentile_is_one_of_the_values() {
        let values: Vec<u32> = (0..1000).collect();
        assert_eq!((percentile(&values, 50), percentile(&values, 99)), (500.0, 990.0));
        assert_eq!(percentile(&[7], 99), 7.0);
    }

    #[test]
    fn a_percentile_is_finer_than_the_clock() {
        let mut values = vec![110; 500];
        values.extend([120; 500]);
        assert_eq!(percentile(&values, 50), 115.0);
        assert_eq!(percentile(&values, 25), 110.0);
    }

    #[test]
    fn extremes_are_found_in_any_order() {
        assert_eq!(extremes(&[2.0, 1.0, 3.0]), (1.0, 3.0));
    }
}
