//! The `loom_*` tests of core: small models of the places where threads meet, run in every order of steps.
//!
//! "Every" is bounded: a thread is interrupted against its will so many times in a run. What is known of such
//! errors is found by two interruptions; three take seconds here, and no bound took seven minutes.

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

/// Builds core with its synchronisation replaced by the model checker's, and runs what is named for it.
pub(crate) fn run(options: &Options) -> Result<Outcome> {
    let mut command = cargo(["test", "--package", "mapwright-core", "--lib", "--release", "loom"]);
    // Millions of orders are run: optimised, but link-time optimisation would only take time.
    command.env("RUSTFLAGS", "--cfg loom").env("CARGO_PROFILE_RELEASE_LTO", "off");
    if options.preemptions > 0 {
        command.env("LOOM_MAX_PREEMPTIONS", options.preemptions.to_string());
    }
    run_tests(&mut command)
}
