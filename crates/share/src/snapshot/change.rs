//! A change that can be waited for among other things.

use std::fmt;

use mapwright_core::peer::{Bell, Placed};

use super::handle::Handle;
use crate::waiting::Waitable;

/// Ready as soon as another version of a snapshot than a certain one is published; from
/// [`Snapshot::change_since`](super::Snapshot::change_since).
///
/// Over memory that is mapped for reading nobody can be asked to ring: a call that waits for it looks again
/// after 100 ms at most, and a [`Signal`](crate::Signal) or [`Ready`](crate::Ready) of it notices nothing by
/// itself.
#[derive(Clone)]
pub struct SnapshotChange {
    handle: Handle,
    since: u64,
    bell: Placed<Bell>,
}

impl SnapshotChange {
    pub(super) fn new(handle: Handle, since: u64) -> Self {
        let bell = handle.bell();
        Self { handle, since, bell }
    }

    /// Goes on from the version that there is now, and returns it.
    pub fn seen(&mut self) -> u64 {
        self.since = self.handle.eyes.version();
        self.since
    }
}

impl Waitable for SnapshotChange {
    fn bell(&self) -> Placed<Bell> {
        self.bell.clone()
    }

    fn is_ready(&self) -> bool {
        self.handle.eyes.version() != self.since || self.handle.eyes.check().is_err()
    }
}

impl fmt::Debug for SnapshotChange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SnapshotChange").field("since", &self.since).finish_non_exhaustive()
    }
}
