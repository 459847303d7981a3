//! Stretches of pages in the same state, one a line: `path:from-to` (as `mapwright cat` takes it), a tab, the
//! state.

use std::ops::Range;

use mapwright::PageRun;

use super::survey::{FileItem, Item};
use crate::cached::Survey;
use crate::outcome::Failure;
use crate::ui::{Screen, name};

/// Prints the stretches of all files.
pub(super) fn print(items: &[Item], only_cached: bool, screen: &mut Screen) -> Result<(), Failure> {
    for item in items {
        match item {
            Item::File(file) => print_file(file, only_cached, screen)?,
            Item::Folder(folder) => print(&folder.items, only_cached, screen)?,
        }
    }
    Ok(())
}

fn print_file(file: &FileItem, only_cached: bool, screen: &mut Screen) -> Result<(), Failure> {
    let Some(survey) = &file.survey else { return Ok(()) };
    let name = name(&file.path);
    if survey.hidden().is_some() {
        let Range { start, end } = survey.range;
        return screen.line(format!("{name}:{start}-{end}\tunknown"));
    }
    for (range, state) in stretches(survey).filter(|(_, state)| !only_cached || state.contains("cached")) {
        screen.line(format!("{name}:{}-{}\t{state}", range.start, range.end))?;
    }
    Ok(())
}

/// The runs of a survey with their states in words; what is absent because it is a hole says so.
pub(super) fn stretches(survey: &Survey) -> impl Iterator<Item = (Range<u64>, String)> {
    let whole_hole = |run: &PageRun| {
        !run.state.is_cached()
            && survey.holes.iter().any(|hole| hole.start <= run.range.start && run.range.end <= hole.end)
    };
    survey.runs.iter().map(move |run| {
        let state = if whole_hole(run) { "hole".to_owned() } else { format!("{:?}", run.state) };
        (run.range.clone(), state)
    })
}
