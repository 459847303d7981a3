//! Arrays whose file is cut and grows again while four threads read and change them: every call gives
//! elements or an error that holds the fault and names the file.

use super::{Progress, READERS, Stopping, Tally, truncations, wait_for_progress};
use crate::support::random::Random;
use crate::support::scratch;
use crate::support::suite::suite;
use mapwright::zerocopy::IntoBytes;
use mapwright::{Error, ErrorKind, FaultKind, MapVec, MapVecOptions, ReadOnly};
use std::fs::File;
use std::path::Path;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;

suite!(
    tests: [array_with_a_header_survives_truncations, array_without_a_header_survives_truncations],
    roles: [],
);

/// Many pages, and no whole number of them.
const COUNT: usize = 12_345;

/// The most elements that one call is about.
const PIECE: usize = 2_000;

/// One thread's own handles on the array.
struct Arrays {
    read: MapVec<u64, ReadOnly>,
    /// Follows the file's length.
    refreshed: MapVec<u64, ReadOnly>,
    write: MapVec<u64>,
}

/// One kind of call. It panics on a wrong element.
type Call = fn(&mut Arrays, &mut Random) -> Result<(), Error>;

const CALLS: &[(&str, Call)] = &[
    ("get", |arrays, random| {
        let at = random.below(COUNT);
        check(at, &[arrays.read.get(at)?]);
        Ok(())
    }),
    ("copy_to", |arrays, random| {
        let (start, mut out) = (random.below(COUNT - PIECE), [u64::MAX; PIECE]);
        arrays.read.copy_to(start, &mut out)?;
        check(start, &out);
        Ok(())
    }),
    ("to_vec", |arrays, random| {
        let start = random.below(COUNT);
        check(start, &arrays.read.to_vec(start..)?);
        Ok(())
    }),
    ("iter", |arrays, random| {
        let start = random.below(COUNT);
        for (at, element) in arrays.read.iter().enumerate().skip(start).take(PIECE) {
            check(at, &[element?]);
        }
        Ok(())
    }),
    ("blocks", |arrays, random| {
        let (mut blocks, mut at, mut failure) = (arrays.read.blocks(random.below(PIECE) + 100), 0, None);
        let count = blocks.next_block().unwrap()?.len();
        while let Some(block) = blocks.next_block() {
            at += count;
            match block {
                Ok(block) => check(at, block),
                Err(error) => failure = failure.or(Some(error)),
            }
        }
        failure.map_or(Ok(()), Err)
    }),
    ("binary_search", |arrays, random| {
        let wanted = elements()[random.below(COUNT)];
        let (Ok(at) | Err(at)) = arrays.read.binary_search(&wanted)?;
        assert!(at <= COUNT);
        Ok(())
    }),
    ("refresh", |arrays, _| {
        // Without a header fewer elements are no error.
        let count = arrays.refreshed.refresh()?;
        assert!(count <= COUNT);
        match count.checked_sub(1) {
            Some(last) => {
                check(last, &[arrays.refreshed.get(last)?]);
                Ok(())
            }
            None => Ok(()),
        }
    }),
    ("set", |arrays, random| {
        let at = random.below(COUNT);
        arrays.write.set(at, elements()[at])
    }),
    ("copy_from", |arrays, random| {
        let start = random.below(COUNT - PIECE);
        arrays.write.copy_from(start, &elements()[start..start + PIECE])
    }),
];

/// What the array holds, in order; no byte is 0, which is what the kernel puts where a file was cut.
fn elements() -> &'static [u64] {
    static ELEMENTS: OnceLock<Vec<u64>> = OnceLock::new();
    ELEMENTS.get_or_init(|| {
        let bytes = scratch::pattern(COUNT * 8);
        let word = |word: &[u8]| u64::from_ne_bytes(word.try_into().unwrap()) | 0x0101_0101_0101_0101;
        let mut elements: Vec<u64> = bytes.chunks(8).map(word).collect();
        elements.sort_unstable();
        elements
    })
}

/// Asserts that each byte of the elements is the one that belongs there, or a zero.
#[track_caller]
fn check(start: usize, seen: &[u64]) {
    scratch::assert_right_or_zero(seen.as_bytes(), elements()[start..start + seen.len()].as_bytes());
}

/// What the threads share.
struct Test {
    ready: AtomicU64,
    stop: AtomicBool,
    progress: Progress,
    tallies: Vec<Tally>,
}

/// Makes calls until it is told to stop, and counts for each kind what came of it.
fn call(options: &MapVecOptions, path: &Path, test: &Test, number: u64) {
    let options = options.clone().without_lock();
    let mut arrays = Arrays {
        read: options.open_read_only(path).unwrap(),
        refreshed: options.open_read_only(path).unwrap(),
        write: options.open(path).unwrap(),
    };
    let mut random = Random::stream(number);
    test.ready.fetch_add(1, Ordering::SeqCst);
    while !test.stop.load(Ordering::Relaxed) {
        let choice = random.below(CALLS.len());
        let (name, call) = CALLS[choice];
        match call(&mut arrays, &mut random) {
            Ok(()) => test.tallies[choice].data.fetch_add(1, Ordering::Relaxed),
            Err(error) => {
                assert!(error.to_string().contains(path.to_str().unwrap()), "{name}: {error}");
                match error.fault() {
                    Some(fault) => assert_eq!(fault.kind(), FaultKind::Truncated, "{name}: {error}"),
                    None => assert_eq!(error.kind(), ErrorKind::Damaged, "{name}: {error}"),
                }
                test.tallies[choice].faults.fetch_add(1, Ordering::Relaxed)
            }
        };
        test.progress.made();
    }
}

fn survive(options: &MapVecOptions, header: usize) {
    let folder = scratch::folder();
    let path = folder.path().join("array");
    let mut array = options.create::<u64>(&path).unwrap();
    array.extend_from_slice(elements()).unwrap();
    array.close().unwrap();
    let whole = std::fs::read(&path).unwrap();
    assert_eq!(whole.len(), header + COUNT * 8);
    let file = File::options().write(true).open(&path).unwrap();
    let tallies = CALLS.iter().map(|_| Tally::default()).collect();
    let (ready, stop) = (AtomicU64::new(0), AtomicBool::new(false));
    let test = Test { ready, stop, progress: Progress::new(), tallies };
    let (mut truncations, wanted) = (0, truncations() / 20);
    thread::scope(|scope| {
        let _stopping = Stopping(&test.stop);
        let readers: Vec<_> = (1..=READERS)
            .map(|number| {
                let (path, test) = (&path, &test);
                scope.spawn(move || call(options, path, test, number))
            })
            .collect();
        while test.ready.load(Ordering::SeqCst) < READERS {
            assert!(readers.iter().all(|reader| !reader.is_finished()), "a reader failed");
            thread::yield_now();
        }
        let mut random = Random::stream(0);
        while truncations < wanted || !test.tallies.iter().all(Tally::has_both) {
            let length = header + random.below(COUNT * 8);
            file.set_len(u64::try_from(length).unwrap()).unwrap();
            wait_for_progress(&test.progress, &readers);
            file.set_len(u64::try_from(whole.len()).unwrap()).unwrap();
            if truncations % 16 == 0 {
                std::os::unix::fs::FileExt::write_all_at(&file, &whole, 0).unwrap();
            }
            wait_for_progress(&test.progress, &readers);
            truncations += 1;
        }
    });
    println!("{truncations} truncations of an array with {header} bytes of header, {READERS} threads:");
    for ((name, _), tally) in CALLS.iter().zip(&test.tallies) {
        tally.print(name);
    }
}

fn array_with_a_header_survives_truncations() {
    survive(&MapVecOptions::new(), 4096);
}

fn array_without_a_header_survives_truncations() {
    survive(&MapVecOptions::new().headerless().recover(), 0);
}
