//! The program `mapwright`: what maps of files are good for, on the command line.
//!
//! Data flows one way: what was typed (`command_line`, `size`, `range`, `target`) → which files (`walk`) →
//! what is known of them (`cached`, `measure`, `disk`) → a command (one module each) → how it is shown
//! (`ui`). Commands compute first and print afterwards; what they compute is also what `--json` prints.

mod bench;
mod cached;
mod cat;
mod command_line;
mod disk;
mod doctor;
mod generate;
mod interrupt;
mod measure;
mod moves;
mod outcome;
mod random;
mod range;
mod share;
mod show;
mod size;
mod target;
mod tour;
mod ui;
mod walk;
mod width;

use std::process::ExitCode;

use clap::Parser;

use command_line::{Command, CommandLine};
use outcome::{Failure, Outcome};
use ui::{Charset, Screen, complain};

fn main() -> ExitCode {
    let typed = CommandLine::parse();
    typed.color.apply();
    let charset = if typed.ascii { Charset::Ascii } else { Charset::of_locale() };
    match run(typed.command, charset) {
        Ok(outcome) => outcome.into(),
        Err(failure) => {
            complain(&failure);
            failure.code()
        }
    }
}

fn run(command: Command, charset: Charset) -> Result<Outcome, Failure> {
    let mut screen = Screen::new(charset);
    let outcome = match command {
        Command::Tour(args) => tour::run(&args, &mut screen),
        Command::Show(args) => show::run(&args, &mut screen),
        Command::Warm(args) => moves::warm::run(&args, &mut screen),
        Command::Evict(args) => moves::evict::run(&args, &mut screen),
        Command::Lock(args) => moves::lock::run(&args, &mut screen),
        Command::Cat(args) => cat::run(&args),
        Command::Bench(args) => bench::run(&args, &mut screen),
        Command::Doctor(args) => doctor::run(&args, &mut screen),
        Command::Share(args) => share::run(&args, &mut screen),
        Command::Generate(args) => generate::run(&args),
        Command::Peer(args) => tour::processes::peer::run(&args),
    }?;
    screen.flush()?;
    Ok(outcome)
}
