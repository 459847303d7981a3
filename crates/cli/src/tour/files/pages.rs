//! Where a file's pages are, and what it takes to get them.

use mapwright::Map;

use super::scan::Subject;
use crate::cached::{Cell, Detail, Survey};
use crate::measure::{Cost, Faults};
use crate::outcome::Failure;
use crate::range::ByteRange;
use crate::tour::scene::Scene;
use crate::tour::stage::Stage;
use crate::ui::words;
use crate::width::wide;

/// How many cells a picture has: as many as fit into a narrow terminal.
const CELLS: usize = 64;

/// The distance between two touches: the smallest page.
const PAGE: usize = 4096;

/// Moves pages in and out of memory, and shows where they are.
pub(super) fn look(stage: &mut Stage<'_>, subject: &Subject) -> Result<(), Failure> {
    stage.doing("looking at pages");
    let quarter = subject.len / 4 / PAGE * PAGE;
    let mut scene = Scene::new("Where its pages are").code("residency(&file, ..)?.ranges()");
    scene = scene.strip("as it was left by the sums and searches", cells(subject)?);
    subject.map.evict(..)?;
    scene = scene.strip("evicted", cells(subject)?);

    mapwright::warm(&subject.file, ..wide(quarter), |_| std::ops::ControlFlow::Continue(()))?;
    let touched = touch(&subject.map, quarter * 2, quarter)?;
    if !subject.is_visitors {
        make_dirty(subject, subject.len / 8)?;
    }
    let says = format!(
        "The first quarter was warmed. Then one byte was touched in each of the {} pages of the third: that \
         took {}, and {} of them waited for the disk. {}",
        words::count(wide(quarter / PAGE)),
        words::counted(touched.all(), "page fault"),
        words::count(touched.major),
        if subject.is_visitors { "" } else { "Last, numbers were stored into the last eighth of the file." },
    );
    let strip = if subject.is_visitors { "warmed, touched" } else { "warmed, touched, stored into" };
    stage.show(scene.says(says).strip(strip, cells(subject)?))
}

fn cells(subject: &Subject) -> Result<Vec<Cell>, Failure> {
    let range = ByteRange { from: 0, to: Some(wide(subject.len)) };
    Ok(Survey::of(&subject.file, &subject.path, range, Detail::Counted)?.cells(CELLS).0)
}

/// Touches one byte of each page of a part, as a program does that knows nothing of pages.
fn touch(map: &Map, from: usize, len: usize) -> Result<Faults, Failure> {
    let (cost, _sum) = Cost::of(|| {
        let mut sum = 0u64;
        for at in (from..from + len).step_by(PAGE) {
            sum += u64::from(map.view().load::<u8>(at)?);
        }
        Ok::<_, Failure>((wide(len), sum))
    })?;
    Ok(cost.faults)
}

/// Stores into each page of the last `len` bytes what stands there already.
fn make_dirty(subject: &Subject, len: usize) -> Result<(), Failure> {
    let map = Map::open_mut(&subject.path)?;
    for at in (subject.len - len..subject.len).step_by(PAGE) {
        map.view().store(at, map.view().load::<u64>(at)?)?;
    }
    Ok(())
}
