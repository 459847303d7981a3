//! What was found, as JSON.

use std::path::Path;

use mapwright::Question;
use serde::Serialize;

use super::ranges;
use super::survey::{FileItem, FolderItem, Item, Sum};
use crate::cached::Survey;
use crate::ui::PathInJson;

/// Everything.
#[derive(Serialize)]
pub(super) struct Report<'a> {
    schema: &'static str,
    targets: Vec<Node<'a>>,
}

#[derive(Serialize)]
#[serde(tag = "kind", rename_all = "lowercase")]
enum Node<'a> {
    File {
        #[serde(flatten)]
        path: PathInJson,
        #[serde(flatten)]
        sum: &'a Sum,
        #[serde(skip_serializing_if = "std::ops::Not::not")]
        counted_before: bool,
        #[serde(flatten)]
        pages: Option<Pages>,
        #[serde(skip_serializing_if = "Vec::is_empty")]
        untold: Vec<Untold>,
    },
    Folder {
        #[serde(flatten)]
        path: PathInJson,
        #[serde(flatten)]
        sum: &'a Sum,
        entries: Vec<Node<'a>>,
    },
}

/// What is known page by page.
#[derive(Serialize)]
struct Pages {
    page_size: u64,
    allocated_bytes: u64,
    huge_bytes: u64,
    locked_bytes: u64,
    holes: Vec<(u64, u64)>,
    #[serde(skip_serializing_if = "Option::is_none")]
    ranges: Option<Vec<Stretch>>,
}

#[derive(Serialize)]
struct Stretch {
    from: u64,
    to: u64,
    state: String,
}

#[derive(Serialize)]
struct Untold {
    what: &'static str,
    why: String,
}

/// Makes the report.
pub(super) fn report(items: &[Item], with_ranges: bool) -> Report<'_> {
    Report { schema: "mapwright.show/1", targets: items.iter().map(|item| node(item, with_ranges)).collect() }
}

fn node(item: &Item, with_ranges: bool) -> Node<'_> {
    let path = |path: &Path| PathInJson::from(path);
    match item {
        Item::Folder(FolderItem { path: own, sum, items }) => {
            let entries = items.iter().map(|item| node(item, with_ranges)).collect();
            Node::Folder { path: path(own), sum, entries }
        }
        Item::File(FileItem { path: own, again, sum, survey, hidden }) => {
            let told = survey.as_ref().map(|survey| survey.untold.as_slice()).unwrap_or_default();
            let mut untold: Vec<_> =
                told.iter().map(|(question, why)| untold(*question, why.to_string())).collect();
            if let (Some(why), None) = (hidden, survey) {
                untold.push(self::untold(Question::Presence, why.to_string()));
            }
            let pages = survey.as_ref().map(|survey| pages(survey, with_ranges));
            Node::File { path: path(own), sum, counted_before: *again, pages, untold }
        }
    }
}

fn pages(survey: &Survey, with_ranges: bool) -> Pages {
    let stretch =
        |(range, state): (std::ops::Range<u64>, String)| Stretch { from: range.start, to: range.end, state };
    Pages {
        page_size: survey.page,
        allocated_bytes: survey.allocated,
        huge_bytes: survey.totals.huge * survey.page,
        locked_bytes: survey.totals.locked * survey.page,
        holes: survey.holes.iter().map(|hole| (hole.start, hole.end)).collect(),
        ranges: with_ranges.then(|| ranges::stretches(survey).map(stretch).collect()),
    }
}

fn untold(question: Question, why: String) -> Untold {
    let what = match question {
        Question::Presence => "cached",
        Question::Writes => "dirty and writeback",
        Question::Huge => "huge",
        Question::Locked => "locked",
        _ => "something",
    };
    Untold { what, why }
}
