//! The test programs that run elsewhere than here: which they are, and where cargo built them.

use std::path::PathBuf;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};
use serde_json::Value;

use crate::run;

/// Which test programs run on other processors and kernels, as cargo's choice of them. One choice, not one
/// for each program: cargo then builds what they share once, with the features of all.
pub(crate) const ELSEWHERE: &[&str] =
    &["--package", "mapwright-core", "--package", "mapwright-tests", "--lib", "--test", "proof"];

/// One test program that cargo built.
pub(crate) struct TestProgram {
    pub(crate) name: String,
    pub(crate) path: PathBuf,
}

/// Builds test programs (the command needs `--no-run`) and says where they lie.
pub(crate) fn test_programs(command: &mut Command) -> Result<Vec<TestProgram>> {
    command.arg("--message-format=json-render-diagnostics");
    println!("$ {}", run::describe(command));
    let messages = command.stderr(Stdio::inherit()).output().context("cannot start cargo")?;
    if !messages.status.success() {
        bail!("`{}` ended with {}", run::describe(command), messages.status);
    }
    let lines = String::from_utf8(messages.stdout).context("cargo's messages are not UTF-8")?;
    lines.lines().filter_map(|line| test_program(line).transpose()).collect()
}

fn test_program(message: &str) -> Result<Option<TestProgram>> {
    let message: Value = serde_json::from_str(message).context("cargo printed a message that is not JSON")?;
    let (Some(path), true) = (message["executable"].as_str(), message["profile"]["test"] == true) else {
        return Ok(None);
    };
    let name = message["target"]["name"].as_str().context("cargo built a program without a name")?;
    Ok(Some(TestProgram { name: name.to_owned(), path: PathBuf::from(path) }))
}

#[test]
fn only_test_programs_are_taken_from_the_messages() {
    let library = r#"{"executable":null,"profile":{"test":true},"target":{"name":"a"}}"#;
    let program = r#"{"executable":"/t/b","profile":{"test":false},"target":{"name":"b"}}"#;
    let test = r#"{"executable":"/t/c-1","profile":{"test":true},"target":{"name":"c"}}"#;
    assert!(test_program(library).unwrap().is_none());
    assert!(test_program(program).unwrap().is_none());
    let found = test_program(test).unwrap().unwrap();
    assert_eq!((found.name.as_str(), found.path.to_str()), ("c", Some("/t/c-1")));
    assert!(test_program("not json").is_err());
}
