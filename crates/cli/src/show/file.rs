//! One file as a picture.

use mapwright::{Question, WhyUntold};

use super::survey::FileItem;
use crate::cached::{Survey, picture};
use crate::ui::{Charset, Ink, Line, flowing, name, words, wrapped};

/// The most rows of a single file's picture.
const MOST: usize = 8;

/// How many rows each of several files may take.
pub(super) const fn rows(files: usize) -> usize {
    match files {
        1 => MOST,
        2..=4 => 4,
        _ => 1,
    }
}

/// Draws a file.
pub(super) fn draw(file: &FileItem, rows: usize, charset: Charset, width: usize) -> Vec<Line> {
    let dot = if charset == Charset::Unicode { " · " } else { ", " };
    let mut lines = vec![Line::of(Ink::Strong, name(&file.path))];
    let Some(survey) = &file.survey else { return lines };
    lines.extend(flowing(facts(survey), dot, width));
    if let Some(why) = survey.hidden() {
        lines.extend(wrapped(Ink::Middling, &format!("What is in memory is not known: {why}."), width));
        return lines;
    }
    if survey.totals.pages == 0 {
        return lines;
    }
    lines.push(Line::empty());
    lines.extend(strips(survey, rows, charset, width));
    lines
}

/// The file in numbers.
fn facts(survey: &Survey) -> Vec<Line> {
    let (totals, size) = (survey.totals, survey.range.end - survey.range.start);
    let bytes = |pages: u64| words::bytes(pages * survey.page);
    let mut facts = vec![Line::from(words::bytes(size))];
    if totals.pages == 0 {
        facts.push(Line::of(Ink::Dim, "no pages"));
        return facts;
    }
    if survey.hidden().is_none() {
        let share = words::share(totals.cached, totals.pages);
        let ink = if totals.cached == 0 { Ink::Dim } else { Ink::Cached };
        facts.push(Line::of(ink, format!("{} in memory ({share})", bytes(totals.cached))));
    }
    let parts = [
        (totals.dirty, "dirty", Ink::Dirty),
        (totals.writeback, "in write-back", Ink::Writeback),
        (totals.huge, "in huge pages", Ink::Huge),
        (totals.locked, "locked", Ink::Locked),
    ];
    for (pages, what, ink) in parts.into_iter().filter(|(pages, _, _)| *pages > 0) {
        facts.push(Line::of(ink, format!("{} {what}", bytes(pages))));
    }
    if !survey.holes.is_empty() {
        facts.push(Line::of(Ink::Dim, format!("{} on disk", words::bytes(survey.allocated))));
    }
    facts
}

/// The picture: rows of cells behind the offset that each begins at, and what they mean.
fn strips(survey: &Survey, rows: usize, charset: Charset, width: usize) -> Vec<Line> {
    let offset = |cell: usize, per_cell: u64| {
        let first = survey.range.start - survey.range.start % survey.page;
        words::bytes(first + crate::width::wide(cell) * per_cell * survey.page)
    };
    let margin = "1023 MiB  ".len();
    let columns = (width - margin) / 8 * 8;
    let (cells, per_cell) = survey.cells(columns * rows);
    let mut lines = Vec::new();
    for (row, part) in cells.chunks(columns).enumerate() {
        let at = Line::of(Ink::Dim, offset(row * columns, per_cell)).pushed_right(margin - 2);
        lines.push(at.and(Ink::Plain, "  ").and_line(picture::strip(part, charset)));
    }
    let cell = words::bytes(per_cell * survey.page);
    let scale = Line::of(Ink::Dim, format!("one cell is {cell}"));
    let room = width - margin;
    let legend =
        flowing(picture::legend(&cells, charset, room).into_iter().chain([scale]), picture::GAP, room);
    lines.push(Line::empty());
    lines.extend(legend.into_iter().map(|line| line.indented(margin)));
    let untold = untold(survey);
    lines.extend(wrapped(Ink::Dim, &untold, width - margin).into_iter().map(|line| line.indented(margin)));
    lines
}

/// What the kernel would not tell, in one sentence.
fn untold(survey: &Survey) -> String {
    let what = |question: &Question| match question {
        Question::Writes => Some("dirty pages"),
        Question::Huge => Some("huge pages"),
        Question::Locked => Some("locked pages"),
        _ => None,
    };
    let told = |(question, why): &(Question, WhyUntold)| {
        what(question).map(|what| format!("Not shown: {what} ({why})."))
    };
    survey.untold.iter().filter_map(told).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use mapwright::{PageRun, PageState, PageTotals};

    use super::*;
    use crate::show::survey::Sum;

    /// A file of eight pages: two each cached and locked, one each huge, in write-back, dirty and absent.
    fn survey() -> Survey {
        let cached = PageState::CACHED;
        let states = [
            (0..2, cached),
            (2..4, cached.with(PageState::LOCKED)),
            (4..5, cached.with(PageState::HUGE)),
            (5..6, cached.with(PageState::WRITEBACK)),
            (6..7, cached.with(PageState::DIRTY)),
            (7..8, PageState::ABSENT),
        ];
        let run = |(pages, state): (std::ops::Range<u64>, PageState)| PageRun {
            range: pages.start * 4096..pages.end * 4096,
            state,
        };
        let mut totals = PageTotals::default();
        (totals.pages, totals.cached, totals.locked) = (8, 7, 2);
        (totals.huge, totals.writeback, totals.dirty) = (1, 1, 1);
        Survey {
            range: 0..8 * 4096,
            page: 4096,
            totals,
            runs: states.into_iter().map(run).collect(),
            holes: Vec::new(),
            allocated: 8 * 4096,
            untold: Vec::new(),
        }
    }

    fn plain(survey: Survey) -> Vec<String> {
        let (path, sum) = ("a".into(), Sum::default());
        let file = FileItem { path, again: false, sum, survey: Some(survey), hidden: None };
        draw(&file, 1, Charset::Ascii, 80).iter().map(Line::plain).collect()
    }

    #[test]
    fn every_state_is_counted_drawn_and_explained() {
        assert_eq!(
            plain(survey()),
            [
                "a",
                "32 KiB, 28 KiB in memory (88 %), 4 KiB dirty, 4 KiB in write-back",
                "4 KiB in huge pages, 8 KiB locked",
                "",
                "     0 B  ##LLHwd.",
                "",
                "          . absent   # cached   d dirty   w write-back   H huge   L locked",
                "          one cell is 4 KiB",
            ]
        );
    }

    #[test]
    fn what_the_kernel_does_not_tell_is_said() {
        let untold = vec![(Question::Locked, WhyUntold::NeedsRoot("an example"))];
        let lines = plain(Survey { untold, ..survey() });
        let last = lines.last().unwrap();
        assert!(last.trim().starts_with("Not shown: locked pages ("), "{last}");
        let untold = vec![(Question::Presence, WhyUntold::NotPermitted)];
        let lines = plain(Survey { untold, ..survey() });
        assert!(lines.iter().any(|line| line.starts_with("What is in memory is not known: ")), "{lines:?}");
        assert!(!lines.iter().any(|line| line.contains("##")), "{lines:?}");
    }
}
