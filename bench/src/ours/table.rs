//! A table in shared memory, for all samples of a run.

use std::path::Path;

use anyhow::{Result, ensure};
use mapwright::share::{Table, TableOptions};

use super::{OBJECT, builder};
use crate::rival::{Value, key_of, value_of};

/// What its segment is called.
pub(crate) const TABLE: &str = "table";

/// The table with so many entries, and room for as many more; made and filled where it is not there.
///
/// # Errors
/// Where it cannot be made, or has other entries.
pub(crate) fn table(memory: &Path, entries: u64) -> Result<Table<u64, Value>> {
    let options = TableOptions::new(entries as usize * 2);
    let table: Table<u64, Value> =
        builder::<Table<u64, Value>>(memory, TABLE, options).open_or_create()?.get(OBJECT)?;
    if table.is_empty() {
        for key in (0..entries).map(key_of) {
            table.insert(&key, &value_of(key))?;
        }
    }
    ensure!(table.len() as u64 == entries, "the table has {} entries, not {entries}", table.len());
    Ok(table)
}
