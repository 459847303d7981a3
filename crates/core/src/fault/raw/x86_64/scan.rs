//! Search by vectors: AVX2 where the processor has it, SSE2 elsewhere.

#![allow(unsafe_code, reason = "guarded accesses; listed in docs/SOUNDNESS.md")]

use std::arch::naked_asm;

use crate::fault::raw::{Literal, Trap};
use crate::fault::table::listed;

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
