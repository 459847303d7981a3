//! Segments where the real kernel has its say: full file systems, other pid namespaces, forked children.

#![allow(unsafe_code, reason = "namespaces have no safe form")]

use std::os::unix::process::CommandExt;
use std::process::Stdio;
use std::time::Duration;

use mapwright::share::{
    Attendance, Deadline, Directory, Event, EventOptions, LockError, Mutex, Pool, PoolOptions, Segment,
    Semaphore, SemaphoreOptions,
};
use mapwright::{ErrorKind, FaultKind};

use crate::support::process::{self, Ended, Parent, Process};
use crate::support::skip::{Need, Skip};
use crate::support::suite::{Verdict, role, suite};
use crate::support::tmpfs::Tmpfs;
use rustix::process::Signal;

suite!(
    tests: [
        a_full_file_system_refuses_a_segment_when_it_is_made_and_never_later,
        processes_of_other_pid_namespaces_see_each_others_deaths,
        a_forked_child_takes_part_only_when_it_asks,
        what_dead_processes_leave_is_pruned,
    ],
    roles: [hold_everything, live_in_a_namespace, fork_a_child],
);

fn make(path: &std::path::Path, name: &str) -> mapwright::Result<Segment> {
    Segment::builder(name)
        .directory(path)
        .with::<Mutex<u64>>("mutex", 7)
        .with::<Semaphore>("semaphore", SemaphoreOptions::new(2))
        .with::<Event>("ready", EventOptions::Manual)
        .create()
}

fn a_full_file_system_refuses_a_segment_when_it_is_made_and_never_later() -> Verdict {
    let tmpfs = Tmpfs::of_bytes(8 << 20)?;
    let large = |name: &str| {
        Segment::builder(name)
            .directory(tmpfs.path())
            .with::<Pool>("pool", PoolOptions::new(1 << 20, 5))
            .create()
    };
    let first = large("first").unwrap();
    let error = large("second").unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NoSpace, "{error}");
    assert!(error.to_string().contains("are free; prune segments"), "{error}");
    assert!(!tmpfs.path().join("second").exists(), "nothing is left of it");
    tmpfs.fill("ballast");
    // Every page was reserved when it was made.
    let pool: Pool = first.get("pool").unwrap();
    let mut loans: Vec<_> = (0..5).map(|_| pool.try_loan().unwrap()).collect();
    for loan in &mut loans {
        loan.copy_from(&vec![0xA5; 1 << 20]).unwrap();
    }
    first.check().unwrap();
    assert_eq!(make(tmpfs.path(), "third").unwrap_err().kind(), ErrorKind::NoSpace);
    drop((loans, pool, first));
    assert_eq!(Directory::at(tmpfs.path()).unwrap().prune().unwrap().removed, ["first"]);
    make(tmpfs.path(), "third").unwrap();
    Ok(())
}

/// Takes the mutex and a permit, says so, and waits to be killed.
fn hold_everything(parent: &mut Parent) {
    let segment = Directory::at(parent.arg(0)).unwrap().open("one").unwrap();
    let mutex: Mutex<u64> = segment.get("mutex").unwrap();
    let semaphore: Semaphore = segment.get("semaphore").unwrap();
    let mut guard = mutex.lock().unwrap();
    guard.store(8);
    let _permit = semaphore.acquire().unwrap();
    parent.say(format!("{:?}", segment.me()));
    parent.wait_for_the_end();
}

/// Starts a holder as the first process of a pid namespace of its own, and dies with it.
fn live_in_a_namespace(parent: &mut Parent) {
    // SAFETY: takes a number; the next child is the first of a new namespace.
    if unsafe { libc::unshare(libc::CLONE_NEWPID) } != 0 {
        parent.say(format!("refused: {}", std::io::Error::last_os_error()));
        return;
    }
    let mut command = process::command(role!(hold_everything), &[parent.arg(0)]);
    // SAFETY: one system call between fork and exec: the holder dies with this process.
    unsafe { command.pre_exec(|| Ok(rustix::process::set_parent_process_death_signal(Some(Signal::KILL))?)) };
    let mut child = command.stdin(Stdio::inherit()).stdout(Stdio::inherit()).spawn().unwrap();
    child.wait().unwrap();
}

fn processes_of_other_pid_namespaces_see_each_others_deaths() -> Verdict {
    let folder = super::folder();
    let segment = make(folder.path(), "one").unwrap();
    let path = folder.path().to_str().unwrap();
    let mut holder = Process::start(role!(live_in_a_namespace), &[path]);
    let said = holder.hear();
    if said.starts_with("refused") {
        return Err(Skip::new(Need::Root, said));
    }
    let others: Vec<_> =
        segment.participants().into_iter().filter(|it| it.identity != segment.me()).collect();
    assert_eq!(others.len(), 1);
    assert_eq!((others[0].process, others[0].state), (1, Attendance::Alive), "the first of its namespace");
    assert_ne!(others[0].namespace, segment.participants()[0].namespace);
    let mutex: Mutex<u64> = segment.get("mutex").unwrap();
    let semaphore: Semaphore = segment.get("semaphore").unwrap();
    assert!(matches!(mutex.try_lock(), Err(LockError::TimedOut)));
    let _mine = semaphore.try_acquire().unwrap();
    assert!(semaphore.try_acquire().is_err());
    holder.kill();
    // No wake crosses the namespaces' border for a thread's death; the oracle answers.
    match mutex.lock_until(Deadline::after(Duration::from_secs(60))) {
        Err(LockError::OwnerDied(recovery)) => assert_eq!(recovery.recover().load(), 8),
        other => panic!("{other:?}"),
    }
    let _theirs = semaphore.acquire_until(Deadline::after(Duration::from_secs(60))).unwrap();
    assert!(!segment.is_alive(others[0].identity));
    Ok(())
}

fn fork_a_child(parent: &mut Parent) {
    let segment = make(std::path::Path::new(parent.arg(0)), "one").unwrap();
    let mutex: Mutex<u64> = segment.get("mutex").unwrap();
    let guard = mutex.lock().unwrap();
    let me = segment.me();
    let ended = crate::support::fork::run(|| {
        assert_eq!(segment.check().unwrap_err().kind(), FaultKind::Gone);
        assert!(segment.get::<Mutex<u64>>("mutex").is_err());
        assert!(matches!(mutex.try_lock(), Err(LockError::Fault(fault)) if fault.kind() == FaultKind::Gone));
        let mine = segment.reattach().unwrap();
        assert!(mine.me() != me && mine.is_alive(me));
        let again: Mutex<u64> = mine.get("mutex").unwrap();
        assert!(matches!(again.try_lock(), Err(LockError::TimedOut)), "the parent holds it");
        // The inherited guard is the parent's: it lets go of nothing here.
    });
    assert_eq!(ended, Ended::Exit(0));
    assert_eq!(guard.load(), 7);
    drop(guard);
    assert!(mutex.try_lock().is_ok());
    let states: Vec<_> = segment.participants().iter().map(|it| it.state).collect();
    assert_eq!(states.iter().filter(|state| **state == Attendance::Alive).count(), 1, "{states:?}");
}

fn a_forked_child_takes_part_only_when_it_asks() {
    let folder = super::folder();
    process::run(role!(fork_a_child), &[folder.path().to_str().unwrap()]).assert_ok();
}

fn what_dead_processes_leave_is_pruned() {
    let folder = super::folder();
    let path = folder.path().to_str().unwrap();
    drop(make(folder.path(), "one").unwrap());
    let directory = Directory::at(path).unwrap();
    let mut holder = Process::start(role!(hold_everything), &[path]);
    let _who = holder.hear();
    assert_eq!(directory.prune().unwrap().kept, ["one"]);
    assert_eq!(directory.remove("one").unwrap_err().kind(), ErrorKind::Busy);
    holder.kill();
    let seen = directory.inspect("one").unwrap();
    assert_eq!(seen.participants.iter().filter(|it| it.state == Attendance::Died).count(), 1);
    assert_eq!(directory.prune().unwrap().removed, ["one"]);
    assert_eq!(std::fs::read_dir(path).unwrap().count(), 0);
}
