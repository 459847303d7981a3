//! The original, which the shared tests must describe.

use memmap2_original as memmap2;

#[path = "behaviour.rs"]
mod behaviour;
#[path = "refusals.rs"]
mod refusals;
#[path = "surface.rs"]
mod surface;
