//! Waiting for any of several things: in a call, by a file descriptor, or in async code.
//!
//! Whatever can be waited for has a [`Bell`] and knows whether it is ready ([`Waitable`]). A call waits for
//! up to 128 of them at once ([`wait_any`]). A [`Signal`] is a file descriptor that becomes readable when its
//! bell rings, for poll(2), epoll(7), and event loops; [`Ready`] gives futures, for any runtime. No thread is
//! made for a waiter: one thread of this process listens to the bells of all of them, and sleeps.
//!
//! ```text
//!   somebody rings ──▶ bell (shared memory) ──▶ wait_any: futex_waitv(2)
//!                                          └──▶ the process's listener ──▶ eventfd ──▶ poll, epoll
//!                                                                     └──▶ the task that waits
//! ```

mod listener;
mod ready;
mod signal;
pub(crate) mod socket;

use std::time::Duration;

use mapwright_core::peer::{
    Bell, Deadline, MAX_WAITS, Placed, Ticket, Waited, others_fence, wait_any as sleep_any,
};
use mapwright_core::{Error, ErrorKind, Result};

pub use ready::Ready;
pub use signal::Signal;

/// A sleeper looks around after so long: whoever should ring may have died. What that costs is said at
/// [`Bell`].
pub(crate) const LOOK_AFTER: Duration = Duration::from_millis(100);

/// Where a ringer may not have seen that somebody listens.
pub(crate) const LOOK_AFTER_BLIND: Duration = Duration::from_millis(5);

/// Something that becomes ready: a queue with a message in it, an event that was set.
pub trait Waitable {
    /// Returns the bell that rings when it may have become ready.
    fn bell(&self) -> Placed<Bell>;

    /// Tells whether waiting for it is over: a call on it now has an answer, even if that is somebody's
    /// death.
    fn is_ready(&self) -> bool;
}

/// Waits until one of several things is ready, at most until a deadline; returns the index of the first that
/// is, or `None`.
///
/// # Errors
/// `InvalidInput` where there are none, or more than 128.
///
/// # Kernel
/// futex_waitv(2) (Linux 5.16); without it, a millisecond on each in turn.
///
/// ```
/// use mapwright_share::{Deadline, Event, EventOptions, Segment, wait_any};
/// let segment = Segment::anonymous("doors")
///     .with::<Event>("front", EventOptions::Manual)
///     .with::<Event>("back", EventOptions::Manual)
///     .create()?;
/// let (front, back): (Event, Event) = (segment.get("front")?, segment.get("back")?);
/// back.set()?;
/// assert_eq!(wait_any(&[&front, &back], Deadline::never())?, Some(1));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn wait_any(things: &[&dyn Waitable], until: Deadline) -> Result<Option<usize>> {
    if things.is_empty() || things.len() > MAX_WAITS {
        let why = format!("{} things to wait for; 1 to {MAX_WAITS} are possible", things.len());
        return Err(Error::new(ErrorKind::InvalidInput, "wait for", "any of several", why));
    }
    let bells: Vec<Placed<Bell>> = things.iter().map(|thing| thing.bell()).collect();
    let ready = || things.iter().position(|thing| thing.is_ready());
    loop {
        if let Some(index) = ready() {
            return Ok(Some(index));
        }
        if until.has_passed() {
            return Ok(None);
        }
        let tickets: Vec<Ticket> = bells.iter().map(|bell| bell.listen()).collect();
        if let Some(index) = ready() {
            return Ok(Some(index));
        }
        let words: Vec<_> =
            bells.iter().zip(&tickets).map(|(bell, ticket)| (bell.word(), ticket.value())).collect();
        let slice = if others_fence() { LOOK_AFTER } else { LOOK_AFTER_BLIND };
        let _looked: Waited = sleep_any(&words, until.earlier(Deadline::after(slice)));
    }
}

#[cfg(all(test, not(any(loom, shuttle))))]
#[allow(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on fails")]
mod tests {
    use super::*;
    use mapwright_core::peer::{Ordering, Word32};
    use std::os::fd::AsFd;
    use std::sync::Arc;

    #[derive(Clone)]
    struct Flag(Placed<Bell>, Placed<Word32>);

    impl Flag {
        fn new() -> Self {
            Self(Placed::own(Bell::default()), Placed::own(Word32::new(0)))
        }

        fn set(&self, value: u32) {
            self.1.store(value, Ordering::Release);
            self.0.ring();
        }
    }

    impl Waitable for Flag {
        fn bell(&self) -> Placed<Bell> {
            self.0.clone()
        }

        fn is_ready(&self) -> bool {
            self.1.load(Ordering::Acquire) != 0
        }
    }

    #[test]
    fn the_first_that_is_ready_ends_the_wait() {
        let flags: Vec<Flag> = (0..MAX_WAITS).map(|_| Flag::new()).collect();
        let things: Vec<&dyn Waitable> = flags.iter().map(|flag| flag as &dyn Waitable).collect();
        assert_eq!(wait_any(&things, Deadline::now()).unwrap(), None);
        std::thread::scope(|scope| {
            scope.spawn(|| flags[100].set(1));
            assert_eq!(wait_any(&things, Deadline::never()).unwrap(), Some(100));
        });
        assert!(wait_any(&[], Deadline::now()).is_err());
        let too_many = vec![things[0]; MAX_WAITS + 1];
        assert!(wait_any(&too_many, Deadline::now()).is_err());
    }

    fn poll(signal: &Signal, milliseconds: i64) -> bool {
        let timeout =
            rustix::event::Timespec { tv_sec: milliseconds / 1000, tv_nsec: milliseconds % 1000 * 1_000_000 };
        let mut fds = [rustix::event::PollFd::new(signal, rustix::event::PollFlags::IN)];
        rustix::event::poll(&mut fds, Some(&timeout)).unwrap() == 1
    }

    #[test]
    fn a_signal_becomes_readable_when_the_bell_rings_and_only_then() {
        let flag = Flag::new();
        let signal = Signal::of(Arc::new(flag.clone())).unwrap();
        assert!(!signal.arm() && !poll(&signal, 0));
        flag.set(1);
        assert!(poll(&signal, 20_000));
        signal.clear();
        assert!(signal.arm(), "ready already: no need to poll");
        flag.set(0);
        signal.clear();
        assert!(!signal.arm() && !poll(&signal, 0));
    }

    #[test]
    fn a_task_is_woken_when_the_bell_rings_in_any_runtime() {
        let flags: Vec<Flag> = (0..100).map(|_| Flag::new()).collect();
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).build().unwrap();
        let tasks: Vec<_> = flags
            .iter()
            .map(|flag| {
                let ready = Ready::new(flag.clone()).unwrap();
                runtime.spawn(async move { ready.wait().await })
            })
            .collect();
        flags.iter().for_each(|flag| flag.set(1));
        runtime.block_on(async {
            for task in tasks {
                task.await.unwrap();
            }
        });
    }

    #[test]
    fn many_signals_share_one_listener() {
        let flags: Vec<Flag> = (0..300).map(|_| Flag::new()).collect();
        let signals: Vec<Signal> =
            flags.iter().map(|flag| Signal::of(Arc::new(flag.clone())).unwrap()).collect();
        for (flag, signal) in flags.iter().zip(&signals) {
            assert!(!signal.arm());
            flag.set(1);
            assert!(poll(signal, 20_000));
        }
        drop(signals);
        let signal = Signal::of(Arc::new(flags[0].clone())).unwrap();
        assert!(signal.arm() && signal.as_fd().try_clone_to_owned().is_ok());
    }

    /// A thing on whose behalf nobody ever rings: its readiness is told by the clock.
    fn silent(flag: &Flag) {
        flag.1.store(1, Ordering::Release);
    }

    #[test]
    fn what_becomes_ready_without_a_ring_is_found_however_busy_other_bells_are() {
        let (dead, busy, calm) = (Flag::new(), Flag::new(), Flag::new());
        let signal = Signal::of(Arc::new(dead.clone())).unwrap();
        let [other, third] = [&busy, &calm].map(|flag| Signal::of(Arc::new(flag.clone())).unwrap());
        assert!(!signal.arm() && !third.arm());
        let ready = Ready::new(dead.clone()).unwrap();
        let is_over = std::sync::atomic::AtomicBool::new(false);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                while !is_over.load(Ordering::Relaxed) {
                    let _not_ready = other.arm();
                    busy.0.ring();
                }
            });
            let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
            silent(&dead);
            let found = poll(&signal, 20_000);
            silent(&dead);
            runtime.block_on(ready.wait());
            is_over.store(true, Ordering::Relaxed);
            assert!(found, "nobody rang, and nobody looked");
        });
        assert!(!poll(&third, 0), "what is not ready is not told of");
    }

    #[test]
    fn the_death_of_the_only_publisher_is_told_by_a_signal_and_to_a_task() {
        use crate::{Policy, Segment, Start, Topic, TopicOptions};
        use mapwright_core::peer::points::{Child, End};
        let segment = Segment::anonymous("news").with::<Topic<u64>>("topic", TopicOptions::new(8)).create();
        let segment = segment.unwrap();
        let (mut here, mut there) = std::os::unix::net::UnixStream::pair().unwrap();
        let child = Child::fork(|| {
            let segment = segment.reattach().unwrap();
            let _publisher = segment.get::<Topic<u64>>("topic").unwrap().publisher().unwrap();
            std::io::Write::write_all(&mut there, b"x").unwrap();
            loop {
                std::thread::park();
            }
        });
        std::io::Read::read_exact(&mut here, &mut [0]).unwrap();
        let topic = segment.get::<Topic<u64>>("topic").unwrap();
        let subscribe = || topic.subscribe(Policy::DropOldest, Start::Newest).unwrap();
        let signal = Signal::of(Arc::new(subscribe())).unwrap();
        let ready = Ready::new(subscribe()).unwrap();
        assert!(!signal.arm());
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).build().unwrap();
        let task = runtime.spawn(async move { ready.wait().await });
        child.kill();
        assert_eq!(child.wait(), End::Killed(9));
        assert!(poll(&signal, 20_000));
        runtime.block_on(task).unwrap();
    }

    #[test]
    fn a_task_that_panics_when_it_is_woken_takes_nobody_with_it() {
        struct Rude;
        impl std::task::Wake for Rude {
            fn wake(self: Arc<Self>) {
                std::panic::resume_unwind(Box::new("rude"));
            }
        }
        let (flag, other) = (Flag::new(), Flag::new());
        let ready = Ready::new(flag.clone()).unwrap();
        let waker = std::task::Waker::from(Arc::new(Rude));
        let mut wait = std::pin::pin!(ready.wait());
        let mut context = std::task::Context::from_waker(&waker);
        assert!(Future::poll(wait.as_mut(), &mut context).is_pending());
        let signal = Signal::of(Arc::new(other.clone())).unwrap();
        assert!(!signal.arm());
        flag.set(1);
        other.set(1);
        assert!(poll(&signal, 20_000));
        signal.clear();
        other.set(0);
        assert!(!signal.arm());
        other.set(1);
        assert!(poll(&signal, 20_000), "the thread still listens");
    }

    #[test]
    fn a_forked_child_has_a_listener_of_its_own() {
        use mapwright_core::peer::points::{Child, End};
        let flag = Flag::new();
        let inherited = Signal::of(Arc::new(flag.clone())).unwrap();
        let end = Child::fork(|| {
            // The parent's is left as it is: neither armed nor taken back.
            assert!(!inherited.arm());
            let mine = Signal::of(Arc::new(flag.clone())).unwrap();
            assert!(!mine.arm());
            flag.set(1);
            assert!(poll(&mine, 20_000));
        });
        assert_eq!(end.wait(), End::Exited(0));
        assert!(!inherited.arm());
        flag.set(1);
        assert!(poll(&inherited, 20_000));
    }
}
