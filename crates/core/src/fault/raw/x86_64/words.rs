//! One word, inline: load, store, and the atomic operations.

#![allow(unsafe_code, reason = "guarded accesses; listed in docs/SOUNDNESS.md")]
#![allow(
    clippy::cast_possible_truncation,
    reason = "a register is narrowed to the width that the load has filled"
)]

use std::arch::asm;

use crate::fault::raw::{Faulted, Word};
use crate::fault::table::listed;

/// The exit of an inline access: sets the flag and goes on behind the instruction.
macro_rules! guarded {
    ($instruction:literal, [$($option:ident),*], $flag:ident, $($operand:tt)*) => {
        asm!(
            "xor {flag:e}, {flag:e}",
            listed!($instruction, "772f", "0"),
            "773:",
            ".pushsection .text.mapwright_exits, \"ax\", @progbits",
            "772: mov {flag:e}, 1",
            "jmp 773b",
            ".popsection",
            flag = out(reg) $flag,
            $($operand)*,
            options(nostack $(, $option)*),
        )
    };
}

macro_rules! word {
    ($word:ty, $class:ident, $load:literal, $store:literal, $swap:literal, $add:literal, $cas:literal,
     $acc:tt) => {
        impl Word for $word {
            #[inline(always)]
            unsafe fn load(source: *const Self) -> Result<Self, Faulted> {
                let (value, flag): (u64, u32);
                // SAFETY: reads owned address space; a fault leaves through the exit.
                unsafe {
                    guarded!($load, [readonly], flag, source = in(reg) source, value = lateout(reg) value)
                };
                // The load fills the register from the low bits up, zero-extended.
                if flag == 0 { Ok(value as Self) } else { Err(Faulted) }
            }

            #[inline(always)]
            unsafe fn store(target: *mut Self, value: Self) -> Result<(), Faulted> {
                let flag: u32;
                // SAFETY: writes owned address space that nothing refers to; a fault leaves through the exit.
                unsafe { guarded!($store, [], flag, target = in(reg) target, value = in($class) value) };
                if flag == 0 { Ok(()) } else { Err(Faulted) }
            }

            #[inline(always)]
            unsafe fn load_acquire(source: *const Self) -> Result<Self, Faulted> {
                let (value, flag): (u64, u32);
                // SAFETY: as for load. Without `readonly` nothing is moved across, and x86 loads acquire.
                unsafe { guarded!($load, [], flag, source = in(reg) source, value = lateout(reg) value) };
                if flag == 0 { Ok(value as Self) } else { Err(Faulted) }
            }

            #[inline(always)]
            unsafe fn store_release(target: *mut Self, value: Self) -> Result<(), Faulted> {
                // SAFETY: the caller's promise is the callee's; x86 stores release.
                unsafe { Self::store(target, value) }
            }

            #[inline(always)]
            unsafe fn swap(target: *mut Self, mut value: Self) -> Result<Self, Faulted> {
                let flag: u32;
                // SAFETY: writes owned address space that nothing refers to; a fault leaves through the exit.
                unsafe { guarded!($swap, [], flag, target = in(reg) target, value = inout($class) value) };
                if flag == 0 { Ok(value) } else { Err(Faulted) }
            }

            #[inline(always)]
            unsafe fn fetch_add(target: *mut Self, mut value: Self) -> Result<Self, Faulted> {
                let flag: u32;
                // SAFETY: as for swap.
                unsafe { guarded!($add, [], flag, target = in(reg) target, value = inout($class) value) };
                if flag == 0 { Ok(value) } else { Err(Faulted) }
            }

            #[inline(always)]
            unsafe fn compare_exchange(
                target: *mut Self,
                expected: Self,
                new: Self,
            ) -> Result<Self, Faulted> {
                let mut seen = expected;
                let flag: u32;
                // SAFETY: as for swap.
                unsafe {
                    guarded!($cas, [], flag, target = in(reg) target, new = in($class) new, inout($acc) seen)
                };
                if flag == 0 { Ok(seen) } else { Err(Faulted) }
            }
        }
    };
}

word!(
    u8,
    reg_byte,
    "movzx {value:e}, byte ptr [{source}]",
    "mov byte ptr [{target}], {value}",
    "xchg byte ptr [{target}], {value}",
    "lock xadd byte ptr [{target}], {value}",
    "lock cmpxchg byte ptr [{target}], {new}",
    "al"
);
word!(
    u16,
    reg,
    "movzx {value:e}, word ptr [{source}]",
    "mov word ptr [{target}], {value:x}",
    "xchg word ptr [{target}], {value:x}",
    "lock xadd word ptr [{target}], {value:x}",
    "lock cmpxchg word ptr [{target}], {new:x}",
    "ax"
);
word!(
    u32,
    reg,
    "mov {value:e}, dword ptr [{source}]",
    "mov dword ptr [{target}], {value:e}",
    "xchg dword ptr [{target}], {value:e}",
    "lock xadd dword ptr [{target}], {value:e}",
    "lock cmpxchg dword ptr [{target}], {new:e}",
    "eax"
);
word!(
    u64,
    reg,
    "mov {value}, qword ptr [{source}]",
    "mov qword ptr [{target}], {value}",
    "xchg qword ptr [{target}], {value}",
    "lock xadd qword ptr [{target}], {value}",
    "lock cmpxchg qword ptr [{target}], {new}",
    "rax"
);
