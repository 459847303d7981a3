//! Units: how the time that a sample took becomes the figure that a row shows.

use std::time::Duration;

/// What a row's figures count. Ratios do not depend on it: they are ratios of times.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Unit {
    /// Bytes moved, shown as GB/s (10⁹).
    Throughput { bytes: u64 },
    /// Things done, shown as thousands a second.
    Thousands { operations: u64 },
    /// Things done, shown as millions a second.
    Millions { operations: u64 },
    /// Things done, shown as nanoseconds for one.
    Nanoseconds { operations: u64 },
    /// Things done, shown as microseconds for one.
    Microseconds { operations: u64 },
}

impl Unit {
    /// The unit's name.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Throughput { .. } => "GB/s",
            Self::Thousands { .. } => "k/s",
            Self::Millions { .. } => "M/s",
            Self::Nanoseconds { .. } => "ns",
            Self::Microseconds { .. } => "µs",
        }
    }

    /// The figure of a sample that took this long.
    pub(crate) fn figure(self, elapsed: Duration) -> f64 {
        let seconds = elapsed.as_secs_f64();
        match self {
            Self::Throughput { bytes } => bytes as f64 / 1e9 / seconds,
            Self::Thousands { operations } => operations as f64 / 1e3 / seconds,
            Self::Millions { operations } => operations as f64 / 1e6 / seconds,
            Self::Nanoseconds { operations } => seconds * 1e9 / operations as f64,
            Self::Microseconds { operations } => seconds * 1e6 / operations as f64,
        }
    }

    /// How many things one sample does: operations, or bytes.
    pub(crate) fn count(self) -> u64 {
        match self {
            Self::Throughput { bytes } => bytes,
            Self::Thousands { operations }
            | Self::Millions { operations }
            | Self::Nanoseconds { operations }
            | Self::Microseconds { operations } => operations,
        }
    }
}

/// A figure with three significant digits and no exponent.
pub(crate) fn digits(figure: f64) -> String {
    match figure.abs() {
        size if size >= 100.0 => format!("{figure:.0}"),
        size if size >= 10.0 => format!("{figure:.1}"),
        _ => format!("{figure:.2}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_follow_the_unit() {
        let second = Duration::from_secs(1);
        assert_eq!(Unit::Throughput { bytes: 3_000_000_000 }.figure(second), 3.0);
        assert_eq!(Unit::Thousands { operations: 5_000 }.figure(second), 5.0);
        assert_eq!(Unit::Nanoseconds { operations: 1_000_000_000 }.figure(second), 1.0);
    }

    #[test]
    fn three_digits_are_shown() {
        assert_eq!(digits(1234.5), "1234");
        assert_eq!(digits(12.345), "12.3");
        assert_eq!(digits(1.2345), "1.23");
    }
}
