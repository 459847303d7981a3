//! A file's pages in as many cells as there is room for.

use std::ops::Range;

use mapwright::{PageRun, PageState};
use serde::Serialize;

/// What the pages of one cell of a picture are, as counts. A page is counted once, as the most notable that
/// it is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub(crate) struct Cell {
    /// Pages without a place on the disk.
    pub(crate) hole: u64,
    /// Pages that are not in memory.
    pub(crate) absent: u64,
    /// Pages in memory, and nothing else.
    pub(crate) cached: u64,
    /// Pages that differ from the disk.
    pub(crate) dirty: u64,
    /// Pages on their way to the disk.
    pub(crate) writeback: u64,
    /// Pages that are part of a huge page.
    pub(crate) huge: u64,
    /// Pages that cannot be evicted.
    pub(crate) locked: u64,
}

/// What a cell is shown as.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Look {
    /// Nothing on the disk and nothing in memory.
    Hole,
    /// Nothing in memory.
    Absent,
    /// Less than half in memory.
    Some,
    /// Half or more in memory.
    Most,
    /// All in memory.
    All,
    /// Differs from the disk.
    Dirty,
    /// On its way to the disk.
    Writeback,
    /// In huge pages.
    Huge,
    /// Locked in memory.
    Locked,
}

impl Cell {
    /// All its pages.
    pub(crate) fn pages(self) -> u64 {
        self.hole + self.absent + self.in_memory()
    }

    fn in_memory(self) -> u64 {
        self.cached + self.dirty + self.writeback + self.huge + self.locked
    }

    fn add(&mut self, state: PageState, pages: u64) {
        let counter = match state {
            _ if state.is_in_writeback() => &mut self.writeback,
            _ if state.is_dirty() => &mut self.dirty,
            _ if state.is_locked() => &mut self.locked,
            _ if state.is_huge() => &mut self.huge,
            _ if state.is_cached() => &mut self.cached,
            _ => &mut self.absent,
        };
        *counter += pages;
    }

    /// What it is shown as: what most of its pages in memory are. Pages on their way to the disk are few and
    /// soon gone, so a quarter is enough to show them.
    pub(crate) fn look(self) -> Look {
        let memory = self.in_memory();
        if memory == 0 {
            return if self.hole > self.absent { Look::Hole } else { Look::Absent };
        }
        let notable = [
            (self.writeback * 4, Look::Writeback),
            (self.dirty * 4, Look::Dirty),
            (self.locked * 2, Look::Locked),
            (self.huge * 2, Look::Huge),
        ];
        if let Some((_, look)) = notable.into_iter().find(|(weight, _)| *weight >= memory) {
            return look;
        }
        match memory {
            all if all == self.pages() => Look::All,
            most if most * 2 >= self.pages() => Look::Most,
            _ => Look::Some,
        }
    }
}

/// How many pages a cell stands for, so that `pages` fit into `room` cells: a power of two, because offsets
/// are easier to read then.
pub(crate) fn pages_per_cell(pages: u64, room: usize) -> u64 {
    let room = u64::try_from(room.max(1)).unwrap_or(u64::MAX);
    pages.div_ceil(room).checked_next_power_of_two().unwrap_or(u64::MAX)
}

/// Folds runs of pages, which begin at byte `start`, into cells of `per_cell` pages. Absent pages that lie in
/// `holes` are counted as such.
pub(crate) fn fold(
    runs: &[PageRun],
    holes: &[Range<u64>],
    start: u64,
    page: u64,
    per_cell: u64,
) -> Vec<Cell> {
    let mut cells: Vec<Cell> = Vec::new();
    // Every run ends at a page's end, but for the last one of a file that ends within a page.
    let page_of = |byte: u64| (byte - start).div_ceil(page);
    for run in runs {
        spread(page_of(run.range.start)..page_of(run.range.end), per_cell, |cell, count| {
            cell_at(&mut cells, cell).add(run.state, count);
        });
    }
    let end = runs.last().map_or(start, |run| run.range.end);
    for hole in holes {
        // A page is a hole where all of it is one, as far as the file goes.
        let from = page_of(hole.start.max(start));
        let to = if hole.end >= end { page_of(end) } else { hole.end.saturating_sub(start) / page };
        spread(from..to.max(from), per_cell, |cell, count| {
            let cell = cell_at(&mut cells, cell);
            let absent = count.min(cell.absent);
            cell.absent -= absent;
            cell.hole += absent;
        });
    }
    cells
}

fn cell_at(cells: &mut Vec<Cell>, index: u64) -> &mut Cell {
    let index = usize::try_from(index).unwrap_or(usize::MAX);
    if cells.len() <= index {
        cells.resize(index + 1, Cell::default());
    }
    &mut cells[index]
}

/// Calls with each cell that pages lie in, and how many of them do.
fn spread(pages: Range<u64>, per_cell: u64, mut each: impl FnMut(u64, u64)) {
    let mut page = pages.start;
    while page < pages.end {
        let cell = page / per_cell;
        let end = ((cell + 1) * per_cell).min(pages.end);
        each(cell, end - page);
        page = end;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PAGE: u64 = 4096;

    fn runs(states: &[(u64, PageState)]) -> Vec<PageRun> {
        let mut start = 0;
        let run = |&(pages, state): &(u64, PageState)| {
            let range = start..start + pages * PAGE;
            start = range.end;
            PageRun { range, state }
        };
        states.iter().map(run).collect()
    }

    fn looks(states: &[(u64, PageState)], holes: &[Range<u64>], per_cell: u64) -> Vec<Look> {
        fold(&runs(states), holes, 0, PAGE, per_cell).into_iter().map(Cell::look).collect()
    }

    const CACHED: PageState = PageState::CACHED;
    const ABSENT: PageState = PageState::ABSENT;

    #[test]
    fn one_page_a_cell_shows_each_page() {
        let dirty = CACHED.with(PageState::DIRTY);
        let states = [(1, CACHED), (2, ABSENT), (1, dirty), (1, CACHED.with(PageState::HUGE))];
        assert_eq!(looks(&states, &[], 1), [Look::All, Look::Absent, Look::Absent, Look::Dirty, Look::Huge]);
    }

    #[test]
    fn a_cell_of_many_pages_says_how_much_is_in_memory() {
        let states = [(4, CACHED), (3, CACHED), (1, ABSENT), (1, CACHED), (7, ABSENT)];
        assert_eq!(looks(&states, &[], 4), [Look::All, Look::Most, Look::Some, Look::Absent]);
    }

    #[test]
    fn a_quarter_of_dirty_pages_is_enough_to_be_seen() {
        let dirty = CACHED.with(PageState::DIRTY);
        assert_eq!(looks(&[(3, CACHED), (1, dirty)], &[], 4), [Look::Dirty]);
        assert_eq!(looks(&[(4, CACHED), (1, dirty)], &[], 5), [Look::All]);
    }

    #[test]
    fn a_page_is_shown_as_the_most_notable_that_it_is() {
        let all = [PageState::LOCKED, PageState::HUGE, PageState::DIRTY, PageState::WRITEBACK];
        let looks_of = |states: &[PageState]| {
            let state = states.iter().fold(CACHED, |state, &more| state.with(more));
            looks(&[(1, state)], &[], 1)[0]
        };
        assert_eq!(looks_of(&all), Look::Writeback);
        assert_eq!(looks_of(&all[..3]), Look::Dirty);
        assert_eq!(looks_of(&all[..2]), Look::Locked);
        assert_eq!(looks_of(&all[1..2]), Look::Huge);
        assert_eq!(looks_of(&[]), Look::All);
    }

    #[test]
    fn locked_and_huge_pages_are_shown_where_they_are_half_and_write_back_from_a_quarter_on() {
        let at = |state, pages| looks(&[(8 - pages, CACHED), (pages, CACHED.with(state))], &[], 8)[0];
        for (state, enough, look) in [
            (PageState::LOCKED, 4, Look::Locked),
            (PageState::HUGE, 4, Look::Huge),
            (PageState::WRITEBACK, 2, Look::Writeback),
        ] {
            assert_eq!((at(state, enough - 1), at(state, enough), at(state, 8)), (Look::All, look, look));
        }
        // Of the pages in memory: what is absent hides nothing.
        let locked = CACHED.with(PageState::LOCKED);
        assert_eq!(looks(&[(7, ABSENT), (1, locked)], &[], 8), [Look::Locked]);
    }

    #[test]
    fn absent_pages_inside_a_hole_are_a_hole_and_partial_ones_are_not() {
        let states = [(4, ABSENT), (1, CACHED), (3, ABSENT)];
        let holes = [PAGE + 1..3 * PAGE, 4 * PAGE..8 * PAGE];
        assert_eq!(
            looks(&states, &holes, 1),
            [
                Look::Absent,
                Look::Absent,
                Look::Hole,
                Look::Absent,
                Look::All,
                Look::Hole,
                Look::Hole,
                Look::Hole
            ]
        );
    }

    #[test]
    fn a_last_page_that_is_not_full_is_a_page() {
        let run = PageRun { range: 0..PAGE + 1, state: CACHED };
        let cells = fold(&[run], &[], 0, PAGE, 1);
        assert_eq!(cells.iter().map(|cell| cell.cached).collect::<Vec<_>>(), [1, 1]);
        let run = PageRun { range: 0..PAGE + 1, state: ABSENT };
        let hole = PAGE..PAGE + 1;
        let cells = fold(&[run], std::slice::from_ref(&hole), 0, PAGE, 1);
        assert_eq!(cells.iter().map(|cell| cell.hole).collect::<Vec<_>>(), [0, 1]);
    }

    #[test]
    fn cells_cover_all_pages_in_the_room_there_is() {
        assert_eq!((pages_per_cell(0, 10), pages_per_cell(10, 10), pages_per_cell(11, 10)), (1, 1, 2));
        assert_eq!((pages_per_cell(21, 10), pages_per_cell(5, 0)), (4, 8));
    }
}
