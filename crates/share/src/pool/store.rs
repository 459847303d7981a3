//! The chunks: who has which, and what becomes of those that the dead had.
//!
//! Every change of a chunk's place is one change of its word, which names the new owner: there is no moment
//! at which a chunk is nobody's. An owner that is alive stores; everybody else exchanges what they have seen.

use std::fmt;
use std::sync::Arc;

use mapwright_core::peer::{Bell, Line, Oracle, Ordering, Placed, Shared, Word64, fence};
use mapwright_core::{Fault, Result};

use super::PoolOptions;
use super::word::{State, Word, short_of};
use crate::figure::Figure;
use crate::object::Site;

/// What is known of a chunk.
#[derive(Debug, Default, Shared)]
#[shared(crate = "mapwright_core")]
#[repr(C, align(128))]
pub(super) struct Chunk {
    /// Where it is; see [`Word`].
    pub(super) word: Word64,
    /// The whole generation, valid while the chunk is neither free nor spare.
    pub(super) generation: Word64,
    /// How many bytes its owner has written.
    pub(super) len: Word64,
}

/// What a pool is made of, and what this process remembers of it.
pub(super) struct Store {
    freed: Placed<Line<Bell>>,
    chunks: Placed<[Chunk]>,
    /// So many words for each chunk, one for each who reads what is published.
    holds: Placed<[Word64]>,
    hold_stride: usize,
    bytes: Placed<[Word64]>,
    byte_stride: usize,
    chunk_len: usize,
    oracle: Arc<dyn Oracle>,
    me: u32,
    memory: Memory,
}

/// What makes the next loan quick. Private to the process, and no more than hints.
#[derive(Debug, Default)]
struct Memory {
    /// The spare chunk's index, and one; 0 for none.
    spare: Word64,
    /// The last four chunks that were handed over, likewise, in 16 bits each: they are likely to be back,
    /// and in the cache.
    recent: Word64,
    /// Where to look otherwise.
    next: Word64,
}

/// Whether chunks are taken back whose messages may still be under way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Transit {
    Keep,
    TakeBack,
}

impl Store {
    pub(super) fn at(site: &Site) -> Result<Self> {
        let [chunk_len, chunks, readers, ..] = site.parameters();
        let options = PoolOptions { chunk_len, chunks, readers };
        let parts = options.parts().map_err(|error| site.damaged(error.to_string()))?;
        let [_, (_, chunks), (_, holds), (_, words)] = parts;
        let mut room = site.parts();
        let freed = room.one()?;
        let (chunks, holds, bytes) = (room.many(chunks)?, room.many(holds)?, room.many(words)?);
        let chunk_len = usize::try_from(chunk_len).unwrap_or(0);
        Ok(Self::new(freed, chunks, holds, bytes, chunk_len, Arc::clone(site.oracle())))
    }

    pub(super) fn new(
        freed: Placed<Line<Bell>>,
        chunks: Placed<[Chunk]>,
        holds: Placed<[Word64]>,
        bytes: Placed<[Word64]>,
        chunk_len: usize,
        oracle: Arc<dyn Oracle>,
    ) -> Self {
        let count = chunks.len().max(1);
        let (hold_stride, byte_stride) = (holds.len() / count, bytes.len() / count);
        let me = short_of(&*oracle);
        let memory = Memory::default();
        Self { freed, chunks, holds, hold_stride, bytes, byte_stride, chunk_len, oracle, me, memory }
    }

    #[inline]
    pub(super) fn check(&self) -> Result<(), Fault> {
        self.chunks.check()
    }

    pub(super) const fn me(&self) -> u32 {
        self.me
    }

    pub(super) fn bell(&self) -> Placed<Bell> {
        self.freed.part(|line| &**line)
    }

    pub(super) fn freed(&self) -> &Bell {
        &self.freed
    }

    pub(super) const fn chunk_len(&self) -> usize {
        self.chunk_len
    }

    pub(super) fn count(&self) -> usize {
        self.chunks.len()
    }

    #[inline]
    pub(super) fn chunk(&self, index: usize) -> Option<&Chunk> {
        self.chunks.get(index)
    }

    /// Returns a chunk's words; none where there is no such chunk.
    #[inline]
    pub(super) fn bytes(&self, index: usize) -> &[Word64] {
        let start = index.saturating_mul(self.byte_stride);
        self.bytes.get(start..start.saturating_add(self.byte_stride)).unwrap_or(&[])
    }

    fn holds(&self, index: usize) -> &[Word64] {
        let start = index.saturating_mul(self.hold_stride);
        self.holds.get(start..start.saturating_add(self.hold_stride)).unwrap_or(&[])
    }

    /// Takes a free chunk: the spare one, one that was handed over lately, any, somebody's spare.
    #[inline]
    pub(super) fn take(&self) -> Option<(usize, Word)> {
        let spare = self.memory.spare.load(Ordering::Relaxed);
        if spare != 0 {
            let index = index_of(self.memory.spare.swap(0, Ordering::Relaxed));
            if let Some(taken) = self.take_if(index, |word| word.is(State::Spare, self.me)) {
                return Some(taken);
            }
        }
        self.recent().find_map(|index| self.take_free(index)).or_else(|| self.search())
    }

    fn search(&self) -> Option<(usize, Word)> {
        let next = usize::try_from(self.memory.next.load(Ordering::Relaxed)).unwrap_or(0);
        let taken = self.round_from(next).find_map(|index| self.take_free(index)).or_else(|| {
            self.round_from(next).find_map(|index| self.take_if(index, |word| word.state() == State::Spare))
        });
        if let Some((index, _)) = taken {
            self.memory.next.store(to_u64(index + 1), Ordering::Relaxed);
        }
        taken
    }

    fn round_from(&self, next: usize) -> impl Iterator<Item = usize> {
        let count = self.count();
        let next = if next < count { next } else { 0 };
        (next..count).chain(0..next)
    }

    fn take_free(&self, index: usize) -> Option<(usize, Word)> {
        self.take_if(index, |word| word.state() == State::Free)
    }

    fn take_if(&self, index: usize, is_right: impl Fn(Word) -> bool) -> Option<(usize, Word)> {
        let chunk = self.chunk(index)?;
        let seen = Word(chunk.word.load(Ordering::Acquire));
        let loaned = seen.to_loaned(self.me);
        (is_right(seen) && self.exchange(index, seen, loaned)).then(|| {
            self.begin(chunk, loaned);
            (index, loaned)
        })
    }

    /// Counts the generation up to the one that the word says.
    pub(super) fn begin(&self, chunk: &Chunk, loaned: Word) {
        let before = chunk.generation.load(Ordering::Relaxed);
        // Several steps where somebody died between the word and this.
        let known = u32::try_from(before & u64::from(u32::MAX)).unwrap_or(0);
        let steps = loaned.generation().wrapping_sub(known);
        chunk.generation.store(before.wrapping_add(u64::from(steps)), Ordering::Relaxed);
        chunk.len.store(0, Ordering::Relaxed);
    }

    /// Changes a word that is as it was seen.
    pub(super) fn exchange(&self, index: usize, seen: Word, new: Word) -> bool {
        self.chunk(index).is_some_and(|chunk| {
            chunk.word.compare_exchange(seen.0, new.0, Ordering::AcqRel, Ordering::Relaxed).is_ok()
        })
    }

    /// Changes the word of a chunk that this process owns, which nobody else does.
    #[inline]
    pub(super) fn set(&self, index: usize, new: Word) {
        if let Some(chunk) = self.chunk(index) {
            chunk.word.store(new.0, Ordering::Release);
        }
    }

    /// Gives back a chunk that this process owns alone.
    #[inline]
    pub(super) fn give_back(&self, index: usize, word: Word) {
        self.set(index, word.to(State::Free, 0));
        self.freed().ring();
    }

    /// Remembers that a chunk was handed over.
    pub(super) fn remember(&self, index: usize) {
        if index < usize::from(u16::MAX) {
            let recent = self.memory.recent.load(Ordering::Relaxed);
            self.memory.recent.store(recent << 16 | to_u64(index + 1), Ordering::Relaxed);
        }
    }

    /// The chunks handed over lately, the oldest first.
    fn recent(&self) -> impl Iterator<Item = usize> {
        let recent = self.memory.recent.load(Ordering::Relaxed);
        let shifts = [48, 32, 16, 0].into_iter();
        shifts.map(move |shift| recent >> shift & 0xffff).filter(|&number| number != 0).map(index_of)
    }

    /// Looks out a chunk for the next loan, if one is at hand: now, while nobody waits for it.
    pub(super) fn look_ahead(&self) {
        if self.memory.spare.load(Ordering::Relaxed) != 0 {
            return;
        }
        let next = usize::try_from(self.memory.next.load(Ordering::Relaxed)).unwrap_or(0);
        let found = self.recent().chain(self.round_from(next).take(4)).find(|&index| {
            let seen = self.chunk(index).map(|chunk| Word(chunk.word.load(Ordering::Acquire)));
            seen.is_some_and(|seen| {
                seen.state() == State::Free && self.exchange(index, seen, seen.to(State::Spare, self.me))
            })
        });
        if let Some(index) = found {
            self.drop_spare(self.memory.spare.swap(to_u64(index + 1), Ordering::Relaxed));
        }
    }

    fn drop_spare(&self, number: u64) {
        let index = index_of(number);
        let Some(chunk) = self.chunk(index).filter(|_| number != 0) else { return };
        let seen = Word(chunk.word.load(Ordering::Relaxed));
        if seen.is(State::Spare, self.me) && self.exchange(index, seen, seen.to(State::Free, 0)) {
            self.freed().ring();
        }
    }

    /// Takes a hold on a published chunk whose word was seen: which one. `Ok(None)` where it was taken back,
    /// `Err` where all holds are others'.
    pub(super) fn hold(&self, index: usize, seen: Word) -> Result<Option<usize>, ()> {
        let mine = seen.to(State::Held, self.me);
        let holds = self.holds(index);
        let first = usize::try_from(self.me).unwrap_or(0) % holds.len().max(1);
        let taken = (first..holds.len()).chain(0..first).find(|&at| {
            let there = Word(holds[at].load(Ordering::Relaxed));
            (there.0 == 0 || !self.is_alive(there.owner()))
                && holds[at].compare_exchange(there.0, mine.0, Ordering::AcqRel, Ordering::Relaxed).is_ok()
        });
        let Some(at) = taken else { return Err(()) };
        // Either whoever takes the chunk back sees the hold, or this sees that it was taken back.
        fence(Ordering::SeqCst);
        let now = self.chunk(index).map(|chunk| Word(chunk.word.load(Ordering::Acquire)));
        if now == Some(seen) {
            return Ok(Some(at));
        }
        self.let_go(index, at);
        Ok(None)
    }

    /// Lets go of a hold, and frees the chunk if it was the last one on a chunk that was taken back.
    pub(super) fn let_go(&self, index: usize, at: usize) {
        if let Some(hold) = self.holds(index).get(at) {
            hold.store(0, Ordering::Release);
        }
        self.free_if_unheld(index);
    }

    /// Takes back a published chunk: from now on nobody redeems it.
    pub(super) fn retire(&self, index: usize, published: Word) {
        if self.exchange(index, published, published.to(State::Retired, published.owner())) {
            self.free_if_unheld(index);
        }
    }

    fn free_if_unheld(&self, index: usize) -> bool {
        fence(Ordering::SeqCst);
        let Some(chunk) = self.chunk(index) else { return false };
        let seen = Word(chunk.word.load(Ordering::Acquire));
        if seen.state() != State::Retired {
            return false;
        }
        for hold in self.holds(index) {
            let held = Word(hold.load(Ordering::Acquire));
            // Holds of other generations are about to be let go of: they came too late.
            if held.0 == 0 || held.generation() != seen.generation() {
                continue;
            }
            if self.is_alive(held.owner()) {
                return false;
            }
            let _settled = hold.compare_exchange(held.0, 0, Ordering::AcqRel, Ordering::Relaxed);
        }
        let freed = self.exchange(index, seen, seen.to(State::Free, 0));
        if freed {
            self.freed().ring();
        }
        freed
    }

    /// Frees what the dead had; returns how many chunks came free.
    pub(super) fn recover(&self, transit: Transit) -> usize {
        let mut known = Vec::new();
        let mut recovered = 0;
        for (index, chunk) in self.chunks.iter().enumerate() {
            let seen = Word(chunk.word.load(Ordering::Acquire));
            let is_free = match seen.state() {
                State::Free => false,
                State::Retired => self.free_if_unheld(index),
                state if self.is_dead(seen.owner(), &mut known) || state == State::Unknown => {
                    let is_under_way = matches!(state, State::Sent | State::Published);
                    match state {
                        _ if is_under_way && transit == Transit::Keep => false,
                        State::Published => {
                            self.exchange(index, seen, seen.to(State::Retired, seen.owner()))
                                && self.free_if_unheld(index)
                        }
                        _ => self.exchange(index, seen, seen.to(State::Free, 0)),
                    }
                }
                _ => false,
            };
            recovered += usize::from(is_free);
        }
        if recovered > 0 {
            self.freed().ring();
        }
        recovered
    }

    /// Asks about each owner once.
    fn is_dead(&self, owner: u32, known: &mut Vec<(u32, bool)>) -> bool {
        if let Some(&(_, is_dead)) = known.iter().find(|(who, _)| *who == owner) {
            return is_dead;
        }
        let is_dead = !self.is_alive(owner);
        known.push((owner, is_dead));
        is_dead
    }

    fn is_alive(&self, owner: u32) -> bool {
        owner == self.me || self.oracle.is_short_alive(owner)
    }

    /// Returns how many chunks are in each state.
    pub(super) fn states(&self) -> [usize; 8] {
        let mut counts = [0; 8];
        for chunk in self.chunks.iter() {
            counts[Word(chunk.word.load(Ordering::Acquire)).state() as usize] += 1;
        }
        counts
    }

    pub(super) fn figures(&self) -> Vec<Figure> {
        let of_dead = |chunk: &&Chunk| {
            let word = Word(chunk.word.load(Ordering::Acquire));
            !matches!(word.state(), State::Free) && !self.is_alive(word.owner())
        };
        let mut figures = vec![
            Figure::number("chunk bytes", to_u64(self.chunk_len)),
            Figure::number("chunks", to_u64(self.count())),
        ];
        let counts = self.states();
        figures.extend(State::ALL.map(|(state, name)| Figure::number(name, to_u64(counts[state as usize]))));
        figures.push(Figure::number("of the dead", to_u64(self.chunks.iter().filter(of_dead).count())));
        figures
    }
}

impl fmt::Debug for Store {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (chunks, chunk_len) = (self.count(), self.chunk_len);
        f.debug_struct("Store")
            .field("chunks", &chunks)
            .field("chunk_len", &chunk_len)
            .finish_non_exhaustive()
    }
}

impl Drop for Store {
    fn drop(&mut self) {
        // In a forked child the spare chunk is the parent's.
        if self.check().is_ok() {
            self.drop_spare(self.memory.spare.load(Ordering::Relaxed));
        }
    }
}

fn index_of(number: u64) -> usize {
    usize::try_from(number).unwrap_or(0).wrapping_sub(1)
}

pub(super) fn to_u64(count: usize) -> u64 {
    u64::try_from(count).unwrap_or(u64::MAX)
}
