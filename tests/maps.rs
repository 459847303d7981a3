//! Random steps on a shared map, its file and the file's other users, beside a plain model of all three.

mod actual;
mod model;
pub(crate) mod private;
mod step;

pub(crate) use actual::Actual;
pub(crate) use model::Model;
pub(crate) use step::{Step, step};

use crate::support::suite::suite;
use crate::support::{random, scratch};
use proptest::prelude::prop;

suite!(tests: [random_steps_on_a_shared_map_agree_with_a_vector], roles: []);

const PAGE: usize = 4096;

fn random_steps_on_a_shared_map_agree_with_a_vector() {
    let folder = scratch::folder();
    random::for_all(0, 100, prop::collection::vec(step(), 1..80), |steps| {
        let file = scratch::pattern(3 * PAGE + 100);
        let path = scratch::file(&folder, "file", &file);
        let (mut model, mut actual) = (Model::new(file), Actual::open(&path));
        for (number, step) in steps.iter().enumerate() {
            actual.take(step, &mut model).map_err(|why| format!("step {number}, {step:?}: {why}"))?;
        }
        Ok(())
    });
}
