//! Everything that is known of one file's pages at one moment.

use std::fs::File;
use std::ops::Range;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use mapwright::{PageRun, PageTotals, Question, WhyUntold};
use rustix::fs::SeekFrom;
use rustix::io::Errno;

use super::cells::{Cell, fold, pages_per_cell};
use crate::outcome::Failure;
use crate::range::ByteRange;
use crate::ui::quoted;

/// How closely pages are looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Detail {
    /// What the kernel says of the file.
    Counted,
    /// Also which pages are huge or locked, which means to map them for a moment.
    LookedAt,
}

/// A file's pages, or those of a range of it.
#[derive(Clone, Debug)]
pub(crate) struct Survey {
    /// The bytes that were asked about.
    pub(crate) range: Range<u64>,
    /// The size of a page in bytes.
    pub(crate) page: u64,
    /// How many pages are what.
    pub(crate) totals: PageTotals,
    /// Stretches of pages that are in the same state, in order.
    pub(crate) runs: Vec<PageRun>,
    /// Stretches without a place on the disk, in order.
    pub(crate) holes: Vec<Range<u64>>,
    /// How many bytes the file takes on the disk.
    pub(crate) allocated: u64,
    /// What the kernel would not tell.
    pub(crate) untold: Vec<(Question, WhyUntold)>,
}

impl Survey {
    /// Asks about an open file or block device.
    ///
    /// # Errors
    /// Where it is neither, or the range ends beyond it.
    pub(crate) fn of(file: &File, path: &Path, range: ByteRange, detail: Detail) -> Result<Self, Failure> {
        let metadata = file.metadata().map_err(|cause| Failure::os("examine", quoted(path), cause))?;
        let residency = match detail {
            Detail::Counted => mapwright::residency(file, range.bounds())?,
            Detail::LookedAt => mapwright::residency_in_detail(file, range.bounds())?,
        };
        let range = residency.range();
        Ok(Self {
            page: residency.page_size(),
            totals: residency.totals(),
            runs: residency.ranges().collect(),
            holes: if metadata.is_file() { holes(file, range.clone()) } else { Vec::new() },
            allocated: metadata.blocks().saturating_mul(512),
            untold: residency.untold().to_vec(),
            range,
        })
    }

    /// The pages in at most `room` cells, and how many pages a cell stands for.
    pub(crate) fn cells(&self, room: usize) -> (Vec<Cell>, u64) {
        let per_cell = pages_per_cell(self.totals.pages, room);
        let first = self.range.start - self.range.start % self.page;
        (fold(&self.runs, &self.holes, first, self.page, per_cell), per_cell)
    }

    /// Why nothing is known of what is in memory, where that is so.
    pub(crate) fn hidden(&self) -> Option<WhyUntold> {
        self.untold.iter().find(|(question, _)| *question == Question::Presence).map(|&(_, why)| why)
    }

    /// The bytes that are (or are not) in memory, as few stretches as possible.
    pub(crate) fn stretches(&self, cached: bool) -> Vec<Range<u64>> {
        let mut stretches: Vec<Range<u64>> = Vec::new();
        for run in self.runs.iter().filter(|run| run.state.is_cached() == cached) {
            match stretches.last_mut() {
                Some(last) if last.end == run.range.start => last.end = run.range.end,
                _ => stretches.push(run.range.clone()),
            }
        }
        stretches
    }
}

/// The stretches of a range that have no place on the disk; none where the file system does not say.
fn holes(file: &File, range: Range<u64>) -> Vec<Range<u64>> {
    let mut holes = Vec::new();
    let mut at = range.start;
    while at < range.end {
        let Ok(start) = rustix::fs::seek(file, SeekFrom::Hole(at)) else { break };
        let end = match rustix::fs::seek(file, SeekFrom::Data(start)) {
            Ok(data) => data,
            // Nothing but a hole from here on.
            Err(Errno::NXIO) => range.end,
            Err(_) => break,
        };
        if start >= range.end {
            break;
        }
        holes.push(start..end.min(range.end));
        at = end;
    }
    holes
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::FileExt;

    use super::*;

    #[test]
    fn holes_and_data_of_a_sparse_file_are_found() {
        let file = tempfile::NamedTempFile::new_in(".").unwrap();
        file.as_file().set_len(1 << 20).unwrap();
        file.as_file().write_all_at(&[1; 4096], 256 << 10).unwrap();
        let survey = Survey::of(file.as_file(), file.path(), ByteRange::ALL, Detail::Counted).unwrap();
        assert_eq!(survey.holes, [0..256 << 10, (256 << 10) + 4096..1 << 20]);
        assert_eq!(survey.totals.pages, (1 << 20) / survey.page);
    }

    #[test]
    fn stretches_join_runs_that_differ_in_other_ways() {
        let run = |range, state| PageRun { range, state };
        let cached = mapwright::PageState::CACHED;
        let survey = Survey {
            range: 0..40,
            page: 10,
            totals: PageTotals::default(),
            runs: vec![
                run(0..10, cached),
                run(10..20, cached.with(mapwright::PageState::DIRTY)),
                run(20..30, mapwright::PageState::ABSENT),
                run(30..40, cached),
            ],
            holes: Vec::new(),
            allocated: 0,
            untold: Vec::new(),
        };
        assert_eq!(survey.stretches(true), [0..20, 30..40]);
        assert_eq!(survey.stretches(false), [20..30; 1]);
    }
}
