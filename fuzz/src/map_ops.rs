//! Maps of one file, opened, changed, split and dropped in any order, while the file changes under them.

use std::fs::File;
use std::ops::Range;
use std::os::unix::fs::FileExt;

use arbitrary::Arbitrary;
use mapwright_core::{
    Advice, CopyOnWrite, ErrorKind, Map, MapOptions, Populate, ReadOnly, ReadWrite, Readable, Result, View,
};

use crate::access::{Change, Look, Window};
use crate::file_model::{FileModel, MapModel, PAGE, Stores};
use crate::scratch::Scratch;

/// What one input does.
#[derive(Arbitrary, Debug)]
pub struct Session {
    len: u16,
    steps: Vec<Step>,
}

/// How many steps of an input are taken.
const STEPS: usize = 48;
/// How many maps there may be at once.
const MAPS: usize = 4;

#[derive(Arbitrary, Debug)]
enum Step {
    Open(Opening),
    Drop { map: u8 },
    Split { map: u8, at: Place },
    Grow { map: u8, len: u16 },
    Truncate { map: u8, len: u16 },
    Resize { map: u8, len: u16 },
    Refresh { map: u8 },
    RefreshInPlace { map: u8 },
    Punch { map: u8, from: u16, len: u16 },
    Advise { map: u8, advice: u8, from: u16, len: u16 },
    Flush { map: u8, from: u16, len: u16 },
    SetLen { len: u16 },
    Write { at: u16, len: u8, byte: u8 },
    Look { map: u8, window: Option<(u16, u16)>, look: Look },
    Change { map: u8, window: Option<(u16, u16)>, change: Change },
}

#[derive(Arbitrary, Debug)]
struct Opening {
    kind: Kind,
    offset: u16,
    len: Option<u16>,
    reserve: u16,
    has_guards: bool,
    is_populated: bool,
}

#[derive(Arbitrary, Clone, Copy, Debug)]
enum Kind {
    ReadOnly,
    ReadWrite,
    CopyOnWrite,
}

/// Where to split: where it must succeed, or anywhere.
#[derive(Arbitrary, Clone, Copy, Debug)]
enum Place {
    Page(u8),
    Byte(u16),
}

/// A map of any kind.
enum Any {
    ReadOnly(Map<ReadOnly>),
    ReadWrite(Map<ReadWrite>),
    CopyOnWrite(Map<CopyOnWrite>),
}

/// The same for every kind of map.
macro_rules! each {
    ($any:expr, $map:ident => $body:expr) => {
        match $any {
            Any::ReadOnly($map) => $body,
            Any::ReadWrite($map) => $body,
            Any::CopyOnWrite($map) => $body,
        }
    };
}

struct Pair {
    real: Any,
    model: MapModel,
}

struct World {
    file: File,
    model: FileModel,
    maps: Vec<Pair>,
}

/// Takes all steps, comparing after each.
pub fn run(session: Session) {
    let scratch = Scratch::new();
    let file = scratch.file("file");
    file.set_len(session.len.into()).expect("room for a small file");
    let mut world = World { file, model: FileModel::new(session.len.into()), maps: Vec::new() };
    world.open(&Opening {
        kind: Kind::ReadWrite,
        offset: 0,
        len: None,
        reserve: u16::MAX,
        has_guards: false,
        is_populated: false,
    });
    for step in session.steps.into_iter().take(STEPS) {
        world.step(step);
        world.check();
    }
}

impl World {
    fn step(&mut self, step: Step) {
        match step {
            Step::Open(opening) => self.open(&opening),
            Step::Drop { map } => drop(self.take(map)),
            Step::Split { map, at } => self.split(map, at),
            Step::Grow { map, len } => self.grow(map, len.into()),
            Step::Truncate { map, len } => self.truncate(map, len.into()),
            Step::Resize { map, len } => self.resize(map, len.into()),
            Step::Refresh { map } => self.refresh(map),
            Step::RefreshInPlace { map } => self.refresh_in_place(map),
            Step::Punch { map, from, len } => self.punch(map, span(from, len)),
            Step::Advise { map, advice, from, len } => self.advise(map, advice, span(from, len)),
            Step::Flush { map, from, len } => {
                if let Some((Any::ReadWrite(real), model, _)) = self.pick(map) {
                    expect_in_bounds(real.flush(span(from, len)), &span(from, len), model.len);
                }
            }
            Step::SetLen { len } => {
                self.file.set_len(len.into()).expect("room for a small file");
                self.model.set_len(len.into());
                self.file_was_cut();
            }
            Step::Write { at, len, byte } => {
                let bytes = vec![byte; len.into()];
                self.file.write_all_at(&bytes, at.into()).expect("room for a small file");
                self.model.write(at.into(), &bytes);
            }
            Step::Look { map, window, look } => {
                let Some((real, map, file)) = self.pick(map) else { return };
                each!(real, real => {
                    let (view, base) = windowed(real.view(), window);
                    Window { file, map, base, len: view.len() }.look(view, look);
                });
            }
            Step::Change { map, window, change } => {
                let Some((real, map, file)) = self.pick(map) else { return };
                match real {
                    Any::ReadOnly(_) => {}
                    Any::ReadWrite(real) => {
                        let (view, base) = windowed(real.view(), window);
                        Window { file, map, base, len: view.len() }.change(view, change);
                    }
                    Any::CopyOnWrite(real) => {
                        let (view, base) = windowed(real.view(), window);
                        Window { file, map, base, len: view.len() }.change(view, change);
                    }
                }
            }
        }
    }

    /// What must hold after every step.
    fn check(&self) {
        assert_eq!(self.file.metadata().expect("an open file").len(), self.model.len() as u64);
        for Pair { real, model } in &self.maps {
            each!(real, real => {
                assert_eq!((real.len(), real.view().len()), (model.len, model.len));
                assert_eq!(real.file_offset(), model.offset as u64);
                assert!(real.capacity() >= real.len());
            });
        }
    }

    fn open(&mut self, opening: &Opening) {
        if self.maps.len() >= MAPS {
            return;
        }
        let (offset, available) = (usize::from(opening.offset), self.model.len());
        let mut options = MapOptions::new().offset(opening.offset.into()).reserve(opening.reserve.into());
        if let Some(len) = opening.len {
            options = options.len(len.into());
        }
        if opening.has_guards {
            options = options.guard(1);
        }
        if opening.is_populated {
            options = options.populate(Populate::Now);
        }
        let (real, stores) = match opening.kind {
            Kind::ReadOnly => (options.map(&self.file).map(Any::ReadOnly), Stores::Nowhere),
            Kind::ReadWrite => (options.map_mut(&self.file).map(Any::ReadWrite), Stores::ToTheFile),
            Kind::CopyOnWrite => (options.map_copy(&self.file).map(Any::CopyOnWrite), Stores::ToCopies),
        };
        let len = opening.len.map_or(available.saturating_sub(offset), usize::from);
        // Room that begins behind the end is fine: the file will grow to it.
        let is_room = opening.len == Some(0) && opening.reserve > 0;
        if offset + len > available && !is_room {
            let error = real.err().expect("the file ends before");
            assert_eq!(error.kind(), ErrorKind::OutOfBounds, "{error}");
            return;
        }
        let real = real.expect("the file has these bytes");
        self.maps.push(Pair { real, model: MapModel::new(offset, len, stores) });
    }

    fn pick(&mut self, index: u8) -> Option<(&mut Any, &mut MapModel, &mut FileModel)> {
        let count = self.maps.len();
        let Pair { real, model } = self.maps.get_mut(usize::from(index).checked_rem(count)?)?;
        Some((real, model, &mut self.model))
    }

    fn take(&mut self, index: u8) -> Option<Pair> {
        let index = usize::from(index).checked_rem(self.maps.len())?;
        Some(self.maps.swap_remove(index))
    }

    fn file_was_cut(&mut self) {
        for Pair { model, .. } in &mut self.maps {
            model.follow(&self.model);
        }
    }

    fn split(&mut self, index: u8, place: Place) {
        if self.maps.len() >= MAPS {
            return;
        }
        let Some(Pair { real, mut model }) = self.take(index) else { return };
        let at = match place {
            // Counted from the first page, of which the map may show a part.
            Place::Page(number) => (usize::from(number % 17) * PAGE).saturating_sub(model.offset % PAGE),
            Place::Byte(at) => at.into(),
        };
        let may_succeed = at <= model.len && (model.offset + at).is_multiple_of(PAGE);
        each!(real, real => {
            let is_empty = real.capacity() == 0;
            match real.split(at) {
                Ok((first, second)) => {
                    assert!(may_succeed || is_empty);
                    let rest = model.split_off(at);
                    self.maps.push(Pair { real: first.into(), model });
                    self.maps.push(Pair { real: second.into(), model: rest });
                }
                Err(error) => {
                    assert!(!may_succeed, "split at {at} of {}: {error}", model.len);
                    assert_eq!(error.kind(), ErrorKind::InvalidInput);
                }
            }
        });
    }

    fn grow(&mut self, index: u8, len: usize) {
        let Some((Any::ReadWrite(real), model, file)) = self.pick(index) else { return };
        let capacity = real.capacity();
        let result = real.grow(len);
        if len > capacity {
            assert_eq!(result.expect_err("beyond the room").kind(), ErrorKind::OutOfBounds);
        } else {
            result.expect("room on the disk");
            if len > model.len {
                model.len = len;
                file.grow(model.end());
            }
        }
    }

    fn truncate(&mut self, index: u8, len: usize) {
        let Some((Any::ReadWrite(real), model, file)) = self.pick(index) else { return };
        let result = real.truncate(len);
        if len > model.len {
            assert_eq!(result.expect_err("longer than the map").kind(), ErrorKind::OutOfBounds);
        } else if file.len() > model.end() {
            assert_eq!(result.expect_err("the file goes on").kind(), ErrorKind::InvalidInput);
        } else {
            result.expect("a file may be cut");
            model.len = len;
            if model.end() < file.len() {
                file.set_len(model.end());
            }
            self.file_was_cut();
        }
    }

    fn resize(&mut self, index: u8, len: usize) {
        let Some((Any::ReadWrite(real), model, file)) = self.pick(index) else { return };
        if len < model.len {
            return self.truncate_by_resize(index, len);
        }
        real.resize(len).expect("room on the disk");
        if len > model.len {
            model.len = len;
            file.grow(model.end());
        }
    }

    fn truncate_by_resize(&mut self, index: u8, len: usize) {
        let Some((Any::ReadWrite(real), model, file)) = self.pick(index) else { return };
        let result = real.resize(len);
        if file.len() > model.end() {
            assert_eq!(result.expect_err("the file goes on").kind(), ErrorKind::InvalidInput);
            return;
        }
        result.expect("a file may be cut");
        model.len = len;
        if model.end() < file.len() {
            file.set_len(model.end());
        }
        self.file_was_cut();
    }

    fn refresh(&mut self, index: u8) {
        let Some((real, model, file)) = self.pick(index) else { return };
        let wanted = file.len().saturating_sub(model.offset);
        let result = each!(real, real => real.refresh());
        match result {
            Ok(len) => {
                assert_eq!(len, wanted);
                model.len = len;
            }
            // A private map that was advised in parts cannot be mapped anew.
            Err(error) => {
                assert_eq!(
                    (error.kind(), model.stores),
                    (ErrorKind::Unsupported, Stores::ToCopies),
                    "{error}"
                );
            }
        }
    }

    fn refresh_in_place(&mut self, index: u8) {
        let Some((real, model, file)) = self.pick(index) else { return };
        let (capacity, result) = each!(real, real => (real.capacity(), real.refresh_in_place()));
        model.len = file.len().saturating_sub(model.offset).min(capacity);
        assert_eq!(result.expect("an open file"), model.len);
    }

    fn punch(&mut self, index: u8, range: Range<usize>) {
        let Some((Any::ReadWrite(real), model, file)) = self.pick(index) else { return };
        if expect_in_bounds(real.punch(range.clone()), &range, model.len) {
            file.punch(model.offset + range.start..model.offset + range.end);
        }
    }

    fn advise(&mut self, index: u8, advice: u8, range: Range<usize>) {
        const ADVICE: [Advice; 9] = [
            Advice::Normal,
            Advice::Random,
            Advice::Sequential,
            Advice::WillNeed,
            Advice::Cold,
            Advice::PageOut,
            Advice::DontDump,
            Advice::PopulateRead,
            Advice::DontNeed,
        ];
        let Some((real, model, _)) = self.pick(index) else { return };
        let advice = ADVICE[usize::from(advice) % ADVICE.len()];
        let result = each!(real, real => real.advise(advice, range.clone()));
        if range.end > model.len {
            assert_eq!(result.expect_err("beyond the map").kind(), ErrorKind::OutOfBounds);
        } else if advice == Advice::DontNeed {
            result.expect("nothing is locked");
            model.forget_copies(range);
        }
    }
}

/// Checks that a range is taken if it lies in the map and refused if not; returns whether it does.
fn expect_in_bounds(result: Result<()>, range: &Range<usize>, len: usize) -> bool {
    if range.end > len {
        assert_eq!(result.expect_err("beyond the map").kind(), ErrorKind::OutOfBounds);
        return false;
    }
    result.expect("the range lies in the map");
    true
}

fn span(from: u16, len: u16) -> Range<usize> {
    usize::from(from)..usize::from(from) + usize::from(len)
}

/// The part of a view that was asked for, if it has it, and where that begins.
fn windowed<A: Readable>(view: View<'_, A>, window: Option<(u16, u16)>) -> (View<'_, A>, usize) {
    let Some((from, len)) = window else { return (view, 0) };
    let range = span(from, len);
    match view.sub(range.clone()) {
        Ok(part) => (part, range.start),
        Err(_) => {
            assert!(range.end > view.len());
            (view, 0)
        }
    }
}

impl From<Map<ReadOnly>> for Any {
    fn from(map: Map<ReadOnly>) -> Self {
        Self::ReadOnly(map)
    }
}

impl From<Map<ReadWrite>> for Any {
    fn from(map: Map<ReadWrite>) -> Self {
        Self::ReadWrite(map)
    }
}

impl From<Map<CopyOnWrite>> for Any {
    fn from(map: Map<CopyOnWrite>) -> Self {
        Self::CopyOnWrite(map)
    }
}
