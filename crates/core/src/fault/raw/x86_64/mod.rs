//! Guarded accesses for x86-64.
//!
//! The called routines are naked functions in the System V convention: arguments in rdi, rsi, rdx, rcx, r8,
//! r9; the trap in rax and rdx. On a fault the handler sets rax and rdx itself and goes on at the label that
//! restores the ABI.
//!
//! - `copies`: copy and fill
//! - `gather`: many loads in one call, and the write that changes nothing
//! - `scan`: search by vectors
//! - `words`: one word, inline

mod copies;
mod gather;
mod scan;
mod words;

pub(crate) use copies::{copy, copy_short, fill};
pub(crate) use gather::{gather_u32, gather_u64, touch_for_writing};
pub(crate) use scan::{scan_literal, scan_pair};
