//! Deadlines are moments of the monotonic clock: what happens to the wall clock ends no wait, early or late.
//!
//! Shown twice. Everywhere: a process in which the kernel kills whoever asks for a wait by the wall clock (a
//! filter of system calls) waits for one of each kind of thing, until its deadline. And where the clock is
//! free to change (`MAPWRIGHT_CLOCK_IS_FREE=1`: a virtual machine's is its own): the same waits while the
//! wall clock leaps forwards and back by a day.

#![allow(unsafe_code, reason = "a filter of system calls has no safe form")]

use std::os::unix::net::UnixStream;
use std::path::Path;
use std::sync::{MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use mapwright::share::{
    Barrier, BarrierError, BarrierOptions, Condvar, Deadline, Directory, Event, EventOptions, LoanError,
    LockError, Log, LogError, LogOptions, Mutex, Once, Policy, Pool, PoolOptions, Queue, QueueOptions,
    ReceiveError, Records, RecordsOptions, RwLock, RwLockOptions, Segment, Semaphore, SemaphoreOptions,
    SendError, Snapshot, SnapshotError, SnapshotOptions, Start, Topic, TopicOptions, WaitError, wait_any,
};
use rustix::time::{ClockId, Timespec, clock_gettime, clock_settime};

use crate::support::process::{self, Ended, Parent, Process};
use crate::support::skip::{Need, Skip};
use crate::support::suite::{Verdict, role, suite};

suite!(
    tests: [
        no_wait_asks_the_kernel_for_the_wall_clock,
        deadlines_are_kept_while_the_wall_clock_leaps,
        who_waits_for_an_hour_is_still_there_when_the_wall_clock_has_leapt_by_days,
    ],
    roles: [wait_in_vain, wait_by_the_wall_clock, wait_for_a_message],
);

/// How long each wait is.
const PATIENCE: Duration = Duration::from_millis(30);
/// How far the wall clock leaps, in seconds.
const DAY: i64 = 86_400;

/// A wait for what does not come; tells whether it was ended by its deadline.
type Wait = (&'static str, fn(&Segment, Deadline) -> bool);

const WAITS: [Wait; 20] = [
    ("mutex", |it, until| {
        matches!(it.get::<Mutex<u64>>("mutex").unwrap().lock_until(until), Err(LockError::TimedOut))
    }),
    ("rwlock, to read", |it, until| {
        matches!(it.get::<RwLock<u64>>("rwlock").unwrap().read_until(until), Err(LockError::TimedOut))
    }),
    ("rwlock, to write", |it, until| {
        matches!(it.get::<RwLock<u64>>("rwlock").unwrap().write_until(until), Err(LockError::TimedOut))
    }),
    ("condvar", |it, until| {
        let (own, condvar): (Mutex<u64>, Condvar) = (it.get("own").unwrap(), it.get("condvar").unwrap());
        let guard = own.lock().unwrap();
        matches!(condvar.wait_until(guard, until), Err(LockError::TimedOut))
    }),
    ("semaphore", |it, until| {
        let semaphore: Semaphore = it.get("semaphore").unwrap();
        matches!(semaphore.acquire_until(until), Err(WaitError::TimedOut))
    }),
    ("event", |it, until| {
        matches!(it.get::<Event>("event").unwrap().wait_until(until), Err(WaitError::TimedOut))
    }),
    ("barrier", |it, until| {
        let barrier: Barrier = it.get("barrier").unwrap();
        let timed_out = barrier.join().unwrap().wait_until(until);
        barrier.reset().unwrap();
        matches!(timed_out, Err(BarrierError::TimedOut))
    }),
    ("once", |it, until| {
        let once: Once = it.get("once").unwrap();
        matches!(once.call_once_until(until, |_| ()), Err(WaitError::TimedOut))
    }),
    ("queue, to receive", |it, until| {
        let mut receiver = it.get::<Queue<u64>>("empty").unwrap().receiver().unwrap();
        matches!(receiver.receive_until(until), Err(ReceiveError::TimedOut))
    }),
    ("queue, to lease", |it, until| {
        let mut receiver = it.get::<Queue<u64>>("empty").unwrap().receiver().unwrap();
        matches!(receiver.lease_until(until), Err(ReceiveError::TimedOut))
    }),
    ("queue, to send", |it, until| {
        let mut sender = it.get::<Queue<u64>>("full").unwrap().sender().unwrap();
        matches!(sender.send_until(&1, until), Err(SendError::TimedOut))
    }),
    ("records, to receive", |it, until| {
        let mut receiver = it.get::<Records>("no records").unwrap().receiver().unwrap();
        matches!(receiver.receive_into_until(&mut Vec::new(), until), Err(ReceiveError::TimedOut))
    }),
    ("topic, to receive", |it, until| {
        let topic: Topic<u64> = it.get("topic").unwrap();
        let mut subscriber = topic.subscribe(Policy::Fail, Start::Newest).unwrap();
        matches!(subscriber.receive_until(until), Err(ReceiveError::TimedOut))
    }),
    ("topic, to publish", |it, until| {
        let mut publisher = it.get::<Topic<u64>>("topic").unwrap().publisher().unwrap();
        matches!(publisher.publish_until(&1, until), Err(SendError::TimedOut))
    }),
    ("pool", |it, until| {
        matches!(it.get::<Pool>("pool").unwrap().loan_until(until), Err(LoanError::TimedOut))
    }),
    ("log", |it, until| {
        let log: Log = it.get("log").unwrap();
        matches!(log.read_from(0).next_until(until), Err(LogError::TimedOut))
    }),
    ("snapshot, to change", |it, until| {
        let snapshot: Snapshot<u64> = it.get("snapshot").unwrap();
        matches!(snapshot.changed_until(snapshot.version(), until), Err(SnapshotError::TimedOut))
    }),
    ("snapshot, to write", |it, until| {
        it.get::<Snapshot<u64>>("snapshot").unwrap().writer_until(until).is_err()
    }),
    ("any of several", |it, until| {
        let (event, semaphore): (Event, Semaphore) = (it.get("event").unwrap(), it.get("semaphore").unwrap());
        wait_any(&[&event, &semaphore], until).unwrap().is_none()
    }),
    ("socket", |_, until| {
        let (_here, there) = UnixStream::pair().unwrap();
        Segment::receive_until(&there, until).is_err()
    }),
];

fn make(folder: &Path) -> Segment {
    Segment::builder("waits")
        .directory(folder)
        .with::<Mutex<u64>>("mutex", 0)
        .with::<Mutex<u64>>("own", 0)
        .with::<Condvar>("condvar", ())
        .with::<RwLock<u64>>("rwlock", RwLockOptions::new(0))
        .with::<Semaphore>("semaphore", SemaphoreOptions::new(1))
        .with::<Event>("event", EventOptions::Manual)
        .with::<Barrier>("barrier", BarrierOptions::new(2))
        .with::<Once>("once", ())
        .with::<Queue<u64>>("empty", QueueOptions::new(2))
        .with::<Queue<u64>>("full", QueueOptions::new(2))
        .with::<Records>("no records", RecordsOptions::new(256))
        .with::<Topic<u64>>("topic", TopicOptions::new(2).publishers(2))
        .with::<Pool>("pool", PoolOptions::new(64, 1))
        .with::<Log>("log", LogOptions::new(256))
        .with::<Snapshot<u64>>("snapshot", SnapshotOptions::new(0))
        .create()
        .unwrap()
}

/// Runs something while all that others could wait for is held, full or empty.
fn with_everything_held(folder: &Path, run: impl FnOnce()) {
    let it = make(folder);
    let (mutex, rwlock): (Mutex<u64>, RwLock<u64>) = (it.get("mutex").unwrap(), it.get("rwlock").unwrap());
    let (semaphore, pool): (Semaphore, Pool) = (it.get("semaphore").unwrap(), it.get("pool").unwrap());
    let (_locked, _written) = (mutex.lock().unwrap(), rwlock.write().unwrap());
    let (_permit, _loan) = (semaphore.acquire().unwrap(), pool.try_loan().unwrap());
    let mut sender = it.get::<Queue<u64>>("full").unwrap().sender().unwrap();
    while sender.try_send(&1).is_ok() {}
    drop(sender);
    let topic: Topic<u64> = it.get("topic").unwrap();
    let _slow = topic.subscribe(Policy::Block, Start::Newest).unwrap();
    let mut publisher = topic.publisher().unwrap();
    while publisher.try_publish(&1).is_ok() {}
    let _writer = it.get::<Snapshot<u64>>("snapshot").unwrap().writer().unwrap();
    let _ran = it.get::<Once>("once").unwrap().call_once(run).unwrap();
}

/// Waits for one of each kind: folder, how often, and `filtered` where no wait may be by the wall clock.
fn wait_in_vain(parent: &mut Parent) {
    let it = Directory::at(parent.arg(0)).unwrap().open("waits").unwrap();
    let rounds: u32 = parent.arg(1).parse().unwrap();
    if parent.arg(2) == "filtered"
        && let Err(error) = forbid_the_wall_clock()
    {
        return parent.say(format!("refused: {error}"));
    }
    for (name, wait) in WAITS.iter().cycle().take(WAITS.len() * usize::try_from(rounds).unwrap()) {
        let (start, until) = (Instant::now(), Deadline::after(PATIENCE));
        assert!(wait(&it, until), "{name}: it was not ended by its deadline");
        assert!(start.elapsed() >= PATIENCE && until.has_passed(), "{name}: it was ended early");
    }
    parent.say(format!("{} waits, {rounds} times", WAITS.len()));
}

/// What the filter must not let pass.
fn wait_by_the_wall_clock(parent: &mut Parent) {
    if let Err(error) = forbid_the_wall_clock() {
        return parent.say(format!("refused: {error}"));
    }
    let (word, until) = (0u32, libc::timespec { tv_sec: 0, tv_nsec: 0 });
    let by_the_wall_clock = libc::FUTEX_WAIT_BITSET | libc::FUTEX_CLOCK_REALTIME;
    // SAFETY: reads a word and a time of this function's; the deadline is past.
    unsafe {
        libc::syscall(
            libc::SYS_futex,
            &raw const word,
            by_the_wall_clock,
            0,
            &raw const until,
            std::ptr::null::<u32>(),
            u32::MAX,
        )
    };
}

fn no_wait_asks_the_kernel_for_the_wall_clock() -> Verdict {
    let control = process::run(role!(wait_by_the_wall_clock), &[]);
    if control.said.starts_with("refused") {
        return Err(Skip::new(Need::Seccomp, control.said.trim()));
    }
    control.assert_died_of(libc::SIGSYS);
    let folder = super::folder();
    with_everything_held(folder.path(), || {
        let path = folder.path().to_str().unwrap();
        let report = process::run(role!(wait_in_vain), &[path, "1", "filtered"]);
        println!("  {}", report.assert_ok().said.trim());
    });
    Ok(())
}

/// Has the kernel kill this process at any wait until a moment of the wall clock.
fn forbid_the_wall_clock() -> std::io::Result<()> {
    /// Where the number and the n-th argument are (the lower half; both processors are little-endian).
    const NUMBER: u32 = 0;
    const fn argument(index: u32) -> u32 {
        16 + 8 * index
    }
    let number = |call: libc::c_long| u32::try_from(call).unwrap();
    let real = u32::try_from(libc::CLOCK_REALTIME).unwrap();
    let flag = u32::try_from(libc::FUTEX_CLOCK_REALTIME).unwrap();
    /// Since Linux 6.7; the same on all processors.
    const FUTEX_WAIT: u32 = 455;
    let load = |from| statement(libc::BPF_LD | libc::BPF_W | libc::BPF_ABS, from);
    let ret = |what| statement(libc::BPF_RET | libc::BPF_K, what);
    let jump = |kind, value, yes, no| libc::sock_filter {
        code: u16::try_from(libc::BPF_JMP | kind | libc::BPF_K).unwrap(),
        jt: yes,
        jf: no,
        k: value,
    };
    let mut filter = vec![load(NUMBER)];
    // Each rule is five long: not this call: over it; else look at one argument, and kill or allow.
    let mut rule = |call: u32, index: u32, kind, value| {
        filter.extend([
            jump(libc::BPF_JEQ, call, 0, 4),
            load(argument(index)),
            jump(kind, value, 0, 1),
            ret(libc::SECCOMP_RET_KILL_PROCESS),
            ret(libc::SECCOMP_RET_ALLOW),
        ]);
    };
    rule(number(libc::SYS_futex), 1, libc::BPF_JSET, flag);
    rule(number(libc::SYS_futex_waitv), 4, libc::BPF_JEQ, real);
    rule(FUTEX_WAIT, 5, libc::BPF_JEQ, real);
    rule(number(libc::SYS_clock_nanosleep), 0, libc::BPF_JEQ, real);
    rule(number(libc::SYS_timerfd_create), 0, libc::BPF_JEQ, real);
    rule(number(libc::SYS_timer_create), 0, libc::BPF_JEQ, real);
    filter.push(ret(libc::SECCOMP_RET_ALLOW));
    let program = libc::sock_fprog { len: u16::try_from(filter.len()).unwrap(), filter: filter.as_mut_ptr() };
    rustix::thread::set_no_new_privs(true)?;
    // SAFETY: the kernel copies the program, which lives until the end of this function.
    let set = unsafe { libc::prctl(libc::PR_SET_SECCOMP, libc::SECCOMP_MODE_FILTER, &raw const program) };
    if set == 0 { Ok(()) } else { Err(std::io::Error::last_os_error()) }
}

fn statement(code: u32, value: u32) -> libc::sock_filter {
    libc::sock_filter { code: u16::try_from(code).unwrap(), jt: 0, jf: 0, k: value }
}

/// The wall clock, leaping; put right again when this is dropped.
struct WallClock {
    began: (Timespec, Instant),
    leaps: i64,
    /// One at a time: another one would take a leap for the right time.
    _alone: MutexGuard<'static, ()>,
}

impl WallClock {
    fn new() -> Result<Self, Skip> {
        if std::env::var_os("MAPWRIGHT_CLOCK_IS_FREE").is_none_or(|value| value != "1") {
            let why = "the clock is not free to change (MAPWRIGHT_CLOCK_IS_FREE=1 says so of a guest's)";
            return Err(Skip::new(Need::Clock, why));
        }
        static ALONE: std::sync::Mutex<()> = std::sync::Mutex::new(());
        let alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
        let began = (clock_gettime(ClockId::Realtime), Instant::now());
        let clock = Self { began, leaps: 0, _alone: alone };
        clock.set(0).map_err(|error| Skip::new(Need::Clock, error))?;
        Ok(clock)
    }

    fn set(&self, ahead: i64) -> std::io::Result<()> {
        let (wall, monotonic) = self.began;
        let seconds = wall.tv_sec + i64::try_from(monotonic.elapsed().as_secs()).unwrap() + ahead;
        Ok(clock_settime(ClockId::Realtime, Timespec { tv_sec: seconds, tv_nsec: wall.tv_nsec })?)
    }

    /// A day ahead, a day behind, by turns.
    fn leap(&mut self) {
        self.leaps += 1;
        self.set(if self.leaps % 2 == 0 { -DAY } else { DAY }).unwrap();
        std::thread::yield_now();
    }
}

impl Drop for WallClock {
    fn drop(&mut self) {
        self.set(0).unwrap();
    }
}

fn deadlines_are_kept_while_the_wall_clock_leaps() -> Verdict {
    let mut clock = WallClock::new()?;
    let folder = super::folder();
    with_everything_held(folder.path(), || {
        let path = folder.path().to_str().unwrap();
        let mut waiter = Process::start(role!(wait_in_vain), &[path, "5", "free"]);
        while !waiter.is_over() {
            clock.leap();
        }
        println!("  {}, over {} leaps of the wall clock", waiter.hear(), clock.leaps);
        assert_eq!(waiter.wait(), Ended::Exit(0));
    });
    Ok(())
}

/// Waits for an hour at most, for a message and for any of two.
fn wait_for_a_message(parent: &mut Parent) {
    let it = Directory::at(parent.arg(0)).unwrap().open("waits").unwrap();
    let mut receiver = it.get::<Queue<u64>>("empty").unwrap().receiver().unwrap();
    let (event, semaphore): (Event, Semaphore) = (it.get("event").unwrap(), it.get("semaphore").unwrap());
    let until = Deadline::after(Duration::from_secs(3600));
    parent.say("waiting");
    assert_eq!(receiver.receive_until(until).unwrap(), 7);
    parent.say("waiting");
    assert_eq!(wait_any(&[&semaphore, &event], until).unwrap(), Some(1));
}

fn who_waits_for_an_hour_is_still_there_when_the_wall_clock_has_leapt_by_days() -> Verdict {
    /// Some for each time that a sleeper looks around.
    const LEAPS: i64 = 2000;
    let mut clock = WallClock::new()?;
    let folder = super::folder();
    let it = make(folder.path());
    let semaphore: Semaphore = it.get("semaphore").unwrap();
    let _permit = semaphore.acquire().unwrap();
    let mut waiter = Process::start(role!(wait_for_a_message), &[folder.path().to_str().unwrap()]);
    let mut sender = it.get::<Queue<u64>>("empty").unwrap().sender().unwrap();
    for publish in
        [&mut || sender.send(&7).unwrap(), &mut || it.get::<Event>("event").unwrap().set().unwrap()]
            as [&mut dyn FnMut(); 2]
    {
        assert_eq!(waiter.hear(), "waiting");
        for _ in 0..LEAPS {
            clock.leap();
        }
        assert!(!waiter.is_over(), "it did not wait");
        publish();
    }
    assert_eq!(waiter.wait(), Ended::Exit(0));
    Ok(())
}
