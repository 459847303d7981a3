//! A mount that goes away with its owner.

use super::sandbox;
use super::skip::{Need, Skip};
use rustix::mount::{MountFlags, UnmountFlags};
use std::ffi::CString;
use std::path::Path;
use tempfile::TempDir;

/// A file system mounted on a fresh directory of its own; dropping it unmounts.
pub(crate) struct Mount {
    target: TempDir,
}

impl Mount {
    /// Mounts, as `mount -t kind -o data source` would.
    pub(crate) fn new(kind: &str, source: &Path, data: &str) -> Result<Self, Skip> {
        sandbox::entered().map_err(|why| Skip::new(Need::Mount, why))?;
        let target = tempfile::Builder::new().prefix("mapwright-mount-").tempdir().unwrap();
        let options = CString::new(data).unwrap();
        let flags = MountFlags::NOSUID | MountFlags::NODEV;
        rustix::mount::mount(source, target.path(), kind, flags, options.as_c_str())
            .map_err(|error| Skip::new(Need::Mount, format!("mounting {kind} with {data:?}: {error}")))?;
        Ok(Self { target })
    }

    pub(crate) fn path(&self) -> &Path {
        self.target.path()
    }
}

impl Drop for Mount {
    fn drop(&mut self) {
        // Detached, since a map may still hold a file; the namespace's end is the last resort.
        if let Err(error) = rustix::mount::unmount(self.target.path(), UnmountFlags::DETACH) {
            eprintln!("unmounting {}: {error}", self.target.path().display());
        }
    }
}
