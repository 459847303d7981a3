//! What calls on shared structures answer when they do not succeed at once.
//!
//! Full, empty, too late and somebody's death are answers, not failures of the world: small enums, to be
//! matched.

use std::fmt;

use mapwright_core::Fault;

/// Why a lock was not simply taken. The death of the last holder comes with the lock itself.
#[derive(Debug)]
#[non_exhaustive]
pub enum LockError<G> {
    /// The last holder died while it held the lock. It is yours now; what it protects may be half changed.
    OwnerDied(G),
    /// Somebody did not repair what a dead holder left. It stays so until it is repaired explicitly.
    Poisoned,
    /// The deadline came first.
    TimedOut,
    /// This thread holds the lock already.
    Deadlock,
    /// The shared memory is gone: cut short by somebody, or this is a forked child that has to attach itself.
    Fault(Fault),
}

/// Why a message was not sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum SendError {
    /// There is no room now.
    Full,
    /// There was no room until the deadline.
    TimedOut,
    /// The message is larger than any message can be here.
    TooLarge,
    /// There were receivers, and none is left alive.
    NoReceiver,
    /// The shared memory is gone: cut short by somebody, or this is a forked child that has to attach itself.
    Fault(Fault),
}

/// Why no message was received.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ReceiveError {
    /// There is none now.
    Empty,
    /// There was none until the deadline.
    TimedOut,
    /// So many messages were overwritten before they were read; the next call goes on behind them.
    Missed(u64),
    /// There were senders, and none is left alive; all that they sent has been received.
    NoSender,
    /// The shared memory is gone: cut short by somebody, or this is a forked child that has to attach itself.
    Fault(Fault),
}

impl<G> LockError<G> {
    /// Lets go of what came with the error, so that it can be passed up with `?`. A dead holder's lock that
    /// was not repaired is poisoned by that.
    pub fn without_lock(self) -> LockError<()> {
        match self {
            Self::OwnerDied(_) => LockError::OwnerDied(()),
            Self::Poisoned => LockError::Poisoned,
            Self::TimedOut => LockError::TimedOut,
            Self::Deadlock => LockError::Deadlock,
            Self::Fault(fault) => LockError::Fault(fault),
        }
    }
}

impl<G> fmt::Display for LockError<G> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::OwnerDied(_) => {
                f.write_str("the last holder died while it held the lock; repair what it protects")
            }
            Self::Poisoned => {
                f.write_str("a dead holder's changes were never repaired; repair them explicitly")
            }
            Self::TimedOut => f.write_str("the lock was not free before the deadline"),
            Self::Deadlock => f.write_str("this thread holds the lock already"),
            Self::Fault(fault) => fault.fmt(f),
        }
    }
}

impl fmt::Display for SendError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Full => f.write_str("there is no room now"),
            Self::TimedOut => f.write_str("there was no room before the deadline"),
            Self::TooLarge => f.write_str("the message is larger than any that fits"),
            Self::NoReceiver => f.write_str("no receiver is left alive"),
            Self::Fault(fault) => fault.fmt(f),
        }
    }
}

impl fmt::Display for ReceiveError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Empty => f.write_str("there is no message now"),
            Self::TimedOut => f.write_str("no message came before the deadline"),
            Self::Missed(count) => write!(f, "{count} messages were overwritten before they were read"),
            Self::NoSender => f.write_str("no sender is left alive"),
            Self::Fault(fault) => fault.fmt(f),
        }
    }
}

impl<G: fmt::Debug> std::error::Error for LockError<G> {}
impl std::error::Error for SendError {}
impl std::error::Error for ReceiveError {}

impl<G> From<Fault> for LockError<G> {
    fn from(fault: Fault) -> Self {
        Self::Fault(fault)
    }
}

impl From<Fault> for SendError {
    fn from(fault: Fault) -> Self {
        Self::Fault(fault)
    }
}

impl From<Fault> for ReceiveError {
    fn from(fault: Fault) -> Self {
        Self::Fault(fault)
    }
}
