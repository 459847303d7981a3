//! What can be typed. Each command's own arguments stand in its module.

use clap::{Parser, Subcommand, ValueEnum};

use crate::moves::{evict, lock, warm};
use crate::{bench, cat, doctor, generate, share, show, tour};

/// Maps anything into memory and gives it back as an array.
#[derive(Debug, Parser)]
#[command(name = "mapwright", version, max_term_width = 100, disable_help_subcommand = true)]
#[command(after_help = "\
Sizes are written like 4096, 64K, 1.5GiB; ranges like 0-64K (without its end), 1M+4K, 1M-.
Data goes to stdout, progress and messages to stderr.
Exit codes: 0 done, 1 failed, 2 wrong usage, 3 partly done.")]
pub(crate) struct CommandLine {
    /// When to use colour: auto (on a terminal, and NO_COLOR is obeyed), always or never.
    #[arg(long, global = true, value_name = "WHEN", default_value = "auto", help_heading = "Everywhere")]
    #[arg(hide_possible_values = true, hide_default_value = true)]
    pub(crate) color: Color,
    /// Draw with ASCII characters only.
    #[arg(long, global = true, help_heading = "Everywhere")]
    pub(crate) ascii: bool,
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// The commands, in the order in which help lists them.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    Tour(tour::Args),
    Show(show::Args),
    Warm(warm::Args),
    Evict(evict::Args),
    Lock(lock::Args),
    Cat(cat::Args),
    Bench(bench::Args),
    Doctor(doctor::Args),
    Share(share::Args),
    #[command(hide = true)]
    Generate(generate::Args),
    #[command(hide = true)]
    Peer(tour::processes::peer::Args),
}

/// When to use colour.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Color {
    Auto,
    Always,
    Never,
}

impl Color {
    /// Makes it so for everything that is printed from now on.
    pub(crate) fn apply(self) {
        let choice = match self {
            Self::Auto => anstream::ColorChoice::Auto,
            Self::Always => anstream::ColorChoice::Always,
            Self::Never => anstream::ColorChoice::Never,
        };
        choice.write_global();
    }
}
