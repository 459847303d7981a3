//! A union: nothing says which of its fields the bytes are.

use mapwright_core::Plain;

#[derive(Clone, Copy, Plain)]
#[plain(crate = "mapwright_core")]
#[repr(C)]
union Number {
    whole: u64,
    real: f64,
}

fn main() {}
