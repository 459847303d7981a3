//! Killed before each of its system calls, an operation on a file leaves the old file or the new one (or,
//! where it appends, a prefix in between), nothing beside it, and nothing that keeps the next process out.

use super::number;
use crate::support::process::{Ended, Parent};
use crate::support::suite::{Verdict, role, suite};
use crate::support::{scratch, stepped};
use mapwright::{Map, MapVec, MapVecOptions};
use std::path::Path;

suite!(tests: [kill_before_any_system_call_leaves_old_or_new], roles: [act]);

/// Elements that are there before.
const OLD: usize = 20_000;
/// Elements that are appended: more than wait in memory at most.
const MORE: usize = 50_000;
/// Words of a file that is no array.
const WORDS: usize = 1_000;

/// One operation that is killed.
struct Operation {
    name: &'static str,
    /// How many elements there are before, if the file is there.
    before: Option<usize>,
    act: fn(&Path),
    /// Reads the file, and uses it as the next process would.
    read: fn(&Path) -> Vec<u64>,
    /// Whether these may be what the file holds, if it is there, after a kill.
    allows: fn(Option<&[u64]>) -> bool,
    /// Whether they are what it holds in the end.
    ends: fn(Option<&[u64]>) -> bool,
}

const OPERATIONS: &[Operation] = &[
    Operation {
        name: "create a file and map it",
        before: None,
        act: |path| drop(Map::create(path, 8 * WORDS).unwrap()),
        read: read_words,
        allows: |words| words.is_none_or(|words| words == [0; WORDS]),
        ends: |words| words.is_some_and(|words| words == [0; WORDS]),
    },
    Operation {
        name: "create an array",
        before: None,
        act: |path| drop(MapVec::<u64>::create(path).unwrap()),
        read: read_array,
        allows: |elements| elements.is_none_or(<[u64]>::is_empty),
        ends: |elements| elements.is_some_and(<[u64]>::is_empty),
    },
    Operation {
        name: "open or create an array",
        before: None,
        act: |path| drop(MapVec::<u64>::open_or_create(path).unwrap()),
        read: read_array,
        allows: |elements| elements.is_none_or(<[u64]>::is_empty),
        ends: |elements| elements.is_some_and(<[u64]>::is_empty),
    },
    Operation {
        name: "append, flush, close",
        before: Some(OLD),
        act: |path| {
            let mut array = MapVec::<u64>::open(path).unwrap();
            array.extend((OLD..OLD + MORE).map(number)).unwrap();
            array.flush().unwrap();
            array.close().unwrap();
        },
        read: read_array,
        allows: |elements| holds_first(elements, OLD..=OLD + MORE),
        ends: |elements| holds_first(elements, OLD + MORE..=OLD + MORE),
    },
    Operation {
        name: "truncate",
        before: Some(OLD),
        act: |path| MapVec::<u64>::open(path).unwrap().truncate(7).unwrap(),
        read: read_array,
        allows: |elements| holds_first(elements, 7..=7) || holds_first(elements, OLD..=OLD),
        ends: |elements| holds_first(elements, 7..=7),
    },
    Operation {
        name: "sort in memory",
        before: Some(OLD),
        act: |path| MapVec::<u64>::open(path).unwrap().sort().unwrap(),
        read: read_array,
        allows: |elements| holds_first(elements, OLD..=OLD) || holds_sorted(elements),
        ends: holds_sorted,
    },
    Operation {
        name: "sort on the disk",
        before: Some(OLD),
        act: |path| {
            let options = MapVecOptions::new().sort_memory(64 << 10);
            options.open::<u64>(path).unwrap().sort().unwrap();
        },
        read: read_array,
        allows: |elements| holds_first(elements, OLD..=OLD) || holds_sorted(elements),
        ends: holds_sorted,
    },
];

/// Whether the array holds as many of the numbers as this, in the order in which they were appended.
fn holds_first(elements: Option<&[u64]>, count: std::ops::RangeInclusive<usize>) -> bool {
    let is_next = |(index, &element): (usize, &u64)| element == number(index);
    elements
        .is_some_and(|elements| count.contains(&elements.len()) && elements.iter().enumerate().all(is_next))
}

fn holds_sorted(elements: Option<&[u64]>) -> bool {
    let mut sorted: Vec<u64> = (0..OLD).map(number).collect();
    sorted.sort_unstable();
    elements.is_some_and(|elements| elements == sorted)
}

/// Acts under the eyes of the test: number of the operation, path.
fn act(parent: &mut Parent) {
    let operation = &OPERATIONS[parent.arg(0).parse::<usize>().unwrap()];
    stepped::begin();
    (operation.act)(Path::new(parent.arg(1)));
}

fn kill_before_any_system_call_leaves_old_or_new() -> Verdict {
    stepped::is_possible()?;
    for (number, operation) in OPERATIONS.iter().enumerate() {
        for call in 0.. {
            let folder = scratch::folder();
            let path = folder.path().join("file");
            if let Some(count) = operation.before {
                fresh(&path, count);
            }
            let args = [&number.to_string(), path.to_str().unwrap()];
            let end = stepped::kill_before_call(role!(act), &args, call);
            let elements = left_over(folder.path(), operation.read);
            let elements = elements.as_deref();
            let name = operation.name;
            if let Some(end) = end {
                assert_eq!(end, Ended::Exit(0), "{name}");
                assert!((operation.ends)(elements), "{name} did not do its work");
                println!("  {name:<28}killed before each of {call} system calls");
                break;
            }
            assert!((operation.allows)(elements), "{name}, killed before call {call}: {elements:?}");
        }
    }
    Ok(())
}

fn fresh(path: &Path, count: usize) {
    let mut array = MapVec::<u64>::create(path).unwrap();
    array.extend((0..count).map(number)).unwrap();
    array.close().unwrap();
}

/// What the folder holds: nothing, or a file that is alone once it was used again.
fn left_over(folder: &Path, read: fn(&Path) -> Vec<u64>) -> Option<Vec<u64>> {
    let names = || {
        let entries = std::fs::read_dir(folder).unwrap();
        entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect::<Vec<_>>()
    };
    let before = names();
    if before.is_empty() {
        return None;
    }
    // The one other name that a kill can leave is gone when the next writer has come.
    assert!(before.iter().all(|name| name == "file" || name.starts_with(".mapwright-")), "{before:?}");
    let elements = read(&folder.join("file"));
    assert_eq!(names(), ["file"], "before: {before:?}");
    Some(elements)
}

fn read_words(path: &Path) -> Vec<u64> {
    let map = Map::open_mut(path).unwrap();
    let mut words = vec![0; map.len() / 8];
    map.view().load_slice(0, &mut words).unwrap();
    map.view().fill(.., 1).unwrap();
    words
}

fn read_array(path: &Path) -> Vec<u64> {
    let mut array = MapVec::<u64>::open(path).unwrap();
    let elements = array.to_vec(..).unwrap();
    array.push(1).unwrap();
    array.close().unwrap();
    elements
}
