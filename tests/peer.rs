//! A participant for tests that need one of another C library: takes a lock, says so, and goes on or is
//! killed.
//!
//! `mapwright-peer FOLDER WHAT` opens the segment *libraries* in a folder and does one of four things; what
//! it says is for `share::libraries`. It ends when its standard input does.
#![allow(clippy::unwrap_used, clippy::panic, clippy::print_stdout, reason = "everything here is a test")]

use std::io::Read;
use std::time::Duration;

use mapwright::share::{Deadline, Directory, LockError, Mutex, Queue, Segment, Semaphore};

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [folder, what] = &arguments[..] else { panic!("mapwright-peer FOLDER WHAT") };
    let segment = Directory::at(folder).unwrap().open("libraries").unwrap();
    std::thread::spawn(|| {
        std::io::stdin().read_to_end(&mut Vec::new()).unwrap();
        // Before the locks' guards are dropped, which would let go of them.
        std::process::abort();
    });
    match what.as_str() {
        "hold" => hold(&segment),
        "take" => take(&segment),
        "twice" => twice(&segment),
        "count" => count(&segment),
        other => panic!("{other}: no such thing to do"),
    }
}

/// Holds a lock, a permit and an item, until it is killed.
fn hold(segment: &Segment) {
    let (mutex, semaphore): (Mutex<[u64; 2]>, Semaphore) =
        (segment.get("mutex").unwrap(), segment.get("semaphore").unwrap());
    let mut receiver = segment.get::<Queue<u64>>("queue").unwrap().receiver().unwrap();
    let mut guard = mutex.lock().unwrap();
    guard.update(|value| value[0] += 1);
    let _permit = semaphore.acquire().unwrap();
    let _lease = receiver.lease_until(Deadline::never()).unwrap();
    println!("holding");
    loop {
        std::thread::park();
    }
}

/// Takes what a dead one held, and says what that was.
fn take(segment: &Segment) {
    println!("waiting");
    let until = Deadline::after(Duration::from_secs(60));
    let mutex: Mutex<[u64; 2]> = segment.get("mutex").unwrap();
    let guard = match mutex.lock_until(until) {
        Err(LockError::OwnerDied(recovery)) => recovery.repair(|value| value[1] = value[0]),
        other => panic!("{other:?}"),
    };
    let semaphore: Semaphore = segment.get("semaphore").unwrap();
    drop(semaphore.acquire_until(until).unwrap());
    let mut receiver = segment.get::<Queue<u64>>("queue").unwrap().receiver().unwrap();
    let item = receiver.receive_until(until).unwrap();
    println!("{:?}, and item {item}", guard.load());
}

/// Locks what it holds.
fn twice(segment: &Segment) {
    let mutex: Mutex<[u64; 2]> = segment.get("mutex").unwrap();
    let _guard = mutex.lock().unwrap();
    assert!(matches!(mutex.lock(), Err(LockError::Deadlock)));
    println!("told");
}

/// Counts, until it is killed.
fn count(segment: &Segment) {
    let mutex: Mutex<[u64; 2]> = segment.get("mutex").unwrap();
    println!("counting");
    loop {
        let mut guard = match mutex.lock() {
            Ok(guard) => guard,
            Err(LockError::OwnerDied(recovery)) => recovery.recover(),
            // Another one was killed before it had recovered.
            Err(LockError::Poisoned) => mutex.repair(|_| ()).unwrap(),
            Err(error) => panic!("{error:?}"),
        };
        guard.update(|value| {
            assert_eq!(value[0], value[1], "torn, or two held it at once");
            value[0] += 1;
            value[1] += 1;
        });
    }
}
