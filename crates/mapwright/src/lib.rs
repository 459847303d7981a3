//! Map anything into memory and get it back as an array.

pub use mapwright_core::*;
