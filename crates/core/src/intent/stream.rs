//! All bytes of a view in order, as fast as the device gives them.
//!
//! Window by window the page cache is asked: what it holds is copied from the map, what it does not hold is
//! read past it, by direct reads of which 16 to 64 MiB are in flight (measured: 2.9 GB/s where plain mmap
//! gives 0.9 to 2.3, depending on the device's read-ahead setting, on which direct reads do not depend). They
//! leave the page cache as it was, so there is nothing to drop behind. Where a file cannot be read directly,
//! or on request ([`StreamOptions::fill_cache`]), a helper thread populates the map ahead of the reader
//! instead.

use std::sync::Arc;

use super::cached::{self, Cached};
use super::direct::Direct;
use super::window::Window;
use crate::error::{Fault, Result};
use crate::map::{Access, Readable, Source};
use crate::span::to_u64;
use crate::sys::fork::{self, Generation};
use crate::view::View;

/// How much is copied from the map at once: fits into a core's own cache beside the consumer's data.
const COPY: usize = 256 << 10;

/// What a helper populates at once, and how far ahead of the reader.
const PIECE: usize = 4 << 20;
const AHEAD: usize = 64 << 20;

/// Below this size it does not pay to set anything up.
const SMALL: usize = 4 << 20;

/// How to stream.
///
/// ```
/// use mapwright_core::{Map, StreamOptions};
/// # let path = tempfile::NamedTempFile::new().unwrap();
/// # std::fs::write(&path, vec![1u8; 5 << 20]).unwrap();
/// let map = Map::open(&path)?;
/// let mut stream = StreamOptions::new().fill_cache().stream(map.view());
/// let mut bytes = 0;
/// while let Some(chunk) = stream.next_chunk() {
///     bytes += chunk?.len();
/// }
/// assert_eq!((bytes, stream.position()), (5 << 20, 5 << 20));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy, Debug, Default)]
#[must_use = "options do nothing until they are given a view"]
pub struct StreamOptions {
    fill_cache: bool,
    drop_behind: bool,
}

impl StreamOptions {
    /// Starts with the defaults: past the page cache, which stays as it was.
    pub fn new() -> Self {
        Self::default()
    }

    /// Leaves what was streamed in the page cache, for those who will read it again.
    pub fn fill_cache(mut self) -> Self {
        self.fill_cache = true;
        self
    }

    /// Drops what was streamed from the page cache, also what was there before.
    ///
    /// # Kernel
    /// posix_fadvise(2) with `POSIX_FADV_DONTNEED`.
    ///
    /// ```
    /// use mapwright_core::{Map, StreamOptions};
    /// # let path = tempfile::NamedTempFile::new().unwrap();
    /// # std::fs::write(&path, vec![1u8; 5 << 20]).unwrap();
    /// let map = Map::open(&path)?;
    /// let mut stream = StreamOptions::new().drop_behind().stream(map.view());
    /// while let Some(chunk) = stream.next_chunk() {
    ///     assert!(chunk?.iter().all(|&byte| byte == 1));
    /// }
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn drop_behind(mut self) -> Self {
        self.drop_behind = true;
        self
    }

    /// Streams the bytes of a view.
    ///
    /// # Kernel
    /// As [`View::stream`].
    pub fn stream<'map, A: Readable>(self, view: View<'map, A>) -> Stream<'map, A> {
        Stream::new(view, self)
    }
}

impl<'map, A: Readable> View<'map, A> {
    /// Streams all bytes in order; see [`StreamOptions`] for what else can be asked.
    ///
    /// # Kernel
    /// What is cached is copied from the map. The rest comes by io_uring(7) with `O_DIRECT`, 8 to 32 reads of
    /// 2 MiB in flight, as many as pay; without either a helper thread reads ahead through the page cache.
    ///
    /// ```
    /// # use mapwright_core::Map;
    /// # let path = tempfile::NamedTempFile::new().unwrap();
    /// # std::fs::write(&path, vec![1u8; 5 << 20]).unwrap();
    /// let map = Map::open(&path)?;
    /// let (mut stream, mut sum) = (map.view().stream(), 0u64);
    /// while let Some(chunk) = stream.next_chunk() {
    ///     sum += chunk?.iter().map(|&byte| u64::from(byte)).sum::<u64>();
    /// }
    /// assert_eq!(sum, 5 << 20);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn stream(&self) -> Stream<'map, A> {
        StreamOptions::new().stream(*self)
    }
}

/// The bytes of a view in order, in chunks of the stream's choice (up to 2 MiB); made by [`View::stream`].
///
/// It lends its buffer, so it is not an `Iterator`: `while let Some(chunk) = stream.next_chunk()`.
///
/// ```
/// # use mapwright_core::Map;
/// # let path = tempfile::NamedTempFile::new().unwrap();
/// # std::fs::write(&path, vec![b'x'; 100_000]).unwrap();
/// let map = Map::open(&path)?;
/// let mut stream = map.view().sub(1_000..)?.stream();
/// let first = stream.next_chunk().unwrap()?.len();
/// assert_eq!(stream.position(), first);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct Stream<'map, A: Access> {
    view: View<'map, A>,
    /// The next byte to hand out.
    at: usize,
    /// Everything before this was dropped from the page cache.
    dropped: usize,
    options: StreamOptions,
    road: Road,
    copy: Vec<u8>,
}

#[derive(Debug)]
enum Road {
    /// Copies from the map, window by window where the page cache has it; direct reads elsewhere.
    Direct(Box<Direct>),
    /// Copies from the map, which a helper populates ahead.
    Helped(Helper),
    /// Copies from the map.
    Plain,
}

impl<'map, A: Readable> Stream<'map, A> {
    fn new(view: View<'map, A>, options: StreamOptions) -> Self {
        let road = match view.source() {
            Some(source) if view.len() >= SMALL => Self::choose(&view, source, options),
            _ => Road::Plain,
        };
        Self { view, at: 0, dropped: 0, options, road, copy: Vec::new() }
    }

    fn choose(view: &View<'map, A>, source: &Source, options: StreamOptions) -> Road {
        let whole = cached::ask(source.fd(), view.file_offset(0), view.len());
        if whole == Cached::Mostly {
            return Road::Plain;
        }
        let direct = if options.fill_cache { None } else { Direct::open(source, view.len()) };
        match direct {
            Some(direct) => Road::Direct(Box::new(direct)),
            None => Helper::start(view, source).map_or(Road::Plain, Road::Helped),
        }
    }

    /// Returns the offset of the next chunk.
    #[must_use]
    pub fn position(&self) -> usize {
        self.at
    }

    /// Lends the next chunk, or returns `None` at the end.
    ///
    /// # Errors
    /// The item is a fault where the file cannot be read; the stream ends there.
    pub fn next_chunk(&mut self) -> Option<Result<&[u8], Fault>> {
        self.drop_behind();
        let left = self.view.len() - self.at;
        if left == 0 {
            return None;
        }
        let at = self.at;
        let direct = match &mut self.road {
            Road::Direct(direct) => direct.take(&self.view, at),
            Road::Helped(helper) => {
                helper.consumed(at);
                None
            }
            Road::Plain => None,
        };
        match direct {
            Some((slot, skip, len)) => {
                self.at += len;
                let Road::Direct(direct) = &self.road else { unreachable!("the slot came from this road") };
                Some(Ok(&direct.bytes(slot)[skip..skip + len]))
            }
            None => Some(self.copy_chunk(at, left)),
        }
    }

    /// Copies a chunk out of the map. It is also the judge: where a direct read failed, this says what is so.
    fn copy_chunk(&mut self, at: usize, left: usize) -> Result<&[u8], Fault> {
        let len = COPY.min(left);
        self.copy.resize(len, 0);
        match self.view.copy_to(at, &mut self.copy) {
            Ok(()) => {
                self.at += len;
                Ok(&self.copy)
            }
            Err(fault) => match fault.offset().saturating_sub(at) {
                0 => {
                    self.at = self.view.len();
                    Err(fault)
                }
                good => {
                    self.at += good;
                    Ok(&self.copy[..good])
                }
            },
        }
    }

    /// Drops what was handed out from the page cache, a window at a time.
    fn drop_behind(&mut self) {
        let enough = self.at - self.dropped >= AHEAD / 8 || self.at == self.view.len();
        if !self.options.drop_behind || self.at == self.dropped || !enough {
            return;
        }
        if let Some(source) = self.view.source() {
            let len = u64::try_from(self.at - self.dropped).ok().and_then(std::num::NonZeroU64::new);
            let offset = self.view.file_offset(self.dropped);
            // Advice: a file system without it keeps its pages.
            let _kept = rustix::fs::fadvise(source.fd(), offset, len, rustix::fs::Advice::DontNeed);
        }
        self.dropped = self.at;
    }
}

impl<A: Access> Drop for Stream<'_, A> {
    fn drop(&mut self) {
        if let Road::Helped(helper) = &mut self.road {
            helper.finish();
        }
    }
}

/// A thread that populates the map ahead of the reader.
#[derive(Debug)]
struct Helper {
    window: Arc<Window>,
    /// The process that the thread lives in.
    owner: Generation,
}

impl Helper {
    /// Starts a helper that brings the file into the page cache; it holds the file, never the map.
    fn start<A: Access>(view: &View<'_, A>, source: &Source) -> Option<Self> {
        let window = Arc::new(Window::new(view.len(), AHEAD));
        let (shared, file, start) = (Arc::clone(&window), Arc::clone(source.file()), view.file_offset(0));
        let work = move || {
            while let Some((offset, len)) = shared.next_piece(PIECE) {
                read_ahead(&file, start + to_u64(offset), len);
            }
        };
        std::thread::Builder::new().name("mapwright-ahead".into()).spawn(work).ok()?;
        Some(Self { window, owner: fork::generation() })
    }

    fn consumed(&self, offset: usize) {
        if self.owner == fork::generation() {
            self.window.consumed(offset);
        }
    }

    /// Lets the helper end by itself: it holds nothing but the file. In a forked child there is none to tell.
    fn finish(&mut self) {
        if self.owner == fork::generation() {
            self.window.end();
        }
    }
}

/// Brings a piece of a file into the page cache and waits for it: by reading it, which no read-ahead setting
/// slows down.
fn read_ahead(file: &std::fs::File, offset: u64, len: usize) {
    use std::os::unix::fs::FileExt;
    let length = std::num::NonZeroU64::new(to_u64(len));
    // Advice: a refusal leaves the read below to do it.
    let _slower = rustix::fs::fadvise(file, offset, length, rustix::fs::Advice::WillNeed);
    let mut scratch = vec![0u8; 128 << 10];
    let mut done = 0;
    while done < len {
        let part = scratch.len().min(len - done);
        match file.read_at(&mut scratch[..part], offset + to_u64(done)) {
            // The end, or an error: the reader's own access will meet it.
            Ok(0) | Err(_) => return,
            Ok(read) => done += read,
        }
    }
}

impl std::fmt::Debug for Window {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Window")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::FaultKind;
    use crate::map::MapOptions;

    const LEN: usize = (19 << 20) + 1234;

    fn file() -> (tempfile::NamedTempFile, Vec<u8>) {
        let content: Vec<u8> = (0..LEN).map(|index| (index * 31 + index / 4096).to_le_bytes()[0]).collect();
        let file = tempfile::NamedTempFile::new_in(".").unwrap();
        std::fs::write(&file, &content).unwrap();
        file.as_file().sync_all().unwrap();
        (file, content)
    }

    fn make_cold(file: &tempfile::NamedTempFile, offset: u64, len: u64) {
        let len = std::num::NonZeroU64::new(len);
        rustix::fs::fadvise(file.as_file(), offset, len, rustix::fs::Advice::DontNeed).unwrap();
    }

    fn collect<A: Readable>(mut stream: Stream<'_, A>) -> (Vec<u8>, Option<Fault>) {
        let mut bytes = Vec::new();
        loop {
            match stream.next_chunk() {
                None => return (bytes, None),
                Some(Ok(chunk)) => bytes.extend_from_slice(chunk),
                Some(Err(fault)) => return (bytes, Some(fault)),
            }
        }
    }

    #[test]
    fn every_road_delivers_all_bytes_in_order() {
        let (file, content) = file();
        for lead in [0, 4097] {
            let map = MapOptions::new().offset(lead).open(&file).unwrap();
            let wanted = &content[usize::try_from(lead).unwrap()..];
            let roads = [
                StreamOptions::new(),
                StreamOptions::new().fill_cache(),
                StreamOptions::new().drop_behind(),
                StreamOptions::new().fill_cache().drop_behind(),
            ];
            for options in roads {
                // Cold, warm at the beginning, warm in the middle, warm.
                for (offset, len) in [(0, 0), (17 << 20, 0), (0, 3 << 20)] {
                    let mut warm = vec![0; wanted.len()];
                    map.view().copy_to(0, &mut warm).unwrap();
                    make_cold(&file, offset, len);
                    let (bytes, fault) = collect(options.stream(map.view()));
                    assert_eq!(fault, None);
                    assert!(bytes == wanted, "lead {lead}, {options:?}, cold from {offset}+{len}");
                }
            }
        }
    }

    #[test]
    fn a_truncated_file_ends_the_stream_with_a_fault_at_its_new_end() {
        let (file, content) = file();
        for options in [StreamOptions::new(), StreamOptions::new().fill_cache()] {
            let map = MapOptions::new().open(&file).unwrap();
            file.as_file().set_len(9 << 20).unwrap();
            make_cold(&file, 0, 0);
            let (bytes, fault) = collect(options.stream(map.view()));
            assert_eq!(fault.map(Fault::kind), Some(FaultKind::Truncated));
            let differs = bytes.iter().zip(&content).position(|(left, right)| left != right);
            assert_eq!((bytes.len(), differs), (9 << 20, None), "{options:?}");
            std::fs::write(&file, &content).unwrap();
        }
    }

    #[test]
    fn a_stream_can_be_left_in_the_middle() {
        let (file, _) = file();
        let map = MapOptions::new().open(&file).unwrap();
        make_cold(&file, 0, 0);
        for options in [StreamOptions::new(), StreamOptions::new().fill_cache()] {
            let mut stream = options.stream(map.view());
            assert!(stream.next_chunk().is_some_and(|chunk| chunk.is_ok()));
        }
    }
}
