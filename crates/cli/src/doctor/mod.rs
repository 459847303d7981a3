//! `mapwright doctor`: what this machine offers to those who map, tried out, with what to do where something
//! is missing; and, in `process`, what defeats the handler of faults in a process that runs.

mod process;

use std::path::PathBuf;

use mapwright::{Availability, Capabilities, Capability, Topic};
use serde::Serialize;

use crate::outcome::{Failure, Outcome};
use crate::ui::{Charset, Ink, Line, Screen, quoted, wrapped};

/// Say what this machine offers, and how to get what is missing.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  mapwright doctor /srv         also what its file system can do
  mapwright doctor --pid 4711   what is wrong with a process")]
pub(crate) struct Args {
    /// A folder whose file system is to be tried, too.
    #[arg(default_value = ".")]
    place: PathBuf,
    /// Examine a running process instead: does anything keep its faults from becoming errors?
    #[arg(long, value_parser = pid)]
    #[arg(conflicts_with_all = ["place", "verbose"])]
    pid: Option<u32>,
    /// Also say what each thing is good for.
    #[arg(long, short)]
    verbose: bool,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

fn pid(text: &str) -> Result<u32, String> {
    let number = text.parse().ok().filter(|&pid| pid > 0);
    number.ok_or_else(|| format!("`{text}` is not the number of a process"))
}

#[derive(Serialize)]
struct Report<'a> {
    schema: &'static str,
    capabilities: Vec<Row<'a>>,
}

#[derive(Serialize)]
struct Row<'a> {
    name: &'a str,
    topic: String,
    state: String,
    detail: &'a str,
    purpose: &'a str,
    without: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    enable: Option<&'a str>,
}

/// Examines the machine.
pub(crate) fn run(args: &Args, screen: &mut Screen) -> Result<Outcome, Failure> {
    if let Some(pid) = args.pid {
        let report = process::examine(pid)?;
        match args.json {
            true => screen.json(&report)?,
            false => screen.lines(report.draw(screen.charset(), screen.width()))?,
        }
        return Ok(Outcome::Done);
    }
    // The probe takes what cannot be opened for a file system that can do nothing.
    std::fs::metadata(&args.place).map_err(|cause| Failure::os("examine", quoted(&args.place), cause))?;
    let found = Capabilities::probe_at(&args.place);
    if args.json {
        screen.json(&Report {
            schema: "mapwright.doctor/1",
            capabilities: found.rows().iter().map(row).collect(),
        })?;
    } else {
        screen.lines(draw(found.rows(), args.verbose, screen.charset(), screen.width()))?;
    }
    Ok(Outcome::Done)
}

fn row(found: &Capability) -> Row<'_> {
    Row {
        name: found.name,
        topic: found.topic.to_string(),
        state: found.state.to_string(),
        detail: &found.detail,
        purpose: found.purpose,
        without: found.without,
        enable: found.enable.as_deref(),
    }
}

fn draw(rows: &[Capability], verbose: bool, charset: Charset, width: usize) -> Vec<Line> {
    let names = rows.iter().map(|row| row.name.len()).max().unwrap_or(0);
    let mut lines = Vec::new();
    let mut topic = None;
    for row in rows {
        if topic != Some(row.topic) {
            if topic.is_some() {
                lines.push(Line::empty());
            }
            lines.push(Line::of(Ink::Title, heading(row.topic)));
            topic = Some(row.topic);
        }
        lines.extend(capability(row, names, verbose, charset, width));
    }
    lines.push(Line::empty());
    let count = |state| rows.iter().filter(|row| row.state == state).count();
    let (have, off, missing) =
        (count(Availability::Have), count(Availability::Off), count(Availability::Missing));
    lines.push(Line::of(Ink::Dim, format!("{have} there, {off} turned off or forbidden, {missing} missing")));
    lines
}

const fn heading(topic: Topic) -> &'static str {
    match topic {
        Topic::Kernel => "Kernel",
        Topic::Memory => "Memory",
        Topic::Process => "This process",
        Topic::Place => "This place",
        _ => "More",
    }
}

/// The row itself, and below it what to do where something is not there.
fn capability(row: &Capability, names: usize, verbose: bool, charset: Charset, width: usize) -> Vec<Line> {
    let (ink, mark) = mark(row.state, charset);
    // Names take no more than this of a narrow screen; a longer one stands on a line of its own.
    let margin = (names + 6).min(width * 3 / 8);
    let name = Line::of(ink, format!("  {mark} ")).and(Ink::Plain, row.name);
    let stands_alone = name.width() + 2 > margin;
    let first = name.padded(margin);
    let mut texts = vec![(Ink::Plain, row.detail.clone())];
    if verbose {
        texts.push((Ink::Dim, row.purpose.to_owned()));
    }
    if row.state != Availability::Have {
        texts.push((Ink::Dim, format!("without it: {}", row.without)));
        texts.extend(row.enable.as_ref().map(|enable| (Ink::Strong, format!("to get it: {enable}"))));
    }
    let room = width.saturating_sub(margin).max(20);
    let texts: Vec<Line> = texts.iter().flat_map(|(ink, text)| wrapped(*ink, text, room)).collect();
    let mut lines = Vec::new();
    if stands_alone || texts.is_empty() {
        lines.push(first.clone().trimmed());
    }
    for (index, text) in texts.into_iter().enumerate() {
        let beside = index == 0 && !stands_alone;
        let start = if beside { first.clone() } else { Line::empty().padded(margin) };
        lines.push(start.and_line(text));
    }
    lines
}

/// The character before a thing that is there, or not.
const fn mark(state: Availability, charset: Charset) -> (Ink, &'static str) {
    let (mark, ascii, ink) = match state {
        Availability::Have => ("✓", "+", Ink::Good),
        Availability::Off => ("○", "o", Ink::Middling),
        Availability::Missing => ("✗", "-", Ink::Bad),
    };
    match charset {
        Charset::Unicode => (ink, mark),
        Charset::Ascii => (ink, ascii),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(state: Availability) -> Capability {
        Capability {
            name: "thing",
            topic: Topic::Kernel,
            state,
            detail: "as it is".into(),
            purpose: "speed",
            without: "slower",
            enable: Some("turn it on".into()),
        }
    }

    fn plain(state: Availability, verbose: bool) -> Vec<String> {
        draw(&[found(state)], verbose, Charset::Ascii, 80).iter().map(Line::plain).collect()
    }

    #[test]
    fn what_is_there_takes_one_line() {
        let expected = ["Kernel", "  + thing  as it is", "", "1 there, 0 turned off or forbidden, 0 missing"];
        assert_eq!(plain(Availability::Have, false), expected);
    }

    #[test]
    fn a_name_that_leaves_no_room_stands_alone() {
        let row = Capability { name: "a thing with a long name", ..found(Availability::Have) };
        let lines = draw(&[row], false, Charset::Ascii, 48);
        let plain: Vec<_> = lines.iter().map(Line::plain).collect();
        assert_eq!(plain[1..3], ["  + a thing with a long name", "                  as it is"]);
    }

    #[test]
    fn what_is_missing_says_what_to_do() {
        let lines = plain(Availability::Missing, true);
        assert_eq!(
            lines[1..5],
            [
                "  - thing  as it is",
                "           speed",
                "           without it: slower",
                "           to get it: turn it on"
            ]
        );
    }
}
