//! Blocks of a file past the page cache, many reads in flight, each handed out as soon as it is there.
//!
//! The plain tool beside [`View::gather`](crate::View::gather) and [`View::stream`](crate::View::stream), for
//! those who know that nothing of the file is cached, or want to leave the cache alone. Nothing is mapped and
//! nothing is copied: the bytes that are lent lie where the device put them. Deliberately absent: a fallback
//! where the kernel forbids io_uring or the file system has no direct reads. A map has the same bytes.

use std::fmt;
use std::ops::ControlFlow;
use std::os::fd::{AsFd, OwnedFd};

use crate::error::{Error, ErrorKind, Result};
use crate::map::{IntoSource, Source};
use crate::ring::{self, BLOCK, Issuer, Reader};
use crate::span::to_u64;

/// The longest queue that the kernel makes.
const DEEPEST: usize = 32_768;

/// The longest read: the kernel cuts them at 2 GiB.
const LONGEST: usize = 1 << 30;

/// How many reads, and how long.
///
/// ```
/// use mapwright_core::{DirectOptions, ErrorKind};
/// let file = tempfile::tempfile()?;
/// let error = DirectOptions::new().block_len(1000).open(&file).unwrap_err();      // no multiple of 4096
/// assert_eq!(error.kind(), ErrorKind::InvalidInput);
/// match DirectOptions::new().depth(16).block_len(1 << 20).open(&file) {
///     Ok(queue) => assert_eq!((queue.depth(), queue.block_len()), (16, 1 << 20)),
///     Err(error) => println!("{error}"),              // no direct reads here
/// }
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy, Debug)]
#[must_use = "options do nothing until a file is opened with them"]
pub struct DirectOptions {
    depth: usize,
    block_len: usize,
}

impl Default for DirectOptions {
    fn default() -> Self {
        Self { depth: 64, block_len: BLOCK }
    }
}

impl DirectOptions {
    /// Starts with the defaults: 64 reads of 4 KiB each, for random places on a fast disk.
    pub fn new() -> Self {
        Self::default()
    }

    /// How many reads are kept in flight, up to 32,768.
    pub fn depth(mut self, reads: usize) -> Self {
        self.depth = reads;
        self
    }

    /// How many bytes each of them asks for: a multiple of 4096, up to 1 GiB. For whole files in order, 16
    /// reads of 1 MiB keep a disk busy.
    pub fn block_len(mut self, bytes: usize) -> Self {
        self.block_len = bytes;
        self
    }

    /// Opens a queue of such reads from a file or block device.
    ///
    /// # Errors
    /// `InvalidInput` where the numbers make no sense, or the source is neither a file nor a block device;
    /// `PermissionDenied` where io_uring is forbidden or the file may not be opened again; `Unsupported`
    /// where the file system has no direct reads, or the kernel no io_uring; `OutOfMemory` where there is
    /// no room for `depth` blocks.
    ///
    /// # Kernel
    /// io_uring_setup(2) (Linux 5.6), and open(2) with `O_DIRECT`.
    pub fn open(self, source: impl IntoSource) -> Result<DirectQueue> {
        self.check().map_err(|why| refused(ErrorKind::InvalidInput, why))?;
        let source = source.into_source()?;
        source.describe_to("read directly from")?;
        let file = ring::open_direct(source.fd()).map_err(|cause| explained(&source, cause))?;
        let reader = Reader::new(self.depth, self.block_len, Issuer::AnyThread)
            .map_err(|error| error.advice("`mapwright doctor` says what is in the way; a map needs none"))?;
        let mut queue =
            DirectQueue { reader, file, name: source.name(), free: Vec::new(), offsets: vec![0; self.depth] };
        queue.all_are_free();
        Ok(queue)
    }

    fn check(self) -> Result<(), String> {
        let Self { depth, block_len } = self;
        if block_len == 0 || !block_len.is_multiple_of(BLOCK) || block_len > LONGEST {
            return Err(format!("blocks are multiples of {BLOCK} bytes up to {LONGEST}, not {block_len}"));
        }
        if depth == 0 || depth > DEEPEST {
            return Err(format!("1 to {DEEPEST} reads can be in flight, not {depth}"));
        }
        Ok(())
    }
}

/// Direct reads of one file, many in flight, into memory that the queue owns.
///
/// # Kernel
/// io_uring(7) (Linux 5.6) and `O_DIRECT`. Dirty pages of the range are written back first, so the bytes are
/// those that any other read would see.
///
/// ```
/// use std::ops::ControlFlow;
/// use mapwright_core::{DirectOptions, DirectQueue, ErrorKind};
/// # let file = tempfile::NamedTempFile::new_in(".")?;
/// # std::fs::write(file.path(), vec![7; 1 << 20])?;
/// # let file = file.into_file();
/// let mut queue = match DirectOptions::new().depth(16).block_len(64 << 10).open(&file) {
///     Ok(queue) => queue,
///     // tmpfs has no direct reads, containers forbid io_uring: take a map there.
///     Err(error) => return Ok(eprintln!("{error}")),
/// };
/// let (mut sum, places) = (0, (0..16).rev().map(|block| block * (64 << 10)));
/// queue.read(places, |_offset, bytes| {
///     sum += bytes.iter().map(|&byte| u64::from(byte)).sum::<u64>();
///     ControlFlow::Continue(())
/// })?;
/// assert_eq!(sum, 7 << 20);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct DirectQueue {
    // Before the file: it waits for reads from it.
    reader: Reader,
    file: OwnedFd,
    name: String,
    /// Slots that nothing is read into.
    free: Vec<usize>,
    /// What each slot is read from.
    offsets: Vec<u64>,
}

impl DirectQueue {
    /// Opens a queue of 64 reads of 4 KiB; [`DirectOptions`] has others.
    ///
    /// # Errors
    /// As [`DirectOptions::open`].
    pub fn open(source: impl IntoSource) -> Result<Self> {
        DirectOptions::new().open(source)
    }

    /// Returns how many reads are kept in flight.
    #[must_use]
    pub fn depth(&self) -> usize {
        self.reader.slots()
    }

    /// Returns how many bytes each read asks for.
    #[must_use]
    pub fn block_len(&self) -> usize {
        self.reader.slot_len()
    }

    /// Reads the block at each offset, and lends each to `each` as soon as it is there, **in any order**.
    /// Offsets are multiples of 4096; they are taken from the iterator only as reads become free.
    ///
    /// As with read(2), fewer bytes than a block is what there was: at the file's end (none at all behind
    /// it), and in front of bytes that cannot be read, which a read that begins there explains.
    ///
    /// `Break` ends it early. However it ends, by an error or a panic of `each` too, reads in flight are
    /// waited for, and the queue can be used again.
    ///
    /// # Errors
    /// The first read that fails, with its offset (`Io` where the device says so); `InvalidInput` for an
    /// offset that is not a multiple of 4096. Blocks that were lent before are good. In a forked child, which
    /// has none of the memory: `Unsupported`.
    pub fn read(
        &mut self,
        offsets: impl IntoIterator<Item = u64>,
        mut each: impl FnMut(u64, &[u8]) -> ControlFlow<()>,
    ) -> Result<()> {
        self.is_here()?;
        // What an earlier call could not wait for.
        self.settle()?;
        let mut offsets = offsets.into_iter().fuse();
        let running = Running { queue: self };
        let queue = &mut *running.queue;
        // Topping up a quarter at a time keeps the number of calls down and the disk busy.
        let quarter = (queue.depth() / 4).max(1);
        loop {
            queue.top_up(&mut offsets)?;
            if queue.free.len() == queue.depth() {
                return Ok(());
            }
            queue.reader.submit(quarter).map_err(|cause| Error::os("read", &queue.name, cause))?;
            for slot in 0..queue.depth() {
                let Some(result) = queue.reader.result(slot) else { continue };
                let offset = queue.offsets[slot];
                result.map_err(|cause| failed(&queue.name, offset, cause))?;
                let flow = each(offset, queue.reader.bytes(slot));
                // The callback may have forked, and this may be the child.
                queue.is_here()?;
                queue.reader.release(slot);
                queue.free.push(slot);
                if flow.is_break() {
                    return Ok(());
                }
            }
        }
    }

    /// Queues reads for as long as slots are free and there is something to read.
    fn top_up(&mut self, offsets: &mut impl Iterator<Item = u64>) -> Result<()> {
        while let Some(slot) = self.free.last().copied() {
            let Some(offset) = offsets.next() else { break };
            if !offset.is_multiple_of(to_u64(BLOCK)) {
                let why = format!("direct reads begin at multiples of {BLOCK}, and byte {offset} is none");
                return Err(Error::new(ErrorKind::InvalidInput, "read", &self.name, why));
            }
            self.reader.queue(slot, self.file.as_fd(), offset, self.reader.slot_len());
            self.offsets[slot] = offset;
            self.free.pop();
        }
        Ok(())
    }

    fn is_here(&self) -> Result<()> {
        if self.reader.is_here() {
            return Ok(());
        }
        let why = "the queue was made before a fork, by the parent; open another";
        Err(Error::new(ErrorKind::Unsupported, "read", &self.name, why))
    }

    fn settle(&mut self) -> Result<()> {
        self.reader.settle().map_err(|cause| Error::os("wait for reads of", &self.name, cause))?;
        self.all_are_free();
        Ok(())
    }

    fn all_are_free(&mut self) {
        self.free.clear();
        self.free.extend((0..self.reader.slots()).rev());
    }
}

impl fmt::Debug for DirectQueue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DirectQueue")
            .field("file", &self.name)
            .field("depth", &self.depth())
            .field("block_len", &self.block_len())
            .finish_non_exhaustive()
    }
}

/// A call that is under way: whichever way it ends, no read stays in flight.
struct Running<'a> {
    queue: &'a mut DirectQueue,
}

impl Drop for Running<'_> {
    fn drop(&mut self) {
        // What cannot be waited for keeps its memory, and the next call says why.
        let _told_by_the_next_call = self.queue.settle();
    }
}

fn refused(kind: ErrorKind, why: String) -> Error {
    Error::new(kind, "set up", "a queue of direct reads", why)
}

/// Why a file cannot be opened for direct reads.
fn explained(source: &Source, cause: std::io::Error) -> Error {
    let number = cause.raw_os_error();
    let error = Error::os("open", format!("{} for direct reads", source.name()), cause);
    match number {
        Some(libc::EINVAL) => error
            .with_kind(ErrorKind::Unsupported)
            .advice("its file system has none (O_DIRECT); a map has the same bytes"),
        Some(libc::ENOENT) => error.advice("files are opened again by way of /proc, which may be missing"),
        _ => error,
    }
}

/// Why a read failed.
fn failed(name: &str, offset: u64, cause: std::io::Error) -> Error {
    let number = cause.raw_os_error();
    let error = Error::os("read", format!("{name} at byte {offset}"), cause);
    match number {
        Some(libc::EINVAL) => error.advice("its device may want longer blocks for direct reads"),
        _ => error,
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::fs::File;
    use std::panic::{AssertUnwindSafe, catch_unwind};

    use super::*;
    use crate::changes::testing;

    const CONTINUE: ControlFlow<()> = ControlFlow::Continue(());

    /// A file on the disk that the tests are run on, and a queue; nothing, and said aloud, where that disk
    /// has no direct reads or io_uring is forbidden.
    fn queue(test: &str, len: usize, options: DirectOptions) -> Option<(DirectQueue, File, Vec<u8>)> {
        let content: Vec<u8> = (0..len).map(|index| (index * 7 + index / 4096).to_le_bytes()[0]).collect();
        let file = tempfile::NamedTempFile::new_in(".").unwrap();
        std::fs::write(&file, &content).unwrap();
        match options.open(file.as_file()) {
            Ok(queue) => Some((queue, file.into_file(), content)),
            Err(error) if [ErrorKind::Unsupported, ErrorKind::PermissionDenied].contains(&error.kind()) => {
                testing::skip(test, error);
                None
            }
            Err(error) => panic!("{error}"),
        }
    }

    /// What comes for some offsets.
    fn blocks(queue: &mut DirectQueue, offsets: &[u64]) -> BTreeMap<u64, Vec<u8>> {
        let mut found = BTreeMap::new();
        let each = |offset, bytes: &[u8]| {
            assert!(found.insert(offset, bytes.to_vec()).is_none(), "{offset} came twice");
            CONTINUE
        };
        queue.read(offsets.iter().copied(), each).unwrap();
        found
    }

    fn expected(content: &[u8], offsets: &[u64], block: usize) -> BTreeMap<u64, Vec<u8>> {
        let bytes = |&offset: &u64| {
            let from = content.len().min(usize::try_from(offset).unwrap());
            (offset, content[from..content.len().min(from + block)].to_vec())
        };
        offsets.iter().map(bytes).collect()
    }

    #[test]
    fn every_block_comes_once_and_whole_whatever_the_depth() {
        for (depth, block) in [(1, 4096), (3, 4096), (64, 4096), (5, 3 * 4096), (300, 4096)] {
            let options = DirectOptions::new().depth(depth).block_len(block);
            let Some((mut queue, _file, content)) = queue("every block", 1_000_001, options) else { return };
            assert_eq!((queue.depth(), queue.block_len()), (depth, block));
            // Back and forth, beyond the end by more than a block.
            let offsets: Vec<u64> = (0..260).map(|index| index * 101 % 260 * 4096).collect();
            for _again in 0..2 {
                assert!(blocks(&mut queue, &offsets) == expected(&content, &offsets, block), "{depth}");
            }
            assert_eq!(blocks(&mut queue, &[]).len(), 0);
        }
    }

    #[test]
    fn offsets_are_taken_only_as_reads_become_free() {
        let options = DirectOptions::new().depth(4);
        let Some((mut queue, _file, _)) = queue("offsets are taken", 1 << 20, options) else { return };
        let (taken, lent) = (std::cell::Cell::new(0usize), std::cell::Cell::new(0usize));
        let offsets = (0..256).map(|block| {
            taken.set(taken.get() + 1);
            assert!(taken.get() <= lent.get() + 4, "{} taken, {} lent", taken.get(), lent.get());
            block * 4096
        });
        let each = |_, _: &[u8]| {
            lent.set(lent.get() + 1);
            CONTINUE
        };
        queue.read(offsets, each).unwrap();
        assert_eq!((taken.get(), lent.get()), (256, 256));
    }

    #[test]
    fn a_truncated_file_has_what_is_left() {
        let Some((mut queue, file, content)) = queue("truncated", 40_960, DirectOptions::new()) else {
            return;
        };
        file.set_len(10_000).unwrap();
        let offsets = [0, 4096, 8192, 12_288, 36_864];
        assert!(blocks(&mut queue, &offsets) == expected(&content[..10_000], &offsets, 4096));
        file.set_len(0).unwrap();
        assert!(blocks(&mut queue, &offsets).values().all(Vec::is_empty));
    }

    #[test]
    fn what_was_written_a_moment_ago_is_read() {
        use std::os::unix::fs::FileExt;
        let Some((mut queue, file, _)) = queue("just written", 8192, DirectOptions::new()) else { return };
        for round in 0..20u8 {
            file.write_all_at(&[round; 4096], 4096).unwrap();
            assert_eq!(blocks(&mut queue, &[4096])[&4096], [round; 4096]);
        }
    }

    #[test]
    fn a_break_or_a_panic_in_the_middle_leaves_a_queue_that_works() {
        let options = DirectOptions::new().depth(8);
        let Some((mut queue, _file, content)) = queue("a break", 1 << 20, options) else { return };
        let offsets: Vec<u64> = (0..256).map(|block| block * 4096).collect();
        for end in 1..20 {
            let mut lent = 0;
            let each = |_, _: &[u8]| {
                lent += 1;
                if lent == end { ControlFlow::Break(()) } else { CONTINUE }
            };
            queue.read(offsets.iter().copied(), each).unwrap();
            assert_eq!(lent, end);
            let mut lent = 0;
            let each = |_, _: &[u8]| {
                lent += 1;
                assert!(lent < end, "on purpose");
                CONTINUE
            };
            let panicked = catch_unwind(AssertUnwindSafe(|| queue.read(offsets.iter().copied(), each)));
            assert!(panicked.is_err());
            assert!(blocks(&mut queue, &offsets) == expected(&content, &offsets, 4096), "after {end}");
        }
        let endless = std::iter::repeat_with(|| panic!("on purpose"));
        catch_unwind(AssertUnwindSafe(|| queue.read(endless, |_, _| CONTINUE))).unwrap_err();
        assert!(blocks(&mut queue, &offsets) == expected(&content, &offsets, 4096));
    }

    #[test]
    fn a_read_that_fails_says_where_and_the_next_call_works() {
        let Some((mut queue, _file, content)) = queue("a read that fails", 40_960, DirectOptions::new())
        else {
            return;
        };
        for (offset, word) in [(100, "byte 100 is none"), (u64::MAX - 4095, "byte 18446744073709547520")] {
            let error = queue.read([0, 4096, offset, 8192], |_, _| CONTINUE).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::InvalidInput);
            assert!(error.to_string().contains(word), "{error}");
            assert!(blocks(&mut queue, &[4096]) == expected(&content, &[4096], 4096));
        }
    }

    #[test]
    fn numbers_that_make_no_sense_and_things_without_offsets_are_refused() {
        let file = tempfile::tempfile().unwrap();
        for options in [
            DirectOptions::new().block_len(0),
            DirectOptions::new().block_len(1000),
            DirectOptions::new().block_len(2 << 30),
            DirectOptions::new().depth(0),
            DirectOptions::new().depth(40_000),
        ] {
            let error = options.open(&file).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::InvalidInput, "{options:?}: {error}");
        }
        let directory = DirectQueue::open(File::open("/proc").unwrap()).unwrap_err();
        assert_eq!(directory.to_string(), "cannot read directly from \"/proc\": it is a directory");
        let (pipe, _other) = rustix::pipe::pipe().unwrap();
        assert_eq!(DirectQueue::open(pipe).unwrap_err().kind(), ErrorKind::InvalidInput);
        let made_up = DirectQueue::open(File::open("/proc/self/status").unwrap()).unwrap_err();
        assert_eq!(made_up.kind(), ErrorKind::Unsupported, "{made_up}");
        assert!(made_up.to_string().contains("O_DIRECT"), "{made_up}");
    }

    #[test]
    fn a_child_is_refused_and_its_parent_goes_on() {
        let Some((mut queue, _file, content)) = queue("a child", 40_960, DirectOptions::new()) else {
            return;
        };
        let in_child = testing::in_child(|| {
            let error = queue.read([0], |_, _| CONTINUE).unwrap_err();
            i32::from(error.kind() != ErrorKind::Unsupported)
        });
        assert_eq!(in_child, 0);
        assert!(blocks(&mut queue, &[4096]) == expected(&content, &[4096], 4096));
    }
}
