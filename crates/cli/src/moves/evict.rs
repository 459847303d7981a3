//! `mapwright evict`: what is in memory is let go, after it was written back.

use std::fs::File;
use std::ops::Range;
use std::path::PathBuf;
use std::time::Instant;

use super::plan::{Job, Plan, Restore};
use super::report::{Moved, Report, Verb};
use super::stretches::{both, total};
use super::{Common, Patience, waiting};
use crate::cached::{Detail, Survey};
use crate::disk::Disk;
use crate::interrupt::{Interrupt, Pace};
use crate::outcome::{Failure, Outcome};
use crate::range::ByteRange;
use crate::size;
use crate::ui::{Progress, Screen, words};

/// The words of the report.
const VERB: Verb = Verb {
    schema: "mapwright.evict/1",
    done: "let go",
    already: "not in memory before",
    left: "still in memory",
};

/// How much is evicted at once, so that a rate can be kept and progress seen.
const PIECE: u64 = 64 << 20;

/// Let go of what is in memory of files.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Dirty pages are written back first; what a process has mapped or locked stays.

Examples:
  mapwright evict data.db                  all of it
  mapwright evict --range 1G- data.db      all but its first GiB
  mapwright evict --save set /var/lib      for `warm --restore set` later")]
pub(crate) struct Args {
    #[command(flatten)]
    common: Common,
    /// Let go of what a saved set does not hold of the files in it.
    #[arg(long, value_name = "SET")]
    restore: Option<PathBuf>,
    /// Let go of no more than this many bytes a second.
    #[arg(long, value_name = "RATE", value_parser = size::parse_rate)]
    rate: Option<u64>,
}

/// Evicts files.
pub(crate) fn run(args: &Args, screen: &mut Screen) -> Result<Outcome, Failure> {
    let start = Instant::now();
    let restore = args.restore.as_deref().map(|set| (set, Restore::Others));
    let plan = Plan::make(&args.common, restore)?;
    let cached: u64 = plan.jobs.iter().map(|job| total(&cached(job, &job.survey))).sum();
    let interrupt = Interrupt::watch()?;
    let mut work = Work {
        progress: Progress::of_bytes("evicting", cached, screen.charset()),
        pace: Pace::at(args.rate),
        interrupt: &interrupt,
        wait: args.common.wait,
    };
    let files = plan.jobs.iter().map(|job| work.file(job)).collect::<Result<_, _>>()?;
    drop(work);
    let report = Report::new(VERB, files, plan.refused, start.elapsed());
    report.print(args.common.json, screen)?;
    Ok(report.outcome())
}

/// The wanted bytes that are in memory, in pages all of whose bytes are wanted: others cannot go.
fn cached(job: &Job, survey: &Survey) -> Vec<Range<u64>> {
    let cached = match survey.hidden() {
        Some(_) => vec![survey.range.clone()],
        None => survey.stretches(true),
    };
    both(&cached, &whole_pages(&job.wanted, survey))
}

fn whole_pages(wanted: &[Range<u64>], survey: &Survey) -> Vec<Range<u64>> {
    let whole = |range: &Range<u64>| {
        let to =
            if range.end == survey.range.end { range.end } else { range.end / survey.page * survey.page };
        range.start.next_multiple_of(survey.page)..to
    };
    wanted.iter().map(whole).filter(|range| range.start < range.end).collect()
}

struct Work<'a> {
    progress: Progress,
    pace: Pace,
    interrupt: &'a Interrupt,
    wait: bool,
}

impl Work<'_> {
    fn file(&mut self, job: &Job) -> Result<Moved, Failure> {
        let mut moved = Moved::new(&job.path);
        let mut left = cached(job, &job.survey);
        let at_first = total(&left);
        moved.already = total(&whole_pages(&job.wanted, &job.survey)).saturating_sub(at_first);
        if left.is_empty() {
            return Ok(moved);
        }
        let file = match job.open() {
            Ok(file) => file,
            Err(failure) => return Ok(moved.refused(at_first, &failure)),
        };
        let mut patience = Patience::new();
        let mut now;
        loop {
            moved.why = self.stretches(&file, &left).err().map(|failure| failure.to_string());
            now = Survey::of(&file, &job.path, ByteRange::ALL, Detail::LookedAt)?;
            left = if now.hidden().is_some() && moved.why.is_none() { Vec::new() } else { cached(job, &now) };
            if left.is_empty() || !self.wait {
                break;
            }
            let why = || moved.why.clone().unwrap_or_else(|| self.reason(job, &now));
            if patience.wait(self.interrupt, || self.progress.aside(|| waiting(&moved.name, &why()))) {
                break;
            }
        }
        moved.left = total(&left);
        moved.done = at_first.saturating_sub(moved.left);
        if moved.left > 0 && moved.why.is_none() {
            moved.why = Some(self.reason(job, &now));
        }
        Ok(moved)
    }

    fn stretches(&mut self, file: &File, stretches: &[Range<u64>]) -> Result<(), Failure> {
        for stretch in stretches {
            let mut from = stretch.start;
            while from < stretch.end && !self.interrupt.came() {
                let to = stretch.end.min(from + PIECE);
                mapwright::evict(file, from..to)?;
                self.progress.add(to - from);
                self.pace.count(to - from, self.interrupt);
                from = to;
            }
        }
        Ok(())
    }

    /// Why pages are still there.
    fn reason(&self, job: &Job, now: &Survey) -> String {
        if self.interrupt.came() {
            return "it was interrupted".to_owned();
        }
        if Disk::of(&job.path).is_some_and(|disk| disk.is_memory()) {
            return "the file is kept in memory (tmpfs) and has no other place".to_owned();
        }
        let bytes = |pages: u64| words::bytes(pages * now.page);
        match (now.totals.locked, now.totals.dirty) {
            (0, 0) => "a process has these pages mapped, or uses them now".to_owned(),
            (0, dirty) => format!("{} are dirty: somebody writes to the file now", bytes(dirty)),
            (locked, _) => format!("{} are locked in memory by a process (mlock)", bytes(locked)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_whole_pages_go_but_for_the_files_last() {
        let survey = |len| Survey {
            range: 0..len,
            page: 4096,
            totals: mapwright::PageTotals::default(),
            runs: Vec::new(),
            holes: Vec::new(),
            allocated: 0,
            untold: Vec::new(),
        };
        let whole = |range: Range<u64>, len| whole_pages(&[range], &survey(len));
        assert_eq!(whole(0..10_000, 10_000), [0..10_000; 1]);
        assert_eq!(whole(1..10_000, 20_000), [4096..8192; 1]);
        assert_eq!(whole(1..4097, 20_000), []);
    }
}
