//! What was moved, and what was not: for people, and as JSON.

use std::path::Path;
use std::time::Duration;

use serde::{Serialize, Serializer};

use crate::outcome::{Failure, Outcome, Tally};
use crate::ui::{Align, Ink, Line, PathInJson, Screen, Table, complain, name, words};

/// Up to how many files are named one by one.
const NAMED: usize = 20;

/// What a command did to one file, in bytes.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Moved {
    #[serde(flatten)]
    path: PathInJson,
    #[serde(skip)]
    pub(super) name: String,
    /// What was wanted was so before.
    #[serde(rename = "already_bytes")]
    pub(super) already: u64,
    /// What was done.
    #[serde(rename = "done_bytes")]
    pub(super) done: u64,
    /// What was wanted and is not so.
    #[serde(rename = "left_bytes")]
    pub(super) left: u64,
    /// Why.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) why: Option<String>,
}

impl Moved {
    /// Begins with nothing done.
    pub(super) fn new(path: &Path) -> Self {
        Self { path: path.into(), name: name(path), already: 0, done: 0, left: 0, why: None }
    }

    /// Says that nothing of what is left can be done.
    pub(super) fn refused(self, left: u64, why: &Failure) -> Self {
        Self { left, why: Some(why.to_string()), ..self }
    }
}

/// What a command did.
#[derive(Debug, Serialize)]
pub(super) struct Report {
    schema: &'static str,
    #[serde(skip)]
    verb: Verb,
    seconds: f64,
    files: Vec<Moved>,
    #[serde(serialize_with = "in_words")]
    refused: Vec<Failure>,
}

fn in_words<S: Serializer>(refused: &[Failure], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_seq(refused.iter().map(ToString::to_string))
}

/// What a command does, in the words of its report.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Verb {
    /// Its schema in JSON.
    pub(super) schema: &'static str,
    /// Heads the column of what was done: `brought in`.
    pub(super) done: &'static str,
    /// Heads the column of what was so before: `in memory before`.
    pub(super) already: &'static str,
    /// Heads the column of what could not be done: `not in memory`.
    pub(super) left: &'static str,
}

impl Report {
    /// Puts a report together.
    pub(super) fn new(verb: Verb, files: Vec<Moved>, refused: Vec<Failure>, time: Duration) -> Self {
        Self { schema: verb.schema, verb, seconds: time.as_secs_f64(), files, refused }
    }

    /// How far it came.
    pub(super) fn outcome(&self) -> Outcome {
        let mut tally = Tally::default();
        self.refused.iter().for_each(|_| tally.count(Outcome::Failed));
        for file in &self.files {
            tally.count(match file {
                Moved { left: 0, .. } => Outcome::Done,
                Moved { done: 0, already: 0, .. } => Outcome::Failed,
                _ => Outcome::Partly,
            });
        }
        tally.outcome()
    }

    /// Prints it: figures to stdout, what could not be done to stderr.
    pub(super) fn print(&self, json: bool, screen: &mut Screen) -> Result<(), Failure> {
        if json {
            screen.json(self)?;
        } else if self.refused.is_empty() || !self.files.is_empty() {
            screen.lines(self.table().lines())?;
        }
        screen.flush()?;
        self.refused.iter().for_each(complain);
        for file in &self.files {
            if let Some(why) = &file.why {
                complain(&Failure::new(format!("{}: {why}", file.name)));
            }
        }
        Ok(())
    }

    /// A row for each file that is worth one, and one for all.
    fn table(&self) -> Table {
        let anything_left = self.files.iter().any(|file| file.left > 0);
        let left = if anything_left { self.verb.left } else { "" };
        let columns = [
            (self.verb.done, Align::Right),
            (self.verb.already, Align::Right),
            (left, Align::Right),
            ("", Align::Left),
        ];
        let mut table = Table::new(columns);
        let row = |file: &Moved, label: Line| {
            let ink = if file.done > 0 { Ink::Strong } else { Ink::Plain };
            let left = match file.left {
                0 => Line::empty(),
                left => Line::of(Ink::Bad, words::bytes(left)),
            };
            let already =
                if self.verb.already.is_empty() { Line::empty() } else { words::bytes(file.already).into() };
            [Line::of(ink, words::bytes(file.done)), already, left, label]
        };
        if self.files.len() <= NAMED {
            self.files.iter().for_each(|file| table.row(row(file, file.name.as_str().into())));
        }
        if self.files.len() != 1 {
            let mut all = Moved::new(Path::new(""));
            for file in &self.files {
                all.done += file.done;
                all.already += file.already;
                all.left += file.left;
            }
            let files = words::counted(crate::width::wide(self.files.len()), "file");
            table.row(row(&all, Line::of(Ink::Dim, format!("{files} together"))));
        }
        table
    }

    #[cfg(test)]
    pub(super) fn plain(&self) -> Vec<String> {
        self.table().lines().iter().map(Line::plain).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const VERB: Verb = Verb {
        schema: "mapwright.test/1",
        done: "brought in",
        already: "in memory before",
        left: "not in memory",
    };

    fn moved(path: &str, done: u64, already: u64, left: u64) -> Moved {
        Moved { done, already, left, ..Moved::new(Path::new(path)) }
    }

    fn report(files: Vec<Moved>) -> Report {
        Report::new(VERB, files, Vec::new(), Duration::from_secs(1))
    }

    #[test]
    fn one_file_needs_no_total() {
        assert_eq!(
            report(vec![moved("a", 4096, 0, 0)]).plain(),
            ["brought in  in memory before", "     4 KiB               0 B  a"].map(str::to_owned)
        );
    }

    #[test]
    fn what_is_left_has_a_column_and_partly_done_is_said() {
        let report = report(vec![moved("a", 4096, 0, 4096), moved("b", 0, 0, 4096)]);
        let [heading, .., total] = &report.plain()[..] else { panic!("a table has rows") };
        assert!(heading.contains("not in memory"));
        assert!(total.ends_with("2 files together") && total.contains("8 KiB"), "{total}");
        assert_eq!(report.outcome(), Outcome::Partly);
    }

    #[test]
    fn nothing_done_of_what_was_wanted_is_a_failure() {
        assert_eq!(report(vec![moved("a", 0, 0, 1)]).outcome(), Outcome::Failed);
        assert_eq!(report(vec![moved("a", 0, 1, 0)]).outcome(), Outcome::Done);
        assert_eq!(report(vec![]).outcome(), Outcome::Done);
    }
}
