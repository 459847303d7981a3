//! Ctrl-C and its like: noticed, so that what was begun is ended in order; and waiting, which they cut short.

use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::iterator::Signals;
use signal_hook::low_level::emulate_default_handler;

use crate::outcome::Failure;

/// Whether somebody wants us to stop. A second signal ends the process as the first would have.
#[derive(Clone)]
pub(crate) struct Interrupt {
    state: Arc<State>,
}

struct State {
    came: Mutex<bool>,
    changed: Condvar,
}

impl Interrupt {
    /// Begins to watch for SIGINT, SIGTERM and SIGHUP.
    ///
    /// # Errors
    /// Where the handlers cannot be installed.
    pub(crate) fn watch() -> Result<Self, Failure> {
        let refused = |cause| Failure::os("watch for", "signals", cause);
        let mut signals = Signals::new([SIGINT, SIGTERM, SIGHUP]).map_err(refused)?;
        let interrupt = Self { state: Arc::new(State { came: Mutex::new(false), changed: Condvar::new() }) };
        let ours = interrupt.clone();
        let watch = move || {
            for signal in signals.forever() {
                if ours.note() {
                    let _ends_here = emulate_default_handler(signal);
                }
            }
        };
        thread::Builder::new().name("interrupt".into()).spawn(watch).map_err(refused)?;
        Ok(interrupt)
    }

    /// Notes a signal; returns whether there was one before.
    fn note(&self) -> bool {
        let mut came = self.state.came.lock().unwrap_or_else(PoisonError::into_inner);
        self.state.changed.notify_all();
        std::mem::replace(&mut came, true)
    }

    /// Whether a signal came.
    pub(crate) fn came(&self) -> bool {
        *self.state.came.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits for a signal.
    pub(crate) fn wait(&self) {
        let came = self.state.came.lock().unwrap_or_else(PoisonError::into_inner);
        let _came =
            self.state.changed.wait_while(came, |came| !*came).unwrap_or_else(PoisonError::into_inner);
    }

    /// Waits for some time; returns early, and true, where a signal comes.
    pub(crate) fn pause(&self, time: Duration) -> bool {
        let came = self.state.came.lock().unwrap_or_else(PoisonError::into_inner);
        let waited = self.state.changed.wait_timeout_while(came, time, |came| !*came);
        *waited.unwrap_or_else(PoisonError::into_inner).0
    }
}

/// Keeps work at or below a rate.
pub(crate) struct Pace {
    rate: Option<u64>,
    start: Instant,
    done: u64,
}

impl Pace {
    /// Begins now, at a rate in bytes a second, or without a limit.
    pub(crate) fn at(rate: Option<u64>) -> Self {
        Self { rate, start: Instant::now(), done: 0 }
    }

    /// Counts more bytes, and waits for as long as they were early. Returns whether a signal came.
    pub(crate) fn count(&mut self, bytes: u64, interrupt: &Interrupt) -> bool {
        self.done = self.done.saturating_add(bytes);
        interrupt.pause(self.early(self.start.elapsed()))
    }

    /// How much too early the bytes counted so far are, when this much time has passed.
    fn early(&self, passed: Duration) -> Duration {
        let Some(rate) = self.rate else { return Duration::ZERO };
        let nanoseconds = u128::from(self.done) * 1_000_000_000 / u128::from(rate);
        Duration::from_nanos(u64::try_from(nanoseconds).unwrap_or(u64::MAX)).saturating_sub(passed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_are_early_by_what_their_rate_says() {
        let mut pace = Pace::at(Some(1000));
        pace.done = 1500;
        assert_eq!(pace.early(Duration::from_secs(1)), Duration::from_millis(500));
        assert_eq!(pace.early(Duration::from_secs(2)), Duration::ZERO);
        assert_eq!(Pace::at(None).early(Duration::ZERO), Duration::ZERO);
    }

    #[test]
    fn a_signal_ends_a_pause_and_every_later_one() {
        let interrupt = Interrupt::watch().unwrap();
        assert!(!interrupt.pause(Duration::from_millis(1)));
        assert!(!interrupt.note());
        assert!(interrupt.pause(Duration::from_secs(3600)) && interrupt.came());
        interrupt.wait();
    }
}
