//! The kernel's pool of huge pages, which belongs to the whole machine.

use super::skip::{Need, Skip};
use std::path::PathBuf;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// The size of the pages that the tests use.
pub(crate) const HUGE: usize = 2 << 20;

/// One test at a time changes the pool.
static TURN: Mutex<()> = Mutex::new(());

/// The pool with a number of free pages; dropping it gives back what was added.
pub(crate) struct HugePool {
    before: usize,
    _turn: MutexGuard<'static, ()>,
}

impl HugePool {
    /// Sees to it that so many pages are free, which takes root where they are not.
    pub(crate) fn with_free(count: usize) -> Result<Self, Skip> {
        let pool = Self::as_it_is()?;
        let missing = count.saturating_sub(read("free_hugepages")?.saturating_sub(read("resv_hugepages")?));
        if missing > 0 {
            std::fs::write(file("nr_hugepages"), (pool.before + missing).to_string())
                .map_err(|error| Skip::new(Need::HugePages, format!("nr_hugepages: {error}")))?;
            let made = read("nr_hugepages")?;
            if made < pool.before + missing {
                return Err(Skip::new(
                    Need::HugePages,
                    format!("memory is too fragmented: {made} were made"),
                ));
            }
        }
        Ok(pool)
    }

    /// Sees to it that not one page is free, or skips where others have reserved some.
    pub(crate) fn empty() -> Result<Self, Skip> {
        let pool = Self::as_it_is()?;
        match read("free_hugepages")? {
            0 => Ok(pool),
            free => Err(Skip::new(Need::HugePages, format!("{free} pages of somebody else's pool are free"))),
        }
    }

    fn as_it_is() -> Result<Self, Skip> {
        let turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
        Ok(Self { before: read("nr_hugepages")?, _turn: turn })
    }
}

impl Drop for HugePool {
    fn drop(&mut self) {
        // Without root nothing was changed.
        drop(std::fs::write(file("nr_hugepages"), self.before.to_string()));
    }
}

fn read(name: &str) -> Result<usize, Skip> {
    let text = std::fs::read_to_string(file(name));
    let text = text.map_err(|error| Skip::new(Need::HugePages, format!("pages of 2 MiB: {error}")))?;
    Ok(text.trim().parse().unwrap())
}

fn file(name: &str) -> PathBuf {
    PathBuf::from(format!("/sys/kernel/mm/hugepages/hugepages-{}kB", HUGE >> 10)).join(name)
}
