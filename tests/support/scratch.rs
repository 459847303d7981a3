//! Temporary files and folders, on the disk of the build rather than in memory where there is one: tests of
//! the page cache want a real file system under it.

use super::random::Random;
use super::skip::{Need, Skip};
use std::fs::File;
use std::io::Write;
use std::path::PathBuf;
use tempfile::TempDir;

/// A folder that goes away with its owner.
pub(crate) fn folder() -> TempDir {
    let mut builder = tempfile::Builder::new();
    builder.prefix("mapwright-");
    // Cargo makes this folder for us. Where only the binary went (a virtual machine, another user) there is
    // the usual one.
    builder.tempdir_in(env!("CARGO_TARGET_TMPDIR")).or_else(|_| builder.tempdir()).unwrap()
}

/// Whether the folder is on a disk, so that its files' pages can be absent.
pub(crate) fn is_on_a_disk(folder: &TempDir) -> Result<(), Skip> {
    const TMPFS: i64 = 0x0102_1994;
    match rustix::fs::statfs(folder.path()).unwrap().f_type {
        TMPFS => Err(Skip::new(Need::Disk, format!("{} is in memory", folder.path().display()))),
        _ => Ok(()),
    }
}

/// Creates a file of these bytes.
pub(crate) fn file(folder: &TempDir, name: &str, bytes: &[u8]) -> PathBuf {
    let path = folder.path().join(name);
    File::create(&path).unwrap().write_all(bytes).unwrap();
    path
}

/// Bytes without repetition: a byte, page or block out of place shows.
pub(crate) fn pattern(length: usize) -> Vec<u8> {
    let words = u64::try_from(length.div_ceil(8)).unwrap();
    let mut bytes: Vec<u8> = (0..words).flat_map(|word| mixed(word).to_le_bytes()).collect();
    bytes.truncate(length);
    bytes
}

/// The byte of [`pattern`] at this place.
pub(crate) fn pattern_at(at: usize) -> u8 {
    mixed(u64::try_from(at / 8).unwrap()).to_le_bytes()[at % 8]
}

fn mixed(number: u64) -> u64 {
    Random::of_seed(number.wrapping_mul(0xD134_2543_DE82_EF95)).next()
}

/// Asserts that each byte is the expected one or a zero: what a file that is cut and grows again may show.
#[track_caller]
pub(crate) fn assert_right_or_zero(seen: &[u8], expected: &[u8]) {
    const STEP: usize = 512;
    assert_eq!(seen.len(), expected.len());
    // Whole steps are nearly always one or the other, and comparing those is fast.
    for (step, (seen, expected)) in seen.chunks(STEP).zip(expected.chunks(STEP)).enumerate() {
        if seen == expected || *seen == [0; STEP][..seen.len()] {
            continue;
        }
        for (at, (&seen, &expected)) in seen.iter().zip(expected).enumerate() {
            let place = step * STEP + at;
            assert!(seen == expected || seen == 0, "byte {place} is {seen}, neither {expected} nor 0");
        }
    }
}
