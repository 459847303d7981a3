//! A progress bar on stderr, where that is a terminal.

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use super::Charset;

/// How much of a known amount of bytes was done.
pub(crate) struct Progress {
    bar: ProgressBar,
}

impl Progress {
    /// Begins to show how `verb` comes along.
    pub(crate) fn of_bytes(verb: &str, total: u64, charset: Charset) -> Self {
        // The bar takes what the figures leave: a line that is too long leaves others behind it.
        let template = "{prefix} {wide_bar} {bytes}/{total_bytes}  {bytes_per_sec}  {eta} left";
        Self::with(template, verb, total, charset)
    }

    /// Begins to show what is being done, without an amount.
    pub(crate) fn of_steps(charset: Charset) -> Self {
        Self::with("{prefix} {msg}", if charset == Charset::Unicode { "…" } else { "..." }, 0, charset)
    }

    fn with(template: &str, prefix: &str, total: u64, charset: Charset) -> Self {
        let bar = ProgressBar::with_draw_target(Some(total), ProgressDrawTarget::stderr());
        let cells = if charset == Charset::Unicode { "█▉▊▋▌▍▎▏ " } else { "#- " };
        let style = ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar());
        bar.set_style(style.progress_chars(cells));
        bar.set_prefix(prefix.to_owned());
        Self { bar }
    }

    /// Counts more bytes as done.
    pub(crate) fn add(&self, bytes: u64) {
        self.bar.inc(bytes);
    }

    /// Says what is being done now.
    pub(crate) fn step(&self, what: impl Into<String>) {
        self.bar.set_message(what.into());
        self.bar.tick();
    }

    /// Clears the bar away while something is printed.
    pub(crate) fn aside<T>(&self, print: impl FnOnce() -> T) -> T {
        self.bar.suspend(print)
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.bar.finish_and_clear();
    }
}
