//! `mapwright share list`

use mapwright::share::Directory;
use serde::Serialize;

use super::draw;
use super::seen::Seen;
use crate::outcome::{Failure, Outcome};
use crate::ui::{Screen, note};

#[derive(Serialize)]
struct Report {
    schema: &'static str,
    folder: String,
    segments: Vec<Seen>,
}

pub(super) fn run(directory: &Directory, json: bool, screen: &mut Screen) -> Result<Outcome, Failure> {
    // One that is removed meanwhile is none.
    let segments: Vec<Seen> =
        directory.segments()?.iter().filter_map(|name| Seen::of(directory, name).ok()).collect();
    let folder = directory.path().to_string_lossy().into_owned();
    if json {
        screen.json(&Report { schema: "mapwright.share.list/1", folder, segments })?;
    } else if segments.is_empty() {
        note(format!("no segments in {folder}"));
    } else {
        screen.lines(draw::list(&segments))?;
    }
    Ok(Outcome::Done)
}
