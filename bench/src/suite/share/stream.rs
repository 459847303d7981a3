//! Streams: as many messages as go through, all written, all arriving, all looked at.

use std::time::Instant;

use anyhow::{Context, Result, ensure};

use super::{A_MILLION, row_of_duos};
use crate::harness::{Duo, Folder, Meter, Role, Row, Stage, Target, Unit};
use crate::ours::{Gathered, Letters, Values};
use crate::rival::{
    BareLines, BareRing, Bytes, Iceoryx, Link, Packets, Ringfire, RingfireBlobs, Shape, Spin, attach, check,
    fill, open, ring,
};

/// Words of a small message.
const SMALL: usize = 8;
/// Words of a middle one on average; lengths go from a half to one and a half of it.
const MIDDLE: usize = 512;
/// Messages that may be on their way.
const DEPTH: usize = 256;
/// What those gather who can.
const BATCH: usize = 32;

pub(super) const DUOS_64: &[Duo] = &[
    duo::<BareLines, Same>(Role::Limit, "bare lines, by 32"),
    duo::<Gathered<SMALL>, Same>(Role::Ours, "mapwright, by 32"),
    duo::<Values<SMALL>, Same>(Role::Sibling, "mapwright"),
    duo::<Ringfire<SMALL, Spin>, Same>(Role::Rival, "ringfire"),
    Duo { name: "ringfire, by 32", role: Role::Rival, first: first_in_batches, second: second_in_batches },
    duo::<Iceoryx<true>, Same>(Role::Rival, "iceoryx2, 256 deep"),
    duo::<Iceoryx<false>, Same>(Role::Rival, "iceoryx2"),
    duo::<Bytes<true>, Same>(Role::Rival, "Unix stream, by 64 KiB"),
    duo::<Bytes<false>, Same>(Role::Rival, "Unix stream"),
    duo::<Packets, Same>(Role::Rival, "Unix packets"),
];

pub(super) const DUOS_4K: &[Duo] = &[
    duo::<BareRing, Varied>(Role::Limit, "bare ring"),
    duo::<Letters, Varied>(Role::Ours, "mapwright"),
    duo::<RingfireBlobs, Varied>(Role::Rival, "ringfire, blobs"),
    duo::<Iceoryx<true>, Varied>(Role::Rival, "iceoryx2, 256 deep"),
    duo::<Iceoryx<false>, Varied>(Role::Rival, "iceoryx2"),
    duo::<Bytes<true>, Varied>(Role::Rival, "Unix stream, by 64 KiB"),
    duo::<Bytes<false>, Varied>(Role::Rival, "Unix stream"),
    duo::<Packets, Varied>(Role::Rival, "Unix packets"),
];

/// How long the messages of a stream are.
trait Lengths {
    const SHAPE: Shape;
    fn of(number: u64) -> usize;
}

struct Same;

impl Lengths for Same {
    const SHAPE: Shape = Shape { words: SMALL, depth: DEPTH };
    fn of(_number: u64) -> usize {
        SMALL
    }
}

struct Varied;

impl Lengths for Varied {
    const SHAPE: Shape = Shape { words: MIDDLE * 3 / 2, depth: DEPTH };
    fn of(number: u64) -> usize {
        MIDDLE / 2 + (number.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 55) as usize
    }
}

const fn duo<L: Link, N: Lengths>(role: Role, name: &'static str) -> Duo {
    Duo { name, role, first: first::<L, N>, second: second::<L, N> }
}

pub(super) fn of_64_bytes(folder: &Folder) -> Result<Row> {
    let about = "a stream of messages of 64 bytes, written and looked at".to_owned();
    let unit = Unit::Millions { operations: A_MILLION };
    let rivals = &[
        "ringfire",
        "ringfire, by 32",
        "iceoryx2, 256 deep",
        "iceoryx2",
        "Unix stream, by 64 KiB",
        "Unix stream",
        "Unix packets",
    ];
    let targets = vec![Target::ratio("the best", rivals, 1.2)];
    Ok(row_of_duos(folder, "stream-64B", about, unit, DUOS_64, |duo| amount(folder, duo), targets))
}

/// Those who take long send less.
fn amount(folder: &Folder, duo: &Duo) -> u64 {
    let full = match duo.name {
        "Unix stream" | "Unix packets" => 10_000,
        "iceoryx2, 256 deep" | "iceoryx2" => 100_000,
        _ => 500_000,
    };
    folder.size(full, full / 50) as u64
}

pub(super) fn of_4_kib(folder: &Folder) -> Result<Row> {
    let count = folder.size(20_000, 1_000) as u64;
    let about = "a stream of messages of 2 to 6 KiB, written and read".to_owned();
    let rivals = &[
        "ringfire, blobs",
        "iceoryx2, 256 deep",
        "iceoryx2",
        "Unix stream, by 64 KiB",
        "Unix stream",
        "Unix packets",
    ];
    let (unit, targets) = (
        Unit::Throughput { bytes: A_MILLION * 8 * MIDDLE as u64 },
        vec![Target::ratio("the best", rivals, 1.2)],
    );
    Ok(row_of_duos(folder, "stream-4KiB", about, unit, DUOS_4K, |_| count, targets))
}

/// A million messages are what the time is scaled to. It is from the first message until the other side has
/// looked at the last one.
fn first<L: Link, N: Lengths>(stage: &mut Stage, meter: &mut Meter) -> Result<()> {
    let mut link: L = open(stage, N::SHAPE)?;
    let start = Instant::now();
    for number in 0..stage.amount {
        link.send(N::of(number), |words| fill(words, number))?;
    }
    link.flush()?;
    stage.meet();
    meter.add(start.elapsed());
    // Lengths come in a pattern whose average is the middle.
    meter.did(stage.amount, A_MILLION);
    Ok(())
}

fn second<L: Link, N: Lengths>(stage: &mut Stage) -> Result<()> {
    let mut link: L = open(stage, N::SHAPE)?;
    for number in 0..stage.amount {
        link.receive(|words| {
            ensure!(words.len() == N::of(number), "message {number} has {} words", words.len());
            check(words, number)
        })??;
    }
    stage.meet();
    Ok(())
}

/// ringfire at its best: its sender announces and its receiver takes many at once.
fn first_in_batches(stage: &mut Stage, meter: &mut Meter) -> Result<()> {
    let mut ring = ring::<SMALL>(stage, Same::SHAPE)?;
    stage.meet();
    stage.meet();
    let mut batch = [[0; SMALL]; BATCH];
    let start = Instant::now();
    let mut sent = 0;
    while sent < stage.amount {
        let count = BATCH.min((stage.amount - sent) as usize);
        for message in &mut batch[..count] {
            fill(message, sent);
            sent += 1;
        }
        ring.push_batch(&batch[..count]);
    }
    stage.meet();
    meter.add(start.elapsed());
    meter.did(stage.amount, A_MILLION);
    Ok(())
}

fn second_in_batches(stage: &mut Stage) -> Result<()> {
    stage.meet();
    let mut ring = attach::<SMALL>(stage).context("attach to the ring")?;
    stage.meet();
    let mut batch = [[0; SMALL]; BATCH];
    let mut received = 0;
    while received < stage.amount {
        let count = ring.recv_batch(&mut batch);
        for message in &batch[..count] {
            check(message, received)?;
            received += 1;
        }
    }
    stage.meet();
    Ok(())
}
