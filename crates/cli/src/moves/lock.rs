//! `mapwright lock`: what is wanted is brought in and held in memory, until a signal or the end of a command.

use std::ffi::OsString;
use std::ops::Range;
use std::path::PathBuf;
use std::process::Command;
use std::time::Instant;

use mapwright::{LockMode, Map, MapOptions};

use super::plan::{Job, Plan, Restore};
use super::report::{Moved, Report, Verb};
use super::stretches::total;
use super::{Common, Patience, warm};
use crate::interrupt::Interrupt;
use crate::outcome::{Failure, Outcome};
use crate::size;
use crate::ui::{Screen, note, quoted, words};
use crate::width::narrow;

/// The words of the report.
const VERB: Verb = Verb { schema: "mapwright.lock/1", done: "locked", already: "", left: "not locked" };

/// How much is locked at once, so that what a limit allows is used up to here.
const PIECE: u64 = 16 << 20;

/// What is given up on where not even this much can be locked.
const SMALLEST: u64 = 64 << 10;

/// Hold files in memory until Ctrl-C, or while a command runs.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    common: Common,
    /// Lock what a saved set holds.
    #[arg(long, value_name = "SET")]
    restore: Option<PathBuf>,
    /// Read no more than this many bytes a second.
    #[arg(long, value_name = "SIZE", value_parser = size::parse_rate)]
    rate: Option<u64>,
    /// Lock each page when it is touched first, instead of reading all of them now.
    #[arg(long)]
    on_fault: bool,
    /// Hold for as long as this command runs, and end as it does.
    #[arg(last = true, value_name = "COMMAND")]
    command: Vec<OsString>,
}

/// Locks files.
pub(crate) fn run(args: &Args, screen: &mut Screen) -> Result<Outcome, Failure> {
    let start = Instant::now();
    let restore = args.restore.as_deref().map(|set| (set, Restore::Members));
    let plan = Plan::make(&args.common, restore)?;
    let interrupt = Interrupt::watch()?;
    if !args.on_fault {
        // What cannot be brought in is reported by the lock that fails.
        warm::bring_in(&plan.jobs, args.rate, false, screen.charset(), &interrupt)?;
    }
    let mode = if args.on_fault { LockMode::OnFault } else { LockMode::Now };
    let mut held = Vec::new();
    let mut files = Vec::new();
    for job in &plan.jobs {
        let (moved, locks) = lock(job, mode, args.common.wait, &interrupt)?;
        files.push(moved);
        held.extend(locks);
    }
    let locked: u64 = files.iter().map(|moved| moved.done).sum();
    let report = Report::new(VERB, files, plan.refused, start.elapsed());
    report.print(args.common.json, screen)?;
    if locked == 0 || interrupt.came() {
        return Ok(report.outcome());
    }
    let outcome = hold(args, locked, report.outcome(), &interrupt);
    drop(held);
    outcome
}

/// Locks the wanted bytes of a file, piece by piece; what was locked is held by the maps that come back.
fn lock(job: &Job, mode: LockMode, wait: bool, interrupt: &Interrupt) -> Result<(Moved, Vec<Map>), Failure> {
    let mut moved = Moved::new(&job.path);
    let mut held = Vec::new();
    let mut patience = Patience::new();
    let mut waiting: Vec<_> = pieces(&job.wanted).collect();
    waiting.reverse();
    while let Some(piece) = waiting.pop() {
        let len = piece.end - piece.start;
        let map = MapOptions::new().offset(piece.start).len(narrow(len)).map(&job.file)?;
        let Err(error) = map.lock_memory(.., mode) else {
            moved.done += len;
            held.push(map);
            continue;
        };
        moved.why = Some(error.to_string());
        if wait {
            waiting.push(piece);
            if patience.wait(interrupt) {
                break;
            }
        } else if len > SMALLEST {
            // Half of it may still be allowed.
            let middle = piece.start + (len / 2).next_multiple_of(SMALLEST);
            waiting.push(middle..piece.end);
            waiting.push(piece.start..middle);
        } else {
            break;
        }
    }
    moved.left = total(&job.wanted) - moved.done;
    if moved.left == 0 {
        moved.why = None;
    }
    Ok((moved, held))
}

fn pieces(wanted: &[Range<u64>]) -> impl Iterator<Item = Range<u64>> {
    let cut = |range: &Range<u64>| {
        let range = range.clone();
        let starts = std::iter::successors(Some(range.start), |start| start.checked_add(PIECE));
        starts
            .take_while(move |start| *start < range.end)
            .map(move |start| start..range.end.min(start + PIECE))
    };
    wanted.iter().flat_map(cut)
}

/// Waits for the command or a signal.
fn hold(args: &Args, locked: u64, so_far: Outcome, interrupt: &Interrupt) -> Result<Outcome, Failure> {
    let Some((program, arguments)) = args.command.split_first() else {
        note(format!("holding {}; Ctrl-C lets go", words::bytes(locked)));
        interrupt.wait();
        return Ok(so_far);
    };
    let refused = |cause| Failure::os("run", quoted(program), cause);
    let status = Command::new(program).args(arguments).status().map_err(refused)?;
    match status.code().map(u8::try_from) {
        Some(Ok(0)) => Ok(so_far),
        Some(Ok(code)) => Ok(Outcome::Ended(code)),
        _ => Err(Failure::new(format!("{} ended with {status}", quoted(program)))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_cover_what_is_wanted() {
        let wanted = [0..PIECE, 2 * PIECE..3 * PIECE + 1];
        let pieces: Vec<_> = pieces(&wanted).collect();
        assert_eq!(pieces, [0..PIECE, 2 * PIECE..3 * PIECE, 3 * PIECE..3 * PIECE + 1]);
    }
}
