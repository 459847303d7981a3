//! The same steps on a real map, and whether both agree.

use super::PAGE;
use super::model::{Model, Outcome};
use super::step::{Step, Store, bytes};
use mapwright::{Advice, Error, ErrorKind, Fault, FaultKind, LockMode, Map, MapOptions, ReadWrite};
use std::fs::File;
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering;

/// A file and one map of it.
pub(crate) struct Actual {
    path: PathBuf,
    /// Another descriptor, for what happens elsewhere.
    file: File,
    /// Always there, except while it is split or opened again.
    map: Option<Map<ReadWrite>>,
}

impl Actual {
    /// Maps a file whole.
    pub(crate) fn open(path: &Path) -> Self {
        let file = File::options().read(true).write(true).open(path).unwrap();
        Self { path: path.to_owned(), file, map: Some(Map::open_mut(path).unwrap()) }
    }

    fn map(&self) -> &Map<ReadWrite> {
        self.map.as_ref().unwrap()
    }

    /// Takes a step that leads to this model, and says where the two differ.
    pub(crate) fn take(&mut self, step: &Step, model: &mut Model) -> Result<(), String> {
        let before = model.clone();
        let expected = model.take(step);
        let outcome = match self.perform(step, &before, model) {
            Ok(()) => Outcome::Done,
            Err(error) => match (error.kind(), error.fault()) {
                (_, Some(fault)) if fault.kind() == FaultKind::Truncated => {
                    Outcome::Truncated(fault.offset())
                }
                (ErrorKind::OutOfBounds, _) => Outcome::OutOfBounds,
                (ErrorKind::InvalidInput, _) => Outcome::InvalidInput,
                _ if expected == Outcome::DoneOrRefused => Outcome::DoneOrRefused,
                _ => return Err(format!("{error}, instead of {expected:?}")),
            },
        };
        if outcome != expected && expected != Outcome::DoneOrRefused {
            return Err(format!("{outcome:?} instead of {expected:?}"));
        }
        self.compare(model)
    }

    fn perform(&mut self, step: &Step, before: &Model, after: &Model) -> Result<(), Error> {
        let map = self.map();
        match *step {
            Step::Store(store, place) => {
                let range = before.stored(store, place);
                Ok(self.store(store, range.start, &store.bytes(after.number, range.len()))?)
            }
            Step::Advise(Advice::Remove, _) if before.is_locked() => Ok(()),
            Step::Advise(advice, place) => map.advise(advice, place.within(before.len)),
            Step::Punch(place) => map.punch(place.within(before.len)),
            Step::Flush(place) => map.flush(place.within(before.len)),
            Step::StartWriteback(place) => map.start_writeback(place.within(before.len)),
            Step::Evict(place) => map.evict(place.within(before.len)).map(drop),
            Step::Lock(place) => map.lock_memory(place.within(before.len), LockMode::OnFault),
            Step::Unlock(place) => map.unlock_memory(place.within(before.len)),
            Step::Grow(len) => map.grow(len),
            Step::Truncate(len) => map.truncate(len),
            Step::Resize(len) => self.map.as_mut().unwrap().resize(len),
            Step::Refresh => self.map.as_mut().unwrap().refresh().map(drop),
            Step::RefreshInPlace => map.refresh_in_place().map(drop),
            Step::Split(at) => {
                self.split(at, before)?;
                self.reopen(after)
            }
            Step::Reopen(..) => {
                self.map = None;
                self.reopen(after)
            }
            Step::GiveUpWritingAndBegin => {
                let map = self.map.take().unwrap().into_read_only()?;
                self.map = Some(map.into_read_write()?);
                Ok(())
            }
            Step::WriteElsewhere(place) => {
                let range = place.within(super::step::LONGEST);
                let offset = u64::try_from(range.start).unwrap();
                self.file.write_all_at(&bytes(after.number, range.len()), offset).unwrap();
                Ok(())
            }
            Step::ResizeElsewhere(len) => {
                self.file.set_len(u64::try_from(len).unwrap()).unwrap();
                Ok(())
            }
        }
    }

    fn store(&self, store: Store, at: usize, bytes: &[u8]) -> Result<(), Fault> {
        let view = self.map().view();
        match (store, bytes.try_into()) {
            (Store::Word, Ok(word)) => view.store::<u64>(at, u64::from_ne_bytes(word)),
            (Store::Atomic, Ok(word)) => {
                view.atomic::<u64>(at)?.store(u64::from_ne_bytes(word), Ordering::Release)
            }
            (Store::Slice, _) => {
                let words: Vec<[u8; 4]> = bytes.chunks(4).map(|word| word.try_into().unwrap()).collect();
                view.store_slice(at, &words)
            }
            (Store::Fill, _) => view.fill(at..at + bytes.len(), bytes.first().copied().unwrap_or(0)),
            (Store::Bulk, _) => view.write_bulk(at, bytes),
            _ => view.copy_from(at, bytes),
        }
    }

    /// Splits at a page boundary; the parts show what the whole showed.
    fn split(&mut self, at: usize, model: &Model) -> Result<(), Error> {
        let boundary = (model.offset + at % (model.len + 1)) / PAGE * PAGE;
        let at = boundary.saturating_sub(model.offset);
        if at == 0 {
            self.map = None;
            return Ok(());
        }
        let (first, second) = self.map.take().unwrap().split(at)?;
        assert_eq!((first.len(), second.len()), (at, model.len - at));
        let known = model.shown();
        let (left, right) = known.split_at(at.min(known.len()));
        for (map, expected) in [(first, left), (second, right)] {
            assert!(map.view().sub(..expected.len())?.equals(expected)?, "a part shows other bytes");
        }
        Ok(())
    }

    fn reopen(&mut self, model: &Model) -> Result<(), Error> {
        let offset = u64::try_from(model.offset).unwrap();
        let map = MapOptions::new().offset(offset).reserve(model.capacity).open_mut(&self.path)?;
        self.map = Some(map);
        Ok(())
    }

    /// Says where map, file and model differ.
    fn compare(&self, model: &Model) -> Result<(), String> {
        let map = self.map();
        let sizes = (map.file_offset(), map.len(), map.capacity());
        let expected = (u64::try_from(model.offset).unwrap(), model.len, model.capacity);
        if sizes != expected {
            return Err(format!("offset, length and capacity are {sizes:?} instead of {expected:?}"));
        }
        let mut shown = vec![0xEE; model.len];
        let copied = map.view().copy_to(0, &mut shown).map_err(|fault| (fault.kind(), fault.offset()));
        let accessible = model.accessible();
        let expected = if accessible == model.len { Ok(()) } else { Err((FaultKind::Truncated, accessible)) };
        if copied != expected {
            return Err(format!("copying all gives {copied:?} instead of {expected:?}"));
        }
        first_difference("the map", &shown[..model.known()], model.shown())?;
        first_difference("the file", &std::fs::read(&self.path).unwrap(), &model.file)
    }
}

/// Says where bytes differ from what they should be.
pub(super) fn first_difference(what: &str, seen: &[u8], expected: &[u8]) -> Result<(), String> {
    if seen == expected {
        return Ok(());
    }
    let place: Range<usize> = 0..seen.len().min(expected.len());
    let place = place.into_iter().find(|&at| seen[at] != expected[at]);
    Err(match place {
        Some(at) => format!("{what} has {} at {at} instead of {}", seen[at], expected[at]),
        None => format!("{what} has {} bytes instead of {}", seen.len(), expected.len()),
    })
}
