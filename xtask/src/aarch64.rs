//! The tests for aarch64, on an x86-64 machine: Debian's cross linker, Debian's compiler (whose aarch64
//! standard library can be unpacked beside ours; it is a second compiler version as well), QEMU's user
//! emulation.
//!
//! Emulation proves logic, assembly and signal frames. It proves nothing about weak memory ordering or speed.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};
use clap::Args;

use crate::cargo::{cargo, run_tests};
use crate::debian::Debian;
use crate::programs::ELSEWHERE;
use crate::stage::Outcome;
use crate::{project, run};

const TARGET: &str = "aarch64-unknown-linux-gnu";
const LINKER: &str = "aarch64-linux-gnu-gcc";
const EMULATOR: &str = "qemu-aarch64-static";
/// Where Debian keeps the other architecture's C library.
const LIBRARIES: &str = "/usr/aarch64-linux-gnu";

/// Tests that the emulator fails, not we, with what it does wrong.
const EMULATOR_FAILS: &[(&str, &str)] = &[(
    "blocking_sigbus_defeats_its_handler",
    "a kernel ends a process that blocks the signal of its fault; the emulator faults for ever",
)];

/// What to run.
#[derive(Args, Default)]
pub(crate) struct Options {
    /// Arguments for the test programs, such as a filter
    #[arg(last = true)]
    arguments: Vec<String>,
}

/// Builds the tests with Debian's compiler and runs them under emulation.
pub(crate) fn run(options: &Options) -> Result<Outcome> {
    if !cfg!(target_arch = "x86_64") {
        return Ok(Outcome::Skipped("the tests for aarch64 are cross-built on x86-64 only".to_owned()));
    }
    let needed = [
        (LINKER, run::exists(LINKER), "gcc-aarch64-linux-gnu"),
        (EMULATOR, run::exists(EMULATOR), "qemu-user-static"),
        (
            "the aarch64 C library",
            Path::new(LIBRARIES).join("lib/libc.so.6").exists(),
            "libc6-dev-arm64-cross",
        ),
    ];
    if let Some((tool, _, package)) = needed.iter().find(|(_, found, _)| !found) {
        return Ok(Outcome::Skipped(format!("{tool} is missing: apt-get install {package}")));
    }
    let compiler = match compiler() {
        Ok(compiler) => compiler,
        Err(error) => return Ok(Outcome::Skipped(format!("no compiler for {TARGET}: {error:#}"))),
    };
    let mut command = cross_cargo(&compiler, ["test", "--no-fail-fast", "--target", TARGET]);
    command.args(ELSEWHERE).arg("--").args(&options.arguments);
    for (test, reason) in EMULATOR_FAILS {
        println!("SKIPPED under emulation: {test}: {reason}");
        command.args(["--skip", test]);
    }
    Ok(match run_tests(&mut command)? {
        Outcome::Passed(note) => Outcome::Passed(format!("{note}, {} left out", EMULATOR_FAILS.len())),
        skipped @ Outcome::Skipped(_) => skipped,
    })
}

/// Begins a cargo that builds for aarch64, and runs what it built under emulation.
fn cross_cargo<'a>(compiler: &Path, arguments: impl IntoIterator<Item = &'a str>) -> Command {
    let emulator = format!("{EMULATOR} -L {LIBRARIES}");
    let mut command = cargo(arguments);
    command.env("RUSTC", compiler).env("CARGO_TARGET_AARCH64_UNKNOWN_LINUX_GNU_LINKER", LINKER);
    command.env("CARGO_TARGET_AARCH64_UNKNOWN_LINUX_GNU_RUNNER", &emulator);
    // A test that starts its own program again needs the emulator in front of it, too.
    command.env("MAPWRIGHT_TEST_RUNNER", &emulator);
    command
}

/// Debian's compiler with the standard library of both architectures.
fn compiler() -> Result<PathBuf> {
    let debian = Debian::release("bookworm")?;
    let library = debian.dependency("libstd-rust-web-dev", "libstd-rust-web-")?;
    let llvm = debian.dependency(&library, "libllvm")?;
    let folder = project::target().join("aarch64-toolchain");
    let packages =
        ["rustc-web", "libstd-rust-web-dev", "libstd-rust-web-dev:arm64", library.as_str(), llvm.as_str()];
    debian.unpack(&packages, &folder)?;
    // The compiler finds its own libraries by a variable that nothing else must see.
    let script = folder.join("rustc");
    let usr = folder.join("usr").display().to_string();
    let text =
        format!("#!/bin/sh\nLD_LIBRARY_PATH='{usr}/lib/x86_64-linux-gnu' exec '{usr}/bin/rustc' \"$@\"\n");
    fs::write(&script, text).with_context(|| format!("writing {}", script.display()))?;
    let permissions = fs::Permissions::from_mode(0o755);
    fs::set_permissions(&script, permissions).context("making the compiler's script executable")?;
    println!("{}", run::read(run::command(&script).arg("--version"))?.trim());
    Ok(script)
}
