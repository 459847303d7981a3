//! A real file system made to fail: FUSE, with one file whose reads and writes fail when told to.
//!
//! ```text
//!   test ── pread, mmap ──▶ kernel: page cache ── READ, WRITE ──▶ server process: bytes, a plan of failures
//!     └──── writes "read from 8192 5" into the file `control` ──────────▲
//! ```
//!
//! The server is a process of its own. In the test's process it could deadlock: a page fault waits for the
//! server with the address space locked, while the server's allocator wants to change it. It also lets a test
//! kill it, which is what a device that goes away looks like. The file is cached and mappable like any other
//! (no direct I/O).

mod server;

use super::mount::Mount;
use super::process::{Ended, Process};
use super::skip::{Need, Skip};
use super::suite::{role, suite};
use std::fmt;
use std::fs::File;
use std::os::fd::AsRawFd;
use std::path::{Path, PathBuf};
use std::str::FromStr;

suite!(tests: [plan_survives_its_text], roles: [serve]);

/// Which requests fail.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Operation {
    Read,
    Write,
    Sync,
}

/// Which of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum When {
    /// Those that touch this byte or one after it; a sync touches all.
    From(u64),
    /// Only the n-th from now on; the next one is the first.
    Nth(u64),
}

/// One planned failure.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Failure {
    operation: Operation,
    when: When,
    errno: i32,
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let operation = match self.operation {
            Operation::Read => "read",
            Operation::Write => "write",
            Operation::Sync => "sync",
        };
        let (when, number) = match self.when {
            When::From(offset) => ("from", offset),
            When::Nth(n) => ("nth", n),
        };
        write!(f, "{operation} {when} {number} {}", self.errno)
    }
}

impl FromStr for Failure {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let words: Vec<&str> = text.split_whitespace().collect();
        let [operation, when, number, errno] = words[..] else {
            return Err(format!("not four words: {text:?}"));
        };
        let number: u64 = number.parse().map_err(|error| format!("{number:?}: {error}"))?;
        Ok(Self {
            operation: match operation {
                "read" => Operation::Read,
                "write" => Operation::Write,
                "sync" => Operation::Sync,
                other => return Err(format!("not an operation: {other:?}")),
            },
            when: match when {
                "from" => When::From(number),
                "nth" => When::Nth(number),
                other => return Err(format!("not a time: {other:?}")),
            },
            errno: errno.parse().map_err(|error| format!("{errno:?}: {error}"))?,
        })
    }
}

/// The mounted file system; dropping it unmounts it and ends the server.
pub(crate) struct FailingFs {
    // Unmounts before the server is killed: an orderly end.
    mount: Mount,
    server: Option<Process>,
}

impl FailingFs {
    /// Mounts one whose file holds the first `length` bytes of `scratch::pattern`, and fails nothing yet.
    pub(crate) fn with_file_of(length: usize) -> Result<Self, Skip> {
        let device = File::options().read(true).write(true).open("/dev/fuse");
        let device = device.map_err(|error| Skip::new(Need::Fuse, format!("/dev/fuse: {error}")))?;
        let data = format!(
            "fd={},rootmode=40000,user_id={},group_id={},allow_other",
            device.as_raw_fd(),
            rustix::process::geteuid().as_raw(),
            rustix::process::getegid().as_raw(),
        );
        let mount = Mount::new("fuse", Path::new("mapwright"), &data)?;
        let server = Process::start_with_stdin(role!(serve), &[&length.to_string()], device.into());
        Ok(Self { mount, server: Some(server) })
    }

    /// The file.
    pub(crate) fn file(&self) -> PathBuf {
        self.mount.path().join(server::DATA_NAME)
    }

    /// From now on these requests fail with this error. Later plans add to earlier ones.
    pub(crate) fn fail(&self, operation: Operation, when: When, errno: i32) {
        self.control(&Failure { operation, when, errno }.to_string());
    }

    /// From now on nothing fails.
    pub(crate) fn heal(&self) {
        self.control(server::HEAL);
    }

    /// How many requests were made to fail so far.
    pub(crate) fn failed_count(&self) -> u64 {
        std::fs::read_to_string(self.mount.path().join(server::CONTROL_NAME)).unwrap().trim().parse().unwrap()
    }

    /// What the disk was asked to do since it was asked this last: `write 4096 100` for a hundred bytes at
    /// 4096, `sync data` and `sync all`, in the order in which they came.
    pub(crate) fn take_log(&self) -> Vec<String> {
        let log = std::fs::read_to_string(self.mount.path().join(server::LOG_NAME)).unwrap();
        log.lines().map(str::to_owned).collect()
    }

    /// The server dies and the file system with it: every request that is not served from the cache fails.
    pub(crate) fn unplug(&mut self) {
        let server = self.server.take().expect("unplugged once");
        assert_eq!(server.kill(), Ended::Signal(libc::SIGKILL));
    }

    fn control(&self, line: &str) {
        std::fs::write(self.mount.path().join(server::CONTROL_NAME), line).unwrap();
    }
}

use server::serve;

fn plan_survives_its_text() {
    for operation in [Operation::Read, Operation::Write, Operation::Sync] {
        for when in [When::From(0), When::From(u64::MAX), When::Nth(1)] {
            let failure = Failure { operation, when, errno: libc::EIO };
            assert_eq!(failure.to_string().parse(), Ok(failure));
        }
    }
    assert!("read from".parse::<Failure>().is_err());
    assert!("read until 1 5".parse::<Failure>().is_err());
}
