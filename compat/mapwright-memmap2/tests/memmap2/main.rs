//! memmap2's behaviour: the same tests run against the original and against ours; then what only ours
//! promises.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod api;
mod better;
mod original;
mod ours;
mod support;
