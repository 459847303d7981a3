//! Core's tests under AddressSanitizer: reads and writes beyond, before and after what was allocated.
//!
//! A sanitizer that is not really there finds nothing and passes everything, so a program with a planted bug
//! must be caught first.

use std::fs;

use anyhow::{Context, Result, bail};
use clap::Args;

use crate::cargo::{nightly, run_tests};
use crate::stage::Outcome;
use crate::{project, run};

/// A program that reads memory which it gave back.
const PLANTED: &str = r#"
fn main() {
    let given_back = Box::into_raw(Box::new(std::hint::black_box(7_u64)));
    let read = unsafe {
        drop(Box::from_raw(given_back));
        given_back.read_volatile()
    };
    println!("read {read} and nobody noticed");
}
"#;

const FLAGS: &str = "-Zsanitizer=address";

/// Only code for the target is instrumented; without this, build scripts and macros would be, too.
const TARGET: &str = "x86_64-unknown-linux-gnu";

/// The sanitizer replaces mlock(2) by a call that does nothing: what these tests look for cannot happen.
const WITHOUT_LOCKS: [&str; 4] = ["--skip", "changes::lock::", "--skip", "locked_pages_are_found"];

/// What is meant to live as long as the process, and so is no leak: sealed maps, and shared memory with a
/// lock in it whose guard was leaked, on which the kernel's list still stands.
const KEPT_FOR_EVER: &str = "leak:changes::seal\nleak:peer::tests::robust\nleak:leaked_guard\n";

/// What to run.
#[derive(Args, Default)]
pub(crate) struct Options {
    /// Arguments for the test program, such as a filter
    #[arg(last = true)]
    arguments: Vec<String>,
}

/// Proves the sanitizer, then runs the tests under it.
pub(crate) fn run(options: &Options) -> Result<Outcome> {
    if !cfg!(all(target_arch = "x86_64", target_env = "gnu")) {
        return Ok(Outcome::Skipped(format!("AddressSanitizer is run on {TARGET} only")));
    }
    let mut command =
        match nightly(["test", "--package", "mapwright-core", "--lib", "--target", TARGET, "--"]) {
            Ok(command) => command,
            Err(reason) => return Ok(Outcome::Skipped(reason)),
        };
    find_planted_bug()?;
    println!("left out, since the sanitizer makes mlock(2) do nothing: {}", WITHOUT_LOCKS.join(" "));
    let kept = project::target().join("asan/kept-for-ever");
    fs::write(&kept, KEPT_FOR_EVER).with_context(|| format!("writing {}", kept.display()))?;
    command.env("LSAN_OPTIONS", format!("suppressions={}", kept.display()));
    run_tests(command.args(WITHOUT_LOCKS).args(&options.arguments).env("RUSTFLAGS", FLAGS))
}

fn find_planted_bug() -> Result<()> {
    let folder = project::target().join("asan");
    fs::create_dir_all(&folder).with_context(|| format!("creating {}", folder.display()))?;
    let (source, program) = (folder.join("planted.rs"), folder.join("planted"));
    fs::write(&source, PLANTED).with_context(|| format!("writing {}", source.display()))?;
    let mut compiler = run::command("rustc");
    compiler
        .env("RUSTUP_TOOLCHAIN", "nightly")
        .args(["--edition=2024", FLAGS, "-o"])
        .arg(&program)
        .arg(&source);
    run::must_succeed(&mut compiler)?;
    let output = run::command(&program).output().context("starting the program with the planted bug")?;
    let report = String::from_utf8_lossy(&output.stderr);
    if output.status.success() || !report.contains("AddressSanitizer: heap-use-after-free") {
        bail!("the sanitizer did not find the planted bug ({}): {}", output.status, report.trim());
    }
    println!("the sanitizer finds the planted bug");
    Ok(())
}
