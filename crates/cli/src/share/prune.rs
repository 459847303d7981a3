//! `mapwright share prune`

use std::path::Path;

use mapwright::ErrorKind;
use mapwright::share::Directory;
use serde::Serialize;

use crate::outcome::{Failure, Outcome};
use crate::ui::{Ink, Line, Screen, complain, note};

#[derive(Default, Serialize)]
struct Report {
    schema: &'static str,
    removed: Vec<String>,
    kept: Vec<String>,
    skipped: Vec<Skipped>,
}

#[derive(Serialize)]
struct Skipped {
    name: String,
    why: String,
}

/// Where there is no folder yet.
pub(super) fn nothing(folder: &Path, json: bool, screen: &mut Screen) -> Result<Outcome, Failure> {
    print(folder, &Report { schema: SCHEMA, ..Report::default() }, json, screen)?;
    Ok(Outcome::Done)
}

pub(super) fn run(
    directory: &Directory,
    names: &[String],
    json: bool,
    screen: &mut Screen,
) -> Result<Outcome, Failure> {
    let report = if names.is_empty() { all(directory)? } else { some(directory, names) };
    print(directory.path(), &report, json, screen)?;
    // What was asked for by name and is in use was not done; of all, only what is skipped was not.
    let failed = !report.skipped.is_empty() || (!names.is_empty() && !report.kept.is_empty());
    Ok(match (failed, names.is_empty() || !report.removed.is_empty()) {
        (false, _) => Outcome::Done,
        (true, true) => Outcome::Partly,
        (true, false) => Outcome::Failed,
    })
}

fn print(folder: &Path, report: &Report, json: bool, screen: &mut Screen) -> Result<(), Failure> {
    if json {
        screen.json(report)?;
    } else {
        for name in &report.removed {
            screen.line(Line::of(Ink::Good, "removed  ").and(Ink::Plain, name))?;
        }
        for name in &report.kept {
            screen.line(Line::of(Ink::Dim, "in use   ").and(Ink::Plain, name))?;
        }
        if report.removed.is_empty() && report.kept.is_empty() && report.skipped.is_empty() {
            note(format!("no segments in {}", folder.display()));
        }
        for Skipped { name, why } in &report.skipped {
            complain(&Failure::new(format!("skipped {name}: {why}")));
        }
    }
    Ok(())
}

fn all(directory: &Directory) -> Result<Report, Failure> {
    let pruned = directory.prune()?;
    let skipped = pruned.skipped.into_iter().map(|(name, why)| Skipped { name, why }).collect();
    Ok(Report { schema: SCHEMA, removed: pruned.removed, kept: pruned.kept, skipped })
}

const SCHEMA: &str = "mapwright.share.prune/1";

fn some(directory: &Directory, names: &[String]) -> Report {
    let mut report = Report { schema: SCHEMA, ..Report::default() };
    for name in names {
        match directory.remove(name) {
            Ok(()) => report.removed.push(name.clone()),
            Err(error) if error.kind() == ErrorKind::Busy => report.kept.push(name.clone()),
            Err(error) => report.skipped.push(Skipped { name: name.clone(), why: error.to_string() }),
        }
    }
    report
}
