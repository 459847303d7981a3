//! The palette: what a colour means, in one place. The sixteen colours of the terminal only, so that its
//! theme decides.

use anstyle::{AnsiColor, Style};

/// What a piece of text is, which decides how it looks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Ink {
    /// Ordinary text.
    #[default]
    Plain,
    /// What is there for completeness: units, rules, explanations.
    Dim,
    /// What the eye should find first.
    Strong,
    /// A heading.
    Title,
    /// It is so, it works, it is faster.
    Good,
    /// It works in part.
    Middling,
    /// It is not so, it failed.
    Bad,
    /// Pages in memory; also our own bar in a comparison.
    Cached,
    /// Pages that differ from the disk.
    Dirty,
    /// Pages on their way to the disk.
    Writeback,
    /// Pages that are part of a huge one.
    Huge,
    /// Pages that cannot be evicted.
    Locked,
}

impl Ink {
    /// How the terminal shows it.
    pub(super) const fn style(self) -> Style {
        let plain = Style::new();
        match self {
            Self::Plain => plain,
            Self::Dim => plain.dimmed(),
            Self::Strong => plain.bold(),
            Self::Title => AnsiColor::Cyan.on_default().bold(),
            Self::Good | Self::Cached => AnsiColor::Green.on_default(),
            Self::Middling | Self::Dirty => AnsiColor::Yellow.on_default(),
            Self::Bad => AnsiColor::Red.on_default(),
            Self::Writeback => AnsiColor::Magenta.on_default(),
            Self::Huge => AnsiColor::Blue.on_default(),
            Self::Locked => AnsiColor::Cyan.on_default(),
        }
    }
}
