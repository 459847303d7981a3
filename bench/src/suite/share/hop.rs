//! The raw hop: how long a cache line takes from one processor to the other, with nothing around it.

use std::sync::atomic::Ordering;
use std::time::Instant;

use anyhow::Result;

use crate::harness::{Clock, Duo, Folder, Hop, Meter, ONE_WAY_TRIPS, Role, Stage};

pub(super) const NAME: &str = "hop";

/// Two words in lines of their own, one a direction; both sides do nothing but look.
pub(super) const DUO: Duo = Duo { name: "raw hop", role: Role::Limit, first, second };

/// Where the words lie.
const WORDS: [usize; 2] = [0, 128];

/// Measures it once.
///
/// # Errors
/// Where the two processes cannot be had.
pub(super) fn measure(folder: &Folder) -> Result<Hop> {
    let mut meter = Meter::new(0, Clock::Wall);
    DUO.perform(NAME, folder.memory(), folder.size(50_000, 2_000) as u64, &mut meter)?;
    let (elapsed, p99) = meter.so_far("p99");
    let p50 = elapsed.as_nanos() as f64 / ONE_WAY_TRIPS as f64;
    Ok(Hop { p50, p99: p99.unwrap_or(p50) })
}

fn first(stage: &mut Stage, meter: &mut Meter) -> Result<()> {
    stage.meet();
    let (there, back) = (stage.memory.word(WORDS[0]), stage.memory.word(WORDS[1]));
    let mut trips = Vec::with_capacity(stage.amount as usize);
    for number in 1..=stage.amount {
        let start = Instant::now();
        there.store(number, Ordering::Release);
        while back.load(Ordering::Acquire) != number {
            std::hint::spin_loop();
        }
        trips.push(start.elapsed().as_nanos() as u32);
    }
    meter.round_trips(&mut trips[stage.amount as usize / 10..]);
    Ok(())
}

fn second(stage: &mut Stage) -> Result<()> {
    stage.meet();
    let (there, back) = (stage.memory.word(WORDS[0]), stage.memory.word(WORDS[1]));
    for number in 1..=stage.amount {
        while there.load(Ordering::Acquire) != number {
            std::hint::spin_loop();
        }
        back.store(number, Ordering::Release);
    }
    Ok(())
}
