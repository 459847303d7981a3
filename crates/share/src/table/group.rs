//! A group of buckets: one writer at a time, whose death leaves nothing but counts and tags to be made anew.
//!
//! What is true is in the slots. Tags, counts of those who passed, and the number of entries follow from
//! them, and are written so that they never hide an entry: before it comes to be, and after it has gone.
//! Whoever takes the claim from a dead one writes them anew from the slots; when it dies over that, the next
//! does.

use mapwright_core::Plain;
use mapwright_core::peer::{Deadline, Identity, Ordering, Shared, Word64};

use super::bucket::{Bucket, LANES, MANY};
use super::key::sealed::Key;
use super::shape::Probe;
use super::slot::Slot;
use super::store::Store;
use crate::claim::{Claim, Taken};

/// What a group's writers need; on lines of its own.
#[derive(Debug, Default, Shared)]
#[shared(crate = "mapwright_core")]
#[repr(C)]
pub(super) struct Group {
    pub claim: Claim,
    /// Entries.
    pub live: Word64,
}

/// A group that this thread may change.
pub(super) struct Held<'a> {
    store: &'a Store,
    group: &'a Group,
    number: usize,
}

/// Where a key's entry is, or could be.
pub(super) enum Place<'a> {
    Found(Spot<'a>),
    Free(Spot<'a>),
    Full,
}

/// A slot, and the way to it.
pub(super) struct Spot<'a> {
    pub slot: Slot<'a>,
    word: &'a Word64,
    lane: usize,
    /// How many buckets come before it.
    depth: usize,
}

impl Drop for Held<'_> {
    fn drop(&mut self) {
        self.group.claim.let_go();
    }
}

impl<'a> Held<'a> {
    /// Takes a group's claim, and puts right what a dead one left. Waits while somebody has it who lives.
    #[inline]
    pub(super) fn take<K: Key + ?Sized>(store: &'a Store, number: usize) -> Option<Self> {
        loop {
            if let Ok(held) = Self::take_until::<K>(store, number, Deadline::never()) {
                return held;
            }
        }
    }

    /// As [`take`](Self::take), but waits until a deadline at most.
    ///
    /// # Errors
    /// Whoever has it, and lives.
    #[inline]
    pub(super) fn take_until<K: Key + ?Sized>(
        store: &'a Store,
        number: usize,
        until: Deadline,
    ) -> Result<Option<Self>, Identity> {
        let Some(group): Option<&Group> = store.groups.get(number).map(|line| &**line) else {
            return Ok(None);
        };
        let taken = group.claim.take(&*store.oracle, store.me, until)?;
        let held = Self { store, group, number };
        if taken == Taken::AfterDeath {
            held.recount::<K>();
        }
        Ok(Some(held))
    }

    /// Looks for a key's entry, or for a slot for it.
    #[inline]
    pub(super) fn locate<K: Key + ?Sized>(&self, probe: Probe, key: &K) -> Place<'a> {
        let (mut free, mut searching) = (None, true);
        for (depth, index) in probe.enumerate() {
            let Some(word) = self.store.buckets.get(index) else { break };
            let bucket = Bucket(word.load(Ordering::Relaxed));
            let spot = |lane| self.store.slot(index, lane).map(|slot| Spot { slot, word, lane, depth });
            if searching {
                let found = bucket.with(probe.tag).filter_map(spot).find(|it| it.slot.holds(key));
                if let Some(found) = found {
                    return Place::Found(found);
                }
                searching = bucket.passed() > 0;
            }
            if free.is_none() {
                free = bucket.free().and_then(spot);
            }
            if !searching && free.is_some() {
                break;
            }
        }
        free.map_or(Place::Full, Place::Free)
    }

    /// Puts an entry into a free slot.
    #[inline]
    pub(super) fn insert<K: Key + ?Sized, V: Plain>(
        &self,
        probe: Probe,
        spot: &Spot<'_>,
        key: &K,
        value: &V,
    ) {
        for index in probe.take(spot.depth) {
            self.change(index, |bucket| bucket.passed_by(true));
        }
        spot.slot.write(key, value);
        let bucket = Bucket(spot.word.load(Ordering::Relaxed));
        spot.word.store(bucket.put(spot.lane, probe.tag).0, Ordering::Relaxed);
        spot.slot.commit();
        self.count(1);
    }

    /// Takes an entry away.
    #[inline]
    pub(super) fn remove<K: Key + ?Sized>(&self, probe: Probe, spot: &Spot<'_>) {
        spot.slot.clear();
        let bucket = Bucket(spot.word.load(Ordering::Relaxed));
        spot.word.store(bucket.put(spot.lane, 0).0, Ordering::Release);
        let mut uncounted = false;
        for index in probe.take(spot.depth) {
            uncounted |= self.change(index, |bucket| bucket.passed_by(false)).passed() == MANY;
        }
        self.count(u64::MAX);
        if uncounted {
            self.recount::<K>();
        }
    }

    fn change(&self, index: usize, change: impl FnOnce(Bucket) -> Bucket) -> Bucket {
        let Some(word) = self.store.buckets.get(index) else { return Bucket::default() };
        let bucket = change(Bucket(word.load(Ordering::Relaxed)));
        word.store(bucket.0, Ordering::Release);
        bucket
    }

    #[inline]
    fn count(&self, more: u64) {
        let live = self.group.live.load(Ordering::Relaxed);
        self.group.live.store(live.wrapping_add(more), Ordering::Relaxed);
    }

    /// Writes everything anew that follows from the slots.
    #[cold]
    pub(super) fn recount<K: Key + ?Sized>(&self) {
        let shape = &self.store.shape;
        let first = self.number * shape.buckets;
        let mut buckets = vec![Bucket::default(); shape.buckets];
        let mut live = 0;
        for index in first..first + shape.buckets {
            for (lane, slot) in (0..LANES).filter_map(|lane| Some((lane, self.store.slot(index, lane)?))) {
                let Some(hash) = slot.hash::<K>(shape) else { continue };
                let probe = shape.probe(hash);
                if probe.group != self.number {
                    // Somebody has overwritten the key: nobody could find it here.
                    slot.clear();
                    continue;
                }
                live += 1;
                buckets[index - first] = buckets[index - first].put(lane, probe.tag);
                for passed in probe.take_while(|&it| it != index) {
                    buckets[passed - first] = buckets[passed - first].passed_by(true);
                }
            }
        }
        for (index, bucket) in (first..).zip(buckets) {
            self.change(index, |_| bucket);
        }
        self.group.live.store(live, Ordering::Relaxed);
    }
}
