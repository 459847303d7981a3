//! Values of `zerocopy` types, by value.
//!
//! A value whose size is 1, 2, 4 or 8 bytes is moved by one instruction: where its offset is a multiple of
//! its size, it never tears. Larger values, and unaligned ones, may show a mixture while somebody else writes
//! them.

use std::mem::MaybeUninit;

use zerocopy::{FromBytes, Immutable, IntoBytes};

use super::View;
use crate::error::{Fault, Result};
use crate::fault::raw::{self, Faulted, Trap, Word};
use crate::map::origin::Wanted;
use crate::map::{Access, Readable, Writable};

impl<A: Readable> View<'_, A> {
    /// Loads a value.
    ///
    /// # Errors
    /// As [`copy_to`](Self::copy_to).
    ///
    /// ```
    /// # use mapwright_core::MapOptions;
    /// let map = MapOptions::new().shared_memory(64)?;
    /// map.view().store(8, [1u16, 2, 3])?;
    /// assert_eq!(map.view().load::<[u16; 3]>(8)?, [1, 2, 3]);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[inline]
    pub fn load<T: FromBytes>(&self, offset: usize) -> Result<T, Fault> {
        self.check(offset, size_of::<T>())?;
        match size_of::<T>() {
            1 => self.load_word::<u8, T>(offset),
            2 => self.load_word::<u16, T>(offset),
            4 => self.load_word::<u32, T>(offset),
            8 => self.load_word::<u64, T>(offset),
            _ => self.load_bytes(offset),
        }
    }

    /// Loads many values, each from an offset of its own: `out[i]` from `offsets[i]`.
    ///
    /// Faster than one [`load`](Self::load) after another, because the bounds are checked in one pass and the
    /// loads overlap.
    ///
    /// # Errors
    /// As [`copy_to`](Self::copy_to). Nothing is touched where any offset lies out of bounds.
    ///
    /// # Panics
    /// Where the two slices differ in length.
    ///
    /// ```
    /// # use mapwright_core::MapOptions;
    /// let map = MapOptions::new().shared_memory(4096)?;
    /// map.view().store_slice(0, &[10u64, 11, 12, 13])?;
    /// let mut out = [0u64; 3];
    /// map.view().load_many(&[24, 0, 8], &mut out)?;
    /// assert_eq!(out, [13, 10, 11]);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn load_many<T: FromBytes>(&self, offsets: &[usize], out: &mut [T]) -> Result<(), Fault> {
        assert_eq!(offsets.len(), out.len(), "as many values as offsets");
        let Some(&highest) = offsets.iter().max() else { return Ok(()) };
        self.check(highest, size_of::<T>())?;
        let trap = match size_of::<T>() {
            // SAFETY: out holds as many 8-byte values as there are offsets, any bytes are a T, and every
            // offset was checked.
            8 => Some(unsafe {
                raw::gather_u64(out.as_mut_ptr().cast(), self.start, offsets.as_ptr(), offsets.len())
            }),
            // SAFETY: as above, with 4-byte values.
            4 => Some(unsafe {
                raw::gather_u32(out.as_mut_ptr().cast(), self.start, offsets.as_ptr(), offsets.len())
            }),
            _ => None,
        };
        if trap.is_some_and(|trap| trap.code == 0) {
            return Ok(());
        }
        // Other sizes, and the rare fault: one by one, which says which of them it was.
        for (&offset, out) in offsets.iter().zip(out) {
            *out = self.load(offset)?;
        }
        Ok(())
    }

    /// Copies values into a slice, which it fills; `offset` is in bytes.
    ///
    /// # Errors
    /// As [`copy_to`](Self::copy_to).
    ///
    /// ```
    /// # use mapwright_core::Map;
    /// # let path = tempfile::NamedTempFile::new().unwrap();
    /// # std::fs::write(&path, [1u16, 2, 3, 4].map(u16::to_ne_bytes).concat()).unwrap();
    /// let map = Map::open(&path)?;
    /// let mut samples = [0u16; 2];
    /// map.view().load_slice(4, &mut samples)?;
    /// assert_eq!(samples, [3, 4]);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn load_slice<T: FromBytes + IntoBytes>(&self, offset: usize, out: &mut [T]) -> Result<(), Fault> {
        self.copy_to(offset, out.as_mut_bytes())
    }

    #[inline(always)]
    fn load_word<W: Word, T: FromBytes>(&self, offset: usize) -> Result<T, Fault> {
        // SAFETY: the caller has checked the offset, so the word lies inside the view (invariant 1).
        let source = unsafe { self.start.add(offset) }.cast::<W>();
        // SAFETY: inside an owned range.
        match unsafe { W::load(source) } {
            // SAFETY: W and T have the same size, and any bytes are a T.
            Ok(word) => Ok(unsafe { std::mem::transmute_copy::<W, T>(&word) }),
            Err(Faulted) => self.load_after_fault::<W, T>(offset),
        }
    }

    /// Takes the other road after a fault: an aligned word is still loaded by one instruction where it comes
    /// back; else a copy finds out what happened.
    #[cold]
    #[inline(never)]
    fn load_after_fault<W: Word, T: FromBytes>(&self, offset: usize) -> Result<T, Fault> {
        // SAFETY: the caller has checked the offset, so the word lies inside the view (invariant 1).
        let source = unsafe { self.start.add(offset) }.cast::<W>();
        if !source.is_aligned() {
            return self.load_bytes(offset);
        }
        let mut loaded = None;
        self.settle_word(offset, size_of::<W>(), Wanted::Read, || {
            // SAFETY: inside an owned range.
            loaded = unsafe { W::load(source) }.ok();
            loaded.is_some()
        })?;
        let word = loaded.expect("the access has succeeded");
        // SAFETY: W and T have the same size, and any bytes are a T.
        Ok(unsafe { std::mem::transmute_copy::<W, T>(&word) })
    }

    #[inline]
    fn load_bytes<T: FromBytes>(&self, offset: usize) -> Result<T, Fault> {
        let mut value = MaybeUninit::<T>::uninit();
        // SAFETY: the offset was checked by the caller; the target is a local of T's size.
        unsafe { self.copy_to_raw(offset, value.as_mut_ptr().cast(), size_of::<T>()) }?;
        // SAFETY: every byte was written, and any bytes are a T.
        Ok(unsafe { value.assume_init() })
    }
}

impl<A: Writable> View<'_, A> {
    /// Stores a value.
    ///
    /// # Errors
    /// As [`copy_from`](Self::copy_from).
    ///
    /// ```
    /// # use mapwright_core::MapOptions;
    /// let map = MapOptions::new().shared_memory(64)?;
    /// map.view().store(8, 0x0102_0304_u32.to_be())?;
    /// assert_eq!(map.view().load::<[u8; 4]>(8)?, [1, 2, 3, 4]);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[inline]
    pub fn store<T: IntoBytes + Immutable>(&self, offset: usize, value: T) -> Result<(), Fault> {
        self.check(offset, size_of::<T>())?;
        match size_of::<T>() {
            1 => self.store_word::<u8, T>(offset, &value),
            2 => self.store_word::<u16, T>(offset, &value),
            4 => self.store_word::<u32, T>(offset, &value),
            8 => self.store_word::<u64, T>(offset, &value),
            _ => self.copy_from(offset, value.as_bytes()),
        }
    }

    /// Copies a slice of values over the bytes at `offset`.
    ///
    /// # Errors
    /// As [`copy_from`](Self::copy_from).
    ///
    /// ```
    /// # use mapwright_core::MapOptions;
    /// let map = MapOptions::new().shared_memory(64)?;
    /// map.view().store_slice(16, &[1.5f64, 2.5])?;
    /// assert_eq!(map.view().load::<f64>(24)?, 2.5);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn store_slice<T: IntoBytes + Immutable>(&self, offset: usize, values: &[T]) -> Result<(), Fault> {
        self.copy_from(offset, values.as_bytes())
    }

    #[inline(always)]
    fn store_word<W: Word, T: IntoBytes + Immutable>(&self, offset: usize, value: &T) -> Result<(), Fault> {
        // SAFETY: W and T have the same size, and T has no padding: all its bytes are initialised.
        let word = unsafe { std::mem::transmute_copy::<T, W>(value) };
        // SAFETY: the caller has checked the offset, so the word lies inside the view (invariant 1).
        let target = unsafe { self.start.add(offset) }.cast::<W>();
        // SAFETY: inside an owned range to which nothing refers.
        match unsafe { W::store(target, word) } {
            Ok(()) => Ok(()),
            Err(Faulted) if !target.is_aligned() => self.copy_from(offset, value.as_bytes()),
            Err(Faulted) => self.settle_word(offset, size_of::<W>(), Wanted::Write, || {
                // SAFETY: as above.
                unsafe { W::store(target, word) }.is_ok()
            }),
        }
    }
}

impl<A: Access> View<'_, A> {
    /// Decides about a fault of a one-word access at `offset`, tried again by `again` while the file allows
    /// it.
    #[cold]
    #[inline(never)]
    pub(super) fn settle_word(
        &self,
        offset: usize,
        size: usize,
        wanted: Wanted,
        mut again: impl FnMut() -> bool,
    ) -> Result<(), Fault> {
        let base = self.base();
        // SAFETY: the caller has checked the offset, so the byte lies inside the view (invariant 1).
        let source = unsafe { self.start.add(offset) };
        let attempt = |_from, _len| {
            if again() {
                return Trap { address: 0, code: 0 };
            }
            let trap = match wanted {
                Wanted::Read => {
                    let mut byte = 0u8;
                    // SAFETY: one byte of an owned range into a local.
                    unsafe { raw::copy(&raw mut byte, source, 1) }
                }
                // SAFETY: one byte of an owned range to which nothing refers.
                Wanted::Write => unsafe { raw::touch_for_writing(source) },
            };
            // A page that has come back meanwhile: the file is asked, says yes, and the operation is tried
            // again.
            if trap.code == 0 {
                Trap { address: source.addr(), code: Trap::pack(libc::SIGBUS, 2) }
            } else {
                trap
            }
        };
        self.region.settle(base + offset, size, wanted, attempt).map_err(|fault| fault.seen_from(base))
    }
}
