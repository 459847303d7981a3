//! Until when to wait: a moment of the monotonic clock, which no change of the wall clock moves.

use std::time::Duration;

use rustix::time::{ClockId, Timespec, clock_gettime};

const NANOS_PER_SECOND: u64 = 1_000_000_000;

/// A moment until which a call may wait.
///
/// ```
/// use mapwright_core::peer::Deadline;
/// use std::time::Duration;
/// assert!(Deadline::now().has_passed() && !Deadline::never().has_passed());
/// let soon = Deadline::after(Duration::from_secs(5));
/// assert!(soon.remaining().unwrap() <= Duration::from_secs(5));
/// ```
///
/// # Kernel
/// clock_gettime(2) with `CLOCK_MONOTONIC`, which stands still while the machine sleeps.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Deadline {
    /// Nanoseconds on the monotonic clock; the greatest number for never.
    nanos: u64,
}

impl Deadline {
    /// Returns the deadline that never comes.
    #[must_use]
    pub const fn never() -> Self {
        Self { nanos: u64::MAX }
    }

    /// Returns a deadline that has come: a call with it tries once and does not wait.
    #[must_use]
    pub const fn now() -> Self {
        Self { nanos: 0 }
    }

    /// Returns the moment that is so far from now; never, where that is beyond five hundred years.
    #[must_use]
    pub fn after(duration: Duration) -> Self {
        let more = u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX);
        Self { nanos: clock().saturating_add(more) }
    }

    /// Returns whether it is past.
    #[must_use]
    pub fn has_passed(self) -> bool {
        self.nanos != u64::MAX && (self.nanos == 0 || clock() >= self.nanos)
    }

    /// Returns how long it is until then: `None` for never, zero where it is past.
    #[must_use]
    pub fn remaining(self) -> Option<Duration> {
        (self.nanos != u64::MAX).then(|| Duration::from_nanos(self.nanos.saturating_sub(clock())))
    }

    /// Returns the earlier one of two.
    #[must_use]
    pub fn earlier(self, other: Self) -> Self {
        self.min(other)
    }

    pub(super) fn timespec(self) -> Option<Timespec> {
        (self.nanos != u64::MAX).then(|| Timespec {
            tv_sec: i64::try_from(self.nanos / NANOS_PER_SECOND).unwrap_or(i64::MAX),
            tv_nsec: i64::try_from(self.nanos % NANOS_PER_SECOND).unwrap_or(0),
        })
    }
}

impl From<Duration> for Deadline {
    fn from(duration: Duration) -> Self {
        Self::after(duration)
    }
}

fn clock() -> u64 {
    let now = clock_gettime(ClockId::Monotonic);
    let (seconds, nanos) = (u64::try_from(now.tv_sec).unwrap_or(0), u64::try_from(now.tv_nsec).unwrap_or(0));
    seconds.saturating_mul(NANOS_PER_SECOND).saturating_add(nanos)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn never_is_later_than_everything_and_has_no_timespec() {
        let later = Deadline::after(Duration::MAX);
        assert_eq!(later, Deadline::never());
        assert_eq!((later.timespec(), later.remaining()), (None, None));
        assert_eq!(later.earlier(Deadline::now()), Deadline::now());
    }

    #[test]
    fn a_moment_passes() {
        let deadline = Deadline::after(Duration::from_millis(1));
        while !deadline.has_passed() {
            std::hint::spin_loop();
        }
        assert_eq!(deadline.remaining(), Some(Duration::ZERO));
    }
}
