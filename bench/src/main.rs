//! Mapwright's benchmark: every speed claim, beside its rivals and the physical limit, in one run.
//!
//! `cargo run --release --manifest-path bench/Cargo.toml -- SUITE [--json] [--row NAME]`
//!
//! Suites are modules of [`suite`], one file a row; the machinery is [`harness`]; what several rows need of
//! the rivals is [`rival`], and of Mapwright [`ours`]. Deliberately absent: any switch that makes one peer's
//! life easier than another's.

mod harness;
mod ours;
mod rival;
mod suite;

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context, Result, bail};
use clap::Parser;

use harness::{Call, Folder, Format, Hop, Machine, Report, RowPlan, Settings};
use suite::Suite;

/// Measure Mapwright beside its rivals and the limits of this machine
///
/// Files are made in a folder on a real disk and removed at the end. Cold rows drop the page cache as root;
/// without root they drop only their own files' pages, and say so. A figure is a median; a ratio is the
/// median of the ratios of neighbours in one round, and above 1 ours is better, whatever the unit.
#[derive(Parser)]
#[command(name = "mapwright-bench", version)]
struct Arguments {
    /// What to measure; without a suite, they are listed with their rows
    suite: Option<String>,
    /// One JSON object a line on stdout instead of tables
    #[arg(long)]
    json: bool,
    /// Only rows whose name contains this (may be given several times)
    #[arg(long = "row", value_name = "NAME")]
    rows: Vec<String>,
    /// Small files and few rounds: proves that everything runs, and nothing about speed
    #[arg(long)]
    quick: bool,
    /// Rounds a row, instead of each row's own number
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..))]
    rounds: Option<u16>,
    /// Where to make files [default: beside this program, in cargo's target folder]
    #[arg(long, value_name = "FOLDER")]
    dir: Option<PathBuf>,
    /// The seed of everything random
    #[arg(long, default_value_t = 1)]
    seed: u64,
}

fn main() -> ExitCode {
    let mut second = std::env::args().skip(1);
    let result = match second.next() {
        Some(first) if first == harness::SECOND => Call::parse(second).and_then(suite::answer),
        _ => run(&Arguments::parse()),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::from(if error.is::<Usage>() { 2 } else { 1 })
        }
    }
}

/// What was asked for does not exist.
#[derive(Debug)]
struct Usage(String);

impl std::fmt::Display for Usage {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Usage {}

fn run(arguments: &Arguments) -> Result<()> {
    let Some(name) = &arguments.suite else {
        list();
        return Ok(());
    };
    let Some(suite) = Suite::ALL.iter().find(|suite| suite.name == name) else {
        bail!(Usage(format!("no suite is named {name}; there are: {}", Suite::names())));
    };
    measure(suite, arguments)
}

fn list() {
    for suite in Suite::ALL {
        println!("{}: {}", suite.name, suite.about);
        for row in suite.rows {
            println!("  {}{}", row.name, if row.is_long { " (only by its whole name)" } else { "" });
        }
    }
}

fn measure(suite: &Suite, arguments: &Arguments) -> Result<()> {
    let wanted: Vec<_> = suite.rows.iter().filter(|row| arguments.wants(row)).collect();
    if wanted.is_empty() {
        let parts = arguments.rows.join(" or ");
        bail!(Usage(format!(
            "no row of {} has {parts} in its name; without arguments, they are listed",
            suite.name
        )));
    }
    let rounds = arguments.rounds.map(usize::from).or(arguments.quick.then_some(3));
    let settings = Settings::new(rounds, arguments.seed);
    let folder = Folder::new(&arguments.folder()?, arguments.quick, arguments.seed)?;
    let machine = Machine::of(folder.path(), settings.eviction)?;
    let format = if arguments.json { Format::JsonLines } else { Format::Table };
    let mut report = Report::begin(std::io::stdout().lock(), format, suite.name, arguments.seed, &machine)?;
    let folder = &folder;
    for plan in wanted {
        let mut row = (plan.build)(folder).with_context(|| format!("prepare the row {}", plan.name))?;
        let hop = suite.hop.map(|hop| move || hop(folder));
        let hop = hop.as_ref().map(|hop| hop as &dyn Fn() -> Result<Hop>);
        let found =
            harness::run(&mut row, settings, hop).with_context(|| format!("measure {}", plan.name))?;
        report.row(&row, &found)?;
    }
    report.end()
}

impl Arguments {
    fn wants(&self, row: &RowPlan) -> bool {
        if row.is_long {
            return self.rows.iter().any(|part| row.name == part);
        }
        self.rows.is_empty() || self.rows.iter().any(|part| row.name.contains(part))
    }

    fn folder(&self) -> Result<PathBuf> {
        if let Some(folder) = &self.dir {
            return Ok(folder.clone());
        }
        let program = std::env::current_exe().context("find this program's folder")?;
        Ok(program.with_file_name("bench-files"))
    }
}
