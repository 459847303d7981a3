//! `mapwright share list`

use std::path::Path;

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
    /// Files that are no segments, or cannot be opened.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    unreadable: Vec<Unreadable>,
}

#[derive(Serialize)]
pub(super) struct Unreadable {
    pub(super) name: String,
    pub(super) why: String,
}

/// Where there is no folder yet.
pub(super) fn nothing(folder: &Path, json: bool, screen: &mut Screen) -> Result<Outcome, Failure> {
    print(folder, Vec::new(), Vec::new(), json, screen)
}

pub(super) fn run(directory: &Directory, json: bool, screen: &mut Screen) -> Result<Outcome, Failure> {
    let (mut segments, mut unreadable) = (Vec::new(), Vec::new());
    for (name, seen) in directory.survey()? {
        match seen {
            Ok(seen) => segments.push(Seen::from(seen)),
            Err(error) => unreadable.push(Unreadable { name, why: error.to_string() }),
        }
    }
    print(directory.path(), segments, unreadable, json, screen)
}

fn print(
    folder: &Path,
    segments: Vec<Seen>,
    unreadable: Vec<Unreadable>,
    json: bool,
    screen: &mut Screen,
) -> Result<Outcome, Failure> {
    let folder = folder.to_string_lossy().into_owned();
    if json {
        screen.json(&Report { schema: "mapwright.share.list/1", folder, segments, unreadable })?;
    } else if segments.is_empty() && unreadable.is_empty() {
        note(format!("no segments in {folder}"));
    } else {
        let lines = draw::list(&segments, &unreadable, screen.width());
        screen.lines(lines)?;
    }
    Ok(Outcome::Done)
}
