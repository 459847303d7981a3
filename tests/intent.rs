//! Streams, gathers, prefetches and bulk writes: whichever road they take (the map, direct reads, a helper),
//! the bytes are those that the map shows, and the faults those that an access would give.

use crate::support::failing_fs::{FailingFs, Operation, When};
use crate::support::random::Random;
use crate::support::scratch;
use crate::support::suite::{Verdict, suite};
use mapwright::{Access, Fault, FaultKind, Map, MapOptions, Readable, Span, StreamOptions, View};
use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use tempfile::TempDir;

suite!(
    tests: [
        stream_gives_every_byte_whatever_is_cached,
        gather_gives_every_place_whatever_is_cached,
        stream_and_gather_show_private_stores,
        stream_and_gather_show_stores_not_yet_written_back,
        stream_ends_at_the_unreadable_page,
        gather_reports_the_unreadable_place,
        streams_and_gathers_survive_truncations,
        bulk_write_is_seen_by_everybody_and_never_extends,
    ],
    roles: [],
);

/// Enough for every road to be taken, and no whole number of pages.
const LENGTH: usize = (9 << 20) + 777;

fn file_of_pattern() -> (TempDir, PathBuf, Vec<u8>) {
    let folder = scratch::folder();
    let bytes = scratch::pattern(LENGTH);
    let path = scratch::file(&folder, "data", &bytes);
    (folder, path, bytes)
}

/// Puts the file into one of the states that a page cache can be in.
fn set_cache(path: &Path, state: usize, random: &mut Random) {
    let file = File::open(path).unwrap();
    file.sync_all().unwrap();
    let forget = |offset: u64, length: u64| {
        let length = std::num::NonZeroU64::new(length);
        rustix::fs::fadvise(&file, offset, length, rustix::fs::Advice::DontNeed).unwrap();
    };
    forget(0, 0);
    match state {
        0 => {}
        1 => drop(std::fs::read(path).unwrap()),
        2 => {
            drop(std::fs::read(path).unwrap());
            for _ in 0..20 {
                forget(
                    u64::try_from(random.below(LENGTH)).unwrap(),
                    u64::try_from(random.below(1 << 20) + 1).unwrap(),
                );
            }
        }
        _ => {
            let map = Map::open(path).unwrap();
            for _ in 0..200 {
                map.view().load::<u8>(random.below(LENGTH)).unwrap();
            }
        }
    }
}

fn streamed<A: Readable>(view: View<'_, A>, options: StreamOptions) -> Result<Vec<u8>, (Vec<u8>, Fault)> {
    let (mut bytes, mut stream) = (Vec::new(), options.stream(view));
    loop {
        assert_eq!(stream.position(), bytes.len());
        match stream.next_chunk() {
            None => return Ok(bytes),
            Some(Ok(chunk)) => bytes.extend_from_slice(chunk),
            Some(Err(fault)) => {
                assert!(stream.next_chunk().is_none(), "a stream ends after its fault");
                return Err((bytes, fault));
            }
        }
    }
}

fn every_way_to_stream() -> [(&'static str, StreamOptions); 4] {
    let new = StreamOptions::new;
    [
        ("as it comes", new()),
        ("filling the cache", new().fill_cache()),
        ("dropping behind", new().drop_behind()),
        ("filling and dropping", new().fill_cache().drop_behind()),
    ]
}

fn stream_gives_every_byte_whatever_is_cached() {
    let (_folder, path, bytes) = file_of_pattern();
    let mut random = Random::stream(0);
    for state in 0..4 {
        for (name, options) in every_way_to_stream() {
            for (offset, length) in
                [(0, LENGTH), (4096, LENGTH - 4096), (12_345, LENGTH - 20_000), (1, 5 << 20)]
            {
                set_cache(&path, state, &mut random);
                let map =
                    MapOptions::new().offset(u64::try_from(offset).unwrap()).len(length).open(&path).unwrap();
                let seen = streamed(map.view(), options).unwrap();
                assert!(seen == bytes[offset..offset + length], "{name}, cache {state}, {offset}+{length}");
            }
        }
    }
    let map = Map::open(&path).unwrap();
    let part = map.view().sub(5_000..8 << 20).unwrap();
    set_cache(&path, 0, &mut random);
    assert!(streamed(part, StreamOptions::new()).unwrap() == bytes[5_000..8 << 20]);
}

/// Spans in any order, some empty, some doubled, some long.
fn random_spans(random: &mut Random) -> Vec<Span> {
    let mut spans: Vec<Span> = (0..400)
        .map(|_| {
            let longest = if random.below(20) == 0 { 3 << 20 } else { 9_000 };
            let length = random.below(longest);
            Span::new(random.below(LENGTH - length + 1), length).unwrap()
        })
        .collect();
    spans.push(spans[0]);
    spans.push(Span::new(LENGTH, 0).unwrap());
    spans.push(Span::new(LENGTH - 1, 1).unwrap());
    spans
}

fn gathered<A: Readable>(view: View<'_, A>, spans: &[Span]) -> Result<Vec<u8>, Fault> {
    let mut bytes = vec![0; spans.iter().map(|span| span.len()).sum()];
    view.gather(spans, &mut bytes)?;
    Ok(bytes)
}

fn expected(bytes: &[u8], spans: &[Span]) -> Vec<u8> {
    spans.iter().flat_map(|span| bytes[span.range()].iter().copied()).collect()
}

fn gather_gives_every_place_whatever_is_cached() {
    let (_folder, path, bytes) = file_of_pattern();
    let mut random = Random::stream(0);
    let map = Map::open(&path).unwrap();
    for state in [0, 1, 2, 3, 0, 2] {
        let spans = random_spans(&mut random);
        set_cache(&path, state, &mut random);
        if state == 2 {
            map.view().prefetch(&spans).unwrap();
        }
        assert!(gathered(map.view(), &spans).unwrap() == expected(&bytes, &spans), "cache {state}");
    }
}

/// Changes some bytes through a map, and the copy that we keep, in the same way.
fn change<A: Access + mapwright::Writable>(view: View<'_, A>, bytes: &mut [u8], random: &mut Random) {
    for _ in 0..50 {
        let at = random.below(LENGTH - 100);
        view.store(at, [0xEEu8; 100]).unwrap();
        bytes[at..at + 100].fill(0xEE);
    }
}

fn stream_and_gather_show_private_stores() {
    let (_folder, path, mut bytes) = file_of_pattern();
    let mut random = Random::stream(0);
    let map = MapOptions::new().map_copy(File::open(&path).unwrap()).unwrap();
    change(map.view(), &mut bytes, &mut random);
    set_cache(&path, 0, &mut random);
    for (name, options) in every_way_to_stream() {
        assert!(streamed(map.view(), options).unwrap() == bytes, "{name}");
    }
    set_cache(&path, 0, &mut random);
    let spans = random_spans(&mut random);
    assert!(gathered(map.view(), &spans).unwrap() == expected(&bytes, &spans));
}

fn stream_and_gather_show_stores_not_yet_written_back() {
    let (_folder, path, mut bytes) = file_of_pattern();
    let mut random = Random::stream(0);
    for (name, options) in every_way_to_stream() {
        set_cache(&path, 0, &mut random);
        let map = Map::open_mut(&path).unwrap();
        change(map.view(), &mut bytes, &mut random);
        assert!(streamed(map.view(), options).unwrap() == bytes, "{name}");
        change(map.view(), &mut bytes, &mut random);
        let spans = random_spans(&mut random);
        assert!(gathered(map.view(), &spans).unwrap() == expected(&bytes, &spans), "{name}");
    }
}

const BAD: usize = 6 << 20;

fn half_bad() -> Result<FailingFs, crate::support::skip::Skip> {
    let fs = FailingFs::with_file_of(LENGTH)?;
    fs.fail(Operation::Read, When::From(u64::try_from(BAD).unwrap()), libc::EIO);
    Ok(fs)
}

fn stream_ends_at_the_unreadable_page() -> Verdict {
    for (name, options) in every_way_to_stream() {
        let fs = half_bad()?;
        let map = Map::open(fs.file()).unwrap();
        let (bytes, fault) = streamed(map.view(), options).unwrap_err();
        assert_eq!((fault.kind(), fault.offset()), (FaultKind::Io, BAD), "{name}");
        assert_eq!(fault.raw_os_error(), Some(libc::EIO), "{name}");
        assert!(bytes == scratch::pattern(BAD), "{name}: {} bytes came before", bytes.len());
    }
    Ok(())
}

fn gather_reports_the_unreadable_place() -> Verdict {
    let fs = half_bad()?;
    let map = Map::open(fs.file()).unwrap();
    let good: Vec<Span> = (0..100).map(|number| Span::new(number * 40_000, 4096).unwrap()).collect();
    assert!(gathered(map.view(), &good).unwrap() == expected(&scratch::pattern(LENGTH), &good));
    let mut some_bad = good;
    some_bad.insert(50, Span::new(BAD + 4096 + 5, 100).unwrap());
    let fault = gathered(map.view(), &some_bad).unwrap_err();
    assert_eq!((fault.kind(), fault.offset()), (FaultKind::Io, BAD + 4096 + 5));
    Ok(())
}

fn streams_and_gathers_survive_truncations() {
    let (_folder, path, bytes) = file_of_pattern();
    let map = Map::open(&path).unwrap();
    let writable = Map::open_mut(&path).unwrap();
    let file = File::options().write(true).open(&path).unwrap();
    let stop = AtomicBool::new(false);
    let mut random = Random::stream(0);
    thread::scope(|scope| {
        scope.spawn(|| {
            let mut random = Random::stream(1);
            while !stop.load(Ordering::Relaxed) {
                file.set_len(u64::try_from(random.below(LENGTH)).unwrap()).unwrap();
                thread::yield_now();
                file.set_len(u64::try_from(LENGTH).unwrap()).unwrap();
                thread::yield_now();
            }
        });
        let (mut whole, mut cut) = (0, 0);
        while whole < 5 || cut < 5 {
            let (_, options) = every_way_to_stream()[random.below(4)];
            let seen = match streamed(map.view(), options) {
                Ok(seen) => {
                    whole += 1;
                    seen
                }
                Err((seen, fault)) => {
                    assert_eq!(fault.kind(), FaultKind::Truncated, "{fault}");
                    cut += 1;
                    seen
                }
            };
            scratch::assert_right_or_zero(&seen, &bytes[..seen.len()]);
            let spans = random_spans(&mut random);
            match gathered(map.view(), &spans) {
                Ok(seen) => scratch::assert_right_or_zero(&seen, &expected(&bytes, &spans)),
                Err(fault) => assert_eq!(fault.kind(), FaultKind::Truncated, "{fault}"),
            }
            map.view().prefetch(&spans).unwrap();
            let at = random.below(LENGTH / 2);
            match writable.view().write_bulk(at, &bytes[at..at + LENGTH / 2]) {
                Ok(()) => {}
                Err(fault) => assert_eq!(fault.kind(), FaultKind::Truncated, "{fault}"),
            }
        }
        println!("  {whole} streams came whole, {cut} were cut");
        stop.store(true, Ordering::Relaxed);
    });
}

fn bulk_write_is_seen_by_everybody_and_never_extends() {
    let folder = scratch::folder();
    let path = scratch::file(&folder, "data", &vec![1; LENGTH]);
    let (ours, theirs) = (Map::open_mut(&path).unwrap(), Map::open(&path).unwrap());
    let bytes = scratch::pattern(LENGTH);
    for (at, length) in [(0, 1), (5, 4096), (100, 16 << 10), (3, LENGTH - 3), (LENGTH, 0)] {
        ours.view().write_bulk(at, &bytes[at..at + length]).unwrap();
        assert!(theirs.view().sub(at..at + length).unwrap().equals(&bytes[at..at + length]).unwrap());
    }
    File::options().write(true).open(&path).unwrap().set_len(8192).unwrap();
    let fault = ours.view().write_bulk(4096, &bytes[..100_000]).unwrap_err();
    assert_eq!((fault.kind(), fault.offset()), (FaultKind::Truncated, 8192));
    assert_eq!(std::fs::metadata(&path).unwrap().len(), 8192);
}
