//! How a command ends: what it could do, what it could not, and the exit code that says so.
//!
//! A [`Failure`] is a sentence for people: what was tried, on what, and why it did not work, with what to do
//! about it where we know. Errors of the library already read so and are taken over word by word.

use std::fmt;
use std::io;
use std::process::ExitCode;

/// How far a command came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// All of it was done.
    Done,
    /// A part of it was done; the rest was named on stderr.
    Partly,
    /// None of it was done; everything was named on stderr.
    Failed,
    /// A command that was run for somebody ended with this code.
    Ended(u8),
}

impl From<Outcome> for ExitCode {
    fn from(outcome: Outcome) -> Self {
        match outcome {
            Outcome::Done => Self::SUCCESS,
            Outcome::Failed => Self::from(1),
            Outcome::Partly => Self::from(3),
            Outcome::Ended(code) => Self::from(code),
        }
    }
}

/// Counts how many of a command's parts were done.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Tally {
    done: usize,
    partly: usize,
    failed: usize,
}

impl Tally {
    /// Counts one part.
    pub(crate) fn count(&mut self, outcome: Outcome) {
        let counter = match outcome {
            Outcome::Done | Outcome::Ended(0) => &mut self.done,
            Outcome::Partly => &mut self.partly,
            Outcome::Failed | Outcome::Ended(_) => &mut self.failed,
        };
        *counter += 1;
    }

    /// The outcome of all parts together; nothing to do is done.
    pub(crate) fn outcome(self) -> Outcome {
        match self {
            Self { partly: 0, failed: 0, .. } => Outcome::Done,
            Self { done: 0, partly: 0, .. } => Outcome::Failed,
            _ => Outcome::Partly,
        }
    }
}

/// Why a command, or one part of it, could not be done.
#[derive(Debug)]
pub(crate) enum Failure {
    /// Whoever reads our output has gone. Nobody is to be told.
    NobodyReads,
    /// A sentence, and what to do about it.
    Told {
        /// Whether it was asked for in a wrong way, whatever the state of the world.
        misused: bool,
        /// What was tried, on what, and why it did not work.
        what: String,
        /// What can be done about it.
        advice: Option<String>,
    },
}

impl Failure {
    /// A failure that is a sentence of our own.
    pub(crate) fn new(what: impl Into<String>) -> Self {
        Self::Told { misused: false, what: what.into(), advice: None }
    }

    /// Wrong usage that only a command itself can see.
    pub(crate) fn misuse(what: impl Into<String>) -> Self {
        Self::Told { misused: true, what: what.into(), advice: None }
    }

    /// The code that the program ends with because of it.
    pub(crate) fn code(&self) -> ExitCode {
        match self {
            Self::NobodyReads => ExitCode::SUCCESS,
            Self::Told { misused: true, .. } => ExitCode::from(2),
            Self::Told { misused: false, .. } => Outcome::Failed.into(),
        }
    }

    /// A failed call of the system, in the words of the library: `cannot DO THING: WHY`.
    pub(crate) fn os(action: &str, target: impl fmt::Display, cause: impl Into<io::Error>) -> Self {
        Self::new(format!("cannot {action} {target}: {}", reason(&cause.into())))
    }

    /// Adds what can be done about it.
    pub(crate) fn advice(self, advice: impl Into<String>) -> Self {
        match self {
            Self::Told { misused, what, .. } => Self::Told { misused, what, advice: Some(advice.into()) },
            Self::NobodyReads => Self::NobodyReads,
        }
    }

    /// A failure to write the command's own output.
    pub(crate) fn output(cause: io::Error) -> Self {
        match cause.kind() {
            io::ErrorKind::BrokenPipe => Self::NobodyReads,
            _ => Self::os("write", "the output", cause),
        }
    }
}

/// An operating-system error as part of a sentence: without its number, in lower case.
pub(crate) fn reason(error: &io::Error) -> String {
    let text = error.to_string();
    let text = text.split(" (os error").next().unwrap_or(&text);
    let mut letters = text.chars();
    let first = letters.next().map(|first| first.to_lowercase().to_string());
    first.unwrap_or_default() + letters.as_str()
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NobodyReads => write!(f, "nobody reads the output"),
            Self::Told { what, .. } => write!(f, "{what}"),
        }
    }
}

impl From<mapwright::Error> for Failure {
    fn from(error: mapwright::Error) -> Self {
        Self::new(error.to_string())
    }
}

impl From<mapwright::Fault> for Failure {
    fn from(fault: mapwright::Fault) -> Self {
        Self::new(fault.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn some_done_and_some_failed_is_partly_done() {
        let outcome = |outcomes: &[Outcome]| {
            let mut tally = Tally::default();
            outcomes.iter().for_each(|&outcome| tally.count(outcome));
            tally.outcome()
        };
        assert_eq!(outcome(&[]), Outcome::Done);
        assert_eq!(outcome(&[Outcome::Done, Outcome::Done]), Outcome::Done);
        assert_eq!(outcome(&[Outcome::Failed, Outcome::Failed]), Outcome::Failed);
        assert_eq!(outcome(&[Outcome::Done, Outcome::Failed]), Outcome::Partly);
        assert_eq!(outcome(&[Outcome::Partly]), Outcome::Partly);
    }

    #[test]
    fn a_failed_call_reads_as_a_sentence() {
        let failure = Failure::os("open", "\"/x\"", io::Error::from_raw_os_error(2));
        assert_eq!(failure.to_string(), "cannot open \"/x\": no such file or directory");
    }

    #[test]
    fn a_reader_that_left_is_no_failure_to_tell() {
        let failure = Failure::output(io::Error::from(io::ErrorKind::BrokenPipe));
        assert!(matches!(failure.advice("nothing"), Failure::NobodyReads));
    }
}
