//! An alignment alone does not fix the order of the fields.

use mapwright_core::Plain;

#[derive(Clone, Copy, Plain)]
#[plain(crate = "mapwright_core")]
#[repr(align(16))]
struct Trade {
    id: u64,
    price: f64,
}

fn main() {}
