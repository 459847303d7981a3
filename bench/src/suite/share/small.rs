//! Small messages: 56 bytes, which with a word of ours are one cache line, and 64, which are not.

use anyhow::Result;

use super::{at_most, hop, pingpong, row_of_duos};
use crate::harness::{Duo, Folder, ONE_WAY_TRIPS, Role, Row, Target, Unit};
use crate::ours::Values;
use crate::rival::{Adaptive, Bare, Bytes, Iceoryx, Packets, Ringfire, Spin};

pub(super) const DUOS_56: &[Duo] = &duos::<7>();
pub(super) const DUOS_64: &[Duo] = &duos::<8>();

const fn duos<const WORDS: usize>() -> [Duo; 9] {
    [
        hop::DUO,
        pingpong::duo::<Bare<1>, WORDS>(Role::Limit, "bare lines"),
        pingpong::duo::<Values<WORDS>, WORDS>(Role::Ours, "mapwright"),
        pingpong::duo::<Ringfire<WORDS, Spin>, WORDS>(Role::Rival, "ringfire, spinning"),
        pingpong::duo::<Ringfire<WORDS, Adaptive>, WORDS>(Role::Rival, "ringfire"),
        pingpong::duo::<Iceoryx<true>, WORDS>(Role::Rival, "iceoryx2, for two"),
        pingpong::duo::<Iceoryx<false>, WORDS>(Role::Rival, "iceoryx2"),
        pingpong::duo::<Packets, WORDS>(Role::Rival, SLEEPERS[0]),
        pingpong::duo::<Bytes<false>, WORDS>(Role::Rival, SLEEPERS[1]),
    ]
}

/// These sleep for every message, or for some, so that they get fewer.
const SLEEPERS: [&str; 3] = ["Unix packets", "Unix stream", "ringfire"];

pub(super) fn of_56_bytes(folder: &Folder) -> Result<Row> {
    Ok(row(folder, "small-56B", 56, DUOS_56, at_most(1.15)))
}

pub(super) fn of_64_bytes(folder: &Folder) -> Result<Row> {
    Ok(row(folder, "small-64B", 64, DUOS_64, at_most(1.5)))
}

fn row(folder: &Folder, name: &'static str, len: usize, duos: &[Duo], of_a_hop: f64) -> Row {
    let (many, few) = (folder.size(50_000, 2_000) as u64, folder.size(2_000, 100) as u64);
    let about = format!("a message of {len} bytes, one way, median; written and looked at on both sides");
    let unit = Unit::Nanoseconds { operations: ONE_WAY_TRIPS };
    let amount = |duo: &Duo| if SLEEPERS.contains(&duo.name) { few } else { many };
    let targets = vec![
        Target::ratio("the raw hop", &["raw hop"], of_a_hop),
        Target::ratio("iceoryx2", &["iceoryx2, for two", "iceoryx2"], 2.0),
        Target::ratio("ringfire", &["ringfire, spinning", "ringfire"], 1.0),
    ];
    row_of_duos(folder, name, about, unit, duos, amount, targets)
}
