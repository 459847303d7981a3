//! Numbers in words: sizes, counts, durations, rates, shares. Three digits are enough for anybody.

use std::time::Duration;

/// A size in the largest unit that fits: exact where that is a whole number, else with three digits.
pub(crate) fn bytes(count: u64) -> String {
    const UNITS: [&str; 6] = ["KiB", "MiB", "GiB", "TiB", "PiB", "EiB"];
    if count < 1024 {
        return format!("{count} B");
    }
    let (mut value, mut unit, mut one) = (approximately(count) / 1024.0, 0, 1024);
    while value >= 999.5 && unit + 1 < UNITS.len() {
        value /= 1024.0;
        unit += 1;
        one *= 1024;
    }
    let number = if count.is_multiple_of(one) { (count / one).to_string() } else { three_digits(value) };
    format!("{number} {}", UNITS[unit])
}

/// A rate in bytes a second, in the units of disks: MB and GB.
pub(crate) fn rate(bytes_a_second: f64) -> String {
    if bytes_a_second >= 999.5e6 {
        format!("{} GB/s", three_digits(bytes_a_second / 1e9))
    } else {
        format!("{} MB/s", three_digits(bytes_a_second / 1e6))
    }
}

/// How many a second.
pub(crate) fn per_second(count: u64, time: Duration) -> f64 {
    approximately(count) / time.as_secs_f64().max(1e-9)
}

/// A duration: three digits of the unit that fits.
pub(crate) fn time(time: Duration) -> String {
    let seconds = time.as_secs_f64();
    let (value, unit) = match seconds {
        s if s < 0.999_5e-6 => (s * 1e9, "ns"),
        s if s < 0.999_5e-3 => (s * 1e6, "µs"),
        s if s < 0.999_5 => (s * 1e3, "ms"),
        s => (s, "s"),
    };
    format!("{} {unit}", three_digits(value))
}

/// A whole number with commas between the thousands.
pub(crate) fn count(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// A count and its noun: `1 page`, `3 pages`.
pub(crate) fn counted(number: u64, one: &str) -> String {
    let ending = if number == 1 { "" } else { "s" };
    format!("{} {one}{ending}", count(number))
}

/// A large number with a letter for the thousands: `950`, `12.3k`, `4.50M`.
pub(crate) fn thousands(number: f64) -> String {
    match number {
        n if n < 999.5 => three_digits(n),
        n if n < 999.5e3 => format!("{}k", three_digits(n / 1e3)),
        n => format!("{}M", three_digits(n / 1e6)),
    }
}

/// A part of a whole in per cent: `0 %` and `100 %` only where that is exact.
pub(crate) fn share(part: u64, whole: u64) -> String {
    if part == 0 || whole == 0 {
        return "0 %".to_owned();
    }
    let percent = approximately(part) / approximately(whole) * 100.0;
    match percent {
        _ if part >= whole => "100 %".to_owned(),
        p if p < 1.0 => "<1 %".to_owned(),
        p if p > 99.0 => ">99 %".to_owned(),
        p => format!("{p:.0} %"),
    }
}

/// How many times: `1.9×`, `24×`.
pub(crate) fn times(ratio: f64) -> String {
    if ratio >= 9.95 { format!("{ratio:.0}×") } else { format!("{ratio:.1}×") }
}

/// A number that is shown or compared, not counted with.
#[allow(clippy::cast_precision_loss, reason = "shown with three digits")]
pub(crate) fn approximately(number: u64) -> f64 {
    number as f64
}

fn three_digits(value: f64) -> String {
    match value {
        v if v >= 99.95 => format!("{v:.0}"),
        v if v >= 9.995 => format!("{v:.1}"),
        v => format!("{v:.2}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_change_unit_before_they_grow_a_fourth_digit() {
        let cases = [
            (0, "0 B"),
            (1023, "1023 B"),
            (1024, "1 KiB"),
            (6144, "6 KiB"),
            (1025, "1.00 KiB"),
            (1_023_489, "0.98 MiB"),
            (1 << 20, "1 MiB"),
            (3 << 29, "1.50 GiB"),
            (123 << 30, "123 GiB"),
            (u64::MAX, "16.0 EiB"),
        ];
        for (count, text) in cases {
            assert_eq!(bytes(count), text);
        }
    }

    #[test]
    fn durations_and_rates_have_the_unit_that_fits() {
        let nanoseconds = |n| time(Duration::from_nanos(n));
        assert_eq!(nanoseconds(17), "17.0 ns");
        assert_eq!(nanoseconds(999_400), "999 µs");
        assert_eq!(nanoseconds(999_600), "1.00 ms");
        assert_eq!(nanoseconds(2_346_000_000), "2.35 s");
        assert_eq!(
            (rate(1e9), rate(999e6), rate(1e6)),
            ("1.00 GB/s".into(), "999 MB/s".into(), "1.00 MB/s".into())
        );
    }

    #[test]
    fn counts_have_commas_and_plurals() {
        assert_eq!((count(0), count(999), count(1000)), ("0".into(), "999".into(), "1,000".into()));
        assert_eq!(count(1_234_567), "1,234,567");
        assert_eq!((counted(1, "page"), counted(0, "page")), ("1 page".into(), "0 pages".into()));
        assert_eq!(thousands(77_900.0), "77.9k");
    }

    #[test]
    fn a_share_is_rounded_to_all_or_nothing_only_where_it_is() {
        assert_eq!((share(0, 10), share(10, 10)), ("0 %".into(), "100 %".into()));
        assert_eq!((share(1, 1000), share(999, 1000)), ("<1 %".into(), ">99 %".into()));
        assert_eq!((share(1, 2), share(0, 0)), ("50 %".into(), "0 %".into()));
    }
}
