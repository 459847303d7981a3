//! The latest value of something, for any number of readers that only load.
//!
//! ```text
//!  ┌ published ─┐ ┌ writer, bell ┐ ┌ cell 0 ───────────────┐ ┌ cell 1 ─ … ┐  (4 cells by default)
//!  │ version    │ │ who writes   │ │ data │ sequence, len  │ │            │
//!  └ 128 bytes ─┘ └ 128 bytes ───┘ └ multiples of 128 ─────┘ └────────────┘
//! ```
//! Version `v` is in cell `v` modulo the number of cells, a power of two; its sequence says which version it
//! holds. The words that readers load are written by the writer only, so readers never take a line from each
//! other, and a mapping for reading is all they need.
//!
//! | who dies when | what is left |
//! |---|---|
//! | the writer, before the last of its stores | the value before stays; the next writer goes on from it |
//! | the writer, after it | the new value is published |
//! | a reader, at any time | nothing |
//! | one who waits for a change | a mark, that the next publication takes away |

mod bytes;
mod cells;
mod change;
mod error;
mod handle;
#[cfg(all(test, any(loom, shuttle)))]
#[allow(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on fails")]
mod models;
#[cfg(all(test, not(any(loom, shuttle))))]
#[allow(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on fails")]
mod tests;
mod words;

use std::fmt;
use std::marker::PhantomData;

use mapwright_core::peer::Deadline;
use mapwright_core::{Error, ErrorKind, Plain, Result};

pub use bytes::{SnapshotBytes, SnapshotBytesOptions, SnapshotBytesWriter};
pub use change::SnapshotChange;
pub use error::{SnapshotError, WriterError};
pub use words::SnapshotWords;

use crate::figure::Figure;
use crate::object::{Kind, Object, Plan, Site};
use crate::value::words_of;
use cells::{Hand, Shape, copy_to};
use handle::{Handle, Pen};

/// How many values can be published during one look without it having been in vain, plus one.
const CELLS: usize = 4;

/// How many bytes of a value are handed out at a time.
const PIECE: usize = 4096;

/// Room for them.
#[repr(align(64))]
struct Piece([u8; PIECE]);

/// The latest value that one process publishes, for all who want to know it.
///
/// A read copies the value and never sees half of one. It waits for nobody, changes nothing, and does not
/// mind the writer's death; it is repeated only where four values (see [`SnapshotOptions::cells`]) were
/// published during one copy. Values have a version that counts them; the initial one is 0.
///
/// ```
/// use mapwright_share::{Segment, Snapshot, SnapshotOptions};
/// let segment = Segment::anonymous("weather")
///     .with::<Snapshot<[f64; 3]>>("wind", SnapshotOptions::new([0.0; 3]))
///     .create()?;
/// let wind: Snapshot<[f64; 3]> = segment.get("wind")?;
/// let mut writer = wind.writer()?;
/// writer.publish(&[3.0, 4.0, 0.0])?;
/// writer.update(|wind| wind[2] = -1.0)?;
///
/// // In any process:
/// assert_eq!((wind.read()?, wind.version()), ([3.0, 4.0, -1.0], 2));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Caveats
/// A large value is moved once more where it is returned, which can take longer than reading it (at 64 KiB
/// several times as long): [`read_into`](Self::read_into) copies once.
pub struct Snapshot<T> {
    handle: Handle,
    value: PhantomData<fn() -> T>,
}

/// What has to be decided before a [`Snapshot`] is made.
#[derive(Clone, Copy, Debug)]
pub struct SnapshotOptions<T> {
    initial: T,
    cells: usize,
}

/// The only one who publishes values of a [`Snapshot`], until it is dropped or dies.
pub struct SnapshotWriter<T> {
    pen: Pen,
    snapshot: Snapshot<T>,
}

impl<T: Plain> SnapshotOptions<T> {
    /// Begins with a value that is there before any writer comes.
    #[must_use]
    pub const fn new(initial: T) -> Self {
        Self { initial, cells: CELLS }
    }

    /// Sets how many values are kept: at least 3, rounded up to a power of two; 4 where nothing is said. More
    /// of them are for readers that are slower than so many publications.
    #[must_use]
    pub const fn cells(mut self, cells: usize) -> Self {
        self.cells = cells;
        self
    }
}

impl<T: Plain + Default> Default for SnapshotOptions<T> {
    fn default() -> Self {
        Self::new(T::default())
    }
}

impl<T: Plain> Snapshot<T> {
    /// Returns the latest value.
    ///
    /// Repeats where it was lapped, which a writer that publishes without pause can make it do, each time at
    /// most once for as many publications as there are cells. For a bound that somebody else cannot move, see
    /// [`try_read`](Self::try_read) and [`read_until`](Self::read_until).
    ///
    /// # Errors
    /// [`SnapshotError::Damaged`] where what is there makes no sense; [`SnapshotError::Fault`] where the
    /// memory is gone.
    #[inline]
    pub fn read(&self) -> Result<T, SnapshotError> {
        self.look_at_once().map_or_else(|| self.read_slowly(Some(Deadline::never())), Ok)
    }

    /// Returns the latest value, repeating only a few times where it is lapped.
    ///
    /// # Errors
    /// [`SnapshotError::Lapped`] in addition to those of [`read`](Self::read).
    #[inline]
    pub fn try_read(&self) -> Result<T, SnapshotError> {
        self.look_at_once().map_or_else(|| self.read_slowly(None), Ok)
    }

    /// Returns the latest value, repeating until a deadline where it is lapped.
    ///
    /// # Errors
    /// [`SnapshotError::TimedOut`] in addition to those of [`read`](Self::read).
    #[inline]
    pub fn read_until(&self, until: Deadline) -> Result<T, SnapshotError> {
        self.look_at_once().map_or_else(|| self.read_slowly(Some(until)), Ok)
    }

    /// Copies the latest value into `target` and returns its version. Where it fails, `target` means nothing.
    ///
    /// # Errors
    /// As [`read`](Self::read).
    #[inline]
    pub fn read_into(&self, target: &mut T) -> Result<u64, SnapshotError> {
        self.handle.read(Some(Deadline::never()), || self.look_into(target))
    }

    /// As [`read_into`](Self::read_into), repeating only a few times.
    ///
    /// # Errors
    /// As [`try_read`](Self::try_read).
    #[inline]
    pub fn try_read_into(&self, target: &mut T) -> Result<u64, SnapshotError> {
        self.handle.read(None, || self.look_into(target))
    }

    /// Lets a function look at the latest value where it is, and returns what it returned for a value that
    /// nobody wrote meanwhile: copies nothing but what the function loads. Called anew where it was lapped.
    ///
    /// # Errors
    /// As [`read`](Self::read).
    #[inline]
    pub fn look<R>(&self, mut look: impl FnMut(SnapshotWords<'_>) -> R) -> Result<R, SnapshotError> {
        let mut looked = None;
        self.handle.read(Some(Deadline::never()), || {
            self.handle.eyes.look(words_of::<T>(), |words, _| {
                looked = Some(look(SnapshotWords::new(words, size_of::<T>())));
            })
        })?;
        // A look that was not in vain has called the function.
        looked.ok_or(SnapshotError::Damaged)
    }

    /// Hands the latest value to a function piece by piece, and returns what became of the start value. The
    /// pieces are copies that stay in the cache: quicker than [`read_into`](Self::read_into) where a
    /// large value is only searched, checked or summed up.
    ///
    /// Where it was lapped, it begins anew with the start value: on such a look the function may have been
    /// given pieces of different values, and what it made of them is thrown away. All pieces but the last
    /// have 4096 bytes, and they are aligned to 64.
    ///
    /// # Errors
    /// As [`read`](Self::read).
    pub fn fold_pieces<A: Clone>(
        &self,
        start: A,
        mut step: impl FnMut(A, &[u8]) -> A,
    ) -> Result<A, SnapshotError> {
        let mut room = Piece([0; PIECE]);
        let mut folded = start.clone();
        self.handle.read(Some(Deadline::never()), || {
            folded = start.clone();
            self.handle.eyes.look(words_of::<T>(), |words, _| {
                for (at, words) in words.chunks(PIECE / 8).enumerate() {
                    let piece = &mut room.0[..PIECE.min(size_of::<T>() - at * PIECE)];
                    copy_to(words, piece);
                    folded = step(folded.clone(), piece);
                }
            })
        })?;
        Ok(folded)
    }

    /// Returns how many values were published so far.
    #[must_use]
    #[inline]
    pub fn version(&self) -> u64 {
        self.handle.eyes.version()
    }

    /// Waits until another version than that one is published, and returns it.
    ///
    /// # Errors
    /// [`SnapshotError::Fault`] where the memory is gone.
    ///
    /// # Kernel
    /// futex(2). Over memory that is mapped for reading nobody can be asked to wake us: it looks again after
    /// naps of 0.1 to 10 ms.
    pub fn changed(&self, since: u64) -> Result<u64, SnapshotError> {
        self.handle.changed(since, Deadline::never())
    }

    /// As [`changed`](Self::changed), until a deadline.
    ///
    /// # Errors
    /// [`SnapshotError::TimedOut`] in addition.
    pub fn changed_until(&self, since: u64, until: Deadline) -> Result<u64, SnapshotError> {
        self.handle.changed(since, until)
    }

    /// Returns what is ready as soon as another version than that one is published, to be waited for among
    /// other things.
    #[must_use]
    pub fn change_since(&self, version: u64) -> SnapshotChange {
        SnapshotChange::new(self.handle.clone(), version)
    }

    /// Becomes the writer, where there is none or it is dead.
    ///
    /// # Errors
    /// [`WriterError::Taken`] by one that lives; [`WriterError::ReadOnly`] where the memory is mapped for
    /// reading; [`WriterError::Fault`] where it is gone.
    pub fn writer(&self) -> Result<SnapshotWriter<T>, WriterError> {
        self.writer_until(Deadline::now())
    }

    /// Becomes the writer, waiting until a deadline for the present one to stop or to die.
    ///
    /// # Errors
    /// As [`writer`](Self::writer).
    pub fn writer_until(&self, until: Deadline) -> Result<SnapshotWriter<T>, WriterError> {
        Ok(SnapshotWriter { pen: self.handle.claim(until)?, snapshot: self.clone() })
    }

    /// One look, and nobody else is given the address of what it fills: so it is filled where the caller
    /// wants it.
    #[inline(always)]
    fn look_at_once(&self) -> Option<T> {
        let mut value = T::new_zeroed();
        self.look_into(&mut value).map(|_| value)
    }

    #[cold]
    #[inline(never)]
    fn read_slowly(&self, until: Option<Deadline>) -> Result<T, SnapshotError> {
        let mut value = T::new_zeroed();
        self.handle.read(until, || self.look_into(&mut value)).map(|_| value)
    }

    #[inline(always)]
    fn look_into(&self, target: &mut T) -> Option<u64> {
        self.handle.eyes.look(words_of::<T>(), |words, _| copy_to(words, target.as_mut_bytes()))
    }
}

impl<T: Plain> SnapshotWriter<T> {
    /// Publishes a value; returns its version. Waits for nobody.
    ///
    /// # Errors
    /// [`SnapshotError::Fault`] where the memory is gone.
    #[inline]
    pub fn publish(&mut self, value: &T) -> Result<u64, SnapshotError> {
        self.pen.hand.publish(value.as_bytes())
    }

    /// Changes a copy of the latest value and publishes it; returns its version. A panic publishes nothing.
    ///
    /// # Errors
    /// As [`publish`](Self::publish), and [`SnapshotError::Damaged`] where there is no value that makes
    /// sense.
    pub fn update(&mut self, change: impl FnOnce(&mut T)) -> Result<u64, SnapshotError> {
        let mut value = self.snapshot.read()?;
        change(&mut value);
        self.publish(&value)
    }

    /// Returns what it writes.
    #[must_use]
    pub const fn snapshot(&self) -> &Snapshot<T> {
        &self.snapshot
    }
}

impl<T: Plain> Object for Snapshot<T> {
    const KIND: Kind = Kind::Snapshot;
    type Options = SnapshotOptions<T>;

    fn plan(options: &Self::Options) -> Result<Plan> {
        let shape = shape(options.cells, size_of::<T>())?;
        Ok(Plan {
            kind: Self::KIND,
            len: shape.room()?,
            layout: Self::layout(),
            parameters: shape.parameters(),
        })
    }

    fn create(site: &Site, options: &Self::Options) -> Result<()> {
        Hand::attach(site, Shape::of(site)?)?.fill(options.initial.as_bytes());
        Ok(())
    }

    fn layout() -> String {
        T::STRUCTURE.to_string()
    }

    fn attach(site: &Site) -> Result<Self> {
        let shape = Shape::of(site)?;
        if shape.bytes() != size_of::<T>() {
            let (bytes, wanted) = (shape.bytes(), size_of::<T>());
            return Err(site.damaged(format!("its values have {bytes} bytes; the type has {wanted}")));
        }
        Ok(Self { handle: Handle::attach(site, shape)?, value: PhantomData })
    }
}

/// Says what can be said without knowing the type.
pub(crate) fn inspect(site: &Site) -> Result<Vec<Figure>> {
    Ok(Handle::attach(site, Shape::of(site)?)?.inspect())
}

/// Checks what was asked for.
fn shape(cells: usize, bytes: usize) -> Result<Shape> {
    match cells.checked_next_power_of_two() {
        Some(count) if cells >= 3 => Ok(Shape::new(count, bytes)),
        _ => {
            let why = format!("{cells} cells were asked for; it needs 3 at least, and a power of two");
            Err(Error::new(ErrorKind::InvalidInput, "plan", "a snapshot", why))
        }
    }
}

impl<T> Clone for Snapshot<T> {
    fn clone(&self) -> Self {
        Self { handle: self.handle.clone(), value: PhantomData }
    }
}

impl<T> fmt::Debug for Snapshot<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Snapshot").field("version", &self.handle.eyes.version()).finish_non_exhaustive()
    }
}

impl<T> fmt::Debug for SnapshotWriter<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SnapshotWriter").field("snapshot", &self.snapshot).finish_non_exhaustive()
    }
}
