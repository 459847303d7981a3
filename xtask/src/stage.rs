//! A stage: a named step that passes, fails, or is skipped out loud.
//!
//! A failed stage does not stop the ones after it: one run tells everything that is wrong.

use std::fmt;
use std::time::{Duration, Instant};

use anyhow::Result;

/// How a step that did not fail ended. A failure is the `Err` of the step's result.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// The step did its work; the note says how much (so many tests, so many files).
    Passed(String),
    /// The step could not run here; the reason names what is missing and how to get it.
    Skipped(String),
}

/// One step by name.
pub(crate) struct Stage {
    pub(crate) name: &'static str,
    pub(crate) work: fn() -> Result<Outcome>,
}

/// What became of one stage.
struct Row {
    name: &'static str,
    result: Result<Outcome>,
    took: Duration,
}

/// What became of every stage; its `Display` is the table at the end of a run.
#[derive(Default)]
pub(crate) struct Summary {
    rows: Vec<Row>,
}

impl Summary {
    /// Runs one stage, says what it did and how long it took, and remembers both.
    pub(crate) fn run(&mut self, stage: &Stage) {
        println!("\n=== {} ===", stage.name);
        let start = Instant::now();
        let result = (stage.work)();
        let row = Row { name: stage.name, result, took: start.elapsed() };
        println!("=== {row}");
        self.rows.push(row);
    }

    fn count(&self, matches: impl Fn(&Result<Outcome>) -> bool) -> usize {
        self.rows.iter().filter(|row| matches(&row.result)).count()
    }

    /// The number of stages that failed.
    pub(crate) fn failed(&self) -> usize {
        self.count(Result::is_err)
    }

    /// The number of stages that could not run here.
    pub(crate) fn skipped(&self) -> usize {
        self.count(|result| matches!(result, Ok(Outcome::Skipped(_))))
    }

    fn passed(&self) -> usize {
        self.count(|result| matches!(result, Ok(Outcome::Passed(_))))
    }
}

impl fmt::Display for Row {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = self.took.as_secs_f64();
        write!(out, "{:<10} {seconds:>7.1} s  ", self.name)?;
        match &self.result {
            Ok(Outcome::Passed(note)) => write!(out, "passed   {note}"),
            Ok(Outcome::Skipped(reason)) => write!(out, "SKIPPED  {reason}"),
            Err(error) => write!(out, "FAILED   {error:#}"),
        }
    }
}

impl fmt::Display for Summary {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        for row in &self.rows {
            writeln!(out, "{row}")?;
        }
        let total: Duration = self.rows.iter().map(|row| row.took).sum();
        let (passed, failed, skipped) = (self.passed(), self.failed(), self.skipped());
        write!(out, "{} stages in {:.0} s: ", self.rows.len(), total.as_secs_f64())?;
        write!(out, "{passed} passed, {failed} failed, {skipped} skipped")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn summary_of(stages: &[Stage]) -> Summary {
        let mut summary = Summary::default();
        stages.iter().for_each(|stage| summary.run(stage));
        summary
    }

    #[test]
    fn every_stage_runs_and_is_counted_once() {
        let summary = summary_of(&[
            Stage { name: "one", work: || anyhow::bail!("it broke") },
            Stage { name: "two", work: || Ok(Outcome::Skipped("no tool".into())) },
            Stage { name: "three", work: || Ok(Outcome::Passed("3 tests".into())) },
        ]);
        assert_eq!((summary.passed(), summary.failed(), summary.skipped()), (1, 1, 1));
        let table = summary.to_string();
        assert!(table.contains("FAILED   it broke"), "{table}");
        assert!(table.contains("SKIPPED  no tool"), "{table}");
        assert!(table.contains("passed   3 tests"), "{table}");
        assert!(table.ends_with("1 passed, 1 failed, 1 skipped"), "{table}");
    }

    #[test]
    fn a_run_without_failures_has_none() {
        let summary = summary_of(&[Stage { name: "one", work: || Ok(Outcome::Passed("ok".into())) }]);
        assert_eq!(summary.failed(), 0);
    }
}
