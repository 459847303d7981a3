//! The report as text: a bar for each way, and one sentence.

use super::run::{Field, Measurement, Missing, Order};
use super::ways::{BLOCK, Way};
use super::{FieldReport, Report};
use crate::ui::{Bar, Charset, Ink, Line, chart, words, wrapped};
use crate::width::wide;

/// What a reader of the figures may take for something else.
const FOOT: &str = "plain mmap is a map without advice, read by the library's guarded copy; `mapwright bench \
                    --help` says what each way is.";

/// Draws everything.
pub(super) fn report(name: &str, report: &Report, charset: Charset, width: usize) -> Vec<Line> {
    let dot = if charset == Charset::Unicode { " · " } else { ", " };
    let disk = report.disk.as_ref().map(|disk| format!("{dot}{}", disk.in_words())).unwrap_or_default();
    let rounds = match report.rounds {
        1 => "one round".to_owned(),
        rounds => format!("the middle of {rounds} rounds"),
    };
    let facts = format!("{} read{disk}{dot}{rounds}{dot}{}", words::bytes(report.size), report.made_cold_by);
    let mut lines = vec![Line::of(Ink::Strong, name)];
    lines.extend(wrapped(Ink::Dim, &facts, width));
    for field in &report.fields {
        lines.push(Line::empty());
        lines.push(Line::of(Ink::Title, field.field.name()));
        lines.extend(ways(field, charset, width));
        field.missing.iter().for_each(|way| lines.extend(missing(way, width)));
    }
    lines.push(Line::empty());
    lines.extend(wrapped(Ink::Plain, &charset.spelled(&report.verdict), width));
    lines.push(Line::empty());
    lines.extend(wrapped(Ink::Dim, FOOT, width));
    lines
}

fn ways(field: &FieldReport, charset: Charset, width: usize) -> Vec<Line> {
    let bar = |way: &Measurement| {
        let ours = way.way == Way::Mapwright;
        let (ink, text) = if ours { (Ink::Good, Ink::Strong) } else { (Ink::Dim, Ink::Plain) };
        let speed = Line::of(text, speed(field.field, way.cost.speed()));
        let facts = vec![speed, Line::of(Ink::Dim, spread(way, charset)), Line::of(Ink::Dim, faults(way))];
        Bar { name: Line::of(text, way.way.name()).indented(2), ink, value: way.cost.speed(), facts }
    };
    chart(&field.ways.iter().map(bar).collect::<Vec<_>>(), charset, width)
}

/// A way that cannot be taken, and why.
fn missing(missing: &Missing, width: usize) -> Vec<Line> {
    let margin = Way::ALL.iter().map(|way| way.name().len()).max().unwrap_or(0) + 4;
    let why = wrapped(Ink::Dim, &format!("not here: {}", missing.why), width.saturating_sub(margin));
    let start = |index| if index == 0 { missing.way.name() } else { "" };
    let line = |(index, why)| Line::from(start(index)).indented(2).padded(margin).and_line(why);
    why.into_iter().enumerate().map(line).collect()
}

/// Bytes a second in order, blocks a second at random.
pub(super) fn speed(field: Field, bytes_a_second: f64) -> String {
    match field.order {
        Order::Sequential => words::rate(bytes_a_second),
        Order::Random => {
            format!("{}/s", words::thousands(bytes_a_second / words::approximately(wide(BLOCK))))
        }
    }
}

/// How far the turns lie from each other, as a part of the middle one.
fn spread(way: &Measurement, charset: Charset) -> String {
    let (slowest, fastest) = way.spread;
    let half = (fastest - slowest) / 2.0 / way.cost.speed().max(f64::MIN_POSITIVE) * 100.0;
    let sign = if charset == Charset::Unicode { "±" } else { "+-" };
    format!("{sign}{half:.0} %")
}

fn faults(way: &Measurement) -> String {
    match (way.cost.faults.minor, way.cost.faults.major) {
        (0, 0) => "no fault".to_owned(),
        (minor, 0) => words::counted(minor, "fault"),
        (minor, major) => format!("{}, {} wait", words::counted(minor + major, "fault"), words::count(major)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_way_that_is_missing_stands_where_its_bar_would_with_the_reason() {
        let why = "cannot set up an io_uring queue: operation not permitted".to_owned();
        let lines = missing(&Missing { way: Way::IoUring, why }, 50);
        let plain: Vec<_> = lines.iter().map(Line::plain).collect();
        assert_eq!(
            plain,
            [
                "  io_uring    not here: cannot set up an io_uring",
                "              queue: operation not permitted"
            ]
        );
    }
}
