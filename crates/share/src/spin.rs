//! How long to look before sleeping: about as long as it takes to be woken.

use mapwright_core::peer::relax;

#[cfg(not(any(loom, shuttle)))]
use std::{sync::OnceLock, time::Duration};

#[cfg(not(any(loom, shuttle)))]
use mapwright_core::peer::Deadline;

/// Looks for something for about as long as a wake-up takes.
///
/// Shorter, and two that answer each other would both sleep each time, for each would wake later than the
/// other looks.
#[cfg(not(any(loom, shuttle)))]
pub(crate) fn look<R>(mut find: impl FnMut() -> Option<R>) -> Option<R> {
    const SPIN: Duration = Duration::from_micros(50);
    /// How often is looked between two looks at the clock.
    const LOOKS: u32 = 128;
    if !are_several() {
        return find();
    }
    let mut end = None;
    loop {
        for _ in 0..LOOKS {
            let found = find();
            if found.is_some() {
                return found;
            }
            relax();
        }
        if end.get_or_insert_with(|| Deadline::after(SPIN)).has_passed() {
            return None;
        }
    }
}

/// A model checker tries every order anyway.
#[cfg(any(loom, shuttle))]
pub(crate) fn look<R>(mut find: impl FnMut() -> Option<R>) -> Option<R> {
    relax();
    find()
}

/// With one processor, spinning keeps away whom it waits for. What this process may run on says nothing of
/// it: two that are pinned have one each.
#[cfg(not(any(loom, shuttle)))]
fn are_several() -> bool {
    static SEVERAL: OnceLock<bool> = OnceLock::new();
    let read = || std::fs::read_to_string("/sys/devices/system/cpu/online");
    *SEVERAL.get_or_init(|| read().is_ok_and(|online| online.trim() != "0"))
}
