//! Which tests and roles there are, and how a test is run: under the watchdog, its skip counted.
//!
//! A module lists its functions with `suite!`. One that is left out of the list is dead code, which the lints
//! refuse.

use super::process::Parent;
use super::program::{self, Library};
use super::skip::{self, Skip};
use super::watchdog::Watch;
use libtest_mimic::{Arguments, Trial};
use std::process::ExitCode;

/// What a test that may skip returns; one that cannot returns nothing.
pub(crate) type Verdict = Result<(), Skip>;

/// The tests and roles of one module.
pub(crate) struct Suite {
    pub(crate) tests: &'static [Test],
    pub(crate) roles: &'static [Role],
}

/// A named test.
pub(crate) struct Test {
    pub(crate) name: &'static str,
    pub(crate) run: fn() -> Verdict,
}

impl Test {
    /// Builds the programs that it starts.
    fn prepare(&self) {
        let name = without_crate(self.name);
        if name.starts_with("program::") {
            drop(program::path());
        }
        if name.starts_with("share::libraries::") {
            drop(Library::ALL.map(program::peer));
        }
    }
}

/// A named main function of a child process.
pub(crate) struct Role {
    pub(crate) name: &'static str,
    pub(crate) run: fn(&mut Parent),
}

/// Lists a module's tests and roles as its `SUITE`.
macro_rules! suite {
    (tests: [$($test:ident),* $(,)?], roles: [$($role:ident),* $(,)?] $(,)?) => {
        pub(crate) const SUITE: $crate::support::suite::Suite = $crate::support::suite::Suite {
            tests: &[$($crate::support::suite::Test {
                name: concat!(module_path!(), "::", stringify!($test)),
                run: || $crate::support::suite::Conclude::conclude($test()),
            }),*],
            roles: &[$($crate::support::suite::Role {
                name: concat!(module_path!(), "::", stringify!($role)),
                run: $role,
            }),*],
        };
    };
}

/// The name of a role, checked by the compiler to be one.
macro_rules! role {
    ($role:ident) => {{
        let _: fn(&mut $crate::support::process::Parent) = $role;
        concat!(module_path!(), "::", stringify!($role))
    }};
}

pub(crate) use {role, suite};

/// Lets a test return nothing or a [`Verdict`].
pub(crate) trait Conclude {
    fn conclude(self) -> Verdict;
}

impl Conclude for () {
    fn conclude(self) -> Verdict {
        Ok(())
    }
}

impl Conclude for Verdict {
    fn conclude(self) -> Verdict {
        self
    }
}

/// Runs the tests that the command line chooses.
pub(crate) fn run(suites: &[Suite]) -> ExitCode {
    let tests = suites.iter().flat_map(|suite| suite.tests);
    let trials = tests
        .map(|test| {
            let name = without_crate(test.name);
            let run = test.run;
            Trial::ignorable_test(name, move || {
                let _watch = Watch::over(name);
                skip::judge(name, run())
            })
        })
        .collect();
    let arguments = Arguments::from_args();
    let is_chosen = |name: &str| arguments.filter.as_deref().is_none_or(|filter| name.contains(filter));
    if !arguments.list {
        // Now: cargo's work must not count against the patience with the first test.
        let chosen = suites.iter().flat_map(|suite| suite.tests).filter(|test| is_chosen(test.name));
        chosen.for_each(Test::prepare);
    }
    let conclusion = libtest_mimic::run(&arguments, trials);
    skip::print_summary();
    conclusion.exit_code()
}

/// The name as users type it: the crate's own name says nothing.
fn without_crate(name: &'static str) -> &'static str {
    name.split_once("::").map_or(name, |(_, rest)| rest)
}
