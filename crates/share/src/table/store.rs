//! A table's words, without its types: finding, exchanging, walking.

use std::sync::Arc;
use std::time::Duration;

use mapwright_core::peer::{Deadline, Identity, Line, Oracle, Ordering, Placed, Word64};
use mapwright_core::{Fault, Plain, Result};

use super::TableError;
use super::bucket::Bucket;
use super::group::{Group, Held, Place};
use super::key::sealed::Key;
use super::shape::Shape;
use super::slot::{Slot, Torn};
use crate::object::Site;
use crate::value::load;

/// A table's room, and who is asking.
#[derive(Clone, Debug)]
pub(super) struct Store {
    pub groups: Placed<[Line<Group>]>,
    pub buckets: Placed<[Word64]>,
    slots: Placed<[Word64]>,
    pub shape: Shape,
    pub oracle: Arc<dyn Oracle>,
    pub me: Identity,
}

/// What has to be there for an exchange to take place.
#[derive(Clone, Copy, Debug)]
pub(super) enum Expected<'a, V> {
    Anything,
    /// This value, or no entry.
    Just(Option<&'a V>),
}

impl Store {
    pub(super) fn attach(site: &Site, shape: Shape) -> Result<Self> {
        let mut parts = site.parts();
        let groups = parts.many(shape.groups)?;
        let buckets = parts.many(shape.groups * shape.buckets)?;
        let words = shape.slots().and_then(|slots| slots.checked_mul(shape.slot_words()));
        let slots = parts.many(words.ok_or_else(|| site.damaged("it is larger than any memory"))?)?;
        let oracle = Arc::clone(site.oracle());
        let me = oracle.me();
        Ok(Self { groups, buckets, slots, shape, oracle, me })
    }

    #[inline]
    pub(super) fn slot(&self, bucket: usize, lane: usize) -> Option<Slot<'_>> {
        let words = self.shape.slot_words();
        let start = (bucket * super::bucket::LANES + lane) * words;
        Slot::new(self.slots.get(start..start + words)?, &self.shape)
    }

    /// Copies the value of a key's entry. Loads only, and waits for nobody, as long as it is not changed a
    /// thousand times running.
    #[inline]
    pub(super) fn get<K: Key + ?Sized, V: Plain>(&self, key: &K) -> Option<V> {
        let probe = self.shape.probe(key.hash(self.shape.seed));
        for index in probe {
            let bucket = Bucket(self.buckets.get(index)?.load(Ordering::Acquire));
            for lane in bucket.with(probe.tag) {
                let slot = self.slot(index, lane)?;
                let found =
                    self.read::<K, _>(slot, index, |words| key.matches(words), |_, value| load(value));
                if found.is_some() {
                    return found;
                }
            }
            if bucket.passed() == 0 {
                return None;
            }
        }
        None
    }

    /// Puts another value, or none, in the place of what is there. `Err` within `Ok` is what is there instead
    /// of what was expected.
    #[inline]
    pub(super) fn exchange<K: Key + ?Sized, V: Plain>(
        &self,
        key: &K,
        expected: Expected<'_, V>,
        new: Option<&V>,
    ) -> Result<Result<Option<V>, Option<V>>, TableError> {
        self.check()?;
        if key.bytes() > self.shape.max_key {
            return match (expected, new) {
                (Expected::Just(Some(_)), _) => Ok(Err(None)),
                (_, Some(_)) => Err(TableError::TooLong),
                (_, None) => Ok(Ok(None)),
            };
        }
        let probe = self.shape.probe(key.hash(self.shape.seed));
        let Some(held) = Held::take::<K>(self, probe.group) else { return Err(TableError::Full) };
        let place = held.locate(probe, key);
        let current = match &place {
            Place::Found(spot) => spot.slot.held::<V>(),
            _ => None,
        };
        if let Expected::Just(wanted) = expected
            && wanted.map(V::as_bytes) != current.as_ref().map(V::as_bytes)
        {
            return Ok(Err(current));
        }
        match (place, new) {
            (Place::Found(spot), Some(value)) => spot.slot.replace(value),
            (Place::Found(spot), None) => held.remove::<K>(probe, &spot),
            (Place::Free(spot), Some(value)) => held.insert(probe, &spot, key, value),
            (Place::Full, Some(_)) => return Err(TableError::Full),
            (_, None) => {}
        }
        Ok(Ok(current))
    }

    /// Copies an entry by its place; `None` where there is none, or no such place.
    pub(super) fn entry<K: Key + ?Sized, V: Plain>(&self, bucket: usize, lane: usize) -> Option<(K::Out, V)> {
        let max_key = self.shape.max_key;
        let copy = |key: &[Word64], value: &[Word64]| (K::take(key, max_key), load(value));
        self.read::<K, _>(self.slot(bucket, lane)?, bucket, |_| true, copy)
    }

    /// Copies an entry that matches. Where others change it each time, it keeps them from it for a moment.
    #[inline]
    fn read<K: Key + ?Sized, R>(
        &self,
        slot: Slot<'_>,
        bucket: usize,
        matches: impl Fn(&[Word64]) -> bool,
        copy: impl Fn(&[Word64], &[Word64]) -> R,
    ) -> Option<R> {
        slot.read(&matches, &copy).unwrap_or_else(|Torn| self.read_again::<K, _>(slot, bucket, matches, copy))
    }

    #[cold]
    fn read_again<K: Key + ?Sized, R>(
        &self,
        slot: Slot<'_>,
        bucket: usize,
        matches: impl Fn(&[Word64]) -> bool,
        copy: impl Fn(&[Word64], &[Word64]) -> R,
    ) -> Option<R> {
        // Not for ever: the writer that has the claim may be stopped, and then nothing changes.
        const MOMENT: Duration = Duration::from_millis(1);
        let group = bucket / self.shape.buckets.max(1);
        loop {
            let held = Held::take_until::<K>(self, group, Deadline::after(MOMENT));
            match (slot.read(&matches, &copy), held) {
                (Ok(found), _) => return found,
                // Whoever writes without a claim runs wild: there is no entry to speak of.
                (Err(Torn), Ok(_)) => return None,
                (Err(Torn), Err(_)) => {}
            }
        }
    }

    /// Counts the entries.
    pub(super) fn len(&self) -> u64 {
        self.groups.iter().fold(0, |sum, group| sum.wrapping_add(group.live.load(Ordering::Relaxed)))
    }

    #[inline]
    pub(super) fn check(&self) -> Result<(), Fault> {
        self.buckets.check()
    }
}

#[cfg(any(loom, shuttle))]
impl Store {
    /// A table of one group in ordinary memory.
    pub(super) fn model(buckets: usize, value_words: usize, oracle: Arc<dyn Oracle>) -> Self {
        let shape = Shape { groups: 1, buckets, key_words: 1, value_words, capacity: 7, max_key: 8, seed: 0 };
        let zeros = |count: usize| Placed::own_many((0..count).map(|_| Word64::new(0)).collect());
        let slots = zeros(buckets * super::bucket::LANES * shape.slot_words());
        let me = oracle.me();
        Self {
            groups: Placed::own_many(vec![Line::default()]),
            buckets: zeros(buckets),
            slots,
            shape,
            oracle,
            me,
        }
    }

    /// The same table as another participant has it.
    pub(super) fn seen_by(&self, oracle: Arc<dyn Oracle>) -> Self {
        let me = oracle.me();
        Self { oracle, me, ..self.clone() }
    }
}
