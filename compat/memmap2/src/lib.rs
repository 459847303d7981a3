//! `mapwright-memmap2` under the name `memmap2`, for the `[patch]` section of a workspace.

pub use mapwright_memmap2::*;
