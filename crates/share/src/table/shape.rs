//! How many groups of how many buckets, and where a key's entry may lie.

use mapwright_core::Result;
use mapwright_core::peer::Line;
use mapwright_core::{Error, ErrorKind};

use super::bucket::LANES;
use super::group::Group;
use crate::object::{Parameters, Site, room};

/// Buckets of a group, and how many entries it gets on average. The rest is for chance: that some group gets
/// more than fit happens to one table in many millions.
const FILLS: [(usize, usize); 5] = [(128, 690), (64, 315), (32, 140), (16, 58), (8, 20)];

/// So many groups at least, where there are enough entries, so that writers seldom meet.
const GROUPS: usize = 16;

/// The measures of a table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Shape {
    pub groups: usize,
    /// Buckets of a group, a power of two.
    pub buckets: usize,
    pub key_words: usize,
    pub value_words: usize,
    pub capacity: usize,
    /// The longest key in bytes.
    pub max_key: usize,
    pub seed: u64,
}

/// Where a key's entry may lie: a bucket, and if that is full the next, in an order of the key's own.
#[derive(Clone, Copy, Debug)]
pub(super) struct Probe {
    pub group: usize,
    pub tag: u8,
    /// The group's first bucket.
    base: usize,
    at: usize,
    step: usize,
    mask: usize,
    left: usize,
}

impl Shape {
    pub(super) fn new(capacity: usize, max_key: usize, words: (usize, usize), seed: u64) -> Result<Self> {
        if capacity == 0 {
            let why = "it would have a capacity of 0; it needs 1 at least";
            return Err(Error::new(ErrorKind::InvalidInput, "plan", "a table", why));
        }
        let fits = |&&(buckets, fill): &&(usize, usize)| buckets == 8 || capacity.div_ceil(fill) >= GROUPS;
        let (buckets, fill) = FILLS.iter().find(fits).copied().unwrap_or((8, 20));
        let groups = capacity.div_ceil(fill);
        Ok(Self { groups, buckets, key_words: words.0, value_words: words.1, capacity, max_key, seed })
    }

    pub(super) fn parameters(&self) -> Parameters {
        let number = |it: usize| it as u64;
        let buckets = number(self.buckets);
        [
            number(self.groups),
            buckets,
            number(self.max_key),
            number(self.value_words),
            self.seed,
            number(self.capacity),
        ]
    }

    /// Reads what [`parameters`](Self::parameters) said; how many words a key of so many bytes has, its type
    /// says.
    pub(super) fn of(site: &Site, key_words: impl FnOnce(usize) -> usize) -> Result<Self> {
        let [groups, buckets, max_key, value_words, seed, capacity] = site.parameters();
        let number = |it: u64| usize::try_from(it).ok().filter(|&it| it < 1 << 48);
        let numbers =
            (number(groups), number(buckets), number(max_key), number(value_words), number(capacity));
        let (Some(groups), Some(buckets), Some(max_key), Some(value_words), Some(capacity)) = numbers else {
            return Err(site.damaged("its measures are larger than any memory"));
        };
        let key_words = key_words(max_key);
        let shape = Self { groups, buckets, key_words, value_words, capacity, max_key, seed };
        let sane = groups > 0 && buckets.is_power_of_two() && buckets <= 1 << 16;
        match shape.room() {
            Ok(room) if sane && room <= site.len() => Ok(shape),
            _ => Err(site.damaged(format!("{groups} groups of {buckets} buckets are not in its room"))),
        }
    }

    pub(super) fn room(&self) -> Result<usize> {
        let slots = self.slots().unwrap_or(usize::MAX);
        let slot_len = self.slot_words().saturating_mul(8);
        let buckets = self.groups.saturating_mul(self.buckets);
        room("plan a table in", &[(size_of::<Line<Group>>(), self.groups), (8, buckets), (slot_len, slots)])
    }

    /// Returns how many slots there are; `None` where that is no number.
    pub(super) fn slots(&self) -> Option<usize> {
        self.groups.checked_mul(self.buckets)?.checked_mul(LANES)
    }

    /// How many places for a value a slot has: what is one word is changed in place, everything else by
    /// writing a second one.
    pub(super) const fn cells(&self) -> usize {
        if self.value_words <= 1 { 1 } else { 2 }
    }

    /// Words of a slot; a small one lies within one line.
    pub(super) fn slot_words(&self) -> usize {
        let words =
            self.value_words.saturating_mul(self.cells()).saturating_add(self.key_words).saturating_add(1);
        if words <= 8 { words.next_power_of_two() } else { words }
    }

    /// Returns where a key of that hash may be.
    #[inline]
    pub(super) fn probe(&self, hash: u64) -> Probe {
        // The upper bits choose the group, the lower ones the rest.
        let group = (u128::from(hash) * self.groups as u128) >> 64;
        let group = usize::try_from(group).unwrap_or(0);
        let bits = usize::try_from(hash & 0xffff_ffff).unwrap_or(0);
        let mask = self.buckets - 1;
        Probe {
            group,
            tag: u8::try_from(bits >> 25).unwrap_or(0) | 0x80,
            base: group * self.buckets,
            at: bits & mask,
            step: (bits >> 16 << 1) | 1,
            mask,
            left: self.buckets,
        }
    }
}

impl Iterator for Probe {
    type Item = usize;

    /// Every bucket of the group comes once: the step is odd, their number a power of two.
    #[inline]
    fn next(&mut self) -> Option<usize> {
        self.left = self.left.checked_sub(1)?;
        let bucket = self.base + self.at;
        self.at = (self.at + self.step) & self.mask;
        Some(bucket)
    }
}

#[cfg(all(test, not(any(loom, shuttle))))]
#[allow(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on fails")]
mod tests {
    use super::*;

    #[test]
    fn a_probe_visits_every_bucket_of_its_group_once() {
        for capacity in [1, 20, 21, 100, 1000, 20_000, 1_000_000] {
            let shape = Shape::new(capacity, 8, (1, 1), 0).unwrap();
            assert!(shape.slots().unwrap() > capacity, "{shape:?}");
            for hash in [0, 1, u64::MAX, 0x0123_4567_89AB_CDEF, 0xFEDC_BA98_7654_3210] {
                let probe = shape.probe(hash);
                let mut buckets: Vec<usize> = probe.collect();
                buckets.sort_unstable();
                let first = probe.group * shape.buckets;
                assert_eq!(buckets, (first..first + shape.buckets).collect::<Vec<_>>());
                assert!(probe.group < shape.groups && probe.tag >= 0x80);
            }
        }
    }

    #[test]
    fn what_is_larger_than_memory_is_refused() {
        assert!(Shape::new(0, 8, (1, 1), 0).is_err());
        assert!(Shape::new(usize::MAX, 8, (1, 1), 0).unwrap().room().is_err());
        assert!(Shape::new(10, 8, (usize::MAX, usize::MAX), 0).unwrap().room().is_err());
    }
}
