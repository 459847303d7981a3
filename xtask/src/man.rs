//! Man pages and shell completions: the program writes them itself, from the same definitions that it parses
//! with.

use std::fs;

use anyhow::{Context, Result, ensure};

use crate::cargo::cargo;
use crate::stage::Outcome;
use crate::{project, run};

/// Writes `target/man` and `target/completions`.
pub(crate) fn run() -> Result<Outcome> {
    let target = project::target();
    let mut command = cargo(["run", "--quiet", "--package", "mapwright-cli", "--", "generate"]);
    run::must_succeed(command.arg(&target))?;
    let mut written = 0;
    for folder in ["man", "completions"].map(|name| target.join(name)) {
        let files = fs::read_dir(&folder).with_context(|| format!("listing {}", folder.display()))?.count();
        ensure!(files > 0, "`mapwright generate` wrote nothing into {}", folder.display());
        written += files;
    }
    Ok(Outcome::Passed(format!("{written} files in {}/man and completions", target.display())))
}
