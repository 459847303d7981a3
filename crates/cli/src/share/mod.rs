//! `mapwright share`: segments of memory between processes, seen from outside and used by hand.

mod decode;
mod draw;
mod list;
mod pipe;
mod prune;
mod seen;
mod show;
mod snapshot;
mod watch;

use std::path::PathBuf;

use mapwright::share::Directory;

use crate::outcome::{Failure, Outcome};
use crate::ui::Screen;

/// Look at memory that processes share, and use it by hand.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  mapwright share list                 which segments there are, and who uses them
  mapwright share show shop            who takes part, who died, what is in it and how it is
  mapwright share snapshot shop prices what was published last, by the layout of its type
  mapwright share recv shop events     print messages as they come
  mapwright share prune                remove the segments that nobody holds")]
pub(crate) struct Args {
    /// The folder of the segments, instead of this user's own on shared memory.
    #[arg(long, global = true, value_name = "DIR")]
    dir: Option<PathBuf>,
    /// Print what was found as JSON.
    #[arg(long, global = true)]
    json: bool,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    /// List the segments: size, objects, who uses them.
    List,
    /// Show one segment: who takes part and who died, what is in it, who holds which lock, how full it is.
    Show {
        /// The segment's name.
        name: String,
    },
    /// Show one segment again and again.
    Watch(watch::Args),
    /// Send messages into records or a log.
    Send(pipe::Send),
    /// Receive messages out of records, or read a log.
    Recv(pipe::Receive),
    /// Print the value of a snapshot, or publish one.
    Snapshot(snapshot::Args),
    /// Remove the segments that nobody holds.
    Prune {
        /// Only these; all otherwise.
        names: Vec<String>,
    },
}

/// Runs the command.
pub(crate) fn run(args: &Args, screen: &mut Screen) -> Result<Outcome, Failure> {
    run_in_folder(args, screen).map_err(in_words_of_the_command)
}

fn run_in_folder(args: &Args, screen: &mut Screen) -> Result<Outcome, Failure> {
    let found = match &args.dir {
        Some(path) => Some(Directory::at(path)?),
        None => Directory::default_if_there()?,
    };
    // Looking makes no folder: without one there are no segments.
    let Some(directory) = found else {
        let path = Directory::default_path();
        return match &args.command {
            Command::List => list::nothing(&path, args.json, screen),
            Command::Prune { names } if names.is_empty() => prune::nothing(&path, args.json, screen),
            _ => Err(Failure::new(format!("there are no segments: {} is not there", path.display()))
                .advice(ELSEWHERE)),
        };
    };
    let has_json = !matches!(args.command, Command::Send(_) | Command::Recv(_));
    if args.json && !has_json {
        return Err(Failure::misuse("messages go in and out as they are: there is no --json for them"));
    }
    match &args.command {
        Command::List => list::run(&directory, args.json, screen),
        Command::Show { name } => show::run(&directory, name, args.json, screen),
        Command::Watch(watch) => watch::run(&directory, watch, args.json, screen),
        Command::Send(send) => pipe::send(&directory, send),
        Command::Recv(receive) => pipe::receive(&directory, receive),
        Command::Snapshot(snapshot) => snapshot::run(&directory, snapshot, args.json, screen),
        Command::Prune { names } => prune::run(&directory, names, args.json, screen),
    }
}

const ELSEWHERE: &str = "--dir or $MAPWRIGHT_SHARE_DIR chooses another folder";

/// The library advises those who write programs; here the same is said by options.
fn in_words_of_the_command(failure: Failure) -> Failure {
    let Failure::Told { misused, what, advice } = failure else { return failure };
    let what = what
        .replace("by directory()", "by --dir")
        .replace("its maker has to come first, or use open_or_create()", ELSEWHERE)
        .replace(
            "remove it, or use open_or_create(), which replaces it",
            "`mapwright share prune` removes it",
        );
    Failure::Told { misused, what, advice }
}
