//! Processes that are killed in the middle of what they do to files, and what the next process finds.

pub(crate) mod calls;

/// The element that is appended as this one: no two are equal, and they are in no order.
fn number(index: usize) -> u64 {
    u64::try_from(index).unwrap().wrapping_mul(0x9E37_79B9_7F4A_7C15)
}
