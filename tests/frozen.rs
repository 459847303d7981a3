//! Frozen bytes while another process does its worst to the file that they come from.

use crate::support::loop_device::Xfs;
use crate::support::process::{Parent, Process};
use crate::support::random::Random;
use crate::support::scratch;
use crate::support::skip::{Need, Skip};
use crate::support::suite::{Verdict, role, suite};
use crate::support::verity;
use mapwright::{Frozen, FrozenBy, Map, MapOptions, MemFile};
use std::fs::{File, OpenOptions};
use std::os::fd::{AsFd, AsRawFd};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

suite!(
    tests: [
        copy_is_unmoved_by_writers,
        reflink_is_unmoved_by_writers,
        sealed_memory_file_refuses_every_writer,
        verity_file_refuses_every_writer,
    ],
    roles: [vandalise],
);

/// Enough for a snapshot to be shared rather than copied, where that is possible.
const LENGTH: usize = (16 << 20) + 777;

/// What may be done to a file.
type Attempt = fn(&Path, &mut Random) -> std::io::Result<()>;

const ATTEMPTS: &[(&str, Attempt)] = &[
    ("write", |path, random| {
        let at = u64::try_from(random.below(LENGTH)).unwrap();
        OpenOptions::new().write(true).open(path)?.write_all_at(&[0xEE; 10_000], at)
    }),
    ("store", |path, random| {
        let map = Map::open_mut(path)?;
        let at = random.below(map.len().max(1));
        Ok(map.view().fill(at.., 0xEE)?)
    }),
    ("truncate", |path, random| {
        let file = OpenOptions::new().write(true).open(path)?;
        file.set_len(u64::try_from(random.below(LENGTH)).unwrap())?;
        file.set_len(u64::try_from(LENGTH).unwrap())
    }),
    ("punch", |path, _| {
        let map = Map::open_mut(path)?;
        Ok(map.punch(..)?)
    }),
    ("empty and refill", |path, random| {
        std::fs::write(path, vec![0xEE; LENGTH / 16])?;
        let file = OpenOptions::new().write(true).open(path)?;
        file.write_all_at(&[random.next().to_le_bytes()[0]; 100], 0)?;
        file.set_len(u64::try_from(LENGTH).unwrap())
    }),
];

/// Does everything to a file, many times, and tells for each attempt whether it ever succeeded: path, rounds.
fn vandalise(parent: &mut Parent) {
    let path = PathBuf::from(parent.arg(0));
    let mut random = Random::of_seed(1);
    let mut successes = [0; ATTEMPTS.len()];
    for round in 0..parent.arg(1).parse().unwrap() {
        for ((_, attempt), successes) in ATTEMPTS.iter().zip(&mut successes) {
            *successes += usize::from(attempt(&path, &mut random).is_ok());
        }
        if round == 0 {
            parent.say("begun");
        }
    }
    for ((name, _), successes) in ATTEMPTS.iter().zip(successes) {
        parent.say(format!("{name} {successes}"));
    }
}

/// Lets a vandal loose and compares the bytes again and again meanwhile. Returns how often each attempt
/// succeeded.
fn compare_under_attack(frozen: &Frozen, expected: &[u8], path: &Path) -> Vec<(String, usize)> {
    const ROUNDS: usize = 8;
    let mut vandal = Process::start(role!(vandalise), &[path.to_str().unwrap(), &ROUNDS.to_string()]);
    assert_eq!(vandal.hear(), "begun");
    let mut comparisons = 0;
    while !vandal.is_over() {
        assert!(**frozen == *expected, "frozen bytes have changed");
        comparisons += 1;
    }
    let told = vandal.hear_all();
    assert!(**frozen == *expected, "frozen bytes have changed");
    println!("  {:?}: compared {comparisons} times; {}", frozen.origin(), told.trim().replace('\n', ", "));
    let told = told.lines().map(|line| {
        let (name, successes) = line.rsplit_once(' ').unwrap();
        (name.to_owned(), successes.parse().unwrap())
    });
    told.collect()
}

fn snapshot_under_attack(folder: &Path, origin: FrozenBy) {
    let bytes = scratch::pattern(LENGTH);
    let path = folder.join("file");
    std::fs::write(&path, &bytes).unwrap();
    let frozen = Frozen::open(&path).unwrap();
    assert_eq!(frozen.origin(), origin);
    for (name, successes) in compare_under_attack(&frozen, &bytes, &path) {
        assert!(successes > 0, "{name} never succeeded: the vandal did nothing");
    }
    // A part outlives the whole and the file.
    let part = frozen.slice(1_000_000..);
    drop(frozen);
    std::fs::remove_file(&path).unwrap();
    assert!(*part == bytes[1_000_000..]);
}

fn copy_is_unmoved_by_writers() {
    snapshot_under_attack(scratch::folder().path(), FrozenBy::Copy);
}

fn reflink_is_unmoved_by_writers() -> Verdict {
    let xfs = Xfs::new()?;
    snapshot_under_attack(xfs.path(), FrozenBy::Reflink);
    Ok(())
}

fn sealed_memory_file_refuses_every_writer() {
    let bytes = scratch::pattern(LENGTH);
    let file = MemFile::new("given away", LENGTH).unwrap();
    MapOptions::new().map_mut(&file).unwrap().view().write_bulk(0, &bytes).unwrap();
    let frozen = file.clone().freeze().unwrap();
    assert_eq!(frozen.origin(), FrozenBy::Seal);
    let path = format!("/proc/{}/fd/{}", std::process::id(), file.as_fd().as_raw_fd());
    for (name, successes) in compare_under_attack(&frozen, &bytes, Path::new(&path)) {
        assert_eq!(successes, 0, "{name}");
    }
}

fn verity_file_refuses_every_writer() -> Verdict {
    let Some(folder) = std::env::var_os("MAPWRIGHT_TEST_VERITY_DIR") else {
        return Err(Skip::new(Need::Verity, "MAPWRIGHT_TEST_VERITY_DIR names no folder"));
    };
    let bytes = scratch::pattern(LENGTH);
    let path = PathBuf::from(folder).join(format!("attacked-{}", std::process::id()));
    std::fs::write(&path, &bytes).unwrap();
    let file = File::open(&path).unwrap();
    verity::enable(&file).unwrap();
    let frozen = Frozen::open(&path).unwrap();
    assert_eq!(frozen.origin(), FrozenBy::Verity);
    for (name, successes) in compare_under_attack(&frozen, &bytes, &path) {
        assert_eq!(successes, 0, "{name}");
    }
    std::fs::remove_file(&path).unwrap();
    assert!(*frozen == *bytes);
    Ok(())
}
