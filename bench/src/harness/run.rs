//! Taking samples: every peer once a round, in a new order each round.
//!
//! A shared disk or processor is fast in one second and slow in the next. Peers of one round run within
//! seconds of each other, so what is compared is compared under the same weather (see `verdict`).

use anyhow::{Context, Result, bail};
use indicatif::{ProgressBar, ProgressStyle};

use super::cache::Eviction;
use super::meter::{Meter, Sample};
use super::row::{Cache, Clock, Peer, Row};
use super::statistics::median;
use super::verdict::{Measured, judge};

/// How to run.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Settings {
    /// Rounds for every row, instead of the row's own number.
    pub(crate) rounds: Option<usize>,
    pub(crate) eviction: Eviction,
    pub(crate) seed: u64,
}

impl Settings {
    pub(crate) fn new(rounds: Option<usize>, seed: u64) -> Self {
        Self { rounds, eviction: Eviction::here(), seed }
    }
}

/// The samples of one peer, a sample a round.
type Samples = Vec<Sample>;

/// A row after it was run: a verdict on each peer, in the row's order.
pub(crate) struct Finding {
    pub(crate) rounds: usize,
    /// How long a cache line took between the two processors in the same rounds.
    pub(crate) hop: Option<Hop>,
    pub(crate) peers: Vec<Measured>,
}

/// How long a cache line takes from one processor to another, one way, in nanoseconds.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Hop {
    pub(crate) p50: f64,
    pub(crate) p99: f64,
}

impl Hop {
    fn of(rounds: &[Self]) -> Option<Self> {
        let middle = |pick: fn(&Self) -> f64| median(&rounds.iter().map(pick).collect::<Vec<_>>());
        (!rounds.is_empty()).then(|| Self { p50: middle(|hop| hop.p50), p99: middle(|hop| hop.p99) })
    }
}

/// Runs a row and judges it. `hop`, where rows are about two processors, measures the hop once a round.
///
/// # Errors
/// Where a peer fails, or where two peers of a round give different answers.
pub(crate) fn run(
    row: &mut Row,
    settings: Settings,
    hop: Option<&dyn Fn() -> Result<Hop>>,
) -> Result<Finding> {
    let rounds = settings.rounds.unwrap_or(row.rounds);
    let steps = (rounds * row.peers.len()) as u64;
    let progress = ProgressBar::new(steps).with_style(style());
    progress.set_prefix(row.name);
    if matches!(row.cache, Cache::Warm) {
        for peer in &mut row.peers {
            sample(peer, row.clock, &row.cache, settings.eviction, 0)?;
        }
    }
    let mut samples = vec![Samples::with_capacity(rounds); row.peers.len()];
    let mut hops = Vec::new();
    let mut random = fastrand::Rng::with_seed(settings.seed);
    let mut order: Vec<usize> = (0..row.peers.len()).collect();
    for round in 1..=rounds {
        random.shuffle(&mut order);
        if let Some(hop) = hop {
            hops.push(hop().context("measure the hop")?);
        }
        for &place in &order {
            let peer = &mut row.peers[place];
            progress.set_message(peer.name);
            samples[place].push(sample(peer, row.clock, &row.cache, settings.eviction, round as u64)?);
            progress.inc(1);
        }
        check_answers(row, &samples, round)?;
    }
    progress.finish_and_clear();
    Ok(Finding { rounds, hop: Hop::of(&hops), peers: judge(row, &samples) })
}

fn sample(peer: &mut Peer, clock: Clock, cache: &Cache, eviction: Eviction, round: u64) -> Result<Sample> {
    if let Cache::Cold(fixtures) = cache {
        for fixture in fixtures {
            eviction.evict(fixture.file()).with_context(|| format!("evict {}", fixture.path().display()))?;
        }
    }
    let mut meter = Meter::new(round, clock);
    (peer.work)(&mut meter).with_context(|| format!("run {}", peer.name))?;
    Ok(meter.finish())
}

fn check_answers(row: &Row, samples: &[Samples], round: usize) -> Result<()> {
    let mut first: Option<(&str, u64)> = None;
    for (peer, samples) in row.peers.iter().zip(samples) {
        let Some(answer) = samples[round - 1].answer else { continue };
        match first {
            Some((other, expected)) if expected != answer => {
                bail!("{}: {other} found {expected} and {} found {answer}", row.name, peer.name)
            }
            _ => first = Some((peer.name, answer)),
        }
    }
    Ok(())
}

fn style() -> ProgressStyle {
    let template = "  {prefix:16} {bar:30} {pos}/{len} {msg}";
    ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar())
}
