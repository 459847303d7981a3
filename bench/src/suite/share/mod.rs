//! Two processes that share memory: messages, streams, locks, snapshots, tables, and waking.
//!
//! Each row is a file with its peers; most of them are [`Duo`]s, pairs of functions for two processes. The
//! raw hop of a cache line between the same two processors is measured in every round.

mod hop;
mod loan;
mod lock;
mod pingpong;
mod publish;
mod small;
mod snapshot;
mod stream;
mod table;
mod wake;

use super::Suite;
use crate::harness::{Cache, Clock, Duo, Folder, Peer, Row, RowPlan, Target, Unit};

/// The suite.
pub(super) const SUITE: Suite = Suite {
    name: "share",
    about: "processes that share memory",
    rows: ROWS,
    duos: DUOS,
    hop: Some(hop::measure),
};

const ROWS: &[RowPlan] = &[
    RowPlan::new("small-56B", small::of_56_bytes),
    RowPlan::new("small-64B", small::of_64_bytes),
    RowPlan::new("loan-8KiB", loan::of_8_kib),
    RowPlan::new("stream-64B", stream::of_64_bytes),
    RowPlan::new("stream-4KiB", stream::of_4_kib),
    RowPlan::new("publish-1", publish::to_1),
    RowPlan::new("publish-10", publish::to_10),
    RowPlan::new("publish-200", publish::to_200),
    RowPlan::new("lock-alone", lock::alone),
    RowPlan::new("lock-contended", lock::contended),
    RowPlan::new("snapshot-64B", snapshot::idle_64_bytes),
    RowPlan::new("snapshot-64B-busy", snapshot::busy_64_bytes),
    RowPlan::new("snapshot-1KiB", snapshot::idle_1_kib),
    RowPlan::new("snapshot-1KiB-busy", snapshot::busy_1_kib),
    RowPlan::new("snapshot-64KiB", snapshot::idle_64_kib),
    RowPlan::new("snapshot-64KiB-busy", snapshot::busy_64_kib),
    RowPlan::new("snapshot-64B-storm", snapshot::storm_64_bytes),
    RowPlan::new("snapshot-64KiB-storm", snapshot::storm_64_kib),
    RowPlan::long("snapshot-64B-billion", snapshot::a_billion_of_64_bytes),
    RowPlan::long("snapshot-64KiB-ten-million", snapshot::ten_million_of_64_kib),
    RowPlan::new("table-get-1", table::get_by_1),
    RowPlan::new("table-get-2", table::get_by_2),
    RowPlan::new("table-insert-1", table::insert_by_1),
    RowPlan::new("table-insert-2", table::insert_by_2),
    RowPlan::new("wake", wake::row),
];

/// What the second process does in each row, or in each family of rows.
const DUOS: &[(&str, &[Duo])] = &[
    (hop::NAME, &[hop::DUO]),
    ("small-56B", small::DUOS_56),
    ("small-64B", small::DUOS_64),
    ("loan-8KiB", loan::DUOS),
    ("stream-64B", stream::DUOS_64),
    ("stream-4KiB", stream::DUOS_4K),
    ("publish-1", publish::DUOS_1),
    ("publish-10", publish::DUOS_10),
    ("publish-200", publish::DUOS_200),
    ("lock-contended", lock::DUOS),
    ("snapshot-64B", snapshot::DUOS_64),
    ("snapshot-64B-busy", snapshot::BUSY_64),
    ("snapshot-1KiB", snapshot::DUOS_1K),
    ("snapshot-1KiB-busy", snapshot::BUSY_1K),
    ("snapshot-64KiB", snapshot::DUOS_64K),
    ("snapshot-64KiB-busy", snapshot::BUSY_64K),
    ("snapshot-64B-storm", snapshot::STORM_64),
    ("snapshot-64KiB-storm", snapshot::STORM_64K),
    ("snapshot-64B-billion", snapshot::BILLION_64),
    ("snapshot-64KiB-ten-million", snapshot::MILLIONS_64K),
    ("table-get-1", table::GETS_1),
    ("table-get-2", table::GETS_2),
    ("table-insert-1", table::INSERTS_1),
    ("table-insert-2", table::INSERTS_2),
    ("wake", wake::DUOS),
];

/// A row of peers that all are pairs of processes, and what ours must reach beside them.
fn row_of_duos(
    folder: &Folder,
    name: &'static str,
    about: String,
    unit: Unit,
    duos: &[Duo],
    amount: impl Fn(&Duo) -> u64,
    targets: Vec<Target>,
) -> Row {
    let peer = |duo: &Duo| duo.peer(name, folder.memory(), amount(duo));
    row(name, about, unit, duos.iter().map(peer).collect(), targets)
}

/// How often each peer of a row is measured: the whole suite takes some four minutes.
const ROUNDS: usize = 11;

/// What a sample's time stands for, however many operations it had.
const A_MILLION: u64 = 1_000_000;

/// The ratio of one that may take so many times as long as what it is held against.
const fn at_most(times: f64) -> f64 {
    1.0 / times
}

/// A row on memory.
fn row(name: &'static str, about: String, unit: Unit, peers: Vec<Peer>, targets: Vec<Target>) -> Row {
    let (clock, cache) = (Clock::Wall, Cache::Memory);
    Row { name, about, unit, clock, cache, bytes_touched: 0, rounds: ROUNDS, peers, targets }
}
