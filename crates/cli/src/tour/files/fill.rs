//! Filling a new file.

use std::fs::File;
use std::io::Write;
use std::path::Path;

use mapwright::Map;

use super::numbers::{PIECE, count_into};
use super::scan::Subject;
use crate::measure::{Cost, best};
use crate::outcome::Failure;
use crate::tour::scene::Scene;
use crate::tour::stage::Stage;
use crate::ui::{quoted, words};
use crate::width::{narrow, wide};

/// How often each way fills a file: the first one to use some memory pays for it, whichever way that is.
const ROUNDS: usize = 2;

/// Fills a file with numbers in order, and another one in the old way; returns the first.
pub(super) fn fill(stage: &mut Stage<'_>) -> Result<Subject, Failure> {
    let size = narrow(stage.ground().size());
    let (path, other) = (stage.ground().path("numbers"), stage.ground().path("numbers-written"));
    let mut numbers = vec![1; PIECE];
    let (mut ours, mut theirs) = (Vec::new(), Vec::new());
    for round in 1..=ROUNDS {
        stage.doing("filling a file with write(2)");
        theirs.push(Cost::of(|| by_write(&other, size, &mut numbers))?.0);
        // Gone before the other way begins, with all that would still have to be written to the disk.
        remove(&other)?;
        stage.doing("filling a file through a map");
        ours.push(Cost::of(|| through_map(&path, size, &mut numbers))?.0);
        if round < ROUNDS {
            remove(&path)?;
        }
    }
    let count = words::count(wide(size) / 8);
    let mut scene = Scene::new("Fill")
        .code("Map::create(path, len)?.view().write_bulk(at, numbers)?")
        .says(format!("A new file is an array of {count} numbers; each is stored in its place."));
    if let (Some(ours), Some(theirs)) = (best(ours), best(theirs)) {
        scene = scene.ours("mapwright", ours).beside("write(2)", theirs);
    }
    stage.show(scene)?;
    Subject::own(path, size)
}

fn remove(path: &Path) -> Result<(), Failure> {
    std::fs::remove_file(path).map_err(|cause| Failure::os("remove", quoted(path), cause))
}

fn through_map(path: &Path, size: usize, numbers: &mut [u8]) -> Result<(u64, ()), Failure> {
    let map = Map::create(path, size)?;
    for at in (0..size).step_by(PIECE) {
        let piece = &mut numbers[..PIECE.min(size - at)];
        count_into(piece, wide(at / 8));
        map.view().write_bulk(at, piece)?;
    }
    Ok((wide(size), ()))
}

fn by_write(path: &Path, size: usize, numbers: &mut [u8]) -> Result<(u64, ()), Failure> {
    let refused = |cause| Failure::os("write", quoted(path), cause);
    let mut file = File::create(path).map_err(refused)?;
    for at in (0..size).step_by(PIECE) {
        let piece = &mut numbers[..PIECE.min(size - at)];
        count_into(piece, wide(at / 8));
        file.write_all(piece).map_err(refused)?;
    }
    Ok((wide(size), ()))
}
