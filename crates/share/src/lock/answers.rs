//! What locks answer, beside [`LockError`](crate::LockError).

use std::fmt;

use mapwright_core::Fault;
use mapwright_core::peer::Identity;

/// Why a lock is poisoned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Poison {
    /// A holder died, and whoever was told of it did not repair the value.
    OwnerDied,
    /// A thread panicked while it held the lock.
    Panicked,
}

/// Why something was not waited for to its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum WaitError {
    /// The deadline came first; of a call that does not wait: not now.
    TimedOut,
    /// The shared memory is gone: cut short by somebody, or this is a forked child that has to attach itself.
    Fault(Fault),
}

/// How a barrier let somebody through.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Arrival {
    /// As the one that opened it, one each time. (None, where that one died doing so.)
    Leader,
    /// As one of the others.
    Follower,
}

/// Why a barrier let nobody through.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum BarrierError {
    /// A member died. Nobody gets through until [`Barrier::reset`](crate::Barrier::reset).
    Broken {
        /// One that died; `None` where somebody has overwritten its name.
        who: Option<Identity>,
    },
    /// All places are taken.
    Full,
    /// The deadline came first. The arrival was taken back.
    TimedOut,
    /// The shared memory is gone: cut short by somebody, or this is a forked child that has to attach itself.
    Fault(Fault),
}

/// How a once-only run came to its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Called {
    /// It had been run already.
    Already,
    /// It was run here.
    Ran,
    /// It was run here, after somebody died running it.
    TookOver(Identity),
}

impl fmt::Display for Poison {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::OwnerDied => "a holder died, and what it left was not repaired",
            Self::Panicked => "a thread panicked while it held the lock",
        })
    }
}

impl fmt::Display for WaitError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TimedOut => f.write_str("it did not happen before the deadline"),
            Self::Fault(fault) => fault.fmt(f),
        }
    }
}

impl fmt::Display for BarrierError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Broken { who: Some(who) } => write!(f, "{who:?} died; reset the barrier"),
            Self::Broken { who: None } => f.write_str("a member died; reset the barrier"),
            Self::Full => f.write_str("all places of the barrier are taken; wait for a member to leave"),
            Self::TimedOut => f.write_str("not all members arrived before the deadline"),
            Self::Fault(fault) => fault.fmt(f),
        }
    }
}

impl std::error::Error for WaitError {}
impl std::error::Error for BarrierError {}

impl From<Fault> for WaitError {
    fn from(fault: Fault) -> Self {
        Self::Fault(fault)
    }
}

impl From<Fault> for BarrierError {
    fn from(fault: Fault) -> Self {
        Self::Fault(fault)
    }
}
