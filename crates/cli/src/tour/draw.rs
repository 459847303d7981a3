//! Scenes as text.

use super::ground::Ground;
use super::scene::{Scene, Strip, Way};
use crate::cached::{Cell, picture};
use crate::ui::{Align, Bar, Charset, Ink, Line, Table, bar, chart, words, wrapped};

/// How far everything below a scene's title is indented.
const INDENT: usize = 4;

/// Ratios beyond this one have the longest bar: one that is far off must not make all others look alike.
const LONGEST: f64 = 10.0;

/// The heading of a chapter.
pub(super) fn heading(title: &str, ground: Option<&Ground>, width: usize) -> Vec<Line> {
    let mut lines = vec![Line::empty(), Line::of(Ink::Title, title)];
    let Some(ground) = ground else { return lines };
    let disk = ground.disk().map(|disk| format!(" on {}", disk.in_words())).unwrap_or_default();
    let file = format!("With files of {}{disk}, removed at the end.", words::bytes(ground.size()));
    lines.extend(wrapped(Ink::Dim, &file, width));
    for note in ground.notes() {
        lines.extend(wrapped(Ink::Middling, note, width));
    }
    lines
}

/// One scene.
pub(super) fn scene(number: usize, scene: &Scene, charset: Charset, width: usize) -> Vec<Line> {
    let mut lines = vec![Line::empty(), title(number, scene, width)];
    for sentence in &scene.says {
        let sentence = wrapped(Ink::Plain, &charset.spelled(sentence), width - INDENT);
        lines.extend(sentence.into_iter().map(|line| line.indented(INDENT)));
    }
    lines.extend(ways(&scene.ways, charset, width).into_iter().map(|line| line.indented(INDENT)));
    lines
        .extend(strips(&scene.strips, charset, width - INDENT).into_iter().map(|line| line.indented(INDENT)));
    lines
}

fn title(number: usize, scene: &Scene, width: usize) -> Line {
    let title = Line::of(Ink::Dim, format!("{number:>2}  ")).and(Ink::Strong, scene.title);
    let Some(code) = scene.code else { return title };
    let code = Line::of(Ink::Dim, code);
    match width.checked_sub(title.width() + code.width() + 2) {
        Some(_) => title.clone().and_line(code.pushed_right(width - title.width())),
        None => title,
    }
}

/// The ways of a scene as bars, the longest the fastest.
fn ways(ways: &[Way], charset: Charset, width: usize) -> Vec<Line> {
    let bar = |way: &Way| {
        let faults = match way.cost.faults.all() {
            0 => "no fault".to_owned(),
            all => words::counted(all, "fault"),
        };
        let speed = words::rate(way.cost.speed());
        let time = charset.spelled(&words::time(way.cost.time));
        Bar {
            name: Line::of(if way.ours { Ink::Strong } else { Ink::Plain }, way.name),
            ink: if way.ours { Ink::Good } else { Ink::Dim },
            value: way.cost.speed(),
            facts: vec![speed.into(), time.into(), Line::of(Ink::Dim, faults)],
        }
    };
    chart(&ways.iter().map(bar).collect::<Vec<_>>(), charset, width - INDENT)
}

fn strips(strips: &[Strip], charset: Charset, width: usize) -> Vec<Line> {
    let mut lines = Vec::new();
    for strip in strips {
        lines.push(Line::of(Ink::Dim, strip.when));
        lines.push(picture::strip(&strip.cells, charset));
    }
    if !strips.is_empty() {
        let cells: Vec<Cell> = strips.iter().flat_map(|strip| strip.cells.iter().copied()).collect();
        lines.extend(picture::legend(&cells, charset, width));
    }
    lines
}

/// All comparisons of a chapter below each other.
pub(super) fn figures(scenes: &[Scene], charset: Charset, width: usize) -> Vec<Line> {
    let mut table = Table::new([
        ("", Align::Left),
        ("mapwright", Align::Right),
        ("beside", Align::Right),
        ("", Align::Left),
        ("", Align::Right),
        ("", Align::Left),
    ]);
    let rows: Vec<_> =
        scenes.iter().flat_map(|scene| comparisons(scene).map(move |pair| (scene, pair))).collect();
    let most = rows.iter().map(|(_, (ours, other))| ours.times(other)).fold(1.0, f64::max).min(LONGEST);
    let columns = width.saturating_sub(70).clamp(8, 24);
    for (scene, (ours, other)) in &rows {
        let times = ours.times(other);
        let ink = if times >= 0.95 { Ink::Good } else { Ink::Middling };
        table.row([
            scene.title.into(),
            words::rate(ours.cost.speed()).into(),
            words::rate(other.cost.speed()).into(),
            Line::of(Ink::Dim, other.name),
            Line::of(ink, charset.spelled(&words::times(times))),
            bar(ink, times, most, columns, charset),
        ]);
    }
    if rows.is_empty() {
        return Vec::new();
    }
    let heading = [Line::empty(), Line::of(Ink::Title, "In figures")];
    let faster = rows.iter().filter(|(_, (ours, other))| ours.times(other) >= 0.95).count();
    let verdict = match rows.len() - faster {
        0 => format!("As fast as the other way or faster in all {} jobs, in this run.", rows.len()),
        slower => format!("Slower than the other way in {slower} of {} jobs, in this run.", rows.len()),
    };
    heading.into_iter().chain(table.lines()).chain([Line::of(Ink::Dim, verdict), Line::empty()]).collect()
}

/// Our way of a scene beside each of the others.
fn comparisons(scene: &Scene) -> impl Iterator<Item = (&Way, &Way)> {
    let ours = scene.ways.iter().find(|way| way.ours);
    let others = scene.ways.iter().filter(|way| !way.ours);
    ours.into_iter().flat_map(move |ours| others.clone().map(move |other| (ours, other)))
}
