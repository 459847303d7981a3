//! Processes that share memory: killed, stopped, in other namespaces, and without manners.

pub(crate) mod clock;
pub(crate) mod hostile;
pub(crate) mod libraries;
pub(crate) mod segments;
pub(crate) mod storm;

use std::path::Path;

use tempfile::TempDir;

/// A folder for segments, in shared memory where there is some.
fn folder() -> TempDir {
    let mut builder = tempfile::Builder::new();
    builder.prefix("mapwright-");
    let shared = Path::new("/dev/shm");
    if shared.is_dir() { builder.tempdir_in(shared) } else { builder.tempdir() }.unwrap()
}
