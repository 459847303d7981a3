//! Tests of frozen bytes, and what they share: skips, forked children, file systems of their own.

#![allow(
    unsafe_code,
    reason = "tests fork, mount, and store where they must not; listed in docs/SOUNDNESS.md"
)]

mod mem_file;
mod racy;
mod reflink;
mod slice;
mod snapshot;
mod verity;

use std::fmt::Display;
use std::io::{Read, Write};
use std::os::fd::{AsRawFd, FromRawFd};
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{Command, ExitStatus};
use std::sync::atomic::{AtomicUsize, Ordering};

/// Says on standard error itself that a test cannot run here: the harness hides what a passing test prints.
///
/// `MAPWRIGHT_NO_SKIP=1` makes it a failure unless `MAPWRIGHT_MAY_SKIP` names the need.
fn skip(need: &str, why: impl Display) {
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

/// How a forked child ended.
#[derive(Debug)]
struct Ended {
    status: ExitStatus,
    stderr: String,
}

impl Ended {
    /// Checks that the child died of a signal, after our handler had passed it on.
    #[track_caller]
    fn died_of(&self, signal: i32) {
        // AddressSanitizer's own handler stands behind ours, and exits.
        let told = self.stderr.contains("AddressSanitizer:DEADLYSIGNAL");
        assert!(self.status.signal() == Some(signal) || told, "{self:?}");
    }
}

/// Runs `child` in a forked child, at most for a minute: it ends with 0, or 101 where it panics.
///
/// The child has one thread, whatever the harness runs beside it; glibc lets it allocate, and the fault
/// handler must be installed before.
fn forked(child: impl FnOnce()) -> Ended {
    crate::fault::handler::install();
    let (mut reader, writer) = std::io::pipe().unwrap();
    // SAFETY: the child only runs the closure and leaves by _exit: no destructor or lock of another
    // thread is touched.
    match unsafe { libc::fork() } {
        -1 => panic!("fork: {}", std::io::Error::last_os_error()),
        0 => {
            // SAFETY: takes a number; SIGALRM then ends a child that hangs.
            unsafe { libc::alarm(60) };
            // SAFETY: both descriptors are open.
            unsafe { libc::dup2(writer.as_raw_fd(), 2) };
            let result = std::panic::catch_unwind(std::panic::AssertUnwindSafe(child));
            // SAFETY: ends the child without running what belongs to the parent.
            unsafe { libc::_exit(if result.is_ok() { 0 } else { 101 }) }
        }
        id => {
            drop(writer);
            let mut stderr = String::new();
            reader.read_to_string(&mut stderr).unwrap();
            let mut status = 0;
            // SAFETY: the status is a local; the child is ours and was not waited for.
            assert_eq!(unsafe { libc::waitpid(id, &raw mut status, 0) }, id);
            Ended { status: ExitStatus::from_raw(status), stderr }
        }
    }
}

/// Stores one byte as code without a guard would.
///
/// # Safety
/// In a child that may die of it.
unsafe fn store_unguarded(place: *const u8, byte: u8) {
    // SAFETY: by this function's contract, nobody uses what is broken by it.
    unsafe { place.cast_mut().write_volatile(byte) };
}

/// Runs `test` with the folder of a fresh file system, on a thread whose mounts nobody else sees and
/// nothing outlives.
fn on_file_system(kind: &str, make: &[&str], test: impl FnOnce(&Path) + Send + 'static) {
    let (kind, make) = (kind.to_owned(), make.iter().map(|&word| word.to_owned()).collect::<Vec<_>>());
    let name = std::thread::current().name().map(str::to_owned).unwrap_or_default();
    let thread = std::thread::Builder::new().name(name);
    thread.spawn(move || mounted(&kind, &make, test)).unwrap().join().unwrap();
}

fn mounted(kind: &str, make: &[String], test: impl FnOnce(&Path)) {
    // SAFETY: gives this thread a mount table (and so a working folder) of its own; descriptors stay
    // shared.
    if unsafe { libc::unshare(libc::CLONE_NEWNS) } != 0 {
        return skip(kind, format!("mounts of our own: {}", std::io::Error::last_os_error()));
    }
    let folder = tempfile::tempdir().unwrap();
    let (image, mount) = (folder.path().join("image"), folder.path().join("mount"));
    std::fs::File::create_new(&image).unwrap().set_len(512 << 20).unwrap();
    std::fs::create_dir(&mount).unwrap();
    let [image, mount] = [image.to_str().unwrap(), mount.to_str().unwrap()];
    let made = [make, &[image.to_owned()]].concat();
    let made: Vec<_> = made.iter().map(String::as_str).collect();
    for command in
        [&made[..], &["mount", "--make-rprivate", "/"], &["mount", "-t", kind, "-o", "loop", image, mount]]
    {
        match Command::new(command[0]).args(&command[1..]).output() {
            Ok(output) if output.status.success() => {}
            Ok(output) => {
                let said = String::from_utf8_lossy(&output.stderr).into_owned();
                return skip(kind, format!("{}: {}", command[0], said.trim()));
            }
            Err(error) => return skip(kind, format!("{}: {error}", command[0])),
        }
    }
    let result = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| test(Path::new(mount))));
    let unmounted = Command::new("umount").args(["-l", mount]).status().unwrap();
    assert!(unmounted.success(), "umount {mount}: {unmounted}");
    result.unwrap();
}

/// Bytes of which no two pages are alike.
fn pattern(len: usize) -> Vec<u8> {
    (0..len).map(|at| (at ^ (at >> 12).wrapping_mul(0x9E37)).to_le_bytes()[0]).collect()
}

/// Opens a raw descriptor's file once more, sharing nothing but the file.
fn duplicate(file: &impl AsRawFd) -> std::fs::File {
    // SAFETY: duplicates an open descriptor.
    let copy = unsafe { libc::dup(file.as_raw_fd()) };
    assert!(copy >= 0, "dup: {}", std::io::Error::last_os_error());
    // SAFETY: the new descriptor belongs to nobody else.
    unsafe { std::fs::File::from_raw_fd(copy) }
}
