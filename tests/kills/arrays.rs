//! Kill -9 at random moments: an array opens with a valid prefix, which holds at least what had been spilled
//! or flushed.
//!
//! A child takes seeded steps and counts them in a file; the test kills it, takes the same steps on a plain
//! vector, and accepts what the array was before or after the step that was under way. The next child goes on
//! with what was found.

use super::{Progress, number};
use crate::support::process::{Ended, Parent, Process};
use crate::support::random::{self, Random};
use crate::support::scratch;
use crate::support::suite::{role, suite};
use mapwright::{MapVec, MapVecOptions};
use std::path::Path;

suite!(tests: [killed_writer_leaves_a_valid_prefix], roles: [write]);

/// How many writers are killed, for each form of array.
const KILLS: u32 = 30;
/// How many steps they take at most before.
const STEPS: usize = 50;

#[derive(Debug, Clone, Copy)]
enum Step {
    Push,
    Extend(usize),
    Append(usize),
    Set(usize),
    CopyFrom(usize, usize),
    Truncate(usize),
    Spill,
    Flush,
    Sort,
    Reopen,
}

impl Step {
    fn chosen_by(random: &mut Random) -> Self {
        // More than waits in memory, now and then.
        let count = |random: &mut Random| {
            let most = [3, 3_000, 3_000, 40_000][random.below(4)];
            random.below(most)
        };
        match random.below(20) {
            0..5 => Self::Push,
            5..7 => Self::Extend(count(random)),
            7..10 => Self::Append(count(random)),
            10..12 => Self::Set(random.below(100_000)),
            12..14 => Self::CopyFrom(random.below(100_000), count(random)),
            14 => Self::Truncate(random.below(60_000)),
            15 | 16 => Self::Spill,
            17 => Self::Flush,
            18 => Self::Sort,
            _ => Self::Reopen,
        }
    }
}

/// The steps of one child, numbered through all children so that each stores elements of its own.
struct Steps {
    random: Random,
    number: usize,
}

impl Steps {
    fn new(seed: u64) -> Self {
        Self { random: Random::of_seed(seed), number: usize::try_from(seed >> 44).unwrap() }
    }

    /// The next step, and the first of the elements that it stores.
    fn next(&mut self) -> (Step, usize) {
        self.number += 100_000;
        (Step::chosen_by(&mut self.random), self.number)
    }
}

/// The place of a step that changes elements, where there are any.
fn place(start: usize, count: usize, len: usize) -> std::ops::Range<usize> {
    let start = start % (len + 1);
    start..start + count.min(len - start)
}

fn form(headerless: bool) -> MapVecOptions {
    // Little memory for sorts: they go through files.
    let options = MapVecOptions::new().sort_memory(128 << 10);
    if headerless { options.headerless() } else { options }
}

/// Takes steps until it is killed: form, path, seed, path of the progress.
fn write(parent: &mut Parent) {
    let (options, path) = (form(parent.arg(0) == "headerless"), Path::new(parent.arg(1)));
    let mut steps = Steps::new(parent.arg(2).parse().unwrap());
    let progress = Progress::open(parent.arg(3));
    let mut array = Some(options.open_or_create::<u64>(path).unwrap());
    for done in 1.. {
        let (step, first) = steps.next();
        act(&options, path, &mut array, step, first);
        progress.set(done);
    }
}

fn act(options: &MapVecOptions, path: &Path, slot: &mut Option<MapVec<u64>>, step: Step, first: usize) {
    let array = slot.as_mut().unwrap();
    let elements = |count| (first..first + count).map(number).collect::<Vec<_>>();
    match step {
        Step::Push => array.push(number(first)).unwrap(),
        Step::Extend(count) => array.extend(elements(count)).unwrap(),
        Step::Append(count) => array.extend_from_slice(&elements(count)).unwrap(),
        Step::Set(at) => {
            for at in place(at, 1, array.len()) {
                array.set(at, number(first)).unwrap();
            }
        }
        Step::CopyFrom(start, count) => {
            let place = place(start, count, array.len());
            array.copy_from(place.start, &elements(place.len())).unwrap();
        }
        Step::Truncate(len) => array.truncate(len).unwrap(),
        Step::Spill => array.spill().unwrap(),
        Step::Flush => array.flush().unwrap(),
        Step::Sort => array.sort().unwrap(),
        Step::Reopen => {
            slot.take().unwrap().close().unwrap();
            *slot = Some(options.open::<u64>(path).unwrap());
        }
    }
}

/// What the array is, and what of it must survive.
#[derive(Debug, Clone, Default)]
struct Model {
    elements: Vec<u64>,
    /// At least so many are in the file.
    written: usize,
    /// At least so many are on the disk.
    flushed: usize,
}

impl Model {
    fn take(&mut self, step: Step, first: usize) {
        let elements = |count| (first..first + count).map(number);
        match step {
            Step::Push => self.elements.push(number(first)),
            Step::Extend(count) | Step::Append(count) => self.elements.extend(elements(count)),
            Step::Set(at) => {
                for at in place(at, 1, self.elements.len()) {
                    self.elements[at] = number(first);
                }
            }
            Step::CopyFrom(start, count) => {
                let place = place(start, count, self.elements.len());
                for (at, element) in place.clone().zip(elements(place.len())) {
                    self.elements[at] = element;
                }
            }
            Step::Truncate(len) => {
                self.elements.truncate(len);
                self.written = self.written.min(len);
                self.flushed = self.flushed.min(len);
            }
            Step::Spill | Step::Reopen => self.written = self.elements.len(),
            Step::Flush => {
                self.written = self.elements.len();
                self.flushed = self.elements.len();
            }
            Step::Sort => {
                self.elements.sort_unstable();
                self.written = self.elements.len();
            }
        }
    }

    /// Whether the file may hold these elements, while the step from here to there was under way.
    fn allows(&self, step: Step, after: &Self, found: &[u64]) -> bool {
        let at_least = self.written.min(after.written);
        let is_prefix = |of: &[u64]| found.len() >= at_least && of.starts_with(found);
        match step {
            // Element by element.
            Step::CopyFrom(..) => {
                let is_either = |at: usize| found[at] == self.elements[at] || found[at] == after.elements[at];
                (at_least..=self.elements.len()).contains(&found.len()) && (0..found.len()).all(is_either)
            }
            Step::Sort => is_prefix(&self.elements) || found == after.elements,
            _ => is_prefix(&self.elements) || is_prefix(&after.elements),
        }
    }
}

fn killed_writer_leaves_a_valid_prefix() {
    let mut random = Random::stream(0);
    for headerless in [false, true] {
        let folder = scratch::folder();
        let path = folder.path().join("array");
        let (mut model, mut steps_taken, mut lost) = (Model::default(), 0, 0);
        for kill in 0..KILLS * random::effort() {
            let (found, done, seed) = run_and_kill(headerless, &path, &mut random);
            let Some((found, flushed)) = found else { continue };
            let mut steps = Steps::new(seed);
            for _ in 0..done {
                let (step, first) = steps.next();
                model.take(step, first);
            }
            let (step, first) = steps.next();
            let mut after = model.clone();
            after.take(step, first);
            assert!(
                model.allows(step, &after, &found),
                "kill {kill} (headerless: {headerless}), at step {done} of seed {seed}, {step:?}: {} \
                 elements \
                 were found, \
                 {} to {} or {} to {} can be",
                found.len(),
                model.written,
                model.elements.len(),
                after.written,
                after.elements.len(),
            );
            let certain = model.flushed.min(after.flushed);
            assert!(
                headerless || (certain..=found.len()).contains(&flushed),
                "{flushed} flushed, not {certain}"
            );
            steps_taken += done;
            lost += after.elements.len().saturating_sub(found.len());
            // An array that grew for ever would be slow to check, and no better a test.
            model = Model { written: found.len(), elements: found, flushed };
        }
        println!(
            "  {} kills (headerless: {headerless}) among {steps_taken} steps; {lost} elements waited in \
             memory and were lost",
            KILLS * random::effort()
        );
    }
}

/// The elements that a killed child left with how many of them are flushed (or nothing, if it had not even
/// created the array), how many steps it took, and their seed.
type Aftermath = (Option<(Vec<u64>, usize)>, usize, u64);

fn run_and_kill(headerless: bool, path: &Path, random: &mut Random) -> Aftermath {
    let seed = random.next();
    let progress = Progress::new();
    let name = if headerless { "headerless" } else { "with header" };
    let args = [name, path.to_str().unwrap(), &seed.to_string(), progress.path()];
    let mut child = Process::start(role!(write), &args);
    progress.wait_for(random.below(STEPS), &mut child);
    assert_eq!(child.kill(), Ended::Signal(libc::SIGKILL), "seed {seed}");
    if !path.exists() {
        return (None, 0, seed);
    }
    let array = form(headerless).open::<u64>(path).unwrap_or_else(|error| panic!("seed {seed}: {error}"));
    let found = array.to_vec(..).unwrap();
    let flushed = array.flushed_len();
    array.close().unwrap();
    (Some((found, flushed)), progress.get(), seed)
}
