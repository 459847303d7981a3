//! What can lie in a segment: its kind, its size, and how it is found again.
//!
//! An [`Object`] (a mutex, a queue, a table) says before the segment is made how much room it needs
//! ([`Plan`]), fills that room while nobody else can see it, and is later found there by every process that
//! attaches. What it needs to know for that is kept in the segment's catalogue: the kind, a few numbers, and
//! the text of the types' layout, so that two programs that disagree are told how.

use std::fmt;
use std::sync::Arc;

use mapwright_core::peer::{Area, LookWord64, Oracle, Placed, Shared};
use mapwright_core::{Error, ErrorKind, ReadOnly, Result};

use crate::figure::Figure;

/// Numbers that an object keeps in the catalogue, such as its capacity.
pub type Parameters = [u64; 6];

/// Offsets of objects, and of their parts, are multiples of this.
pub(crate) const ALIGNMENT: usize = 128;

/// What sort of object something is. The numbers are part of the format.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u32)]
#[non_exhaustive]
pub enum Kind {
    /// [`Mutex`](crate::Mutex)
    Mutex = 1,
    /// [`RwLock`](crate::RwLock)
    RwLock = 2,
    /// [`Condvar`](crate::Condvar)
    Condvar = 3,
    /// [`Semaphore`](crate::Semaphore)
    Semaphore = 4,
    /// [`Barrier`](crate::Barrier)
    Barrier = 5,
    /// [`Once`](crate::Once)
    Once = 6,
    /// [`Event`](crate::Event)
    Event = 7,
    /// [`Queue`](crate::Queue)
    Queue = 8,
    /// [`Records`](crate::Records)
    Records = 9,
    /// [`Topic`](crate::Topic)
    Topic = 10,
    /// [`Pool`](crate::Pool)
    Pool = 11,
    /// [`Snapshot`](crate::Snapshot)
    Snapshot = 12,
    /// [`Table`](crate::Table)
    Table = 13,
    /// [`Log`](crate::Log)
    Log = 14,
}

impl Kind {
    const ALL: [(Self, &'static str); 14] = [
        (Self::Mutex, "mutex"),
        (Self::RwLock, "rwlock"),
        (Self::Condvar, "condvar"),
        (Self::Semaphore, "semaphore"),
        (Self::Barrier, "barrier"),
        (Self::Once, "once"),
        (Self::Event, "event"),
        (Self::Queue, "queue"),
        (Self::Records, "records"),
        (Self::Topic, "topic"),
        (Self::Pool, "pool"),
        (Self::Snapshot, "snapshot"),
        (Self::Table, "table"),
        (Self::Log, "log"),
    ];

    /// Returns the kind that a catalogue's number names.
    #[must_use]
    pub fn from_number(number: u32) -> Option<Self> {
        Self::ALL.into_iter().map(|(kind, _)| kind).find(|&kind| kind.number() == number)
    }

    /// Says how an object is, whatever its types.
    ///
    /// # Errors
    /// `Damaged` where its room does not make sense.
    pub(crate) fn inspect(self, site: &Site) -> Result<Vec<Figure>> {
        match self {
            Self::Mutex => crate::Mutex::<u64>::inspect(site),
            Self::RwLock => crate::RwLock::<u64>::inspect(site),
            Self::Condvar => crate::Condvar::inspect(site),
            Self::Semaphore => crate::Semaphore::inspect(site),
            Self::Barrier => crate::Barrier::inspect(site),
            Self::Once => crate::Once::inspect(site),
            Self::Event => crate::Event::inspect(site),
            Self::Queue => crate::queue::inspect(site),
            Self::Records => crate::queue::records::inspect(site),
            Self::Snapshot => crate::snapshot::inspect(site),
            Self::Table => crate::table::inspect(site),
            Self::Log => crate::log::inspect(site),
            Self::Topic => crate::topic::inspect(site),
            Self::Pool => crate::pool::inspect(site),
        }
    }

    /// Returns the number that the catalogue has for it.
    #[must_use]
    pub const fn number(self) -> u32 {
        self as u32
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = Self::ALL.into_iter().find(|(kind, _)| kind == self).map_or("object", |(_, name)| name);
        f.pad(name)
    }
}

/// What an object needs in a segment that is about to be made.
#[derive(Clone, Debug)]
pub struct Plan {
    /// What it is.
    pub kind: Kind,
    /// How many bytes it takes.
    pub len: usize,
    /// The canonical text of the types in it; empty where there is none.
    pub layout: String,
    /// What it has to know when it is found again.
    pub parameters: Parameters,
}

/// Something that processes share, in a segment.
///
/// Implemented by this crate's types. A handle can be cloned and sent between threads; it keeps the segment
/// attached.
pub trait Object: Sized {
    /// What the catalogue calls it.
    const KIND: Kind;

    /// What has to be decided before it is made.
    type Options;

    /// Says how much room it needs.
    ///
    /// # Errors
    /// `InvalidInput` where the options make no sense, such as a capacity of 0.
    fn plan(options: &Self::Options) -> Result<Plan>;

    /// Fills its room, which is all zeros and which nobody else can see yet.
    ///
    /// # Errors
    /// Where the room is not what was planned.
    fn create(site: &Site, options: &Self::Options) -> Result<()>;

    /// Returns the canonical text of the types that this program expects in it.
    fn layout() -> String;

    /// Tells whether one that was made with some parameters will do where others are planned.
    #[must_use]
    fn accepts(planned: &Parameters, made: &Parameters) -> bool {
        planned == made
    }

    /// Finds it in its room.
    ///
    /// The kind and the layout are those of this type; everything else may be anything, because another
    /// process may have overwritten it.
    ///
    /// # Errors
    /// `Damaged` where the parameters and the room do not fit together.
    fn attach(site: &Site) -> Result<Self>;
}

/// Where an object lies: its room in the segment, and who is asking.
#[derive(Clone, Debug)]
pub struct Site {
    ground: Ground,
    name: String,
    offset: usize,
    len: usize,
    parameters: Parameters,
    oracle: Arc<dyn Oracle>,
}

/// The memory around an object's room, as this process has it mapped.
#[derive(Clone, Debug)]
enum Ground {
    Write(Area),
    Look(Area<ReadOnly>),
}

impl Ground {
    fn len(&self) -> usize {
        match self {
            Self::Write(area) => area.len(),
            Self::Look(area) => area.len(),
        }
    }
}

impl Site {
    /// Describes an object's room.
    ///
    /// # Errors
    /// `OutOfBounds` where it ends beyond the area.
    pub fn new(
        area: Area,
        name: &str,
        room: (usize, usize),
        parameters: Parameters,
        oracle: Arc<dyn Oracle>,
    ) -> Result<Self> {
        Self::within(Ground::Write(area), name, room, parameters, oracle)
    }

    /// Describes an object's room in memory that is mapped for reading: whatever can be used there by looking
    /// ([`Kind::Snapshot`], [`Kind::Log`]) can be attached, everything else answers `PermissionDenied`.
    ///
    /// # Errors
    /// As [`Site::new`].
    pub fn look(
        area: Area<ReadOnly>,
        name: &str,
        room: (usize, usize),
        parameters: Parameters,
        oracle: Arc<dyn Oracle>,
    ) -> Result<Self> {
        Self::within(Ground::Look(area), name, room, parameters, oracle)
    }

    fn within(
        ground: Ground,
        name: &str,
        (offset, len): (usize, usize),
        parameters: Parameters,
        oracle: Arc<dyn Oracle>,
    ) -> Result<Self> {
        if offset.checked_add(len).is_none_or(|end| end > ground.len()) || offset % ALIGNMENT != 0 {
            let why = format!("{len} bytes from {offset} on are no room in {} bytes", ground.len());
            return Err(Error::new(ErrorKind::Damaged, "find", format!("\"{name}\""), why));
        }
        Ok(Self { ground, name: name.to_owned(), offset, len, parameters, oracle })
    }

    /// Returns whether the room is mapped for writing too.
    #[must_use]
    pub const fn is_writable(&self) -> bool {
        matches!(self.ground, Ground::Write(_))
    }

    /// Returns the object's name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Returns the numbers that the object planned.
    #[must_use]
    pub const fn parameters(&self) -> Parameters {
        self.parameters
    }

    /// Returns how many bytes the room has.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.len
    }

    /// Returns whether there is no room at all.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Returns who answers for the living.
    #[must_use]
    pub fn oracle(&self) -> &Arc<dyn Oracle> {
        &self.oracle
    }

    /// Begins to lay the room out, part after part.
    #[must_use]
    pub const fn parts(&self) -> Parts<'_> {
        Parts { site: self, used: 0 }
    }

    /// Says that the object's room does not make sense.
    #[must_use]
    pub fn damaged(&self, why: impl Into<String>) -> Error {
        Error::new(ErrorKind::Damaged, "find", format!("\"{}\"", self.name), why)
    }
}

/// Lays an object's room out: every part begins at a multiple of [`ALIGNMENT`].
#[derive(Debug)]
pub struct Parts<'a> {
    site: &'a Site,
    used: usize,
}

impl Parts<'_> {
    /// Returns the next part, one structure.
    ///
    /// # Errors
    /// `Damaged` where it ends beyond the room; `PermissionDenied` where it is mapped for reading.
    pub fn one<T: Shared>(&mut self) -> Result<Placed<T>> {
        let offset = self.take(size_of::<T>(), 1)?;
        self.writable()?.place(offset)
    }

    /// Returns the next part, several structures.
    ///
    /// # Errors
    /// As [`one`](Self::one).
    pub fn many<T: Shared>(&mut self, count: usize) -> Result<Placed<[T]>> {
        let offset = self.take(size_of::<T>(), count)?;
        self.writable()?.place_many(offset, count)
    }

    /// Returns the next part, words to be looked at, whether the room is mapped for writing or not.
    ///
    /// # Errors
    /// `Damaged` where they end beyond the room.
    pub fn look(&mut self, count: usize) -> Result<Placed<[LookWord64]>> {
        let offset = self.take(size_of::<LookWord64>(), count)?;
        match &self.site.ground {
            Ground::Write(area) => Ok(area.place_many(offset, count)?.look()),
            Ground::Look(area) => area.look_many(offset, count),
        }
    }

    fn writable(&self) -> Result<&Area> {
        match &self.site.ground {
            Ground::Write(area) => Ok(area),
            Ground::Look(_) => {
                let (kind, why) = (ErrorKind::PermissionDenied, "its memory is mapped for reading only");
                Err(Error::new(kind, "attach", format!("\"{}\"", self.site.name), why)
                    .advice("open the segment for writing"))
            }
        }
    }

    fn take(&mut self, size: usize, count: usize) -> Result<usize> {
        let end = room_for(size, count).and_then(|len| self.used.checked_add(len));
        match end {
            Some(end) if end <= self.site.len => {
                let offset = self.site.offset + self.used;
                self.used = end;
                Ok(offset)
            }
            _ => {
                let len = self.site.len;
                Err(self.site.damaged(format!("{count} times {size} bytes are not in its {len} bytes")))
            }
        }
    }
}

/// Returns how many bytes parts of so many structures of a size take; `None` where that is no size.
#[must_use]
pub(crate) fn room_for(size: usize, count: usize) -> Option<usize> {
    size.checked_mul(count)?.checked_next_multiple_of(ALIGNMENT)
}

/// Sums the rooms of an object's parts, or says that it is too large.
pub(crate) fn room(action: &'static str, parts: &[(usize, usize)]) -> Result<usize> {
    let total = parts.iter().try_fold(0usize, |sum, &(size, count)| sum.checked_add(room_for(size, count)?));
    total.ok_or_else(|| {
        Error::new(
            ErrorKind::InvalidInput,
            action,
            "shared memory",
            "it would be larger than the address space",
        )
    })
}
