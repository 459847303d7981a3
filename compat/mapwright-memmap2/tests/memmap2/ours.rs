//! Ours, which must do the same.

#![allow(clippy::duplicate_mod, reason = "the same tests, against another crate")]

use mapwright_memmap2 as memmap2;

#[path = "behaviour.rs"]
mod behaviour;
#[path = "refusals.rs"]
mod refusals;
#[path = "surface.rs"]
mod surface;
