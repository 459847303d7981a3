//! The accesses to memory that may fault, by architecture, and what they share.
//!
//! Two shapes. *Inline* accesses (one word: load, store, atomic operations) leave a flag behind. *Called*
//! routines (copy, fill, gather, scan) return a [`Trap`]. Neither is ever a Rust reference or a Rust read:
//! the bytes may change or vanish at any time, so the compiler must not know that it is memory at all. A word
//! is moved by one instruction of its width.

#![allow(unsafe_code, reason = "guarded accesses; listed in docs/SOUNDNESS.md")]

#[cfg(target_arch = "aarch64")]
mod aarch64;
#[cfg(target_arch = "x86_64")]
mod x86_64;

#[cfg(target_arch = "aarch64")]
use aarch64 as arch;
#[cfg(target_arch = "x86_64")]
use x86_64 as arch;

pub(crate) use arch::{
    copy, copy_short, fill, gather_u32, gather_u64, scan_literal, scan_pair, touch_for_writing,
};

/// Makes freshly written instructions visible to instruction fetch, page by page. A page that cannot be had
/// is passed by, where the handler is installed: fetching from it faults anyway.
///
/// # Safety
/// `start..+len` lies in address space that a `Region` (or whoever calls) owns, readable where it is there.
pub(crate) unsafe fn synchronise_instructions(start: *const u8, len: usize) {
    // x86 keeps its instruction cache coherent by itself.
    #[cfg(target_arch = "aarch64")]
    {
        let page = crate::sys::page::size();
        let mut done = 0;
        while done < len {
            // SAFETY: inside the range.
            let from = unsafe { start.add(done) };
            let part = (page - from.addr() % page).min(len - done);
            // SAFETY: by this function's contract.
            let _passed_by = unsafe { arch::synchronise_instructions(from, part) };
            done += part;
        }
    }
    #[cfg(target_arch = "x86_64")]
    let _ = (start, len);
}

/// How a called routine ended: `code` is 0, or the signal and where it struck.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Trap {
    /// The address that faulted (after a fault); what the routine found (after a scan); else meaningless.
    pub(crate) address: usize,
    /// 0, or `signal << 16 | si_code`.
    pub(crate) code: u64,
}

impl Trap {
    /// Packs what the kernel told the handler.
    pub(crate) fn pack(signal: i32, si_code: i32) -> u64 {
        let signal = u64::try_from(signal).unwrap_or(0);
        let si_code = u64::try_from(si_code).unwrap_or(0);
        (signal << 16) | (si_code & 0xffff)
    }

    /// Returns the signal, or `None` where the routine ran to its end.
    pub(crate) fn signal(self) -> Option<i32> {
        i32::try_from(self.code >> 16).ok().filter(|&signal| signal != 0)
    }

    /// Returns the kernel's `si_code`.
    pub(crate) fn si_code(self) -> i32 {
        i32::try_from(self.code & 0xffff).unwrap_or(0)
    }
}

/// What [`scan_literal`] looks for: three bytes of a literal, where they stand in it, and its first four
/// bytes.
#[derive(Clone, Copy, Debug)]
#[cfg_attr(target_arch = "aarch64", allow(dead_code, reason = "the search there goes by two bytes"))]
pub(crate) struct Literal {
    pub(crate) rarest: [u8; 3],
    pub(crate) gaps: [usize; 3],
    pub(crate) first_four: [u8; 4],
}

/// Says that a one-word access faulted; the address is known to the caller.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Faulted;

/// An unsigned integer that one instruction moves.
///
/// Every method is one guarded instruction (a load-linked loop where the architecture has no single one). The
/// pointer must lie in an owned range of address space; it need not be backed. Atomic methods need a multiple
/// of the size.
pub(crate) trait Word: Copy + Eq + 'static {
    /// Loads without ordering. The pointer need not be aligned; an unaligned load may tear.
    ///
    /// # Safety
    /// `source..+size` lies in address space that a `Region` owns.
    unsafe fn load(source: *const Self) -> Result<Self, Faulted>;

    /// Stores without ordering. The pointer need not be aligned; an unaligned store may tear.
    ///
    /// # Safety
    /// As for `load`, and nothing holds a reference to these bytes.
    unsafe fn store(target: *mut Self, value: Self) -> Result<(), Faulted>;

    /// Loads atomically with acquire (and sequentially consistent) ordering.
    ///
    /// # Safety
    /// As for `load`; the pointer is aligned.
    unsafe fn load_acquire(source: *const Self) -> Result<Self, Faulted>;

    /// Stores atomically with release ordering.
    ///
    /// # Safety
    /// As for `store`; the pointer is aligned.
    unsafe fn store_release(target: *mut Self, value: Self) -> Result<(), Faulted>;

    /// Exchanges atomically, sequentially consistent.
    ///
    /// # Safety
    /// As for `store`; the pointer is aligned.
    unsafe fn swap(target: *mut Self, value: Self) -> Result<Self, Faulted>;

    /// Adds atomically (wrapping), sequentially consistent; returns the value before.
    ///
    /// # Safety
    /// As for `store`; the pointer is aligned.
    unsafe fn fetch_add(target: *mut Self, value: Self) -> Result<Self, Faulted>;

    /// Stores `new` if the value is `expected`, sequentially consistent; returns the value before.
    ///
    /// # Safety
    /// As for `store`; the pointer is aligned.
    unsafe fn compare_exchange(target: *mut Self, expected: Self, new: Self) -> Result<Self, Faulted>;
}

#[cfg(test)]
#[allow(clippy::multiple_unsafe_ops_per_block, reason = "tables of the same call shape")]
#[allow(
    clippy::cast_ptr_alignment,
    reason = "words are placed before a page's edge, a multiple of their size"
)]
mod tests {
    use super::*;
    use crate::fault::handler;
    use proptest::prelude::*;

    /// Two anonymous pages, the second without access: a place where every routine can be made to fault.
    struct Cliff {
        base: *mut u8,
    }

    const PAGE: usize = 4096;

    impl Cliff {
        fn new() -> Self {
            handler::install();
            let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS;
            // SAFETY: a new anonymous mapping at an address of the kernel's choice touches nothing that
            // exists.
            let base = unsafe {
                libc::mmap(std::ptr::null_mut(), 2 * PAGE, libc::PROT_READ | libc::PROT_WRITE, flags, -1, 0)
            };
            assert_ne!(base, libc::MAP_FAILED);
            let base = base.cast::<u8>();
            // SAFETY: the second page lies inside the mapping above.
            let second = unsafe { base.add(PAGE) };
            // SAFETY: protects a page that this test owns.
            let done = unsafe { libc::mprotect(second.cast(), PAGE, libc::PROT_NONE) };
            assert_eq!(done, 0);
            Self { base }
        }

        fn before_edge(&self, distance: usize) -> *mut u8 {
            assert!(distance <= PAGE);
            // SAFETY: stays inside the two pages.
            unsafe { self.base.add(PAGE - distance) }
        }

        fn edge(&self) -> usize {
            self.base.addr() + PAGE
        }
    }

    impl Drop for Cliff {
        fn drop(&mut self) {
            // SAFETY: unmaps exactly what `new` mapped.
            unsafe { libc::munmap(self.base.cast(), 2 * PAGE) };
        }
    }

    #[test]
    fn a_copy_over_the_edge_stops_at_the_edge_for_every_length() {
        let cliff = Cliff::new();
        let mut private = vec![7u8; 2 * PAGE];
        for len in (1..300).chain([511, 512, 1023, 1024, 2048, 4000, 4096]) {
            for readable in [0, 1.min(len - 1), len / 2, len - 1] {
                let place = cliff.before_edge(readable);
                // SAFETY: the range lies in the cliff or on its guarded page; the private side is long
                // enough.
                let reading = unsafe { copy(private.as_mut_ptr(), place, len) };
                assert_eq!(reading.signal(), Some(libc::SIGSEGV), "read of {len} with {readable} readable");
                assert!((cliff.edge()..cliff.edge() + len).contains(&reading.address));
                // SAFETY: as above, the other way round.
                let writing = unsafe { copy(place, private.as_ptr(), len) };
                assert_eq!(writing.signal(), Some(libc::SIGSEGV), "write of {len} with {readable} writable");
                // SAFETY: as above.
                let filling = unsafe { fill(place, 3, len) };
                assert_eq!(filling.signal(), Some(libc::SIGSEGV), "fill of {len} with {readable} writable");
            }
            // SAFETY: ends exactly at the edge.
            let whole =
                unsafe { copy(private.as_mut_ptr(), cliff.before_edge(len.min(PAGE)), len.min(PAGE)) };
            assert_eq!(whole.code, 0);
        }
    }

    macro_rules! words_over_the_edge {
        ($($word:ty),*) => {$(
            let cliff = Cliff::new();
            let good = cliff.before_edge(size_of::<$word>()).cast::<$word>();
            let bad = cliff.before_edge(0).cast::<$word>();
            // SAFETY: both words lie in the cliff's two pages, aligned to their size; nothing refers to them.
            unsafe {
                assert_eq!(<$word>::store(good, 5), Ok(()));
                assert_eq!(<$word>::load(good), Ok(5));
                assert_eq!(<$word>::fetch_add(good, <$word>::MAX), Ok(5));
                assert_eq!(<$word>::swap(good, 9), Ok(4));
                assert_eq!(<$word>::compare_exchange(good, 1, 2), Ok(9));
                assert_eq!(<$word>::compare_exchange(good, 9, 2), Ok(9));
                assert_eq!(<$word>::load_acquire(good), Ok(2));
                assert_eq!(<$word>::store_release(good, 77), Ok(()));
                assert_eq!(<$word>::load(good), Ok(77));
                assert_eq!(<$word>::load(bad), Err(Faulted));
                assert_eq!(<$word>::store(bad, 1), Err(Faulted));
                assert_eq!(<$word>::load_acquire(bad), Err(Faulted));
                assert_eq!(<$word>::store_release(bad, 1), Err(Faulted));
                assert_eq!(<$word>::swap(bad, 1), Err(Faulted));
                assert_eq!(<$word>::fetch_add(bad, 1), Err(Faulted));
                assert_eq!(<$word>::compare_exchange(bad, 1, 1), Err(Faulted));
            }
        )*};
    }

    #[test]
    fn every_word_access_works_and_reports_the_edge() {
        words_over_the_edge!(u8, u16, u32, u64);
    }

    #[test]
    fn touching_for_writing_changes_nothing_and_reports_the_edge() {
        let cliff = Cliff::new();
        let place = cliff.before_edge(1);
        // SAFETY: both bytes lie in the cliff's two pages, and nothing refers to them.
        let (stored, fine) = unsafe { (u8::store(place, 0xA5), touch_for_writing(place)) };
        // SAFETY: as above.
        let (value, trap) = unsafe { (u8::load(place), touch_for_writing(cliff.before_edge(0))) };
        assert_eq!((stored, fine.code, value), (Ok(()), 0, Ok(0xA5)));
        assert_eq!((trap.signal(), trap.address), (Some(libc::SIGSEGV), cliff.edge()));
    }

    #[test]
    fn gather_reports_an_unreadable_element() {
        let cliff = Cliff::new();
        let base = cliff.before_edge(64);
        // SAFETY: the word lies before the edge.
        assert_eq!(unsafe { u64::store(base.cast(), 42) }, Ok(()));
        let mut out = [0u64; 3];
        // SAFETY: offsets 0 and 8 lie before the edge.
        let fine = unsafe { gather_u64(out.as_mut_ptr(), base, [0, 8, 0].as_ptr(), 3) };
        assert_eq!((fine.code, out), (0, [42, 0, 42]));
        // SAFETY: offset 64 lies on the guarded page, inside the owned range.
        let trap = unsafe { gather_u64(out.as_mut_ptr(), base, [0, 64, 0].as_ptr(), 3) };
        assert_eq!((trap.signal(), trap.address), (Some(libc::SIGSEGV), cliff.edge()));
        let mut narrow = [0u32; 2];
        // SAFETY: as above, 4 bytes each.
        let trap = unsafe { gather_u32(narrow.as_mut_ptr(), base, [0, 64].as_ptr(), 2) };
        assert_eq!((trap.signal(), narrow[0]), (Some(libc::SIGSEGV), 42));
    }

    proptest! {
        #[test]
        fn copy_moves_exactly_the_bytes_asked_for(
            bytes in proptest::collection::vec(any::<u8>(), 0..6000), lead in 0usize..70,
        ) {
            let mut room = vec![0xAAu8; lead + bytes.len() + 70];
            // SAFETY: as below.
            let short = unsafe { copy_short(room.as_mut_ptr().add(lead), bytes.as_ptr(), bytes.len()) };
            prop_assert!(!short || room[lead..lead + bytes.len()] == bytes[..]);
            // SAFETY: both sides are private vectors of sufficient length.
            let end = unsafe { copy(room.as_mut_ptr().add(lead), bytes.as_ptr(), bytes.len()) };
            prop_assert_eq!(end.code, 0);
            prop_assert!(room[..lead].iter().all(|&byte| byte == 0xAA));
            prop_assert_eq!(&room[lead..lead + bytes.len()], &bytes[..]);
            prop_assert!(room[lead + bytes.len()..].iter().all(|&byte| byte == 0xAA));
        }

        #[test]
        fn fill_writes_exactly_the_bytes_asked_for(
            len in 0usize..6000, lead in 0usize..70, byte in any::<u8>(),
        ) {
            let mut room = vec![!byte; lead + len + 70];
            // SAFETY: the range lies inside the private vector.
            let end = unsafe { fill(room.as_mut_ptr().add(lead), byte, len) };
            prop_assert_eq!(end.code, 0);
            let asked = lead..lead + len;
            prop_assert!(room.iter().enumerate().all(|(i, &b)| (b == byte) == asked.contains(&i)));
        }

        #[test]
        fn scans_find_what_iterators_find(
            bytes in proptest::collection::vec(0u8..4, 0..900),
            first in 0u8..4, second in 0u8..4, gap in 0usize..40,
        ) {
            if bytes.len() > 36 {
                let (starts, from) = (bytes.len() - 4, gap.min(bytes.len() - 4));
                let needle = [bytes[from], bytes[from + 1], bytes[from + 2], bytes[from + 3]];
                let wanted = bytes.windows(4).position(|window| window == needle);
                let rarest = [needle[2], needle[0], needle[3]];
                let literal = Literal { rarest, gaps: [2, 0, 3], first_four: needle };
                // SAFETY: starts + 3 is less than the vector's length.
                if let Some(found) = unsafe { scan_literal(bytes.as_ptr(), starts, &literal) } {
                    prop_assert_eq!(found.code, 0);
                    let found = found.address - bytes.as_ptr().addr();
                    prop_assert_eq!(found, wanted.unwrap_or(starts).min(starts));
                }
            }
            if bytes.len() > gap {
                let starts = bytes.len() - gap;
                let pair = (0..starts).position(|i| bytes[i] == first && bytes[i + gap] == second);
                // SAFETY: starts + gap is the vector's length.
                let found = unsafe { scan_pair(bytes.as_ptr(), starts, gap, first, second) };
                prop_assert_eq!(found.code, 0);
                let place = found.address - bytes.as_ptr().addr();
                prop_assert_eq!(Some(place).filter(|&at| at < starts), pair);
            }
        }
    }
}
