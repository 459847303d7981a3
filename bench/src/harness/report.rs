//! Printing: a table with bars for people, one JSON object a line for programs.

use std::collections::BTreeMap;
use std::io::Write;

use anyhow::Result;
use comfy_table::presets::UTF8_BORDERS_ONLY;
use comfy_table::{Attribute, Cell, CellAlignment, Color, ContentArrangement, Table};
use serde::Serialize;

use super::machine::Machine;
use super::row::{Bound, Role, Row};
use super::run::{Finding, Hop};
use super::unit::digits;
use super::verdict::{Comparison, Goal, Measured};

/// Cells that the longest bar takes.
const BAR: usize = 16;

/// Who reads the report.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Format {
    Table,
    JsonLines,
}

/// The report of one run, printed row by row.
pub(crate) struct Report<Output: Write> {
    output: Output,
    format: Format,
    suite: &'static str,
    /// What every figure depends on, said in every line's note.
    read_ahead: String,
    met: usize,
    missed: Vec<String>,
}

/// One line for programs. `ratio` above 1: ours is better, whatever the unit.
#[derive(Serialize)]
struct Line<'row> {
    suite: &'row str,
    row: &'row str,
    peer: &'row str,
    unit: &'row str,
    ours: Option<f64>,
    theirs: f64,
    ratio: Option<f64>,
    spread: f64,
    note: String,
    clock: &'row str,
    cache: &'row str,
    rounds: usize,
    bytes_touched: u64,
    minor_faults: u64,
    major_faults: u64,
    our_minor_faults: Option<u64>,
    our_major_faults: Option<u64>,
    /// One way between the two processors, in nanoseconds, in the same rounds.
    #[serde(skip_serializing_if = "Option::is_none")]
    hop_p50: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    hop_p99: Option<f64>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    facts: BTreeMap<&'row str, f64>,
    targets: Vec<LineTarget<'row>>,
}

#[derive(Serialize)]
struct LineTarget<'row> {
    against: &'row str,
    must: String,
    reached: f64,
    met: bool,
}

impl<Output: Write> Report<Output> {
    /// Begins the report of one suite.
    ///
    /// # Errors
    /// Where it cannot be written.
    pub(crate) fn begin(
        mut output: Output,
        format: Format,
        suite: &'static str,
        seed: u64,
        machine: &Machine,
    ) -> Result<Self> {
        if format == Format::Table {
            writeln!(output, "suite {suite}: {}; seed {seed}\n", machine.describe())?;
        }
        let read_ahead = match machine.read_ahead_kib {
            Some(kib) => format!("read-ahead {kib} KiB; {}", machine.eviction),
            None => machine.eviction.to_owned(),
        };
        Ok(Self { output, format, suite, read_ahead, met: 0, missed: Vec::new() })
    }

    /// Prints one row.
    ///
    /// # Errors
    /// Where it cannot be written.
    pub(crate) fn row(&mut self, row: &Row, found: &Finding) -> Result<()> {
        let measured = &found.peers;
        for goal in measured.iter().filter_map(|peer| peer.comparison.as_ref()).flat_map(|found| &found.goals)
        {
            if goal.met {
                self.met += 1;
            } else {
                self.missed.push(format!("{} against {}: {}", row.name, goal.label, outcome(goal)));
            }
        }
        match self.format {
            Format::Table => self.table(row, found),
            Format::JsonLines => self.lines(row, found),
        }
    }

    /// Says how many targets were met, and which were not.
    ///
    /// # Errors
    /// Where it cannot be written.
    pub(crate) fn end(mut self) -> Result<()> {
        if self.format == Format::Table {
            writeln!(self.output, "targets: {} met, {} missed", self.met, self.missed.len())?;
            for missed in &self.missed {
                writeln!(self.output, "  missed: {missed}")?;
            }
        }
        Ok(self.output.flush()?)
    }

    fn table(&mut self, row: &Row, found: &Finding) -> Result<()> {
        let (rounds, measured) = (found.rounds, &found.peers);
        let touched = match row.bytes_touched {
            0 => String::new(),
            bytes => format!(", {} touched", binary(bytes)),
        };
        let (name, clock, cache) = (row.name, row.clock.words(), row.cache.word());
        let about = &row.about;
        writeln!(self.output, "{name}: {about} ({cache}{touched}, {clock}, median of {rounds} rounds)")?;
        if let Some(Hop { p50, p99 }) = found.hop {
            let (p50, p99) = (digits(p50), digits(p99));
            writeln!(self.output, "raw hop of a cache line in these rounds: {p50} ns p50, {p99} ns p99")?;
        }
        let mut table = Table::new();
        table.load_preset(UTF8_BORDERS_ONLY).set_content_arrangement(ContentArrangement::Disabled);
        let heads =
            ["", row.unit.name(), "±", "min–max", "", "ours is", "±", "target", "", "faults min/maj", "also"];
        let facts = measured.iter().any(|peer| !peer.facts.is_empty());
        table.set_header(&heads[..heads.len() - usize::from(!facts)]);
        for column in [1, 2, 3, 5, 6, 9] {
            if let Some(column) = table.column_mut(column) {
                column.set_cell_alignment(CellAlignment::Right);
            }
        }
        let fastest = measured.iter().map(|peer| peer.seconds).fold(f64::INFINITY, f64::min);
        for peer in measured {
            let mut cells = cells(peer, fastest);
            if facts {
                cells.push(Cell::new(also(&peer.facts)));
            }
            table.add_row(cells);
        }
        writeln!(self.output, "{table}\n")?;
        Ok(self.output.flush()?)
    }

    fn lines(&mut self, row: &Row, found: &Finding) -> Result<()> {
        let measured = &found.peers;
        let ours = measured.iter().find(|peer| peer.role == Role::Ours);
        for peer in measured.iter().filter(|peer| peer.role != Role::Ours || measured.len() == 1) {
            let comparison = peer.comparison.as_ref();
            let goals = comparison.map_or(&[][..], |found| &found.goals);
            let line = Line {
                suite: self.suite,
                row: row.name,
                peer: peer.name,
                unit: row.unit.name(),
                ours: ours.map(|ours| ours.figure),
                theirs: peer.figure,
                ratio: comparison.map(|found| found.ratio),
                spread: comparison.map_or(peer.spread, |found| found.spread),
                note: self.note(row, peer),
                clock: row.clock.words(),
                cache: row.cache.word(),
                rounds: found.rounds,
                bytes_touched: row.bytes_touched,
                our_minor_faults: ours.map(|ours| ours.faults.minor),
                our_major_faults: ours.map(|ours| ours.faults.major),
                minor_faults: peer.faults.minor,
                major_faults: peer.faults.major,
                hop_p50: found.hop.map(|hop| hop.p50),
                hop_p99: found.hop.map(|hop| hop.p99),
                facts: peer.facts.iter().copied().collect(),
                targets: goals.iter().map(line_target).collect(),
            };
            serde_json::to_writer(&mut self.output, &line)?;
            writeln!(self.output)?;
        }
        Ok(self.output.flush()?)
    }

    fn note(&self, row: &Row, peer: &Measured) -> String {
        let limit = if peer.role == Role::Limit { "the limit; " } else { "" };
        format!("{limit}{}, {}; {}", row.about, row.cache.word(), self.read_ahead)
    }
}

fn cells(peer: &Measured, fastest: f64) -> Vec<Cell> {
    let name = match peer.role {
        Role::Ours => Cell::new(peer.name).add_attribute(Attribute::Bold),
        Role::Sibling | Role::Rival => Cell::new(peer.name),
        Role::Limit => Cell::new(format!("limit: {}", peer.name)).add_attribute(Attribute::Italic),
    };
    let (least, most) = peer.extremes;
    let comparison = peer.comparison.as_ref();
    let ratio = comparison.map_or_else(String::new, |found| format!("{}×", digits(found.ratio)));
    let trust = comparison.map_or_else(String::new, |found| percent(found.spread));
    let goals = comparison.map_or(&[][..], |found| &found.goals);
    let verdict = if goals.iter().all(|goal| goal.met) {
        Cell::new(if goals.is_empty() { "" } else { "met" }).fg(Color::Green)
    } else {
        Cell::new("missed").fg(Color::Red)
    };
    vec![
        name,
        Cell::new(digits(peer.figure)),
        Cell::new(percent(peer.spread)),
        Cell::new(format!("{}–{}", digits(least), digits(most))),
        Cell::new(bar(fastest / peer.seconds)),
        Cell::new(ratio),
        Cell::new(trust),
        Cell::new(wanted(goals, comparison)),
        verdict,
        Cell::new(format!("{}/{}", peer.faults.minor, peer.faults.major)),
    ]
}

fn also(facts: &[(&str, f64)]) -> String {
    facts.iter().map(|(label, value)| format!("{label} {}", digits(*value))).collect::<Vec<_>>().join("; ")
}

fn wanted(goals: &[Goal], comparison: Option<&Comparison>) -> String {
    let text = |goal: &Goal| match goal.bound {
        Bound::Ratio(_) => format!("{} ({})", must(goal.bound), goal.label),
        Bound::NanosecondsMore(_) => format!("{}: {} ns", must(goal.bound), digits(goal.reached)),
    };
    debug_assert!(goals.is_empty() || comparison.is_some(), "goals come with a comparison");
    goals.iter().map(text).collect::<Vec<_>>().join("; ")
}

fn must(bound: Bound) -> String {
    match bound {
        Bound::Ratio(least) => format!("≥ {least}"),
        Bound::NanosecondsMore(most) => format!("at most {most} ns more"),
    }
}

fn outcome(goal: &Goal) -> String {
    match goal.bound {
        Bound::Ratio(_) => format!("{}×, must be {}", digits(goal.reached), must(goal.bound)),
        Bound::NanosecondsMore(_) => {
            format!("{} ns more, must be {}", digits(goal.reached), must(goal.bound))
        }
    }
}

fn line_target(goal: &Goal) -> LineTarget<'_> {
    LineTarget { against: goal.label, must: must(goal.bound), reached: goal.reached, met: goal.met }
}

/// A bar for a part of the fastest, in eighths of a cell.
fn bar(part: f64) -> String {
    const EIGHTHS: [char; 8] = [' ', '▏', '▎', '▍', '▌', '▋', '▊', '▉'];
    let eighths = (part.clamp(0.0, 1.0) * (BAR * 8) as f64).round() as usize;
    let mut bar = "█".repeat(eighths / 8);
    if !eighths.is_multiple_of(8) {
        bar.push(EIGHTHS[eighths % 8]);
    }
    if bar.is_empty() { EIGHTHS[1].to_string() } else { bar }
}

fn percent(part: f64) -> String {
    format!("{:.0} %", part * 100.0)
}

fn binary(bytes: u64) -> String {
    const UNITS: [&str; 4] = ["bytes", "KiB", "MiB", "GiB"];
    let mut size = bytes as f64;
    let mut unit = 0;
    while size >= 1024.0 && unit + 1 < UNITS.len() {
        size /= 1024.0;
        unit += 1;
    }
    let digits = usize::from(size.fract() != 0.0);
    format!("{size:.digits$} {}", UNITS[unit])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bars_grow_in_eighths_and_never_vanish() {
        assert_eq!(bar(1.0), "█".repeat(BAR));
        assert_eq!(bar(0.5), "█".repeat(BAR / 2));
        assert_eq!(bar(0.0), "▏");
    }

    #[test]
    fn sizes_are_binary() {
        assert_eq!(binary(1 << 30), "1 GiB");
        assert_eq!(binary(1536), "1.5 KiB");
    }
}
