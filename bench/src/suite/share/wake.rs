//! A receiver that sleeps in the kernel is woken.
//!
//! The sender waits until the kernel says that the receiver sleeps, and notes the time; the receiver notes it
//! when it has the message. Half of a round trip would not do: who answers quickly finds the other awake.

use std::fs::File;
use std::io::{Read, Write};
use std::os::unix::fs::FileExt;
use std::rc::Rc;
use std::sync::atomic::Ordering;

use anyhow::{Context, Result, ensure};
use iceoryx2::node::Node;
use iceoryx2::port::listener::Listener;
use iceoryx2::port::notifier::Notifier;
use iceoryx2::prelude::ipc;
use rustix::time::{ClockId, clock_gettime};

use super::{at_most, row_of_duos};
use crate::harness::{Duo, Folder, Meter, ONE_WAY_TRIPS, Role, Row, Shared, Stage, Target, Unit};
use crate::ours::Values;
use crate::rival::{Link, Packets, Ringfire, Shape, Sleep, check, fill, node, open, service_name};

pub(super) const DUOS: &[Duo] = &[
    duo::<FutexWake, 0>(Role::Limit, "a word and futex(2)"),
    duo::<Values<1>, 1>(Role::Ours, "mapwright"),
    duo::<EventCounter, 0>(Role::Rival, "eventfd"),
    duo::<Ringfire<1, Sleep>, 1>(Role::Rival, "ringfire, sleeping"),
    duo::<IceoryxEvent, 0>(Role::Rival, "iceoryx2, event"),
    duo::<Packets, 1>(Role::Rival, "Unix packets"),
];

const fn duo<L: Link, const WORDS: usize>(role: Role, name: &'static str) -> Duo {
    Duo { name, role, first: first::<L, WORDS>, second: second::<L, WORDS> }
}

/// What the receiver tells: who it is, how many it has received, and when the last.
const PROCESS: usize = 0;
const RECEIVED: usize = 1;
const WHEN: usize = 2;

fn first<L: Link, const WORDS: usize>(stage: &mut Stage, meter: &mut Meter) -> Result<()> {
    let mut link: L = open(stage, Shape { words: WORDS, depth: 1 })?;
    let receiver = Receiver::find(stage.report(PROCESS).load(Ordering::Acquire))?;
    let mut trips = Vec::with_capacity(stage.amount as usize);
    for number in 0..stage.amount {
        receiver.wait_until_asleep()?;
        let start = now();
        link.send(WORDS, |words| fill(words, number))?;
        while stage.report(RECEIVED).load(Ordering::Acquire) <= number {
            std::hint::spin_loop();
        }
        trips.push((stage.report(WHEN).load(Ordering::Relaxed) - start) as u32);
    }
    stage.meet();
    meter.one_way_trips(&mut trips[stage.amount as usize / 10..]);
    Ok(())
}

fn second<L: Link, const WORDS: usize>(stage: &mut Stage) -> Result<()> {
    stage.report(PROCESS).store(u64::from(std::process::id()), Ordering::Release);
    let mut link: L = open(stage, Shape { words: WORDS, depth: 1 })?;
    for number in 0..stage.amount {
        link.receive(|words| check(words, number))??;
        stage.report(WHEN).store(now(), Ordering::Relaxed);
        stage.report(RECEIVED).store(number + 1, Ordering::Release);
    }
    stage.meet();
    Ok(())
}

/// Nanoseconds on a clock that all processors share.
fn now() -> u64 {
    let time = clock_gettime(ClockId::Monotonic);
    time.tv_sec as u64 * 1_000_000_000 + time.tv_nsec as u64
}

/// The other process, as the kernel sees it.
struct Receiver {
    stat: File,
}

impl Receiver {
    fn find(process: u64) -> Result<Self> {
        let path = format!("/proc/{process}/stat");
        Ok(Self { stat: File::open(&path).with_context(|| format!("open {path}"))? })
    }

    fn wait_until_asleep(&self) -> Result<()> {
        let mut text = [0; 256];
        loop {
            let len = self.stat.read_at(&mut text, 0).context("ask whether the receiver sleeps")?;
            // The name is in parentheses; the letter behind it is the state.
            let name_end = text[..len].iter().rposition(|&byte| byte == b')');
            let state = name_end.and_then(|end| text.get(end + 2));
            if state == Some(&b'S') {
                return Ok(());
            }
            ensure!(state != Some(&b'Z'), "the receiver has died");
        }
    }
}

pub(super) fn row(folder: &Folder) -> Result<Row> {
    let about = "a sleeping receiver is woken, one way, median; it is asleep for sure".to_owned();
    let unit = Unit::Nanoseconds { operations: ONE_WAY_TRIPS };
    let amount = folder.size(2_000, 100) as u64;
    let targets = vec![Target::ratio("eventfd", &["eventfd"], at_most(1.15))];
    Ok(row_of_duos(folder, "wake", about, unit, DUOS, |_| amount, targets))
}

/// Nothing but a word that counts, and the system call.
struct FutexWake {
    memory: Rc<Shared>,
    side: usize,
    seen: u32,
}

impl Link for FutexWake {
    fn make(stage: &Stage, _shape: Shape) -> Result<Self> {
        Ok(Self { memory: Rc::clone(&stage.memory), side: stage.side, seen: 0 })
    }

    fn connect(&mut self, _stage: &Stage) -> Result<()> {
        Ok(())
    }

    fn send(&mut self, _words: usize, fill: impl FnOnce(&mut [u64])) -> Result<()> {
        fill(&mut []);
        let word = self.memory.half(self.side * 128);
        word.fetch_add(1, Ordering::Release);
        let none = std::ptr::null::<libc::timespec>();
        // SAFETY: the word is valid; waking changes no memory.
        unsafe { libc::syscall(libc::SYS_futex, word.as_ptr(), libc::FUTEX_WAKE, 1, none, none, 0) };
        Ok(())
    }

    fn receive<R>(&mut self, mut look: impl FnMut(&[u64]) -> R) -> Result<R> {
        let word = self.memory.half((1 - self.side) * 128);
        let none = std::ptr::null::<libc::timespec>();
        while word.load(Ordering::Acquire) == self.seen {
            let (pointer, wait) = (word.as_ptr(), libc::FUTEX_WAIT);
            // SAFETY: the word is valid; a null timeout is allowed. A vain wait is repeated by the loop.
            unsafe { libc::syscall(libc::SYS_futex, pointer, wait, self.seen, none, none, 0) };
        }
        self.seen = self.seen.wrapping_add(1);
        Ok(look(&[]))
    }
}

/// An event counter a direction.
struct EventCounter {
    outgoing: File,
    incoming: File,
}

impl Link for EventCounter {
    fn make(stage: &Stage, _shape: Shape) -> Result<Self> {
        let counter = |side: usize| Ok::<_, std::io::Error>(stage.events[side].try_clone()?.into());
        Ok(Self { outgoing: counter(stage.side)?, incoming: counter(1 - stage.side)? })
    }

    fn connect(&mut self, _stage: &Stage) -> Result<()> {
        Ok(())
    }

    fn send(&mut self, _words: usize, fill: impl FnOnce(&mut [u64])) -> Result<()> {
        fill(&mut []);
        Ok(self.outgoing.write_all(&1u64.to_ne_bytes())?)
    }

    fn receive<R>(&mut self, mut look: impl FnMut(&[u64]) -> R) -> Result<R> {
        let mut count = [0; 8];
        self.incoming.read_exact(&mut count)?;
        ensure!(u64::from_ne_bytes(count) == 1, "one event at a time");
        Ok(look(&[]))
    }
}

/// iceoryx2's events, which are what wakes its subscribers.
struct IceoryxEvent {
    notifier: Option<Notifier<ipc::Service>>,
    listener: Listener<ipc::Service>,
    node: Node<ipc::Service>,
}

impl Link for IceoryxEvent {
    fn make(stage: &Stage, _shape: Shape) -> Result<Self> {
        let node = node(stage)?;
        let name = service_name(stage, ["there", "back"][1 - stage.side])?;
        let listener = node.service_builder(&name).event().open_or_create()?.listener_builder().create()?;
        Ok(Self { notifier: None, listener, node })
    }

    fn connect(&mut self, stage: &Stage) -> Result<()> {
        let name = service_name(stage, ["there", "back"][stage.side])?;
        let service = self.node.service_builder(&name).event().open_or_create()?;
        self.notifier = Some(service.notifier_builder().create()?);
        Ok(())
    }

    fn send(&mut self, _words: usize, fill: impl FnOnce(&mut [u64])) -> Result<()> {
        fill(&mut []);
        let reached = self.notifier.as_ref().context("connect before you send")?.notify()?;
        ensure!(reached == 1, "one listener hears, not {reached}");
        Ok(())
    }

    fn receive<R>(&mut self, mut look: impl FnMut(&[u64]) -> R) -> Result<R> {
        while self.listener.blocking_wait(|_| ())? == 0 {}
        Ok(look(&[]))
    }
}
