//! What snapshots answer when there is no value, or no place for a writer.

use std::fmt;

use mapwright_core::Fault;
use mapwright_core::peer::Identity;

/// Why no value was read, or published.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum SnapshotError {
    /// The writer published as many values as there are cells during each of a few copies.
    Lapped,
    /// The deadline came first.
    TimedOut,
    /// The bytes are more than any value can have here.
    TooLarge,
    /// What is there makes no sense: somebody overwrote it. The next publication repairs it.
    Damaged,
    /// The shared memory is gone: cut short by somebody, or this is a forked child that has to attach itself.
    Fault(Fault),
}

/// Why this is not the writer now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum WriterError {
    /// Somebody else is, and lives. (It may be another thread of this process.)
    Taken(Identity),
    /// The shared memory is mapped for reading only.
    ReadOnly,
    /// The shared memory is gone: cut short by somebody, or this is a forked child that has to attach itself.
    Fault(Fault),
}

impl fmt::Display for SnapshotError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Lapped => f.write_str("the writer was faster than each of a few copies; try again"),
            Self::TimedOut => f.write_str("the deadline came first"),
            Self::TooLarge => f.write_str("the bytes are more than any value can have here"),
            Self::Damaged => {
                f.write_str("the snapshot was overwritten by somebody; publish a value to repair it")
            }
            Self::Fault(fault) => fault.fmt(f),
        }
    }
}

impl fmt::Display for WriterError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Taken(who) => write!(f, "{who:?} is the writer, and alive"),
            Self::ReadOnly => f.write_str("the memory is mapped for reading; open the segment for writing"),
            Self::Fault(fault) => fault.fmt(f),
        }
    }
}

impl std::error::Error for SnapshotError {}
impl std::error::Error for WriterError {}

impl From<Fault> for SnapshotError {
    fn from(fault: Fault) -> Self {
        Self::Fault(fault)
    }
}
