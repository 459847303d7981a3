//! Files to map, and ways to look at what the kernel has mapped.

#![allow(unsafe_code, reason = "asks the kernel what only libc can ask")]

use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::os::fd::{AsRawFd, FromRawFd};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use tempfile::TempDir;

/// A file in a folder of its own, so that its path is found nowhere else in `/proc/self/maps`.
pub(crate) struct Scratch {
    folder: TempDir,
}

impl Scratch {
    /// A folder on the disk that holds the build.
    pub(crate) fn new() -> Self {
        Self { folder: TempDir::new_in(env!("CARGO_TARGET_TMPDIR")).unwrap() }
    }

    pub(crate) fn path(&self) -> PathBuf {
        self.folder.path().join("file")
    }

    /// The file, open for reading and writing, with these bytes.
    pub(crate) fn with(&self, bytes: &[u8]) -> File {
        let mut file = self.open();
        file.write_all(bytes).unwrap();
        file
    }

    /// The file, open for reading and writing, with this many zeros.
    pub(crate) fn of_len(&self, len: u64) -> File {
        let file = self.open();
        file.set_len(len).unwrap();
        file
    }

    fn open(&self) -> File {
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(true).truncate(true).open(self.path()).unwrap()
    }

    /// The lines of `/proc/self/smaps` about mappings of the file.
    pub(crate) fn mappings(&self) -> Vec<String> {
        mappings_of(&self.path())
    }
}

/// What `/proc/self/smaps` says of each mapping of a file, one text each.
pub(crate) fn mappings_of(path: &Path) -> Vec<String> {
    let smaps = fs::read_to_string("/proc/self/smaps").unwrap();
    let path = path.to_str().unwrap();
    let mut found: Vec<String> = Vec::new();
    let mut inside = false;
    for line in smaps.lines() {
        // A mapping's first line begins with its addresses, the others with a word and a colon.
        if line.split_whitespace().next().is_some_and(|word| word.contains('-')) {
            inside = line.ends_with(path);
            if inside {
                found.push(String::new());
            }
        }
        if let Some(text) = found.last_mut().filter(|_| inside) {
            text.push_str(line);
            text.push('\n');
        }
    }
    found
}

/// Waits until something holds, or fails by name.
#[track_caller]
pub(crate) fn wait_until(what: &str, mut holds: impl FnMut() -> bool) {
    let limit = Instant::now() + Duration::from_secs(20);
    while !holds() {
        assert!(Instant::now() < limit, "waited in vain: {what}");
        std::thread::yield_now();
    }
}

/// Says that a test did not run, past the test runner's capture.
pub(crate) fn skip(test: &str, why: &str) {
    assert!(
        std::env::var_os("MAPWRIGHT_NO_SKIP").is_none_or(|value| value != "1"),
        "{test} would be skipped where MAPWRIGHT_NO_SKIP=1 forbids it: {why}"
    );
    let line = format!("SKIPPED {test}: {why}\n");
    std::io::stderr().write_all(line.as_bytes()).unwrap();
}

/// A file in memory that can be sealed.
pub(crate) fn memory_file(bytes: &[u8]) -> File {
    // SAFETY: the name is a C string; the flag allows seals.
    let fd = unsafe { libc::memfd_create(c"test".as_ptr(), libc::MFD_ALLOW_SEALING | libc::MFD_CLOEXEC) };
    assert!(fd >= 0, "memfd_create: {}", std::io::Error::last_os_error());
    // SAFETY: the kernel has just made this descriptor for us.
    let mut file = unsafe { File::from_raw_fd(fd) };
    file.write_all(bytes).unwrap();
    file
}

/// Seals a file in memory; says whether the kernel agreed.
pub(crate) fn seal(file: &File, seals: i32) -> bool {
    // SAFETY: takes an open descriptor and numbers.
    unsafe { libc::fcntl(file.as_raw_fd(), libc::F_ADD_SEALS, seals) == 0 }
}

/// Runs something in a forked child and returns the signal that ended it, or its exit code as an error.
///
/// # Safety
/// The child must do nothing but touch memory: other threads' locks were held when it was forked.
pub(crate) unsafe fn signal_that_ends(work: impl FnOnce()) -> Result<i32, i32> {
    // SAFETY: the child does only what this function's contract allows, and then ends without unwinding.
    let child = unsafe { libc::fork() };
    assert!(child >= 0, "fork: {}", std::io::Error::last_os_error());
    if child == 0 {
        let none = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
        // SAFETY: sets a limit from a local structure: no core file is wanted.
        unsafe { libc::setrlimit(libc::RLIMIT_CORE, &raw const none) };
        work();
        // SAFETY: ends the child at once.
        unsafe { libc::_exit(0) };
    }
    let mut status = 0;
    // SAFETY: waits for our own child.
    let waited = unsafe { libc::waitpid(child, &raw mut status, 0) };
    assert_eq!(waited, child);
    if libc::WIFSIGNALED(status) { Ok(libc::WTERMSIG(status)) } else { Err(libc::WEXITSTATUS(status)) }
}

/// The size of a page.
pub(crate) fn page() -> usize {
    // SAFETY: asks for a number.
    usize::try_from(unsafe { libc::sysconf(libc::_SC_PAGESIZE) }).unwrap()
}

/// The number of free huge pages of the system's default size, and that size.
pub(crate) fn huge_pages() -> (usize, usize) {
    let text = fs::read_to_string("/proc/meminfo").unwrap();
    let number = |name: &str| {
        let line = text.lines().find(|line| line.starts_with(name))?;
        line.split_whitespace().nth(1)?.parse::<usize>().ok()
    };
    (number("HugePages_Free:").unwrap_or(0), number("Hugepagesize:").unwrap_or(0) << 10)
}
