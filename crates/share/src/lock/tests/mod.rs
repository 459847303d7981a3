//! Locks, in one process and in several that die.

mod barrier;
mod condvar;
mod cut;
mod event;
mod mutex;
mod once;
mod rwlock;
mod semaphore;

use std::sync::Arc;
use std::time::Duration;

use mapwright_core::peer::{Deadline, Identity, Oracle, relax};

use super::*;
use crate::answers::LockError;
use crate::object::Object;
use crate::testing::Ground;

/// The watchdog of all that should happen at once.
fn soon() -> Deadline {
    Deadline::after(Duration::from_secs(60))
}

/// A participant whose lock words bear its identity, as between pid namespaces.
#[derive(Debug)]
struct ByIdentity(Arc<dyn Oracle>);

impl Oracle for ByIdentity {
    fn me(&self) -> Identity {
        self.0.me()
    }

    fn is_alive(&self, who: Identity) -> bool {
        self.0.is_alive(who)
    }

    fn is_short_alive(&self, short: u32) -> bool {
        self.0.is_short_alive(short)
    }

    fn knows_thread_ids(&self) -> bool {
        false
    }
}

/// Ends this process as a crash would.
fn die() -> ! {
    let _sent = rustix::process::kill_process(rustix::process::getpid(), rustix::process::Signal::KILL);
    loop {
        relax();
    }
}

/// A death at each step of an operation, and after each of them one at each step of what puts it right.
fn at_every_pair<G>(
    name: &str,
    prepare: impl Fn() -> G,
    operate: impl Fn(&G, &dyn Fn()),
    recover: impl Fn(&G, &dyn Fn()),
    check: impl Fn(&G, u64),
) {
    use std::cell::Cell;

    use mapwright_core::peer::points::{self, Child, End};

    let is_last = Cell::new(false);
    for first in 1.. {
        let killed = || {
            let ground = prepare();
            let child = Child::fork(|| operate(&ground, &|| points::arm(first)));
            match child.wait() {
                End::Killed(9) => {}
                End::Exited(0) => is_last.set(true),
                end => panic!("{name}: at point {first} the child ended by itself: {end:?}"),
            }
            ground
        };
        crate::testing::at_every_point(&format!("{name}, after point {first}"), killed, &recover, &check);
        if is_last.get() {
            break;
        }
    }
}
