//! Page faults of this process, all threads together.

use std::ops::{Add, Sub};

/// Counts of page faults: minor ones needed no disk, major ones did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Faults {
    pub(crate) minor: u64,
    pub(crate) major: u64,
}

impl Faults {
    /// The faults since the process began.
    pub(crate) fn so_far() -> Self {
        let mut usage = std::mem::MaybeUninit::<libc::rusage>::uninit();
        // SAFETY: the pointer is valid for writes of one rusage.
        let status = unsafe { libc::getrusage(libc::RUSAGE_SELF, usage.as_mut_ptr()) };
        assert_eq!(status, 0, "getrusage(RUSAGE_SELF) cannot fail with a valid pointer");
        // SAFETY: the call has succeeded, so it has filled the structure.
        let usage = unsafe { usage.assume_init() };
        Self { minor: usage.ru_minflt as u64, major: usage.ru_majflt as u64 }
    }
}

impl Sub for Faults {
    type Output = Self;

    fn sub(self, before: Self) -> Self {
        Self { minor: self.minor - before.minor, major: self.major - before.major }
    }
}

impl Add for Faults {
    type Output = Self;

    fn add(self, more: Self) -> Self {
        Self { minor: self.minor + more.minor, major: self.major + more.major }
    }
}
