//! Proof of what the other tests stand on, by plain system calls: faults kill, errors arrive, deaths are
//! reported.

use crate::support::failing_fs::{FailingFs, Operation, When};
use crate::support::loop_device::Xfs;
use crate::support::plain_map::PlainMap;
use crate::support::process::{self, Ended, Parent, Process};
use crate::support::skip::{self, Need};
use crate::support::suite::{Verdict, role, suite};
use crate::support::tmpfs::Tmpfs;
use crate::support::watchdog::{self, Watch};
use crate::support::{scratch, signals};
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::time::Duration;

suite!(
    tests: [
        role_talks_and_returns,
        killed_role_is_reported_killed,
        panicking_role_exits_with_101,
        role_that_raises_a_signal_dies_of_it,
        role_dies_with_the_test_that_started_it,
        watchdog_ends_a_hung_test_by_name,
        skip_is_excused_by_its_own_name_only,
        store_into_a_hole_of_a_full_tmpfs_kills_with_sigbus,
        load_behind_the_end_kills_with_sigbus,
        handler_is_told_the_address_of_a_fault,
        blocking_sigbus_defeats_its_handler,
        failing_read_reaches_pread_from_its_offset_on,
        only_the_nth_write_fails,
        read_that_fails_once_is_retried_by_the_kernel,
        failing_read_kills_a_plain_load_with_sigbus,
        failing_write_back_reaches_msync,
        unplugged_file_system_fails_every_uncached_read,
        xfs_shares_blocks_between_files,
    ],
    roles: [
        echo, wait_for_kill, panic, raise, start_a_child_and_tell_its_id, hang, store_one_byte, load_one_byte,
        load_handled,
        load_blocked,
    ],
);

const PAGE: u64 = 4096;

fn echo(parent: &mut Parent) {
    let line = parent.hear();
    parent.say(line.to_uppercase());
}

fn role_talks_and_returns() {
    let mut process = Process::start(role!(echo), &[]);
    process.say("hello");
    assert_eq!(process.hear(), "HELLO");
    assert_eq!(process.hear_all(), "");
    assert_eq!(process.wait(), Ended::Exit(0));
}

fn wait_for_kill(parent: &mut Parent) {
    parent.say("ready");
    parent.wait_for_the_end();
}

fn killed_role_is_reported_killed() {
    let mut process = Process::start(role!(wait_for_kill), &[]);
    assert_eq!(process.hear(), "ready");
    assert_eq!(process.kill(), Ended::Signal(libc::SIGKILL));
}

fn panic(parent: &mut Parent) {
    panic!("as told: {}", parent.arg(0));
}

fn panicking_role_exits_with_101() {
    let report = process::run(role!(panic), &["once"]);
    report.assert_ended(Ended::Exit(101));
    assert!(report.stderr.contains("as told: once"), "{report}");
}

/// Raises a signal at its default action. (Rust's own handler for SIGBUS and SIGSEGV swallows the first one
/// that is sent.)
fn raise(parent: &mut Parent) {
    let signal = parent.arg(0).parse().unwrap();
    signals::set(signal, signals::Disposition { action: libc::SIG_DFL, flags: 0 });
    signals::send_to_self(signal);
}

fn role_that_raises_a_signal_dies_of_it() {
    for signal in [libc::SIGBUS, libc::SIGSEGV, libc::SIGTERM] {
        process::run(role!(raise), &[&signal.to_string()]).assert_died_of(signal);
    }
}

fn start_a_child_and_tell_its_id(parent: &mut Parent) {
    let mut child = Process::start(role!(wait_for_kill), &[]);
    assert_eq!(child.hear(), "ready");
    parent.say(child.id());
    parent.wait_for_the_end();
}

fn role_dies_with_the_test_that_started_it() {
    let mut process = Process::start(role!(start_a_child_and_tell_its_id), &[]);
    let grandchild = process.hear();
    assert_eq!(process.kill(), Ended::Signal(libc::SIGKILL));
    watchdog::until("the grandchild is gone", || {
        match std::fs::read_to_string(format!("/proc/{grandchild}/stat")) {
            // A zombie counts: in a container nobody may collect it.
            Ok(stat) => stat.rsplit(')').next().is_some_and(|rest| rest.trim_start().starts_with('Z')),
            Err(_) => true,
        }
    });
}

fn hang(parent: &mut Parent) {
    let _watch = Watch::with_patience("the test that hangs", Duration::from_millis(20));
    parent.wait_for_the_end();
    loop {
        std::thread::park();
    }
}

fn watchdog_ends_a_hung_test_by_name() {
    let report = process::run(role!(hang), &[]);
    report.assert_died_of(libc::SIGABRT);
    assert!(report.stderr.contains("the test that hangs hangs"), "{report}");
}

fn skip_is_excused_by_its_own_name_only() {
    assert!(skip::is_excused(Need::Xfs, "root, xfs"));
    assert!(!skip::is_excused(Need::Fuse, "root,xfs"));
    assert!(!skip::is_excused(Need::Fuse, ""));
}

/// Stores one byte through a plain mapping: path, offset.
fn store_one_byte(parent: &mut Parent) {
    let (map, at) = map_named_file(parent);
    map.store(at, 1);
    parent.say("stored");
}

/// Loads one byte through a plain mapping: path, offset.
fn load_one_byte(parent: &mut Parent) {
    let (map, at) = map_named_file(parent);
    parent.say(map.load(at));
}

/// Maps the file of the first argument just far enough for the offset of the second.
fn map_named_file(parent: &Parent) -> (PlainMap, usize) {
    let file = File::options().read(true).write(true).open(parent.arg(0)).unwrap();
    let at: usize = parent.arg(1).parse().unwrap();
    (PlainMap::new(&file, at + 1).unwrap(), at)
}

fn store_into_a_hole_of_a_full_tmpfs_kills_with_sigbus() -> Verdict {
    let tmpfs = Tmpfs::of_bytes(8 << 20)?;
    let hole = tmpfs.hole("hole", 1 << 20);
    let (full, length) = tmpfs.fill("full");
    assert!(length > 7 << 20, "{length} bytes fitted");
    let at = "8192";
    process::run(role!(store_one_byte), &[hole.to_str().unwrap(), at]).assert_died_of(libc::SIGBUS);
    std::fs::remove_file(full).unwrap();
    process::run(role!(store_one_byte), &[hole.to_str().unwrap(), at]).assert_ok();
    Ok(())
}

fn load_behind_the_end_kills_with_sigbus() {
    let folder = scratch::folder();
    let path = scratch::file(&folder, "short", &scratch::pattern(5000));
    let path = path.to_str().unwrap();
    assert_eq!(
        process::run(role!(load_one_byte), &[path, "4999"]).said.trim(),
        scratch::pattern_at(4999).to_string()
    );
    process::run(role!(load_one_byte), &[path, "8192"]).assert_died_of(libc::SIGBUS);
}

/// Prints which byte of the mapping faulted, and ends the process.
extern "C" fn tell_and_exit(_signal: i32, info: *mut libc::siginfo_t, _context: *mut libc::c_void) {
    println!("fault at page offset {}", signals::fault_address(info) % 4096);
    signals::exit_now(7);
}

fn load_handled(parent: &mut Parent) {
    let before = signals::current(libc::SIGBUS);
    assert_eq!(signals::handle(libc::SIGBUS, tell_and_exit, 0), before);
    load_one_byte(parent);
}

fn load_blocked(parent: &mut Parent) {
    signals::block(libc::SIGBUS);
    load_handled(parent);
}

fn handler_is_told_the_address_of_a_fault() {
    let folder = scratch::folder();
    let path = scratch::file(&folder, "short", b"x");
    let report = process::run(role!(load_handled), &[path.to_str().unwrap(), "8200"]);
    report.assert_ended(Ended::Exit(7));
    assert_eq!(report.said, "fault at page offset 8\n");
}

fn blocking_sigbus_defeats_its_handler() {
    let folder = scratch::folder();
    let path = scratch::file(&folder, "short", b"x");
    process::run(role!(load_blocked), &[path.to_str().unwrap(), "8200"]).assert_died_of(libc::SIGBUS);
}

fn failing_read_reaches_pread_from_its_offset_on() -> Verdict {
    let fs = FailingFs::with_file_of(256 << 10)?;
    let boundary = 16 * PAGE;
    fs.fail(Operation::Read, When::From(boundary), libc::EIO);
    let file = File::open(fs.file()).unwrap();
    let mut page = vec![0; usize::try_from(PAGE).unwrap()];
    for offset in [0, boundary - PAGE] {
        file.read_exact_at(&mut page, offset).unwrap();
        let start = usize::try_from(offset).unwrap();
        assert_eq!(page, scratch::pattern(start + page.len())[start..]);
    }
    for offset in [boundary, boundary + 9 * PAGE] {
        assert_eq!(file.read_at(&mut page, offset).unwrap_err().raw_os_error(), Some(libc::EIO));
    }
    assert!(fs.failed_count() > 0);
    fs.heal();
    file.read_exact_at(&mut page, boundary).unwrap();
    Ok(())
}

fn only_the_nth_write_fails() -> Verdict {
    let fs = FailingFs::with_file_of(64 << 10)?;
    let file = File::options().write(true).open(fs.file()).unwrap();
    fs.fail(Operation::Write, When::Nth(2), libc::ENOSPC);
    file.write_all_at(&[1], 0).unwrap();
    assert_eq!(file.write_at(&[2], 0).unwrap_err().raw_os_error(), Some(libc::ENOSPC));
    file.write_all_at(&[3], 0).unwrap();
    assert_eq!(fs.failed_count(), 1);
    Ok(())
}

/// Read-ahead that fails is not an error yet: the kernel asks again for the one page that somebody wants.
fn read_that_fails_once_is_retried_by_the_kernel() -> Verdict {
    let fs = FailingFs::with_file_of(256 << 10)?;
    fs.fail(Operation::Read, When::Nth(1), libc::EIO);
    let mut byte = [0];
    File::open(fs.file()).unwrap().read_exact_at(&mut byte, 8 * PAGE).unwrap();
    assert_eq!(byte[0], scratch::pattern_at(8 * 4096));
    assert_eq!(fs.failed_count(), 1);
    Ok(())
}

fn failing_read_kills_a_plain_load_with_sigbus() -> Verdict {
    let fs = FailingFs::with_file_of(256 << 10)?;
    fs.fail(Operation::Read, When::From(16 * PAGE), libc::EIO);
    let path = fs.file();
    let path = path.to_str().unwrap();
    let last_good = process::run(role!(load_one_byte), &[path, "65535"]);
    assert_eq!(last_good.assert_ok().said.trim(), scratch::pattern_at(65535).to_string());
    process::run(role!(load_one_byte), &[path, "65536"]).assert_died_of(libc::SIGBUS);
    Ok(())
}

fn failing_write_back_reaches_msync() -> Verdict {
    let fs = FailingFs::with_file_of(64 << 10)?;
    let file = File::options().read(true).write(true).open(fs.file()).unwrap();
    let map = PlainMap::new(&file, 64 << 10).unwrap();
    map.store(0, 1);
    map.sync().unwrap();
    fs.fail(Operation::Write, When::From(0), libc::EIO);
    map.store(0, 2);
    assert_eq!(map.sync().unwrap_err().raw_os_error(), Some(libc::EIO));
    assert_eq!(fs.failed_count(), 1);
    Ok(())
}

fn unplugged_file_system_fails_every_uncached_read() -> Verdict {
    let mut fs = FailingFs::with_file_of(1 << 20)?;
    let file = File::open(fs.file()).unwrap();
    let mut byte = [0];
    file.read_exact_at(&mut byte, 0).unwrap();
    fs.unplug();
    assert!(file.read_at(&mut byte, (1 << 20) - 1).is_err());
    Ok(())
}

fn xfs_shares_blocks_between_files() -> Verdict {
    let xfs = Xfs::new()?;
    let bytes = scratch::pattern(1 << 20);
    std::fs::write(xfs.path().join("original"), &bytes).unwrap();
    let original = File::open(xfs.path().join("original")).unwrap();
    let copy = File::options().read(true).write(true).create_new(true).open(xfs.path().join("copy")).unwrap();
    rustix::fs::ioctl_ficlone(&copy, &original).unwrap();
    assert_eq!(std::fs::read(xfs.path().join("copy")).unwrap(), bytes);
    Ok(())
}
