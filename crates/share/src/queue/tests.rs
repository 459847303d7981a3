//! States and answers, a plain model, and what two real processes do to each other.

#![cfg(not(any(loom, shuttle)))]

mod model;
mod processes;
mod readiness;
pub(in crate::queue) mod rough;
mod states;

mod crashes;

use super::*;
use crate::figure::Value;
use crate::testing::Ground;

/// Every shape there is.
fn shapes(capacity: usize) -> Vec<QueueOptions> {
    let parties = [Parties::One, Parties::Many];
    let pairs = parties.into_iter().flat_map(|senders| parties.map(|receivers| (senders, receivers)));
    let of = |(senders, receivers)| QueueOptions::new(capacity).senders(senders).receivers(receivers);
    pairs
        .map(of)
        .flat_map(|options| [Orphans::Redeliver, Orphans::Drop].map(|orphans| options.orphans(orphans)))
        .collect()
}

/// One of the numbers that are said of a queue.
fn figure(ground: &Ground, name: &str) -> u64 {
    let figures = inspect(&ground.site()).unwrap();
    match figures.iter().find(|figure| figure.name == name).map(|figure| &figure.value) {
        Some(Value::Number(number)) => *number,
        other => panic!("{name} is {other:?}"),
    }
}
