//! What arrays promise, tried on real files: `basics` one call at a time, `model` at random beside a `Vec`,
//! `damage` with files that somebody has broken, `sharing` with others who look or write, `sorting`.

mod basics;
mod damage;
mod model;
mod sharing;
mod sorting;

use std::path::PathBuf;

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

use super::{MapVec, MapVecOptions};
use crate::map::Access;
use crate::plain::Plain;

/// Sixteen bytes, as in the benchmark.
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout, Plain)]
#[plain(crate = "crate")]
#[repr(C)]
struct Record {
    key: u64,
    serial: u64,
}

/// A directory of its own, and a path in it where nothing is yet.
fn fresh() -> (tempfile::TempDir, PathBuf) {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("array");
    (directory, path)
}

/// The same in memory where there is such a directory: for the many files of random tests, each of which is
/// synced.
fn fresh_in_memory() -> (tempfile::TempDir, PathBuf) {
    let Ok(directory) = tempfile::tempdir_in("/dev/shm") else { return fresh() };
    let path = directory.path().join("array");
    (directory, path)
}

/// All elements, one by one.
fn contents<T: Plain, A: Access + crate::map::Readable>(array: &MapVec<T, A>) -> Vec<T> {
    array.iter().collect::<Result<_, _>>().unwrap()
}

/// Both forms of file.
fn forms() -> [MapVecOptions; 2] {
    [MapVecOptions::new(), MapVecOptions::new().headerless()]
}

fn names_in(directory: &tempfile::TempDir) -> Vec<String> {
    let entries = std::fs::read_dir(directory.path()).unwrap();
    let mut names: Vec<_> = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}
