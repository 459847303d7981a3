//! An array on a file, closed, dropped, forgotten and opened again between operations, against a vector.

use std::fmt::Debug;
use std::path::{Path, PathBuf};

use arbitrary::Arbitrary;
use mapwright_core::{ErrorKind, MapVec, MapVecOptions, Plain, ReadOnly, SortInto};

use crate::scratch::Scratch;

/// What one input does.
#[derive(Arbitrary, Debug)]
pub struct Session {
    element: Element,
    settings: Settings,
    steps: Vec<Step>,
}

/// How many steps of an input are taken.
const STEPS: usize = 40;
/// How many elements an array may get: enough for several of the blocks that wait in memory.
const ELEMENTS: usize = 200_000;

#[derive(Arbitrary, Clone, Copy, Debug)]
enum Element {
    Byte,
    Word,
    Triple,
    Record,
}

#[derive(Arbitrary, Clone, Copy, Debug)]
struct Settings {
    is_headerless: bool,
    /// A little address space, so that the array must move.
    has_little_room: bool,
    /// A little memory, so that sorts merge on the disk.
    sorts_on_disk: bool,
    sorts_in_place: bool,
}

#[derive(Arbitrary, Clone, Copy, Debug)]
enum Step {
    Push {
        seed: u16,
    },
    Extend {
        count: u8,
        seed: u16,
    },
    ExtendFromSlice {
        count: u16,
        seed: u16,
    },
    /// More than waits in memory.
    ExtendMuch {
        seed: u16,
    },
    Set {
        at: u16,
        seed: u16,
    },
    CopyFrom {
        at: u16,
        count: u8,
        seed: u16,
    },
    Get {
        at: u16,
    },
    CopyTo {
        at: u16,
        count: u8,
    },
    ToVec {
        from: u16,
        to: u16,
    },
    Blocks {
        count: u16,
    },
    Truncate {
        len: u16,
    },
    Clear,
    Spill,
    Flush,
    Sort {
        how: Sort,
    },
    Search {
        seed: u16,
    },
    /// Closes, and opens again.
    Reopen,
    /// Drops without closing, and opens again.
    Drop,
    /// Opens for reading beside the writer, or looks again.
    Read,
}

#[derive(Arbitrary, Clone, Copy, Debug)]
enum Sort {
    Stable,
    Unstable,
    Backward,
    ByLowBits,
}

/// Elements that are made from a seed.
trait Made: Plain + Ord + Debug {
    fn made(seed: u16) -> Self;
    /// A key that many elements share.
    fn key(&self) -> u8;
}

impl Made for u8 {
    fn made(seed: u16) -> Self {
        seed.to_le_bytes()[0]
    }
    fn key(&self) -> u8 {
        self & 3
    }
}

impl Made for u64 {
    fn made(seed: u16) -> Self {
        Self::from(seed).wrapping_mul(0x9e37_79b9_7f4a_7c15)
    }
    fn key(&self) -> u8 {
        self.to_le_bytes()[0] & 3
    }
}

impl Made for [u8; 3] {
    fn made(seed: u16) -> Self {
        let [low, high] = seed.to_le_bytes();
        [high, low, low ^ high]
    }
    fn key(&self) -> u8 {
        self[1] & 3
    }
}

impl Made for [u32; 4] {
    fn made(seed: u16) -> Self {
        [u32::from(seed) % 7, u32::from(seed), !u32::from(seed), 1]
    }
    fn key(&self) -> u8 {
        self[1].to_le_bytes()[0] & 3
    }
}

/// Takes all steps, comparing after each.
pub fn run(session: Session) {
    let steps = &session.steps[..session.steps.len().min(STEPS)];
    match session.element {
        Element::Byte => run_with::<u8>(session.settings, steps),
        Element::Word => run_with::<u64>(session.settings, steps),
        Element::Triple => run_with::<[u8; 3]>(session.settings, steps),
        Element::Record => run_with::<[u32; 4]>(session.settings, steps),
    }
}

fn run_with<T: Made>(settings: Settings, steps: &[Step]) {
    let scratch = Scratch::new();
    let path = scratch.path("array");
    let options = settings.options();
    let real = options.create(&path).expect("a free path");
    let mut world = World::<T> { path, options, real: Some(real), reader: None, model: Vec::new() };
    for &step in steps {
        world.step(step, settings);
        world.check();
    }
    world.reopen(Leaving::Closed);
    world.check_all();
}

impl Settings {
    fn options(self) -> MapVecOptions {
        let options = MapVecOptions::new().reserve(if self.has_little_room { 1 << 12 } else { 1 << 30 });
        let options = if self.is_headerless { options.headerless() } else { options };
        let options = if self.sorts_on_disk { options.sort_memory(1) } else { options };
        options.sort_into(if self.sorts_in_place { SortInto::SameFile } else { SortInto::NewFile })
    }
}

/// How an array is left before it is opened again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Leaving {
    Closed,
    Dropped,
}

struct World<T: Made> {
    path: PathBuf,
    options: MapVecOptions,
    /// `None` only between two openings.
    real: Option<MapVec<T>>,
    reader: Option<MapVec<T, ReadOnly>>,
    model: Vec<T>,
}

fn made<T: Made>(count: usize, seed: u16) -> Vec<T> {
    (0..count).map(|place| T::made(seed.wrapping_add(u16::try_from(place % 5_003).unwrap_or(0)))).collect()
}

impl<T: Made> World<T> {
    fn real(&mut self) -> &mut MapVec<T> {
        self.real.as_mut().expect("an open array")
    }

    fn step(&mut self, step: Step, settings: Settings) {
        match step {
            Step::Push { seed } => {
                self.real().push(T::made(seed)).expect("room on the disk");
                self.model.push(T::made(seed));
            }
            Step::Extend { count, seed } => {
                let values = made(count.into(), seed);
                self.real().extend(values.iter().copied()).expect("room on the disk");
                self.model.extend(values);
            }
            Step::ExtendFromSlice { count, seed } => self.append(&made(count.into(), seed)),
            Step::ExtendMuch { seed } => self.append(&made((300 << 10) / size_of::<T>(), seed)),
            Step::Set { at, seed } => {
                let (at, value) = (usize::from(at), T::made(seed));
                let result = self.real().set(at, value);
                match self.model.get_mut(at) {
                    Some(place) => {
                        *place = value;
                        result.expect("the element is there");
                    }
                    None => assert_eq!(result.expect_err("no such element").kind(), ErrorKind::OutOfBounds),
                }
            }
            Step::CopyFrom { at, count, seed } => {
                let (at, values) = (usize::from(at), made(count.into(), seed));
                let result = self.real().copy_from(at, &values);
                match self.model.get_mut(at..at + values.len()) {
                    Some(places) => {
                        places.copy_from_slice(&values);
                        result.expect("the elements are there");
                    }
                    None => assert_eq!(result.expect_err("no such elements").kind(), ErrorKind::OutOfBounds),
                }
            }
            Step::Get { at } => {
                let got = self.real().get(at.into()).map_err(|error| error.kind());
                let wanted = self.model.get(usize::from(at)).copied().ok_or(ErrorKind::OutOfBounds);
                assert_eq!(got, wanted);
            }
            Step::CopyTo { at, count } => {
                let at = usize::from(at);
                let mut out = made(count.into(), 0);
                let result = self.real().copy_to(at, &mut out);
                match self.model.get(at..at + out.len()) {
                    Some(wanted) => {
                        result.expect("the elements are there");
                        assert_eq!(out, wanted);
                    }
                    None => assert_eq!(result.expect_err("no such elements").kind(), ErrorKind::OutOfBounds),
                }
            }
            Step::ToVec { from, to } => {
                let range = usize::from(from)..usize::from(to);
                let got = self.real().to_vec(range.clone()).map_err(|error| error.kind());
                let wanted = self.model.get(range).map(<[T]>::to_vec).ok_or(ErrorKind::OutOfBounds);
                assert_eq!(got, wanted);
            }
            Step::Blocks { count } => self.blocks(usize::from(count).max(1)),
            Step::Truncate { len } => {
                self.real().truncate(len.into()).expect("an array may be cut");
                self.model.truncate(len.into());
            }
            Step::Clear => {
                self.real().clear().expect("an array may be cut");
                self.model.clear();
            }
            Step::Spill => self.real().spill().expect("room on the disk"),
            Step::Flush => {
                self.real().flush().expect("room on the disk");
                let len = self.model.len();
                assert_eq!((self.real().flushed_len(), self.real().len()), (len, len));
            }
            Step::Sort { how } => {
                self.sort(how);
                if !settings.sorts_in_place {
                    // Another file has the path now: who has the old one open sees the old order.
                    self.reader = None;
                }
            }
            Step::Search { seed } => self.search(T::made(seed)),
            Step::Reopen => self.reopen(Leaving::Closed),
            Step::Drop => self.reopen(Leaving::Dropped),
            Step::Read => self.read(),
        }
    }

    fn append(&mut self, values: &[T]) {
        if self.model.len() + values.len() <= ELEMENTS {
            self.real().extend_from_slice(values).expect("room on the disk");
            self.model.extend_from_slice(values);
        }
    }

    fn blocks(&mut self, count: usize) {
        let real = self.real.as_ref().expect("an open array");
        let (mut blocks, mut wanted) = (real.blocks(count), self.model.chunks(count));
        while let Some(block) = blocks.next_block() {
            assert_eq!(Some(block.expect("the elements are there")), wanted.next());
        }
        assert_eq!(wanted.next(), None);
    }

    fn sort(&mut self, how: Sort) {
        let model = &mut self.model;
        let real = self.real.as_mut().expect("an open array");
        match how {
            Sort::Stable => {
                real.sort().expect("room on the disk");
                model.sort();
            }
            Sort::Unstable => {
                real.sort_unstable().expect("room on the disk");
                model.sort_unstable();
            }
            Sort::Backward => {
                real.sort_by(|one, other| other.cmp(one)).expect("room on the disk");
                model.sort_by(|one, other| other.cmp(one));
            }
            Sort::ByLowBits => {
                real.sort_by_key(T::key).expect("room on the disk");
                model.sort_by_key(T::key);
            }
        }
        self.check_all();
    }

    fn search(&mut self, value: T) {
        let is_sorted = self.model.is_sorted();
        let found = self.real().binary_search(&value).expect("the elements are there");
        if !is_sorted {
            return;
        }
        match found {
            Ok(place) => assert_eq!(self.model[place], value),
            Err(place) => {
                assert_eq!(self.model.binary_search(&value), Err(place));
            }
        }
        let first = self.real().partition_point(|element| *element < value).expect("the elements are there");
        assert_eq!(first, self.model.partition_point(|element| *element < value));
    }

    fn reopen(&mut self, leaving: Leaving) {
        let real = self.real.take().expect("an open array");
        match leaving {
            Leaving::Closed => real.close().expect("room on the disk"),
            Leaving::Dropped => drop(real),
        }
        let real = self.options.open::<T>(&self.path).expect("what was left opens again");
        assert_eq!(real.len(), self.model.len());
        self.real = Some(real);
    }

    /// A reader sees what was written: never more than there is, and always a prefix.
    fn read(&mut self) {
        let seen = match &mut self.reader {
            Some(reader) => reader.refresh(),
            None => {
                let reader = self.options.open_read_only::<T>(Path::new(&self.path));
                let reader = reader.expect("a reader beside a writer");
                let seen = reader.len();
                self.reader = Some(reader);
                Ok(seen)
            }
        };
        let seen = seen.expect("the file is there");
        let reader = self.reader.as_ref().expect("opened above");
        assert_eq!(reader.len(), seen);
        assert!(seen <= self.model.len());
        assert_eq!(reader.to_vec(..).expect("the elements are there"), self.model[..seen]);
    }

    /// What must hold after every step.
    fn check(&mut self) {
        let (len, last) = (self.model.len(), self.model.last().copied());
        let real = self.real();
        assert_eq!((real.len(), real.is_empty()), (len, len == 0));
        assert!(real.flushed_len() <= len);
        assert_eq!(len.checked_sub(1).map(|at| real.get(at).expect("the last element is there")), last);
    }

    fn check_all(&mut self) {
        let real = self.real.as_ref().expect("an open array");
        let all: Vec<T> = real.iter().map(|element| element.expect("the element is there")).collect();
        assert!(all == self.model, "the elements differ");
    }
}
