//! A ring buffer whose bytes appear twice in a row, so that no window ever wraps.
//!
//! ```text
//!   memory file      │ a b c d e f g h │
//!                      │             │
//!   addresses        │ a b c d e f g h │ a b c d e f g h │
//!                                └─ window(6, 4) = g h a b ─┘
//! ```
//!
//! # Why plain slices are sound here
//! Two addresses show one byte, and Rust assumes that distinct addresses are distinct bytes. So (1) a window
//! is at most the capacity long: inside of one no byte appears twice. (2) A mutable window borrows the ring
//! exclusively: while it lives no other exists, and while shared ones live nothing is written, so the two
//! copies of a byte are equal whenever anybody can look at either. (3) What remains is that the compiler
//! could remember a byte across a store to its twin. Every window's address goes through an empty assembler
//! block, which for all that the compiler knows has copied every byte that was stored to over its twin, and
//! made the pointer. That is exactly what the memory does by itself. Nobody else has the memory: its file is
//! closed, sealed against shrinking, and never had a name; its pages were reserved, so that touching them
//! cannot fail; and forked children do not inherit them.

#![allow(unsafe_code, reason = "windows on owned, private memory; listed in docs/SOUNDNESS.md")]

use std::os::fd::{AsFd, BorrowedFd};
use std::ptr::NonNull;

use super::range;
use crate::error::{Error, Result};
use crate::map::origin::Origin;
use crate::map::region::{ATTEMPTS, Parts, Region, Release};
use crate::span::{OutOfBounds, Span};
use crate::sys::memory::{self as kernel, Backing};
use crate::sys::seal::{self, Execution};
use crate::sys::{file, page};

/// A ring buffer of private memory whose end is followed by its beginning: any window of up to the whole
/// capacity is one slice, wherever it starts.
///
/// ```
/// use mapwright_core::MirrorRing;
/// let mut ring = MirrorRing::new(10_000)?;
/// let last = ring.capacity() - 3;
/// ring.window_mut(last, 6)?.copy_from_slice(b"around");
/// assert_eq!(ring.window(0, 3)?, b"und");
/// assert_eq!(ring.window(last, 6)?, b"around");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Caveats
/// A forked child does not have the memory: making a window there panics.
//
// Invariants: 1. the region is two mappings of the same `capacity` bytes, one after the other, readable and
// writable.
// 2. No other mapping or descriptor of these bytes exists in this process, and none in another.
#[derive(Debug)]
pub struct MirrorRing {
    region: Region,
    capacity: usize,
}

impl MirrorRing {
    /// Makes a ring of at least `capacity` zeroed bytes: whole pages, so ask for its
    /// [`capacity`](Self::capacity).
    ///
    /// # Errors
    /// Where there is not enough memory, or twice as much address space.
    ///
    /// # Kernel
    /// memfd_create(2), sealed and allocated, mapped twice with mmap(2).
    #[doc(alias = "magic ring buffer")]
    #[doc(alias = "virtual ring buffer")]
    pub fn new(capacity: usize) -> Result<Self> {
        let what = || format!("a ring of {capacity} bytes");
        let fail = |cause: std::io::Error| Error::os("make", what(), cause);
        let too_large = || fail(std::io::Error::from_raw_os_error(libc::ENOMEM));
        let capacity = page::round_up(capacity.max(1)).ok_or_else(too_large)?;
        let both = page::round_up(capacity.checked_mul(2).ok_or_else(too_large)?).ok_or_else(too_large)?;
        let memory = seal::memory_file("mapwright-ring", Execution::Never, None).map_err(fail)?;
        file::reserve(memory.as_fd(), 0, range::wide(capacity)).map_err(fail)?;
        let seals = libc::F_SEAL_SHRINK | libc::F_SEAL_GROW | libc::F_SEAL_SEAL;
        seal::add_seals(memory.as_fd(), seals.unsigned_abs()).map_err(fail)?;

        let base = map_twice(memory.as_fd(), capacity, both).map_err(fail)?;
        let parts = Parts {
            base,
            owned: both,
            before: 0,
            len: both,
            capacity: both,
            origin: Origin { private: false, has_copies: false, ..Origin::anonymous() },
            ticket: None,
            release: Release::Background,
            unit: page::size(),
            only_in: None,
        };
        // SAFETY: the range was mapped just now, and nobody else knows of it. From here on it is unmapped on
        // every road.
        let region = unsafe { Region::adopt(parts) };
        region.look();
        // SAFETY: the range is the region's, and nothing refers to it yet.
        unsafe { region.keep_to_this_process(base, both) }.map_err(fail)?;
        Ok(Self { region, capacity })
    }

    /// Returns how many bytes the ring holds.
    #[must_use]
    pub fn capacity(&self) -> usize {
        self.capacity
    }

    /// Returns `len` bytes from `start` on, which may lie anywhere: it is taken modulo the capacity.
    ///
    /// # Errors
    /// [`OutOfBounds`] where `len` is more than the capacity.
    ///
    /// # Panics
    /// In a forked child, which does not have the memory.
    #[allow(
        clippy::disallowed_methods,
        reason = "private memory is ordinary memory; see the module's argument"
    )]
    pub fn window(&self, start: usize, len: usize) -> Result<&[u8], OutOfBounds> {
        let first = self.place(start, len)?;
        // SAFETY: the window lies in the two copies (invariant 1) and shows no byte twice; the bytes are
        // initialised, and nobody writes them while the ring is borrowed (invariant 2). The compiler
        // remembers nothing of their twins.
        Ok(unsafe { std::slice::from_raw_parts(first.as_ptr(), len) })
    }

    /// Returns `len` bytes from `start` on to be written; `start` is taken modulo the capacity.
    ///
    /// # Errors
    /// [`OutOfBounds`] where `len` is more than the capacity.
    ///
    /// # Panics
    /// In a forked child, which does not have the memory.
    #[allow(
        clippy::disallowed_methods,
        reason = "private memory is ordinary memory; see the module's argument"
    )]
    pub fn window_mut(&mut self, start: usize, len: usize) -> Result<&mut [u8], OutOfBounds> {
        let first = self.place(start, len)?;
        // SAFETY: as for `window`, and the ring is borrowed exclusively: this is the only window.
        Ok(unsafe { std::slice::from_raw_parts_mut(first.as_ptr(), len) })
    }

    /// The address of a window's first byte, of which the compiler knows nothing.
    fn place(&self, start: usize, len: usize) -> Result<NonNull<u8>, OutOfBounds> {
        Span::at(0, len, self.capacity)?;
        assert!(self.region.is_here(), "a forked child does not have the ring's memory");
        // SAFETY: an offset below the capacity lies in the first copy.
        let first = unsafe { self.region.base().add(start % self.capacity) };
        Ok(forget_what_is_known(first))
    }
}

/// Returns the same address as one that may point anywhere, after what may have been a store to any memory.
fn forget_what_is_known(address: NonNull<u8>) -> NonNull<u8> {
    let mut pointer = address.as_ptr();
    // SAFETY: the block does nothing, so the pointer is what it was; without `nomem` the compiler must assume
    // that it has read and written whatever is reachable.
    unsafe { std::arch::asm!("/* {0} */", inout(reg) pointer, options(nostack, preserves_flags)) };
    // SAFETY: it is what it was.
    unsafe { NonNull::new_unchecked(pointer) }
}

/// Maps a file twice, side by side. Another thread may take the second place while it is free: then
/// elsewhere.
fn map_twice(memory: BorrowedFd<'_>, capacity: usize, both: usize) -> std::io::Result<NonNull<u8>> {
    let (access, shared) = (libc::PROT_READ | libc::PROT_WRITE, libc::MAP_SHARED);
    let backing = || Backing { file: Some(memory), offset: 0 };
    let mut attempts = 0;
    loop {
        // SAFETY: without MAP_FIXED, at an address of the kernel's choice.
        let base = unsafe { kernel::map(0, both, access, shared, backing()) }?;
        // SAFETY: the middle of what was mapped just now.
        let second = unsafe { base.add(capacity) };
        // The second half, which shows nothing, makes room for the twin.
        // SAFETY: nobody knows of it.
        if let Err(error) = unsafe { kernel::unmap(second, capacity) } {
            // SAFETY: as above, for all of it, which needs no cut.
            let _leaked = unsafe { kernel::unmap(base, both) };
            return Err(error);
        }
        let flags = shared | libc::MAP_FIXED_NOREPLACE;
        // SAFETY: nothing that exists is replaced.
        let twin = unsafe { kernel::map(second.addr().get(), capacity, access, flags, backing()) };
        let Err(error) = twin else { return Ok(base) };
        // SAFETY: nobody knows of the first half.
        let _leaked = unsafe { kernel::unmap(base, capacity) };
        attempts += 1;
        if error.raw_os_error() != Some(libc::EEXIST) || attempts == ATTEMPTS {
            return Err(error);
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::changes::testing::in_child;

    #[test]
    fn a_window_runs_over_the_end_into_the_beginning() {
        let mut ring = MirrorRing::new(1).unwrap();
        let capacity = ring.capacity();
        assert_eq!(capacity, page::size());
        ring.window_mut(capacity - 2, 4).unwrap().copy_from_slice(b"over");
        assert_eq!(ring.window(0, 2).unwrap(), b"er");
        assert_eq!(ring.window(usize::MAX - usize::MAX % capacity + 1, 1).unwrap(), b"r");
        assert_eq!(ring.window(capacity - 2, capacity).unwrap()[..4], *b"over");
        assert_eq!(ring.window(0, 0).unwrap(), b"");
    }

    #[test]
    fn a_window_longer_than_the_ring_is_refused() {
        let mut ring = MirrorRing::new(4096).unwrap();
        assert_eq!(ring.window(3, 4097).unwrap_err().available, 4096);
        assert!(ring.window_mut(0, usize::MAX).is_err());
        assert!(MirrorRing::new(usize::MAX).is_err() && MirrorRing::new(usize::MAX / 4).is_err());
    }

    #[test]
    fn a_byte_read_before_a_store_to_its_twin_is_read_again_after_it() {
        let mut ring = MirrorRing::new(4096).unwrap();
        for round in 0..200u8 {
            let before = ring.window(1, 4096).unwrap()[4095];
            assert_eq!(before, round);
            ring.window_mut(0, 1).unwrap()[0] = round + 1;
            assert_eq!(ring.window(1, 4096).unwrap()[4095], round + 1);
        }
    }

    #[test]
    fn a_child_has_no_ring_and_unmaps_nothing() {
        let mut ring = MirrorRing::new(4096).unwrap();
        ring.window_mut(0, 1).unwrap()[0] = 7;
        let code = in_child(|| {
            std::panic::set_hook(Box::new(|_| {}));
            let gone = std::panic::catch_unwind(|| ring.window(0, 1).map(|bytes| bytes[0])).is_err();
            drop(ring);
            i32::from(!gone)
        });
        assert_eq!(code, 0);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(60))]
        #[test]
        fn the_ring_agrees_with_a_vector(
            steps in proptest::collection::vec((any::<usize>(), 0usize..9000, any::<u8>()), 1..40),
        ) {
            let mut ring = MirrorRing::new(8192).unwrap();
            let mut model = vec![0u8; 8192];
            for (start, len, byte) in steps {
                let len = len.min(8192);
                ring.window_mut(start, len).unwrap().fill(byte);
                (0..len).for_each(|at| model[(start % 8192 + at) % 8192] = byte);
                let seen = ring.window(start / 2, 8192).unwrap();
                for (at, &byte) in seen.iter().enumerate() {
                    prop_assert_eq!(byte, model[(start / 2 % 8192 + at) % 8192]);
                }
            }
        }
    }
}
