//! The steps that are taken at random, and what bytes they store.

use super::PAGE;
use crate::support::random::Random;
use mapwright::Advice;
use proptest::prelude::*;
use std::ops::Range;

/// The longest that a file gets.
pub(super) const LONGEST: usize = 30 * PAGE;

/// One step. A place is taken modulo what there is to be addressed.
#[derive(Debug, Clone)]
pub(crate) enum Step {
    Store(Store, Place),
    Advise(Advice, Place),
    Punch(Place),
    Flush(Place),
    StartWriteback(Place),
    Evict(Place),
    Lock(Place),
    Unlock(Place),
    Grow(usize),
    Truncate(usize),
    Resize(usize),
    Refresh,
    RefreshInPlace,
    Split(usize),
    GiveUpWritingAndBegin,
    /// Offset in the file, and room that is reserved.
    Reopen(usize, usize),
    /// By write(2), through another descriptor; it may make the file longer.
    WriteElsewhere(Place),
    /// By ftruncate(2), through another descriptor.
    ResizeElsewhere(usize),
}

/// A way to store bytes.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Store {
    Word,
    Atomic,
    Slice,
    Copy,
    Fill,
    Bulk,
}

/// A beginning and a length.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Place {
    pub(super) at: usize,
    pub(super) len: usize,
}

impl Place {
    /// The place as a range within `len` bytes.
    pub(super) fn within(self, len: usize) -> Range<usize> {
        let at = self.at % (len + 1);
        at..at + self.len.min(len - at)
    }
}

/// A number of bytes, often on the edge of a page.
pub(super) fn length() -> impl Strategy<Value = usize> + Clone {
    let edge =
        (0..=LONGEST / PAGE, 0usize..3).prop_map(|(page, near)| (page * PAGE + near).saturating_sub(1));
    prop_oneof![2 => 0..LONGEST, 3 => edge.prop_map(|length| length.min(LONGEST))]
}

pub(super) fn place() -> impl Strategy<Value = Place> + Clone {
    let short = prop_oneof![0usize..200, 0..3 * PAGE, length()];
    (length(), short).prop_map(|(at, len)| Place { at, len })
}

/// Advice that changes no byte, and the one that makes zeros of them.
const ADVICE: &[Advice] = &[
    Advice::Normal,
    Advice::Random,
    Advice::Sequential,
    Advice::WillNeed,
    Advice::DontNeed,
    Advice::DontNeedLocked,
    Advice::Cold,
    Advice::PageOut,
    Advice::Remove,
    Advice::Collapse,
    Advice::PopulateRead,
    Advice::PopulateWrite,
    Advice::HugePage,
    Advice::NoHugePage,
    Advice::DontDump,
    Advice::DoDump,
    Advice::DoFork,
];

fn store() -> impl Strategy<Value = Store> {
    const ALL: &[Store] = &[Store::Word, Store::Atomic, Store::Slice, Store::Copy, Store::Fill, Store::Bulk];
    prop::sample::select(ALL)
}

pub(crate) fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        10 => (store(), place()).prop_map(|(store, place)| Step::Store(store, place)),
        4 => (prop::sample::select(ADVICE), place()).prop_map(|(advice, place)| Step::Advise(advice, place)),
        1 => place().prop_map(Step::Punch),
        1 => place().prop_map(Step::Flush),
        1 => place().prop_map(Step::StartWriteback),
        1 => place().prop_map(Step::Evict),
        1 => place().prop_map(Step::Lock),
        1 => place().prop_map(Step::Unlock),
        3 => length().prop_map(Step::Grow),
        3 => length().prop_map(Step::Truncate),
        2 => length().prop_map(Step::Resize),
        2 => Just(Step::Refresh),
        1 => Just(Step::RefreshInPlace),
        1 => length().prop_map(Step::Split),
        1 => Just(Step::GiveUpWritingAndBegin),
        2 => (length(), length()).prop_map(|(offset, reserve)| Step::Reopen(offset, reserve)),
        2 => place().prop_map(Step::WriteElsewhere),
        2 => length().prop_map(Step::ResizeElsewhere),
    ]
}

/// The bytes that the step of this number stores.
pub(super) fn bytes(number: usize, len: usize) -> Vec<u8> {
    let mut random = Random::of_seed(u64::try_from(number).unwrap());
    // Never zeros: those are what files are extended by.
    (0..len.div_ceil(8))
        .flat_map(|_| (random.next() | 0x0101_0101_0101_0101).to_le_bytes())
        .take(len)
        .collect()
}

impl Store {
    /// The bytes that the step of this number stores in this way.
    pub(super) fn bytes(self, number: usize, len: usize) -> Vec<u8> {
        match self {
            Self::Fill => vec![bytes(number, 1)[0]; len],
            _ => bytes(number, len),
        }
    }
}
