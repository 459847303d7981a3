//! Locks whose file is cut short: nobody gets hold of a page of zeros.

use std::sync::Arc;

use mapwright_core::peer::{Area, Life, Oracle, Roster, pid_namespace};
use mapwright_core::{FaultKind, MapOptions, MemFile};

use super::*;
use crate::object::Site;

/// The seats' page, which stays; the object begins behind it.
const SEATS_LEN: usize = 4096;

/// An object in a file that nothing keeps from being cut.
fn object<O: Object>(options: &O::Options) -> (MemFile, O) {
    let plan = O::plan(options).unwrap();
    let file = MemFile::new("cut", SEATS_LEN + plan.len).unwrap();
    let area = Area::new(MapOptions::new().map_mut(&file).unwrap()).unwrap();
    let life = Life::open(file.file().as_ref()).unwrap();
    let roster = Roster::join(area.place_many(0, 16).unwrap(), life, pid_namespace()).unwrap().unwrap();
    let oracle: Arc<dyn Oracle> = Arc::new(roster);
    let site = Site::new(area, "object", (SEATS_LEN, plan.len), plan.parameters, oracle).unwrap();
    O::create(&site, options).unwrap();
    let object = O::attach(&site).unwrap();
    (file, object)
}

fn cut(file: &MemFile) {
    file.file().set_len(u64::try_from(SEATS_LEN).unwrap()).unwrap();
}

fn is_fault<T, G>(result: Result<T, LockError<G>>) -> bool {
    matches!(result, Err(LockError::Fault(fault)) if fault.kind() == FaultKind::Poisoned)
}

fn is_gone<T>(result: Result<T, WaitError>) -> bool {
    matches!(result, Err(WaitError::Fault(fault)) if fault.kind() == FaultKind::Poisoned)
}

#[test]
fn a_mutex_is_not_taken() {
    let takes: [fn(&Mutex<u64>) -> bool; 3] = [
        |mutex| is_fault(mutex.lock()),
        |mutex| is_fault(mutex.try_lock()),
        |mutex| is_fault(mutex.repair(|_| {})),
    ];
    for take in takes {
        let (file, mutex) = object::<Mutex<u64>>(&7);
        cut(&file);
        assert!(take(&mutex));
        assert!(take(&mutex), "nor the second time");
    }
}

#[test]
fn a_lock_for_readers_and_writers_is_not_taken() {
    let takes: [fn(&RwLock<u64>) -> bool; 5] = [
        |lock| is_fault(lock.write()),
        |lock| is_fault(lock.try_write()),
        |lock| is_fault(lock.repair(|_| {})),
        |lock| is_fault(lock.read()),
        |lock| is_fault(lock.try_read()),
    ];
    for take in takes {
        let (file, lock) = object::<RwLock<u64>>(&RwLockOptions::new(7));
        cut(&file);
        assert!(take(&lock));
        assert!(take(&lock), "nor the second time");
    }
}

#[test]
fn what_a_guard_stores_is_nowhere_and_no_panic() {
    let (file, mutex) = object::<Mutex<u64>>(&7);
    let (other_file, lock) = object::<RwLock<u64>>(&RwLockOptions::new(7));
    let (mut guard, mut writer) = (mutex.lock().unwrap(), lock.write().unwrap());
    cut(&file);
    cut(&other_file);
    assert_eq!((guard.load(), writer.load()), (0, 0));
    guard.store(8);
    writer.store(8);
    assert_eq!((guard.load(), writer.load()), (0, 0));
}

#[test]
fn permits_runs_and_events_are_not_had() {
    let (file, semaphore) = object::<Semaphore>(&SemaphoreOptions::new(2));
    cut(&file);
    assert!(is_gone(semaphore.acquire()) && is_gone(semaphore.try_acquire()));

    let (file, once) = object::<Once>(&());
    once.call_once(|| {}).unwrap();
    cut(&file);
    assert!(is_gone(once.call_once(|| panic!("run once more"))));

    for set in [Event::set, |event: &Event| event.reset().map(drop), Event::try_wait, Event::wait] {
        let (file, event) = object::<Event>(&EventOptions::Auto);
        cut(&file);
        assert!(is_gone(set(&event)));
    }
}

#[test]
fn nobody_joins_a_barrier_or_passes_it() {
    let new = || object::<Barrier>(&BarrierOptions::new(1));
    let (file, barrier) = new();
    cut(&file);
    assert!(matches!(barrier.join(), Err(BarrierError::Fault(_))));
    let (file, barrier) = new();
    let mut member = barrier.join().unwrap();
    cut(&file);
    assert!(matches!(member.wait(), Err(BarrierError::Fault(_))));
    let (file, barrier) = new();
    cut(&file);
    assert!(matches!(barrier.reset(), Err(BarrierError::Fault(_))));
}

#[test]
fn those_who_wait_are_told() {
    let (file, semaphore) = object::<Semaphore>(&SemaphoreOptions::new(1));
    let _permit = semaphore.acquire().unwrap();
    std::thread::scope(|scope| {
        let waiter = scope.spawn(|| is_gone(semaphore.acquire()));
        while !semaphore.is_waited_for() {
            relax();
        }
        cut(&file);
        assert!(waiter.join().unwrap());
    });

    let (file, mutex) = object::<Mutex<u64>>(&7);
    let _guard = mutex.lock().unwrap();
    std::thread::scope(|scope| {
        let waiter = scope.spawn(|| is_fault(mutex.lock()));
        cut(&file);
        assert!(waiter.join().unwrap());
    });
}
