//! `mapwright tour`: what maps can do, shown on a file that the tour makes itself, beside the old way taken
//! in the same run.
//!
//! A tour is a list of chapters; a chapter tells scenes. A [`Scene`] is data: what was done, in
//! which words, with which costs. `draw` turns scenes into text; `--json` prints them as they are. New
//! chapters are added to [`CHAPTERS`] and need to know nothing of drawing.

mod draw;
mod files;
mod ground;
pub(crate) mod processes;
mod scene;
mod stage;

use std::path::PathBuf;

use serde::Serialize;

use crate::outcome::{Failure, Outcome};
use crate::size;
use crate::ui::Screen;
use ground::Ground;
use scene::Scene;
use stage::Stage;

/// All chapters, in the order in which they are told.
const CHAPTERS: &[Chapter] = &[files::CHAPTER, processes::CHAPTER];

/// A part of the tour.
pub(crate) struct Chapter {
    /// The word by which `--chapter` names it.
    name: &'static str,
    /// Its heading.
    title: &'static str,
    /// Whether it works on files, whose place the heading then tells.
    on_files: bool,
    /// Tells it, scene by scene.
    tell: fn(&mut Stage<'_>) -> Result<(), Failure>,
}

/// Take a tour of what maps can do, beside read(2) and write(2).
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// A file of yours to read in the tour. It is never written to.
    file: Option<PathBuf>,
    /// How large a file to work on.
    #[arg(long, value_name = "SIZE", default_value = "1G", value_parser = size::parse)]
    size: u64,
    /// Where to make files; by default the first temporary directory that is on a disk.
    #[arg(long, value_name = "DIR")]
    dir: Option<PathBuf>,
    /// Tell only this chapter.
    #[arg(long, value_name = "NAME", value_parser = chapter_names())]
    chapter: Option<String>,
    /// Print what happened as JSON.
    #[arg(long)]
    json: bool,
}

fn chapter_names() -> impl clap::builder::TypedValueParser<Value = String> {
    clap::builder::PossibleValuesParser::new(CHAPTERS.iter().map(|chapter| chapter.name))
}

#[derive(Serialize)]
struct Report<'a> {
    schema: &'static str,
    size: u64,
    ground: &'a Ground,
    chapters: Vec<ChapterReport>,
}

#[derive(Serialize)]
struct ChapterReport {
    name: &'static str,
    title: &'static str,
    scenes: Vec<Scene>,
}

/// Takes the tour.
pub(crate) fn run(args: &Args, screen: &mut Screen) -> Result<Outcome, Failure> {
    let ground = Ground::find(args.dir.as_deref(), args.size)?;
    let chosen = |chapter: &&Chapter| args.chapter.as_deref().is_none_or(|name| name == chapter.name);
    let mut chapters = Vec::new();
    for chapter in CHAPTERS.iter().filter(chosen) {
        let shown = if args.json { None } else { Some(&mut *screen) };
        let mut stage = Stage::new(&ground, args.file.as_deref(), shown);
        stage.open(chapter.title, chapter.on_files)?;
        (chapter.tell)(&mut stage)?;
        let scenes = stage.close()?;
        chapters.push(ChapterReport { name: chapter.name, title: chapter.title, scenes });
    }
    if args.json {
        let report = Report { schema: "mapwright.tour/1", size: ground.size(), ground: &ground, chapters };
        screen.json(&report)?;
    }
    Ok(Outcome::Done)
}
