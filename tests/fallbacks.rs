//! When the fast road is closed: in a process that has no file descriptor left, io_uring and opening a file
//! again for direct reads are refused, and everything delivers the same bytes all the same.

use crate::support::page_cache;
use crate::support::process::{self, Parent};
use crate::support::random::Random;
use crate::support::scratch;
use crate::support::suite::{Verdict, role, suite};
use mapwright::{Advice, FaultKind, Map, Span, StreamOptions};
use rustix::process::{Resource, Rlimit};
use std::fs::File;

suite!(
    tests: [bytes_are_the_same_without_a_descriptor_to_spare],
    roles: [read_without_descriptors],
);

/// Enough for every road to be taken, and no whole number of pages.
const LENGTH: usize = (9 << 20) + 777;

/// Opens what there is to open until only so many descriptors are left.
fn use_up_descriptors(left: usize) -> Vec<File> {
    let limit = Some(64);
    rustix::process::setrlimit(Resource::Nofile, Rlimit { current: limit, maximum: limit }).unwrap();
    let mut open = Vec::new();
    let refused = loop {
        match File::open("/dev/null") {
            Ok(file) => open.push(file),
            Err(error) => break error,
        }
    };
    assert_eq!(refused.raw_os_error(), Some(libc::EMFILE));
    open.truncate(open.len() - left);
    open
}

fn make_cold(file: &File, map: &Map) {
    file.sync_all().unwrap();
    // Pages that a map has in use would stay.
    map.advise(Advice::DontNeed, ..).unwrap();
    rustix::fs::fadvise(file, 0, None, rustix::fs::Advice::DontNeed).unwrap();
}

fn streamed(map: &Map, options: StreamOptions) -> Vec<u8> {
    let (mut bytes, mut stream) = (Vec::new(), options.stream(map.view()));
    while let Some(chunk) = stream.next_chunk() {
        bytes.extend_from_slice(chunk.unwrap());
    }
    bytes
}

/// Reads a file in every way with so many descriptors left: path, how many. Tells how many of its pages each
/// way left in the page cache, and whether all of the file can be there.
fn read_without_descriptors(parent: &mut Parent) {
    let (path, left) = (parent.arg(0).to_owned(), parent.arg(1).parse().unwrap());
    let expected = scratch::pattern(LENGTH);
    let file = File::options().read(true).write(true).open(&path).unwrap();
    let (map, written) = (Map::open(&path).unwrap(), Map::open_mut(&path).unwrap());
    let mut random = Random::of_seed(7);
    let _open = use_up_descriptors(left);
    if left == 0 {
        let error = Map::open(&path).unwrap_err();
        assert_eq!(error.raw_os_error(), Some(libc::EMFILE), "{error}");
        assert!(error.to_string().contains(&path), "{error}");
    }

    make_cold(&file, &map);
    assert!(streamed(&map, StreamOptions::new()) == expected, "stream");
    parent.say(format!("stream: {}", page_cache::resident_count(&file)));
    for options in [StreamOptions::new().fill_cache(), StreamOptions::new().drop_behind()] {
        make_cold(&file, &map);
        assert!(streamed(&map, options) == expected, "{options:?}");
    }

    let spans: Vec<Span> = (0..500)
        .map(|_| {
            let length = random.below(9_000);
            Span::new(random.below(LENGTH - length), length).unwrap()
        })
        .collect();
    let wanted: Vec<u8> = spans.iter().flat_map(|span| expected[span.range()].iter().copied()).collect();
    for prefetched in [false, true] {
        make_cold(&file, &map);
        if prefetched {
            map.view().prefetch(&spans).unwrap();
        }
        let mut bytes = vec![0; wanted.len()];
        map.view().gather(&spans, &mut bytes).unwrap();
        assert!(bytes == wanted, "gather, prefetched: {prefetched}");
        if !prefetched {
            parent.say(format!("gather: {}", page_cache::resident_count(&file)));
        }
    }

    written.view().write_bulk(5, &expected[5..1 << 20]).unwrap();
    written.flush(..).unwrap();
    file.set_len(1 << 20).unwrap();
    make_cold(&file, &map);
    let fault = map.view().gather(&spans, &mut vec![0; wanted.len()]).unwrap_err();
    assert_eq!(fault.kind(), FaultKind::Truncated, "{fault}");
    let mut stream = map.view().stream();
    let mut seen = 0;
    let fault = loop {
        match stream.next_chunk().unwrap() {
            Ok(chunk) => seen += chunk.len(),
            Err(fault) => break fault,
        }
    };
    assert_eq!((fault.kind(), fault.offset(), seen), (FaultKind::Truncated, 1 << 20, 1 << 20));
}

/// With none left a file cannot be opened for direct reads, with one left there is no queue to put them into,
/// with more both may be there. Without direct reads everything comes by way of the page cache.
fn bytes_are_the_same_without_a_descriptor_to_spare() -> Verdict {
    let folder = scratch::folder();
    scratch::is_on_a_disk(&folder)?;
    for left in [0, 1, 8] {
        let path = scratch::file(&folder, "data", &scratch::pattern(LENGTH));
        let report =
            process::run(role!(read_without_descriptors), &[path.to_str().unwrap(), &left.to_string()]);
        println!("  {left} left: {}", report.assert_ok().said.trim().replace('\n', ", "));
        let resident: Vec<usize> =
            report.said.lines().map(|line| line.split_once(": ").unwrap().1.parse().unwrap()).collect();
        let pages = LENGTH.div_ceil(4096);
        if left < 2 {
            assert_eq!(resident[0], pages, "a stream past the page cache without direct reads");
            assert!(resident[1] > 500, "a gather past the page cache without direct reads");
        } else if resident[0] < pages {
            assert!(resident[1] < 500, "a gather by way of the page cache where a stream went past it");
        }
    }
    Ok(())
}
