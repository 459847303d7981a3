//! How locks wait: look for about as long as a wake-up takes, then sleep, and now and then ask who is alive.

use std::sync::OnceLock;
use std::time::Duration;

use mapwright_core::Fault;
use mapwright_core::peer::{Bell, Deadline, Identity, relax};

/// How long anybody sleeps at once where a death must be noticed.
const ASK_AFTER: Duration = Duration::from_millis(100);

/// How often to look before sleeping; not at all where nobody else can run meanwhile.
pub(super) fn looks() -> u32 {
    static LOOKS: OnceLock<u32> = OnceLock::new();
    if cfg!(any(loom, shuttle)) {
        return 1;
    }
    *LOOKS.get_or_init(|| {
        let alone = std::thread::available_parallelism().is_ok_and(|count| count.get() == 1);
        if alone { 0 } else { 200 }
    })
}

/// Returns until when to sleep at once.
pub(super) fn slice(until: Deadline) -> Deadline {
    until.earlier(Deadline::after(ASK_AFTER))
}

/// Waits until `look` has something, at most until a deadline. `ask` looks for the dead: it is called when
/// there was nothing to see for a while, or no time to wait at all.
///
/// # Errors
/// What `check` says: memory that vanishes meanwhile looks like zeros, and what is seen there is nothing.
pub(super) fn wait_for<R>(
    check: impl Fn() -> Result<(), Fault>,
    bell: &Bell,
    until: Deadline,
    mut look: impl FnMut() -> Option<R>,
    mut ask: impl FnMut() -> Option<R>,
) -> Result<Option<R>, Fault> {
    if until == Deadline::now() {
        let seen = look().or_else(ask);
        return check().map(|()| seen);
    }
    for _ in 0..looks() {
        if let Some(seen) = look() {
            return check().map(|()| Some(seen));
        }
        relax();
    }
    loop {
        let ticket = bell.listen();
        let seen = look().or_else(&mut ask);
        check()?;
        if seen.is_some() || until.has_passed() {
            return Ok(seen);
        }
        bell.sleep(ticket, slice(until));
    }
}

/// Returns what a participant calls itself where it asks for its turn.
pub(super) fn token(me: Identity) -> u32 {
    let low = me.number() & u64::from(u32::MAX >> 1);
    u32::try_from(low).unwrap_or(1).max(1)
}
