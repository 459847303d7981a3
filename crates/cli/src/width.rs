//! Lengths in files are `u64`, lengths in memory `usize`: both are 64 bits on every platform that we build
//! for.

/// A length in memory as one in a file.
pub(crate) fn wide(bytes: usize) -> u64 {
    u64::try_from(bytes).unwrap_or(u64::MAX)
}

/// A length in a file as one in memory.
pub(crate) fn narrow(bytes: u64) -> usize {
    usize::try_from(bytes).unwrap_or(usize::MAX)
}
