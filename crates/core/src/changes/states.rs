//! What is known of pages: their states, as runs, and what the kernel would not tell.

use std::fmt;
use std::ops::Range;

/// What is known of one page: where nothing is set, it is absent.
///
/// ```
/// use mapwright_core::PageState;
/// let state = PageState::CACHED.with(PageState::DIRTY);
/// assert!(state.is_cached() && state.is_dirty() && !state.is_huge());
/// assert_eq!(format!("{state:?}"), "cached+dirty");
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub struct PageState(u8);

impl PageState {
    /// Not in memory: touching the page waits for the disk.
    pub const ABSENT: Self = Self(0);
    /// In memory: touching the page waits for nothing.
    pub const CACHED: Self = Self(1);
    /// Changed in memory and not on its way to the disk yet.
    pub const DIRTY: Self = Self(2);
    /// On its way to the disk now.
    pub const WRITEBACK: Self = Self(4);
    /// Part of a huge page.
    pub const HUGE: Self = Self(8);
    /// Locked in memory (mlock(2)): never evicted.
    pub const LOCKED: Self = Self(16);

    const NAMES: [(Self, &'static str); 5] = [
        (Self::CACHED, "cached"),
        (Self::DIRTY, "dirty"),
        (Self::WRITEBACK, "writeback"),
        (Self::HUGE, "huge"),
        (Self::LOCKED, "locked"),
    ];

    /// Returns the state with everything that is set in `other` set as well.
    #[must_use]
    pub const fn with(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// Returns whether everything that is set in `other` is set here.
    #[must_use]
    pub const fn has(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    /// Returns whether the page is in memory.
    #[must_use]
    pub const fn is_cached(self) -> bool {
        self.has(Self::CACHED)
    }

    /// Returns whether the page was changed and is not on its way to the disk.
    #[must_use]
    pub const fn is_dirty(self) -> bool {
        self.has(Self::DIRTY)
    }

    /// Returns whether the page is on its way to the disk.
    #[must_use]
    pub const fn is_in_writeback(self) -> bool {
        self.has(Self::WRITEBACK)
    }

    /// Returns whether the page is part of a huge page.
    #[must_use]
    pub const fn is_huge(self) -> bool {
        self.has(Self::HUGE)
    }

    /// Returns whether the page is locked in memory.
    #[must_use]
    pub const fn is_locked(self) -> bool {
        self.has(Self::LOCKED)
    }
}

impl fmt::Debug for PageState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if *self == Self::ABSENT {
            return f.write_str("absent");
        }
        let mut between = "";
        for (state, name) in Self::NAMES {
            if self.has(state) {
                write!(f, "{between}{name}")?;
                between = "+";
            }
        }
        Ok(())
    }
}

/// Something that can be asked about pages.
///
/// ```
/// use mapwright_core::{MapOptions, Question, WhyUntold};
/// let map = MapOptions::new().shared_memory(4096)?;
/// let picture = map.residency(..)?;               // asks neither for huge nor for locked pages
/// assert_eq!(picture.why_untold(Question::Locked), Some(WhyUntold::NotAsked));
/// # Ok::<(), mapwright_core::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Question {
    /// Which pages are in memory.
    Presence,
    /// Which pages are dirty or being written back.
    Writes,
    /// Which pages are parts of huge pages.
    Huge,
    /// Which pages are locked in memory.
    Locked,
}

/// Why the kernel did not answer a question.
///
/// ```
/// use mapwright_core::{MapOptions, WhyUntold};
/// let map = MapOptions::new().shared_memory(4096)?;
/// for (question, why) in map.residency_in_detail(..)?.untold() {
///     println!("{question:?}: {why}");
///     assert_ne!(*why, WhyUntold::NotAsked);
/// }
/// # Ok::<(), mapwright_core::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum WhyUntold {
    /// The kernel hides the cache of files that the caller neither owns nor may write: mincore(2) calls every
    /// page resident, cachestat(2) refuses.
    NotPermitted,
    /// The kernel has no such call; the text names it and the first version that has it.
    KernelLacks(&'static str),
    /// Only the superuser is told; the text says by what.
    NeedsRoot(&'static str),
    /// There is no file to ask about.
    NoFile,
    /// The file cannot be mapped, and without a mapping there is nobody to ask.
    CannotMap,
    /// Nobody asked: the call that was used does not look for it.
    NotAsked,
}

impl fmt::Display for WhyUntold {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotPermitted => f.write_str(
                "the kernel tells only the file's owner, or those who may write it, what is in its cache",
            ),
            Self::KernelLacks(call) => write!(f, "this kernel lacks {call}"),
            Self::NeedsRoot(by) => write!(f, "only the superuser may read {by}"),
            Self::NoFile => f.write_str("no file is behind these pages"),
            Self::CannotMap => f.write_str("the file cannot be mapped"),
            Self::NotAsked => f.write_str("it was not asked for"),
        }
    }
}

/// A stretch of bytes whose pages are all in the same state.
///
/// ```
/// use mapwright_core::{MapOptions, PageRun, PageState};
/// let map = MapOptions::new().shared_memory(1 << 20)?;
/// map.view().store(0, 1u8)?;
/// let picture = map.residency(..)?;
/// let runs: Vec<PageRun> = picture.ranges().collect();
/// assert!(runs[0].state.has(PageState::CACHED));
/// assert_eq!((runs[0].range.start, runs[runs.len() - 1].range.end), (0, 1 << 20));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PageRun {
    /// Which bytes: offsets in the file, or in the map that was asked.
    pub range: Range<u64>,
    /// What is known of each of their pages.
    pub state: PageState,
}

/// The state of each page of a range at one moment. It may be out of date when it is read: it is a picture.
///
/// Kept as runs, so a large file costs little. Offsets are those of whoever was asked: a file's or a map's.
///
/// ```
/// use mapwright_core::{Populate, MapOptions};
/// let map = MapOptions::new().populate(Populate::Now).shared_memory(1 << 20)?;
/// let picture = map.residency(1..200_000)?;
/// assert_eq!(picture.range(), 1..200_000);
/// assert_eq!(picture.page_count(), 200_000u64.div_ceil(picture.page_size()));
/// assert_eq!(picture.totals().cached, picture.page_count());
/// assert!(picture.page(0).unwrap().is_cached());
/// let run = picture.ranges().next().unwrap();     // one run: all pages are in the same state
/// assert_eq!(run.range, 1..200_000);
/// # Ok::<(), mapwright_core::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Residency {
    range: Range<u64>,
    /// How far into its page the first byte of the range lies.
    lead: u64,
    page_size: u64,
    /// Page numbers at which a state begins, and the state.
    runs: Vec<(u64, PageState)>,
    untold: Vec<(Question, WhyUntold)>,
}

/// How many pages are in which state; a page may be counted in several.
///
/// ```
/// use mapwright_core::{MapOptions, PageTotals};
/// let map = MapOptions::new().reserve(1 << 20).shared_memory(0)?;
/// assert_eq!(map.residency(..)?.totals(), PageTotals::default());
/// # Ok::<(), mapwright_core::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct PageTotals {
    /// All pages of the range.
    pub pages: u64,
    /// In memory.
    pub cached: u64,
    /// Changed, and not on their way to the disk.
    pub dirty: u64,
    /// On their way to the disk.
    pub writeback: u64,
    /// Parts of huge pages.
    pub huge: u64,
    /// Locked in memory.
    pub locked: u64,
}

impl Residency {
    /// Starts a picture of `range`, whose first byte lies `lead` bytes into its page.
    pub(super) fn begin(range: Range<u64>, lead: u64, page_size: u64) -> Self {
        assert!(lead < page_size && range.start <= range.end);
        Self { range, lead, page_size, runs: Vec::new(), untold: Vec::new() }
    }

    /// Adds the states of the pages from `first` on; pages are added in order.
    pub(super) fn add(&mut self, first: u64, states: &[PageState]) {
        for (page, &state) in (first..).zip(states) {
            if self.runs.last().is_none_or(|&(_, last)| last != state) {
                self.runs.push((page, state));
            }
        }
    }

    /// Notes that a question was not answered.
    pub(super) fn note(&mut self, question: Question, why: WhyUntold) {
        if self.why_untold(question).is_none() {
            self.untold.push((question, why));
        }
    }

    /// Returns the size of a page in bytes.
    #[must_use]
    pub fn page_size(&self) -> u64 {
        self.page_size
    }

    /// Returns the bytes that were asked about.
    #[must_use]
    pub fn range(&self) -> Range<u64> {
        self.range.clone()
    }

    /// Returns how many pages the range touches.
    #[must_use]
    pub fn page_count(&self) -> u64 {
        let bytes = self.range.end - self.range.start;
        if bytes == 0 { 0 } else { (self.lead + bytes).div_ceil(self.page_size) }
    }

    /// Returns why a question was not answered, or `None` where it was.
    ///
    /// Where [`Question::Presence`] was not answered, every page is reported absent and nothing is known.
    #[must_use]
    pub fn why_untold(&self, question: Question) -> Option<WhyUntold> {
        self.untold.iter().find(|(asked, _)| *asked == question).map(|&(_, why)| why)
    }

    /// Returns every question that was not answered, and why.
    #[must_use]
    pub fn untold(&self) -> &[(Question, WhyUntold)] {
        &self.untold
    }

    /// Returns the state of one page, counted from the range's first; `None` beyond the last.
    #[must_use]
    pub fn page(&self, index: u64) -> Option<PageState> {
        if index >= self.page_count() {
            return None;
        }
        let after = self.runs.partition_point(|&(first, _)| first <= index);
        Some(after.checked_sub(1).map_or(PageState::ABSENT, |run| self.runs[run].1))
    }

    /// Returns the state of each page in order.
    pub fn pages(&self) -> impl Iterator<Item = PageState> + '_ {
        self.page_runs().flat_map(|(pages, state)| pages.map(move |_| state))
    }

    /// Returns the runs of equal state in order, as byte ranges cut to the range that was asked about.
    pub fn ranges(&self) -> impl Iterator<Item = PageRun> + '_ {
        self.page_runs().map(|(pages, state)| {
            let start = self.byte_of(pages.start);
            let end = self.byte_of(pages.end);
            PageRun { range: start..end, state }
        })
    }

    /// Counts the pages in each state.
    #[must_use]
    pub fn totals(&self) -> PageTotals {
        let mut totals = PageTotals { pages: self.page_count(), ..PageTotals::default() };
        for (pages, state) in self.page_runs() {
            let count = pages.end - pages.start;
            let add = |to: &mut u64, set: bool| *to += if set { count } else { 0 };
            add(&mut totals.cached, state.is_cached());
            add(&mut totals.dirty, state.is_dirty());
            add(&mut totals.writeback, state.is_in_writeback());
            add(&mut totals.huge, state.is_huge());
            add(&mut totals.locked, state.is_locked());
        }
        totals
    }

    /// The runs as page numbers.
    fn page_runs(&self) -> impl Iterator<Item = (Range<u64>, PageState)> + '_ {
        let ends = self.runs.iter().skip(1).map(|&(first, _)| first).chain([self.page_count()]);
        self.runs.iter().zip(ends).map(|(&(first, state), end)| (first..end, state))
    }

    /// The first byte of a page, cut to the range.
    fn byte_of(&self, page: u64) -> u64 {
        let from_first_page = page.saturating_mul(self.page_size);
        let from_start = from_first_page.saturating_sub(self.lead);
        self.range.start.saturating_add(from_start).min(self.range.end)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn an_empty_range_has_no_page_and_no_run() {
        let picture = Residency::begin(100..100, 100, 4096);
        assert_eq!((picture.page_count(), picture.pages().count(), picture.ranges().count()), (0, 0, 0));
        assert_eq!(picture.page(0), None);
    }

    proptest! {
        #[test]
        fn runs_and_pages_tell_the_same(
            bits in proptest::collection::vec(0u8..32, 1..60),
            lead in 0u64..4096,
            cut in 0u64..4096,
            chunk in 1usize..9,
        ) {
            let states: Vec<PageState> = bits.iter().map(|&bits| PageState(bits)).collect();
            let pages = states.len() as u64;
            let whole = pages * 4096 - lead;
            let bytes = whole.saturating_sub(cut).max(whole.saturating_sub(4095)).max(1);
            let mut picture = Residency::begin(1000..1000 + bytes, lead, 4096);
            for (index, part) in states.chunks(chunk).enumerate() {
                picture.add((index * chunk) as u64, part);
            }
            prop_assume!(picture.page_count() == pages);
            prop_assert_eq!(picture.pages().collect::<Vec<_>>(), states.clone());
            for (index, &state) in states.iter().enumerate() {
                prop_assert_eq!(picture.page(index as u64), Some(state));
            }
            let runs: Vec<PageRun> = picture.ranges().collect();
            prop_assert_eq!(runs[0].range.start, 1000);
            prop_assert_eq!(runs[runs.len() - 1].range.end, 1000 + bytes);
            for two in runs.windows(2) {
                prop_assert!(two[0].range.end == two[1].range.start && two[0].state != two[1].state);
            }
            let cached = states.iter().filter(|state| state.is_cached()).count();
            prop_assert_eq!(picture.totals().cached, cached as u64);
        }
    }
}
