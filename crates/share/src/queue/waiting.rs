//! Waiting for items and for room: look, spin as long as a wake would take, then sleep at the bell.

use std::sync::OnceLock;
use std::time::Duration;

use mapwright_core::peer::{Bell, Deadline, Waited, relax};

/// How long is looked before sleeping: about as long as a wake-up takes. Shorter, two that answer each other
/// would both sleep each time, for each would wake later than the other looks.
const SPIN: Duration = Duration::from_micros(50);

/// How often is looked between two looks at the clock.
#[cfg(not(any(loom, shuttle)))]
const LOOKS: u32 = 128;
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
    bell: fn(&C) -> &Bell,
    until: Deadline,
    mut fast: impl FnMut(&mut C) -> Option<R>,
    mut slow: impl FnMut(&mut C) -> Result<Option<R>, E>,
) -> Result<Option<R>, E> {
    if are_several() {
        let mut end = None;
        loop {
            for _ in 0..LOOKS {
                if let Some(found) = fast(of) {
                    return Ok(Some(found));
                }
                relax();
            }
            if cfg!(any(loom, shuttle)) || end.get_or_insert_with(|| Deadline::after(SPIN)).has_passed() {
                break;
            }
        }
    }
    loop {
        if let Some(found) = slow(of)? {
            return Ok(Some(found));
        }
        if until.has_passed() {
            return Ok(None);
        }
        let ticket = bell(of).listen();
        if let Some(found) = fast(of) {
            return Ok(Some(found));
        }
        let slice = Deadline::after(ASK_AFTER).earlier(until);
        let _looked: Waited = bell(of).sleep(ticket, slice);
        // Woken, the item may be another's already: once more around.
        if let Some(found) = fast(of) {
            return Ok(Some(found));
        }
    }
}

/// With one processor, spinning keeps away whom it waits for. What this process may run on says nothing of
/// it: two that are pinned have one each.
fn are_several() -> bool {
    static SEVERAL: OnceLock<bool> = OnceLock::new();
    let read = || std::fs::read_to_string("/sys/devices/system/cpu/online");
    *SEVERAL.get_or_init(|| read().is_ok_and(|online| online.trim() != "0"))
}
