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
use crate::testing::{Ground, at_every_pair};

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
