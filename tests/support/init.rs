//! The test binary as init of a small virtual machine: mounts what the tests expect, runs them in a child, collects the
//! orphans, prints the exit code and switches the machine off.
//!
//! What the machine's maker may leave for it: kernel modules in `/modules`, loaded in the order of their names, and in
//! `MAPWRIGHT_INIT_MOUNT=kind:source:target` one more file system (a disk with fs-verity, say).
//!
//! The kernel hands the words of its command line after `--` to init as arguments and `NAME=value` words as environment,
//! so `… -- snapshot` runs the tests whose names contain "snapshot".

use rustix::process::{WaitOptions, wait};
use rustix::system::RebootCommand;
use std::ffi::{CStr, CString};
use std::path::Path;
use std::process::{Command, ExitCode};

/// Whether this process is what a kernel started first: PID 1, and nobody has mounted `/proc` yet (in a container
/// somebody has).
pub(crate) fn is_called_for() -> bool {
    std::process::id() == 1 && !Path::new("/proc/self").exists()
}

/// Runs the tests as the only job of this machine.
pub(crate) fn run() -> ExitCode {
    for (kind, target) in [
        (c"proc", c"/proc"),
        (c"sysfs", c"/sys"),
        (c"devtmpfs", c"/dev"),
        (c"tmpfs", c"/tmp"),
        (c"tmpfs", c"/dev/shm"),
    ] {
        mount(kind, kind, target);
    }
    load_modules();
    if let Ok(more) = std::env::var("MAPWRIGHT_INIT_MOUNT") {
        let words: Vec<CString> = more.split(':').map(|word| CString::new(word).unwrap()).collect();
        let [kind, source, target] = &words[..] else { panic!("not kind:source:target: {more:?}") };
        mount(kind, source, target);
    }
    let mut tests = Command::new("/proc/self/exe").args(std::env::args_os().skip(1)).spawn().unwrap();
    let tests_id = i32::try_from(tests.id()).unwrap();
    let code = loop {
        match wait(WaitOptions::empty()) {
            Ok(Some((id, status))) if id.as_raw_nonzero().get() == tests_id => break status.exit_status(),
            Ok(_) => {}
            Err(error) => panic!("init lost its child {tests_id}: {error}"),
        }
    };
    drop(tests.try_wait());
    println!("mapwright-tests: exit code {}", code.unwrap_or(-1));
    rustix::fs::sync();
    if let Err(error) = rustix::system::reboot(RebootCommand::PowerOff) {
        eprintln!("init: switching off: {error}");
    }
    ExitCode::from(u8::from(code != Some(0)))
}

fn load_modules() {
    let Ok(folder) = std::fs::read_dir("/modules") else { return };
    let mut paths: Vec<_> = folder.map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    for path in paths {
        let module = std::fs::read(&path).unwrap();
        if let Err(error) = rustix::system::init_module(&module, c"") {
            eprintln!("init: loading {}: {error}", path.display());
        }
    }
}

/// Mounts through libc: rustix may read `/proc` before its first call, which is not there yet.
#[allow(unsafe_code, reason = "see above")]
fn mount(kind: &CStr, source: &CStr, target: &CStr) {
    drop(std::fs::create_dir_all(target.to_str().unwrap()));
    // SAFETY: the strings end in NUL and outlive the call; no data is passed.
    let done = unsafe { libc::mount(source.as_ptr(), target.as_ptr(), kind.as_ptr(), 0, std::ptr::null()) };
    if done != 0 {
        eprintln!("init: mounting {kind:?} on {target:?}: {}", std::io::Error::last_os_error());
    }
}
