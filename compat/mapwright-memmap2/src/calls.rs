//! The calls that every kind of map has, written once.

#![allow(unsafe_code, reason = "memmap2 leaves some advice and remapping to its caller's promise")]

use std::io;

use crate::{Advice, Mmap, MmapMut, MmapRaw, RemapOptions, UncheckedAdvice};

/// Gives a kind of map the calls about advice, locking and its length.
macro_rules! range_calls {
    ($map:ident) => {
        impl $map {
            /// Tells the kernel how the whole map will be used.
            ///
            /// # Errors
            /// `EINVAL` where the kernel does not know the advice.
            ///
            /// # Kernel
            /// madvise(2).
            pub fn advise(&self, advice: Advice) -> io::Result<()> {
                self.advise_range(advice, 0, self.inner.len())
            }

            /// Tells the kernel how a range of the map will be used. Pages are taken whole.
            ///
            /// # Errors
            /// `InvalidInput` where the range ends beyond the map; `EINVAL` where the kernel does not know
            /// the advice.
            pub fn advise_range(&self, advice: Advice, offset: usize, len: usize) -> io::Result<()> {
                // SAFETY: this kind of advice changes no byte.
                unsafe { self.inner.advise(advice as i32, offset, len) }
            }

            /// Gives advice about the whole map that may change its bytes.
            ///
            /// # Errors
            /// As [`advise`](Self::advise).
            ///
            /// # Safety
            /// No reference into the map is held across this, or its holder expects the bytes to change.
            pub unsafe fn unchecked_advise(&self, advice: UncheckedAdvice) -> io::Result<()> {
                // SAFETY: by this function's contract.
                unsafe { self.unchecked_advise_range(advice, 0, self.inner.len()) }
            }

            /// Gives advice about a range that may change its bytes. Pages are taken whole.
            ///
            /// # Errors
            /// As [`advise_range`](Self::advise_range).
            ///
            /// # Safety
            /// As for [`unchecked_advise`](Self::unchecked_advise), for every page that holds a byte of the
            /// range.
            pub unsafe fn unchecked_advise_range(
                &self,
                advice: UncheckedAdvice,
                offset: usize,
                len: usize,
            ) -> io::Result<()> {
                // SAFETY: by this function's contract.
                unsafe { self.inner.advise(advice as i32, offset, len) }
            }

            /// Brings the whole map into memory and keeps it there.
            ///
            /// # Errors
            /// `ENOMEM` beyond `RLIMIT_MEMLOCK`, or where a page cannot be had.
            ///
            /// # Kernel
            /// mlock(2).
            pub fn lock(&self) -> io::Result<()> {
                self.inner.lock()
            }

            /// Undoes [`lock`](Self::lock). Without it nothing happens.
            ///
            /// # Errors
            /// What munlock(2) says.
            pub fn unlock(&self) -> io::Result<()> {
                self.inner.unlock()
            }

            /// Makes the map longer or shorter.
            ///
            /// # Errors
            /// `InvalidData` where no slice can be that long; `ENOMEM` where the map cannot grow in place and
            /// may not move. The map is as it was then.
            ///
            /// # Safety
            /// No reference into the map is held by other means than borrowing it. Bytes beyond the file's
            /// end must not be touched: that raises SIGBUS.
            ///
            /// # Kernel
            /// mremap(2).
            pub unsafe fn remap(&mut self, new_len: usize, options: RemapOptions) -> io::Result<()> {
                // SAFETY: `&mut self` rules out borrows, and the rest is this function's contract.
                unsafe { self.inner.remap(new_len, options.place()) }
            }
        }
    };
}

range_calls!(Mmap);
range_calls!(MmapMut);
range_calls!(MmapRaw);

/// Gives a kind of map that can be written the calls that bring its bytes to the disk.
macro_rules! flush_calls {
    ($map:ident) => {
        impl $map {
            /// Writes what was changed to the disk, and waits until it is there.
            ///
            /// # Errors
            /// `EIO` where the disk has failed, now or since the last flush.
            ///
            /// # Kernel
            /// msync(2) with `MS_SYNC`.
            pub fn flush(&self) -> io::Result<()> {
                self.flush_range(0, self.inner.len())
            }

            /// Starts to write what was changed to the disk, and does not wait.
            ///
            /// # Errors
            /// None: what goes wrong with the writing is reported by the next [`flush`](Self::flush).
            ///
            /// # Kernel
            /// sync_file_range(2) by a helper thread, because msync(2) with `MS_ASYNC` does nothing. Where
            /// the file cannot be found again (it was deleted, and the process has no privileges) the kernel
            /// writes when it always would.
            pub fn flush_async(&self) -> io::Result<()> {
                self.flush_async_range(0, self.inner.len())
            }

            /// Writes what was changed in a range to the disk, and waits until it is there. Pages are taken
            /// whole.
            ///
            /// # Errors
            /// `InvalidInput` where the range ends beyond the map; else as [`flush`](Self::flush).
            pub fn flush_range(&self, offset: usize, len: usize) -> io::Result<()> {
                self.inner.flush(offset, len)
            }

            /// Starts to write what was changed in a range to the disk, and does not wait.
            ///
            /// # Errors
            /// `InvalidInput` where the range ends beyond the map.
            pub fn flush_async_range(&self, offset: usize, len: usize) -> io::Result<()> {
                self.inner.flush_async(offset, len)
            }
        }
    };
}

flush_calls!(MmapMut);
flush_calls!(MmapRaw);
