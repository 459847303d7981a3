//! Segments that earlier versions wrote: what they hold is found again, or they are refused by name.
//!
//! `MAPWRIGHT_WRITE_FIXTURE=1` writes the fixture of the present version anew; that is for a new version
//! only.

use std::path::{Path, PathBuf};

use zerocopy::IntoBytes;

use super::super::attach::boot_id;
use super::super::header::{self, Header};
use super::{ErrorKind, Folder, Segment};
use crate::{
    Log, LogOptions, Mutex, Queue, QueueOptions, Records, RecordsOptions, Snapshot, SnapshotOptions, Table,
    TableOptions,
};

fn fixture(version: u32) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("fixtures/segment-{version}"))
}

/// A segment with something in every object.
fn write(folder: &Folder) {
    let segment = folder
        .builder("one")
        .participants(2)
        .with::<Mutex<u64>>("mutex", 42)
        .with::<Queue<[u64; 2]>>("queue", QueueOptions::new(4))
        .with::<Records>("records", RecordsOptions::new(256))
        .with::<Snapshot<[f64; 2]>>("snapshot", SnapshotOptions::new([1.5, 2.5]))
        .with::<Table<u64, u64>>("table", TableOptions::new(8).seed(7))
        .with::<Log>("log", LogOptions::new(256))
        .create()
        .unwrap();
    segment.get::<Queue<[u64; 2]>>("queue").unwrap().sender().unwrap().send(&[3, 4]).unwrap();
    segment.get::<Records>("records").unwrap().sender().unwrap().send(b"a record").unwrap();
    segment.get::<Table<u64, u64>>("table").unwrap().insert(&5, &6).unwrap();
    segment.get::<Log>("log").unwrap().append(b"what happened").unwrap();
}

/// Checks what [`write`] wrote.
fn read(segment: &Segment) {
    assert_eq!(segment.get::<Mutex<u64>>("mutex").unwrap().lock().unwrap().load(), 42);
    let mut queue = segment.get::<Queue<[u64; 2]>>("queue").unwrap().receiver().unwrap();
    assert_eq!(queue.try_receive().unwrap(), [3, 4]);
    let mut record = Vec::new();
    let records: Records = segment.get("records").unwrap();
    records.receiver().unwrap().try_receive_into(&mut record).unwrap();
    assert_eq!(record, b"a record");
    assert_eq!(segment.get::<Snapshot<[f64; 2]>>("snapshot").unwrap().read().unwrap(), [1.5, 2.5]);
    assert_eq!(segment.get::<Table<u64, u64>>("table").unwrap().get(&5).unwrap(), Some(6));
    let mut log = segment.get::<Log>("log").unwrap().read_from(0);
    log.try_next_into(&mut record).unwrap();
    assert_eq!(record, b"what happened");
}

/// A segment as if it had been written since some machine was started.
pub(super) fn of_boot(boot: u64, mut bytes: Vec<u8>) -> Vec<u8> {
    let len = u64::try_from(bytes.len()).unwrap();
    let contents = header::parse(&bytes, len).unwrap();
    let renewed = header::sign(Header { boot, ..contents.header }, &bytes);
    bytes[..size_of::<Header>()].copy_from_slice(renewed.as_bytes());
    bytes
}

#[test]
fn a_segment_of_version_1_holds_what_was_put_into_it() {
    let folder = Folder::new();
    if std::env::var_os("MAPWRIGHT_WRITE_FIXTURE").is_some() {
        write(&folder);
        std::fs::create_dir_all(fixture(1).parent().unwrap()).unwrap();
        let bytes = std::fs::read(folder.file("one")).unwrap();
        std::fs::write(fixture(1), of_boot(1, bytes)).unwrap();
    }
    let bytes = std::fs::read(fixture(1)).unwrap();
    std::fs::write(folder.file("old"), &bytes).unwrap();
    let seen = folder.directory().inspect("old").unwrap();
    let objects: Vec<_> =
        seen.objects.iter().map(|it| (it.name.as_str(), it.kind.to_string(), it.layout.as_str())).collect();
    let expected = [
        ("mutex", "mutex", "u64"),
        ("queue", "queue", "[u64;2]"),
        ("records", "records", ""),
        ("snapshot", "snapshot", "[f64;2]"),
        ("table", "table", "u64=>u64"),
        ("log", "log", "bytes"),
    ];
    let expected: Vec<_> =
        expected.iter().map(|&(name, kind, layout)| (name, kind.to_owned(), layout)).collect();
    assert_eq!(objects, expected);
    let error = folder.directory().open("old").unwrap_err();
    assert!(error.to_string().contains("before this machine was started"), "{error}");
    std::fs::write(folder.file("new"), of_boot(boot_id(), bytes)).unwrap();
    read(&folder.directory().open("new").unwrap());
}

#[test]
fn a_segment_of_another_version_is_refused_by_name() {
    let folder = Folder::new();
    let mut bytes = std::fs::read(fixture(1)).unwrap();
    bytes[8..12].copy_from_slice(&7u32.to_ne_bytes());
    std::fs::write(folder.file("newer"), bytes).unwrap();
    let error = folder.directory().open("newer").unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Damaged);
    assert!(error.to_string().contains("version 7, and this program knows version 1"), "{error}");
}
