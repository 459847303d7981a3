//! Where output goes: data to stdout through one buffer, words about it to stderr.

use std::env;
use std::io::{self, BufWriter, StdoutLock, Write};

use anstream::AutoStream;
use serde::Serialize;

use super::{Ink, Line};
use crate::outcome::Failure;

/// The narrowest and widest that we draw for: below, pictures mean nothing; above, the eye loses the line.
const WIDTHS: (usize, usize) = (40, 132);

/// Which characters pictures are made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Charset {
    /// Blocks and lines.
    Unicode,
    /// What every terminal has.
    Ascii,
}

impl Charset {
    /// Unicode, unless the locale is one that cannot show it.
    pub(crate) fn of_locale() -> Self {
        let set =
            ["LC_ALL", "LC_CTYPE", "LANG"].iter().filter_map(env::var_os).find(|value| !value.is_empty());
        let is_unicode = |value: &str| value.contains("utf8") || value.contains("utf-8");
        match set {
            Some(value) if !is_unicode(&value.to_string_lossy().to_ascii_lowercase()) => Self::Ascii,
            _ => Self::Unicode,
        }
    }
}

impl Charset {
    /// Figures in words, whose signs every terminal may not have: `1.9×` and `46 µs`.
    pub(crate) fn spelled(self, text: &str) -> String {
        match self {
            Self::Unicode => text.to_owned(),
            Self::Ascii => text.replace('×', "x").replace('µ', "u"),
        }
    }
}

/// Standard output.
pub(crate) struct Screen {
    out: BufWriter<AutoStream<StdoutLock<'static>>>,
    charset: Charset,
    width: usize,
}

impl Screen {
    /// Takes stdout; colour follows what was chosen for the whole process.
    pub(crate) fn new(charset: Charset) -> Self {
        let out = BufWriter::new(AutoStream::auto(io::stdout().lock()));
        Self { out, charset, width: width() }
    }

    /// Which characters it shows.
    pub(crate) const fn charset(&self) -> Charset {
        self.charset
    }

    /// How many columns it has.
    pub(crate) const fn width(&self) -> usize {
        self.width
    }

    /// Prints a line.
    pub(crate) fn line(&mut self, line: impl Into<Line>) -> Result<(), Failure> {
        writeln!(self.out, "{}", line.into()).map_err(Failure::output)
    }

    /// Prints lines.
    pub(crate) fn lines(&mut self, lines: impl IntoIterator<Item = Line>) -> Result<(), Failure> {
        lines.into_iter().try_for_each(|line| self.line(line))
    }

    /// Prints a value as JSON.
    pub(crate) fn json(&mut self, value: &impl Serialize) -> Result<(), Failure> {
        serde_json::to_writer_pretty(&mut self.out, value).map_err(|error| Failure::output(error.into()))?;
        self.line(Line::empty())
    }

    /// Makes everything printed so far visible.
    pub(crate) fn flush(&mut self) -> Result<(), Failure> {
        self.out.flush().map_err(Failure::output)
    }
}

/// The terminal's width, else what `COLUMNS` says, else 80.
fn width() -> usize {
    let terminal = terminal_size::terminal_size().map(|(width, _)| usize::from(width.0));
    let told = || env::var("COLUMNS").ok().and_then(|columns| columns.parse().ok());
    terminal.or_else(told).unwrap_or(80).clamp(WIDTHS.0, WIDTHS.1)
}

/// Tells what went wrong.
pub(crate) fn complain(failure: &Failure) {
    let Failure::Told { what, advice, .. } = failure else { return };
    tell(Line::of(Ink::Bad, "mapwright: ").and(Ink::Plain, what));
    if let Some(advice) = advice {
        tell(Line::of(Ink::Dim, "  ").and(Ink::Dim, advice));
    }
}

/// Tells what is worth knowing besides the data.
pub(crate) fn note(text: impl Into<String>) {
    tell(Line::of(Ink::Dim, "mapwright: ").and(Ink::Plain, text));
}

fn tell(line: Line) {
    // Where even stderr is closed, nobody is left to be told.
    let _nobody_listens = writeln!(AutoStream::auto(io::stderr().lock()), "{line}");
}
