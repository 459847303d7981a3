//! Every target of the fuzz workspace, for a short time: enough to find what a change broke at once.
//!
//! The targets run from what an earlier run found (`fuzz/corpus`); a longer search is `--seconds 3600`.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};
use clap::Args;

use crate::cargo::{cargo, nightly};
use crate::stage::Outcome;
use crate::{project, run};

/// How long to fuzz.
#[derive(Args)]
pub(crate) struct Options {
    /// The time for each target
    #[arg(long, default_value_t = 6)]
    seconds: u32,
}

impl Default for Options {
    fn default() -> Self {
        Self { seconds: 6 }
    }
}

/// Builds all targets, then runs one after the other.
pub(crate) fn run(options: &Options) -> Result<Outcome> {
    let folder = project::root().join("fuzz/fuzz_targets");
    if !folder.exists() {
        return Ok(Outcome::Skipped("fuzz/fuzz_targets does not exist".to_owned()));
    }
    if let Err(reason) = nightly([]) {
        return Ok(Outcome::Skipped(reason));
    }
    let tool = match tool() {
        Ok(tool) => tool,
        Err(error) => return Ok(Outcome::Skipped(format!("cannot install cargo-fuzz: {error:#}"))),
    };
    let targets = targets(&folder)?;
    run::must_succeed(&mut fuzz(&tool, "build"))?;
    let mut failed = Vec::new();
    for target in &targets {
        let limit = format!("-max_total_time={}", options.seconds);
        let mut command = fuzz(&tool, "run");
        if let Err(error) =
            run::must_succeed(command.args([target.as_str(), "--", &limit, "-print_final_stats=1"]))
        {
            println!("{error:#}");
            failed.push(target.as_str());
        }
    }
    if !failed.is_empty() {
        bail!("{} of {} targets failed: {}", failed.len(), targets.len(), failed.join(", "));
    }
    Ok(Outcome::Passed(format!("{} targets, {} s each", targets.len(), options.seconds)))
}

/// The names of the targets, one file each.
fn targets(folder: &Path) -> Result<Vec<String>> {
    let entries = fs::read_dir(folder).with_context(|| format!("listing {}", folder.display()))?;
    let paths = entries.map(|entry| Ok(entry?.path())).collect::<Result<Vec<PathBuf>>>()?;
    let sources = paths.iter().filter(|path| path.extension().is_some_and(|end| end == "rs"));
    let mut names: Vec<_> =
        sources.filter_map(|path| path.file_stem()?.to_str().map(str::to_owned)).collect();
    if names.is_empty() {
        bail!("{} holds no target", folder.display());
    }
    names.sort();
    Ok(names)
}

/// `cargo-fuzz`: the search path's own if it has it, else one that we install into the target folder.
fn tool() -> Result<PathBuf> {
    let name = "cargo-fuzz";
    if run::exists(name) {
        return Ok(PathBuf::from(name));
    }
    let root = project::target().join("tools");
    let program = root.join("bin").join(name);
    if !program.exists() {
        // Unoptimised: it starts compilers and programs, and is built in a third of the time.
        let mut install = cargo(["install", name, "--locked", "--quiet", "--debug", "--root"]);
        run::must_succeed(install.arg(&root))?;
    }
    Ok(program)
}

/// In the dev profile, which checks more (overflow, debug assertions) and builds in a fifth of the time.
fn fuzz(tool: &Path, task: &str) -> Command {
    let mut command = run::command(tool);
    command.args([task, "--dev", "--fuzz-dir", "fuzz"]).env("RUSTUP_TOOLCHAIN", "nightly");
    command
}
