//! A small file system that is really full.

use super::mount::Mount;
use super::skip::Skip;
use std::fs::File;
use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};

/// A tmpfs of a given size.
pub(crate) struct Tmpfs {
    mount: Mount,
}

impl Tmpfs {
    /// Mounts an empty one.
    pub(crate) fn of_bytes(size_bytes: u64) -> Result<Self, Skip> {
        Ok(Self {
            mount: Mount::new("tmpfs", Path::new("mapwright"), &format!("size={size_bytes},mode=0777"))?,
        })
    }

    pub(crate) fn path(&self) -> &Path {
        self.mount.path()
    }

    /// Creates a file that is all hole.
    pub(crate) fn hole(&self, name: &str, length: u64) -> PathBuf {
        let path = self.path().join(name);
        File::create_new(&path).unwrap().set_len(length).unwrap();
        path
    }

    /// Writes a file until not one page is left, and returns its path and length.
    pub(crate) fn fill(&self, name: &str) -> (PathBuf, usize) {
        let path = self.path().join(name);
        let mut file = File::create_new(&path).unwrap();
        let mut length = 0;
        loop {
            match file.write(&[0xFF; 4096]) {
                Ok(written) => length += written,
                Err(error) if error.kind() == ErrorKind::StorageFull => return (path, length),
                Err(error) => panic!("filling {}: {error}", path.display()),
            }
        }
    }
}
