//! What reaches the disk, and in which order: seen from the file system's side.
//!
//! A test that reads back what was flushed sees the page cache and proves nothing. The server of the failing
//! file system is the disk here: it tells what was written to it, and when it was asked to make that durable.

use crate::support::failing_fs::{FailingFs, Operation, When};
use crate::support::scratch;
use crate::support::suite::{Verdict, suite};
use mapwright::{ErrorKind, Map, MapOptions, MapVec, MapVecOptions};
use std::ops::Range;

suite!(
    tests: [
        flush_writes_the_range_and_then_syncs,
        started_writeback_is_written_and_not_synced,
        array_syncs_its_elements_before_it_says_so,
        failed_sync_is_an_error_of_flush,
        array_never_forgets_a_failed_sync,
    ],
    roles: [],
);

const LENGTH: usize = 64 << 10;

/// One thing that the disk was asked to do.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Asked {
    Write(Range<usize>),
    /// Make durable what was written: the bytes and what is needed to read them.
    SyncData,
    /// Everything that is known of the file.
    SyncAll,
}

fn log(fs: &FailingFs) -> Vec<Asked> {
    let asked = fs.take_log().into_iter().map(|line| match line.as_str() {
        "sync data" => Asked::SyncData,
        "sync all" => Asked::SyncAll,
        write => {
            let [_, start, length] = write.split(' ').collect::<Vec<_>>()[..] else { panic!("{write:?}") };
            let (start, length): (usize, usize) = (start.parse().unwrap(), length.parse().unwrap());
            Asked::Write(start..start + length)
        }
    });
    asked.collect()
}

/// Whether all bytes of a range were written.
fn is_written(log: &[Asked], range: Range<usize>) -> bool {
    range
        .into_iter()
        .all(|at| log.iter().any(|asked| matches!(asked, Asked::Write(written) if written.contains(&at))))
}

/// Whether nobody asked for anything to be made durable.
fn is_unsynced(log: &[Asked]) -> bool {
    log.iter().all(|asked| matches!(asked, Asked::Write(_)))
}

fn flush_writes_the_range_and_then_syncs() -> Verdict {
    let fs = FailingFs::with_file_of(LENGTH)?;
    let map = MapOptions::new().offset(100).open_mut(fs.file()).unwrap();
    map.view().store(5_000, 1u64).unwrap();
    map.view().store(30_000, 2u64).unwrap();
    // The kernel may write when it likes, but has no reason to sync.
    let mut asked = log(&fs);
    assert!(is_unsynced(&asked), "{asked:?}");
    map.flush(5_000..5_008).unwrap();
    asked.extend(log(&fs));
    println!("  {asked:?}");
    // msync(2) may leave out what only describes the file.
    assert_eq!(asked.last(), Some(&Asked::SyncData));
    assert!(is_written(&asked, 5_100..5_108), "{asked:?}");
    map.flush(..).unwrap();
    asked.extend(log(&fs));
    assert_eq!(asked.last(), Some(&Asked::SyncData));
    assert!(is_written(&asked, 30_100..30_108), "{asked:?}");
    map.flush(..).unwrap();
    assert_eq!(
        log(&fs),
        [Asked::SyncData],
        "nothing new is to be written, but asking is the disk's to answer"
    );
    Ok(())
}

fn started_writeback_is_written_and_not_synced() -> Verdict {
    let fs = FailingFs::with_file_of(LENGTH)?;
    let map = Map::open_mut(fs.file()).unwrap();
    map.view().store(5_000, 1u64).unwrap();
    map.wait_writeback(..).unwrap();
    let asked = log(&fs);
    println!("  {asked:?}");
    assert!(is_written(&asked, 5_000..5_008), "{asked:?}");
    assert!(is_unsynced(&asked), "{asked:?}");
    drop(map);
    assert!(is_unsynced(&log(&fs)), "the end of a map makes nothing durable");
    Ok(())
}

/// An array of these numbers where the file system has its file.
fn array_on(fs: &FailingFs, options: &MapVecOptions, count: u64) -> MapVec<u64> {
    let folder = scratch::folder();
    let path = folder.path().join("array");
    let mut array = options.create::<u64>(&path).unwrap();
    array.extend(0..count).unwrap();
    array.flush().unwrap();
    array.close().unwrap();
    std::fs::copy(&path, fs.file()).unwrap();
    let array = options.open::<u64>(fs.file()).unwrap();
    drop(fs.take_log());
    array
}

fn array_syncs_its_elements_before_it_says_so() -> Verdict {
    for (options, header) in [(MapVecOptions::new(), 4096), (MapVecOptions::new().headerless(), 0)] {
        let fs = FailingFs::with_file_of(LENGTH)?;
        let mut array = array_on(&fs, &options, 1_000);
        array.extend(1_000..2_000).unwrap();
        array.set(10, 77).unwrap();
        array.spill().unwrap();
        let mut asked = log(&fs);
        assert!(is_unsynced(&asked), "a spill makes nothing durable: {asked:?}");
        array.extend(2_000..3_000).unwrap();
        array.flush().unwrap();
        asked.extend(log(&fs));
        println!("  {asked:?}");
        let synced = asked.iter().position(|asked| *asked == Asked::SyncData).unwrap();
        let (elements, count) = asked.split_at(synced + 1);
        assert!(is_written(elements, header + 1_000 * 8..header + 3_000 * 8), "{asked:?}");
        assert!(is_written(elements, header + 80..header + 88), "what was changed in place: {asked:?}");
        match header {
            0 => assert_eq!(count, []),
            // That the elements are durable must not be said before they are.
            _ => {
                assert_eq!(count.last(), Some(&Asked::SyncData), "{asked:?}");
                assert!(is_written(count, 128..136) && !is_written(count, header..header + 8), "{asked:?}");
            }
        }
        array.close().unwrap();
        let array = options.open_read_only::<u64>(fs.file()).unwrap();
        assert_eq!((array.len(), array.get(2_999).unwrap(), array.get(10).unwrap()), (3_000, 2_999, 77));
    }
    Ok(())
}

fn failed_sync_is_an_error_of_flush() -> Verdict {
    let fs = FailingFs::with_file_of(LENGTH)?;
    let map = Map::open_mut(fs.file()).unwrap();
    for errno in [libc::EIO, libc::ENOSPC] {
        map.view().store(0, 1u64).unwrap();
        fs.fail(Operation::Sync, When::Nth(1), errno);
        let error = map.flush(..).unwrap_err();
        println!("  {error}");
        assert_eq!(error.raw_os_error(), Some(errno), "{error}");
        assert!(error.to_string().contains("data"), "{error}");
        map.flush(..).unwrap();
    }
    Ok(())
}

fn array_never_forgets_a_failed_sync() -> Verdict {
    for failing in [1, 2] {
        let fs = FailingFs::with_file_of(LENGTH)?;
        let mut array = array_on(&fs, &MapVecOptions::new(), 1_000);
        assert_eq!(array.flushed_len(), 1_000);
        array.extend(1_000..1_500).unwrap();
        fs.fail(Operation::Sync, When::Nth(failing), libc::EIO);
        let error = array.flush().unwrap_err();
        println!("  {error}");
        assert_eq!((error.kind(), error.raw_os_error()), (ErrorKind::Io, Some(libc::EIO)), "{error}");
        fs.heal();
        let error = array.flush().unwrap_err();
        println!("  {error}");
        assert_eq!(error.kind(), ErrorKind::Io);
        assert!(error.to_string().contains("make it anew"), "{error}");
        assert_eq!((array.len(), array.flushed_len(), array.get(1_499).unwrap()), (1_500, 1_000, 1_499));
        // Reading, and writing what is not durable, go on.
        array.push(1_500).unwrap();
        array.close().unwrap();
    }
    Ok(())
}
