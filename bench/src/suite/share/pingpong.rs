//! One message there and one back: half of the round trip is what a message takes.
//!
//! Both sides write every word and look at every word.

use std::time::Instant;

use anyhow::Result;

use crate::harness::{Duo, Meter, Role, Stage};
use crate::rival::{Link, Shape, fill, open};

/// A peer that sends messages of so many words by a link.
pub(super) const fn duo<L: Link, const WORDS: usize>(role: Role, name: &'static str) -> Duo {
    Duo { name, role, first: first::<L, WORDS>, second: second::<L, WORDS> }
}

const fn shape<const WORDS: usize>() -> Shape {
    Shape { words: WORDS, depth: 1 }
}

fn first<L: Link, const WORDS: usize>(stage: &mut Stage, meter: &mut Meter) -> Result<()> {
    let mut link: L = open(stage, shape::<WORDS>())?;
    let mut trips = Vec::with_capacity(stage.amount as usize);
    for number in 0..stage.amount {
        let start = Instant::now();
        link.send(WORDS, |words| fill(words, number))?;
        link.receive_message(!number)?;
        trips.push(start.elapsed().as_nanos() as u32);
    }
    stage.meet();
    meter.round_trips(&mut trips[stage.amount as usize / 10..]);
    Ok(())
}

fn second<L: Link, const WORDS: usize>(stage: &mut Stage) -> Result<()> {
    let mut link: L = open(stage, shape::<WORDS>())?;
    for number in 0..stage.amount {
        link.receive_message(number)?;
        link.send(WORDS, |words| fill(words, !number))?;
    }
    stage.meet();
    Ok(())
}
