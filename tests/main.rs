//! The proof: the real kernel, real processes, the real program.
//!
//! One binary with two lives, told apart at the top of [`main`]:
//!
//! - the test runner (libtest's command line and output, through `libtest-mimic`);
//! - a *role*: a child process that a test starts, to die of a signal, to be killed, or to serve a file
//!   system. Roles run on the main thread of a fresh process, as a user's program does; a test function of
//!   the standard harness would run on a helper thread, with the harness's words mixed into its output.
//!
//! A skip is loud and counted (`support::skip`); every test runs under a watchdog (`support::watchdog`).
#![allow(clippy::unwrap_used, clippy::panic, clippy::print_stdout, reason = "everything here is a test")]

mod arrays;
mod atomics;
mod background;
mod bad_input;
mod cache;
mod devices;
mod durability;
mod fallbacks;
mod files;
mod forks;
mod frozen;
mod full_disk;
mod huge;
mod infrastructure;
mod intent;
mod io_errors;
mod kills;
mod maps;
mod memory;
mod options;
mod program;
mod share;
mod signals;
mod support;
mod truncation;

use std::process::ExitCode;
use support::suite::Suite;

/// Every suite, from the foundations up.
const SUITES: &[Suite] = &[
    infrastructure::SUITE,
    support::failing_fs::SUITE,
    atomics::SUITE,
    truncation::SUITE,
    truncation::arrays::SUITE,
    full_disk::SUITE,
    io_errors::SUITE,
    durability::SUITE,
    signals::SUITE,
    forks::SUITE,
    arrays::SUITE,
    intent::SUITE,
    fallbacks::SUITE,
    files::SUITE,
    devices::SUITE,
    cache::SUITE,
    memory::SUITE,
    huge::SUITE,
    options::SUITE,
    background::SUITE,
    frozen::SUITE,
    maps::SUITE,
    maps::private::SUITE,
    kills::calls::SUITE,
    kills::arrays::SUITE,
    kills::maps::SUITE,
    program::SUITE,
    share::segments::SUITE,
    share::clock::SUITE,
    share::hostile::SUITE,
    share::libraries::SUITE,
    share::storm::SUITE,
    bad_input::SUITE,
    bad_input::spans::SUITE,
];

fn main() -> ExitCode {
    if let Some(end) = support::process::play_role(SUITES) {
        return end;
    }
    support::sandbox::enter();
    support::suite::run(SUITES)
}
