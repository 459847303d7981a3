//! `mapwright bench FILE`: is a map worth it here? The same bytes are read in every way that there is, from
//! the disk and from memory, in order and at random, with page faults counted. The file is never written to.
//!
//! `ways` does the reading, `run` takes turns and keeps the middle of several rounds, `verdict` says what it
//! means, and `draw` shows it.

mod chill;
mod draw;
mod run;
mod verdict;
mod ways;

use std::path::PathBuf;
use std::time::Duration;

use serde::Serialize;

use crate::disk::Disk;
use crate::outcome::{Failure, Outcome};
use crate::size;
use crate::ui::{PathInJson, Progress, Screen, name};
use run::{Field, Measurement, Missing};
use ways::Subject;

/// What each way is, for those who ask.
const WAYS: &str = "\
The ways, by calls of 1 MiB in order and of 4 KiB at random:
  read(2)     through the page cache, one call after the other
  plain mmap  a map without advice, touched as it comes; read by this
              library's guarded copy, which costs what memcpy does and
              does not die of it when the file is truncated
  O_DIRECT    past the page cache, one call after the other
  io_uring    past the page cache, 16 calls in flight in order, 64 at
              random
  mapwright   a map, and the library is told what will be read: stream,
              gather

From the disk, the file was evicted before each turn; from memory, it was read before, and maps are there \
                    with their pages.";

/// Read a file in every way there is, and say which is the fastest.
#[derive(Debug, clap::Args)]
#[command(after_help = WAYS)]
pub(crate) struct Args {
    /// The file or block device to read. It is not written to, but evicted from memory several times.
    file: PathBuf,
    /// Read no more than this much of it.
    #[arg(long, value_name = "SIZE", default_value = "1G", value_parser = size::parse)]
    size: u64,
    /// How often each way takes its turn; the middle one counts.
    #[arg(long, value_name = "N", default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..=99))]
    rounds: u32,
    /// How long a single turn may take in seconds.
    #[arg(long, value_name = "SECONDS", default_value_t = 1.0, value_parser = seconds)]
    time: f64,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

fn seconds(text: &str) -> Result<f64, String> {
    match text.parse() {
        Ok(seconds) if (0.01..=3600.0).contains(&seconds) => Ok(seconds),
        _ => Err(format!("`{text}` is not a number of seconds between 0.01 and 3600")),
    }
}

/// Everything that was found out.
#[derive(Serialize)]
struct Report {
    schema: &'static str,
    #[serde(flatten)]
    path: PathInJson,
    #[serde(rename = "size_bytes")]
    size: u64,
    disk: Option<Disk>,
    rounds: u32,
    /// How the file was made cold.
    made_cold_by: &'static str,
    fields: Vec<FieldReport>,
    verdict: String,
}

#[derive(Serialize)]
struct FieldReport {
    #[serde(flatten)]
    field: Field,
    ways: Vec<Measurement>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    missing: Vec<Missing>,
}

/// Measures.
pub(crate) fn run(args: &Args, screen: &mut Screen) -> Result<Outcome, Failure> {
    let subject = Subject::open(&args.file, args.size)?;
    let limit = Duration::from_secs_f64(args.time);
    let progress = Progress::of_steps(screen.charset());
    let mut fields = Vec::new();
    let mut chill = chill::Chill::default();
    for field in Field::ALL {
        let ways = run::measure(&subject, field, args.rounds, limit, &mut chill, &progress)?;
        fields.push(FieldReport { field, ways, missing: field.missing(&subject) });
    }
    drop(progress);
    let report = Report {
        schema: "mapwright.bench/1",
        path: args.file.as_path().into(),
        size: subject.size(),
        disk: Disk::of(&args.file),
        rounds: args.rounds,
        made_cold_by: chill.by(),
        verdict: verdict::of(&fields),
        fields,
    };
    if args.json {
        screen.json(&report)?;
    } else {
        let lines = draw::report(&name(&args.file), &report, screen.charset(), screen.width());
        screen.lines(lines)?;
    }
    Ok(Outcome::Done)
}
