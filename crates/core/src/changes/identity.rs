//! Whether a name still means the file that is mapped: editors and package managers replace files by
//! renaming.

use std::path::Path;

use crate::error::{Error, Result, quoted};
use crate::map::{Access, Map, Source};
use crate::sys::file::{self, Identity};

impl<A: Access> Map<A> {
    /// Returns the path that the mapped file was opened by, where that is known. It may mean another file by
    /// now; see [`is_still_at`](Self::is_still_at).
    #[must_use]
    pub fn path(&self) -> Option<&Path> {
        self.source().and_then(Source::path)
    }

    /// Tells whether a path still means the mapped file: not one that took its place, and not none.
    ///
    /// # Errors
    /// Where the path cannot be followed for another reason than that nothing is there.
    ///
    /// # Kernel
    /// stat(2): the device and inode are compared. The map keeps its file open, so the inode cannot be
    /// reused. An overlay may give a file that was copied up meanwhile another identity.
    ///
    /// ```
    /// use mapwright_core::Map;
    /// let folder = tempfile::tempdir().unwrap();
    /// let path = folder.path().join("settings");
    /// std::fs::write(&path, b"old")?;
    /// let map = Map::open(&path)?;
    /// assert!(map.is_still_at(&path)?);
    ///
    /// std::fs::write(folder.path().join("new"), b"new")?;
    /// std::fs::rename(folder.path().join("new"), &path)?;
    /// assert!(!map.is_still_at(&path)?);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[doc(alias = "same_file")]
    pub fn is_still_at(&self, path: impl AsRef<Path>) -> Result<bool> {
        let path = path.as_ref();
        let Some(source) = self.source() else { return Ok(false) };
        let there = match rustix::fs::stat(path) {
            Ok(stat) => Identity { device: stat.st_dev, inode: stat.st_ino },
            Err(rustix::io::Errno::NOENT | rustix::io::Errno::NOTDIR) => return Ok(false),
            Err(cause) => return Err(Error::os("examine", quoted(path), cause)),
        };
        let ours =
            file::describe(source.fd()).map_err(|cause| Error::os("examine", source.name(), cause))?.identity;
        Ok(there == ours)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::map::MapOptions;

    #[test]
    fn a_path_means_the_file_until_it_is_removed_or_replaced() {
        let folder = tempfile::tempdir().unwrap();
        let (path, link) = (folder.path().join("file"), folder.path().join("link"));
        std::fs::write(&path, b"x").unwrap();
        std::os::unix::fs::symlink(&path, &link).unwrap();
        let map = Map::open(&path).unwrap();
        assert_eq!(map.path(), Some(path.as_path()));
        assert!(map.is_still_at(&path).unwrap() && map.is_still_at(&link).unwrap());
        std::fs::remove_file(&path).unwrap();
        assert!(!map.is_still_at(&path).unwrap() && !map.is_still_at(&link).unwrap());
        std::fs::write(&path, b"x").unwrap();
        assert!(!map.is_still_at(&path).unwrap());
        assert!(!map.is_still_at(path.join("below")).unwrap());
    }

    #[test]
    fn memory_is_nowhere() {
        let map = MapOptions::new().shared_memory(4096).unwrap();
        assert!(!map.is_still_at("/").unwrap());
        assert_eq!(map.path(), None);
    }

    #[test]
    fn a_loop_of_links_is_an_error() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("loop");
        std::os::unix::fs::symlink(&path, &path).unwrap();
        let map = Map::of(tempfile::tempfile().unwrap()).unwrap();
        assert_eq!(map.is_still_at(&path).unwrap_err().kind(), crate::ErrorKind::InvalidInput);
    }
}
