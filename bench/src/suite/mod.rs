//! The suites. Each is a list of rows; a row is a file that builds it.

mod file;
mod share;

use anyhow::{Result, bail};

use crate::harness::{Call, Duo, Folder, Hop, RowPlan};

/// Rows that belong together.
pub(crate) struct Suite {
    pub(crate) name: &'static str,
    pub(crate) about: &'static str,
    pub(crate) rows: &'static [RowPlan],
    /// The peers of two processes, by the row or rows that they are in.
    pub(crate) duos: &'static [(&'static str, &'static [Duo])],
    /// Measures the hop between two processors, where that is the limit of every row.
    pub(crate) hop: Option<fn(&Folder) -> Result<Hop>>,
}

impl Suite {
    /// Every suite there is.
    pub(crate) const ALL: &'static [Self] = &[file::SUITE, share::SUITE];

    /// Their names, for messages.
    pub(crate) fn names() -> String {
        Self::ALL.iter().map(|suite| suite.name).collect::<Vec<_>>().join(", ")
    }
}

/// Does what the first process has called this one for.
///
/// # Errors
/// Where there is no such job, or it fails.
pub(crate) fn answer(call: Call) -> Result<()> {
    let mut duos = Suite::ALL.iter().flat_map(|suite| suite.duos);
    let Some((_, duos)) = duos.find(|(row, _)| *row == call.row) else {
        bail!("no row with two processes is named {}", call.row);
    };
    call.answer(duos)
}
