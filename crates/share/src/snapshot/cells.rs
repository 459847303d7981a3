//! The cells of a snapshot: who writes them, who looks at them, and how a look finds out that it came too
//! late.
//!
//! ```text
//!  publish v+1:  sequence(cell) = WRITING → fence → data → sequence(cell) = v+1 → published = v+1
//!  look:         v = published → data of cell v → fence → sequence(cell) = v still?
//! ```
//! The writer writes into the cell that was published longest ago, so a look fails only where as many values
//! as there are cells were published during it. A writer that dies leaves a cell that was not published: the
//! next one writes it anew.

use mapwright_core::Result;
use mapwright_core::peer::{
    Bell, Line, LookWord64, Ordering, Placed, Shared, Word32, Word64, copy_in, fence, look_out,
};

use super::SnapshotError;
use crate::claim::Claim;
use crate::object::{ALIGNMENT, Parameters, Site, room};

/// Words of the line that holds the version and nothing else.
const LINE: usize = ALIGNMENT / 8;

/// What a cell's sequence says while its data is written. Versions have one bit less.
const WRITING: u64 = u64::MAX;
const VERSION: u64 = u64::MAX >> 1;

/// Words after a cell's data: its sequence, and how many bytes of it mean something.
const TAIL: usize = 2;

/// How many cells of which size.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Shape {
    /// A power of two, so that any version is some cell's.
    cells: usize,
    bytes: usize,
    /// Words of a value.
    data: usize,
    /// Words from one cell to the next.
    stride: usize,
}

/// What is written beside the cells: by the writer when it begins and ends, and by those who wait.
#[derive(Debug, Default, Shared)]
#[shared(crate = "mapwright_core")]
#[repr(C)]
pub(super) struct Door {
    pub claim: Claim,
    pub published: Bell,
    _reserved: Word32,
}

impl Shape {
    pub(super) const fn new(cells: usize, bytes: usize) -> Self {
        let data = bytes.div_ceil(8);
        Self { cells, bytes, data, stride: (data + TAIL).next_multiple_of(LINE) }
    }

    pub(super) const fn bytes(self) -> usize {
        self.bytes
    }

    pub(super) const fn data(self) -> usize {
        self.data
    }

    pub(super) const fn parameters(self) -> Parameters {
        [self.cells as u64, self.bytes as u64, 0, 0, 0, 0]
    }

    /// Reads what [`parameters`](Self::parameters) said.
    pub(super) fn of(site: &Site) -> Result<Self> {
        let [cells, bytes, ..] = site.parameters();
        match (usize::try_from(cells), usize::try_from(bytes)) {
            (Ok(cells), Ok(bytes)) if cells >= 3 && cells.is_power_of_two() => Ok(Self::new(cells, bytes)),
            _ => Err(site.damaged(format!("it cannot have {cells} cells of {bytes} bytes"))),
        }
    }

    pub(super) fn room(self) -> Result<usize> {
        let per_cell = self.stride.saturating_mul(8);
        room("plan a snapshot in", &[(8, LINE), (size_of::<Line<Door>>(), 1), (per_cell, self.cells)])
    }

    /// Where a version's cell begins.
    fn start(self, version: u64) -> usize {
        let mask = self.cells as u64 - 1;
        usize::try_from(version & mask).unwrap_or(0) * self.stride
    }
}

/// Looks at the cells; loads only.
#[derive(Clone, Debug)]
pub(super) struct Eyes {
    published: Placed<LookWord64>,
    cells: Placed<[LookWord64]>,
    shape: Shape,
}

/// Writes them.
#[derive(Clone, Debug)]
pub(super) struct Hand {
    published: Placed<[Word64]>,
    door: Placed<Line<Door>>,
    cells: Placed<[Word64]>,
    shape: Shape,
}

impl Eyes {
    pub(super) fn attach(site: &Site, shape: Shape) -> Result<Self> {
        let mut parts = site.parts();
        let line = parts.look(LINE)?;
        let published = line.one(0).ok_or_else(|| site.damaged("it has no room"))?;
        parts.look(size_of::<Line<Door>>() / 8)?;
        let cells = parts.look(words(site, shape)?)?;
        Ok(Self { published, cells, shape })
    }

    /// Tells whether the memory is still the shared one.
    pub(super) fn check(&self) -> Result<(), SnapshotError> {
        Ok(self.published.check()?)
    }

    pub(super) const fn shape(&self) -> Shape {
        self.shape
    }

    #[inline]
    pub(super) fn version(&self) -> u64 {
        self.published.load(Ordering::Acquire) & VERSION
    }

    /// Copies the published value once and returns its version; `copy` is given its `data` words, and the
    /// word that says how many bytes of them mean something. `None` where that was in vain:
    /// [`why`](Self::why) knows.
    //
    // How many words there are is said by the caller, who may know it while the program is compiled.
    #[inline(always)]
    pub(super) fn look(&self, data: usize, copy: impl FnOnce(&[LookWord64], &LookWord64)) -> Option<u64> {
        let version = self.version();
        let cell = self.cells.get(self.shape.start(version)..)?;
        let [words @ .., sequence, len] = cell.get(..data + TAIL)? else { return None };
        copy(words, len);
        fence(Ordering::Acquire);
        (sequence.load(Ordering::Acquire) == version && self.published.check().is_ok()).then_some(version)
    }

    /// Tells why a look was in vain.
    #[cold]
    pub(super) fn why(&self) -> SnapshotError {
        if let Err(error) = self.check() {
            return error;
        }
        let version = self.version();
        let at = self.shape.start(version) + self.shape.data;
        let holds = self.cells.get(at).is_some_and(|word| word.load(Ordering::Acquire) == version);
        // The cell of a version is not written again before others were published.
        if holds || self.version() != version { SnapshotError::Lapped } else { SnapshotError::Damaged }
    }

    /// Returns how many bytes of a value mean something: what its word says, or as many as there can be.
    pub(super) fn len(&self, word: &LookWord64) -> usize {
        usize::try_from(word.load(Ordering::Relaxed)).unwrap_or(usize::MAX).min(self.shape.bytes)
    }
}

impl Hand {
    pub(super) fn attach(site: &Site, shape: Shape) -> Result<Self> {
        let mut parts = site.parts();
        let published = parts.many(LINE)?;
        let door = parts.one()?;
        let cells = parts.many(words(site, shape)?)?;
        Ok(Self { published, door, cells, shape })
    }

    #[inline]
    pub(super) fn door(&self) -> &Door {
        &self.door
    }

    pub(super) fn bell(&self) -> Placed<Bell> {
        self.door.part(|door| &door.published)
    }

    /// Tells whether the memory is still the shared one.
    #[inline]
    pub(super) fn check(&self) -> Result<(), SnapshotError> {
        Ok(self.published.check()?)
    }

    /// Writes the next value and publishes it; returns its version. Only for whoever has the claim.
    #[inline]
    pub(super) fn publish(&self, bytes: &[u8]) -> Result<u64, SnapshotError> {
        self.check()?;
        let published = self.published.first().ok_or(SnapshotError::Damaged)?;
        let next = published.load(Ordering::Relaxed).wrapping_add(1) & VERSION;
        let start = self.shape.start(next);
        let Some([words @ .., sequence, len]) = self.cells.get(start..start + self.shape.data + TAIL) else {
            return Err(SnapshotError::Damaged);
        };
        // Release, so that whoever sees this sees also what was published before it.
        sequence.store(WRITING, Ordering::Release);
        fence(Ordering::Release);
        copy_in(words, bytes);
        len.store(bytes.len() as u64, Ordering::Relaxed);
        sequence.store(next, Ordering::Release);
        published.store(next, Ordering::Release);
        self.door.published.ring();
        Ok(next)
    }

    /// Fills the first cell. Only where nobody else can see it.
    pub(super) fn fill(&self, bytes: &[u8]) {
        if let Some([words @ .., _, len]) = self.cells.get(..self.shape.data + TAIL) {
            copy_in(words, bytes);
            len.store(bytes.len() as u64, Ordering::Relaxed);
        }
    }
}

fn words(site: &Site, shape: Shape) -> Result<usize> {
    match shape.room() {
        Ok(room) if room <= site.len() => Ok(shape.stride * shape.cells),
        _ => Err(site.damaged(format!("its cells of {} bytes are not in its room", shape.bytes))),
    }
}

/// Copies words out; the target is not longer than they are.
#[inline]
pub(super) fn copy_to(words: &[LookWord64], target: &mut [u8]) {
    look_out(words, target);
}

#[cfg(any(loom, shuttle))]
pub(super) fn model(cells: usize, bytes: usize) -> (Hand, Eyes) {
    let shape = Shape::new(cells, bytes);
    let zeros = |count: usize| Placed::own_many((0..count).map(|_| Word64::new(0)).collect());
    let (published, words) = (zeros(1), zeros(shape.stride * cells));
    let eyes = Eyes { published: published.look().one(0).unwrap(), cells: words.look(), shape };
    (Hand { published, door: Placed::own(Line::default()), cells: words, shape }, eyes)
}

#[cfg(any(loom, shuttle))]
impl Hand {
    /// Does what a writer does that dies just before the last step.
    pub(super) fn leave_unpublished(&self, bytes: &[u8]) {
        let next = self.published[0].load(Ordering::Relaxed) + 1;
        let start = self.shape.start(next);
        let data = self.shape.data;
        copy_in(&self.cells[start..start + data], bytes);
        self.cells[start + data].store(next, Ordering::Release);
    }
}
