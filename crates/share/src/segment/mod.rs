//! Segments: files of shared memory that are born whole, say what is in them, and know who is there.
//!
//! - `name`: folders and names
//! - `header`: what the first bytes say
//! - `create`: a segment is made where nobody sees it, and then gets its name
//! - `attach`: finding one, believing nothing, taking a seat
//! - `folder`: which there are, looking without taking part, removing what nobody holds
//! - `handover`: anonymous ones, passed on through a Unix socket

mod attach;
mod create;
mod folder;
mod handover;
mod header;
mod name;
mod reader;
#[cfg(all(test, not(any(loom, shuttle))))]
#[allow(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on fails")]
mod tests;

use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

pub use create::{Builder, Sharing};
pub use folder::{ObjectOverview, Overview, Pruned};
pub use name::Directory;
pub use reader::SegmentReader;

use mapwright_core::peer::{Area, Identity, Oracle, Roster, Seat, SeatState, copy_out};
use mapwright_core::{Error, ErrorKind, Fault, Result};

use crate::object::{Kind, Object, Site};
use header::{Contents, Entry};

/// Shared memory with a name, a catalogue of objects, and a seat for this process.
///
/// For processes that *cooperate*: any of them may be killed at any instant, and the others go on. A process
/// that writes nonsense into the memory on purpose can make the others' answers wrong and their calls fail;
/// it cannot make them crash or touch other memory.
///
/// ```
/// use mapwright_share::{LockError, Mutex, Segment};
/// # let folder = tempfile::tempdir().unwrap();
/// # let builder = Segment::builder("shop").directory(folder.path());
/// // let builder = Segment::builder("shop");
/// let shop = builder.with::<Mutex<u64>>("stock", 100).create()?;
///
/// // In another process:
/// # let open = || mapwright_share::Directory::at(folder.path())?.open("shop");
/// let shop = open()?; // Segment::open("shop")?
/// let stock: Mutex<u64> = shop.get("stock")?;
/// match stock.lock() {
///     Ok(mut stock) => stock.update(|count| *count -= 1),
///     // Somebody was killed while it held the lock; its last finished change is there.
///     Err(LockError::OwnerDied(recovery)) => recovery.recover().update(|count| *count -= 1),
///     Err(error) => return Err(error.without_lock().into()),
/// }
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// Cloning is cheap: clones are the same participant. The seat is given back when the last clone and the last
/// handle of an object are dropped.
///
/// # After a fork
/// The child is not its parent: every call on an inherited handle answers
/// [`Gone`](mapwright_core::FaultKind::Gone), and [`reattach`](Self::reattach) takes a seat for the child.
#[derive(Clone, Debug)]
pub struct Segment {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    /// For messages.
    name: String,
    path: Option<PathBuf>,
    file: Arc<File>,
    area: Area,
    contents: Contents,
    roster: Arc<Roster>,
}

/// One who takes part in a segment, or did.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Participant {
    /// Who it is; never given to anybody else.
    pub identity: Identity,
    /// The process id, in its own pid namespace.
    pub process: u32,
    /// The inode of that namespace; 0 where it is not known.
    pub namespace: u64,
    /// The program's name.
    pub program: String,
    /// Since when.
    pub since: SystemTime,
    /// How it is.
    pub state: Attendance,
}

/// Whether a participant is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Attendance {
    /// It is alive.
    Alive,
    /// It left by itself.
    Left,
    /// It died without leaving.
    Died,
}

impl Segment {
    /// Begins to make a segment of that name.
    pub fn builder(name: &str) -> Builder {
        Builder::named(name)
    }

    /// Begins to make a segment without a name in any folder, to be passed on through a Unix socket
    /// ([`send`](Self::send)) or inherited. The label is for messages.
    pub fn anonymous(label: &str) -> Builder {
        Builder::anonymous(label)
    }

    /// Attaches to the segment of that name in this user's folder.
    ///
    /// # Errors
    /// As [`Directory::open`].
    pub fn open(name: &str) -> Result<Self> {
        Directory::default_of_user()?.open(name)
    }

    /// Returns a handle of an object.
    ///
    /// # Errors
    /// `NotFound` where there is none of that name, with the names that there are; `TypeMismatch` where it is
    /// of another kind or type, with both; `Damaged` where its memory does not make sense.
    pub fn get<O: Object>(&self, name: &str) -> Result<O> {
        self.check().map_err(|fault| Error::faulted("use the segment", self.quoted(), fault))?;
        let entry = self.entry(name)?;
        demand::<O>(entry, &self.quoted())?;
        O::attach(&self.site(entry)?)
    }

    /// Returns the names and kinds of the objects.
    pub fn objects(&self) -> impl Iterator<Item = (&str, Kind)> {
        self.inner.contents.entries.iter().map(|entry| (entry.name.as_str(), entry.kind))
    }

    /// Returns the segment's name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.inner.name
    }

    /// Returns where the segment is named; `None` for an anonymous one.
    #[must_use]
    pub fn path(&self) -> Option<&Path> {
        self.inner.path.as_deref()
    }

    /// Returns how many bytes it takes.
    #[must_use]
    pub fn len(&self) -> usize {
        self.inner.area.len()
    }

    /// Returns false: a segment has a header.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        false
    }

    /// Returns who this process is in here.
    #[must_use]
    pub fn me(&self) -> Identity {
        self.inner.roster.me()
    }

    /// Tells whether a participant is alive; asks the kernel, which knows for certain.
    #[must_use]
    pub fn is_alive(&self, who: Identity) -> bool {
        self.inner.roster.is_alive(who)
    }

    /// Returns who takes part, and who was the last one on each seat that is free.
    #[must_use]
    pub fn participants(&self) -> Vec<Participant> {
        participants(&self.inner.roster)
    }

    /// Tells whether the memory is still the shared one.
    ///
    /// # Errors
    /// `Poisoned` once somebody has cut the file short; `Gone` in a forked child.
    pub fn check(&self) -> Result<(), Fault> {
        self.inner.area.check()
    }

    fn entry(&self, name: &str) -> Result<&Entry> {
        entry(&self.inner.contents.entries, name, &self.quoted())
    }

    fn site(&self, entry: &Entry) -> Result<Site> {
        let inner = &self.inner;
        let oracle: Arc<dyn Oracle> = Arc::clone(&inner.roster) as _;
        Site::new(inner.area.clone(), &entry.name, (entry.offset, entry.len), entry.parameters, oracle)
    }

    fn quoted(&self) -> String {
        quoted(&self.inner.name, self.inner.path.as_deref())
    }
}

/// Finds an object in a catalogue.
fn entry<'a>(entries: &'a [Entry], name: &str, segment: &str) -> Result<&'a Entry> {
    entries.iter().find(|entry| entry.name == name).ok_or_else(|| {
        let names: Vec<_> = entries.iter().map(|entry| format!("\"{}\"", entry.name)).collect();
        let there = if names.is_empty() { "it is empty".to_owned() } else { names.join(", ") };
        let why = format!("there is no object \"{name}\"; there are: {there}");
        Error::new(ErrorKind::NotFound, "use the segment", segment, why)
    })
}

/// Checks that an object is of a type.
fn demand<O: Object>(entry: &Entry, segment: &str) -> Result<()> {
    let (name, kind, layout) = (&entry.name, entry.kind, &entry.layout);
    let why = if kind != O::KIND {
        format!("\"{name}\" is {}, and {} was asked for", one(kind), one(O::KIND))
    } else if *layout != O::layout() {
        format!("the {kind} \"{name}\" holds {layout}, and this program expects {}", O::layout())
    } else {
        return Ok(());
    };
    Err(Error::new(ErrorKind::TypeMismatch, "use the segment", segment, why))
}

/// A kind with its article.
fn one(kind: Kind) -> String {
    let name = kind.to_string();
    let article = if name.starts_with(['a', 'e', 'i', 'o', 'u']) { "an" } else { "a" };
    format!("{article} {name}")
}

/// A segment for messages: its path, or its label.
fn quoted(name: &str, path: Option<&Path>) -> String {
    path.map_or_else(|| format!("\"{name}\" (anonymous)"), name::quoted)
}

fn participants(roster: &Roster) -> Vec<Participant> {
    let of = |(identity, state, is_alive): (Identity, SeatState, bool)| {
        let seat: &Seat = roster.seats().get(identity.seat())?;
        let load = |word: &mapwright_core::peer::Word64| word.load(mapwright_core::peer::Ordering::Relaxed);
        let mut program = [0; 16];
        copy_out(&seat.name, &mut program);
        let program = program.split(|&byte| byte == 0).next().unwrap_or_default();
        let state = match state {
            SeatState::Taken if is_alive => Attendance::Alive,
            SeatState::Taken => Attendance::Died,
            SeatState::Free => Attendance::Left,
        };
        let since = SystemTime::UNIX_EPOCH + Duration::from_nanos(load(&seat.since));
        Some(Participant {
            identity,
            process: seat.process.load(mapwright_core::peer::Ordering::Relaxed),
            namespace: load(&seat.namespace),
            program: String::from_utf8_lossy(program).into_owned(),
            since,
            state,
        })
    };
    roster.participants().into_iter().filter_map(of).collect()
}
