//! The kernel's pools of huge pages, which belong to the whole machine.

use super::skip::{Need, Skip};
use rustix::fs::FlockOperation;
use std::fs::File;
use std::path::PathBuf;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// The size of the pages that most tests use.
pub(crate) const HUGE: usize = 2 << 20;

/// One test at a time changes the pools.
static TURN: Mutex<()> = Mutex::new(());

/// A pool with a number of free pages; dropping it gives back what was added.
pub(crate) struct HugePool {
    size: usize,
    before: usize,
    /// Other runs of the tests on this machine wait for it, too.
    _lock: File,
    _turn: MutexGuard<'static, ()>,
}

impl HugePool {
    /// Sees to it that so many pages of the usual size are free, which takes root where they are not.
    pub(crate) fn with_free(count: usize) -> Result<Self, Skip> {
        Self::with_free_of(HUGE, count)
    }

    /// The same for pages of any size.
    pub(crate) fn with_free_of(size: usize, count: usize) -> Result<Self, Skip> {
        let pool = Self::as_it_is(size)?;
        let missing = count.saturating_sub(pool.available());
        if missing > 0 {
            std::fs::write(file(size, "nr_hugepages"), (pool.before + missing).to_string())
                .map_err(|error| Skip::new(Need::HugePages, format!("nr_hugepages: {error}")))?;
            let made = read(size, "nr_hugepages")?;
            if made < pool.before + missing {
                let why = format!("memory is too fragmented: {made} of {size} bytes were made");
                return Err(Skip::new(Need::HugePages, why));
            }
        }
        Ok(pool)
    }

    /// Sees to it that not one page is free, or skips where others have reserved some.
    pub(crate) fn empty() -> Result<Self, Skip> {
        let pool = Self::as_it_is(HUGE)?;
        match read(HUGE, "free_hugepages")? {
            0 => Ok(pool),
            free => Err(Skip::new(Need::HugePages, format!("{free} pages of somebody else's pool are free"))),
        }
    }

    /// How many pages are free now and promised to nobody.
    pub(crate) fn available(&self) -> usize {
        let number = |name| read(self.size, name).expect("the pool was there before");
        number("free_hugepages").saturating_sub(number("resv_hugepages"))
    }

    fn as_it_is(size: usize) -> Result<Self, Skip> {
        let turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
        let lock = File::open(file(size, "nr_hugepages"))
            .map_err(|error| Skip::new(Need::HugePages, format!("pages of {size} bytes: {error}")))?;
        rustix::fs::flock(&lock, FlockOperation::LockExclusive).unwrap();
        let before = read(size, "nr_hugepages")?;
        Ok(Self { size, before, _lock: lock, _turn: turn })
    }
}

impl Drop for HugePool {
    fn drop(&mut self) {
        // Without root nothing was changed.
        drop(std::fs::write(file(self.size, "nr_hugepages"), self.before.to_string()));
    }
}

fn read(size: usize, name: &str) -> Result<usize, Skip> {
    let text = std::fs::read_to_string(file(size, name));
    let text = text.map_err(|error| Skip::new(Need::HugePages, format!("pages of {size} bytes: {error}")))?;
    Ok(text.trim().parse().unwrap())
}

fn file(size: usize, name: &str) -> PathBuf {
    PathBuf::from(format!("/sys/kernel/mm/hugepages/hugepages-{}kB", size >> 10)).join(name)
}
