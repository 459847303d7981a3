//! Programs for aarch64, built on an x86-64 machine: by Debian's cross linker and Debian's compiler, whose
//! aarch64 standard library can be unpacked beside its own. It is a second version of the compiler as well.
//!
//! They run on a whole emulated machine (`vm`). QEMU can also translate a single program
//! (`qemu-aarch64-static`); that was tried, and it answers "done" to advice about memory, locks and blocked
//! signals without doing it. Emulation proves logic, assembly and the kernel's part. It proves nothing about
//! weak memory ordering or speed.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};

use crate::cargo::cargo;
use crate::debian::Debian;
use crate::{project, run};

const TARGET: &str = "aarch64-unknown-linux-gnu";
const LINKER: &str = "aarch64-linux-gnu-gcc";

/// The C library for the other architecture, where Debian keeps it.
const LIBRARY: &str = "/usr/aarch64-linux-gnu/lib/libc.a";

/// Begins a cargo that builds for aarch64 with Debian's compiler and linker, or says what is missing for it.
pub(crate) fn cross_cargo() -> Result<Command, String> {
    if !cfg!(target_arch = "x86_64") {
        return Err(format!("{TARGET} is cross-built on x86-64 only"));
    }
    if !run::exists(LINKER) {
        return Err(format!("{LINKER} is missing: apt-get install gcc-aarch64-linux-gnu"));
    }
    if !Path::new(LIBRARY).exists() {
        return Err("the C library for aarch64 is missing: apt-get install libc6-dev-arm64-cross".to_owned());
    }
    let compiler = compiler().map_err(|error| format!("no compiler for {TARGET}: {error:#}"))?;
    let mut command = cargo([]);
    command.env("CARGO_BUILD_TARGET", TARGET).env("RUSTC", compiler);
    command.env("CARGO_TARGET_AARCH64_UNKNOWN_LINUX_GNU_LINKER", LINKER);
    Ok(command)
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
