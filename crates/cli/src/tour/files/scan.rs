//! Reading all of a file: sums and searches, in memory and from the disk.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::PathBuf;

use mapwright::{Map, MapOptions};
use memchr::memmem;

use super::duel::in_turn;
use super::numbers::{self, PIECE};
use crate::measure::{Cost, best};
use crate::outcome::Failure;
use crate::tour::scene::Scene;
use crate::tour::stage::Stage;
use crate::ui::{name, quoted, words};
use crate::width::{narrow, wide};

/// How often each way is run on a file in memory: the better runs show the ways, not the moment.
const ROUNDS: usize = 3;

/// How often each way reads from the disk, of which the better counts: others use it, too.
const COLD_ROUNDS: usize = 2;

/// How long a literal is searched for in a visitor's file.
const LITERAL: usize = 16;

/// The file that is read: the visitor's own, or the one that the tour has filled. Mapped once, and opened
/// once for read(2), as a program does that works with it for a while.
pub(super) struct Subject {
    pub(super) path: PathBuf,
    pub(super) len: usize,
    pub(super) is_visitors: bool,
    pub(super) map: Map,
    pub(super) file: File,
}

impl Subject {
    /// Takes the visitor's file, where there is one; of a large one, as much as the tour's size.
    pub(super) fn of_visitor(stage: &Stage<'_>) -> Result<Option<Self>, Failure> {
        let Some(path) = stage.visitors_file() else { return Ok(None) };
        let len = Map::open(path)?.len();
        if len < PIECE {
            let what = format!("{} has {} only", quoted(path), words::counted(wide(len), "byte"));
            return Err(Failure::new(what).advice("the tour needs a file of 1 MiB or more"));
        }
        let len = len.min(narrow(stage.ground().size()));
        Ok(Some(Self { is_visitors: true, ..Self::own(path.to_owned(), len)? }))
    }

    /// Takes a file that the tour has filled with numbers.
    pub(super) fn own(path: PathBuf, len: usize) -> Result<Self, Failure> {
        let file = File::open(&path).map_err(|cause| Failure::os("open", quoted(&path), cause))?;
        let map = MapOptions::new().len(len).open(&path)?;
        Ok(Self { path, len, is_visitors: false, map, file })
    }

    /// Reads it from the beginning to the end, a piece at a time, until `each` has had enough.
    fn read(&self, mut each: impl FnMut(&[u8]) -> bool) -> Result<(), Failure> {
        let refused = |cause| Failure::os("read", quoted(&self.path), cause);
        let (mut piece, mut at) = (vec![0; PIECE], 0);
        while at < self.len {
            let piece = &mut piece[..PIECE.min(self.len - at)];
            self.file.read_exact_at(piece, wide(at)).map_err(refused)?;
            at += piece.len();
            if each(piece) {
                return Ok(());
            }
        }
        Ok(())
    }
}

/// Adds all numbers up, in memory.
pub(super) fn sum(stage: &mut Stage<'_>, subject: &Subject) -> Result<(), Failure> {
    stage.doing("adding up");
    let _brought_into_memory = sum_by_read(subject)?;
    let duel = in_turn(ROUNDS, || sum_by_stream(subject), || sum_by_read(subject))?;
    let total = words::count(duel.result);
    let says = if subject.is_visitors {
        format!(
            "{} of {} as numbers add up to {total}.",
            words::bytes(wide(subject.len)),
            name(&subject.path)
        )
    } else {
        format!("All numbers in the file add up to {total}, as they must.")
    };
    let scene = Scene::new("Sum, in memory").code("view.stream().next_chunk()").says(says);
    stage.show(scene.ours("mapwright", duel.ours).beside("read(2)", duel.theirs))
}

fn sum_by_stream(subject: &Subject) -> Result<(u64, u64), Failure> {
    let (mut stream, mut sum) = (subject.map.view().stream(), 0u64);
    while let Some(chunk) = stream.next_chunk() {
        sum = sum.wrapping_add(numbers::sum(chunk?));
    }
    Ok((wide(subject.len), sum))
}

fn sum_by_read(subject: &Subject) -> Result<(u64, u64), Failure> {
    let mut sum = 0u64;
    subject.read(|piece| {
        sum = sum.wrapping_add(numbers::sum(piece));
        false
    })?;
    Ok((wide(subject.len), sum))
}

/// Searches for bytes that stand near the end.
pub(super) fn search(stage: &mut Stage<'_>, subject: &Subject) -> Result<(), Failure> {
    stage.doing("searching");
    let mut literal = vec![0; if subject.is_visitors { LITERAL } else { 8 }];
    // One of our numbers, whose lowest byte is not 0: its bytes stand nowhere else.
    let place = ((subject.len / 8 / 16 * 15) | 0xa5) * 8;
    subject.map.view().copy_to(place, &mut literal)?;
    let duel = in_turn(ROUNDS, || find_in_map(subject, &literal), || find_by_read(subject, &literal))?;
    let found =
        duel.result.map_or_else(|| "nowhere".to_owned(), |at| format!("at byte {}", words::count(wide(at))));
    let says = if subject.is_visitors {
        format!(
            "The {LITERAL} bytes at {}, searched for from the beginning: found {found}.",
            words::count(wide(place))
        )
    } else {
        format!(
            "The bytes of the number {}, searched for from the beginning: found {found}.",
            words::count(wide(place / 8))
        )
    };
    let scene = Scene::new("Search, in memory").code("view.find(&literal)?").says(says);
    stage.show(scene.ours("mapwright", duel.ours).beside("read(2)", duel.theirs))
}

fn find_in_map(subject: &Subject, literal: &[u8]) -> Result<(u64, Option<usize>), Failure> {
    let found = subject.map.view().find(literal)?;
    Ok((wide(found.map_or(subject.len, |at| at + literal.len())), found))
}

fn find_by_read(subject: &Subject, literal: &[u8]) -> Result<(u64, Option<usize>), Failure> {
    let finder = memmem::Finder::new(literal);
    // What ends one piece may begin a match that the next piece completes.
    let (mut tail, mut passed, mut found) = (Vec::new(), 0, None);
    subject.read(|piece| {
        let head = piece.len().min(literal.len() - 1);
        tail.extend_from_slice(&piece[..head]);
        let across = finder.find(&tail).map(|at| passed + at + head - tail.len());
        found = across.or_else(|| finder.find(piece).map(|at| passed + at));
        passed += piece.len();
        tail.clear();
        tail.extend_from_slice(&piece[piece.len() - head..]);
        found.is_some()
    })?;
    Ok((wide(found.map_or(subject.len, |at| at + literal.len())), found))
}

/// Adds all numbers up from the disk.
pub(super) fn cold(stage: &mut Stage<'_>, subject: &Subject) -> Result<(), Failure> {
    stage.doing("reading from the disk");
    let cost = |way: fn(&Subject) -> Result<(u64, u64), Failure>| {
        subject.map.evict(..)?;
        Cost::of(|| way(subject))
    };
    let (mut sum, mut costs) = (0, [vec![], vec![], vec![]]);
    for _ in 0..COLD_ROUNDS {
        for (way, costs) in [sum_by_stream, sum_by_read, sum_by_touch].into_iter().zip(&mut costs) {
            let (cost, result) = cost(way)?;
            costs.push(cost);
            sum = result;
        }
    }
    let mut scene = Scene::new("Sum, from the disk")
        .code("view.stream().next_chunk()")
        .says(format!("The same bytes once more, after they were evicted: {} again.", words::count(sum)));
    let [ours, by_read, by_touch] = costs.map(best);
    if let (Some(ours), Some(by_read), Some(by_touch)) = (ours, by_read, by_touch) {
        scene = scene.ours("mapwright", ours).beside("read(2)", by_read).beside("plain mmap", by_touch);
    }
    stage.show(scene)
}

/// As mmap(2) is used where nobody says what will be read: page by page, as they come.
fn sum_by_touch(subject: &Subject) -> Result<(u64, u64), Failure> {
    let (mut chunks, mut sum) = (subject.map.view().chunks(64 << 10), 0u64);
    while let Some(chunk) = chunks.next_chunk() {
        sum = sum.wrapping_add(numbers::sum(chunk?));
    }
    Ok((wide(subject.len), sum))
}
