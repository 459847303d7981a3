//! Columns without borders: the words of one below each other, numbers with their ends.
//!
//! Our own, because a cell is a [`Line`] in several inks: table libraries either count the terminal's
//! sequences as text or bring a whole terminal library with them.

use super::{Ink, Line};

/// Between two columns.
const GAP: usize = 2;

/// On which side of its column a cell stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Align {
    /// Words.
    Left,
    /// Numbers.
    Right,
}

/// Rows of cells below an optional heading.
#[derive(Clone, Debug)]
pub(crate) struct Table {
    columns: Vec<(Line, Align)>,
    rows: Vec<Vec<Line>>,
}

impl Table {
    /// A table with these columns. Where all names are empty, no heading is drawn.
    pub(crate) fn new<'a>(columns: impl IntoIterator<Item = (&'a str, Align)>) -> Self {
        let columns = columns.into_iter().map(|(name, align)| (Line::of(Ink::Dim, name), align));
        Self { columns: columns.collect(), rows: Vec::new() }
    }

    /// Adds a row; cells that are missing at its end are empty.
    pub(crate) fn row(&mut self, cells: impl IntoIterator<Item = Line>) {
        self.rows.push(cells.into_iter().collect());
    }

    /// Draws it.
    pub(crate) fn lines(&self) -> Vec<Line> {
        let heading: Vec<Line> = self.columns.iter().map(|(name, _)| name.clone()).collect();
        let has_heading = heading.iter().any(|name| name.width() > 0);
        let rows = has_heading.then_some(&heading).into_iter().chain(&self.rows);
        let widths: Vec<usize> = (0..self.columns.len())
            .map(|column| rows.clone().filter_map(|row| row.get(column)).map(Line::width).max().unwrap_or(0))
            .collect();
        rows.map(|row| self.draw(row, &widths)).collect()
    }

    fn draw(&self, row: &[Line], widths: &[usize]) -> Line {
        let mut line = Line::empty();
        let mut pending = 0;
        let columns = row.iter().zip(widths).zip(&self.columns);
        for ((cell, &width), (_, align)) in columns.filter(|((_, width), _)| **width > 0) {
            let before = match align {
                Align::Left => 0,
                Align::Right => width - cell.width(),
            };
            let after = width - cell.width() - before;
            if cell.width() > 0 {
                line.push(Ink::Plain, " ".repeat(pending + before));
                line = line.and_line(cell.clone());
                pending = 0;
            } else {
                pending += before;
            }
            // Spaces are written only when something follows them: no line ends in blanks.
            pending += after + GAP;
        }
        line.trimmed()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plain(table: &Table) -> Vec<String> {
        table.lines().iter().map(Line::plain).collect()
    }

    #[test]
    fn words_stand_left_and_numbers_right() {
        let mut table = Table::new([("file", Align::Left), ("size", Align::Right), ("", Align::Left)]);
        table.row(["a".into(), "1 B".into(), "x".into()]);
        table.row(["longer".into(), "1,024 B".into()]);
        assert_eq!(plain(&table), ["file       size", "a           1 B  x", "longer  1,024 B"]);
    }

    #[test]
    fn no_names_mean_no_heading() {
        let mut table = Table::new([("", Align::Left), ("", Align::Left)]);
        table.row([Line::of(Ink::Good, "▇▇"), "b".into()]);
        table.row([Line::empty(), "c".into()]);
        assert_eq!(plain(&table), ["▇▇  b", "    c"]);
    }
}
