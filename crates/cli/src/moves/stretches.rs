//! Sets of bytes: stretches in order that do not touch each other.

use std::ops::Range;

/// Stretches in order that do not touch each other.
pub(super) type Stretches = Vec<Range<u64>>;

/// The bytes that are in both.
pub(super) fn both(left: &[Range<u64>], right: &[Range<u64>]) -> Stretches {
    let (mut common, mut l, mut r) = (Vec::new(), 0, 0);
    while let (Some(a), Some(b)) = (left.get(l), right.get(r)) {
        let (from, to) = (a.start.max(b.start), a.end.min(b.end));
        if from < to {
            common.push(from..to);
        }
        if a.end <= b.end { l += 1 } else { r += 1 }
    }
    common
}

/// The bytes that are in the first and not in the second.
pub(super) fn without(all: &[Range<u64>], taken: &[Range<u64>]) -> Stretches {
    let mut left = Vec::new();
    for stretch in all {
        let mut from = stretch.start;
        for hole in taken.iter().filter(|hole| hole.start < stretch.end && stretch.start < hole.end) {
            if from < hole.start {
                left.push(from..hole.start);
            }
            from = from.max(hole.end);
        }
        if from < stretch.end {
            left.push(from..stretch.end);
        }
    }
    left
}

/// How many bytes there are.
pub(super) fn total(stretches: &[Range<u64>]) -> u64 {
    stretches.iter().map(|stretch| stretch.end - stretch.start).sum()
}

/// Puts stretches in order and joins those that touch.
pub(super) fn in_order(mut stretches: Stretches) -> Stretches {
    stretches.retain(|stretch| stretch.start < stretch.end);
    stretches.sort_by_key(|stretch| stretch.start);
    let mut joined: Stretches = Vec::new();
    for stretch in stretches {
        match joined.last_mut() {
            Some(last) if stretch.start <= last.end => last.end = last.end.max(stretch.end),
            _ => joined.push(stretch),
        }
    }
    joined
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A set as one bit a byte, which any operation on sets can be checked against.
    fn bits(stretches: &[Range<u64>]) -> Vec<bool> {
        (0..64).map(|byte| stretches.iter().any(|stretch| stretch.contains(&byte))).collect()
    }

    /// Some sets, made from the bits of a number: every set of up to eight stretches of eight bytes.
    fn set(number: u8) -> Stretches {
        let parts = (0..8u64).filter(|part| number >> part & 1 == 1);
        in_order(parts.map(|part| part * 8 + u64::from(number % 3)..part * 8 + 8).collect())
    }

    #[test]
    fn operations_agree_with_bits() {
        for (left, right) in (0..=255u8).flat_map(|left| (0..=255u8).map(move |right| (left, right))) {
            let (left, right) = (set(left), set(right));
            let expected = |operation: fn(bool, bool) -> bool| -> Vec<bool> {
                bits(&left).into_iter().zip(bits(&right)).map(|(l, r)| operation(l, r)).collect()
            };
            assert_eq!(bits(&both(&left, &right)), expected(|l, r| l && r), "{left:?} {right:?}");
            assert_eq!(bits(&without(&left, &right)), expected(|l, r| l && !r), "{left:?} {right:?}");
            assert_eq!(total(&left), u64::try_from(bits(&left).iter().filter(|&&bit| bit).count()).unwrap());
        }
    }

    #[test]
    fn stretches_are_joined_in_order() {
        assert_eq!(in_order(vec![5..6, 0..2, 2..3, 9..9, 5..8]), [0..3, 5..8]);
    }
}
