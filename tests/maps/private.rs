//! Random steps on a private, writable map beside a model: what is stored stays here, page by page, and what
//! others do to the file shows through where nothing was stored.

use super::PAGE;
use super::actual::first_difference;
use super::step::{LONGEST, Place, bytes, length, place};
use crate::support::random;
use crate::support::scratch;
use crate::support::suite::suite;
use mapwright::{Advice, CopyOnWrite, FaultKind, Map, MapOptions};
use proptest::prelude::*;
use std::collections::BTreeMap;
use std::fs::File;
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::path::Path;

suite!(tests: [random_steps_on_a_private_map_agree_with_copied_pages], roles: []);

#[derive(Debug, Clone)]
enum Step {
    Store(Place),
    Fill(Place),
    WriteElsewhere(Place),
    ResizeElsewhere(usize),
    /// Drops what was stored, and nothing else.
    DontNeed(Place),
    /// Changes no byte.
    Advise(Advice, Place),
    Evict(Place),
    RefreshInPlace,
    Reopen(usize, usize),
}

fn step() -> impl Strategy<Value = Step> {
    let harmless = [Advice::Cold, Advice::PageOut, Advice::PopulateRead, Advice::Sequential, Advice::Random];
    prop_oneof![
        6 => place().prop_map(Step::Store),
        2 => place().prop_map(Step::Fill),
        3 => place().prop_map(Step::WriteElsewhere),
        2 => length().prop_map(Step::ResizeElsewhere),
        2 => place().prop_map(Step::DontNeed),
        1 => (prop::sample::select(harmless.to_vec()), place())
            .prop_map(|(advice, place)| Step::Advise(advice, place)),
        1 => place().prop_map(Step::Evict),
        1 => Just(Step::RefreshInPlace),
        1 => (length(), length()).prop_map(|(offset, reserve)| Step::Reopen(offset, reserve)),
    ]
}

/// The file, and the pages (by their number in the file) that the map has copies of.
struct Model {
    file: Vec<u8>,
    copies: BTreeMap<usize, Vec<u8>>,
    offset: usize,
    len: usize,
    capacity: usize,
    number: usize,
}

impl Model {
    fn new(file: Vec<u8>) -> Self {
        let len = file.len();
        Self { file, copies: BTreeMap::new(), offset: 0, len, capacity: len, number: 0 }
    }

    fn pages(&self) -> usize {
        self.file.len().div_ceil(PAGE)
    }

    /// How many bytes of the map can be accessed.
    fn accessible(&self) -> usize {
        (self.pages() * PAGE).saturating_sub(self.offset).min(self.len)
    }

    /// A page of the file as the cache has it: zeros behind the end.
    fn page(&self, number: usize) -> Vec<u8> {
        let mut page = self.file[number * PAGE..self.file.len().min((number + 1) * PAGE)].to_vec();
        page.resize(PAGE, 0);
        page
    }

    /// What can be accessed of the map.
    fn shown(&self) -> Vec<u8> {
        let whole = |number| self.copies.get(&number).cloned().unwrap_or_else(|| self.page(number));
        let bytes: Vec<u8> = (0..self.pages()).flat_map(whole).collect();
        let start = self.offset.min(bytes.len());
        bytes[start..start + self.accessible()].to_vec()
    }

    /// Stores up to where the file ends, and returns the fault's offset if that is too early.
    fn store(&mut self, range: Range<usize>, stored: &[u8]) -> Result<(), usize> {
        let accessible = self.accessible();
        for (at, &byte) in (range.start..range.end.min(accessible)).zip(stored) {
            let place = self.offset + at;
            let original = self.page(place / PAGE);
            self.copies.entry(place / PAGE).or_insert(original)[place % PAGE] = byte;
        }
        if range.is_empty() || range.end <= accessible { Ok(()) } else { Err(range.start.max(accessible)) }
    }

    /// Forgets the copies of pages all of whose bytes (as far as the map shows them) are in a range.
    fn forget(&mut self, range: Range<usize>) {
        let (offset, end) = (self.offset, self.offset + self.len);
        let named = offset + range.start..offset + range.end;
        self.copies.retain(|number, _| {
            let first = (number * PAGE).max(offset);
            let last = ((number + 1) * PAGE).min(end);
            first >= last || first < named.start || last > named.end
        });
    }

    fn resize(&mut self, len: usize) {
        self.file.resize(len, 0);
        let pages = self.pages();
        // The kernel takes private copies along with the pages of a file that is cut.
        self.copies.retain(|&number, _| number < pages);
    }
}

struct Actual<'a> {
    path: &'a Path,
    file: File,
    map: Map<CopyOnWrite>,
}

fn open(path: &Path, offset: usize, reserve: usize) -> Map<CopyOnWrite> {
    let offset = u64::try_from(offset).unwrap();
    MapOptions::new().offset(offset).reserve(reserve).map_copy(File::open(path).unwrap()).unwrap()
}

impl Actual<'_> {
    fn take(&mut self, step: &Step, model: &mut Model) -> Result<(), String> {
        model.number += 1;
        let view = self.map.view();
        let same =
            |actual: Result<(), mapwright::Fault>, expected: Result<(), usize>| match (actual, expected) {
                (Ok(()), Ok(())) => Ok(()),
                (Err(fault), Err(at)) if (fault.kind(), fault.offset()) == (FaultKind::Truncated, at) => {
                    Ok(())
                }
                (actual, expected) => Err(format!("{actual:?} instead of {expected:?}")),
            };
        match *step {
            Step::Store(place) => {
                let range = place.within(model.len);
                let stored = bytes(model.number, range.len());
                same(view.copy_from(range.start, &stored), model.store(range, &stored))?;
            }
            Step::Fill(place) => {
                let range = place.within(model.len);
                same(view.fill(range.clone(), 0xEE), model.store(range.clone(), &vec![0xEE; range.len()]))?;
            }
            Step::WriteElsewhere(place) => {
                let range = place.within(LONGEST);
                let stored = bytes(model.number, range.len());
                self.file.write_all_at(&stored, u64::try_from(range.start).unwrap()).unwrap();
                if !range.is_empty() {
                    model.resize(model.file.len().max(range.end));
                    model.file[range].copy_from_slice(&stored);
                }
            }
            Step::ResizeElsewhere(len) => {
                self.file.set_len(u64::try_from(len).unwrap()).unwrap();
                model.resize(len);
            }
            Step::DontNeed(place) => {
                let range = place.within(model.len);
                self.map.advise(Advice::DontNeed, range.clone()).map_err(|error| error.to_string())?;
                model.forget(range);
            }
            // What lies behind the file's end cannot be brought in.
            Step::Advise(advice, place) => drop(self.map.advise(advice, place.within(model.len))),
            Step::Evict(place) => drop(self.map.evict(place.within(model.len))),
            Step::RefreshInPlace => {
                self.map.refresh_in_place().map_err(|error| error.to_string())?;
                model.len = model.file.len().saturating_sub(model.offset).min(model.capacity);
            }
            Step::Reopen(offset, reserve) => {
                model.offset = offset % (model.file.len() + 1);
                model.len = model.file.len() - model.offset;
                model.capacity = model.len.max(reserve);
                model.copies.clear();
                self.map = open(self.path, model.offset, reserve);
            }
        }
        self.compare(model)
    }

    fn compare(&self, model: &Model) -> Result<(), String> {
        let expected = model.shown();
        let mut shown = vec![0xEE; self.map.len()];
        let copied = self.map.view().copy_to(0, &mut shown).map_err(|fault| (fault.kind(), fault.offset()));
        let whole =
            if expected.len() == model.len { Ok(()) } else { Err((FaultKind::Truncated, expected.len())) };
        if (copied, shown.len()) != (whole, model.len) {
            return Err(format!("{copied:?} of {} bytes instead of {whole:?} of {}", shown.len(), model.len));
        }
        first_difference("the map", &shown[..expected.len()], &expected)?;
        first_difference("the file", &std::fs::read(self.path).unwrap(), &model.file)
    }
}

fn random_steps_on_a_private_map_agree_with_copied_pages() {
    let folder = scratch::folder();
    random::for_all(0, 80, prop::collection::vec(step(), 1..60), |steps| {
        let content = scratch::pattern(3 * PAGE + 100);
        let path = scratch::file(&folder, "file", &content);
        let file = File::options().read(true).write(true).open(&path).unwrap();
        let mut model = Model::new(content);
        let mut actual = Actual { path: &path, file, map: open(&path, 0, 0) };
        for (number, step) in steps.iter().enumerate() {
            actual.take(step, &mut model).map_err(|why| format!("step {number}, {step:?}: {why}"))?;
        }
        Ok(())
    });
}
