//! `mapwright share snapshot`: the value that was published last, by whomever, of whatever type.

use std::io::{Read, Write};

use mapwright::share::{Directory, SnapshotBytes};
use serde::Serialize;
use serde_json::Value;

use super::decode::decode;
use crate::outcome::{Failure, Outcome};
use crate::ui::Screen;

/// What can be told.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The segment's name.
    segment: String,
    /// The snapshot in it.
    object: String,
    /// Publish this text instead (a snapshot of bytes only); `-` takes it from the standard input.
    #[arg(long, value_name = "TEXT")]
    set: Option<String>,
    /// Print the bytes as they are.
    #[arg(long)]
    raw: bool,
}

#[derive(Serialize)]
struct Report {
    schema: &'static str,
    version: u64,
    layout: String,
    value: Value,
}

pub(super) fn run(
    directory: &Directory,
    args: &Args,
    json: bool,
    screen: &mut Screen,
) -> Result<Outcome, Failure> {
    if let Some(text) = &args.set {
        return set(directory, args, text);
    }
    let reader = directory.open_read_only(&args.segment)?;
    let (snapshot, layout) = reader.raw_snapshot(&args.object)?;
    let mut bytes = Vec::new();
    let version =
        snapshot.read_into(&mut bytes).map_err(|error| Failure::new(format!("cannot read: {error}")))?;
    if args.raw {
        std::io::stdout().lock().write_all(&bytes).map_err(Failure::output)?;
        return Ok(Outcome::Done);
    }
    let value = decode(&layout, &bytes).unwrap_or_else(|| as_text(&bytes));
    if json {
        screen.json(&Report { schema: "mapwright.share.snapshot/1", version, layout, value })?;
    } else if let Value::String(text) = &value {
        screen.line(text.as_str())?;
    } else {
        screen.json(&value)?;
    }
    Ok(Outcome::Done)
}

fn set(directory: &Directory, args: &Args, text: &str) -> Result<Outcome, Failure> {
    let mut bytes = text.as_bytes().to_vec();
    if text == "-" {
        bytes.clear();
        let read = std::io::stdin().lock().read_to_end(&mut bytes);
        read.map_err(|cause| Failure::os("read", "the standard input", cause))?;
    }
    let refused = |error: &dyn std::fmt::Display| Failure::new(format!("cannot publish: {error}"));
    let segment = directory.open(&args.segment)?;
    let mut writer = segment.get::<SnapshotBytes>(&args.object)?.writer().map_err(|error| refused(&error))?;
    writer.publish(&bytes).map_err(|error| refused(&error))?;
    Ok(Outcome::Done)
}

/// Bytes that are text, or their hexadecimal digits.
fn as_text(bytes: &[u8]) -> Value {
    match std::str::from_utf8(bytes) {
        Ok(text) if !text.chars().any(|letter| letter.is_control() && !letter.is_whitespace()) => text.into(),
        _ => bytes.iter().map(|byte| format!("{byte:02x}")).collect::<Vec<_>>().join(" ").into(),
    }
}
