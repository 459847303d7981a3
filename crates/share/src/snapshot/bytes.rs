//! Snapshots whose values are bytes, as many as there are, up to a maximum.

use std::fmt;

use mapwright_core::Result;
use mapwright_core::peer::Deadline;

use super::cells::{Hand, Shape, copy_to};
use super::handle::{Handle, Pen};
use super::{CELLS, SnapshotChange, SnapshotError, WriterError, shape};
use crate::object::{Kind, Object, Plan, Site};

/// The latest bytes that one process publishes, for all who want to know them: as
/// [`Snapshot`](super::Snapshot), with values of any length up to a maximum. At first there are none.
///
/// ```
/// use mapwright_share::{Segment, SnapshotBytes, SnapshotBytesOptions};
/// let segment = Segment::anonymous("settings")
///     .with::<SnapshotBytes>("toml", SnapshotBytesOptions::new(64 << 10))
///     .create()?;
/// let settings: SnapshotBytes = segment.get("toml")?;
/// settings.writer()?.publish(b"limit = 100")?;
/// assert_eq!(settings.read()?, b"limit = 100");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone)]
pub struct SnapshotBytes {
    handle: Handle,
}

/// What has to be decided before a [`SnapshotBytes`] is made.
#[derive(Clone, Copy, Debug)]
pub struct SnapshotBytesOptions {
    max_bytes: usize,
    cells: usize,
}

/// The only one who publishes values of a [`SnapshotBytes`], until it is dropped or dies.
pub struct SnapshotBytesWriter {
    pen: Pen,
    snapshot: SnapshotBytes,
}

impl SnapshotBytesOptions {
    /// Makes room for values of at most so many bytes.
    #[must_use]
    pub const fn new(max_bytes: usize) -> Self {
        Self { max_bytes, cells: CELLS }
    }

    /// Sets how many values are kept; see [`SnapshotOptions::cells`](super::SnapshotOptions::cells).
    #[must_use]
    pub const fn cells(mut self, cells: usize) -> Self {
        self.cells = cells;
        self
    }
}

impl SnapshotBytes {
    /// Returns the latest bytes.
    ///
    /// # Errors
    /// As [`Snapshot::read`](super::Snapshot::read).
    pub fn read(&self) -> Result<Vec<u8>, SnapshotError> {
        let mut bytes = Vec::new();
        self.read_into(&mut bytes)?;
        Ok(bytes)
    }

    /// Replaces what is in `target` by the latest bytes, and returns their version. A buffer that is used
    /// again costs nothing but the copy. Where it fails, what is in it means nothing.
    ///
    /// # Errors
    /// As [`Snapshot::read`](super::Snapshot::read).
    pub fn read_into(&self, target: &mut Vec<u8>) -> Result<u64, SnapshotError> {
        self.read_into_until(target, Deadline::never())
    }

    /// As [`read_into`](Self::read_into), repeating only a few times where it is lapped.
    ///
    /// # Errors
    /// As [`Snapshot::try_read`](super::Snapshot::try_read).
    pub fn try_read_into(&self, target: &mut Vec<u8>) -> Result<u64, SnapshotError> {
        self.handle.read(None, || self.look(target))
    }

    /// As [`read_into`](Self::read_into), repeating until a deadline where it is lapped.
    ///
    /// # Errors
    /// As [`Snapshot::read_until`](super::Snapshot::read_until).
    pub fn read_into_until(&self, target: &mut Vec<u8>, until: Deadline) -> Result<u64, SnapshotError> {
        self.handle.read(Some(until), || self.look(target))
    }

    /// Returns how many values were published so far.
    #[must_use]
    pub fn version(&self) -> u64 {
        self.handle.eyes.version()
    }

    /// Returns how many bytes a value can have.
    #[must_use]
    pub const fn max_bytes(&self) -> usize {
        self.handle.eyes.shape().bytes()
    }

    /// Waits until another version than that one is published, and returns it.
    ///
    /// # Errors
    /// As [`Snapshot::changed`](super::Snapshot::changed).
    pub fn changed(&self, since: u64) -> Result<u64, SnapshotError> {
        self.handle.changed(since, Deadline::never())
    }

    /// As [`changed`](Self::changed), until a deadline.
    ///
    /// # Errors
    /// As [`Snapshot::changed_until`](super::Snapshot::changed_until).
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
    /// As [`Snapshot::writer`](super::Snapshot::writer).
    pub fn writer(&self) -> Result<SnapshotBytesWriter, WriterError> {
        self.writer_until(Deadline::now())
    }

    /// Becomes the writer, waiting until a deadline for the present one to stop or to die.
    ///
    /// # Errors
    /// As [`writer`](Self::writer).
    pub fn writer_until(&self, until: Deadline) -> Result<SnapshotBytesWriter, WriterError> {
        Ok(SnapshotBytesWriter { pen: self.handle.claim(until)?, snapshot: self.clone() })
    }

    fn look(&self, target: &mut Vec<u8>) -> Option<u64> {
        let eyes = &self.handle.eyes;
        eyes.look(eyes.shape().data(), |words, len| {
            target.resize(eyes.len(len), 0);
            copy_to(words, target);
        })
    }
}

impl SnapshotBytesWriter {
    /// Publishes bytes; returns their version. Waits for nobody.
    ///
    /// # Errors
    /// [`SnapshotError::TooLarge`] where they are more than was planned; [`SnapshotError::Fault`] where the
    /// memory is gone.
    pub fn publish(&mut self, bytes: &[u8]) -> Result<u64, SnapshotError> {
        if bytes.len() > self.snapshot.max_bytes() {
            return Err(SnapshotError::TooLarge);
        }
        self.pen.hand.publish(bytes)
    }

    /// Changes a copy of the latest bytes and publishes it; returns its version.
    ///
    /// # Errors
    /// As [`publish`](Self::publish), and [`SnapshotError::Damaged`] where there is no value that makes
    /// sense.
    pub fn update(&mut self, change: impl FnOnce(&mut Vec<u8>)) -> Result<u64, SnapshotError> {
        let mut bytes = self.snapshot.read()?;
        change(&mut bytes);
        self.publish(&bytes)
    }

    /// Returns what it writes.
    #[must_use]
    pub const fn snapshot(&self) -> &SnapshotBytes {
        &self.snapshot
    }
}

impl Object for SnapshotBytes {
    const KIND: Kind = Kind::Snapshot;
    type Options = SnapshotBytesOptions;

    fn plan(options: &Self::Options) -> Result<Plan> {
        let shape = shape(options.cells, options.max_bytes)?;
        Ok(Plan {
            kind: Self::KIND,
            len: shape.room()?,
            layout: Self::layout(),
            parameters: shape.parameters(),
        })
    }

    fn create(site: &Site, _options: &Self::Options) -> Result<()> {
        Hand::attach(site, Shape::of(site)?)?.fill(&[]);
        Ok(())
    }

    fn layout() -> String {
        "bytes".to_owned()
    }

    fn attach(site: &Site) -> Result<Self> {
        Ok(Self { handle: Handle::attach(site, Shape::of(site)?)? })
    }
}

impl fmt::Debug for SnapshotBytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SnapshotBytes").field("version", &self.version()).finish_non_exhaustive()
    }
}

impl fmt::Debug for SnapshotBytesWriter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SnapshotBytesWriter").field("snapshot", &self.snapshot).finish_non_exhaustive()
    }
}
