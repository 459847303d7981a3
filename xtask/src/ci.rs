//! Everything that must hold before a change goes to main, as one table of stages.
//!
//! The order puts what is cheap and what most often fails first. Workspaces of their own (`bench`, `fuzz`)
//! build into our target folder, where they find the dependencies that are built already.

use std::process::ExitCode;

use anyhow::{Context, Result};
use clap::Args;

use crate::cargo::{cargo, run_tests};
use crate::machine::{Kernel, Processor};
use crate::stage::{Outcome, Stage, Summary};
use crate::{asan, compat, fuzz, loom, project, run, tidy, vm};

const STAGES: &[Stage] = &[
    Stage { name: "fmt", work: fmt },
    Stage { name: "tidy", work: tidy::run },
    Stage { name: "test", work: test },
    Stage { name: "clippy", work: clippy },
    Stage { name: "docs", work: docs },
    Stage { name: "bench", work: bench },
    Stage { name: "loom", work: || loom::run(&loom::Options::default()) },
    Stage { name: "shuttle", work: loom::shuttle },
    Stage { name: "asan", work: || asan::run(&asan::Options::default()) },
    Stage { name: "compat", work: || compat::run(&compat::Options::default()) },
    Stage { name: "fuzz", work: || fuzz::run(&fuzz::Options::default()) },
    Stage { name: "machines", work: machines },
];

/// Which stages to run.
#[derive(Args)]
pub(crate) struct Options {
    /// Run only these stages (all if none is named)
    stages: Vec<String>,
    /// Leave this stage out
    #[arg(long, value_name = "STAGE")]
    without: Vec<String>,
    /// Count a skipped stage as a failure, for a machine that is known to have everything
    #[arg(long)]
    no_skips: bool,
}

/// Runs the chosen stages and prints the table of what became of them.
pub(crate) fn run(options: &Options) -> ExitCode {
    if let Some(unknown) = options.unknown() {
        let known: Vec<_> = STAGES.iter().map(|stage| stage.name).collect();
        eprintln!("error: there is no stage `{unknown}`; the stages are {}", known.join(", "));
        return ExitCode::from(2);
    }
    let mut summary = Summary::default();
    for stage in STAGES.iter().filter(|stage| options.chooses(stage)) {
        summary.run(stage);
    }
    println!("\n{summary}");
    let refused = summary.failed() + if options.no_skips { summary.skipped() } else { 0 };
    if refused == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

impl Options {
    fn unknown(&self) -> Option<&String> {
        let mut named = self.stages.iter().chain(&self.without);
        named.find(|name| !STAGES.iter().any(|stage| stage.name == **name))
    }

    fn chooses(&self, stage: &Stage) -> bool {
        let named = |names: &[String]| names.iter().any(|name| name == stage.name);
        (self.stages.is_empty() || named(&self.stages)) && !named(&self.without)
    }
}

fn fmt() -> Result<Outcome> {
    run::must_succeed(&mut cargo(["fmt", "--all", "--check"]))?;
    for workspace in own_workspaces() {
        let manifest = format!("{workspace}/Cargo.toml");
        run::must_succeed(&mut cargo(["fmt", "--all", "--check", "--manifest-path", &manifest]))?;
    }
    Ok(Outcome::Passed("formatted".to_owned()))
}

fn test() -> Result<Outcome> {
    // The README's command, to the letter.
    run_tests(&mut cargo(["test", "--workspace"]))
}

fn clippy() -> Result<Outcome> {
    run::must_succeed(&mut cargo([
        "clippy",
        "--workspace",
        "--all-targets",
        "--all-features",
        "--",
        "-D",
        "warnings",
    ]))?;
    Ok(Outcome::Passed("no warnings".to_owned()))
}

fn docs() -> Result<Outcome> {
    // The program has the library's name, and its pages would overwrite the library's.
    let mut command = cargo(["doc", "--workspace", "--lib", "--no-deps", "--all-features"]);
    run::must_succeed(command.env("RUSTDOCFLAGS", "-D warnings"))?;
    Ok(Outcome::Passed("no warnings".to_owned()))
}

fn bench() -> Result<Outcome> {
    if !project::root().join("bench/Cargo.toml").exists() {
        return Ok(Outcome::Skipped("bench/Cargo.toml does not exist".to_owned()));
    }
    let target = project::target();
    let mut command = cargo(["clippy", "--manifest-path", "bench/Cargo.toml", "--all-targets"]);
    run::must_succeed(command.arg("--target-dir").arg(target).args(["--", "-D", "warnings"]))?;
    Ok(Outcome::Passed("compiles without warnings".to_owned()))
}

/// The tests on other kernels and another processor, two machines at a time: each emulates one processor.
///
/// The oldest kernel lacks most: everything runs on it. What the newest has besides, and what is other on
/// aarch64 (there with Linux 6.1), is core's affair; `cargo xtask vm --processor aarch64` runs all of it.
fn machines() -> Result<Outcome> {
    let on_this_processor = || {
        let oldest = vm::run(&vm::Options::on(Kernel::V5_10, Processor::X86_64));
        let newest = vm::run(&vm::Options::on(Kernel::V6_12, Processor::X86_64).of_core());
        [("vm-5.10", oldest), ("vm-6.12", newest)]
    };
    let (arm, here) = std::thread::scope(|scope| {
        let arm = scope.spawn(|| vm::run(&vm::Options::on(Kernel::V6_1, Processor::Aarch64).of_core()));
        let here = on_this_processor();
        (arm.join().unwrap_or_else(|_| Err(anyhow::anyhow!("the stage panicked"))), here)
    });
    together(here.into_iter().chain([("aarch64", arm)]))
}

/// One outcome of several: failed where one failed, skipped where one was skipped, and what each says.
fn together(parts: impl IntoIterator<Item = (&'static str, Result<Outcome>)>) -> Result<Outcome> {
    let (mut notes, mut is_skipped) = (Vec::new(), false);
    for (name, part) in parts {
        match part.with_context(|| name)? {
            Outcome::Passed(note) => notes.push(format!("{name}: {note}")),
            Outcome::Skipped(reason) => {
                is_skipped = true;
                notes.push(format!("{name} skipped: {reason}"));
            }
        }
    }
    let notes = notes.join("; ");
    Ok(if is_skipped { Outcome::Skipped(notes) } else { Outcome::Passed(notes) })
}

/// The workspaces beside ours that exist.
fn own_workspaces() -> impl Iterator<Item = &'static str> {
    ["bench", "fuzz"].into_iter().filter(|folder| project::root().join(folder).join("Cargo.toml").exists())
}
