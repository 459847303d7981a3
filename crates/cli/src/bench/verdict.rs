//! What the figures mean, in one plain sentence.

use super::FieldReport;
use super::run::{Field, From, Order};
use super::ways::Way;
use crate::ui::words;

/// Says which way to take.
pub(super) fn of(fields: &[FieldReport]) -> String {
    let speed = |from: From, order: Order, way: Way| {
        let field = fields.iter().find(|field| field.field == Field { from, order })?;
        let way = field.ways.iter().find(|measured| measured.way == way)?;
        Some(way.cost.speed())
    };
    let times = |from, order, faster, slower| match (speed(from, order, faster), speed(from, order, slower)) {
        (Some(faster), Some(slower)) if slower > 0.0 => faster / slower,
        _ => 1.0,
    };
    let memory = times(From::Memory, Order::Random, Way::Mmap, Way::Read);
    let advice = match memory {
        m if m >= 1.1 => {
            format!("Map this file: in memory a map is {} as fast as read(2) at random", words::times(m))
        }
        m if m >= 0.9 => "Map this file or read it: in memory a map is as fast as read(2)".to_owned(),
        m => format!(
            "Read this file: in memory read(2) is {} as fast as a map at random",
            words::times(1.0 / m)
        ),
    };
    let in_order = times(From::Disk, Order::Sequential, Way::Mapwright, Way::Mmap);
    let at_random = times(From::Disk, Order::Random, Way::Mapwright, Way::Mmap);
    let gain = match (in_order >= 1.1, at_random >= 1.1) {
        (true, true) => format!(
            "and from the disk, saying what will be read makes it {} as fast in order and {} at random",
            words::times(in_order),
            words::times(at_random)
        ),
        (false, true) => format!(
            "and from the disk, saying what will be read makes it {} as fast at random, and no faster in \
             order",
            words::times(at_random)
        ),
        (true, false) => {
            format!("and from the disk, streaming makes it {} as fast in order", words::times(in_order))
        }
        (false, false) => "and on this disk, saying what will be read gains nothing".to_owned(),
    };
    format!("{advice}, {gain}.")
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::super::run::Measurement;
    use super::*;
    use crate::measure::{Cost, Faults};

    fn field(from: From, order: Order, speeds: [(Way, u64); 3]) -> FieldReport {
        let way = |(way, amount): (Way, u64)| {
            let cost = Cost { amount, time: Duration::from_secs(1), faults: Faults::default() };
            Measurement { way, cost, spread: (0.0, 0.0) }
        };
        FieldReport { field: Field { from, order }, ways: speeds.into_iter().map(way).collect() }
    }

    fn fields(in_order: u64, at_random: u64, memory: u64) -> Vec<FieldReport> {
        let speeds = |mmap, ours| [(Way::Read, 100), (Way::Mmap, mmap), (Way::Mapwright, ours)];
        vec![
            field(From::Disk, Order::Sequential, speeds(100, in_order)),
            field(From::Disk, Order::Random, speeds(100, at_random)),
            field(From::Memory, Order::Random, speeds(memory, memory)),
        ]
    }

    #[test]
    fn the_verdict_is_one_sentence_that_follows_the_figures() {
        assert_eq!(
            of(&fields(200, 2000, 300)),
            "Map this file: in memory a map is 3.0× as fast as read(2) at random, and from the disk, saying \
             what will be read makes it 2.0× as fast in order and 20× at random."
        );
        assert_eq!(
            of(&fields(100, 100, 50)),
            "Read this file: in memory read(2) is 2.0× as fast as a map at random, and on this disk, saying \
             what will be read gains nothing."
        );
        assert!(of(&fields(100, 500, 100)).starts_with("Map this file or read it"));
    }
}
