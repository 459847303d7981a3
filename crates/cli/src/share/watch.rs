//! `mapwright share watch`: what `show` shows, again and again.

use std::io::IsTerminal;
use std::time::Duration;

use mapwright::share::Directory;

use super::show::Report;
use super::{draw, seen::Seen};
use crate::interrupt::Interrupt;
use crate::outcome::{Failure, Outcome};
use crate::ui::{Line, Screen};

/// Puts the cursor into the corner and clears what is below.
const CLEAR: &str = "\u{1b}[H\u{1b}[2J";

/// What can be chosen.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The segment's name.
    name: String,
    /// Seconds between two looks.
    #[arg(long, value_name = "SECONDS", default_value_t = 1.0, value_parser = seconds)]
    every: f64,
    /// Look once, and end. (With --json each look is one line.)
    #[arg(long)]
    once: bool,
}

fn seconds(text: &str) -> Result<f64, String> {
    match text.parse() {
        Ok(seconds) if (0.05..=86_400.0).contains(&seconds) => Ok(seconds),
        _ => Err("a number of seconds from 0.05 to 86400".to_owned()),
    }
}

pub(super) fn run(
    directory: &Directory,
    args: &Args,
    json: bool,
    screen: &mut Screen,
) -> Result<Outcome, Failure> {
    let interrupt = Interrupt::watch()?;
    let clears = std::io::stdout().is_terminal() && !json && !args.once;
    loop {
        let seen = Seen::of(directory, &args.name)?;
        if json {
            // One object a line, for those who read on while we write.
            let line = serde_json::to_string(&Report::of(&seen));
            screen.line(line.map_err(|error| Failure::output(error.into()))?)?;
        } else {
            if clears {
                screen.line(Line::from(CLEAR))?;
            }
            let lines = draw::segment(&seen, screen.width());
            screen.lines(lines)?;
            if !args.once && !clears {
                screen.line(Line::empty())?;
            }
        }
        screen.flush()?;
        if args.once || interrupt.pause(Duration::from_secs_f64(args.every)) {
            return Ok(Outcome::Done);
        }
    }
}
