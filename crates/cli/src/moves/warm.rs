//! `mapwright warm`: what is not in memory is brought in.

use std::fs::File;
use std::ops::{ControlFlow, Range};
use std::path::PathBuf;
use std::time::Instant;

use super::plan::{Job, Plan, Restore};
use super::report::{Moved, Report, Verb};
use super::stretches::{both, total, without};
use super::{Common, Patience, waiting};
use crate::cached::{Detail, Survey};
use crate::interrupt::{Interrupt, Pace};
use crate::outcome::{Failure, Outcome};
use crate::range::ByteRange;
use crate::size;
use crate::ui::{Charset, Progress, Screen};

/// The words of the report.
const VERB: Verb = Verb {
    schema: "mapwright.warm/1",
    done: "brought in",
    already: "in memory before",
    left: "not in memory",
};

/// Bring files into memory.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Only what is missing is read; holes are passed over.

Examples:
  mapwright warm data.db                all of it
  mapwright warm --rate 100M /var/lib   gently
  mapwright warm --restore set          what `--save set` found in memory before")]
pub(crate) struct Args {
    #[command(flatten)]
    common: Common,
    /// Bring in what a saved set holds.
    #[arg(long, value_name = "SET")]
    restore: Option<PathBuf>,
    /// Read no more than this many bytes a second.
    #[arg(long, value_name = "RATE", value_parser = size::parse_rate)]
    rate: Option<u64>,
}

/// Warms files.
pub(crate) fn run(args: &Args, screen: &mut Screen) -> Result<Outcome, Failure> {
    let start = Instant::now();
    let restore = args.restore.as_deref().map(|set| (set, Restore::Members));
    let plan = Plan::make(&args.common, restore)?;
    let files = bring_in(&plan.jobs, args.rate, args.common.wait, screen.charset(), &Interrupt::watch()?)?;
    let report = Report::new(VERB, files, plan.refused, start.elapsed());
    report.print(args.common.json, screen)?;
    Ok(report.outcome())
}

/// Brings the wanted bytes of all files in.
pub(super) fn bring_in(
    jobs: &[Job],
    rate: Option<u64>,
    wait: bool,
    charset: Charset,
    interrupt: &Interrupt,
) -> Result<Vec<Moved>, Failure> {
    let missing: u64 = jobs.iter().map(|job| total(&missing(job, &job.survey))).sum();
    let mut work = Work {
        progress: Progress::of_bytes("warming", missing, charset),
        pace: Pace::at(rate),
        interrupt,
        wait,
    };
    jobs.iter().map(|job| work.file(job)).collect()
}

/// The wanted bytes that are neither in memory nor in a hole.
fn missing(job: &Job, survey: &Survey) -> Vec<Range<u64>> {
    let absent = match survey.hidden() {
        // Nobody tells, so everything is read: what is there costs little.
        Some(_) => vec![survey.range.clone()],
        None => survey.stretches(false),
    };
    without(&both(&absent, &job.wanted), &survey.holes)
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
        let mut left = missing(job, &job.survey);
        let at_first = total(&left);
        moved.already = total(&without(&job.wanted, &job.survey.holes)).saturating_sub(at_first);
        if left.is_empty() {
            return Ok(moved);
        }
        let file = match job.open() {
            Ok(file) => file,
            Err(failure) => return Ok(moved.refused(at_first, &failure)),
        };
        let mut patience = Patience::new();
        loop {
            moved.why = self.stretches(&file, &left).err().map(|failure| failure.to_string());
            let now = Survey::of(&file, &job.path, ByteRange::ALL, Detail::Counted)?;
            left =
                if now.hidden().is_some() && moved.why.is_none() { Vec::new() } else { missing(job, &now) };
            if left.is_empty() || !self.wait {
                break;
            }
            let why = || moved.why.clone().unwrap_or_else(|| self.reason());
            if patience.wait(self.interrupt, || self.progress.aside(|| waiting(&moved.name, &why()))) {
                break;
            }
        }
        moved.left = total(&left);
        moved.done = at_first.saturating_sub(moved.left);
        if moved.left > 0 && moved.why.is_none() {
            moved.why = Some(self.reason());
        }
        Ok(moved)
    }

    /// Why pages are still missing, where nothing failed.
    fn reason(&self) -> String {
        match self.interrupt.came() {
            true => "it was interrupted".to_owned(),
            false => "the kernel let go of pages again: more is wanted than there is memory for".to_owned(),
        }
    }

    fn stretches(&mut self, file: &File, stretches: &[Range<u64>]) -> Result<(), Failure> {
        for stretch in stretches {
            let mut before = 0;
            mapwright::warm(file, stretch.clone(), |done| {
                let more = done - before;
                before = done;
                self.progress.add(more);
                match self.pace.count(more, self.interrupt) {
                    true => ControlFlow::Break(()),
                    false => ControlFlow::Continue(()),
                }
            })?;
            if self.interrupt.came() {
                break;
            }
        }
        Ok(())
    }
}
