//! A file that is truncated while somebody reads it through a map.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc;
use std::thread;

use mapwright::{Fault, FaultKind, Map};

use super::numbers::{PIECE, count_into};
use crate::outcome::Failure;
use crate::tour::scene::Scene;
use crate::tour::stage::Stage;
use crate::ui::{quoted, words};
use crate::width::{narrow, wide};

/// How long the file is at most: the reader passes over it often.
const MOST: u64 = 64 << 20;

/// What the reader saw.
struct Seen {
    loads: u64,
    fault: Fault,
}

/// Truncates a file under a running reader.
pub(super) fn truncate(stage: &mut Stage<'_>) -> Result<(), Failure> {
    stage.doing("truncating under a reader");
    let path = stage.ground().path("truncated");
    let len = narrow(stage.ground().size().min(MOST));
    let map = Map::create(&path, len)?;
    let mut numbers = vec![0; PIECE.min(len)];
    for at in (0..len).step_by(numbers.len()) {
        let piece = numbers.len().min(len - at);
        count_into(&mut numbers[..piece], wide(at / 8));
        map.view().write_bulk(at, &numbers[..piece])?;
    }
    let half = wide(len / 2);
    let seen = read_while(&map, || {
        let file = std::fs::OpenOptions::new().write(true).open(&path);
        let cut = file.and_then(|file| file.set_len(half));
        cut.map_err(|cause| Failure::os("truncate", quoted(&path), cause))
    })?;
    if seen.fault.kind() != FaultKind::Truncated {
        return Err(seen.fault.into());
    }
    let still = map.view().load::<u64>(8 * 7)?;
    let says = format!(
        "A thread was adding up {} of numbers when the file was cut in half. Load {} returned a Fault: {}. \
         With plain mmap(2) the process dies there (SIGBUS). This one goes on: number 7 of the same map is \
         still {still}.",
        words::bytes(wide(len)),
        words::count(seen.loads),
        seen.fault,
    );
    let scene = Scene::new("Truncate under a reader")
        .code("Err(fault) if fault.kind() == FaultKind::Truncated")
        .says(says);
    stage.show(scene)
}

/// Reads a map in a thread until that faults, and does something to its file meanwhile.
fn read_while(
    map: &Map<mapwright::ReadWrite>,
    act: impl FnOnce() -> Result<(), Failure>,
) -> Result<Seen, Failure> {
    let in_vain = AtomicBool::new(false);
    thread::scope(|scope| {
        let (started, has_started) = mpsc::channel();
        let reader = scope.spawn(|| read_until_fault(map, started, &in_vain));
        // Once all of it was read, so that the truncation comes in the middle of a later pass.
        let _reader_runs = has_started.recv();
        let acted = act();
        // Without it, the reader would wait for ever for a fault.
        in_vain.store(acted.is_err(), Ordering::Relaxed);
        let seen = reader.join().map_err(|_| Failure::new("the reader ended by a panic"))?;
        acted?;
        seen.ok_or_else(|| Failure::new("the reader ended without a fault"))
    })
}

/// Loads all numbers, over and over, until one cannot be had, or is waited for in vain.
fn read_until_fault(
    map: &Map<mapwright::ReadWrite>,
    started: mpsc::Sender<()>,
    in_vain: &AtomicBool,
) -> Option<Seen> {
    let (view, mut loads, mut sum) = (map.view(), 0u64, 0u64);
    let mut started = Some(started);
    while !in_vain.load(Ordering::Relaxed) {
        for at in (0..view.len()).step_by(8) {
            loads += 1;
            match view.load::<u64>(at) {
                Ok(number) => sum = sum.wrapping_add(number),
                Err(fault) => {
                    std::hint::black_box(sum);
                    return Some(Seen { loads, fault });
                }
            }
        }
        started.take().map(|started| started.send(()));
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_truncation_that_fails_ends_the_reader_too() {
        let file = tempfile::NamedTempFile::new_in(".").unwrap();
        file.as_file().set_len(40_000).unwrap();
        let map = Map::open_mut(file.path()).unwrap();
        let failed = read_while(&map, || Err(Failure::new("on purpose")));
        assert_eq!(failed.err().unwrap().to_string(), "on purpose");
        let cut = || file.as_file().set_len(4096).map_err(|cause| Failure::os("truncate", "a file", cause));
        let seen = read_while(&map, cut).unwrap();
        assert_eq!(seen.fault.kind(), FaultKind::Truncated);
    }
}
