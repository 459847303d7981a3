//! `mapwright lock`: what is wanted is brought in and held in memory, until a signal or the end of a command.

use std::ffi::OsString;
use std::ops::Range;
use std::path::PathBuf;
use std::process::Command;
use std::sync::Arc;
use std::time::Instant;

use mapwright::{LockMode, Map, MapOptions};
use rustix::process::{Resource, Rlimit};

use super::plan::{Job, Plan, Restore};
use super::report::{Moved, Report, Verb};
use super::stretches::total;
use super::{Common, Patience, waiting, warm};
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
#[command(after_help = "\
As much is locked as limits allow; the rest is named.

Examples:
  mapwright lock data.db                         until Ctrl-C
  mapwright lock --range 0-1G data.db -- server  while the server runs
  mapwright lock --on-fault /usr/lib             what comes in anyway stays")]
pub(crate) struct Args {
    #[command(flatten)]
    common: Common,
    /// Lock what a saved set holds.
    #[arg(long, value_name = "SET")]
    restore: Option<PathBuf>,
    /// Read no more than this many bytes a second.
    #[arg(long, value_name = "RATE", value_parser = size::parse_rate)]
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
    raise(Resource::Memlock);
    raise(Resource::Nofile);
    if args.common.wait {
        possible(plan.jobs.iter().map(|job| pages(&job.wanted, job.survey.page)).sum(), limit())?;
    }
    let interrupt = Interrupt::watch()?;
    if !args.on_fault {
        // What cannot be brought in is reported by the lock that fails.
        warm::bring_in(&plan.jobs, args.rate, false, screen.charset(), &interrupt)?;
    }
    let mode = if args.on_fault { LockMode::OnFault } else { LockMode::Now };
    let mut held = Vec::new();
    let mut files = Vec::new();
    for job in &plan.jobs {
        let (moved, locks) = lock(job, mode, args.common.wait, &interrupt, waiting);
        files.push(moved);
        held.extend(locks);
    }
    let locked: u64 = files.iter().map(|moved| moved.done).sum();
    let report = Report::new(VERB, files, plan.refused, start.elapsed());
    report.print(args.common.json, screen)?;
    // A command runs even where there was nothing to lock, but not where nothing could be.
    let nothing_held = locked == 0 && (args.command.is_empty() || report.outcome() == Outcome::Failed);
    if nothing_held || interrupt.came() {
        return Ok(report.outcome());
    }
    let outcome = hold(args, locked, report.outcome(), &interrupt);
    drop(held);
    outcome
}

/// Raises a soft limit to the hard one, which needs nobody's leave: what is locked takes memory and
/// descriptors for as long as it is held.
fn raise(resource: Resource) {
    let limit = rustix::process::getrlimit(resource);
    // Where that is refused, so is the lock, which says why.
    let _refused = rustix::process::setrlimit(resource, Rlimit { current: limit.maximum, ..limit });
}

/// How much may be locked at all; nothing where there is no limit.
fn limit() -> Option<u64> {
    let above = rustix::thread::capabilities(None)
        .is_ok_and(|sets| sets.effective.contains(rustix::thread::CapabilitySet::IPC_LOCK));
    if above { None } else { rustix::process::getrlimit(Resource::Memlock).maximum }
}

/// Whether it makes sense to wait until so many bytes can be locked.
fn possible(wanted: u64, limit: Option<u64>) -> Result<(), Failure> {
    match limit {
        Some(limit) if wanted > limit => {
            let what = format!("cannot lock {wanted} bytes, now or later: RLIMIT_MEMLOCK allows {limit}");
            Err(Failure::new(what).advice(
                "raise the hard limit (ulimit -Hl, LimitMEMLOCK=) or grant CAP_IPC_LOCK; without --wait, as \
                 much as is allowed is locked",
            ))
        }
        _ => Ok(()),
    }
}

/// How many bytes the pages have that some ranges lie in. Pieces end at a page's end, unless their range does
/// not.
fn pages(wanted: &[Range<u64>], page: u64) -> u64 {
    let len = |range: &Range<u64>| range.end.next_multiple_of(page) - range.start / page * page;
    wanted.iter().filter(|range| !range.is_empty()).map(len).sum()
}

/// Locks the wanted bytes of a file, piece by piece; what was locked is held by the maps that come back.
fn lock(
    job: &Job,
    mode: LockMode,
    wait: bool,
    interrupt: &Interrupt,
    tell: impl Fn(&str, &str),
) -> (Moved, Vec<Map>) {
    let mut moved = Moved::new(&job.path);
    let mut held = Vec::new();
    // One descriptor for all maps of a file.
    let file = match job.open() {
        Ok(file) => Arc::new(file),
        Err(failure) => return (moved.refused(total(&job.wanted), &failure), held),
    };
    let mut patience = Patience::new();
    let mut left: Vec<_> = pieces(&job.wanted).collect();
    left.reverse();
    while let Some(piece) = left.pop() {
        let len = piece.end - piece.start;
        let map = MapOptions::new().offset(piece.start).len(narrow(len)).map(Arc::clone(&file));
        let why = match map.and_then(|map| map.lock_memory(.., mode).map(|()| map)) {
            Ok(map) => {
                moved.done += len;
                held.push(map);
                continue;
            }
            Err(error) => error.to_string(),
        };
        moved.why = Some(why.clone());
        if wait {
            left.push(piece);
            if patience.wait(interrupt, || tell(&moved.name, &why)) {
                break;
            }
        } else if len > SMALLEST {
            // Half of it may still be allowed.
            let middle = piece.start + (len / 2).next_multiple_of(SMALLEST);
            left.push(middle..piece.end);
            left.push(piece.start..middle);
        } else {
            break;
        }
    }
    moved.left = total(&job.wanted) - moved.done;
    if moved.left == 0 {
        moved.why = None;
    }
    (moved, held)
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
    use crate::cached::{Detail, Survey};
    use crate::range::ByteRange;

    #[test]
    fn waiting_says_why_once_and_ends_when_it_can() {
        let file = tempfile::NamedTempFile::new_in(".").unwrap();
        file.as_file().set_len(8192).unwrap();
        let survey = Survey::of(file.as_file(), file.path(), ByteRange::ALL, Detail::Counted).unwrap();
        let job = Job { path: file.path().into(), wanted: Vec::from([0..8192; 1]), survey };
        file.as_file().set_len(0).unwrap();
        let told = std::cell::RefCell::new(Vec::new());
        let tell = |name: &str, why: &str| {
            told.borrow_mut().push(format!("{name}: {why}"));
            file.as_file().set_len(8192).unwrap();
        };
        let (moved, held) = lock(&job, LockMode::Now, true, &Interrupt::watch().unwrap(), tell);
        assert_eq!((moved.done, moved.left, moved.why, held.len()), (8192, 0, None, 1));
        assert!(matches!(&told.borrow()[..], [why] if why.contains("cannot")), "{told:?}");
    }

    #[test]
    fn what_no_waiting_can_help_is_refused_with_both_numbers() {
        let refusal = possible(8192, Some(4096)).unwrap_err().to_string();
        assert!(refusal.contains("8192") && refusal.contains("4096"), "{refusal}");
        assert!(possible(4096, Some(4096)).is_ok() && possible(u64::MAX, None).is_ok());
        assert_eq!(pages(&[1..2, 4095..4097, 5..5, 0..8192], 4096), 4096 + 8192 + 8192);
    }

    #[test]
    fn pieces_cover_what_is_wanted() {
        let wanted = [0..PIECE, 2 * PIECE..3 * PIECE + 1];
        let pieces: Vec<_> = pieces(&wanted).collect();
        assert_eq!(pieces, [0..PIECE, 2 * PIECE..3 * PIECE, 3 * PIECE..3 * PIECE + 1]);
    }
}
