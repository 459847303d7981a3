//! What tables answer when an entry was not written.

use std::fmt;

use mapwright_core::Fault;

/// Why an entry was not written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum TableError {
    /// The key's part of the table has no room.
    Full,
    /// The key has more bytes than was planned.
    TooLong,
    /// The shared memory is gone: cut short by somebody, or this is a forked child that has to attach itself.
    Fault(Fault),
}

impl fmt::Display for TableError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Full => f.write_str("the table is full; remove entries, or plan a larger capacity"),
            Self::TooLong => {
                f.write_str("the key has more bytes than was planned; see TableOptions::key_bytes")
            }
            Self::Fault(fault) => fault.fmt(f),
        }
    }
}

impl std::error::Error for TableError {}

impl From<Fault> for TableError {
    fn from(fault: Fault) -> Self {
        Self::Fault(fault)
    }
}
