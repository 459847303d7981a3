//! Guarded accesses for x86-64.
//!
//! The called routines are naked functions in the System V convention: arguments in rdi, rsi, rdx, rcx, r8;
//! the trap in rax and rdx. On a fault the handler sets rax and rdx itself and goes on at the label that
//! restores the ABI. A copy takes overlapping moves up to 64 bytes and a loop of vectors above. Not `rep
//! movsb`: measured on Zen 4, it falls from 53 to 3 GB/s where target and source differ by 1 to 15 bytes
//! modulo the page size, and is never the faster one.

#![allow(unsafe_code, reason = "guarded accesses; listed in docs/SOUNDNESS.md")]

use std::arch::{asm, naked_asm};

use super::{Faulted, Literal, Trap, Word};
use crate::fault::table::listed;

/// Copies 16 to 64 bytes without a call, and returns whether it did: not on a fault, and not another length.
///
/// A call and its surroundings would halve the number of cache misses that the processor overlaps (measured:
/// random copies of 64 bytes from 64 MiB take 15.6 ns here, as by memcpy, and 49 ns by the called routine).
///
/// # Safety
/// As for [`copy`].
#[inline(always)]
pub(crate) unsafe fn copy_short(target: *mut u8, source: *const u8, len: usize) -> bool {
    let flag: u32;
    if len > 32 && len <= 64 {
        // SAFETY: four overlapping moves cover 33 to 64 bytes of each side; a fault leaves through the exit.
        unsafe {
            asm!(
                "xor {flag:e}, {flag:e}",
                listed!("movups {a}, [{source}]", "772f", "0"),
                listed!("movups {b}, [{source} + 16]", "772f", "0"),
                listed!("movups {c}, [{source} + {len} - 32]", "772f", "0"),
                listed!("movups {d}, [{source} + {len} - 16]", "772f", "0"),
                listed!("movups [{target}], {a}", "772f", "0"),
                listed!("movups [{target} + 16], {b}", "772f", "0"),
                listed!("movups [{target} + {len} - 32], {c}", "772f", "0"),
                listed!("movups [{target} + {len} - 16], {d}", "772f", "0"),
                "773:",
                ".pushsection .text.mapwright_exits, \"ax\", @progbits",
                "772: mov {flag:e}, 1",
                "jmp 773b",
                ".popsection",
                flag = out(reg) flag, source = in(reg) source, target = in(reg) target, len = in(reg) len,
                a = out(xmm_reg) _, b = out(xmm_reg) _, c = out(xmm_reg) _, d = out(xmm_reg) _,
                options(nostack),
            );
        }
    } else if len >= 16 && len <= 32 {
        // SAFETY: two overlapping moves cover 16 to 32 bytes of each side; a fault leaves through the exit.
        unsafe {
            asm!(
                "xor {flag:e}, {flag:e}",
                listed!("movups {a}, [{source}]", "772f", "0"),
                listed!("movups {b}, [{source} + {len} - 16]", "772f", "0"),
                listed!("movups [{target}], {a}", "772f", "0"),
                listed!("movups [{target} + {len} - 16], {b}", "772f", "0"),
                "773:",
                ".pushsection .text.mapwright_exits, \"ax\", @progbits",
                "772: mov {flag:e}, 1",
                "jmp 773b",
                ".popsection",
                flag = out(reg) flag, source = in(reg) source, target = in(reg) target, len = in(reg) len,
                a = out(xmm_reg) _, b = out(xmm_reg) _,
                options(nostack),
            );
        }
    } else {
        return false;
    }
    flag == 0
}

/// Copies `len` bytes; either side may fault.
///
/// # Safety
/// Each side lies in memory that the caller may read (write) or in address space that a `Region` owns; the
/// sides do not overlap; nothing holds a reference to the target's bytes, or a mutable one to the source's.
#[inline]
pub(crate) unsafe fn copy(target: *mut u8, source: *const u8, len: usize) -> Trap {
    if len > 128 && std::is_x86_feature_detected!("avx") {
        // SAFETY: the caller's promise is the callee's; AVX was detected.
        unsafe { copy_avx(target, source, len) }
    } else {
        // SAFETY: the caller's promise is the callee's.
        unsafe { copy_sse(target, source, len) }
    }
}

/// From this length on, `rep stosb` beats a loop of vector stores.
const REP_FROM: usize = 2048;

#[unsafe(naked)]
unsafe extern "C" fn copy_sse(target: *mut u8, source: *const u8, len: usize) -> Trap {
    naked_asm!(
        "cmp rdx, 16",
        "jb 20f",
        "cmp rdx, 32",
        "ja 30f",
        listed!("movups xmm0, [rsi]", "90f", "1"),
        listed!("movups xmm1, [rsi + rdx - 16]", "90f", "1"),
        listed!("movups [rdi], xmm0", "90f", "1"),
        listed!("movups [rdi + rdx - 16], xmm1", "90f", "1"),
        "xor edx, edx",
        "ret",
        "30: cmp rdx, 64",
        "ja 40f",
        listed!("movups xmm0, [rsi]", "90f", "1"),
        listed!("movups xmm1, [rsi + 16]", "90f", "1"),
        listed!("movups xmm2, [rsi + rdx - 32]", "90f", "1"),
        listed!("movups xmm3, [rsi + rdx - 16]", "90f", "1"),
        listed!("movups [rdi], xmm0", "90f", "1"),
        listed!("movups [rdi + 16], xmm1", "90f", "1"),
        listed!("movups [rdi + rdx - 32], xmm2", "90f", "1"),
        listed!("movups [rdi + rdx - 16], xmm3", "90f", "1"),
        "xor edx, edx",
        "ret",
        // More than 64: the last 64 bytes are loaded first and stored last, whole blocks of 64 in between.
        "40:",
        listed!("movups xmm4, [rsi + rdx - 64]", "90f", "1"),
        listed!("movups xmm5, [rsi + rdx - 48]", "90f", "1"),
        listed!("movups xmm6, [rsi + rdx - 32]", "90f", "1"),
        listed!("movups xmm7, [rsi + rdx - 16]", "90f", "1"),
        "lea rcx, [rdi + rdx - 64]",
        "50:",
        listed!("movups xmm0, [rsi]", "90f", "1"),
        listed!("movups xmm1, [rsi + 16]", "90f", "1"),
        listed!("movups xmm2, [rsi + 32]", "90f", "1"),
        listed!("movups xmm3, [rsi + 48]", "90f", "1"),
        listed!("movups [rdi], xmm0", "90f", "1"),
        listed!("movups [rdi + 16], xmm1", "90f", "1"),
        listed!("movups [rdi + 32], xmm2", "90f", "1"),
        listed!("movups [rdi + 48], xmm3", "90f", "1"),
        "add rsi, 64",
        "add rdi, 64",
        "cmp rdi, rcx",
        "jb 50b",
        listed!("movups [rcx], xmm4", "90f", "1"),
        listed!("movups [rcx + 16], xmm5", "90f", "1"),
        listed!("movups [rcx + 32], xmm6", "90f", "1"),
        listed!("movups [rcx + 48], xmm7", "90f", "1"),
        "xor edx, edx",
        "ret",
        "20: cmp edx, 8",
        "jb 24f",
        listed!("mov rax, [rsi]", "90f", "1"),
        listed!("mov rcx, [rsi + rdx - 8]", "90f", "1"),
        listed!("mov [rdi], rax", "90f", "1"),
        listed!("mov [rdi + rdx - 8], rcx", "90f", "1"),
        "xor edx, edx",
        "ret",
        "24: cmp edx, 4",
        "jb 22f",
        listed!("mov eax, [rsi]", "90f", "1"),
        listed!("mov ecx, [rsi + rdx - 4]", "90f", "1"),
        listed!("mov [rdi], eax", "90f", "1"),
        listed!("mov [rdi + rdx - 4], ecx", "90f", "1"),
        "xor edx, edx",
        "ret",
        // 1, 2 or 3 bytes: the first, the middle and the last, which may coincide.
        "22: test edx, edx",
        "je 90f",
        "mov r9d, edx",
        "shr r9d, 1",
        listed!("movzx eax, byte ptr [rsi]", "90f", "1"),
        listed!("movzx ecx, byte ptr [rsi + r9]", "90f", "1"),
        listed!("movzx r8d, byte ptr [rsi + rdx - 1]", "90f", "1"),
        listed!("mov [rdi], al", "90f", "1"),
        listed!("mov [rdi + r9], cl", "90f", "1"),
        listed!("mov [rdi + rdx - 1], r8b", "90f", "1"),
        "xor edx, edx",
        "90: ret",
    )
}

/// As `copy_sse`, for more than 128 bytes and a processor with AVX.
#[unsafe(naked)]
unsafe extern "C" fn copy_avx(target: *mut u8, source: *const u8, len: usize) -> Trap {
    naked_asm!(
        listed!("vmovups ymm4, [rsi + rdx - 128]", "90f", "1"),
        listed!("vmovups ymm5, [rsi + rdx - 96]", "90f", "1"),
        listed!("vmovups ymm6, [rsi + rdx - 64]", "90f", "1"),
        listed!("vmovups ymm7, [rsi + rdx - 32]", "90f", "1"),
        "lea rcx, [rdi + rdx - 128]",
        "50:",
        listed!("vmovups ymm0, [rsi]", "90f", "1"),
        listed!("vmovups ymm1, [rsi + 32]", "90f", "1"),
        listed!("vmovups ymm2, [rsi + 64]", "90f", "1"),
        listed!("vmovups ymm3, [rsi + 96]", "90f", "1"),
        listed!("vmovups [rdi], ymm0", "90f", "1"),
        listed!("vmovups [rdi + 32], ymm1", "90f", "1"),
        listed!("vmovups [rdi + 64], ymm2", "90f", "1"),
        listed!("vmovups [rdi + 96], ymm3", "90f", "1"),
        "sub rsi, -128",
        "sub rdi, -128",
        "cmp rdi, rcx",
        "jb 50b",
        listed!("vmovups [rcx], ymm4", "90f", "1"),
        listed!("vmovups [rcx + 32], ymm5", "90f", "1"),
        listed!("vmovups [rcx + 64], ymm6", "90f", "1"),
        listed!("vmovups [rcx + 96], ymm7", "90f", "1"),
        "vzeroupper",
        "xor edx, edx",
        "ret",
        "90: vzeroupper",
        "ret",
    )
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
        "mov rax, 0x0101010101010101",
        "imul rax, rsi",
        "cmp rdx, 16",
        "jb 20f",
        "cmp rdx, {rep_from}",
        "jae 60f",
        "movq xmm0, rax",
        "punpcklqdq xmm0, xmm0",
        "lea rcx, [rdi + rdx - 16]",
        "50:",
        listed!("movups [rdi], xmm0", "90f", "1"),
        "add rdi, 16",
        "cmp rdi, rcx",
        "jb 50b",
        listed!("movups [rcx], xmm0", "90f", "1"),
        "xor edx, edx",
        "ret",
        "60: mov rcx, rdx",
        listed!("rep stosb", "90f", "1"),
        "xor edx, edx",
        "ret",
        "20: test edx, edx",
        "je 90f",
        "21:",
        listed!("mov [rdi + rdx - 1], al", "90f", "1"),
        "dec edx",
        "jnz 21b",
        "90: ret",
        rep_from = const REP_FROM,
    )
}

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
        /// `target` and `offsets` are private and hold `count` elements; every word at `base + offsets[i]` lies in
        /// address space that a `Region` owns.
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

/// Finds the first `i < starts` where `source[i] == first` and `source[i + gap] == second`.
///
/// The trap's address is `source + i`, or `source + starts` where there is none.
///
/// # Safety
/// `source..+starts + gap` lies in memory that the caller may read or in address space that a `Region` owns.
#[inline]
pub(crate) unsafe fn scan_pair(source: *const u8, starts: usize, gap: usize, first: u8, second: u8) -> Trap {
    let (first, second) = (u64::from(first), u64::from(second));
    if std::is_x86_feature_detected!("avx2") {
        // SAFETY: the caller's promise is the callee's; AVX2 was detected.
        unsafe { scan_pair_avx2(source, starts, gap, first, second) }
    } else {
        // SAFETY: the caller's promise is the callee's.
        unsafe { scan_pair_sse2(source, starts, gap, first, second) }
    }
}

#[unsafe(naked)]
unsafe extern "C" fn scan_pair_avx2(
    source: *const u8,
    starts: usize,
    gap: usize,
    first: u64,
    second: u64,
) -> Trap {
    naked_asm!(
        "lea r9, [rdi + rsi]",
        "cmp rsi, 32",
        "jb 60f",
        "vmovd xmm0, ecx",
        "vpbroadcastb ymm0, xmm0",
        "vmovd xmm1, r8d",
        "vpbroadcastb ymm1, xmm1",
        "lea r10, [r9 - 128]",
        "lea r11, [r9 - 32]",
        "cmp rdi, r10",
        "ja 40f",
        "30:",
        listed!("vpcmpeqb ymm2, ymm0, [rdi]", "90f", "1"),
        listed!("vpcmpeqb ymm3, ymm0, [rdi + 32]", "90f", "1"),
        listed!("vpcmpeqb ymm4, ymm0, [rdi + 64]", "90f", "1"),
        listed!("vpcmpeqb ymm5, ymm0, [rdi + 96]", "90f", "1"),
        listed!("vpcmpeqb ymm6, ymm1, [rdi + rdx]", "90f", "1"),
        "vpand ymm2, ymm2, ymm6",
        listed!("vpcmpeqb ymm7, ymm1, [rdi + rdx + 32]", "90f", "1"),
        "vpand ymm3, ymm3, ymm7",
        listed!("vpcmpeqb ymm8, ymm1, [rdi + rdx + 64]", "90f", "1"),
        "vpand ymm4, ymm4, ymm8",
        listed!("vpcmpeqb ymm9, ymm1, [rdi + rdx + 96]", "90f", "1"),
        "vpand ymm5, ymm5, ymm9",
        "vpor ymm6, ymm2, ymm3",
        "vpor ymm7, ymm4, ymm5",
        "vpor ymm6, ymm6, ymm7",
        "vptest ymm6, ymm6",
        "jnz 35f",
        "sub rdi, -128",
        "cmp rdi, r10",
        "jbe 30b",
        "jmp 40f",
        "35: vpmovmskb eax, ymm2",
        "test eax, eax",
        "jnz 80f",
        "vpmovmskb eax, ymm3",
        "add rdi, 32",
        "test eax, eax",
        "jnz 80f",
        "vpmovmskb eax, ymm4",
        "add rdi, 32",
        "test eax, eax",
        "jnz 80f",
        "vpmovmskb eax, ymm5",
        "add rdi, 32",
        "jmp 80f",
        "40: cmp rdi, r11",
        "ja 50f",
        "45:",
        listed!("vpcmpeqb ymm2, ymm0, [rdi]", "90f", "1"),
        listed!("vpcmpeqb ymm3, ymm1, [rdi + rdx]", "90f", "1"),
        "vpand ymm2, ymm2, ymm3",
        "vpmovmskb eax, ymm2",
        "test eax, eax",
        "jnz 80f",
        "add rdi, 32",
        "cmp rdi, r11",
        "jbe 45b",
        // Fewer than 32 starts are left: one more block that ends exactly at the last start.
        "50: cmp rdi, r9",
        "je 70f",
        "mov rdi, r11",
        "jmp 45b",
        "80: tzcnt eax, eax",
        "add rax, rdi",
        "vzeroupper",
        "xor edx, edx",
        "ret",
        "60: cmp rdi, r9",
        "je 75f",
        listed!("movzx eax, byte ptr [rdi]", "91f", "1"),
        "cmp al, cl",
        "jne 65f",
        listed!("movzx eax, byte ptr [rdi + rdx]", "91f", "1"),
        "cmp al, r8b",
        "je 66f",
        "65: inc rdi",
        "jmp 60b",
        "66: mov rax, rdi",
        "xor edx, edx",
        "ret",
        "70: vzeroupper",
        "75: mov rax, r9",
        "xor edx, edx",
        "ret",
        "90: vzeroupper",
        "91: ret",
    )
}

/// Finds the first `i < starts` where a literal's three rarest bytes and its first four bytes stand in their
/// places.
///
/// The trap's address is `source + i`, or `source + starts` where there is none. `None` where this processor
/// has no fast way: [`scan_pair`] is the road then.
///
/// # Safety
/// `source..+starts + gaps` (the largest, and at least 3) lies in memory that the caller may read or in
/// address space that a `Region` owns.
#[inline]
pub(crate) unsafe fn scan_literal(source: *const u8, starts: usize, literal: &Literal) -> Option<Trap> {
    if starts < 32 || !std::is_x86_feature_detected!("avx2") {
        return None;
    }
    let [a, b, c] = literal.rarest;
    let bytes = u64::from(a) | u64::from(b) << 8 | u64::from(c) << 16;
    let word = u64::from(u32::from_ne_bytes(literal.first_four));
    let [first, second, third] = literal.gaps;
    // SAFETY: the caller's promise is the callee's; AVX2 was detected, and there are 32 starts at least.
    Some(unsafe { scan_literal_avx2(source, starts, first, bytes | word << 32, second, third) })
}

/// Assembler text: looks at each place that a block's mask names, and leaves with the one whose first four
/// bytes fit.
macro_rules! places_of {
    ($mask:literal) => {
        concat!(
            "vpmovmskb r11d, ",
            $mask,
            "\n31: test r11d, r11d\njz 32f\ntzcnt eax, r11d\nadd rax, rdi\n",
            listed!("cmp dword ptr [rax], ecx", "90f", "1"),
            "\nje 80f\nlea eax, [r11 - 1]\nand r11d, eax\njmp 31b\n32:"
        )
    };
}

// rdi: the block; rsi: the end of the starts; rdx, r8, r9: gaps; rcx: the first four bytes.
#[unsafe(naked)]
unsafe extern "C" fn scan_literal_avx2(
    source: *const u8,
    starts: usize,
    first_gap: usize,
    bytes_and_word: u64,
    second_gap: usize,
    third_gap: usize,
) -> Trap {
    naked_asm!(
        "add rsi, rdi",
        "vmovq xmm0, rcx",
        "vpsrldq xmm1, xmm0, 1",
        "vpsrldq xmm2, xmm0, 2",
        "vpbroadcastb ymm0, xmm0",
        "vpbroadcastb ymm1, xmm1",
        "vpbroadcastb ymm2, xmm2",
        "shr rcx, 32",
        "lea r10, [rsi - 128]",
        "cmp rdi, r10",
        "ja 40f",
        ".balign 32",
        "30:",
        listed!("vpcmpeqb ymm3, ymm0, [rdi + rdx]", "90f", "1"),
        listed!("vpcmpeqb ymm4, ymm0, [rdi + rdx + 32]", "90f", "1"),
        listed!("vpcmpeqb ymm5, ymm0, [rdi + rdx + 64]", "90f", "1"),
        listed!("vpcmpeqb ymm6, ymm0, [rdi + rdx + 96]", "90f", "1"),
        listed!("vpcmpeqb ymm7, ymm1, [rdi + r8]", "90f", "1"),
        "vpand ymm3, ymm3, ymm7",
        listed!("vpcmpeqb ymm8, ymm1, [rdi + r8 + 32]", "90f", "1"),
        "vpand ymm4, ymm4, ymm8",
        listed!("vpcmpeqb ymm9, ymm1, [rdi + r8 + 64]", "90f", "1"),
        "vpand ymm5, ymm5, ymm9",
        listed!("vpcmpeqb ymm10, ymm1, [rdi + r8 + 96]", "90f", "1"),
        "vpand ymm6, ymm6, ymm10",
        listed!("vpcmpeqb ymm7, ymm2, [rdi + r9]", "90f", "1"),
        "vpand ymm3, ymm3, ymm7",
        listed!("vpcmpeqb ymm8, ymm2, [rdi + r9 + 32]", "90f", "1"),
        "vpand ymm4, ymm4, ymm8",
        listed!("vpcmpeqb ymm9, ymm2, [rdi + r9 + 64]", "90f", "1"),
        "vpand ymm5, ymm5, ymm9",
        listed!("vpcmpeqb ymm10, ymm2, [rdi + r9 + 96]", "90f", "1"),
        "vpand ymm6, ymm6, ymm10",
        "vpor ymm7, ymm3, ymm4",
        "vpor ymm8, ymm5, ymm6",
        "vpor ymm7, ymm7, ymm8",
        "vptest ymm7, ymm7",
        "jnz 35f",
        "sub rdi, -128",
        "34: cmp rdi, r10",
        "jbe 30b",
        "jmp 40f",
        "35:",
        places_of!("ymm3"),
        "add rdi, 32",
        places_of!("ymm4"),
        "add rdi, 32",
        places_of!("ymm5"),
        "add rdi, 32",
        places_of!("ymm6"),
        "add rdi, 32",
        "jmp 34b",
        // Fewer than 128 starts are left: blocks of 32, the last of which ends exactly at the last start.
        "40: lea r10, [rsi - 32]",
        "cmp rdi, r10",
        "ja 50f",
        "45:",
        listed!("vpcmpeqb ymm3, ymm0, [rdi + rdx]", "90f", "1"),
        listed!("vpcmpeqb ymm4, ymm1, [rdi + r8]", "90f", "1"),
        "vpand ymm3, ymm3, ymm4",
        listed!("vpcmpeqb ymm4, ymm2, [rdi + r9]", "90f", "1"),
        "vpand ymm3, ymm3, ymm4",
        places_of!("ymm3"),
        "add rdi, 32",
        "cmp rdi, r10",
        "jbe 45b",
        "50: cmp rdi, rsi",
        "mov rax, rsi",
        "jae 80f",
        "mov rdi, r10",
        "jmp 45b",
        "80: vzeroupper",
        "xor edx, edx",
        "ret",
        "90: vzeroupper",
        "ret",
    )
}

#[unsafe(naked)]
unsafe extern "C" fn scan_pair_sse2(
    source: *const u8,
    starts: usize,
    gap: usize,
    first: u64,
    second: u64,
) -> Trap {
    naked_asm!(
        "lea r9, [rdi + rsi]",
        "cmp rsi, 16",
        "jb 60f",
        "movd xmm0, ecx",
        "punpcklbw xmm0, xmm0",
        "pshuflw xmm0, xmm0, 0",
        "punpcklqdq xmm0, xmm0",
        "movd xmm1, r8d",
        "punpcklbw xmm1, xmm1",
        "pshuflw xmm1, xmm1, 0",
        "punpcklqdq xmm1, xmm1",
        "lea r11, [r9 - 16]",
        "45:",
        listed!("movdqu xmm2, [rdi]", "90f", "1"),
        listed!("movdqu xmm3, [rdi + rdx]", "90f", "1"),
        "pcmpeqb xmm2, xmm0",
        "pcmpeqb xmm3, xmm1",
        "pand xmm2, xmm3",
        "pmovmskb eax, xmm2",
        "test eax, eax",
        "jnz 80f",
        "add rdi, 16",
        "cmp rdi, r11",
        "jbe 45b",
        "cmp rdi, r9",
        "je 70f",
        "mov rdi, r11",
        "jmp 45b",
        "80: bsf eax, eax",
        "add rax, rdi",
        "xor edx, edx",
        "ret",
        "60: cmp rdi, r9",
        "je 70f",
        listed!("movzx eax, byte ptr [rdi]", "90f", "1"),
        "cmp al, cl",
        "jne 65f",
        listed!("movzx eax, byte ptr [rdi + rdx]", "90f", "1"),
        "cmp al, r8b",
        "je 66f",
        "65: inc rdi",
        "jmp 60b",
        "66: mov rax, rdi",
        "xor edx, edx",
        "ret",
        "70: mov rax, r9",
        "xor edx, edx",
        "90: ret",
    )
}

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
    ($word:ty, $class:ident, $load:literal, $store:literal, $swap:literal, $add:literal, $cas:literal, $acc:tt) => {
        impl Word for $word {
            #[inline(always)]
            unsafe fn load(source: *const Self) -> Result<Self, Faulted> {
                let (value, flag): (u64, u32);
                // SAFETY: reads owned address space; a fault leaves through the exit.
                unsafe { guarded!($load, [readonly], flag, source = in(reg) source, value = lateout(reg) value) };
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
                // SAFETY: as for load. Without `readonly` the compiler moves nothing across, and x86 loads acquire.
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
            unsafe fn compare_exchange(target: *mut Self, expected: Self, new: Self) -> Result<Self, Faulted> {
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

mod words {
    #![allow(
        clippy::cast_possible_truncation,
        reason = "a register is narrowed to the width that the load has filled"
    )]
    use super::*;

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
}
