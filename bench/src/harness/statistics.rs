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
    fn extremes_are_found_in_any_order() {
        assert_eq!(extremes(&[2.0, 1.0, 3.0]), (1.0, 3.0));
    }
}
