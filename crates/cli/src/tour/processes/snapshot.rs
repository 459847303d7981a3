//! A value that one process changes without a pause, and that another one reads.

use std::time::{Duration, Instant};

use mapwright::share::{Event, EventOptions, Segment, Snapshot, SnapshotOptions};

use super::{Second, shared};
use crate::outcome::Failure;
use crate::tour::scene::Scene;
use crate::tour::stage::Stage;
use crate::ui::words;

/// All numbers of a value are equal: one that differs was torn.
type Value = [u64; 8];

/// How long it is read.
const TIME: Duration = Duration::from_millis(300);

/// Reads a value that another process keeps changing, then kills that one, and reads on.
pub(super) fn read_at_full_speed(stage: &mut Stage<'_>) -> Result<(), Failure> {
    stage.doing("reading a snapshot");
    let segment = Segment::anonymous("tour")
        .with::<Snapshot<Value>>("value", SnapshotOptions::new([0; 8]))
        .with::<Event>("begun", EventOptions::Manual)
        .create()?;
    let value: Snapshot<Value> = segment.get("value")?;
    let mut second = Second::start("publish", &segment)?;
    segment.get::<Event>("begun")?.wait().map_err(shared)?;
    let (start, first) = (Instant::now(), value.version());
    let (mut reads, mut torn) = (0u64, 0u64);
    while start.elapsed() < TIME {
        for _ in 0..1000 {
            let seen = value.read().map_err(shared)?;
            torn += u64::from(seen.iter().any(|&number| number != seen[0]));
        }
        reads += 1000;
    }
    let (time, published) = (start.elapsed(), value.version() - first);
    second.kill()?;
    let after = value.read().map_err(shared)?;
    if torn > 0 || after.iter().any(|&number| number != after[0]) {
        return Err(Failure::new(format!("{torn} of {reads} values were torn")));
    }
    let says = format!(
        "While the second process published {} values of 64 bytes, this one read {} times, {} each, and no \
         value was torn. Then the writer was killed in the middle of its work: the value is still there, \
         whole, {}.",
        words::count(published),
        words::count(reads),
        words::time(time / u32::try_from(reads).unwrap_or(u32::MAX)),
        words::count(after[0]),
    );
    stage.show(Scene::new("Read what is being written").code("snapshot.read()?").says(says))
}

/// The second process.
pub(super) fn publish(segment: &Segment) -> Result<(), Failure> {
    let mut writer = segment.get::<Snapshot<Value>>("value")?.writer().map_err(shared)?;
    let begun: Event = segment.get("begun")?;
    for number in 1.. {
        writer.publish(&[number; 8]).map_err(shared)?;
        if number == 1 {
            begun.set().map_err(shared)?;
        }
    }
    Ok(())
}
