//! The suites. Each is a list of rows; a row is a file that builds it.

mod file;

use crate::harness::RowPlan;

/// Rows that belong together.
pub(crate) struct Suite {
    pub(crate) name: &'static str,
    pub(crate) about: &'static str,
    pub(crate) rows: &'static [RowPlan],
}

impl Suite {
    /// Every suite there is.
    pub(crate) const ALL: &'static [Self] = &[file::SUITE];

    /// Their names, for messages.
    pub(crate) fn names() -> String {
        Self::ALL.iter().map(|suite| suite.name).collect::<Vec<_>>().join(", ")
    }
}
