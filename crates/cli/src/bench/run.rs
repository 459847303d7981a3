//! Turns: every way reads for a while, in changing order, and the middle one of its turns counts.

use std::time::{Duration, Instant};

use mapwright::{Map, MapOptions, Memory, Populate};
use serde::Serialize;

use super::chill::Chill;
use super::ways::{BLOCK, LARGEST, Subject, Tools, Way};
use crate::measure::Cost;
use crate::outcome::Failure;
use crate::random::Random;
use crate::ui::Progress;
use crate::width::wide;

/// What is compared: where the bytes are, and in which order they are read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub(super) struct Field {
    pub(super) from: From,
    pub(super) order: Order,
}

/// Where the bytes are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum From {
    Disk,
    Memory,
}

/// In which order they are read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Order {
    Sequential,
    Random,
}

impl Field {
    /// All of them.
    pub(super) const ALL: [Self; 4] = [
        Self { from: From::Disk, order: Order::Sequential },
        Self { from: From::Disk, order: Order::Random },
        Self { from: From::Memory, order: Order::Sequential },
        Self { from: From::Memory, order: Order::Random },
    ];

    /// In words.
    pub(super) const fn name(self) -> &'static str {
        match (self.from, self.order) {
            (From::Disk, Order::Sequential) => "From the disk, in order",
            (From::Disk, Order::Random) => "From the disk, at random",
            (From::Memory, Order::Sequential) => "From memory, in order",
            (From::Memory, Order::Random) => "From memory, at random",
        }
    }

    /// The ways that take part, but cannot.
    pub(super) fn missing(self, subject: &Subject) -> Vec<Missing> {
        let missing = |way| subject.forbids(way).map(|why| Missing { way, why });
        Way::ALL.into_iter().filter(|&way| self.has(way)).filter_map(missing).collect()
    }

    /// Whether a way takes part: those that read past the memory have shown already what they can.
    fn has(self, way: Way) -> bool {
        self.from == From::Disk || way.uses_memory()
    }
}

/// A way that cannot be taken here.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Missing {
    pub(super) way: Way,
    pub(super) why: String,
}

/// What a way achieved.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Measurement {
    pub(super) way: Way,
    /// Its middle turn; the amount is bytes.
    pub(super) cost: Cost,
    /// Its slowest and its fastest turn, in bytes a second.
    pub(super) spread: (f64, f64),
}

/// Lets all ways take their turns.
pub(super) fn measure(
    subject: &Subject,
    field: Field,
    rounds: u32,
    limit: Duration,
    chill: &mut Chill,
    progress: &Progress,
) -> Result<Vec<Measurement>, Failure> {
    let takes_part = |way: &Way| field.has(*way) && subject.forbids(*way).is_none();
    let ways: Vec<Way> = Way::ALL.into_iter().filter(takes_part).collect();
    let mut costs: Vec<Vec<Cost>> = vec![Vec::new(); ways.len()];
    // From memory, a map is what it is in a program that has been running for a while: there, with its pages.
    let kept = match field.from {
        From::Disk => None,
        From::Memory => {
            progress.step("bringing the file into memory");
            Some(subject.map(&MapOptions::new().populate(Populate::Now))?)
        }
    };
    for round in 0..rounds {
        for place in 0..ways.len() {
            // Another one begins each round: on a shared disk the first turn is not like the last.
            let index = (place + usize::try_from(round).unwrap_or(0)) % ways.len();
            let way = ways[index];
            progress.step(format!("{}: {} ({} of {rounds})", field.name(), way.name(), round + 1));
            if field.from == From::Disk {
                chill.make_cold(subject.file(), subject.size())?;
            }
            costs[index].push(take_turn(subject, field, kept.as_ref(), way, round, limit)?);
        }
    }
    Ok(ways.into_iter().zip(costs).filter_map(|(way, costs)| Measurement::of(way, costs)).collect())
}

fn take_turn(
    subject: &Subject,
    field: Field,
    kept: Option<&Map>,
    way: Way,
    round: u32,
    limit: Duration,
) -> Result<Cost, Failure> {
    // Buffers and queues are there before the turn begins; maps are part of it, because their pages are.
    let mut queue = way.queue(subject, field.order)?;
    let mut turn = Turn::new(round, limit, subject)?;
    let (cost, left_behind) = Cost::of(|| {
        let own = if kept.is_none() && way.maps() { Some(subject.map(&way.options())?) } else { None };
        let tools = Tools { map: kept.or(own.as_ref()), queue: queue.as_mut() };
        match field.order {
            Order::Sequential => way.in_order(subject, tools, &mut turn)?,
            Order::Random => way.at_random(subject, tools, &mut turn)?,
        }
        // A plain map is unmapped before anything else is done; the library does that in the background.
        let left_behind = own.filter(|_| way == Way::Mapwright);
        Ok::<_, Failure>((turn.bytes, left_behind))
    })?;
    // Nobody wants the sum, but every byte must have been looked at.
    std::hint::black_box(turn.sum);
    // What is still mapped cannot be made cold again.
    left_behind.map_or(Ok(()), Map::close)?;
    Ok(cost)
}

impl Measurement {
    fn of(way: Way, costs: Vec<Cost>) -> Option<Self> {
        let speeds = || costs.iter().map(|cost| cost.speed());
        let spread = (speeds().fold(f64::INFINITY, f64::min), speeds().fold(0.0, f64::max));
        let cost = crate::measure::median(costs)?;
        Some(Self { way, cost, spread })
    }
}

/// How many calls may pass between two looks at the clock, which costs as much as a small copy.
const CALLS: u32 = 16;

/// One way's turn: has a buffer, counts what it read, says where to read next, and when it is over.
pub(super) struct Turn {
    deadline: Instant,
    bytes: u64,
    enough: u64,
    sum: u64,
    calls: u32,
    over: bool,
    random: Random,
    buffer: Memory,
}

impl Turn {
    fn new(round: u32, limit: Duration, subject: &Subject) -> Result<Self, Failure> {
        // Its pages are there before the turn begins, on which its faults are counted.
        let buffer = MapOptions::new().populate(Populate::Now).memory(LARGEST)?;
        Ok(Self {
            deadline: Instant::now() + limit,
            bytes: 0,
            enough: subject.size(),
            sum: 0,
            calls: 0,
            over: false,
            random: Random::seeded(u64::from(round)),
            buffer,
        })
    }

    /// Has bytes read into the buffer (page-aligned, as direct reads need it) and counts them; returns
    /// whether the turn is over.
    pub(super) fn fill<E>(
        &mut self,
        len: usize,
        read: impl FnOnce(&mut [u8]) -> Result<(), E>,
    ) -> Result<bool, E> {
        read(&mut self.buffer[..len])?;
        self.sum = sum(&self.buffer[..len], self.sum);
        Ok(self.count(len))
    }

    /// Counts bytes that were read elsewhere; returns whether the turn is over.
    pub(super) fn took(&mut self, bytes: &[u8]) -> bool {
        self.sum = sum(bytes, self.sum);
        self.count(bytes.len())
    }

    /// The next random place, or nothing where the turn is over.
    pub(super) fn next_place(&mut self) -> Option<u64> {
        if self.over { None } else { Some(self.random.below(self.enough / wide(BLOCK)) * wide(BLOCK)) }
    }

    /// Random places without an end; a turn takes only one such row.
    pub(super) fn places(&self) -> impl Iterator<Item = u64> + use<> {
        let (mut random, blocks) = (self.random.clone(), self.enough / wide(BLOCK));
        std::iter::repeat_with(move || random.below(blocks) * wide(BLOCK))
    }

    fn count(&mut self, len: usize) -> bool {
        self.bytes += wide(len);
        self.calls += 1;
        let late = || Instant::now() >= self.deadline;
        self.over = self.bytes >= self.enough || (self.calls.is_multiple_of(CALLS) && late());
        self.over
    }
}

/// Looks at every byte.
fn sum(bytes: &[u8], before: u64) -> u64 {
    let (words, rest) = bytes.as_chunks::<8>();
    let words = words.iter().map(|word| u64::from_ne_bytes(*word));
    words.chain(rest.iter().map(|&byte| u64::from(byte))).fold(before, u64::wrapping_add)
}
