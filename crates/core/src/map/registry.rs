//! Which files this process has mapped, by device and inode.
//!
//! Truncating a file that is mapped turns accesses into faults; doing it to *oneself* is nearly always a
//! mistake. So every map of a file is counted here while it lives, [`mapped_here`] tells, and
//! [`set_len`](crate::set_len) refuses. The same table shares one map of a file among its openers
//! ([`Map::open_shared`](crate::Map::open_shared)).
//!
//! A forked child starts with an empty registry of its own: the parent's locks may have been held at the
//! fork.

#![allow(unsafe_code, reason = "a pointer that is replaced after a fork; listed in docs/SOUNDNESS.md")]

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};
use std::os::fd::AsFd;
use std::sync::atomic::{AtomicPtr, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use crate::error::{Error, Result};
use crate::map::{Map, ReadOnly};
use crate::sys::file::{self, Description, Identity};
use crate::sys::fork::{self, Generation};

const SHARDS: usize = 16;

/// What is known of one file.
#[derive(Default)]
struct Entry {
    maps: usize,
    shared: Weak<Map<ReadOnly>>,
}

type Shard = Mutex<HashMap<Identity, Entry, BuildHasherDefault<Mix>>>;

struct Registry {
    generation: Generation,
    shards: [Shard; SHARDS],
}

/// Mixes two integers: inode numbers are not chosen by anybody who would attack a table of open maps.
#[derive(Default)]
struct Mix(u64);

impl Hasher for Mix {
    fn finish(&self) -> u64 {
        self.0
    }
    fn write(&mut self, bytes: &[u8]) {
        for &byte in bytes {
            self.write_u64(u64::from(byte));
        }
    }
    fn write_u64(&mut self, number: u64) {
        self.0 = (self.0.rotate_left(26) ^ number).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    }
}

/// Counts one map of a file for as long as it lives.
#[derive(Debug)]
pub(crate) struct Ticket {
    identity: Identity,
    generation: Generation,
}

static CURRENT: AtomicPtr<Registry> = AtomicPtr::new(std::ptr::null_mut());

/// Returns this process's registry, a fresh one after a fork.
fn registry() -> &'static Registry {
    let generation = fork::generation();
    let known = CURRENT.load(Ordering::Acquire);
    // SAFETY: the pointer is null or was leaked by `renew`, so it lives for ever and is only ever shared.
    match unsafe { known.as_ref() } {
        Some(registry) if registry.generation == generation => registry,
        _ => renew(known, generation),
    }
}

/// Puts a fresh registry in the place of `old`: one small leak a fork, since the parent's may hold locks that
/// nobody in this process will release.
#[cold]
fn renew(old: *mut Registry, generation: Generation) -> &'static Registry {
    let shards = std::array::from_fn(|_| Shard::default());
    let fresh = Box::into_raw(Box::new(Registry { generation, shards }));
    let current = match CURRENT.compare_exchange(old, fresh, Ordering::AcqRel, Ordering::Acquire) {
        Ok(_) => fresh,
        // Another thread was faster; ours is leaked too, once.
        Err(theirs) => theirs,
    };
    // SAFETY: leaked above or by the other thread: it lives for ever and is only ever shared.
    unsafe { &*current }
}

impl Registry {
    fn shard(&self, identity: Identity) -> MutexGuard<'_, HashMap<Identity, Entry, BuildHasherDefault<Mix>>> {
        let index = usize::try_from(identity.inode % 16).unwrap_or(0);
        self.shards[index].lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Counts a new map of a file.
pub(crate) fn enter(identity: Identity) -> Ticket {
    let registry = registry();
    registry.shard(identity).entry(identity).or_default().maps += 1;
    Ticket { identity, generation: registry.generation }
}

impl Ticket {
    pub(crate) fn identity(&self) -> Identity {
        self.identity
    }
}

impl Clone for Ticket {
    fn clone(&self) -> Self {
        enter(self.identity)
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        let registry = registry();
        if registry.generation != self.generation {
            return;
        }
        let mut shard = registry.shard(self.identity);
        if let Some(entry) = shard.get_mut(&self.identity) {
            entry.maps = entry.maps.saturating_sub(1);
            if entry.maps == 0 {
                shard.remove(&self.identity);
            }
        }
    }
}

/// Returns the shared map of a file, if one lives.
pub(crate) fn shared(identity: Identity) -> Option<Arc<Map<ReadOnly>>> {
    registry().shard(identity).get(&identity).and_then(|entry| entry.shared.upgrade())
}

/// Makes a map the shared one of its file; where another was faster, that one is returned.
pub(crate) fn share(identity: Identity, map: Arc<Map<ReadOnly>>) -> Arc<Map<ReadOnly>> {
    let mut shard = registry().shard(identity);
    let entry = shard.entry(identity).or_default();
    match entry.shared.upgrade() {
        // The loser is dropped after the lock: its ticket wants the same shard.
        Some(faster) if faster.len() >= map.len() => {
            drop(shard);
            faster
        }
        _ => {
            entry.shared = Arc::downgrade(&map);
            map
        }
    }
}

/// Counts the maps of a file that this process holds now.
///
/// # Errors
/// Where fstat(2) fails on the descriptor.
///
/// ```
/// use mapwright_core::{Map, mapped_here};
/// let file = tempfile::tempfile().unwrap();
/// file.set_len(10).unwrap();
/// assert_eq!(mapped_here(&file)?, 0);
/// let map = Map::of(&file)?;
/// assert_eq!(mapped_here(&file)?, 1);
/// # drop(map);
/// # Ok::<(), mapwright_core::Error>(())
/// ```
pub fn mapped_here(file: impl AsFd) -> Result<usize> {
    let Description { identity, .. } =
        file::describe(file.as_fd()).map_err(|cause| Error::os("examine", "a file's maps", cause))?;
    Ok(registry().shard(identity).get(&identity).map_or(0, |entry| entry.maps))
}
