//! Processes of two C libraries in one segment: glibc lets the kernel let go of locks for its threads, musl's
//! lock words bear identities. They meet on the same words, and see each other's deaths.

use std::path::Path;
use std::process::Command;

use mapwright::share::{Mutex, Orphans, Parties, Queue, QueueOptions, Segment, Semaphore, SemaphoreOptions};

use crate::support::process::{self, Ended, Process};
use crate::support::program::{self, Library};
use crate::support::suite::{Verdict, suite};

suite!(
    tests: [
        a_death_is_seen_and_put_right_by_one_of_the_other_library,
        locking_twice_is_told_whatever_the_library,
        peers_of_both_libraries_that_are_killed_at_random_lose_no_count,
    ],
    roles: [],
);

const PAIRS: [(Library, Library); 4] = [
    (Library::Gnu, Library::Musl),
    (Library::Musl, Library::Gnu),
    (Library::Musl, Library::Musl),
    (Library::Gnu, Library::Gnu),
];

fn make(folder: &Path) -> Segment {
    let queue = QueueOptions::new(4).receivers(Parties::Many).orphans(Orphans::Redeliver);
    let segment = Segment::builder("libraries")
        .directory(folder)
        .with::<Mutex<[u64; 2]>>("mutex", [0; 2])
        .with::<Semaphore>("semaphore", SemaphoreOptions::new(1))
        .with::<Queue<u64>>("queue", queue)
        .create()
        .unwrap();
    segment.get::<Queue<u64>>("queue").unwrap().sender().unwrap().send(&42).unwrap();
    segment
}

fn start(library: Library, folder: &Path, what: &str) -> Result<Process, crate::support::skip::Skip> {
    let mut command: Command = process::program(program::peer(library)?);
    command.arg(folder).arg(what);
    Ok(Process::start_command(what, &mut command))
}

fn a_death_is_seen_and_put_right_by_one_of_the_other_library() -> Verdict {
    for (holds, takes) in PAIRS {
        for waits_before in [true, false] {
            let folder = super::folder();
            let _segment = make(folder.path());
            let mut holder = start(holds, folder.path(), "hold")?;
            assert_eq!(holder.hear(), "holding", "{holds:?}");
            let mut killed = Some(holder);
            let mut kill =
                || assert_eq!(killed.take().map(Process::kill), Some(Ended::Signal(libc::SIGKILL)));
            if !waits_before {
                kill();
            }
            let mut taker = start(takes, folder.path(), "take")?;
            assert_eq!(taker.hear(), "waiting", "{takes:?}");
            if waits_before {
                kill();
            }
            assert_eq!(taker.hear(), "[1, 1], and item 42", "{holds:?} died, {takes:?} took over");
        }
    }
    Ok(())
}

fn locking_twice_is_told_whatever_the_library() -> Verdict {
    for library in [Library::Gnu, Library::Musl] {
        let folder = super::folder();
        let _segment = make(folder.path());
        assert_eq!(start(library, folder.path(), "twice")?.hear(), "told", "{library:?}");
    }
    Ok(())
}

fn peers_of_both_libraries_that_are_killed_at_random_lose_no_count() -> Verdict {
    const KILLS: usize = 60;
    let folder = super::folder();
    let segment = make(folder.path());
    let mutex: Mutex<[u64; 2]> = segment.get("mutex").unwrap();
    let counter = |number: usize| {
        let library = if number.is_multiple_of(2) { Library::Gnu } else { Library::Musl };
        let mut counter = start(library, folder.path(), "count")?;
        assert_eq!(counter.hear(), "counting");
        Ok(counter)
    };
    let count = || match mutex.lock() {
        Ok(guard) => guard.load(),
        Err(mapwright::share::LockError::OwnerDied(recovery)) => recovery.recover().load(),
        Err(_) => mutex.repair(|_| ()).unwrap().load(),
    };
    let mut counters = (0..4).map(counter).collect::<Result<Vec<_>, _>>()?;
    let mut last = 0;
    for kill in 0..KILLS {
        let wanted = last + u64::try_from(kill * 7919 % 500).unwrap();
        while last <= wanted {
            let [one, other] = count();
            assert!(one == other && one >= last, "{one} and {other} after {last}");
            last = one;
        }
        let index = kill % counters.len();
        let killed = std::mem::replace(&mut counters[index], counter(index)?);
        assert_eq!(killed.kill(), Ended::Signal(libc::SIGKILL), "a counter ended by itself");
    }
    for killed in counters {
        assert_eq!(killed.kill(), Ended::Signal(libc::SIGKILL), "a counter ended by itself");
    }
    let [one, other] = count();
    assert!(one == other && one >= last);
    println!("  {KILLS} kills, {one} counted");
    Ok(())
}
