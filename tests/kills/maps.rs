//! Kill -9 at random moments of a process that uses a map in every way: what it stored is in the file, and
//! the step that was under way is done, not done, or done in part.

use super::Progress;
use crate::maps::{Actual, Model, Step, step};
use crate::support::process::{Ended, Parent, Process};
use crate::support::random::{self, Random};
use crate::support::scratch;
use crate::support::suite::{role, suite};
use std::path::Path;

suite!(tests: [killed_user_of_a_map_loses_nothing_that_was_stored], roles: [use_map]);

const KILLS: u32 = 30;
const STEPS: usize = 120;

/// The steps of one child.
fn steps(seed: u64) -> Vec<Step> {
    random::choose(seed, proptest::collection::vec(step(), 2 * STEPS))
}

/// Takes steps until it is killed: path, seed, path of the progress.
fn use_map(parent: &mut Parent) {
    let path = Path::new(parent.arg(0));
    let progress = Progress::open(parent.arg(2));
    let (mut model, mut actual) = (Model::new(std::fs::read(path).unwrap()), Actual::open(path));
    for (number, step) in steps(parent.arg(1).parse().unwrap()).iter().enumerate() {
        actual.take(step, &mut model).unwrap_or_else(|why| panic!("step {number}, {step:?}: {why}"));
        progress.set(number + 1);
    }
    parent.wait_for_the_end();
}

fn killed_user_of_a_map_loses_nothing_that_was_stored() {
    let folder = scratch::folder();
    let path = scratch::file(&folder, "file", &scratch::pattern(10_000));
    let mut random = Random::stream(0);
    let mut steps_taken = 0;
    for kill in 0..KILLS * random::effort() {
        let seed = random.next();
        let mut model = Model::new(std::fs::read(&path).unwrap());
        let progress = Progress::new();
        let args = [path.to_str().unwrap(), &seed.to_string(), progress.path()];
        let mut child = Process::start(role!(use_map), &args);
        progress.wait_for(random.below(STEPS), &mut child);
        assert_eq!(child.kill(), Ended::Signal(libc::SIGKILL), "seed {seed}");
        let (done, mut steps) = (progress.get(), steps(seed));
        // A child that has taken them all waits for its end.
        steps.push(Step::Refresh);
        for step in &steps[..done] {
            model.take(step);
        }
        let mut after = model.clone();
        after.take(&steps[done]);
        let found = std::fs::read(&path).unwrap();
        check(&model.file, &after.file, &found).unwrap_or_else(|why| {
            panic!("kill {kill} at step {done} of seed {seed}, {:?}: {why}", steps[done])
        });
        steps_taken += done;
    }
    println!("  {} kills among {steps_taken} steps", KILLS * random::effort());
}

/// Whether a file can be what it was before a step, after it, or in between.
fn check(before: &[u8], after: &[u8], found: &[u8]) -> Result<(), String> {
    let (least, most) = (before.len().min(after.len()), before.len().max(after.len()));
    if !(least..=most).contains(&found.len()) {
        return Err(format!("it has {} bytes, not {least} to {most}", found.len()));
    }
    let is_possible = |at: usize| {
        let byte = Some(&found[at]);
        byte == before.get(at) || byte == after.get(at) || found[at] == 0 && at >= before.len()
    };
    match (0..found.len()).find(|&at| !is_possible(at)) {
        Some(at) => Err(format!(
            "byte {at} is {}, neither {:?} as before nor {:?} as after",
            found[at],
            before.get(at),
            after.get(at)
        )),
        None => Ok(()),
    }
}
