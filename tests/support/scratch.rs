//! Temporary files and folders, on the disk of the build rather than in memory where there is one: tests of the page cache
//! want a real file system under it.

use std::fs::File;
use std::io::Write;
use std::path::PathBuf;
use tempfile::TempDir;

/// A folder that goes away with its owner.
pub(crate) fn folder() -> TempDir {
    let mut builder = tempfile::Builder::new();
    builder.prefix("mapwright-");
    // Cargo makes this folder for us. Where only the binary went (a virtual machine, another user) there is the usual one.
    builder.tempdir_in(env!("CARGO_TARGET_TMPDIR")).or_else(|_| builder.tempdir()).unwrap()
}

/// Creates a file of these bytes.
pub(crate) fn file(folder: &TempDir, name: &str, bytes: &[u8]) -> PathBuf {
    let path = folder.path().join(name);
    File::create(&path).unwrap().write_all(bytes).unwrap();
    path
}

/// Bytes of which no two pages are alike, so that a byte out of place shows.
pub(crate) fn pattern(length: usize) -> Vec<u8> {
    (0..length).map(pattern_at).collect()
}

/// The byte of [`pattern`] at this place.
pub(crate) fn pattern_at(at: usize) -> u8 {
    let mixed = (at ^ (at >> 12).wrapping_mul(0x9E37_79B1)).to_le_bytes();
    mixed[0] ^ mixed[1]
}
