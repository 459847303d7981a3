//! Guarded accesses for aarch64.
//!
//! The called routines are naked functions in the AAPCS64 convention: arguments in x0 to x4; the trap in x0
//! and x1, which the handler sets on a fault. Atomic operations are load-linked loops, so that they run on
//! every processor of the architecture; both the load and the store of a loop are listed. Plain loads and
//! stores may be unaligned, because what is mapped here is normal memory.

#![allow(unsafe_code, reason = "guarded accesses; listed in docs/SOUNDNESS.md")]

use std::arch::{asm, naked_asm};

use super::{Faulted, Literal, Trap, Word};
use crate::fault::table::listed;

/// Copies `len` bytes; either side may fault.
///
/// # Safety
/// Each side lies in memory that the caller may read (write) or in address space that a `Region` owns; the
/// sides do not overlap; nothing holds a reference to the target's bytes, or a mutable one to the source's.
#[unsafe(naked)]
pub(crate) unsafe extern "C" fn copy(target: *mut u8, source: *const u8, len: usize) -> Trap {
    naked_asm!(
        "add x3, x0, x2",
        "add x4, x1, x2",
        "cmp x2, 16",
        "b.lo 20f",
        "cmp x2, 64",
        "b.hs 40f",
        // 16 to 63: whole blocks of 16 in order, then the last 16, which may overlap.
        "sub x5, x3, 16",
        "30:",
        listed!("ldr q0, [x1], 16", "90f", "1"),
        listed!("str q0, [x0], 16", "90f", "1"),
        "cmp x0, x5",
        "b.lo 30b",
        listed!("ldur q0, [x4, -16]", "90f", "1"),
        listed!("stur q0, [x3, -16]", "90f", "1"),
        "mov x1, 0",
        "ret",
        "40: sub x5, x3, 64",
        "41:",
        listed!("ldp q0, q1, [x1]", "90f", "1"),
        listed!("ldp q2, q3, [x1, 32]", "90f", "1"),
        listed!("stp q0, q1, [x0]", "90f", "1"),
        listed!("stp q2, q3, [x0, 32]", "90f", "1"),
        "add x1, x1, 64",
        "add x0, x0, 64",
        "cmp x0, x5",
        "b.lo 41b",
        listed!("ldp q0, q1, [x4, -64]", "90f", "1"),
        listed!("ldp q2, q3, [x4, -32]", "90f", "1"),
        listed!("stp q0, q1, [x3, -64]", "90f", "1"),
        listed!("stp q2, q3, [x3, -32]", "90f", "1"),
        "mov x1, 0",
        "ret",
        "20: tbz x2, 3, 21f",
        listed!("ldr x5, [x1]", "90f", "1"),
        listed!("ldur x6, [x4, -8]", "90f", "1"),
        listed!("str x5, [x0]", "90f", "1"),
        listed!("stur x6, [x3, -8]", "90f", "1"),
        "mov x1, 0",
        "ret",
        "21: tbz x2, 2, 22f",
        listed!("ldr w5, [x1]", "90f", "1"),
        listed!("ldur w6, [x4, -4]", "90f", "1"),
        listed!("str w5, [x0]", "90f", "1"),
        listed!("stur w6, [x3, -4]", "90f", "1"),
        "mov x1, 0",
        "ret",
        // 1, 2 or 3 bytes: the first, the middle and the last, which may coincide.
        "22: cbz x2, 23f",
        "lsr x7, x2, 1",
        listed!("ldrb w5, [x1]", "90f", "1"),
        listed!("ldrb w6, [x1, x7]", "90f", "1"),
        listed!("ldurb w8, [x4, -1]", "90f", "1"),
        listed!("strb w5, [x0]", "90f", "1"),
        listed!("strb w6, [x0, x7]", "90f", "1"),
        listed!("sturb w8, [x3, -1]", "90f", "1"),
        "23: mov x1, 0",
        "90: ret",
    )
}

/// Copies a few bytes without a call, where that is faster. Here the called routine is as good.
///
/// # Safety
/// As for [`copy`].
#[inline(always)]
pub(crate) unsafe fn copy_short(_target: *mut u8, _source: *const u8, _len: usize) -> bool {
    false
}

/// Finds a literal by more than two of its bytes, where that is faster. Here [`scan_pair`] is the road.
///
/// # Safety
/// None is needed: nothing is read.
#[inline(always)]
pub(crate) unsafe fn scan_literal(_source: *const u8, _starts: usize, _literal: &Literal) -> Option<Trap> {
    None
}

/// Sets `len` bytes to `byte`; may fault.
///
/// # Safety
/// `target..+len` lies in memory that the caller may write or in address space that a `Region` owns; nothing
/// holds a reference to it.
#[inline]
pub(crate) unsafe fn fill(target: *mut u8, byte: u8, len: usize) -> Trap {
    // SAFETY: the caller's promise is the callee's.
    unsafe { fill_bytes(target, u64::from(byte), len) }
}

#[unsafe(naked)]
unsafe extern "C" fn fill_bytes(target: *mut u8, byte: u64, len: usize) -> Trap {
    naked_asm!(
        "add x3, x0, x2",
        "dup v0.16b, w1",
        "cmp x2, 16",
        "b.lo 20f",
        "sub x5, x3, 16",
        "30:",
        listed!("str q0, [x0], 16", "90f", "1"),
        "cmp x0, x5",
        "b.lo 30b",
        listed!("stur q0, [x3, -16]", "90f", "1"),
        "mov x1, 0",
        "ret",
        "20: cmp x0, x3",
        "b.eq 22f",
        "21:",
        listed!("strb w1, [x0], 1", "90f", "1"),
        "cmp x0, x3",
        "b.ne 21b",
        "22: mov x1, 0",
        "90: ret",
    )
}

/// Writes one byte without changing it. Says how a write there would fault.
///
/// # Safety
/// The byte lies in address space that a `Region` owns.
#[unsafe(naked)]
pub(crate) unsafe extern "C" fn touch_for_writing(target: *mut u8) -> Trap {
    naked_asm!(
        "20:",
        listed!("ldxrb w2, [x0]", "90f", "1"),
        listed!("stxrb w3, w2, [x0]", "90f", "1"),
        "cbnz w3, 20b",
        "mov x1, 0",
        "90: ret",
    )
}

macro_rules! gather {
    ($name:ident, $word:ty, $load:literal, $store:literal) => {
        /// Loads `count` words at `base + offsets[i]` into `target[i]`; the loads may fault.
        ///
        /// # Safety
        /// `target` and `offsets` are private and hold `count` elements; every word at `base + offsets[i]`
        /// lies in address space that a `Region` owns.
        #[unsafe(naked)]
        pub(crate) unsafe extern "C" fn $name(
            target: *mut $word,
            base: *const u8,
            offsets: *const usize,
            count: usize,
        ) -> Trap {
            naked_asm!(
                "cbz x3, 50f",
                "40: ldr x5, [x2], 8",
                listed!($load, "90f", "1"),
                $store,
                "subs x3, x3, 1",
                "b.ne 40b",
                "50: mov x1, 0",
                "90: ret",
            )
        }
    };
}

gather!(gather_u64, u64, "ldr x6, [x1, x5]", "str x6, [x0], 8");
gather!(gather_u32, u32, "ldr w6, [x1, x5]", "str w6, [x0], 4");

/// Finds the first `i < starts` where `source[i] == first` and `source[i + gap] == second`.
///
/// The trap's address is `source + i`, or `source + starts` where there is none.
///
/// # Safety
/// `source..+starts + gap` lies in memory that the caller may read or in address space that a `Region` owns.
#[inline]
pub(crate) unsafe fn scan_pair(source: *const u8, starts: usize, gap: usize, first: u8, second: u8) -> Trap {
    // SAFETY: the caller's promise is the callee's.
    unsafe { scan_pair_neon(source, starts, gap, u64::from(first), u64::from(second)) }
}

#[unsafe(naked)]
unsafe extern "C" fn scan_pair_neon(
    source: *const u8,
    starts: usize,
    gap: usize,
    first: u64,
    second: u64,
) -> Trap {
    naked_asm!(
        // x5: the end of the starts. Blocks of 16 starts until fewer are left or one of them fits.
        "add x5, x0, x1",
        "dup v0.16b, w3",
        "dup v1.16b, w4",
        "30: sub x6, x5, x0",
        "cmp x6, 16",
        "b.lo 40f",
        listed!("ldr q2, [x0]", "90f", "1"),
        listed!("ldr q3, [x0, x2]", "90f", "1"),
        "cmeq v2.16b, v2.16b, v0.16b",
        "cmeq v3.16b, v3.16b, v1.16b",
        "and v2.16b, v2.16b, v3.16b",
        "umaxv b4, v2.16b",
        "fmov w6, s4",
        "cbnz w6, 40f",
        "add x0, x0, 16",
        "b 30b",
        // Byte by byte: finds the place inside a block that has one, or walks the last few.
        "40: cmp x0, x5",
        "b.eq 50f",
        listed!("ldrb w6, [x0]", "90f", "1"),
        "cmp w6, w3",
        "b.ne 45f",
        listed!("ldrb w6, [x0, x2]", "90f", "1"),
        "cmp w6, w4",
        "b.eq 50f",
        "45: add x0, x0, 1",
        "b 40b",
        "50: mov x1, 0",
        "90: ret",
    )
}

/// The exit of an inline access: sets the flag and goes on behind the access.
macro_rules! guarded {
    ([$($line:expr),* $(,)?], $flag:ident, $($operand:tt)*) => {
        asm!(
            "mov {flag:w}, 0",
            $($line,)*
            "773:",
            ".pushsection .text.mapwright_exits, \"ax\", @progbits",
            "772: mov {flag:w}, 1",
            "b 773b",
            ".popsection",
            flag = out(reg) $flag,
            $($operand)*,
            options(nostack),
        )
    };
}

/// Writes freshly written instructions back to where fetching finds them, and drops what was fetched before.
///
/// # Safety
/// `start..+len` lies in address space that the caller owns; `len` is not 0.
#[unsafe(naked)]
pub(crate) unsafe extern "C" fn synchronise_instructions(start: *const u8, len: usize) -> Trap {
    naked_asm!(
        "add x2, x0, x1",
        "mrs x3, ctr_el0",
        "mov x4, 4",
        // The smallest line of all data caches (bits 16 to 19), and of all instruction caches (bits 0 to 3).
        "ubfx x5, x3, 16, 4",
        "lsl x5, x4, x5",
        "ubfx x6, x3, 0, 4",
        "lsl x6, x4, x6",
        "sub x7, x5, 1",
        "bic x8, x0, x7",
        "10:",
        listed!("dc cvau, x8", "90f", "1"),
        "add x8, x8, x5",
        "cmp x8, x2",
        "b.lo 10b",
        "dsb ish",
        "sub x7, x6, 1",
        "bic x8, x0, x7",
        "20:",
        listed!("ic ivau, x8", "90f", "1"),
        "add x8, x8, x6",
        "cmp x8, x2",
        "b.lo 20b",
        "dsb ish",
        "isb",
        "mov x1, 0",
        "90: ret",
    );
}

macro_rules! word {
    ($word:ty, $load:literal, $store:literal, $acquire:literal, $release:literal, $linked:literal,
     $conditional:literal) => {
        impl Word for $word {
            #[inline(always)]
            unsafe fn load(source: *const Self) -> Result<Self, Faulted> {
                let (value, flag): (u64, u32);
                // SAFETY: reads owned address space; a fault leaves through the exit.
                unsafe {
                    guarded!(
                        [listed!($load, "772f", "0")], flag, place = in(reg) source, value = out(reg) value
                    )
                };
                if flag == 0 { Ok(value as Self) } else { Err(Faulted) }
            }

            #[inline(always)]
            unsafe fn store(target: *mut Self, value: Self) -> Result<(), Faulted> {
                let flag: u32;
                // SAFETY: writes owned address space that nothing refers to; a fault leaves through the exit.
                unsafe {
                    guarded!(
                        [listed!($store, "772f", "0")], flag,
                        place = in(reg) target, value = in(reg) u64::from(value)
                    )
                };
                if flag == 0 { Ok(()) } else { Err(Faulted) }
            }

            #[inline(always)]
            unsafe fn load_acquire(source: *const Self) -> Result<Self, Faulted> {
                let (value, flag): (u64, u32);
                // SAFETY: as for load.
                unsafe {
                    guarded!(
                        [listed!($acquire, "772f", "0")], flag, place = in(reg) source, value = out(reg) value
                    )
                };
                if flag == 0 { Ok(value as Self) } else { Err(Faulted) }
            }

            #[inline(always)]
            unsafe fn store_release(target: *mut Self, value: Self) -> Result<(), Faulted> {
                let flag: u32;
                // SAFETY: as for store.
                unsafe {
                    guarded!(
                        [listed!($release, "772f", "0")], flag,
                        place = in(reg) target, value = in(reg) u64::from(value)
                    )
                };
                if flag == 0 { Ok(()) } else { Err(Faulted) }
            }

            #[inline(always)]
            unsafe fn swap(target: *mut Self, value: Self) -> Result<Self, Faulted> {
                let (seen, flag): (u64, u32);
                // SAFETY: as for store.
                unsafe {
                    guarded!(
                        [
                            "774:",
                            listed!($linked, "772f", "0"),
                            "mov {next}, {value}",
                            listed!($conditional, "772f", "0"),
                            "cbnz {failed:w}, 774b",
                        ],
                        flag, place = in(reg) target, value = in(reg) u64::from(value), seen = out(reg) seen,
                        next = out(reg) _, failed = out(reg) _
                    )
                };
                if flag == 0 { Ok(seen as Self) } else { Err(Faulted) }
            }

            #[inline(always)]
            unsafe fn fetch_add(target: *mut Self, value: Self) -> Result<Self, Faulted> {
                let (seen, flag): (u64, u32);
                // SAFETY: as for store.
                unsafe {
                    guarded!(
                        [
                            "774:",
                            listed!($linked, "772f", "0"),
                            "add {next}, {seen}, {value}",
                            listed!($conditional, "772f", "0"),
                            "cbnz {failed:w}, 774b",
                        ],
                        flag, place = in(reg) target, value = in(reg) u64::from(value), seen = out(reg) seen,
                        next = out(reg) _, failed = out(reg) _
                    )
                };
                if flag == 0 { Ok(seen as Self) } else { Err(Faulted) }
            }

            #[inline(always)]
            unsafe fn compare_exchange(
                target: *mut Self,
                expected: Self,
                new: Self,
            ) -> Result<Self, Faulted> {
                let (seen, flag): (u64, u32);
                // SAFETY: as for store.
                unsafe {
                    guarded!(
                        [
                            "774:",
                            listed!($linked, "772f", "0"),
                            "cmp {seen}, {expected}",
                            "b.ne 775f",
                            listed!($conditional, "772f", "0"),
                            "cbnz {failed:w}, 774b",
                            "775:",
                        ],
                        flag, place = in(reg) target, expected = in(reg) u64::from(expected),
                        next = in(reg) u64::from(new), seen = out(reg) seen, failed = out(reg) _
                    )
                };
                // The monitor that a failed comparison leaves open is closed by the next exclusive access.
                if flag == 0 { Ok(seen as Self) } else { Err(Faulted) }
            }
        }
    };
}

mod words {
    #![allow(
        clippy::cast_possible_truncation,
        reason = "a register is narrowed to the width that the load has filled"
    )]
    use super::*;

    word!(
        u8,
        "ldrb {value:w}, [{place}]",
        "strb {value:w}, [{place}]",
        "ldarb {value:w}, [{place}]",
        "stlrb {value:w}, [{place}]",
        "ldaxrb {seen:w}, [{place}]",
        "stlxrb {failed:w}, {next:w}, [{place}]"
    );
    word!(
        u16,
        "ldrh {value:w}, [{place}]",
        "strh {value:w}, [{place}]",
        "ldarh {value:w}, [{place}]",
        "stlrh {value:w}, [{place}]",
        "ldaxrh {seen:w}, [{place}]",
        "stlxrh {failed:w}, {next:w}, [{place}]"
    );
    word!(
        u32,
        "ldr {value:w}, [{place}]",
        "str {value:w}, [{place}]",
        "ldar {value:w}, [{place}]",
        "stlr {value:w}, [{place}]",
        "ldaxr {seen:w}, [{place}]",
        "stlxr {failed:w}, {next:w}, [{place}]"
    );
    word!(
        u64,
        "ldr {value}, [{place}]",
        "str {value}, [{place}]",
        "ldar {value}, [{place}]",
        "stlr {value}, [{place}]",
        "ldaxr {seen}, [{place}]",
        "stlxr {failed:w}, {next}, [{place}]"
    );
}
