//! An array that grows past its first size without moving.

use mapwright::MapOptions;

use crate::measure::Cost;
use crate::outcome::Failure;
use crate::tour::scene::Scene;
use crate::tour::stage::Stage;
use crate::ui::words;
use crate::width::{narrow, wide};

/// In how many steps it grows.
const STEPS: usize = 16;

/// Grows a map in place.
pub(super) fn grow(stage: &mut Stage<'_>) -> Result<(), Failure> {
    stage.doing("growing");
    let last = narrow(stage.ground().size());
    let first = last / STEPS;
    let path = stage.ground().path("growing");
    drop(mapwright::Map::create(&path, first)?);
    let map = MapOptions::new().reserve(last).open_mut(&path)?;
    let (before, view) = (map.as_ptr(), map.view());
    view.store(0, 7u64)?;
    let (cost, ()) = Cost::of(|| {
        for step in 2..=STEPS {
            map.grow(first * step)?;
            map.view().store(first * step - 8, wide(step))?;
        }
        Ok::<_, Failure>((wide(last - first), ()))
    })?;
    let after = map.as_ptr();
    let seven = view.load::<u64>(0)?;
    let moved = if before == after { "the same address" } else { "another address" };
    let says = format!(
        "From {} to {} in {} steps of {} each: it began at {before:p} and is at {after:p} now, {moved}. A \
         view from before the first step still reads its {seven}.",
        words::bytes(wide(first)),
        words::bytes(wide(last)),
        STEPS - 1,
        words::time(cost.time / u32::try_from(STEPS - 1).unwrap_or(1)),
    );
    stage.show(Scene::new("Grow without moving").code("map.grow(len)?").says(says))
}
