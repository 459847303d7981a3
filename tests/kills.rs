//! Processes that are killed in the middle of what they do to files, and what the next process finds.

pub(crate) mod arrays;
pub(crate) mod calls;
pub(crate) mod maps;

use crate::support::process::Process;
use crate::support::scratch;
use crate::support::watchdog::Watch;
use mapwright::{Map, ReadWrite};
use std::sync::atomic::Ordering;
use tempfile::TempDir;

/// The element that is appended as this one: no two are equal, and they are in no order.
fn number(index: usize) -> u64 {
    u64::try_from(index).unwrap().wrapping_mul(0x9E37_79B9_7F4A_7C15)
}

/// How many steps a child has taken: a word of a file that both map, which outlives the child.
///
/// It has a name. A memory file would be found under /proc only by who may look into this process, and the
/// children of an ordinary user may not: they lack the rights that it has in a namespace of its own.
struct Progress {
    map: Map<ReadWrite>,
    path: String,
    _folder: Option<TempDir>,
}

impl Progress {
    /// Begins at 0.
    fn new() -> Self {
        let folder = scratch::folder();
        let path = scratch::file(&folder, "progress", &[0; 8]);
        let path = path.to_str().unwrap().to_owned();
        Self { map: Map::open_mut(&path).unwrap(), path, _folder: Some(folder) }
    }

    /// Where the child finds it.
    fn path(&self) -> &str {
        &self.path
    }

    fn open(path: &str) -> Self {
        Self { map: Map::open_mut(path).unwrap(), path: path.to_owned(), _folder: None }
    }

    fn get(&self) -> usize {
        let word = self.map.view().atomic::<u64>(0).unwrap().load(Ordering::Acquire).unwrap();
        usize::try_from(word).unwrap()
    }

    fn set(&self, done: usize) {
        let word = u64::try_from(done).unwrap();
        self.map.view().atomic::<u64>(0).unwrap().store(word, Ordering::Release).unwrap();
    }

    /// Waits until the child has taken so many steps, or has ended too early. Without a pause: a kill at once
    /// strikes in the middle of the next.
    fn wait_for(&self, steps: usize, child: &mut Process) {
        let _watch = Watch::over("waiting for a child's steps");
        while self.get() < steps && !child.is_over() {
            std::thread::yield_now();
        }
    }
}
