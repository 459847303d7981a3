//! The tests on other kernels: a small virtual machine under software emulation, with Debian's kernel, our
//! test programs built statically, and a disk whose file system has fs-verity.
//!
//! It needs no root, no image and no network of its own, and starts in two to four seconds. Older kernels
//! lack calls that this machine may have, so the library's fallbacks run here; fs-verity may be missing
//! *here*.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};
use clap::Args;

use crate::cargo::Tests;
use crate::debian::beside;
use crate::machine::{Emulator, Kernel, Parts, Processor};
use crate::programs::{ELSEWHERE, TestProgram, test_programs};
use crate::stage::Outcome;
use crate::{guest, modules, run};

/// Emulation is slow and tests are many; a machine that hangs is switched off after this.
const LIMIT_SECONDS: &str = "900";

/// The test program of core's own tests.
const CORE: &str = "mapwright_core";

/// What the kernels do not have built in: the disk, and what tests use. What these depend on is found.
const MODULES: [&str; 4] = ["virtio_pci", "virtio_blk", "loop", "fuse"];

/// What the kernel is told: to end the machine when it panics, to trust a timer that comes late when this
/// machine is busy, and to offer what is off or empty by default.
const KERNEL: &str = "quiet panic=-1 no_timer_check hugepages=16 secretmem.enable=1";

/// What to run, and on which machine.
#[derive(Args)]
pub(crate) struct Options {
    /// The kernel's version
    #[arg(long, value_enum, default_value_t = Kernel::V6_1)]
    kernel: Kernel,
    /// The processor's architecture
    #[arg(long, value_enum, default_value_t = Processor::X86_64)]
    processor: Processor,
    /// Only core's own tests, not those of whole programs around it
    #[arg(long)]
    core: bool,
    /// Arguments for the test programs, such as a filter
    #[arg(last = true)]
    arguments: Vec<String>,
}

impl Options {
    /// All tests on this machine.
    pub(crate) fn on(kernel: Kernel, processor: Processor) -> Self {
        Self { kernel, processor, core: false, arguments: Vec::new() }
    }

    /// The same with core's own tests only.
    pub(crate) fn of_core(self) -> Self {
        Self { core: true, ..self }
    }

    /// The same with arguments for the test programs.
    pub(crate) fn with(self, arguments: Vec<String>) -> Self {
        Self { arguments, ..self }
    }
}

/// Builds the tests, boots the machine, and judges by what its console said.
pub(crate) fn run(options: &Options) -> Result<Outcome> {
    let Options { kernel, processor, core, arguments } = options;
    let emulator = processor.emulator();
    if !run::exists(emulator.program) {
        let package = emulator.package;
        return Ok(Outcome::Skipped(format!("{} is missing: apt-get install {package}", emulator.program)));
    }
    let Some(mkfs) = system_program("mkfs.ext4") else {
        return Ok(Outcome::Skipped("mkfs.ext4 is missing: apt-get install e2fsprogs".to_owned()));
    };
    let build = match processor.build() {
        Ok(build) => build,
        Err(reason) => return Ok(Outcome::Skipped(reason)),
    };
    let parts = match Parts::of(*kernel, *processor) {
        Ok(parts) => parts,
        Err(error) => return Ok(Outcome::Skipped(format!("no kernel {kernel} for {processor}: {error:#}"))),
    };
    let mut programs = static_programs(build)?;
    programs.retain(|program| !core || program.name == CORE);
    let modules = modules::in_load_order(&parts.modules, &MODULES)?;
    let content = guest::memory_disk(&parts.busybox, &modules, &programs, arguments)?;
    let memory_disk = beside(&parts.folder, "memory");
    fs::write(&memory_disk, content).with_context(|| format!("writing {}", memory_disk.display()))?;
    let disk = beside(&parts.folder, "disk");
    make_disk(&mkfs, &disk)?;
    let watched = run::watch(&mut machine(&emulator, &parts.kernel, &memory_disk, &disk));
    fs::remove_file(&disk).with_context(|| format!("removing {}", disk.display()))?;
    let watched = watched?;
    judge(&watched.printed, programs.len())
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
    // The disk has it, so nothing may be skipped for want of it.
    if let Some(line) = console.lines().find(|line| line.contains("needs verity")) {
        bail!("a test does not see the fs-verity of the disk: {line}");
    }
    tests.into_outcome()
}

/// The tests as programs that need nothing around them.
fn static_programs(mut build: Command) -> Result<Vec<TestProgram>> {
    build.args(["test", "--no-run"]).args(ELSEWHERE).env("RUSTFLAGS", "-C target-feature=+crt-static");
    // They travel through an emulated machine's memory: no more than a backtrace needs. An emulated processor
    // takes its time for each instruction: a little optimisation costs less than it saves.
    build.env("CARGO_PROFILE_DEV_DEBUG", "line-tables-only").env("CARGO_PROFILE_DEV_OPT_LEVEL", "1");
    test_programs(&mut build)
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
    run::must_succeed(run::command(mkfs).args(["-q", "-F", "-O", "verity", "-b", "4096"]).arg(disk))
}

fn machine(emulator: &Emulator, kernel: &Path, memory_disk: &Path, disk: &Path) -> Command {
    let mut command = run::command("timeout");
    // In the foreground an interrupt from the keyboard reaches the machine, too.
    command.args(["--foreground", "--kill-after=10", LIMIT_SECONDS, emulator.program]).args(emulator.machine);
    command.args(["-accel", "tcg,thread=multi", "-smp", "2", "-m", "2048", "-no-reboot"]);
    command.args(["-display", "none", "-vga", "none", "-nic", "none", "-serial", "stdio"]);
    command.arg("-kernel").arg(kernel).arg("-initrd").arg(memory_disk);
    command.arg("-append").arg(format!("console={} {KERNEL}", emulator.console));
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
        let skipped = format!("SKIPPED x: needs verity: no folder\n{PASSED}{}0\n", guest::END);
        let unseen = judge(&skipped, 1).unwrap_err();
        assert!(unseen.to_string().contains("does not see the fs-verity"), "{unseen}");
    }
}
