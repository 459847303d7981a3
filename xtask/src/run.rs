//! Starting programs: one way to begin a command, three ways to run it.
//!
//! Every command is printed before it runs, gets no standard input, does not see the variables that `cargo
//! run` planted for us, and in CI is killed with all its children after [`LIMIT_SECONDS`], so that a hang has
//! a name.

use std::env;
use std::ffi::OsStr;
use std::io::{self, BufRead, BufReader};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};

use crate::project;

/// The longest that one command may take in CI.
const LIMIT_SECONDS: &str = "1200";

/// What a command that was watched printed, and whether it succeeded.
pub(crate) struct Watched {
    pub(crate) succeeded: bool,
    pub(crate) status: String,
    pub(crate) printed: String,
}

/// Begins a command in the project's root.
pub(crate) fn command(program: impl AsRef<OsStr>) -> Command {
    let mut command = if project::in_ci() {
        let mut command = Command::new("timeout");
        command.args(["--kill-after=10", LIMIT_SECONDS]).arg(program);
        command
    } else {
        Command::new(program)
    };
    command.current_dir(project::root()).stdin(Stdio::null());
    // `cargo run` describes *our* package and libraries in these; another compiler must not see them.
    command.env_remove("LD_LIBRARY_PATH").env_remove("CARGO");
    for (name, _) in env::vars_os() {
        let name = name.to_string_lossy();
        if name.starts_with("CARGO_PKG_") || name.starts_with("CARGO_MANIFEST_") {
            command.env_remove(&*name);
        }
    }
    command
}

/// Whether `program` can be found in the search path.
pub(crate) fn exists(program: &str) -> bool {
    let Some(path) = env::var_os("PATH") else { return false };
    env::split_paths(&path).any(|folder| folder.join(program).is_file())
}

/// Runs to the end with our own output streams; anything but success is an error.
pub(crate) fn must_succeed(command: &mut Command) -> Result<()> {
    announce(command);
    let status = command.status().with_context(|| cannot_start(command))?;
    if !status.success() {
        bail!("`{}` ended with {status}", describe(command));
    }
    Ok(())
}

/// Runs to the end and gives back the text it printed; anything but success is an error that shows its
/// complaints.
pub(crate) fn read(command: &mut Command) -> Result<String> {
    let stdout = read_bytes(command)?;
    String::from_utf8(stdout).with_context(|| format!("`{}` printed no UTF-8", describe(command)))
}

/// Runs to the end and gives back the bytes it printed, as [`read`] does.
pub(crate) fn read_bytes(command: &mut Command) -> Result<Vec<u8>> {
    let output = command.output().with_context(|| cannot_start(command))?;
    if !output.status.success() {
        let complaint = String::from_utf8_lossy(&output.stderr);
        bail!("`{}` ended with {}: {}", describe(command), output.status, complaint.trim());
    }
    Ok(output.stdout)
}

/// Runs to the end, passing all it prints on line by line and keeping it. Its failure is the caller's to
/// judge.
pub(crate) fn watch(command: &mut Command) -> Result<Watched> {
    announce(command);
    // One pipe for both streams, so that the lines keep their order.
    let (pipe, end) = io::pipe().context("making a pipe")?;
    command.stdout(end.try_clone().context("doubling a pipe's end")?).stderr(end);
    let mut child = command.spawn().with_context(|| cannot_start(command))?;
    // The command keeps its copies of the pipe's end; the pipe would never run dry.
    command.stdout(Stdio::null()).stderr(Stdio::null());
    let mut printed = String::new();
    for line in BufReader::new(pipe).split(b'\n') {
        // A serial console ends its lines with both characters, and may carry bytes that are not UTF-8.
        let line = line.with_context(|| format!("reading the output of `{}`", describe(command)))?;
        let line = String::from_utf8_lossy(&line);
        let line = line.trim_end_matches('\r');
        println!("{line}");
        printed.push_str(line);
        printed.push('\n');
    }
    let status = child.wait().with_context(|| format!("waiting for `{}`", describe(command)))?;
    Ok(Watched { succeeded: status.success(), status: status.to_string(), printed })
}

/// The command as one would type it, with the variables that were set for it.
pub(crate) fn describe(command: &Command) -> String {
    let set = command.get_envs().filter_map(|(name, value)| {
        let (name, value) = (name.to_string_lossy(), value?.to_string_lossy());
        Some(format!("{name}={}", quoted(&value)))
    });
    let words: Vec<_> = command.get_args().map(|word| quoted(&word.to_string_lossy())).collect();
    let program = command.get_program().to_string_lossy().into_owned();
    set.chain([program]).chain(words).collect::<Vec<_>>().join(" ")
}

fn quoted(word: &str) -> String {
    let plain = |c: char| c.is_alphanumeric() || "-_=./:,+@%".contains(c);
    if !word.is_empty() && word.chars().all(plain) { word.to_owned() } else { format!("'{word}'") }
}

fn announce(command: &Command) {
    println!("$ {}", describe(command));
}

fn cannot_start(command: &Command) -> String {
    format!("cannot start `{}`", describe(command))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_watched_command_gives_its_lines_and_its_failure() {
        let watched =
            watch(command("sh").args(["-c", "printf 'a\\r\\n'; echo b >&2; echo c; exit 3"])).unwrap();
        assert_eq!(watched.printed, "a\nb\nc\n");
        assert!(!watched.succeeded);
        assert!(watched.status.contains('3'), "{}", watched.status);
    }

    #[test]
    fn a_command_has_no_standard_input() {
        assert_eq!(read(&mut command("cat")).unwrap(), "");
    }

    #[test]
    fn a_failing_command_is_an_error_that_shows_its_complaint() {
        let error = read(command("sh").args(["-c", "echo no such luck >&2; exit 1"])).unwrap_err();
        assert!(error.to_string().ends_with("no such luck"), "{error}");
    }

    #[test]
    fn a_missing_program_is_named() {
        let mut missing = Command::new("no-such-program-here");
        assert!(must_succeed(&mut missing).unwrap_err().to_string().contains("no-such-program-here"));
        assert!(!exists("no-such-program-here"));
        assert!(exists("sh"));
    }

    #[test]
    fn a_described_command_can_be_typed() {
        let mut shown = Command::new("cargo");
        shown.env("RUSTFLAGS", "--cfg loom").args(["test", "--lib"]);
        assert_eq!(describe(&shown), "RUSTFLAGS='--cfg loom' cargo test --lib");
    }
}
