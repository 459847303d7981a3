//! A line of text in several inks, whose width on the terminal is known.

use std::fmt;

use unicode_width::UnicodeWidthStr;

use super::Ink;

/// One line, without its end.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Line {
    parts: Vec<(Ink, String)>,
}

impl Line {
    /// An empty line.
    pub(crate) const fn empty() -> Self {
        Self { parts: Vec::new() }
    }

    /// A line in one ink.
    pub(crate) fn of(ink: Ink, text: impl Into<String>) -> Self {
        Self::empty().and(ink, text)
    }

    /// The line with more text behind it.
    pub(crate) fn and(mut self, ink: Ink, text: impl Into<String>) -> Self {
        self.push(ink, text);
        self
    }

    /// The line with another behind it.
    pub(crate) fn and_line(mut self, line: Self) -> Self {
        line.parts.into_iter().for_each(|(ink, text)| self.push(ink, text));
        self
    }

    /// The line, indented.
    pub(crate) fn indented(self, columns: usize) -> Self {
        Self::of(Ink::Plain, " ".repeat(columns)).and_line(self)
    }

    /// The line with spaces behind it, up to a width.
    pub(crate) fn padded(self, columns: usize) -> Self {
        let missing = columns.saturating_sub(self.width());
        self.and(Ink::Plain, " ".repeat(missing))
    }

    /// The line with spaces before it, up to a width.
    pub(crate) fn pushed_right(self, columns: usize) -> Self {
        let missing = columns.saturating_sub(self.width());
        self.indented(missing)
    }

    /// The line without blanks at its end.
    pub(crate) fn trimmed(mut self) -> Self {
        while let Some((_, text)) = self.parts.last_mut() {
            text.truncate(text.trim_end_matches(' ').len());
            if !text.is_empty() {
                break;
            }
            self.parts.pop();
        }
        self
    }

    /// Adds text, joined with what stands before where the ink is the same.
    pub(crate) fn push(&mut self, ink: Ink, text: impl Into<String>) {
        let text = text.into();
        match self.parts.last_mut() {
            _ if text.is_empty() => {}
            Some((last, before)) if *last == ink => before.push_str(&text),
            _ => self.parts.push((ink, text)),
        }
    }

    /// How many columns the line takes.
    pub(crate) fn width(&self) -> usize {
        self.parts.iter().map(|(_, text)| text.width()).sum()
    }

    /// The text without inks.
    #[cfg(test)]
    pub(crate) fn plain(&self) -> String {
        self.parts.iter().map(|(_, text)| text.as_str()).collect()
    }
}

impl From<&str> for Line {
    fn from(text: &str) -> Self {
        Self::of(Ink::Plain, text)
    }
}

impl From<String> for Line {
    fn from(text: String) -> Self {
        Self::of(Ink::Plain, text)
    }
}

/// Writes the line with the terminal's sequences for its inks; [`Screen`](super::Screen) takes them out where
/// nobody wants them.
impl fmt::Display for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (ink, text) in &self.parts {
            let style = ink.style();
            write!(f, "{style}{text}{style:#}")?;
        }
        Ok(())
    }
}

/// Puts entries side by side, in as many lines of a width as they need.
pub(crate) fn flowing(entries: impl IntoIterator<Item = Line>, gap: &str, columns: usize) -> Vec<Line> {
    let mut lines: Vec<Line> = Vec::new();
    for entry in entries {
        match lines.pop() {
            Some(line) if line.width() + gap.width() + entry.width() <= columns => {
                lines.push(line.and(Ink::Dim, gap).and_line(entry));
            }
            before => lines.extend(before.into_iter().chain([entry])),
        }
    }
    lines
}

/// Breaks words into lines of a width; a word that is longer stands alone.
pub(crate) fn wrapped(ink: Ink, text: &str, columns: usize) -> Vec<Line> {
    let mut lines = Vec::new();
    let mut line = String::new();
    for word in text.split_whitespace() {
        if !line.is_empty() && line.width() + 1 + word.width() > columns {
            lines.push(Line::of(ink, std::mem::take(&mut line)));
        }
        if !line.is_empty() {
            line.push(' ');
        }
        line.push_str(word);
    }
    if !line.is_empty() {
        lines.push(Line::of(ink, line));
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn width_counts_columns_and_not_bytes() {
        let line = Line::of(Ink::Good, "▇▇").and(Ink::Dim, " 漢");
        assert_eq!((line.width(), line.plain().len()), (5, 10));
        assert_eq!(line.clone().padded(8).plain(), "▇▇ 漢   ");
        assert_eq!(line.clone().pushed_right(6).plain(), " ▇▇ 漢");
        assert_eq!(line.clone().padded(9).and(Ink::Bad, " ").trimmed(), line);
    }

    #[test]
    fn plain_text_carries_no_sequences() {
        assert_eq!(Line::from("plain").to_string(), "plain");
        assert_eq!(Line::of(Ink::Bad, "red").to_string(), "\u{1b}[31mred\u{1b}[0m");
    }

    #[test]
    fn text_breaks_between_words() {
        let lines = wrapped(Ink::Plain, "one two three fourteen", 9);
        let plain: Vec<_> = lines.iter().map(Line::plain).collect();
        assert_eq!(plain, ["one two", "three", "fourteen"]);
    }
}
