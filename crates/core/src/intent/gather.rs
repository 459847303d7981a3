//! Many places at once.
//!
//! A loop over a cold map reads one page at a time, or a read-ahead window where one block was wanted. A
//! queue of direct reads keeps the disk busy with just those blocks (measured, 4 KiB blocks: 78 thousand a
//! second at depth 128, where the loop makes 0.6 to 15 thousand). What the page cache has is copied from the
//! map; adjacent places are read together; whatever a direct read does not deliver is asked of the map, which
//! knows how to say why.

#![allow(
    unsafe_code,
    reason = "asks which pages of an owned range are resident; listed in docs/SOUNDNESS.md"
)]

use std::os::fd::AsFd;
use std::time::{Duration, Instant};

use super::cached::{self, Cached};
use crate::error::{Error, Fault, FaultKind, Result};
use crate::map::{Readable, Source};
use crate::ring::{self, BLOCK, Issuer, Reader};
use crate::span::{Span, to_u64};
use crate::sys::{memory, page};
use crate::view::View;

/// Below this many cold places, setting up a queue costs more than it saves.
const FEW: usize = 8;

/// The deepest queue, and the memory that its slots may take together.
const DEPTH: usize = 256;
const SLOTS_BYTES: usize = 16 << 20;

/// Where places lie further apart than so many pages, counting the cached pages of the whole range costs more
/// than copying the places (measured: 3 ns a page); then a few of them are asked about.
const FAR_APART: usize = 64;
const SAMPLE: usize = 8;

/// The largest place that is read at once; longer ones are cut.
const LARGEST: usize = 1 << 20;

/// The largest single read: such a place, and what alignment adds to it.
const LARGEST_READ: usize = LARGEST + BLOCK;

/// One place to read, and where in the caller's buffer it goes.
#[derive(Clone, Copy, Debug)]
struct Place {
    span: Span,
    target: usize,
}

/// One direct read: a run of file blocks, and the places (by index, in the order of the file) that lie in it.
#[derive(Clone, Copy, Debug)]
struct Run {
    start: u64,
    len: usize,
    first: usize,
    places: usize,
}

impl<A: Readable> View<'_, A> {
    /// Copies many places into one buffer, one behind the other in the order given.
    ///
    /// # Errors
    /// `OutOfBounds` before anything is read where a span ends beyond the view or the buffer is not exactly
    /// as long as the spans together; else what the file says about the first place that cannot be read.
    ///
    /// # Kernel
    /// io_uring(7) with `O_DIRECT` for what is not cached; without either, posix_fadvise(2) ahead of the
    /// copies.
    ///
    /// ```
    /// use mapwright_core::{Map, Span};
    /// # let path = tempfile::NamedTempFile::new().unwrap();
    /// # std::fs::write(&path, (0..=255u8).collect::<Vec<_>>()).unwrap();
    /// let map = Map::open(&path)?;
    /// let spans = [Span::new(200, 2), Span::new(3, 1)].map(Option::unwrap);
    /// let mut bytes = [0; 3];
    /// map.view().gather(&spans, &mut bytes)?;
    /// assert_eq!(bytes, [200, 201, 3]);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn gather(&self, spans: &[Span], into: &mut [u8]) -> Result<(), Fault> {
        let mut places = self.place(spans, into.len())?;
        match self.source() {
            Some(source) if places.len() >= FEW => {
                // What is cached is taken first, so that the rest can be read in the order of the file.
                let cold = self.take_cached(source, &mut places, into)?;
                self.take_cold(source, cold, into)
            }
            _ => places.iter().try_for_each(|place| self.take(*place, into)),
        }
    }

    /// Starts reading many places into the page cache, and returns once the reads are on their way.
    ///
    /// # Errors
    /// Where a span ends beyond the view, or the file system refuses.
    ///
    /// # Kernel
    /// posix_fadvise(2), `POSIX_FADV_WILLNEED`. Nothing happens where memory is mapped.
    ///
    /// ```
    /// use mapwright_core::{Map, Span};
    /// # let path = tempfile::NamedTempFile::new().unwrap();
    /// # std::fs::write(&path, vec![7u8; 1 << 20]).unwrap();
    /// let map = Map::open(&path)?;
    /// let wanted = [Span::new(900_000, 100), Span::new(4096, 100)].map(Option::unwrap);
    /// map.view().prefetch(&wanted)?;
    /// // … other work, while the disk reads …
    /// for span in wanted {
    ///     assert_eq!(map.view().load::<u8>(span.offset())?, 7);
    /// }
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn prefetch(&self, spans: &[Span]) -> Result<()> {
        let total = spans.iter().fold(0usize, |sum, span| sum.saturating_add(span.len()));
        let mut places = self.place(spans, total)?;
        let Some(source) = self.source() else { return Ok(()) };
        places.sort_unstable_by_key(|place| place.span.offset());
        for run in self.runs(&places, usize::MAX) {
            announce(source, run.start, run.len)
                .map_err(|cause| Error::os("prefetch from", source.name(), cause))?;
        }
        Ok(())
    }

    /// Checks the spans and lays them out in the buffer.
    fn place(&self, spans: &[Span], room: usize) -> Result<Vec<Place>, Fault> {
        let mut target = 0usize;
        let mut places = Vec::with_capacity(spans.len());
        for &span in spans {
            Span::at(span.offset(), span.len(), self.len())?;
            // Long places are cut, so that no read needs more than a slot.
            for offset in (span.offset()..span.end()).step_by(LARGEST) {
                let len = LARGEST.min(span.end() - offset);
                let piece = Span::at(offset, len, self.len())?;
                places.push(Place { span: piece, target: target.saturating_add(offset - span.offset()) });
            }
            target = target.saturating_add(span.len());
        }
        if target == room { Ok(places) } else { Err(self.fault(FaultKind::OutOfBounds, target.min(room), 0)) }
    }

    /// Copies one place through the map.
    fn take(&self, place: Place, into: &mut [u8]) -> Result<(), Fault> {
        self.copy_to(place.span.offset(), &mut into[place.target..place.target + place.span.len()])
    }

    /// Copies the places that are cached, in the order given, and returns the others in the order of the
    /// file.
    fn take_cached<'a>(
        &self,
        source: &Source,
        places: &'a mut Vec<Place>,
        into: &mut [u8],
    ) -> Result<&'a [Place], Fault> {
        let first = places.iter().map(|place| place.span.offset()).min().unwrap_or(0);
        let end = places.iter().map(|place| place.span.end()).max().unwrap_or(0);
        let state = match (end - first) / page::size() / places.len().max(1) {
            0..=FAR_APART => cached::ask(source.fd(), self.file_offset(first), end - first),
            _ => self.sample(source, places),
        };
        let (mut failure, mut pace) = (None, Pace::assuming(state == Cached::Mostly));
        match state {
            Cached::Nothing => {}
            Cached::Mostly | Cached::Some | Cached::Unknown => places.retain(|&place| {
                let here = pace.is_assumed || self.is_cached(source, place.span);
                if here && failure.is_none() {
                    failure = self.take(place, into).err();
                    pace.took(place.span.len());
                }
                !here
            }),
        }
        places.sort_unstable_by_key(|place| place.span.offset());
        failure.map_or(Ok(&places[..]), Err)
    }

    /// What is so of a few places, taken for all.
    fn sample(&self, source: &Source, places: &[Place]) -> Cached {
        let some = places.iter().step_by(places.len().div_ceil(SAMPLE).max(1));
        let asked = some.clone().count();
        let cached = some.filter(|place| self.is_cached(source, place.span)).count();
        match cached {
            0 => Cached::Nothing,
            _ if cached == asked => Cached::Mostly,
            _ => Cached::Some,
        }
    }

    /// Whether the page cache has every page of a place: counted (measured: 1 µs), or where the kernel does
    /// not count, looked at through the map (2 µs).
    fn is_cached(&self, source: &Source, span: Span) -> bool {
        match cached::ask(source.fd(), self.file_offset(span.offset()), span.len()) {
            Cached::Unknown => self.is_resident(span),
            state => state == Cached::Mostly,
        }
    }

    /// Whether every page of a place is in memory. Where the kernel does not tell, it is taken as cold.
    fn is_resident(&self, span: Span) -> bool {
        let (region, base) = self.parts();
        let start = region.before() + base + span.offset();
        let (from, to) = (page::round_down(start), start + span.len());
        if to - from > LARGEST + page::size() {
            return false;
        }
        let mut pages = [0u8; LARGEST / BLOCK + 2];
        // SAFETY: the place lies in the view, so its pages lie in the region's owned range.
        let address = unsafe { region.base().add(from) };
        let count = (to - from).div_ceil(page::size());
        // SAFETY: the range is the region's, and there is a byte for each of its pages.
        let told = unsafe { memory::residency(address, to - from, &mut pages[..count]) };
        told.is_ok() && pages[..count].iter().all(|page| page & 1 == 1)
    }

    /// Groups places, in the order of the file, into runs of whole blocks of at most `largest` bytes.
    fn runs(&self, places: &[Place], largest: usize) -> Vec<Run> {
        let block = to_u64(BLOCK);
        let mut runs: Vec<Run> = Vec::new();
        for (index, place) in places.iter().enumerate() {
            let start = self.file_offset(place.span.offset());
            let end = self.file_offset(place.span.end()).next_multiple_of(block);
            let start = start - start % block;
            if let Some(run) = runs.last_mut()
                && start <= run.start + to_u64(run.len)
                && end.saturating_sub(run.start) <= to_u64(largest)
            {
                let len = usize::try_from(end - run.start).unwrap_or(usize::MAX);
                run.len = run.len.max(len);
                run.places += 1;
                continue;
            }
            let len = usize::try_from(end - start).unwrap_or(usize::MAX);
            runs.push(Run { start, len, first: index, places: 1 });
        }
        runs
    }

    /// Reads cold places by a queue of direct reads.
    fn take_cold(&self, source: &Source, cold: &[Place], into: &mut [u8]) -> Result<(), Fault> {
        if cold.is_empty() {
            return Ok(());
        }
        let runs = self.runs(cold, LARGEST_READ);
        let longest = runs.iter().map(|run| run.len).max().unwrap_or(BLOCK).min(LARGEST_READ);
        let slot_len = longest.next_multiple_of(BLOCK);
        let depth = (SLOTS_BYTES / slot_len).clamp(4, DEPTH).min(runs.len());
        let queue = (cold.len() >= FEW).then(|| {
            let file = ring::open_direct(source.fd()).ok()?;
            Some((file, Reader::new(depth, slot_len, Issuer::OneThread).ok()?))
        });
        match queue.flatten() {
            Some((file, mut reader)) => self.read_runs(&file, &mut reader, &runs, cold, into),
            None => self.copy_announced(source, &runs, cold, into),
        }
    }

    /// Keeps the queue full until every run was read.
    fn read_runs(
        &self,
        file: &impl AsFd,
        reader: &mut Reader,
        runs: &[Run],
        cold: &[Place],
        into: &mut [u8],
    ) -> Result<(), Fault> {
        let mut waiting = runs.iter().enumerate();
        let mut running: Vec<Option<usize>> = vec![None; reader.slots()];
        // Topping up a quarter at a time keeps the number of calls down and the disk busy.
        let quarter = (reader.slots() / 4).max(1);
        let mut done = 0;
        while done < runs.len() {
            while let Some(slot) = reader.free_slot() {
                let Some((index, run)) = waiting.next() else { break };
                reader.queue(slot, file.as_fd(), run.start, run.len.min(reader.slot_len()));
                running[slot] = Some(index);
            }
            if reader.submit(quarter.min(runs.len() - done)).is_err() {
                // The queue is of no use any more; the map can still answer.
                return cold.iter().try_for_each(|&place| self.take(place, into));
            }
            for (slot, index) in running.iter_mut().enumerate() {
                let Some(result) = index.and_then(|_| reader.result(slot)) else { continue };
                let run = runs[index.take().expect("a slot with a result runs")];
                let read = result.unwrap_or(0);
                for &place in &cold[run.first..run.first + run.places] {
                    self.deliver(place, run, &reader.bytes(slot)[..read.min(run.len)], into)?;
                }
                reader.release(slot);
                done += 1;
            }
        }
        Ok(())
    }

    /// Copies one place out of a run's bytes; what they do not hold is asked of the map.
    fn deliver(&self, place: Place, run: Run, bytes: &[u8], into: &mut [u8]) -> Result<(), Fault> {
        let from = self.file_offset(place.span.offset()).saturating_sub(run.start);
        let from = usize::try_from(from).unwrap_or(usize::MAX);
        match bytes.get(from..from.saturating_add(place.span.len())) {
            Some(bytes) => {
                into[place.target..place.target + bytes.len()].copy_from_slice(bytes);
                Ok(())
            }
            None => self.take(place, into),
        }
    }

    /// Without a queue: tells the kernel about the runs ahead, then copies through the map.
    fn copy_announced(
        &self,
        source: &Source,
        runs: &[Run],
        cold: &[Place],
        into: &mut [u8],
    ) -> Result<(), Fault> {
        for (index, run) in runs.iter().enumerate() {
            if index % DEPTH == 0 {
                for ahead in &runs[index..runs.len().min(index + DEPTH)] {
                    // Advice: without it the copy below waits for its own page.
                    let _slower = announce(source, ahead.start, ahead.len);
                }
            }
            cold[run.first..run.first + run.places].iter().try_for_each(|&place| self.take(place, into))?;
        }
        Ok(())
    }
}

/// Whether all places may be taken as cached: for as long as copying them takes no longer than it does in
/// memory.
struct Pace {
    is_assumed: bool,
    since: Instant,
    places: usize,
    bytes: usize,
}

impl Pace {
    /// So many places are copied between two looks at the clock, which cost as much as some of them.
    const PLACES: usize = 16;

    fn assuming(is_assumed: bool) -> Self {
        Self { is_assumed, since: Instant::now(), places: 0, bytes: 0 }
    }

    /// A place was copied. Where some had to wait for the disk, each is asked about from here on.
    fn took(&mut self, len: usize) {
        self.places += 1;
        self.bytes = self.bytes.saturating_add(len);
        if self.is_assumed && self.places == Self::PLACES {
            let in_memory = Duration::from_micros(50) + Duration::from_nanos(to_u64(self.bytes));
            *self = Self::assuming(self.since.elapsed() < in_memory);
        }
    }
}

/// Asks the kernel to read a range of a file ahead.
fn announce(source: &Source, start: u64, len: usize) -> std::io::Result<()> {
    let len = std::num::NonZeroU64::new(to_u64(len));
    Ok(rustix::fs::fadvise(source.fd(), start, len, rustix::fs::Advice::WillNeed)?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::map::{Map, MapOptions};
    use proptest::prelude::*;

    fn file_of(len: usize) -> (tempfile::NamedTempFile, Vec<u8>) {
        let content: Vec<u8> = (0..len).map(|index| (index * 7 + index / 4096).to_le_bytes()[0]).collect();
        let file = tempfile::NamedTempFile::new_in(".").unwrap();
        std::fs::write(&file, &content).unwrap();
        file.as_file().sync_all().unwrap();
        (file, content)
    }

    fn make_cold(file: &tempfile::NamedTempFile) {
        rustix::fs::fadvise(file.as_file(), 0, None, rustix::fs::Advice::DontNeed).unwrap();
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(40))]
        #[test]
        fn gather_delivers_what_slices_show(
            spans in proptest::collection::vec((0usize..2_999_000, 0usize..9_000), 0..60),
            lead in 0u64..5_000, cold in any::<bool>(),
        ) {
            let (file, content) = file_of(3_010_000);
            if cold {
                make_cold(&file);
            }
            let map = MapOptions::new().offset(lead).open(&file).unwrap();
            let content = &content[usize::try_from(lead).unwrap()..];
            let fit = |&(offset, len): &(usize, usize)| {
                Span::new(offset.min(content.len() - len), len).unwrap()
            };
            let spans: Vec<Span> = spans.iter().map(fit).collect();
            let wanted: Vec<u8> = spans.iter().flat_map(|span| content[span.range()].to_vec()).collect();
            let mut bytes = vec![0u8; wanted.len()];
            map.view().prefetch(&spans[..spans.len() / 2]).unwrap();
            map.view().gather(&spans, &mut bytes).unwrap();
            prop_assert!(bytes == wanted);
        }
    }

    #[test]
    fn a_place_longer_than_a_slot_comes_whole() {
        let (file, content) = file_of(9_000_000);
        make_cold(&file);
        let map = Map::open(&file).unwrap();
        let mut bytes = vec![0u8; 8_900_000];
        map.view().gather(&[Span::new(77, bytes.len()).unwrap()], &mut bytes).unwrap();
        assert!(bytes == content[77..77 + bytes.len()]);
    }

    #[test]
    fn a_truncated_place_is_a_fault_and_a_wrong_buffer_touches_nothing() {
        let (file, _) = file_of(1_000_000);
        let map = Map::open(&file).unwrap();
        let spans: Vec<Span> = (0..100).map(|index| Span::new(index * 10_000, 100).unwrap()).collect();
        let mut bytes = vec![0u8; 10_000];
        let short = map.view().gather(&spans, &mut bytes[..9_999]).unwrap_err();
        assert_eq!(short.kind(), FaultKind::OutOfBounds);
        file.as_file().set_len(500_000).unwrap();
        make_cold(&file);
        let fault = map.view().gather(&spans, &mut bytes).unwrap_err();
        assert_eq!(fault.kind(), FaultKind::Truncated);
        assert!(fault.offset() >= 500_000, "{fault:?}");
    }
}
