//! Messages of 8 KiB that need not be copied: every byte is written by the sender and read by the receiver.

use anyhow::Result;

use super::{at_most, pingpong, row_of_duos};
use crate::harness::{Duo, Folder, ONE_WAY_TRIPS, Role, Row, Target, Unit};
use crate::ours::Chunks;
use crate::rival::{Bare, Iceoryx, Packets, Ringfire, RingfireBlobs, Spin};

const WORDS: usize = 1024;

pub(super) const DUOS: &[Duo] = &[
    pingpong::duo::<Bare<1>, WORDS>(Role::Limit, "bare lines"),
    pingpong::duo::<Bare<64>, WORDS>(Role::Limit, "bare lines, 64 places"),
    pingpong::duo::<Chunks, WORDS>(Role::Ours, "mapwright"),
    pingpong::duo::<Iceoryx<true>, WORDS>(Role::Rival, "iceoryx2, for two"),
    pingpong::duo::<Iceoryx<false>, WORDS>(Role::Rival, "iceoryx2"),
    pingpong::duo::<RingfireBlobs, WORDS>(Role::Rival, "ringfire, blobs"),
    pingpong::duo::<Ringfire<WORDS, Spin>, WORDS>(Role::Rival, "ringfire, copied"),
    pingpong::duo::<Packets, WORDS>(Role::Rival, PACKETS),
];

/// They sleep for every message, so that they get fewer.
const PACKETS: &str = "Unix packets";

pub(super) fn of_8_kib(folder: &Folder) -> Result<Row> {
    let (many, few) = (folder.size(20_000, 1_000) as u64, folder.size(2_000, 100) as u64);
    let about = "8 KiB, one way, median; every byte written and read on both sides".to_owned();
    let unit = Unit::Nanoseconds { operations: ONE_WAY_TRIPS };
    let amount = |duo: &Duo| if duo.name == PACKETS { few } else { many };
    let targets = vec![
        Target::ratio("bare lines", &["bare lines", "bare lines, 64 places"], at_most(1.15)),
        Target::ratio("iceoryx2", &["iceoryx2, for two", "iceoryx2"], 1.15),
    ];
    Ok(row_of_duos(folder, "loan-8KiB", about, unit, DUOS, amount, targets))
}
