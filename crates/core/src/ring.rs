//! Reads through io_uring into buffers that this room owns.
//!
//! The kernel writes into a buffer until the request completes, whatever happens to the caller meanwhile. So
//! the buffers never belong to the caller: a [`Reader`] owns one block of memory cut into slots, shows a slot
//! only after its read has completed, and waits for all reads in flight before it lets the memory go.
//!
//! Neighbours: `intent::stream`, `intent::gather` and `intent::queue` decide what to read. Deliberately
//! absent: writes, and registered buffers (measured: no gain beyond noise).

#![allow(unsafe_code, reason = "hands buffers to the kernel; listed in docs/SOUNDNESS.md")]

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, OwnedFd};
use std::ptr::NonNull;

use io_uring::{IoUring, opcode, types};
use rustix::fs::OFlags;

use crate::error::Result;
use crate::map::{ForkPolicy, HugePages, MapOptions, Memory};
use crate::sys::file;
use crate::sys::fork::{self, Generation};

/// Offsets, lengths and addresses of direct reads are multiples of this: the largest logical block size in
/// use.
pub(crate) const BLOCK: usize = 4096;

/// Who will submit: one thread for all its life (cheaper completions), or any.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Issuer {
    OneThread,
    AnyThread,
}

/// A queue of reads into slots of owned memory.
//
// Invariants: 1. A slot in state `InFlight` belongs to the kernel: nothing here touches its bytes.
// 2. The memory outlives every read in flight: `drop` waits, or leaks it.
pub(crate) struct Reader {
    ring: Option<IoUring>,
    memory: Option<Memory>,
    start: NonNull<u8>,
    slot_len: usize,
    slots: Vec<Slot>,
    in_flight: usize,
    /// The process whose reads they are: a forked child shares the queues with it, and has no buffers.
    owner: Generation,
}

// SAFETY: the pointer leads into memory that the reader owns; nothing of it belongs to a thread.
unsafe impl Send for Reader {}
// SAFETY: `&Reader` only reads slots that are done.
unsafe impl Sync for Reader {}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Slot {
    Free,
    InFlight,
    Done(i32),
}

impl Reader {
    /// Sets up a queue of `slots` reads of at most `slot_len` bytes each.
    ///
    /// # Errors
    /// Where the kernel has no io_uring, or forbids it, or memory is short. There is always another road.
    pub(crate) fn new(slots: usize, slot_len: usize, issuer: Issuer) -> Result<Self> {
        assert!(slots > 0 && slot_len > 0 && slot_len.is_multiple_of(BLOCK));
        let unavailable = |cause| crate::Error::os("set up", "an io_uring queue", cause);
        let entries = u32::try_from(slots.next_power_of_two()).unwrap_or(u32::MAX);
        let ring = build(entries, issuer).map_err(unavailable)?;
        // Huge pages: a read of a megabyte into small pages needs more segments than a disk takes at once
        // (measured: 2.5x).
        let options = MapOptions::new().huge_pages(HugePages::Transparent).fork(ForkPolicy::DontFork);
        let mut memory = options.memory(slots * slot_len)?;
        let start = NonNull::from(&mut *memory).cast::<u8>();
        let (slots, owner) = (vec![Slot::Free; slots], fork::generation());
        Ok(Self { ring: Some(ring), memory: Some(memory), start, slot_len, slots, in_flight: 0, owner })
    }

    /// Whether this process made it. A child that inherited it must neither queue nor wait.
    pub(crate) fn is_here(&self) -> bool {
        self.owner == fork::generation()
    }

    pub(crate) fn slots(&self) -> usize {
        self.slots.len()
    }

    pub(crate) fn slot_len(&self) -> usize {
        self.slot_len
    }

    /// Returns a free slot, if there is one.
    pub(crate) fn free_slot(&self) -> Option<usize> {
        self.slots.iter().position(|slot| *slot == Slot::Free)
    }

    /// Queues a read into a free slot; [`submit`](Self::submit) hands it to the kernel.
    pub(crate) fn queue(&mut self, slot: usize, file: BorrowedFd<'_>, offset: u64, len: usize) {
        assert!(self.is_here(), "a child does not read into its parent's buffers");
        assert_eq!(self.slots[slot], Slot::Free, "a slot is read into once at a time");
        assert!(len <= self.slot_len, "{len} bytes do not fit into a slot of {}", self.slot_len);
        let target = self.slot_start(slot).as_ptr();
        let len = u32::try_from(len).expect("a slot is smaller than 4 GiB");
        let user_data = u64::try_from(slot).expect("slots are few");
        let read = opcode::Read::new(types::Fd(file.as_raw_fd()), target, len).offset(offset).build();
        let ring = self.ring.as_mut().expect("the ring is taken by drop only");
        // SAFETY: the target is the slot's own memory, which invariants 1 and 2 keep for the kernel until
        // completion. The descriptor is open during this call, and the queue is submitted before the
        // caller can close it.
        let pushed = unsafe { ring.submission().push(&read.user_data(user_data)) };
        pushed.expect("the queue has an entry for every slot");
        self.slots[slot] = Slot::InFlight;
        self.in_flight += 1;
    }

    /// Hands queued reads to the kernel and waits until at least `wanted` reads have completed.
    pub(crate) fn submit(&mut self, wanted: usize) -> io::Result<()> {
        let wanted = wanted.min(self.in_flight);
        let ring = self.ring.as_mut().expect("the ring is taken by drop only");
        loop {
            match ring.submit_and_wait(wanted) {
                Ok(_) => break,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                // The completion queue is full or memory is short for a moment: reap, then go on.
                Err(error) if matches!(error.raw_os_error(), Some(libc::EBUSY | libc::EAGAIN)) => break,
                Err(error) => return Err(error),
            }
        }
        self.reap();
        Ok(())
    }

    /// Waits until a slot's read has completed; returns its result and leaves the bytes to be looked at.
    pub(crate) fn wait(&mut self, slot: usize) -> io::Result<usize> {
        while self.slots[slot] == Slot::InFlight {
            self.submit(1)?;
        }
        self.result(slot).expect("the slot is done")
    }

    /// Whether a slot's read has completed.
    pub(crate) fn is_done(&self, slot: usize) -> bool {
        matches!(self.slots[slot], Slot::Done(_))
    }

    /// Returns the result of a slot whose read has completed.
    pub(crate) fn result(&self, slot: usize) -> Option<io::Result<usize>> {
        match self.slots[slot] {
            Slot::Done(result) => Some(
                usize::try_from(result).map_err(|_| io::Error::from_raw_os_error(result.saturating_neg())),
            ),
            Slot::Free | Slot::InFlight => None,
        }
    }

    /// Returns the bytes that a completed read has delivered.
    #[allow(clippy::disallowed_methods, reason = "a completed slot is private memory that nobody writes")]
    pub(crate) fn bytes(&self, slot: usize) -> &[u8] {
        let Slot::Done(result) = self.slots[slot] else { return &[] };
        assert!(self.is_here(), "a child does not have its parent's buffers");
        let len = usize::try_from(result).unwrap_or(0).min(self.slot_len);
        // SAFETY: the read has completed, so the kernel is done with the slot (invariant 1); the bytes are
        // initialised (zeroed by the kernel when the memory was made) and change only through `&mut
        // self`.
        unsafe { std::slice::from_raw_parts(self.slot_start(slot).as_ptr(), len) }
    }

    /// Frees a slot whose bytes were used.
    pub(crate) fn release(&mut self, slot: usize) {
        assert!(matches!(self.slots[slot], Slot::Done(_)), "only what has completed can be released");
        self.slots[slot] = Slot::Free;
    }

    /// Waits for all reads in flight, and frees every slot. A child has nothing to wait for.
    pub(crate) fn settle(&mut self) -> io::Result<()> {
        if self.is_here() {
            while self.in_flight > 0 {
                self.submit(self.in_flight)?;
            }
            self.slots.fill(Slot::Free);
        }
        Ok(())
    }

    fn slot_start(&self, slot: usize) -> NonNull<u8> {
        assert!(slot < self.slots.len());
        // SAFETY: the memory holds slots * slot_len bytes.
        unsafe { self.start.add(slot * self.slot_len) }
    }

    fn reap(&mut self) {
        let ring = self.ring.as_mut().expect("the ring is taken by drop only");
        for completion in ring.completion() {
            let slot = usize::try_from(completion.user_data()).expect("user data is a slot");
            assert_eq!(self.slots[slot], Slot::InFlight, "a read completes once");
            self.slots[slot] = Slot::Done(completion.result());
            self.in_flight -= 1;
        }
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        if !self.is_here() {
            // The reads are the parent's, and so are their completions: taking one would leave it waiting.
            return;
        }
        if self.settle().is_err() {
            // The kernel may still write: the memory can never be reused.
            std::mem::forget(self.memory.take());
            std::mem::forget(self.ring.take());
        }
    }
}

fn build(entries: u32, issuer: Issuer) -> io::Result<IoUring> {
    if issuer == Issuer::OneThread {
        // Linux 6.1: completions are run by the thread that waits for them, without interrupting it.
        if let Ok(ring) = IoUring::builder().setup_single_issuer().setup_defer_taskrun().build(entries) {
            return Ok(ring);
        }
    }
    IoUring::builder().build(entries)
}

/// Opens the same file for direct reads, which go past the page cache.
pub(crate) fn open_direct(file: BorrowedFd<'_>) -> io::Result<OwnedFd> {
    file::reopen(file, OFlags::RDONLY | OFlags::DIRECT)
}
