//! The real program: `mapwright`, as its users start it.
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

fn build() -> Result<PathBuf, String> {
    let workspace = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let cargo = std::env::var_os("CARGO").filter(|_| workspace.join("Cargo.toml").exists());
    let cargo = cargo.ok_or("there is no cargo here to build it, and MAPWRIGHT_PROGRAM does not name it")?;
    let mut command = Command::new(cargo);
    command.args([
        "build",
        "--quiet",
        "--package",
        "mapwright-cli",
        "--message-format=json-render-diagnostics",
    ]);
    let output = command.current_dir(workspace).stderr(Stdio::inherit()).output();
    let output = output.map_err(|error| format!("cargo: {error}"))?;
    assert!(output.status.success(), "cargo cannot build the program: {}", output.status);
    let messages = String::from_utf8(output.stdout).unwrap();
    let built = messages
        .lines()
        .find(|line| line.contains(r#""kind":["bin"]"#) && line.contains(r#""name":"mapwright""#));
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
