//! All automation of the project: `cargo xtask TASK`.
//!
//! What runs where is one table (`ci`); how a step's end is told and counted is one type (`stage`); how a
//! program is started is one file (`run`). Everything else is one task a file. There are no shell scripts
//! beside `.ci/run`, which only installs packages and calls us.
//!
//! Tools that a machine may lack (QEMU, a cross linker, a nightly compiler, the network) are looked for when
//! they are needed; a task that cannot run says so loudly and is counted as skipped, never as passed.
#![allow(clippy::print_stdout, reason = "a task's report is its output")]

mod aarch64;
mod asan;
mod cargo;
mod ci;
mod compat;
mod cpio;
mod debian;
mod fuzz;
mod guest;
mod loom;
mod machine;
mod man;
mod modules;
mod programs;
mod project;
mod run;
mod stage;
mod tidy;
mod vm;

use std::process::ExitCode;

use anyhow::Result;
use clap::{Parser, Subcommand};

use crate::machine::{Kernel, Processor};
use crate::stage::Outcome;

/// Automation of the Mapwright project.
#[derive(Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask")]
struct Arguments {
    #[command(subcommand)]
    task: Task,
}

/// One task; each is a module of the same name.
#[derive(Subcommand)]
enum Task {
    /// Every check of the project, with the time each stage took and a count at the end
    Ci(ci::Options),
    /// Our own lint of the tree
    Tidy,
    /// The tests for aarch64, built by Debian's compiler, on an emulated machine
    Aarch64 {
        /// Arguments for the test programs, such as a filter
        #[arg(last = true)]
        arguments: Vec<String>,
    },
    /// Core's tests under AddressSanitizer, after proving that it finds a planted bug
    Asan(asan::Options),
    /// The tests inside a small virtual machine with an older kernel and an fs-verity disk
    Vm(vm::Options),
    /// The `loom_*` tests of core, in which threads meet in every order
    Loom(loom::Options),
    /// The test suites of memmap2's well-known dependents, against our memmap2
    Compat(compat::Options),
    /// Every fuzz target for a short time
    Fuzz(fuzz::Options),
    /// Man pages and shell completions into target/man and target/completions
    Man,
}

fn main() -> ExitCode {
    let outcome = match Arguments::parse().task {
        Task::Ci(options) => return ci::run(&options),
        Task::Tidy => tidy::run(),
        Task::Aarch64 { arguments } => {
            vm::run(&vm::Options::on(Kernel::V6_1, Processor::Aarch64).with(arguments))
        }
        Task::Asan(options) => asan::run(&options),
        Task::Vm(options) => vm::run(&options),
        Task::Loom(options) => loom::run(&options),
        Task::Compat(options) => compat::run(&options),
        Task::Fuzz(options) => fuzz::run(&options),
        Task::Man => man::run(),
    };
    conclude(outcome)
}

/// Says how a task that was called by itself ended. A skip is not a success: it has the code for "partly
/// done".
fn conclude(outcome: Result<Outcome>) -> ExitCode {
    match outcome {
        Ok(Outcome::Passed(note)) => {
            println!("passed: {note}");
            ExitCode::SUCCESS
        }
        Ok(Outcome::Skipped(reason)) => {
            println!("SKIPPED: {reason}");
            ExitCode::from(3)
        }
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}
