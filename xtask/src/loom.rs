//! The `loom_*` tests of core: small models of the places where threads meet, run in every order that they
//! can.

use anyhow::Result;

use crate::cargo::{cargo, run_tests};
use crate::stage::Outcome;

/// Builds core with its synchronisation replaced by the model checker's, and runs what is named for it.
pub(crate) fn run() -> Result<Outcome> {
    let mut command = cargo(["test", "--package", "mapwright-core", "--lib", "--release", "loom"]);
    // Millions of orders are run: optimised, but link-time optimisation would only take time.
    run_tests(command.env("RUSTFLAGS", "--cfg loom").env("CARGO_PROFILE_RELEASE_LTO", "off"))
}
