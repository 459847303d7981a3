//! Snapshots that share blocks, on file systems made for the test.

use std::fs::{File, OpenOptions};
use std::os::unix::fs::FileExt;
use std::path::Path;

use super::{on_file_system, pattern};
use crate::{Frozen, FrozenBy, Map, MapOptions};

const LEN: usize = (18 << 20) + 5;

/// The least that is cloned.
const LEAST: usize = 16 << 20;

#[test]
fn on_xfs_a_snapshot_shares_blocks() {
    on_file_system("xfs", &["mkfs.xfs", "-q", "-m", "reflink=1"], snapshots_share_blocks);
}

#[test]
fn on_btrfs_a_snapshot_shares_blocks() {
    on_file_system("btrfs", &["mkfs.btrfs", "-q"], snapshots_share_blocks);
}

#[test]
fn on_xfs_without_shared_blocks_a_snapshot_is_a_copy() {
    on_file_system("xfs", &["mkfs.xfs", "-q", "-m", "reflink=0"], |folder| {
        let (path, bytes) = file_in(folder);
        let frozen = Frozen::open(path).unwrap();
        assert!(frozen.origin() == FrozenBy::Copy && *frozen == *bytes);
    });
}

fn file_in(folder: &Path) -> (std::path::PathBuf, Vec<u8>) {
    let (path, bytes) = (folder.join("file"), pattern(LEN));
    std::fs::write(&path, &bytes).unwrap();
    (path, bytes)
}

fn snapshots_share_blocks(folder: &Path) {
    let (path, bytes) = file_in(folder);
    let file: File = OpenOptions::new().read(true).write(true).open(&path).unwrap();
    let map = MapOptions::new().map_mut(&file).unwrap();
    // Dirty pages of a map belong to the moment, too.
    map.view().store(0, bytes[0]).unwrap();
    let parts = [
        (0..LEN, Frozen::open(&path).unwrap()),
        (0..LEN, map.snapshot(..).unwrap()),
        (4097..LEN, Frozen::snapshot(&file, 4097..).unwrap()),
        (5..LEAST + 5, Frozen::snapshot(&file, 5..LEAST + 5).unwrap()),
        (8192..LEAST + 8192, map.snapshot(8192..LEAST + 8192).unwrap()),
    ];
    // A map that begins inside of the file knows its place there.
    let inside = MapOptions::new().offset(100).map(&file).unwrap().snapshot(1..LEAST + 1).unwrap();
    let small = Frozen::snapshot(&file, 10..LEAST + 9).unwrap();
    map.view().fill(.., 0xEE).unwrap();
    file.write_all_at(b"others write", 4096).unwrap();
    drop(map);
    file.set_len(10).unwrap();
    drop(file);
    std::fs::remove_file(&path).unwrap();
    for (range, frozen) in &parts {
        assert_eq!(frozen.origin(), FrozenBy::Reflink);
        frozen.populate().unwrap();
        assert!(**frozen == bytes[range.clone()], "{range:?}");
    }
    assert!(inside.origin() == FrozenBy::Reflink && *inside == bytes[101..LEAST + 101]);
    assert!(small.origin() == FrozenBy::Copy && *small == bytes[10..LEAST + 9]);
    assert_eq!(std::fs::read_dir(folder).unwrap().count(), 0, "the clones have no name");
    only_readable(&parts[0].1);
}

/// No descriptor of this process can write the clone.
fn only_readable(frozen: &Frozen) {
    let maps = std::fs::read_to_string("/proc/self/maps").unwrap();
    let start = format!("{:x}-", frozen.as_ptr().addr());
    let line = maps.lines().find(|line| line.starts_with(&start)).unwrap();
    assert!(line.contains("r--s"), "{line}");
    let inode = line.split_whitespace().nth(4).unwrap().to_owned();
    let descriptors = std::fs::read_dir("/proc/self/fdinfo").unwrap().flatten();
    let infos: Vec<_> = descriptors
        .filter_map(|entry| std::fs::read_to_string(entry.path()).ok())
        .filter(|text| text.lines().any(|line| line == format!("ino:\t{inode}")))
        .collect();
    assert!(!infos.is_empty());
    for info in infos {
        let flags = info.lines().find_map(|line| line.strip_prefix("flags:\t")).unwrap();
        assert_eq!(
            flags.as_bytes().last().map(|digit| digit & 3),
            Some(b'0' & 3),
            "opened for writing: {flags}"
        );
    }
}

#[test]
fn a_folder_that_cannot_be_written_ends_in_a_copy() {
    on_file_system("xfs", &["mkfs.xfs", "-q", "-m", "reflink=1"], |folder| {
        let (path, bytes) = file_in(folder);
        let map = Map::open(&path).unwrap();
        let remount = std::process::Command::new("mount").args(["-o", "remount,ro"]).arg(folder).status();
        assert!(remount.unwrap().success());
        for frozen in [Frozen::open(&path).unwrap(), map.snapshot(..).unwrap()] {
            assert!(frozen.origin() == FrozenBy::Copy && *frozen == *bytes);
        }
    });
}
