//! The chapter *Files as arrays*: one file, treated as an array in every way that counts.

mod duel;
mod fill;
mod grow;
mod numbers;
mod pages;
mod scan;
mod sort;
mod truncate;

use super::Chapter;
use super::stage::Stage;
use crate::outcome::Failure;
use scan::Subject;

/// The chapter.
pub(super) const CHAPTER: Chapter = Chapter { name: "files", title: "Files as arrays", on_files: true, tell };

fn tell(stage: &mut Stage<'_>) -> Result<(), Failure> {
    let visitors = Subject::of_visitor(stage)?;
    let own = fill::fill(stage)?;
    let subject = visitors.unwrap_or(own);
    scan::sum(stage, &subject)?;
    scan::search(stage, &subject)?;
    pages::look(stage, &subject)?;
    scan::cold(stage, &subject)?;
    sort::sort(stage)?;
    grow::grow(stage)?;
    truncate::truncate(stage)
}
