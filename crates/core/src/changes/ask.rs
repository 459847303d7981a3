//! Asking the kernel about pages: who is asked what, in which order, and what is made of the answers.
//!
//! mincore(2) answers page by page, but says "resident" to everything where the caller neither owns the file
//! nor may write it. cachestat(2) (Linux 6.5) counts, needs no mapping, and refuses such callers since 6.13.
//! So cachestat is asked first: often one call settles everything; where it and mincore disagree, cachestat
//! is asked again for halves. Dirty pages and write-back are found in the same way. Huge and locked pages
//! are looked for where they are mapped, or through a window.

use std::io;
use std::os::fd::BorrowedFd;

use super::pages::Pages;
use super::range;
use super::states::{PageState, Question, Residency, WhyUntold};
use super::window::{WINDOW, Window};
use crate::sys::memory::CacheStat;
use crate::sys::{memory as kernel, page, pagemap, permission, smaps};

const CACHESTAT: WhyUntold = WhyUntold::KernelLacks("cachestat(2) (Linux 6.5)");
const SCAN: WhyUntold = WhyUntold::KernelLacks("PAGEMAP_SCAN (Linux 6.7)");
const KPAGEFLAGS: WhyUntold = WhyUntold::NeedsRoot("/proc/kpageflags");

pub(super) fn page_bytes() -> u64 {
    range::wide(page::size())
}

/// How much is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Detail {
    Less,
    More,
}

/// Whether the pages can be dirty.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Writes {
    /// As pages of a file's cache.
    Cached,
    /// There is no disk that they could go to.
    Never,
}

/// Whose pages are asked about. They are counted from the first of the range.
pub(super) struct Subject<'a> {
    /// The file whose cache the pages are, and the offset of the first.
    pub(super) cache: Option<(BorrowedFd<'a>, u64)>,
    /// Where they are mapped, if they are.
    pub(super) pages: Option<Pages<'a>>,
    pub(super) writes: Writes,
}

impl Subject<'_> {
    /// Asks everything about all pages of the picture.
    pub(super) fn draw(&self, mut picture: Residency, detail: Detail) -> io::Result<Residency> {
        let total = picture.page_count();
        let at_once = WINDOW / page_bytes();
        let mut first = 0;
        while first < total {
            let count = at_once.min(total - first);
            let mut states = vec![PageState::ABSENT; range::narrow(count)];
            let stat = self.cache.map(|_| self.stat(first, count));
            if self.presence(first, &mut states, stat.as_ref(), &mut picture)? {
                self.writes(first, &mut states, stat.as_ref(), &mut picture)?;
                if detail == Detail::More {
                    self.look(first, &mut states, &mut picture)?;
                }
            }
            picture.add(first, &states);
            first += count;
        }
        if detail == Detail::Less {
            picture.note(Question::Huge, WhyUntold::NotAsked);
            picture.note(Question::Locked, WhyUntold::NotAsked);
        }
        Ok(picture)
    }

    /// Counts what is cached of some pages.
    fn stat(&self, first: u64, count: u64) -> io::Result<CacheStat> {
        let (file, offset) = self.cache.ok_or_else(|| io::Error::from_raw_os_error(libc::EBADF))?;
        kernel::cache_stat(file, offset + first * page_bytes(), count * page_bytes())
    }

    /// Finds out which pages are in memory; returns whether that could be found out.
    fn presence(
        &self,
        first: u64,
        states: &mut [PageState],
        stat: Option<&io::Result<CacheStat>>,
        picture: &mut Residency,
    ) -> io::Result<bool> {
        let count = range::wide(states.len());
        match stat {
            Some(Ok(stat)) if stat.cached == 0 => return Ok(true),
            Some(Ok(stat)) if stat.cached >= count => {
                states.fill(PageState::CACHED);
                return Ok(true);
            }
            _ => {}
        }
        let mut answers = vec![0u8; states.len()];
        match self.mincore(first, &mut answers) {
            Ok(()) => {}
            Err(error) if matches!(error.raw_os_error(), Some(libc::ENODEV | libc::EACCES | libc::EPERM)) => {
                if let Some(Ok(_)) = stat {
                    return self.halve(first, states, Ask::Cached).map(|()| true);
                }
                picture.note(Question::Presence, WhyUntold::CannotMap);
                return Ok(false);
            }
            Err(error) => return Err(error),
        }
        if answers.iter().all(|answer| answer & 1 == 1) {
            // The truth, or what everybody is told who may not know.
            match (stat, self.cache) {
                (Some(Ok(_)), _) => return self.halve(first, states, Ask::Cached).map(|()| true),
                (Some(Err(_)), Some((file, _))) if !permission::owns_or_may_write(file) => {
                    picture.note(Question::Presence, WhyUntold::NotPermitted);
                    return Ok(false);
                }
                _ => {}
            }
        }
        for (state, answer) in states.iter_mut().zip(answers) {
            if answer & 1 == 1 {
                *state = PageState::CACHED;
            }
        }
        Ok(true)
    }

    fn mincore(&self, first: u64, answers: &mut [u8]) -> io::Result<()> {
        match (self.pages, self.cache) {
            (Some(pages), _) => pages.residency(range::narrow(first), answers),
            (None, Some((file, offset))) => {
                let bytes = range::wide(answers.len()) * page_bytes();
                Window::open(file, offset + first * page_bytes(), bytes)?.residency(answers)
            }
            (None, None) => Err(io::Error::from_raw_os_error(libc::EBADF)),
        }
    }

    /// Finds out which pages are dirty or being written back.
    fn writes(
        &self,
        first: u64,
        states: &mut [PageState],
        stat: Option<&io::Result<CacheStat>>,
        picture: &mut Residency,
    ) -> io::Result<()> {
        match stat {
            Some(Ok(stat)) if stat.dirty == 0 && stat.writeback == 0 => Ok(()),
            Some(Ok(_)) => self.halve(first, states, Ask::Writes),
            Some(Err(error)) => {
                let denied = matches!(error.raw_os_error(), Some(libc::EPERM | libc::EACCES));
                let why = if denied { WhyUntold::NotPermitted } else { CACHESTAT };
                picture.note(Question::Writes, why);
                Ok(())
            }
            None => {
                if self.writes == Writes::Cached {
                    picture.note(Question::Writes, WhyUntold::NotAsked);
                }
                Ok(())
            }
        }
    }

    /// Asks cachestat about ever smaller halves, until all pages of each are in one state.
    fn halve(&self, first: u64, states: &mut [PageState], ask: Ask) -> io::Result<()> {
        let count = range::wide(states.len());
        let stat = self.stat(first, count)?;
        let counts: &[(u64, PageState)] = match ask {
            Ask::Cached => &[(stat.cached, PageState::CACHED)],
            Ask::Writes => &[(stat.dirty, PageState::DIRTY), (stat.writeback, PageState::WRITEBACK)],
        };
        if counts.iter().all(|&(pages, _)| pages == 0 || pages >= count) {
            for state in states.iter_mut() {
                for &(_, found) in counts.iter().filter(|&&(pages, _)| pages > 0) {
                    // A page that is dirty is in memory, even if it was not when mincore was asked.
                    *state = state.with(found).with(PageState::CACHED);
                }
            }
            return Ok(());
        }
        let (left, right) = states.split_at_mut(states.len() / 2);
        let middle = first + range::wide(left.len());
        self.halve(first, left, ask)?;
        self.halve(middle, right, ask)
    }

    /// Looks for huge and locked pages among those in memory.
    fn look(&self, first: u64, states: &mut [PageState], picture: &mut Residency) -> io::Result<()> {
        if let Some(pages) = self.pages {
            mark_own_locks(pages, first, states)?;
        }
        let mut at = 0;
        while at < states.len() {
            let run = states[at..].iter().take_while(|state| state.is_cached()).count();
            if run == 0 {
                at += states[at..].iter().take_while(|state| !state.is_cached()).count();
                continue;
            }
            self.look_at(first + range::wide(at), &mut states[at..at + run], picture)?;
            at += run;
        }
        Ok(())
    }

    /// Looks at a run of pages that are in memory: through a window of our own where they are cached, where
    /// they are mapped else.
    fn look_at(&self, first: u64, states: &mut [PageState], picture: &mut Residency) -> io::Result<()> {
        let bytes = range::wide(states.len()) * page_bytes();
        let window;
        let addresses = match (self.cache, self.pages) {
            (Some((file, offset)), _) => match shown(file, offset + first * page_bytes(), bytes) {
                Ok(shown) => {
                    window = shown;
                    window.addresses()
                }
                Err(why) => {
                    picture.note(Question::Huge, why);
                    picture.note(Question::Locked, why);
                    return Ok(());
                }
            },
            (None, Some(pages)) => {
                let start = pages.addresses().start + range::narrow(first * page_bytes());
                start..start + range::narrow(bytes)
            }
            (None, None) => return Ok(()),
        };
        let index = |address: usize| (address - addresses.start) / page::size();
        let huge = pagemap::scan(addresses.clone(), pagemap::IS_HUGE, |found| {
            for state in &mut states[index(found.start)..index(found.end)] {
                *state = state.with(PageState::HUGE);
            }
        });
        if huge.is_err() {
            picture.note(Question::Huge, SCAN);
        }
        let locked = pagemap::flags(addresses.clone(), |address, flags| {
            if flags & (pagemap::KPF_MLOCKED | pagemap::KPF_UNEVICTABLE) != 0 {
                let state = &mut states[index(address)];
                *state = state.with(PageState::LOCKED);
            }
        });
        // What nobody else can map, nobody else can lock.
        if locked.is_err() && self.cache.is_some() {
            picture.note(Question::Locked, KPAGEFLAGS);
        }
        Ok(())
    }
}

/// What cachestat is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Ask {
    Cached,
    Writes,
}

/// Maps cached pages so that they can be looked at.
fn shown(file: BorrowedFd<'_>, offset: u64, bytes: u64) -> Result<Window, WhyUntold> {
    let window = Window::open(file, offset, bytes).map_err(|_| WhyUntold::CannotMap)?;
    // A refusal costs read-ahead or a touch of the pages' age, nothing else.
    let _refused = window.look_only();
    // The file may be cut, or a page lost, meanwhile: what is there can be looked at.
    window.touch();
    Ok(window)
}

/// Marks pages in memory that this process has locked by itself.
fn mark_own_locks(pages: Pages<'_>, first: u64, states: &mut [PageState]) -> io::Result<()> {
    let start = pages.addresses().start + range::narrow(first * page_bytes());
    let addresses = start..start + states.len() * page::size();
    for vma in smaps::mappings(&addresses)?.iter().filter(|vma| vma.has_flag("lo")) {
        let from = vma.addresses.start.max(addresses.start) - addresses.start;
        let to = vma.addresses.end.min(addresses.end) - addresses.start;
        for state in &mut states[from / page::size()..to / page::size()] {
            if state.is_cached() {
                *state = state.with(PageState::LOCKED);
            }
        }
    }
    Ok(())
}
