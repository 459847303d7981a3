//! Waiting for items and for room: look, spin as long as a wake would take, then sleep at the bell.

use std::sync::OnceLock;
use std::time::Duration;

use mapwright_core::peer::{Bell, Deadline, Waited, relax};

/// How often is looked before sleeping: about as long as a wake-up takes.
#[cfg(not(any(loom, shuttle)))]
const LOOKS: u32 = 1000;
#[cfg(any(loom, shuttle))]
const LOOKS: u32 = 1;

/// A sleeper looks again after so long, and asks who has died.
const ASK_AFTER: Duration = Duration::from_millis(100);

/// Looks until something is found or a deadline comes; `None` then.
///
/// `fast` looks at memory only. `slow` looks as `fast` does, and if it finds nothing asks who has died; its
/// errors end the wait.
pub(super) fn look_until<C, R, E>(
    of: &mut C,
    bell: &Bell,
    until: Deadline,
    mut fast: impl FnMut(&mut C) -> Option<R>,
    mut slow: impl FnMut(&mut C) -> Result<Option<R>, E>,
) -> Result<Option<R>, E> {
    for _ in 0..looks() {
        if let Some(found) = fast(of) {
            return Ok(Some(found));
        }
        relax();
    }
    loop {
        if let Some(found) = slow(of)? {
            return Ok(Some(found));
        }
        if until.has_passed() {
            return Ok(None);
        }
        let ticket = bell.listen();
        if let Some(found) = fast(of) {
            return Ok(Some(found));
        }
        let slice = Deadline::after(ASK_AFTER).earlier(until);
        let _looked: Waited = bell.sleep(ticket, slice);
        // Woken, the item may be another's already: once more around.
        if let Some(found) = fast(of) {
            return Ok(Some(found));
        }
    }
}

/// With one processor, spinning keeps away whom it waits for.
fn looks() -> u32 {
    static SEVERAL: OnceLock<bool> = OnceLock::new();
    let several =
        *SEVERAL.get_or_init(|| std::thread::available_parallelism().is_ok_and(|count| count.get() > 1));
    if several { LOOKS } else { 0 }
}
