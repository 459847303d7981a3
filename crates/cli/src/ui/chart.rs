//! A bar chart: names, bars, and what is to be said of each, in columns that fill the width.

use super::{Align, Charset, Ink, Line, Table, bar};

/// Bars shorter than this say nothing.
const SHORTEST: usize = 8;

/// Between two columns of a table.
const GAP: usize = 2;

/// One bar.
#[derive(Clone, Debug)]
pub(crate) struct Bar {
    /// Its name.
    pub(crate) name: Line,
    /// Its colour.
    pub(crate) ink: Ink,
    /// How long it is, compared with the others.
    pub(crate) value: f64,
    /// What is said of it, in columns.
    pub(crate) facts: Vec<Line>,
}

/// Draws bars in a width; the largest value takes all the room that names and facts leave.
pub(crate) fn chart(bars: &[Bar], charset: Charset, width: usize) -> Vec<Line> {
    let widest = |cells: &mut dyn Iterator<Item = &Line>| cells.map(Line::width).max().unwrap_or(0);
    let facts = bars.iter().map(|bar| bar.facts.len()).max().unwrap_or(0);
    let of_facts: usize =
        (0..facts).map(|fact| GAP + widest(&mut bars.iter().filter_map(|bar| bar.facts.get(fact)))).sum();
    let taken = widest(&mut bars.iter().map(|bar| &bar.name)) + GAP + of_facts;
    let columns = width.saturating_sub(taken).max(SHORTEST);
    let most = bars.iter().map(|bar| bar.value).fold(0.0, f64::max);
    let aligned = [Align::Left, Align::Left].into_iter().chain(std::iter::repeat_n(Align::Right, facts));
    let mut table = Table::new(aligned.map(|align| ("", align)));
    for Bar { name, ink, value, facts } in bars {
        let drawn = bar(*ink, *value, most, columns, charset);
        table.row([name.clone(), drawn].into_iter().chain(facts.iter().cloned()));
    }
    table.lines()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bar_of(name: &str, value: f64, facts: &[&str]) -> Bar {
        let facts = facts.iter().map(|&fact| fact.into()).collect();
        Bar { name: name.into(), ink: Ink::Good, value, facts }
    }

    #[test]
    fn bars_take_what_names_and_facts_leave() {
        let bars = [bar_of("a", 4.0, &["4 s", "x"]), bar_of("long", 2.0, &["12 s", "yy"])];
        let lines: Vec<_> = chart(&bars, Charset::Ascii, 26).iter().map(Line::plain).collect();
        assert_eq!(lines, ["a     ##########   4 s   x", "long  #####       12 s  yy"]);
    }

    #[test]
    fn where_no_room_is_left_bars_stay_long_enough_to_be_seen() {
        let lines = chart(&[bar_of("name", 1.0, &["much to say"])], Charset::Ascii, 10);
        assert_eq!(lines[0].plain(), "name  ########  much to say");
        assert!(chart(&[], Charset::Ascii, 10).is_empty());
    }
}
