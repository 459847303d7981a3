//! Starting the program, and the files that it is started on.

use std::ffi::OsStr;
use std::fmt::Display;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use serde_json::Value;

/// How long anything here may take before the test gives up.
const PATIENCE: Duration = Duration::from_secs(60);

/// Every command that help lists.
pub(crate) const COMMANDS: [&str; 9] =
    ["tour", "show", "warm", "evict", "lock", "cat", "bench", "doctor", "share"];

/// What the program did.
pub(crate) struct Run {
    /// Its exit code.
    pub(crate) code: i32,
    /// What it wrote to stdout.
    pub(crate) out: String,
    /// What it wrote to stderr.
    pub(crate) err: String,
}

/// A command that will start the program, without the settings of whoever runs the tests.
pub(crate) fn program() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_mapwright"));
    for variable in ["NO_COLOR", "CLICOLOR", "CLICOLOR_FORCE", "COLUMNS", "LC_ALL", "LC_CTYPE", "LANG"] {
        command.env_remove(variable);
    }
    command.stdin(Stdio::null());
    command
}

/// Runs the program with arguments.
pub(crate) fn run<S: AsRef<OsStr>>(arguments: impl IntoIterator<Item = S>) -> Run {
    finish(program().args(arguments))
}

/// Runs a command to its end.
pub(crate) fn finish(command: &mut Command) -> Run {
    let Output { status, stdout, stderr } = command.output().unwrap();
    Run {
        code: status.code().unwrap_or_else(|| panic!("the program ended with {status}")),
        out: String::from_utf8_lossy(&stdout).into_owned(),
        err: String::from_utf8_lossy(&stderr).into_owned(),
    }
}

impl Run {
    /// The output as JSON.
    #[track_caller]
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.out)
            .unwrap_or_else(|error| panic!("{error} in {:?} ({})", self.out, self.err))
    }

    /// Checks how it ended, and shows why not.
    #[track_caller]
    pub(crate) fn ended(self, code: i32) -> Self {
        assert_eq!(self.code, code, "stdout: {}\nstderr: {}", self.out, self.err);
        self
    }
}

/// A folder on the disk that the program was built on, which is more likely a real one than /tmp.
pub(crate) struct Folder(tempfile::TempDir);

impl Folder {
    pub(crate) fn new() -> Self {
        Self(tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap())
    }

    pub(crate) fn path(&self) -> &Path {
        self.0.path()
    }

    /// Makes a file, whose bytes reach the disk so that they can be evicted.
    pub(crate) fn file(&self, name: impl AsRef<Path>, bytes: &[u8]) -> PathBuf {
        let path = self.0.path().join(name);
        std::fs::write(&path, bytes).unwrap();
        std::fs::File::open(&path).unwrap().sync_all().unwrap();
        path
    }
}

/// Bytes that differ from place to place.
pub(crate) fn bytes(len: usize) -> Vec<u8> {
    (0..len).map(|index| u8::try_from((index * 7 + index / 4096) % 251).unwrap()).collect()
}

/// Tries until something is so: caches are the whole machine's, and anybody may drop them at any moment.
#[track_caller]
pub(crate) fn eventually<T>(mut attempt: impl FnMut() -> Result<T, String>) -> T {
    let start = Instant::now();
    loop {
        match attempt() {
            Ok(value) => return value,
            Err(why) => assert!(start.elapsed() < PATIENCE, "still not so after {PATIENCE:?}: {why}"),
        }
    }
}

/// Says on standard error itself that a test cannot run here: the harness hides what a passing test prints.
///
/// `MAPWRIGHT_NO_SKIP=1` makes it a failure unless `MAPWRIGHT_MAY_SKIP` names the need.
pub(crate) fn skip(need: &str, why: impl Display) {
    static SKIPPED: AtomicUsize = AtomicUsize::new(0);
    let excused = std::env::var("MAPWRIGHT_MAY_SKIP").unwrap_or_default();
    let excused = excused.split(',').any(|name| name.trim() == need);
    let refused = std::env::var_os("MAPWRIGHT_NO_SKIP").is_some_and(|value| value == "1");
    assert!(excused || !refused, "skipped where MAPWRIGHT_NO_SKIP=1 forbids it: needs {need}: {why}");
    let count = SKIPPED.fetch_add(1, Ordering::Relaxed) + 1;
    let thread = std::thread::current();
    let test = thread.name().unwrap_or("a test");
    writeln!(std::io::stderr().lock(), "SKIPPED ({count}): {test}: needs {need}: {why}").unwrap();
}

/// Whether files in a folder can leave memory at all. Says so where they cannot.
pub(crate) fn can_evict(folder: &Folder) -> bool {
    let file = folder.file("can-evict", &bytes(65_536));
    let left = mapwright::evict(std::fs::File::open(file).unwrap(), ..).unwrap().cached;
    let can = left == Some(0);
    if !can {
        skip("disk", format!("{left:?} pages of a file in {} stay in memory", folder.path().display()));
    }
    can
}
