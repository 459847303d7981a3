//! The program on what only these tests can make: disks that fail and are full, devices, other users' files,
//! and the kernel's own word on what it did. (What it does every day is tested beside it, in its own
//! package.)

use crate::support::failing_fs::{FailingFs, Operation, When};
use crate::support::loop_device::LoopDevice;
use crate::support::process::Report;
use crate::support::random::Random;
use crate::support::skip::{Need, Skip};
use crate::support::suite::{Verdict, suite};
use crate::support::tmpfs::Tmpfs;
use crate::support::{page_cache, process, program, scratch};
use std::ffi::OsStr;
use std::fs::{File, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Stdio;
use std::sync::atomic::{AtomicBool, Ordering};

suite!(
    tests: [
        cat_gives_what_comes_before_the_unreadable_byte_and_names_it,
        failing_disk_is_an_error_of_every_command,
        cat_of_a_file_that_is_cut_again_and_again_never_dies,
        cat_survives_a_pipe_that_closes_in_the_middle,
        warm_and_evict_do_what_the_kernel_confirms,
        block_device_is_shown_warmed_and_read,
        tour_on_a_full_disk_says_so_and_leaves_nothing,
        tour_goes_through_where_a_disk_is_nearly_full,
        other_users_files_are_told_apart_from_absent_pages,
    ],
    roles: [],
);

/// Runs the program to its end.
fn run(arguments: &[&dyn AsRef<OsStr>]) -> Result<Report, Skip> {
    Ok(process::report(program::command()?.args(arguments.iter().map(|argument| argument.as_ref()))))
}

fn exit(report: &Report, code: i32) {
    report.assert_ended(process::Ended::Exit(code));
}

const LENGTH: usize = 256 << 10;
const BAD: usize = 16 * 4096;

fn half_bad() -> Result<FailingFs, Skip> {
    let fs = FailingFs::with_file_of(LENGTH)?;
    fs.fail(Operation::Read, When::From(u64::try_from(BAD).unwrap()), libc::EIO);
    Ok(fs)
}

fn cat_gives_what_comes_before_the_unreadable_byte_and_names_it() -> Verdict {
    let fs = half_bad()?;
    let output = program::command()?.arg("cat").arg(fs.file()).output().unwrap();
    let stderr = String::from_utf8_lossy(&output.stderr);
    print!("  {stderr}");
    assert_eq!(output.status.code(), Some(1), "{stderr}");
    assert!(output.stdout == scratch::pattern(BAD), "{} bytes came out", output.stdout.len());
    assert!(stderr.contains("data\"") && stderr.contains(&BAD.to_string()), "{stderr}");
    Ok(())
}

fn failing_disk_is_an_error_of_every_command() -> Verdict {
    let fs = FailingFs::with_file_of(LENGTH)?;
    fs.fail(Operation::Read, When::From(0), libc::EIO);
    for command in ["warm", "bench", "cat"] {
        let report = run(&[&command, &fs.file()])?;
        print!("  {}", report.stderr);
        exit(&report, 1);
        assert!(report.stderr.contains("data\""), "{report}");
    }
    // Looking reads nothing.
    exit(&run(&[&"show", &fs.file()])?, 0);
    Ok(())
}

fn cat_of_a_file_that_is_cut_again_and_again_never_dies() -> Verdict {
    const LENGTH: usize = 8 << 20;
    let folder = scratch::folder();
    let expected = scratch::pattern(LENGTH);
    let path = scratch::file(&folder, "victim", &expected);
    let file = File::options().write(true).open(&path).unwrap();
    program::path()?;
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let mut random = Random::stream(1);
            while !stop.load(Ordering::Relaxed) {
                file.set_len(u64::try_from(random.below(LENGTH)).unwrap()).unwrap();
                std::thread::yield_now();
                file.set_len(u64::try_from(LENGTH).unwrap()).unwrap();
                std::thread::yield_now();
            }
        });
        let (mut whole, mut cut) = (0, 0);
        for _ in 0..30 {
            let output = program::command()?.arg("cat").arg(&path).output().unwrap();
            let stderr = String::from_utf8_lossy(&output.stderr);
            match output.status.code() {
                Some(0) => whole += 1,
                Some(1) => {
                    cut += 1;
                    assert!(stderr.contains("victim\""), "{stderr}");
                }
                _ => panic!("it ended with {}: {stderr}", output.status),
            }
            scratch::assert_right_or_zero(&output.stdout, &expected[..output.stdout.len()]);
        }
        println!("  {whole} came whole, {cut} were cut");
        stop.store(true, Ordering::Relaxed);
        Ok(())
    })
}

fn cat_survives_a_pipe_that_closes_in_the_middle() -> Verdict {
    let folder = scratch::folder();
    let path = scratch::file(&folder, "file", &scratch::pattern(4 << 20));
    for wanted in [1, 100_000, 1 << 20] {
        let mut child = program::command()?
            .arg("cat")
            .arg(&path)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut read = vec![0; wanted];
        std::io::Read::read_exact(&mut child.stdout.take().unwrap(), &mut read).unwrap();
        assert!(read == scratch::pattern(wanted));
        let output = child.wait_with_output().unwrap();
        assert_eq!((output.status.code(), &output.stderr[..]), (Some(0), &b""[..]), "after {wanted} bytes");
    }
    Ok(())
}

fn warm_and_evict_do_what_the_kernel_confirms() -> Verdict {
    const PAGES: usize = 1_024;
    let folder = scratch::folder();
    scratch::is_on_a_disk(&folder)?;
    let path = scratch::file(&folder, "file", &scratch::pattern(PAGES * 4096));
    let file = File::open(&path).unwrap();
    exit(&run(&[&"evict", &path])?, 0);
    assert_eq!(page_cache::resident_count(&file), 0);
    exit(&run(&[&"warm", &"--range", &"1M-2M", &path])?, 0);
    let resident = page_cache::resident_pages(&file);
    assert!(resident[256..512].iter().all(|&is_resident| is_resident));
    assert_eq!(resident.iter().filter(|&&is_resident| is_resident).count(), 256);
    let shown = run(&[&"show", &"--json", &path])?;
    exit(&shown, 0);
    let shown: String = shown.said.split_whitespace().collect();
    assert!(shown.contains(r#""cached_bytes":1048576,"#), "{shown}");
    exit(&run(&[&"warm", &path])?, 0);
    assert_eq!(page_cache::resident_count(&file), PAGES);
    exit(&run(&[&"evict", &"--range", &"2M-", &path])?, 0);
    let resident = page_cache::resident_pages(&file);
    assert!(resident[..512].iter().all(|&is_resident| is_resident));
    assert!(resident[512..].iter().all(|&is_resident| !is_resident));
    Ok(())
}

fn block_device_is_shown_warmed_and_read() -> Verdict {
    const LENGTH: usize = (4 << 20) + 512;
    let folder = scratch::folder();
    let bytes = scratch::pattern(LENGTH);
    let device = LoopDevice::over(&scratch::file(&folder, "image", &bytes))?;
    let output = program::command()?.arg("cat").arg(device.path()).output().unwrap();
    assert!(output.stdout == bytes, "{} bytes came out", output.stdout.len());
    let part = format!("{}:4M-", device.path().display());
    let output = program::command()?.arg("cat").arg(part).output().unwrap();
    assert!(output.stdout == bytes[4 << 20..], "{}", String::from_utf8_lossy(&output.stderr));
    for command in ["show", "warm", "evict"] {
        exit(&run(&[&command, &device.path()])?, 0);
    }
    Ok(())
}

fn is_empty(folder: &Path) -> bool {
    std::fs::read_dir(folder).unwrap().next().is_none()
}

fn tour_on_a_full_disk_says_so_and_leaves_nothing() -> Verdict {
    let disk = Tmpfs::of_bytes(8 << 20)?;
    let report = run(&[&"tour", &"--dir", &disk.path()])?;
    print!("  {}", report.stderr);
    exit(&report, 1);
    assert!(
        report.stderr.contains(disk.path().to_str().unwrap()) && report.stderr.contains("--dir"),
        "{report}"
    );
    assert!(is_empty(disk.path()));
    Ok(())
}

fn tour_goes_through_where_a_disk_is_nearly_full() -> Verdict {
    let disk = Tmpfs::of_bytes(64 << 20)?;
    let report = run(&[&"tour", &"--dir", &disk.path()])?;
    exit(&report, 0);
    assert!(report.said.contains("are left on this disk"), "{report}");
    assert!(is_empty(disk.path()));
    Ok(())
}

/// The kernel does not tell others what is cached of a file that they can only read: then nothing is claimed.
fn other_users_files_are_told_apart_from_absent_pages() -> Verdict {
    if !rustix::process::geteuid().is_root() {
        return Err(Skip::new(Need::Root, "becoming somebody else"));
    }
    // Everybody may go where the program and the file are.
    let folder = tempfile::Builder::new().permissions(Permissions::from_mode(0o755)).tempdir().unwrap();
    let path = scratch::file(&folder, "roots", &scratch::pattern(100_000));
    let copy = folder.path().join("mapwright");
    std::fs::copy(program::path()?, &copy).unwrap();
    let run_as = |user: u32, command: &str| {
        let mut started = process::program(&copy);
        process::report(started.arg(command).arg("--json").arg(&path).uid(user).gid(user))
    };
    let (roots, nobodys) = (run_as(0, "show"), run_as(65534, "show"));
    exit(&roots, 0);
    exit(&nobodys, 0);
    let told = |report: &Report| report.said.split_whitespace().collect::<String>();
    println!("  to root: {}\n  to nobody: {}", told(&roots), told(&nobodys));
    assert!(told(&roots).contains(r#""cached_bytes":102400,"#) && !told(&roots).contains("untold"));
    assert!(
        told(&nobodys).contains(r#""hidden":1,"#) && told(&nobodys).contains(r#""untold":[{"what":"cached""#)
    );
    exit(&run_as(65534, "doctor"), 0);
    Ok(())
}
