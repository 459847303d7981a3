//! A struct whose fields the compiler may reorder.

use mapwright_core::Plain;

#[derive(Clone, Copy, Plain)]
#[plain(crate = "mapwright_core")]
struct Trade {
    id: u64,
    price: f64,
}

fn main() {}
