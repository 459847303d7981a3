//! `mapwright generate DIR`: man pages and shell completions, from the same definitions that arguments are
//! parsed with.

use std::fs;
use std::path::{Path, PathBuf};

use clap::{CommandFactory, ValueEnum};
use clap_complete::Shell;

use crate::command_line::CommandLine;
use crate::outcome::{Failure, Outcome};
use crate::ui::quoted;

/// Write man pages into DIR/man and shell completions into DIR/completions.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Where to write.
    dir: PathBuf,
}

/// Writes the files.
pub(crate) fn run(args: &Args) -> Result<Outcome, Failure> {
    let (man, completions) = (args.dir.join("man"), args.dir.join("completions"));
    for folder in [&man, &completions] {
        fs::create_dir_all(folder).map_err(|cause| Failure::os("create", quoted(folder), cause))?;
    }
    let refused = |folder: &Path| {
        let folder = quoted(folder);
        move |cause| Failure::os("write into", folder, cause)
    };
    clap_mangen::generate_to(CommandLine::command(), &man).map_err(refused(&man))?;
    for shell in Shell::value_variants() {
        let mut command = CommandLine::command();
        clap_complete::generate_to(*shell, &mut command, "mapwright", &completions)
            .map_err(refused(&completions))?;
    }
    Ok(Outcome::Done)
}
