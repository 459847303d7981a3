//! `mapwright warm`, `evict` and `lock`: files are moved into memory, out of it, or held there.
//!
//! All three find the same things out first (`plan`: which bytes of which files are to be moved, and which
//! are there already), do only what is missing, and say what they could not do and why (`report`). `set`
//! keeps what was in memory in a file; `stretches` is its arithmetic.

pub(crate) mod evict;
pub(crate) mod lock;
mod plan;
mod report;
mod set;
mod stretches;
pub(crate) mod warm;

use std::path::PathBuf;
use std::time::Duration;

use crate::interrupt::Interrupt;
use crate::range::{self, ByteRange};
use crate::ui::note;
use crate::walk::Selection;

/// What the three commands can all be told.
#[derive(Debug, clap::Args)]
pub(crate) struct Common {
    #[command(flatten)]
    selection: Selection,
    /// Only this range of each file.
    #[arg(long, value_name = "RANGE", value_parser = range::parse)]
    range: Option<ByteRange>,
    /// First save what is in memory of these files into a set.
    #[arg(long, value_name = "SET")]
    save: Option<PathBuf>,
    /// Do not come back before all of it is done: try again where something is in the way.
    #[arg(long, display_order = 100)]
    wait: bool,
    /// Print JSON.
    #[arg(long, display_order = 101)]
    json: bool,
}

/// Says what is waited for.
fn waiting(name: &str, why: &str) {
    note(format!("waiting for {name}: {why}; Ctrl-C gives up"));
}

/// How long to wait before something is tried again: a little longer each time. What takes more than a moment
/// is said once.
struct Patience {
    next: Duration,
    told: bool,
}

impl Patience {
    const fn new() -> Self {
        Self { next: Duration::from_millis(20), told: false }
    }

    /// Waits; returns whether a signal came.
    fn wait(&mut self, interrupt: &Interrupt, tell: impl FnOnce()) -> bool {
        if !self.told && self.next > Duration::from_millis(100) {
            self.told = true;
            tell();
        }
        let came = interrupt.pause(self.next);
        self.next = (self.next * 2).min(Duration::from_secs(2));
        came
    }
}
