//! A bucket's word: what lies in its seven slots, in one load.
//!
//! ```text
//!  bit 63      56 55       48        15        8 7         0
//!     ┌──────────┬───────────┬───  ───┬──────────┬──────────┐
//!     │ passed   │ tag 6     │   …    │ tag 1    │ tag 0    │
//!     └──────────┴───────────┴───  ───┴──────────┴──────────┘
//! ```
//! A tag is 0 for an empty slot, else 128 plus seven bits of the key's hash. `passed` counts the entries that
//! would have been here had there been room, and went on; where it is 0 nobody need look further. It stays at
//! 255 once it got there, until it is counted anew.

/// Slots of a bucket.
pub(super) const LANES: usize = 7;

/// The greatest count of those who passed: as many, or more.
pub(super) const MANY: u64 = 255;

const TAGS: u64 = (1 << 56) - 1;
const ONES: u64 = 0x0001_0101_0101_0101;
const HIGHS: u64 = ONES << 7;

/// A bucket's word, as it was at one moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Bucket(pub u64);

/// Slots of a bucket, the lowest first.
#[derive(Clone, Copy, Debug)]
pub(super) struct Lanes(u64);

impl Bucket {
    /// Returns the slots that have a tag.
    #[inline]
    pub(super) const fn with(self, tag: u8) -> Lanes {
        // A byte of `difference` is 0 where the tag is the wanted one; the sum carries into no other byte.
        let difference = (self.0 ^ (ONES * tag as u64)) & TAGS;
        let nonzero = ((difference & !HIGHS) + (ONES * 0x7f)) | difference;
        Lanes(!nonzero & HIGHS)
    }

    /// Returns the slots that hold an entry.
    #[inline]
    pub(super) const fn taken(self) -> Lanes {
        Lanes(self.0 & HIGHS)
    }

    /// Returns a slot that holds none.
    #[inline]
    pub(super) fn free(self) -> Option<usize> {
        Lanes(!self.0 & HIGHS).next()
    }

    /// Returns how many entries passed by.
    #[inline]
    pub(super) const fn passed(self) -> u64 {
        self.0 >> 56
    }

    /// Returns it with one more or one less who passed by; nothing changes where they are too many to be
    /// counted.
    #[must_use]
    pub(super) const fn passed_by(self, more: bool) -> Self {
        match (self.passed(), more) {
            (MANY, _) | (0, false) => self,
            (_, true) => Self(self.0 + (1 << 56)),
            (_, false) => Self(self.0 - (1 << 56)),
        }
    }

    /// Returns it with another tag in a slot.
    #[must_use]
    pub(super) const fn put(self, lane: usize, tag: u8) -> Self {
        let shift = lane * 8;
        Self(self.0 & !(0xff << shift) | (tag as u64) << shift)
    }
}

impl Iterator for Lanes {
    type Item = usize;

    #[inline]
    fn next(&mut self) -> Option<usize> {
        if self.0 == 0 {
            return None;
        }
        let lane = self.0.trailing_zeros() / 8;
        self.0 &= self.0 - 1;
        usize::try_from(lane).ok()
    }
}

#[cfg(all(test, not(any(loom, shuttle))))]
#[allow(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on fails")]
mod tests {
    use super::*;

    #[test]
    fn tags_are_found_where_they_are_and_nowhere_else() {
        for other in [0, 0x80, 0x81, 0xff] {
            for tag in [0x80, 0x81, 0x91, 0xfe, 0xff] {
                for lane in 0..LANES {
                    let filled = (0..LANES).fold(Bucket(7 << 56), |bucket, lane| bucket.put(lane, other));
                    let found: Vec<usize> = filled.put(lane, tag).with(tag).collect();
                    let wanted = if other == tag { (0..LANES).collect() } else { vec![lane] };
                    assert_eq!(found, wanted, "{tag} in {lane} among {other}");
                    let free = filled.put(lane, tag).free();
                    let wanted = (other == 0).then_some(usize::from(lane == 0));
                    assert_eq!((free, filled.passed()), (wanted, 7));
                }
            }
        }
    }

    #[test]
    fn counting_stops_at_many_and_at_none() {
        let mut bucket = Bucket::default().put(3, 0x85);
        assert_eq!(bucket.passed_by(false), bucket);
        for count in 1..300 {
            bucket = bucket.passed_by(true);
            assert_eq!(bucket.passed(), MANY.min(count));
        }
        assert_eq!(bucket.passed_by(false), bucket);
        assert_eq!(bucket.taken().collect::<Vec<_>>(), [3]);
    }
}
