//! Cargo: its commands, and how many tests they ran.

use std::fmt;
use std::process::Command;

use anyhow::{Result, bail};

use crate::run;
use crate::stage::Outcome;

/// How many tests the test programs of one command ran.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Tests {
    pub(crate) passed: u64,
    pub(crate) failed: u64,
    pub(crate) ignored: u64,
    /// Lines that tell of a skip.
    pub(crate) skips: u64,
}

/// Begins `cargo` with these arguments.
pub(crate) fn cargo<'a>(arguments: impl IntoIterator<Item = &'a str>) -> Command {
    let mut command = run::command("cargo");
    command.args(arguments);
    command
}

/// Begins nightly's `cargo`; gives the reason if this machine has none.
pub(crate) fn nightly<'a>(arguments: impl IntoIterator<Item = &'a str>) -> Result<Command, String> {
    let mut probe = run::command("rustup");
    if run::read(probe.args(["run", "nightly", "rustc", "--version"])).is_err() {
        return Err("no nightly compiler: `rustup toolchain install nightly` brings it".to_owned());
    }
    let mut command = cargo(arguments);
    command.env("RUSTUP_TOOLCHAIN", "nightly");
    Ok(command)
}

/// Runs a command that runs tests. That no test ran at all is a failure: a filter that matches nothing proves
/// nothing.
pub(crate) fn run_tests(command: &mut Command) -> Result<Outcome> {
    let watched = run::watch(command)?;
    let tests = Tests::counted_in(&watched.printed);
    if !watched.succeeded {
        bail!("`{}` ended with {} ({tests})", run::describe(command), watched.status);
    }
    tests.into_outcome()
}

impl Tests {
    /// Adds up the lines in which each test program tells its result.
    pub(crate) fn counted_in(printed: &str) -> Tests {
        let mut tests = Tests::default();
        for line in printed.lines().map(str::trim_start) {
            // A test that cannot run says so itself, and libtest counts it as passed.
            tests.skips += u64::from(line.starts_with("SKIPPED"));
            if !line.starts_with("test result: ") {
                continue;
            }
            tests.passed += number_before(line, " passed");
            tests.failed += number_before(line, " failed");
            tests.ignored += number_before(line, " ignored");
        }
        tests
    }

    /// A pass that says how many, or an error if there was nothing to pass or something failed.
    pub(crate) fn into_outcome(self) -> Result<Outcome> {
        if self.failed > 0 {
            bail!("{self}");
        }
        if self.passed == 0 {
            bail!("no test ran: the filter matches nothing, or the tests are gone");
        }
        Ok(Outcome::Passed(self.to_string()))
    }
}

impl fmt::Display for Tests {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{} tests passed, {} failed, {} ignored", self.passed, self.failed, self.ignored)?;
        if self.skips > 0 { write!(out, ", {} lines say SKIPPED", self.skips) } else { Ok(()) }
    }
}

fn number_before(line: &str, word: &str) -> u64 {
    let Some(end) = line.find(word) else { return 0 };
    let digits = line[..end].rsplit(|c: char| !c.is_ascii_digit()).next().unwrap_or_default();
    digits.parse().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn results_of_several_programs_add_up() {
        let stdout = "running 2 tests\n\
            test result: ok. 12 passed; 0 failed; 1 ignored; 3 filtered out\n\
            SKIPPED one: no disk\n\
            test result: FAILED. 1 passed; 2 failed; 0 ignored; 0 filtered out\n";
        let tests = Tests::counted_in(stdout);
        assert_eq!(tests, Tests { passed: 13, failed: 2, ignored: 1, skips: 1 });
        assert!(tests.into_outcome().is_err());
    }

    #[test]
    fn nothing_run_is_a_failure() {
        let tests = Tests::counted_in("test result: ok. 0 passed; 0 failed; 0 ignored; 9 filtered out\n");
        assert!(tests.into_outcome().unwrap_err().to_string().contains("no test ran"));
    }
}
