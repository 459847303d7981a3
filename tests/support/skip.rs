//! Skips: loud, counted, and refused where everything is expected to run.
//!
//! A test that lacks something returns a [`Skip`]. The runner shows it as ignored with its reason, and all
//! are listed again at the end, where nobody overlooks them. With `MAPWRIGHT_NO_SKIP=1` it fails the test
//! instead, unless `MAPWRIGHT_MAY_SKIP` (names of [`Need`]s, separated by commas) excuses it.

use libtest_mimic::{Completion, Failed};
use std::fmt;
use std::sync::Mutex;

/// What a test may lack.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Need {
    /// The rights to mount: root, or user namespaces.
    Mount,
    /// `/dev/fuse`.
    Fuse,
    /// The program `mapwright`, or cargo to build it.
    Program,
    /// Real root, with the rights that come with it.
    Root,
    /// A disk under the build's folder for temporary files.
    Disk,
    /// cachestat(2), Linux 6.5.
    Cachestat,
    /// Free huge pages, or the right to have some reserved.
    HugePages,
    /// memfd_secret(2), which must be turned on.
    Secret,
    /// mseal(2), Linux 6.10.
    Mseal,
    /// A folder for files with fs-verity: `MAPWRIGHT_TEST_VERITY_DIR`.
    Verity,
    /// A processor that runs our code itself: an emulator cannot be traced.
    Ptrace,
    /// Memory that may be promised to more than have it: `vm.overcommit_memory` other than 2.
    Overcommit,
    /// Bringing memory in without touching it (`MADV_POPULATE_WRITE`, Linux 5.14).
    Populate,
    /// A loop device, and `mkfs.xfs` with the kernel's xfs.
    Xfs,
    /// A wall clock that may be changed without harm: `MAPWRIGHT_CLOCK_IS_FREE=1`, and root.
    Clock,
    /// The program `mapwright-peer`, or cargo and rustup's target for musl to build it.
    Musl,
    /// A kernel that filters system calls (an emulator of programs does not).
    Seccomp,
}

impl fmt::Display for Need {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Mount => "mount",
            Self::Fuse => "fuse",
            Self::Program => "program",
            Self::Root => "root",
            Self::Disk => "disk",
            Self::Cachestat => "cachestat",
            Self::HugePages => "hugepages",
            Self::Secret => "secret",
            Self::Mseal => "mseal",
            Self::Verity => "verity",
            Self::Ptrace => "ptrace",
            Self::Overcommit => "overcommit",
            Self::Populate => "populate",
            Self::Xfs => "xfs",
            Self::Clock => "clock",
            Self::Musl => "musl",
            Self::Seccomp => "seccomp",
        })
    }
}

/// Why a test cannot run here.
#[derive(Debug, Clone, PartialEq, Eq)]
#[must_use]
pub(crate) struct Skip {
    pub(crate) need: Need,
    pub(crate) why: String,
}

impl Skip {
    pub(crate) fn new(need: Need, why: impl fmt::Display) -> Self {
        Self { need, why: why.to_string() }
    }
}

impl fmt::Display for Skip {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "needs {}: {}", self.need, self.why)
    }
}

/// The tests that were skipped so far, with their reasons.
static SKIPPED: Mutex<Vec<String>> = Mutex::new(Vec::new());

/// Turns a test's verdict into the runner's, counting a skip or refusing it.
pub(crate) fn judge(test: &str, verdict: Result<(), Skip>) -> Result<Completion, Failed> {
    let Err(skip) = verdict else { return Ok(Completion::Completed) };
    let excused = std::env::var("MAPWRIGHT_MAY_SKIP").unwrap_or_default();
    if std::env::var_os("MAPWRIGHT_NO_SKIP").is_some_and(|value| value == "1")
        && !is_excused(skip.need, &excused)
    {
        return Err(format!("skipped where MAPWRIGHT_NO_SKIP=1 forbids it: {skip}").into());
    }
    SKIPPED.lock().unwrap().push(format!("{test}: {skip}"));
    Ok(Completion::ignored_with(skip))
}

/// Whether the list (`xfs,verity`) names this need.
pub(crate) fn is_excused(need: Need, list: &str) -> bool {
    list.split(',').any(|name| name.trim() == need.to_string())
}

/// Says at the end of a run how many tests did not run, and why not.
pub(crate) fn print_summary() {
    let skipped = SKIPPED.lock().unwrap();
    if !skipped.is_empty() {
        eprintln!(
            "SKIPPED: {} (MAPWRIGHT_NO_SKIP=1 makes each a failure)\n  {}",
            skipped.len(),
            skipped.join("\n  ")
        );
    }
}
