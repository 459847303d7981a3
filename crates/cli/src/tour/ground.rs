//! Where the tour makes its files: on a real disk, with room for them, and gone afterwards.

use std::env;
use std::path::{Path, PathBuf};
use std::thread;

use serde::Serialize;
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::iterator::Signals;
use tempfile::TempDir;

use crate::disk::Disk;
use crate::outcome::Failure;
use crate::ui::{quoted, words};

/// How many files of the tour's size exist at one time, at most.
const FILES: u64 = 2;

/// The smallest tour worth taking.
const SMALLEST: u64 = 16 << 20;

/// A temporary directory, removed at the end, also when the tour is interrupted.
#[derive(Debug, Serialize)]
pub(crate) struct Ground {
    #[serde(skip)]
    dir: TempDir,
    size: u64,
    disk: Option<Disk>,
    /// What had to be different from what was asked for.
    notes: Vec<String>,
}

impl Ground {
    /// Makes a directory in `dir`, else in the first temporary directory that is on a disk.
    ///
    /// # Errors
    /// Where nothing can be made there, or there is no room even for a small tour.
    pub(crate) fn find(dir: Option<&Path>, size: u64) -> Result<Self, Failure> {
        let parent = dir.map_or_else(usual_place, Path::to_path_buf);
        let refused = |cause| {
            Failure::os("make a directory in", quoted(&parent), cause)
                .advice("choose another place with --dir")
        };
        let made = tempfile::Builder::new().prefix("mapwright-tour-").tempdir_in(&parent).map_err(refused)?;
        let left = rustix::fs::statvfs(made.path())
            .map_or(u64::MAX, |stat| stat.f_bavail.saturating_mul(stat.f_frsize));
        let mut ground = Self { disk: Disk::of(made.path()), dir: made, size, notes: Vec::new() };
        ground.fit(size, left, &parent)?;
        if ground.disk.as_ref().is_some_and(Disk::is_memory) {
            ground.notes.push("these files are in memory (tmpfs): nothing here is read from a disk".into());
        }
        if cfg!(debug_assertions) {
            ground
                .notes
                .push("this is a debug build: its speeds mean nothing (use cargo run --release)".into());
        }
        remove_when_interrupted(ground.dir.path().to_owned())?;
        Ok(ground)
    }

    /// Cuts the tour to the room there is.
    fn fit(&mut self, asked: u64, left: u64, parent: &Path) -> Result<(), Failure> {
        let largest = left / (FILES + 1) / SMALLEST * SMALLEST;
        if largest < SMALLEST.min(asked) {
            let what = format!("only {} are left in {}", words::bytes(left), quoted(parent));
            return Err(Failure::new(format!("cannot take the tour: {what}"))
                .advice("choose another place with --dir"));
        }
        // Whole pages, so that numbers and records fit into it.
        self.size = asked.clamp(1 << 20, largest.max(1 << 20)) / 65_536 * 65_536;
        if self.size < asked / 65_536 * 65_536 {
            let size = words::bytes(self.size);
            self.notes.push(format!(
                "{} are left on this disk, so the tour is taken with {size}",
                words::bytes(left)
            ));
        }
        Ok(())
    }

    /// The path of a file to be made.
    pub(crate) fn path(&self, file: &str) -> PathBuf {
        self.dir.path().join(file)
    }

    /// How large files are.
    pub(crate) const fn size(&self) -> u64 {
        self.size
    }

    /// What the files lie on.
    pub(crate) const fn disk(&self) -> Option<&Disk> {
        self.disk.as_ref()
    }

    /// What had to be different from what was asked for.
    pub(crate) fn notes(&self) -> &[String] {
        &self.notes
    }
}

/// The first of the usual temporary directories that is on a disk; else the first.
fn usual_place() -> PathBuf {
    let places = [env::temp_dir(), PathBuf::from("/var/tmp"), PathBuf::from(".")];
    let on_disk = |place: &&PathBuf| Disk::of(place).is_some_and(|disk| !disk.is_memory());
    places.iter().find(on_disk).unwrap_or(&places[0]).clone()
}

/// A gigabyte must not stay behind when somebody presses Ctrl-C: removes the directory, then ends as the
/// signal would have.
fn remove_when_interrupted(dir: PathBuf) -> Result<(), Failure> {
    let refused = |cause| Failure::os("watch for", "signals", cause);
    let mut signals = Signals::new([SIGINT, SIGTERM, SIGHUP]).map_err(refused)?;
    let watch = move || {
        if let Some(signal) = signals.forever().next() {
            let _leaves_what_it_must = std::fs::remove_dir_all(&dir);
            let _ends_here = signal_hook::low_level::emulate_default_handler(signal);
        }
    };
    thread::Builder::new().name("interrupt".into()).spawn(watch).map(drop).map_err(refused)
}
