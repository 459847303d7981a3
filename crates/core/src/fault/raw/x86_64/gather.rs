//! Many loads in one call, and the write that changes nothing.

#![allow(unsafe_code, reason = "guarded accesses; listed in docs/SOUNDNESS.md")]

use std::arch::naked_asm;

use crate::fault::raw::Trap;
use crate::fault::table::listed;

/// Writes one byte without changing it: an atomic or with nothing. Says how a write there would fault.
///
/// # Safety
/// The byte lies in address space that a `Region` owns.
#[unsafe(naked)]
pub(crate) unsafe extern "C" fn touch_for_writing(target: *mut u8) -> Trap {
    naked_asm!(listed!("lock or byte ptr [rdi], 0", "90f", "1"), "xor edx, edx", "90: ret")
}

macro_rules! gather {
    ($name:ident, $word:ty, $load:literal, $store:literal, $step:literal) => {
        /// Loads `count` words at `base + offsets[i]` into `target[i]`; the loads may fault.
        ///
        /// # Safety
        /// `target` and `offsets` are private and hold `count` elements; every word at
        /// `base + offsets[i]` lies in address space that a `Region` owns.
        #[unsafe(naked)]
        pub(crate) unsafe extern "C" fn $name(
            target: *mut $word,
            base: *const u8,
            offsets: *const usize,
            count: usize,
        ) -> Trap {
            naked_asm!(
                "test rcx, rcx",
                "jz 50f",
                "40: mov rax, [rdx]",
                listed!($load, "90f", "1"),
                $store,
                "add rdi, {step}",
                "add rdx, 8",
                "dec rcx",
                "jnz 40b",
                "50: xor edx, edx",
                "90: ret",
                step = const $step,
            )
        }
    };
}

gather!(gather_u64, u64, "mov rax, [rsi + rax]", "mov [rdi], rax", 8);
gather!(gather_u32, u32, "mov eax, [rsi + rax]", "mov [rdi], eax", 4);
