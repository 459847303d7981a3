//! A row: one job, the peers that do it in turn, and what ours must reach against whom.

use std::sync::Arc;

use anyhow::Result;

use super::fixture::{Fixture, Folder};
use super::{Meter, Unit};

/// A row that can be built: making its files and maps is put off until the row is wanted.
pub(crate) struct RowPlan {
    /// The name by which `--row` finds it.
    pub(crate) name: &'static str,
    /// Takes so long that it is only run where its whole name is given.
    pub(crate) is_long: bool,
    /// Makes the files that the row needs, and the row.
    pub(crate) build: fn(&Folder) -> Result<Row>,
}

impl RowPlan {
    /// A row of every run.
    pub(crate) const fn new(name: &'static str, build: fn(&Folder) -> Result<Row>) -> Self {
        Self { name, is_long: false, build }
    }

    /// A row that has to be asked for.
    pub(crate) const fn long(name: &'static str, build: fn(&Folder) -> Result<Row>) -> Self {
        Self { name, is_long: true, build }
    }
}

/// One job and all who do it.
pub(crate) struct Row {
    pub(crate) name: &'static str,
    /// What is done, in one line.
    pub(crate) about: String,
    pub(crate) unit: Unit,
    pub(crate) clock: Clock,
    pub(crate) cache: Cache,
    /// How many bytes of the file the work looks at or writes.
    pub(crate) bytes_touched: u64,
    /// How many rounds there are unless the user says otherwise.
    pub(crate) rounds: usize,
    pub(crate) peers: Vec<Peer>,
    pub(crate) targets: Vec<Target>,
}

/// What time is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Clock {
    /// The clock on the wall: everything that makes the caller wait counts.
    Wall,
    /// The time that the calling thread was on a processor: for work that never waits and that no other
    /// thread does, so that other programs on the machine are not counted.
    Processor,
}

impl Clock {
    pub(crate) fn words(self) -> &'static str {
        match self {
            Self::Wall => "wall time",
            Self::Processor => "processor time",
        }
    }
}

/// The state of the page cache before each sample.
#[derive(Clone)]
pub(crate) enum Cache {
    /// Everything is in memory; each peer runs once before the first round.
    Warm,
    /// These files are thrown out of memory before each sample.
    Cold(Vec<Arc<Fixture>>),
    /// The work makes its own file.
    New,
    /// Memory that the work makes and warms itself.
    Memory,
}

impl Cache {
    pub(crate) fn word(&self) -> &'static str {
        match self {
            Self::Warm => "warm",
            Self::Cold(_) => "cold",
            Self::New => "new file",
            Self::Memory => "in memory",
        }
    }
}

/// Who does the work.
pub(crate) struct Peer {
    pub(crate) name: &'static str,
    pub(crate) role: Role,
    pub(super) work: Work,
}

type Work = Box<dyn FnMut(&mut Meter) -> Result<()>>;

/// What a peer stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Role {
    /// Mapwright.
    Ours,
    /// Mapwright too, put to another use: something to hold ours against, and no target of its own.
    Sibling,
    /// Somebody else's way to do the same.
    Rival,
    /// What the machine can do at best; not a way that anybody would offer.
    Limit,
}

impl Peer {
    pub(crate) fn new(
        role: Role,
        name: &'static str,
        work: impl FnMut(&mut Meter) -> Result<()> + 'static,
    ) -> Self {
        Self { name, role, work: Box::new(work) }
    }

    pub(crate) fn ours(work: impl FnMut(&mut Meter) -> Result<()> + 'static) -> Self {
        Self::new(Role::Ours, "mapwright", work)
    }

    pub(crate) fn rival(name: &'static str, work: impl FnMut(&mut Meter) -> Result<()> + 'static) -> Self {
        Self::new(Role::Rival, name, work)
    }

    pub(crate) fn limit(name: &'static str, work: impl FnMut(&mut Meter) -> Result<()> + 'static) -> Self {
        Self::new(Role::Limit, name, work)
    }
}

/// What ours must reach.
pub(crate) struct Target {
    /// Whom it is held against, in words.
    pub(crate) label: &'static str,
    /// The peers that these words mean; the best of them counts.
    pub(crate) against: &'static [&'static str],
    pub(crate) bound: Bound,
}

/// How a target is stated.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Bound {
    /// Ours is at least this many times as fast.
    Ratio(f64),
    /// One operation of ours takes at most this many nanoseconds more.
    NanosecondsMore(f64),
}

impl Target {
    pub(crate) fn ratio(label: &'static str, against: &'static [&'static str], at_least: f64) -> Self {
        Self { label, against, bound: Bound::Ratio(at_least) }
    }

    pub(crate) fn nanoseconds_more(
        label: &'static str,
        against: &'static [&'static str],
        at_most: f64,
    ) -> Self {
        Self { label, against, bound: Bound::NanosecondsMore(at_most) }
    }
}
