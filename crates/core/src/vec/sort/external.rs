//! Sorting what does not fit into memory: sorted runs in a scratch file, merged until one is left.
//!
//! ```text
//!  array     │ unsorted                              │
//!            run by run into memory, sorted, written ↓
//!  scratch   │ run 0   │ run 1   │ run 2   │ run 3   │
//!            a block of each in memory, a tournament ↓
//!  target    │ sorted                                │
//! ```
//! As many runs are merged at once as memory has blocks for; more are first merged into fewer, in another
//! scratch file.
//!
//! The scratch files have no name, so a kill leaves nothing. Neighbouring runs are merged, and among equals
//! the earlier run wins: the sort is stable if its runs are.

use std::cmp::Ordering;
use std::fs::File;
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::Arc;

use zerocopy::IntoBytes;

use super::target::Target;
use super::tournament::Tournament;
use super::{Stability, sort_slice};
use crate::error::{Error, Result};
use crate::plain::Plain;
use crate::span::to_u64;
use crate::sys::file;
use crate::sys::unnamed::{Unnamed, directory_of};
use crate::vec::{MapVec, zeroed};

/// Blocks smaller than this make a disk seek more than it reads; then rather another pass.
const LEAST_BLOCK: usize = 64 << 10;

/// Sorts an array of more than `run_len` elements.
pub(super) fn sort<T: Plain>(
    array: &mut MapVec<T>,
    run_len: usize,
    stability: Stability,
    compare: &mut impl FnMut(&T, &T) -> Ordering,
) -> Result<()> {
    // Asked for first: where no new file can be made, nothing need be sorted.
    let mut target = Target::new(array)?;
    let mut runs = Runs::sorted(array, run_len, stability, compare)?;
    let fan = Fan::new::<T>(array.body.options().sort_memory);
    while runs.bounds.len() > fan.runs {
        runs = runs.merged_by(fan, array, compare)?;
    }
    let all = 0..runs.bounds.len();
    merge(&runs, all, fan, array, compare, |elements| target.write(elements))?;
    target.finish(array)
}

/// How many runs are merged at once, and how many elements of each are in memory.
#[derive(Clone, Copy)]
struct Fan {
    runs: usize,
    block_len: usize,
}

impl Fan {
    fn new<T>(memory: usize) -> Self {
        // One block more is for the result.
        let runs = (memory / LEAST_BLOCK.max(size_of::<T>())).saturating_sub(1).max(2);
        let block_len = (memory / (runs + 1) / size_of::<T>()).max(1);
        Self { runs, block_len }
    }
}

/// Sorted runs, one behind the other in a file without a name.
struct Runs {
    file: Arc<File>,
    /// Where each run lies, in elements.
    bounds: Vec<Range<usize>>,
}

impl Runs {
    fn new<T: Plain>(array: &MapVec<T>) -> Result<Self> {
        // Beside the array: /tmp may be small, or memory.
        let source = array.body.source();
        let path = file::remembered_path(source.fd());
        let directory = path.as_deref().or(source.path()).map_or(Path::new("."), directory_of);
        let unnamed = Unnamed::in_directory(directory).map_err(|cause| array.body.failed("sort", cause))?;
        Ok(Self { file: unnamed.into_scratch(), bounds: Vec::new() })
    }

    /// Sorts an array in pieces.
    fn sorted<T: Plain>(
        array: &MapVec<T>,
        run_len: usize,
        stability: Stability,
        compare: &mut impl FnMut(&T, &T) -> Ordering,
    ) -> Result<Self> {
        let mut runs = Self::new(array)?;
        let mut blocks = zeroed(run_len, "sort", &array.body)?;
        for start in (0..array.len()).step_by(run_len) {
            let end = array.len().min(start + run_len);
            let run: &mut [T] = &mut blocks[..end - start];
            array.copy_to(start, run)?;
            sort_slice(run, stability, compare);
            runs.write(start, run).map_err(|cause| array.body.failed("sort", cause))?;
            runs.bounds.push(start..end);
        }
        Ok(runs)
    }

    /// Merges groups of neighbours into fewer, longer runs.
    fn merged_by<T: Plain>(
        self,
        fan: Fan,
        array: &MapVec<T>,
        compare: &mut impl FnMut(&T, &T) -> Ordering,
    ) -> Result<Self> {
        let mut fewer = Self::new(array)?;
        for first in (0..self.bounds.len()).step_by(fan.runs) {
            let group = first..self.bounds.len().min(first + fan.runs);
            let start = self.bounds[group.start].start;
            let mut at = start;
            merge(&self, group, fan, array, compare, |elements| {
                let written = fewer.write(at, elements);
                at += elements.len();
                written.map_err(|cause| array.body.failed("sort", cause))
            })?;
            fewer.bounds.push(start..at);
        }
        Ok(fewer)
    }

    fn write<T: Plain>(&self, start: usize, elements: &[T]) -> std::io::Result<()> {
        file::write_all_at(&self.file, elements.as_bytes(), to_u64(start) * to_u64(size_of::<T>()))
    }

    fn read<T: Plain>(&self, start: usize, elements: &mut [T]) -> std::io::Result<()> {
        self.file.read_exact_at(elements.as_mut_bytes(), to_u64(start) * to_u64(size_of::<T>()))
    }
}

/// One run, read block by block.
struct Player<T> {
    block: Vec<T>,
    /// The head's place in the block.
    head: usize,
    block_len: usize,
    /// What was not read yet.
    rest: Range<usize>,
}

impl<T: Plain> Player<T> {
    fn head(&self) -> Option<&T> {
        self.block[..self.block_len].get(self.head)
    }

    fn refill(&mut self, runs: &Runs) -> std::io::Result<()> {
        let count = self.block.len().min(self.rest.len());
        runs.read(self.rest.start, &mut self.block[..count])?;
        self.rest.start += count;
        (self.head, self.block_len) = (0, count);
        Ok(())
    }

    fn step(&mut self, runs: &Runs) -> std::io::Result<()> {
        self.head += 1;
        if self.head == self.block_len { self.refill(runs) } else { Ok(()) }
    }
}

/// Merges some neighbouring runs into blocks of sorted elements.
fn merge<T: Plain>(
    runs: &Runs,
    which: Range<usize>,
    fan: Fan,
    array: &MapVec<T>,
    compare: &mut impl FnMut(&T, &T) -> Ordering,
    mut write: impl FnMut(&[T]) -> Result<()>,
) -> Result<()> {
    let fail = |cause: std::io::Error| -> Error { array.body.failed("sort", cause) };
    let mut players = Vec::with_capacity(which.len());
    for rest in &runs.bounds[which] {
        let block = zeroed(fan.block_len.min(rest.len()), "sort", &array.body)?;
        let mut player = Player { block, head: 0, block_len: 0, rest: rest.clone() };
        player.refill(runs).map_err(fail)?;
        players.push(player);
    }
    let mut beats = |players: &[Player<T>], one: usize, other: usize| {
        match (players[one].head(), players[other].head()) {
            // Among equals the earlier run wins.
            (Some(a), Some(b)) => match compare(a, b) {
                Ordering::Less => true,
                Ordering::Equal => one < other,
                Ordering::Greater => false,
            },
            (head, _) => head.is_some(),
        }
    };
    let mut tournament = Tournament::new(players.len(), |one, other| beats(&players, one, other));
    let mut merged: Vec<T> = zeroed(fan.block_len, "sort", &array.body)?;
    let mut count = 0;
    loop {
        let winner = &mut players[tournament.winner()];
        let Some(&head) = winner.head() else { break };
        merged[count] = head;
        count += 1;
        if count == merged.len() {
            write(&merged)?;
            count = 0;
        }
        winner.step(runs).map_err(fail)?;
        tournament.replay(|one, other| beats(&players, one, other));
    }
    write(&merged[..count])
}
