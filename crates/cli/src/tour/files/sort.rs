//! Sorting records where they lie.

use std::fs::File;
use std::io::{Read, Write};
use std::path::Path;

use mapwright::zerocopy::IntoBytes;
use mapwright::{MapVec, MapVecOptions, SortInto};

use crate::measure::{Cost, best};
use crate::outcome::Failure;
use crate::random::Random;
use crate::tour::scene::Scene;
use crate::tour::stage::Stage;
use crate::ui::{quoted, words};
use crate::width::{narrow, wide};

/// A key and what belongs to it.
type Record = [u64; 2];

/// How often each way sorts, of which the better counts.
const ROUNDS: usize = 2;

/// No more records than sort in a moment.
const MOST: u64 = 4 << 20;

/// Sorts records in a file, and in another one in the old way.
pub(super) fn sort(stage: &mut Stage<'_>) -> Result<(), Failure> {
    let count = (stage.ground().size() / 64).min(MOST);
    let (ours, theirs) = (stage.ground().path("records"), stage.ground().path("records-read"));
    stage.doing("sorting records");
    let mut random = Random::seeded(count);
    let records: Vec<Record> = (0..count).map(|value| [random.below(u64::MAX), value]).collect();
    let refused = |cause| Failure::os("write", quoted(&theirs), cause);
    let (mut our_costs, mut their_costs) = (Vec::new(), Vec::new());
    for round in 0..ROUNDS {
        let mut array = MapVec::<Record>::open_or_create(&ours)?;
        array.clear()?;
        array.extend_from_slice(&records)?;
        array.close()?;
        File::create(&theirs).and_then(|mut file| file.write_all(records.as_bytes())).map_err(refused)?;

        // Each way is the first one once: the first one meets a disk that still writes what was made.
        let their_first = (round % 2 == 1).then(|| Cost::of(|| by_read_and_write(&theirs))).transpose()?;
        let (our_cost, first) = Cost::of(|| in_place(&ours))?;
        let (their_cost, same) = match their_first {
            Some(done) => done,
            None => Cost::of(|| by_read_and_write(&theirs))?,
        };
        if first != same {
            return Err(Failure::new("two ways to sort the same records disagree"));
        }
        our_costs.push(our_cost);
        their_costs.push(their_cost);
    }
    let says = format!(
        "{} records of 16 bytes with random keys, sorted in the file. A file larger than memory is sorted \
         by the same call, in runs that are merged.",
        words::count(count)
    );
    let mut scene = Scene::new("Sort records in place")
        .code("options.sort_into(SortInto::SameFile).open(path)?.sort_unstable()?")
        .says(says);
    if let (Some(ours), Some(theirs)) = (best(our_costs), best(their_costs)) {
        scene = scene.ours("mapwright", ours).beside("read, sort, write", theirs);
    }
    stage.show(scene)
}

/// Sorts, and returns the first record for comparison.
fn in_place(path: &Path) -> Result<(u64, Option<Record>), Failure> {
    let mut records = MapVecOptions::new().sort_into(SortInto::SameFile).open::<Record>(path)?;
    records.sort_unstable()?;
    let first = records.get(0)?;
    let len = records.len();
    records.close()?;
    Ok((wide(len * size_of::<Record>()), Some(first)))
}

fn by_read_and_write(path: &Path) -> Result<(u64, Option<Record>), Failure> {
    let refused = |cause| Failure::os("sort", quoted(path), cause);
    let mut file = File::options().read(true).write(true).open(path).map_err(refused)?;
    let len = file.metadata().map_err(refused)?.len();
    let mut records: Vec<Record> = vec![[0; 2]; narrow(len) / size_of::<Record>()];
    file.read_exact(records.as_mut_bytes()).map_err(refused)?;
    records.sort_unstable();
    std::os::unix::fs::FileExt::write_all_at(&file, records.as_bytes(), 0).map_err(refused)?;
    Ok((len, records.first().copied()))
}
