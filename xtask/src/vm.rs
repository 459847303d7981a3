//! The tests on other kernels: a small virtual machine under software emulation, with Debian's kernel, our
//! test programs built statically, and a disk whose file system has fs-verity.
//!
//! It needs no root, no image and no network of its own, and starts in two to four seconds. Older kernels
//! lack calls that this machine may have, so the library's fallbacks run here; fs-verity may be missing
//! *here*.

use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};
use clap::{Args, ValueEnum};

use crate::cargo::{Tests, cargo};
use crate::debian::Debian;
use crate::programs::{ELSEWHERE, TestProgram, test_programs};
use crate::stage::Outcome;
use crate::{guest, modules, project, run};

const TARGET: &str = "x86_64-unknown-linux-gnu";
const EMULATOR: &str = "qemu-system-x86_64";

/// Emulation is slow and tests are many; a machine that hangs is switched off after this.
const LIMIT_SECONDS: &str = "900";

/// What the kernels do not have built in: the disk, and what tests use. What these depend on is found.
const MODULES: [&str; 4] = ["virtio_pci", "virtio_blk", "loop", "fuse"];

/// What to run, and on which kernel.
#[derive(Args)]
pub(crate) struct Options {
    /// The kernel's version
    #[arg(long, value_enum, default_value_t = Kernel::V6_1)]
    kernel: Kernel,
    /// Arguments for the test programs, such as a filter
    #[arg(last = true)]
    arguments: Vec<String>,
}

/// A kernel of Debian's.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Kernel {
    /// The oldest that we support
    #[value(name = "5.10")]
    V5_10,
    #[value(name = "6.1")]
    V6_1,
    #[value(name = "6.12")]
    V6_12,
}

impl Kernel {
    /// The release that has it, and the package that depends on the newest build of it.
    fn source(self) -> (&'static str, &'static str) {
        match self {
            Self::V5_10 => ("bullseye", "linux-image-cloud-amd64"),
            Self::V6_1 => ("bookworm", "linux-image-cloud-amd64"),
            Self::V6_12 => ("bookworm", "linux-image-6.12-cloud-amd64"),
        }
    }
}

impl fmt::Display for Kernel {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(match self {
            Self::V5_10 => "5.10",
            Self::V6_1 => "6.1",
            Self::V6_12 => "6.12",
        })
    }
}

impl Options {
    /// All tests on this kernel.
    pub(crate) fn on(kernel: Kernel) -> Self {
        Self { kernel, arguments: Vec::new() }
    }
}

/// What a machine is made of, as files.
struct Parts {
    kernel: PathBuf,
    modules: PathBuf,
    busybox: PathBuf,
}

/// Builds the tests, boots the machine, and judges by what its console said.
pub(crate) fn run(options: &Options) -> Result<Outcome> {
    if !cfg!(target_arch = "x86_64") {
        return Ok(Outcome::Skipped("the virtual machine is an x86-64 one, as the tests in it".to_owned()));
    }
    if !run::exists(EMULATOR) {
        return Ok(Outcome::Skipped(format!("{EMULATOR} is missing: apt-get install qemu-system-x86")));
    }
    let Some(mkfs) = system_program("mkfs.ext4") else {
        return Ok(Outcome::Skipped("mkfs.ext4 is missing: apt-get install e2fsprogs".to_owned()));
    };
    let parts = match parts(options.kernel) {
        Ok(parts) => parts,
        Err(error) => return Ok(Outcome::Skipped(format!("no kernel {}: {error:#}", options.kernel))),
    };
    let folder = project::target().join("vm").join(options.kernel.to_string());
    fs::create_dir_all(&folder).with_context(|| format!("creating {}", folder.display()))?;
    let modules = modules::in_load_order(&parts.modules, &MODULES)?;
    let programs = static_programs()?;
    let memory_disk = folder.join("memory-disk");
    let content = guest::memory_disk(&parts.busybox, &modules, &programs, &options.arguments)?;
    fs::write(&memory_disk, content).with_context(|| format!("writing {}", memory_disk.display()))?;
    let disk = folder.join("disk");
    make_disk(&mkfs, &disk)?;
    let watched = run::watch(&mut machine(&parts.kernel, &memory_disk, &disk));
    fs::remove_file(&disk).with_context(|| format!("removing {}", disk.display()))?;
    let watched = watched?;
    judge(&watched.stdout, programs.len())
        .with_context(|| format!("the machine ended with {}", watched.status))
}

/// The verdict on a whole console: every program was reached and none failed.
fn judge(console: &str, programs: usize) -> Result<Outcome> {
    let tests = Tests::counted_in(console);
    let Some(end) = console.lines().find_map(|line| line.strip_prefix(guest::END)) else {
        bail!("the machine stopped before its tests were through ({tests})");
    };
    if end.trim() != "0" {
        bail!("{} of {programs} test programs failed ({tests})", end.trim());
    }
    tests.into_outcome()
}

fn parts(kernel: Kernel) -> Result<Parts> {
    let (release, newest) = kernel.source();
    let debian = Debian::release(release)?;
    let package = debian.dependency(newest, "linux-image-")?;
    let folder = project::target().join("vm").join(format!("linux-{kernel}"));
    debian.unpack(&[&package, "busybox-static"], &folder)?;
    let version = package.strip_prefix("linux-image-").unwrap_or(&package);
    Ok(Parts {
        kernel: folder.join(format!("boot/vmlinuz-{version}")),
        modules: folder.join(format!("lib/modules/{version}/kernel")),
        busybox: folder.join("bin/busybox"),
    })
}

/// The tests as programs that need nothing around them.
fn static_programs() -> Result<Vec<TestProgram>> {
    let mut command = cargo(["test", "--no-run", "--target", TARGET]);
    command.args(ELSEWHERE).env("RUSTFLAGS", "-C target-feature=+crt-static");
    // They travel through an emulated machine's memory: no more than a backtrace needs.
    test_programs(command.env("CARGO_PROFILE_DEV_DEBUG", "line-tables-only"))
}

/// A program that may lie where only root's search path leads.
fn system_program(name: &str) -> Option<PathBuf> {
    ["/usr/sbin", "/sbin", "/usr/bin"]
        .iter()
        .map(|folder| Path::new(folder).join(name))
        .find(|path| path.exists())
}

fn make_disk(mkfs: &Path, disk: &Path) -> Result<()> {
    let file = fs::File::create(disk).with_context(|| format!("creating {}", disk.display()))?;
    file.set_len(4 << 30).context("giving the disk its size (it is a sparse file)")?;
    // fs-verity wants blocks of a page.
    run::quiet_or_fail(run::command(mkfs).args(["-q", "-F", "-O", "verity", "-b", "4096"]).arg(disk))
}

fn machine(kernel: &Path, memory_disk: &Path, disk: &Path) -> Command {
    let mut command = run::command("timeout");
    // In the foreground an interrupt from the keyboard reaches the machine, too.
    command.args(["--foreground", "--kill-after=10", LIMIT_SECONDS, EMULATOR]);
    command.args(["-accel", "tcg,thread=multi", "-cpu", "max", "-smp", "2", "-m", "2048"]);
    command.args(["-display", "none", "-vga", "none", "-nic", "none", "-serial", "stdio", "-no-reboot"]);
    command.arg("-kernel").arg(kernel).arg("-initrd").arg(memory_disk);
    command.args(["-append", "console=ttyS0 quiet panic=-1 hugepages=16"]);
    command.arg("-drive").arg(format!("file={},format=raw,if=virtio,cache=unsafe", disk.display()));
    command
}

#[cfg(test)]
mod tests {
    use super::*;

    const PASSED: &str = "test result: ok. 3 passed; 0 failed; 1 ignored; 0 filtered out\n";

    #[test]
    fn a_machine_that_ran_everything_passes() {
        let outcome = judge(&format!("{PASSED}{}0\n", guest::END), 1).unwrap();
        assert_eq!(outcome, Outcome::Passed("3 tests passed, 0 failed, 1 ignored".to_owned()));
    }

    #[test]
    fn a_machine_that_stopped_early_or_failed_does_not() {
        let early = judge(PASSED, 1).unwrap_err();
        assert!(early.to_string().contains("stopped before"), "{early}");
        let failed = judge(&format!("{PASSED}{}2\n", guest::END), 3).unwrap_err();
        assert!(failed.to_string().contains("2 of 3 test programs failed"), "{failed}");
    }
}
