//! What the figures mean, in one plain sentence.

use super::FieldReport;
use super::run::{Field, From, Measurement, Order};
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
    let faster: Vec<String> = [(Order::Sequential, "in order"), (Order::Random, "at random")]
        .into_iter()
        .filter_map(|(order, place)| {
            let (way, ratio) = faster_than_ours(fields, order)?;
            Some(format!("{} {place} ({})", way.name(), words::times(ratio)))
        })
        .collect();
    match faster.is_empty() {
        true => format!("{advice}, {gain}."),
        false => format!("{advice}, {gain}; faster still from the disk: {}.", faster.join(" and ")),
    }
}

/// The way that beats the library from the disk, and by how much, where one does.
fn faster_than_ours(fields: &[FieldReport], order: Order) -> Option<(Way, f64)> {
    let field = fields.iter().find(|field| field.field == Field { from: From::Disk, order })?;
    let ours = field.ways.iter().find(|measured| measured.way == Way::Mapwright)?.cost.speed();
    let ratio = |measured: &Measurement| (measured.way, measured.cost.speed() / ours.max(f64::MIN_POSITIVE));
    let best = field.ways.iter().map(ratio).max_by(|left, right| left.1.total_cmp(&right.1))?;
    Some(best).filter(|(_, ratio)| *ratio >= 1.1)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::measure::{Cost, Faults};

    fn field(from: From, order: Order, speeds: Vec<(Way, u64)>) -> FieldReport {
        let way = |(way, amount): (Way, u64)| {
            let cost = Cost { amount, time: Duration::from_secs(1), faults: Faults::default() };
            Measurement { way, cost, spread: (0.0, 0.0) }
        };
        let ways = speeds.into_iter().map(way).collect();
        FieldReport { field: Field { from, order }, ways, missing: Vec::new() }
    }

    fn fields(in_order: u64, at_random: u64, memory: u64) -> Vec<FieldReport> {
        let speeds = |mmap, ours| vec![(Way::Read, 100), (Way::Mmap, mmap), (Way::Mapwright, ours)];
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

    #[test]
    fn what_is_faster_than_ours_is_named() {
        let mut fields = fields(200, 2000, 300);
        fields[0].ways.extend(field(From::Disk, Order::Sequential, vec![(Way::IoUring, 300)]).ways);
        fields[1].ways.extend(field(From::Disk, Order::Random, vec![(Way::IoUring, 2100)]).ways);
        let verdict = of(&fields);
        assert!(verdict.ends_with("; faster still from the disk: io_uring in order (1.5×)."), "{verdict}");
        fields[1].ways.extend(field(From::Disk, Order::Random, vec![(Way::Direct, 4000)]).ways);
        let verdict = of(&fields);
        assert!(verdict.ends_with("io_uring in order (1.5×) and O_DIRECT at random (2.0×)."), "{verdict}");
    }
}
