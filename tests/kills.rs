//! Processes that are killed in the middle of what they do to files, and what the next process finds.

pub(crate) mod arrays;
pub(crate) mod calls;
pub(crate) mod maps;

use crate::support::process::Process;
use crate::support::watchdog::Watch;
use mapwright::{Map, ReadWrite};
use std::fs::File;
use std::os::fd::AsRawFd;
use std::sync::atomic::Ordering;

/// The element that is appended as this one: no two are equal, and they are in no order.
fn number(index: usize) -> u64 {
    u64::try_from(index).unwrap().wrapping_mul(0x9E37_79B9_7F4A_7C15)
}

/// How many steps a child has taken: a word of memory that both map, which outlives the child.
struct Progress {
    map: Map<ReadWrite>,
    path: String,
}

impl Progress {
    /// Begins at 0.
    fn new() -> Self {
        let file = File::from(rustix::fs::memfd_create("progress", rustix::fs::MemfdFlags::CLOEXEC).unwrap());
        file.set_len(8).unwrap();
        let path = format!("/proc/{}/fd/{}", std::process::id(), file.as_raw_fd());
        Self { map: Map::of(file).unwrap().into_read_write().unwrap(), path }
    }

    /// Where the child finds it.
    fn path(&self) -> &str {
        &self.path
    }

    fn open(path: &str) -> Self {
        Self { map: Map::open_mut(path).unwrap(), path: path.to_owned() }
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
