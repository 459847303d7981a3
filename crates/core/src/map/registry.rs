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
use std::sync::atomic::{AtomicPtr, AtomicU64, Ordering};
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
    /// Where the maps end in the file. The first stands apart: most files have one, and it costs no
    /// allocation.
    end: u64,
    more_ends: Vec<u64>,
    shared: Weak<Map<ReadOnly>>,
}

impl Entry {
    fn add(&mut self, end: u64) {
        if self.maps == 0 {
            self.end = end;
        } else {
            self.more_ends.push(end);
        }
        self.maps += 1;
    }

    fn remove(&mut self, end: u64) {
        self.maps = self.maps.saturating_sub(1);
        if self.end == end {
            self.end = self.more_ends.pop().unwrap_or(0);
        } else if let Some(index) = self.more_ends.iter().position(|&other| other == end) {
            self.more_ends.swap_remove(index);
        }
    }

    /// Where the map that reaches furthest ends.
    fn furthest(&self) -> u64 {
        self.more_ends.iter().copied().fold(self.end, u64::max)
    }
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
    /// Where the map ends in the file.
    end: AtomicU64,
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

/// Counts a new map of a file, which ends at this byte of it.
pub(crate) fn enter(identity: Identity, end: u64) -> Ticket {
    let registry = registry();
    registry.shard(identity).entry(identity).or_default().add(end);
    Ticket { identity, generation: registry.generation, end: AtomicU64::new(end) }
}

impl Ticket {
    /// Notes that the map now ends elsewhere in the file.
    pub(crate) fn set_end(&self, end: u64) {
        let registry = registry();
        if registry.generation != self.generation {
            return;
        }
        let mut shard = registry.shard(self.identity);
        // Under the lock, so that two who change one map agree with the entry on what it was.
        let before = self.end.swap(end, Ordering::Relaxed);
        if let Some(entry) = shard.get_mut(&self.identity) {
            entry.remove(before);
            entry.add(end);
        }
    }
}

impl Clone for Ticket {
    fn clone(&self) -> Self {
        enter(self.identity, self.end.load(Ordering::Relaxed))
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
            entry.remove(self.end.load(Ordering::Relaxed));
            if entry.maps == 0 {
                shard.remove(&self.identity);
            }
        }
    }
}

/// Returns where the map of a file that reaches furthest ends, if this process has any.
pub(crate) fn furthest_end(identity: Identity) -> Option<u64> {
    registry().shard(identity).get(&identity).filter(|entry| entry.maps > 0).map(Entry::furthest)
}

/// Returns the shared map of a file, if one lives.
pub(crate) fn shared(identity: Identity) -> Option<Arc<Map<ReadOnly>>> {
    registry().shard(identity).get(&identity).and_then(|entry| entry.shared.upgrade())
}

/// Makes a map the shared one of its file; where another was faster, that one is returned.
pub(crate) fn share(identity: Identity, map: Arc<Map<ReadOnly>>) -> Arc<Map<ReadOnly>> {
    let mut shard = registry().shard(identity);
    let entry = shard.entry(identity).or_default();
    let current = entry.shared.upgrade();
    let chosen = match &current {
        Some(faster) if faster.len() >= map.len() => Arc::clone(faster),
        _ => {
            entry.shared = Arc::downgrade(&map);
            Arc::clone(&map)
        }
    };
    // Before either map may go: a map's ticket wants the same shard when it is dropped.
    drop(shard);
    chosen
}

/// Counts the maps of a file that this process holds now.
///
/// # Errors
/// Where fstat(2) fails on the descriptor.
///
/// # Kernel
/// fstat(2): the file is known by its device and inode.
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_furthest_end_follows_the_maps_that_live() {
        let identity = Identity { device: u64::MAX, inode: 1 };
        assert_eq!(furthest_end(identity), None);
        let (near, far) = (enter(identity, 10), enter(identity, 30));
        let copy = near.clone();
        assert_eq!(furthest_end(identity), Some(30));
        copy.set_end(40);
        assert_eq!(furthest_end(identity), Some(40));
        drop(copy);
        drop(far);
        assert_eq!(furthest_end(identity), Some(10));
        drop(near);
        assert_eq!(furthest_end(identity), None);
    }
}
