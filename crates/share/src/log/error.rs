//! What logs answer when nothing was appended or read.

use std::fmt;

use mapwright_core::Fault;

/// Why nothing was appended, or read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum LogError {
    /// There is no room for the record; a shorter one may fit.
    Full,
    /// The record is larger than all the room that was planned, or than a gibibyte.
    TooLarge,
    /// There is no record behind the last one yet, or its appender has not finished it.
    Empty,
    /// There was none until the deadline.
    TimedOut,
    /// The last record was read, and there is no room for another one.
    End,
    /// The shared memory is mapped for reading only.
    ReadOnly,
    /// What is there makes no sense: it was overwritten, or no record begins at that position.
    Damaged,
    /// The shared memory is gone: cut short by somebody, or this is a forked child that has to attach itself.
    Fault(Fault),
}

impl fmt::Display for LogError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Full => f.write_str("the log has no room for the record"),
            Self::TooLarge => f.write_str("the record is larger than all the room of the log"),
            Self::Empty => f.write_str("there is no record behind the last one yet"),
            Self::TimedOut => f.write_str("no record came before the deadline"),
            Self::End => f.write_str("the log is full, and its last record was read"),
            Self::ReadOnly => f.write_str("the memory is mapped for reading; open the segment for writing"),
            Self::Damaged => {
                f.write_str("no record begins there: another position is needed, or the log was overwritten")
            }
            Self::Fault(fault) => fault.fmt(f),
        }
    }
}

impl std::error::Error for LogError {}

impl From<Fault> for LogError {
    fn from(fault: Fault) -> Self {
        Self::Fault(fault)
    }
}
