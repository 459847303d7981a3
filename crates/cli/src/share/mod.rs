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
    let directory = match &args.dir {
        Some(path) => Directory::at(path)?,
        None => Directory::default_of_user()?,
    };
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
