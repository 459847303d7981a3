//! Models of the places where threads and processes meet: the `loom_*` tests of core and the `model_*`
//! tests of share, in every order of their steps; and those of share once more under shuttle, in many random
//! orders.
//!
//! "Every" is bounded: a thread is interrupted against its will so many times in a run. What is known of such
//! errors is found by two interruptions; three take seconds here, and no bound took seven minutes.

use std::process::Command;

use anyhow::Result;
use clap::Args;

use crate::cargo::{cargo, run_tests};
use crate::stage::Outcome;

/// How far to search.
#[derive(Args)]
pub(crate) struct Options {
    /// How many times threads are interrupted in one run; 0 sets no bound
    #[arg(long, default_value_t = 3)]
    preemptions: u32,
}

impl Default for Options {
    fn default() -> Self {
        Self { preemptions: 3 }
    }
}

/// Builds core and share with their synchronisation replaced by the model checker's, and runs what is named
/// for it.
pub(crate) fn run(options: &Options) -> Result<Outcome> {
    let packages = ["--package", "mapwright-core", "--package", "mapwright-share"];
    let mut command = checker("loom", &packages);
    if options.preemptions > 0 {
        command.env("LOOM_MAX_PREEMPTIONS", options.preemptions.to_string());
    }
    run_tests(&mut command)
}

/// The same models of share in random orders: more threads' worth of them than can be enumerated.
pub(crate) fn shuttle() -> Result<Outcome> {
    run_tests(&mut checker("shuttle", &["--package", "mapwright-share"]))
}

fn checker(name: &str, packages: &[&str]) -> Command {
    let mut command = cargo(["test", "--lib", "--release"]);
    command.args(packages).args(["--", "loom", "model"]);
    // Millions of orders are run: optimised, but link-time optimisation would only take time.
    command.env("RUSTFLAGS", format!("--cfg {name}")).env("CARGO_PROFILE_RELEASE_LTO", "off");
    command.env("CARGO_PROFILE_RELEASE_DEBUG", "0").env("CARGO_PROFILE_RELEASE_CODEGEN_UNITS", "16");
    command
}
