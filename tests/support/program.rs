//! The real program: `mapwright`, as its users start it; and a participant that is linked with another C
//! library.
//!
//! `MAPWRIGHT_PROGRAM` names it where it was built already; else cargo builds it, which takes a moment once.

use super::skip::{Need, Skip};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;

/// Finds or builds the program.
pub(crate) fn path() -> Result<&'static Path, Skip> {
    static PATH: OnceLock<Result<PathBuf, String>> = OnceLock::new();
    let path = PATH.get_or_init(|| match std::env::var_os("MAPWRIGHT_PROGRAM") {
        Some(path) => Ok(path.into()),
        None => build(),
    });
    path.as_deref().map_err(|why| Skip::new(Need::Program, why))
}

/// A C library that a peer is linked with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Library {
    /// The one that cargo's usual target has.
    Gnu,
    /// musl, statically.
    Musl,
}

impl Library {
    pub(crate) const ALL: [Self; 2] = [Self::Gnu, Self::Musl];
}

/// Builds a participant with a C library.
pub(crate) fn peer(library: Library) -> Result<&'static Path, Skip> {
    static PATHS: [OnceLock<Result<PathBuf, String>>; 2] = [OnceLock::new(), OnceLock::new()];
    let target = match library {
        Library::Gnu => None,
        Library::Musl => Some(format!("{}-unknown-linux-musl", std::env::consts::ARCH)),
    };
    let build = || match &target {
        None => cargo_build("mapwright-tests", "mapwright-peer", &[]),
        Some(target) if !has_target(target) => Err(format!("rustup target add {target}")),
        Some(target) => cargo_build("mapwright-tests", "mapwright-peer", &["--target", target]),
    };
    let path = PATHS[usize::from(library == Library::Musl)].get_or_init(build);
    path.as_deref().map_err(|why| Skip::new(Need::Musl, why))
}

/// Whether the compiler has a target's standard library.
fn has_target(target: &str) -> bool {
    let asked = Command::new("rustc").args(["--print", "target-libdir", "--target", target]).output();
    asked.is_ok_and(|output| Path::new(String::from_utf8_lossy(&output.stdout).trim()).is_dir())
}

fn build() -> Result<PathBuf, String> {
    cargo_build("mapwright-cli", "mapwright", &[])
}

/// Builds a program of a package, and says where it lies.
fn cargo_build(package: &str, name: &str, arguments: &[&str]) -> Result<PathBuf, String> {
    let workspace = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let cargo = std::env::var_os("CARGO").filter(|_| workspace.join("Cargo.toml").exists());
    let cargo = cargo.ok_or("there is no cargo here to build it, and no variable names it")?;
    let mut command = Command::new(cargo);
    command.args(["build", "--quiet", "--package", package, "--bin", name]).args(arguments);
    command.arg("--message-format=json-render-diagnostics");
    let output = command.current_dir(workspace).stderr(Stdio::inherit()).output();
    let output = output.map_err(|error| format!("cargo: {error}"))?;
    assert!(output.status.success(), "cargo cannot build {name}: {}", output.status);
    let messages = String::from_utf8(output.stdout).unwrap();
    let named = format!(r#""name":"{name}""#);
    let built = messages.lines().find(|line| line.contains(r#""kind":["bin"]"#) && line.contains(&named));
    let path = built.and_then(|line| line.split_once(r#""executable":""#)?.1.split('"').next());
    Ok(path.expect("cargo tells what it built").into())
}

/// A command that will start the program, without the settings of whoever runs the tests.
pub(crate) fn command() -> Result<Command, Skip> {
    let mut command = super::process::program(path()?);
    for name in ["NO_COLOR", "CLICOLOR", "CLICOLOR_FORCE", "COLUMNS", "LC_ALL", "LC_CTYPE", "LANG"] {
        command.env_remove(name);
    }
    command.stdin(Stdio::null());
    Ok(command)
}
