//! Child processes: this binary again, in a role.
//!
//! `run(role!(dies_by_store), &[])` runs a role to its end and reports how it ended and what it printed.
//! [`Process`] is one to talk with, line by line over its stdin and stdout, and to kill. Children never
//! outlive the runner: they die with the thread that started them. `MAPWRIGHT_TEST_RUNNER` is put before the
//! command where the binary cannot be executed by itself (`qemu-aarch64-static -L …`).

use super::suite::{Role, Suite};
use rustix::process::{Resource, Rlimit, Signal};
use std::fmt;
use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, ExitCode, ExitStatus, Stdio};

const ROLE: &str = "--role";

/// How a process ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ended {
    /// It returned or called exit.
    Exit(i32),
    /// A signal killed it.
    Signal(i32),
}

impl From<ExitStatus> for Ended {
    fn from(status: ExitStatus) -> Self {
        match (status.code(), status.signal()) {
            (Some(code), _) => Self::Exit(code),
            (None, Some(signal)) => Self::Signal(signal),
            (None, None) => panic!("neither an exit nor a signal: {status:?}"),
        }
    }
}

/// How a role ended, and all it printed.
#[derive(Debug)]
pub(crate) struct Report {
    pub(crate) ended: Ended,
    pub(crate) said: String,
    pub(crate) stderr: String,
}

impl Report {
    /// Asserts the end, showing what the child printed if it was another.
    #[track_caller]
    pub(crate) fn assert_ended(&self, expected: Ended) -> &Self {
        assert_eq!(self.ended, expected, "{self}");
        self
    }

    /// Asserts that the role returned.
    #[track_caller]
    pub(crate) fn assert_ok(&self) -> &Self {
        self.assert_ended(Ended::Exit(0))
    }

    /// Asserts that a signal killed the role.
    #[track_caller]
    pub(crate) fn assert_died_of(&self, signal: i32) -> &Self {
        self.assert_ended(Ended::Signal(signal))
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "the child ended with {:?}\nit said:\n{}\nits stderr:\n{}",
            self.ended, self.said, self.stderr
        )
    }
}

/// Runs a role to its end.
pub(crate) fn run(role: &str, args: &[&str]) -> Report {
    report(command(role, args).stdin(Stdio::null()))
}

/// Runs a command to its end.
pub(crate) fn report(command: &mut Command) -> Report {
    let output = command.output().unwrap();
    Report {
        ended: output.status.into(),
        said: String::from_utf8_lossy(&output.stdout).into_owned(),
        stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
    }
}

/// A running role. Dropping it kills it.
pub(crate) struct Process {
    role: String,
    child: Child,
    stdin: Option<ChildStdin>,
    stdout: BufReader<ChildStdout>,
}

impl Process {
    /// Starts a role that the test talks with.
    pub(crate) fn start(role: &str, args: &[&str]) -> Self {
        Self::start_with_stdin(role, args, Stdio::piped())
    }

    /// Starts a role that is handed this as its stdin.
    pub(crate) fn start_with_stdin(role: &str, args: &[&str], stdin: Stdio) -> Self {
        Self::spawn(role, command(role, args).stdin(stdin))
    }

    /// Starts another program that the test talks with.
    pub(crate) fn start_command(name: &str, command: &mut Command) -> Self {
        Self::spawn(name, command.stdin(Stdio::piped()))
    }

    fn spawn(name: &str, command: &mut Command) -> Self {
        let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
        let stdout = BufReader::new(child.stdout.take().unwrap());
        Self { role: name.to_owned(), stdin: child.stdin.take(), stdout, child }
    }

    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// Sends a line.
    pub(crate) fn say(&mut self, line: &str) {
        writeln!(self.stdin.as_mut().unwrap(), "{line}").unwrap();
    }

    /// Receives a line.
    pub(crate) fn hear(&mut self) -> String {
        let mut line = String::new();
        if self.stdout.read_line(&mut line).unwrap() == 0 {
            panic!("{} fell silent: {:?}", self.role, self.child.wait().map(Ended::from));
        }
        line.trim_end().to_owned()
    }

    /// Receives all lines until the role closes its stdout.
    pub(crate) fn hear_all(&mut self) -> String {
        let mut said = String::new();
        self.stdout.read_to_string(&mut said).unwrap();
        said
    }

    /// Whether it has ended.
    pub(crate) fn is_over(&mut self) -> bool {
        self.child.try_wait().unwrap().is_some()
    }

    /// Kills it as the kernel's memory killer would: nothing of it runs any more.
    pub(crate) fn kill(mut self) -> Ended {
        self.child.kill().unwrap();
        self.child.wait().unwrap().into()
    }

    /// Closes its stdin and waits for its own end.
    pub(crate) fn wait(mut self) -> Ended {
        drop(self.stdin.take());
        self.child.wait().unwrap().into()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // Both fail only for a child that is gone already.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// The command that runs a role, for who starts it in a way of their own.
pub(crate) fn command(role: &str, args: &[&str]) -> Command {
    let mut command = program(&std::env::current_exe().unwrap());
    command.arg(ROLE).arg(role).args(args);
    command
}

/// A command that starts a program of the processor that the tests are for.
pub(crate) fn program(path: &Path) -> Command {
    let runner = std::env::var("MAPWRIGHT_TEST_RUNNER").unwrap_or_default();
    let mut words = runner.split_whitespace();
    match words.next() {
        None => Command::new(path),
        Some(first) => {
            let mut command = Command::new(first);
            command.args(words).arg(path);
            command
        }
    }
}

/// The test that started this role, seen from the role.
pub(crate) struct Parent {
    args: Vec<String>,
}

impl Parent {
    /// The n-th argument.
    pub(crate) fn arg(&self, n: usize) -> &str {
        &self.args[n]
    }

    /// Sends a line.
    pub(crate) fn say(&mut self, line: impl fmt::Display) {
        println!("{line}");
    }

    /// Receives a line; the test's end is also the role's.
    pub(crate) fn hear(&mut self) -> String {
        let mut line = String::new();
        let length = std::io::stdin().read_line(&mut line).unwrap();
        assert_ne!(length, 0, "the test closed the pipe where a line was expected");
        line.trim_end().to_owned()
    }

    /// Waits for a kill, or for the test to close the pipe.
    pub(crate) fn wait_for_the_end(&mut self) {
        std::io::stdin().read_to_end(&mut Vec::new()).unwrap();
    }
}

/// Plays the role that the command line names, if it names one.
pub(crate) fn play_role(suites: &[Suite]) -> Option<ExitCode> {
    let mut args = std::env::args().skip(1);
    if args.next().as_deref() != Some(ROLE) {
        return None;
    }
    let name = args.next().unwrap_or_default();
    let role = suites.iter().flat_map(|suite| suite.roles).find(|role: &&Role| role.name == name);
    let role = role.unwrap_or_else(|| panic!("no suite lists a role named {name:?}"));
    rustix::process::set_parent_process_death_signal(Some(Signal::KILL)).unwrap();
    // Dying is what many roles are for; their core dumps would only fill the disk.
    rustix::process::setrlimit(Resource::Core, Rlimit { current: Some(0), maximum: Some(0) }).unwrap();
    (role.run)(&mut Parent { args: args.collect() });
    Some(ExitCode::SUCCESS)
}
