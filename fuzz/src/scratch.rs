//! Where the files lie: in memory where there is a file system for that, because a disk is slow.

use std::fs::File;
use std::path::{Path, PathBuf};

use tempfile::TempDir;

/// A folder that goes away when it is dropped.
pub(crate) struct Scratch(TempDir);

impl Scratch {
    pub(crate) fn new() -> Self {
        let fast = Path::new("/dev/shm");
        let folder = if fast.is_dir() { TempDir::new_in(fast) } else { TempDir::new() };
        Self(folder.expect("a folder for temporary files"))
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// A new file, open for reading and writing.
    pub(crate) fn file(&self, name: &str) -> File {
        let mut options = File::options();
        options.read(true).write(true).create_new(true).open(self.path(name)).expect("a new file")
    }
}
