//! Cells as characters, with a legend of those that were used.

use std::collections::BTreeSet;

use super::cells::{Cell, Look};
use crate::ui::{Charset, Ink, Line, flowing};

/// Between the entries of a legend.
pub(crate) const GAP: &str = "   ";

impl Look {
    const fn ink(self) -> Ink {
        match self {
            Self::Hole | Self::Absent => Ink::Dim,
            Self::Some | Self::Most | Self::All => Ink::Cached,
            Self::Dirty => Ink::Dirty,
            Self::Writeback => Ink::Writeback,
            Self::Huge => Ink::Huge,
            Self::Locked => Ink::Locked,
        }
    }

    const fn glyph(self, charset: Charset) -> &'static str {
        let (unicode, ascii) = match self {
            Self::Hole => ("╌", "_"),
            Self::Absent => ("·", "."),
            Self::Some => ("▂", "-"),
            Self::Most => ("▅", "="),
            Self::All => ("█", "#"),
            Self::Dirty => ("▓", "d"),
            Self::Writeback => ("▚", "w"),
            Self::Huge => ("■", "H"),
            Self::Locked => ("◆", "L"),
        };
        match charset {
            Charset::Unicode => unicode,
            Charset::Ascii => ascii,
        }
    }

    const fn meaning(self) -> &'static str {
        match self {
            Self::Hole => "hole",
            Self::Absent => "absent",
            Self::Some => "some",
            Self::Most => "most",
            Self::All => "cached",
            Self::Dirty => "dirty",
            Self::Writeback => "write-back",
            Self::Huge => "huge",
            Self::Locked => "locked",
        }
    }
}

/// Draws cells as one strip.
pub(crate) fn strip(cells: &[Cell], charset: Charset) -> Line {
    let mut line = Line::empty();
    for look in cells.iter().map(|cell| cell.look()) {
        line.push(look.ink(), look.glyph(charset));
    }
    line
}

/// Explains the characters that cells were drawn with, in lines of a width.
pub(crate) fn legend(cells: &[Cell], charset: Charset, width: usize) -> Vec<Line> {
    let looks: BTreeSet<Look> = cells.iter().map(|cell| cell.look()).collect();
    let entry =
        |look: Look| Line::of(look.ink(), look.glyph(charset)).and(Ink::Dim, format!(" {}", look.meaning()));
    flowing(looks.into_iter().map(entry), GAP, width)
}

#[cfg(test)]
mod tests {
    use super::*;

    const CELLS: [Cell; 9] = {
        let nothing = Cell { hole: 0, absent: 0, cached: 0, dirty: 0, writeback: 0, huge: 0, locked: 0 };
        [
            Cell { cached: 4, ..nothing },
            Cell { cached: 3, absent: 1, ..nothing },
            Cell { cached: 1, absent: 3, ..nothing },
            Cell { absent: 4, ..nothing },
            Cell { hole: 4, ..nothing },
            Cell { dirty: 4, ..nothing },
            Cell { writeback: 4, ..nothing },
            Cell { huge: 4, ..nothing },
            Cell { locked: 4, ..nothing },
        ]
    };

    #[test]
    fn a_strip_has_one_character_a_cell() {
        assert_eq!(strip(&CELLS, Charset::Unicode).plain(), "█▅▂·╌▓▚■◆");
        assert_eq!(strip(&CELLS, Charset::Ascii).plain(), "#=-._dwHL");
    }

    #[test]
    fn the_legend_explains_what_was_used_and_nothing_else() {
        let plain = |cells: &[Cell], width| -> Vec<String> {
            legend(cells, Charset::Unicode, width).iter().map(Line::plain).collect()
        };
        assert_eq!(plain(&CELLS[..1], 80), ["█ cached"]);
        assert_eq!(plain(&CELLS[2..5], 80), ["╌ hole   · absent   ▂ some"]);
        assert_eq!(plain(&CELLS[5..], 80), ["▓ dirty   ▚ write-back   ■ huge   ◆ locked"]);
        assert_eq!(plain(&CELLS[2..5], 20), ["╌ hole   · absent", "▂ some"]);
        assert_eq!(plain(&[], 80), [""; 0]);
    }
}
