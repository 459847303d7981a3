//! A bar whose length says how much.

use super::{Charset, Ink, Line};

/// Parts of a cell, in eighths.
const EIGHTHS: [&str; 8] = ["", "▏", "▎", "▍", "▌", "▋", "▊", "▉"];

/// Draws `value` of `most` in `columns`. Something that is more than nothing shows at least an eighth of a
/// cell.
pub(crate) fn bar(ink: Ink, value: f64, most: f64, columns: usize, charset: Charset) -> Line {
    let part = if most > 0.0 { (value / most).clamp(0.0, 1.0) } else { 0.0 };
    let eighths = scaled(part, columns * 8);
    let eighths = if value > 0.0 { eighths.max(1) } else { eighths };
    let line = match charset {
        Charset::Unicode => Line::of(ink, "█".repeat(eighths / 8)).and(ink, EIGHTHS[eighths % 8]),
        Charset::Ascii => Line::of(ink, "#".repeat(eighths.div_ceil(8))),
    };
    line.padded(columns)
}

/// A part of a small whole, rounded.
fn scaled(part: f64, whole: usize) -> usize {
    (0..=whole).rev().find(|&step| float(step) <= part * float(whole) + 0.5).unwrap_or(0)
}

fn float(small: usize) -> f64 {
    u32::try_from(small).map_or(f64::from(u32::MAX), f64::from)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plain(value: f64, charset: Charset) -> String {
        bar(Ink::Good, value, 100.0, 4, charset).plain()
    }

    #[test]
    fn a_bar_has_eighths_and_keeps_its_width() {
        let cases =
            [(0.0, "    "), (0.01, "▏   "), (50.0, "██  "), (60.0, "██▍ "), (100.0, "████"), (500.0, "████")];
        for (value, picture) in cases {
            assert_eq!(plain(value, Charset::Unicode), picture, "{value}");
        }
    }

    #[test]
    fn an_ascii_bar_has_whole_cells() {
        assert_eq!((plain(0.0, Charset::Ascii), plain(1.0, Charset::Ascii)), ("    ".into(), "#   ".into()));
        assert_eq!(plain(100.0, Charset::Ascii), "####");
    }

    #[test]
    fn nothing_of_nothing_is_empty() {
        assert_eq!(bar(Ink::Good, 0.0, 0.0, 3, Charset::Unicode).plain(), "   ");
    }
}
