//! Truncation under load: a file shrinks and grows 10,000 times while four threads use it in every way there
//! is.
//!
//! No access crashes; each gives data or `Truncated`. Data can be checked though everything moves: whoever
//! stores here stores the byte that belongs at that place, and the kernel puts zeros where the file was cut,
//! so each byte read is one of the two.

mod access;
pub(crate) mod arrays;

use crate::support::random::Random;
use crate::support::suite::suite;
use crate::support::{fork, process, scratch};
use crate::support::{process::Parent, suite::role};
use access::{KINDS, LENGTH, Maps, content};
use mapwright::{FaultKind, Map};
use std::fs::File;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::{self, ScopedJoinHandle, Thread};
use std::time::Duration;

suite!(
    tests: [
        every_access_survives_ten_thousand_truncations,
        forked_child_gets_faults_too,
        fault_tells_the_first_byte_that_is_gone,
        access_works_again_once_the_file_is_long_again,
    ],
    roles: [fork_and_fault],
);

const READERS: u64 = 4;

/// How often the file is cut: `MAPWRIGHT_TRUNCATIONS`, for machines that need a hundred times longer.
fn truncations() -> usize {
    let Ok(text) = std::env::var("MAPWRIGHT_TRUNCATIONS") else { return 10_000 };
    text.parse().unwrap_or_else(|_| panic!("MAPWRIGHT_TRUNCATIONS is {text:?}, not a whole number"))
}

/// How the readers tell that they did something.
struct Progress {
    done: AtomicU64,
    is_awaited: AtomicBool,
    waiter: Thread,
}

impl Progress {
    /// Of whom the calling thread waits for.
    fn new() -> Self {
        Self { done: AtomicU64::new(0), is_awaited: AtomicBool::new(false), waiter: thread::current() }
    }

    fn made(&self) {
        self.done.fetch_add(1, Ordering::SeqCst);
        if self.is_awaited.swap(false, Ordering::SeqCst) {
            self.waiter.unpark();
        }
    }
}

/// Tells the readers to stop, also where the test fails: it could not end without them.
struct Stopping<'a>(&'a AtomicBool);

impl Drop for Stopping<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// What came of one kind of access.
#[derive(Default)]
struct Tally {
    data: AtomicU64,
    faults: AtomicU64,
}

impl Tally {
    fn has_both(&self) -> bool {
        self.data.load(Ordering::Relaxed) > 0 && self.faults.load(Ordering::Relaxed) > 0
    }

    fn print(&self, name: &str) {
        let (data, faults) = (self.data.load(Ordering::Relaxed), self.faults.load(Ordering::Relaxed));
        println!("  {name:<24}{data:>10} times data {faults:>10} faults");
    }
}

fn every_access_survives_ten_thousand_truncations() {
    let folder = scratch::folder();
    let whole: Vec<u8> = (0..LENGTH).map(content).collect();
    let path = scratch::file(&folder, "victim", &whole);
    let maps = Maps::of(&path);
    let file = File::options().read(true).write(true).open(&path).unwrap();
    let tallies: Vec<Tally> = KINDS.iter().map(|_| Tally::default()).collect();
    let stop = AtomicBool::new(false);
    let (progress, wanted) = (Progress::new(), truncations());
    let mut truncations = 0;
    thread::scope(|scope| {
        let _stopping = Stopping(&stop);
        let readers: Vec<_> = (1..=READERS)
            .map(|number| {
                let (maps, tallies, stop, progress) = (&maps, &tallies, &stop, &progress);
                scope.spawn(move || use_in_every_way(maps, tallies, stop, progress, Random::stream(number)))
            })
            .collect();
        let mut random = Random::stream(0);
        while truncations < wanted || !tallies.iter().all(Tally::has_both) {
            file.set_len(u64::try_from(random.below(LENGTH)).unwrap()).unwrap();
            wait_for_progress(&progress, &readers);
            file.set_len(u64::try_from(LENGTH).unwrap()).unwrap();
            if truncations % 16 == 0 {
                std::os::unix::fs::FileExt::write_all_at(&file, &whole, 0).unwrap();
            }
            wait_for_progress(&progress, &readers);
            truncations += 1;
        }
    });
    println!("{truncations} truncations, {READERS} threads:");
    for (kind, tally) in KINDS.iter().zip(&tallies) {
        tally.print(kind.name);
    }
}

fn use_in_every_way(
    maps: &Maps,
    tallies: &[Tally],
    stop: &AtomicBool,
    progress: &Progress,
    mut random: Random,
) {
    while !stop.load(Ordering::Relaxed) {
        let choice = random.below(KINDS.len());
        match (KINDS[choice].run)(maps, &mut random) {
            Ok(()) => tallies[choice].data.fetch_add(1, Ordering::Relaxed),
            Err(fault) => {
                assert_eq!(fault.kind(), FaultKind::Truncated, "{}: {fault}", KINDS[choice].name);
                assert!(fault.offset() < LENGTH, "{}: {fault:?}", KINDS[choice].name);
                tallies[choice].faults.fetch_add(1, Ordering::Relaxed)
            }
        };
        progress.made();
    }
}

/// Lets the readers act on each state of the file; a reader that failed ends the test.
///
/// Parked, not yielding: with more threads than processors a yield gives whole time slices away, a wake takes
/// one back.
fn wait_for_progress<T>(progress: &Progress, readers: &[ScopedJoinHandle<'_, T>]) {
    let before = progress.done.load(Ordering::Relaxed);
    progress.is_awaited.store(true, Ordering::SeqCst);
    while progress.done.load(Ordering::SeqCst) == before {
        assert!(readers.iter().all(|reader| !reader.is_finished()), "a reader failed");
        thread::park_timeout(Duration::from_millis(20));
    }
}

/// Maps a file, cuts it, and accesses it in every way in a forked child: path.
fn fork_and_fault(parent: &mut Parent) {
    let maps = Maps::of(parent.arg(0).as_ref());
    File::options().write(true).open(parent.arg(0)).unwrap().set_len(0).unwrap();
    for kind in KINDS {
        let ended = fork::run(|| {
            let fault = (kind.run)(&maps, &mut Random::stream(0)).unwrap_err();
            assert_eq!(fault.kind(), FaultKind::Truncated);
        });
        parent.say(format!("{}: {ended:?}", kind.name));
    }
}

fn forked_child_gets_faults_too() {
    let folder = scratch::folder();
    let path = scratch::file(&folder, "victim", &vec![1; LENGTH]);
    let report = process::run(role!(fork_and_fault), &[path.to_str().unwrap()]);
    report.assert_ok();
    for kind in KINDS {
        assert!(report.said.contains(&format!("{}: Exit(0)\n", kind.name)), "{report}");
    }
}

fn fault_tells_the_first_byte_that_is_gone() {
    let folder = scratch::folder();
    let path = scratch::file(&folder, "victim", &scratch::pattern(40_000));
    let map = mapwright::MapOptions::new().offset(100).open(&path).unwrap();
    File::options().write(true).open(&path).unwrap().set_len(10_000).unwrap();
    let mut buffer = vec![0; 30_000];
    let fault = map.view().sub(1_000..).unwrap().copy_to(500, &mut buffer).unwrap_err();
    // The page that holds the new end still exists; the bytes behind it in that page are zeros.
    let first_gone = 3 * 4096;
    assert_eq!((fault.kind(), fault.file_offset()), (FaultKind::Truncated, first_gone));
    assert_eq!(u64::try_from(fault.offset()).unwrap(), first_gone - 1_100);
    let mut expected = scratch::pattern(10_000)[1_600..].to_vec();
    expected.resize(12_288 - 1_600, 0);
    assert_eq!(buffer[..expected.len()], expected, "bytes before the fault were copied");
    assert!(fault.to_string().contains("12288"), "{fault}");
}

fn access_works_again_once_the_file_is_long_again() {
    let folder = scratch::folder();
    let path = scratch::file(&folder, "victim", &[7; 8192]);
    let map = Map::open(&path).unwrap();
    let file = File::options().write(true).open(&path).unwrap();
    file.set_len(0).unwrap();
    assert_eq!(map.view().load::<u8>(4096).unwrap_err().kind(), FaultKind::Truncated);
    file.set_len(8192).unwrap();
    assert_eq!(map.view().load::<u8>(4096).unwrap(), 0);
}
