//! An enum: most numbers are none of its variants.

use mapwright_core::Plain;

#[derive(Clone, Copy, Plain)]
#[plain(crate = "mapwright_core")]
#[repr(u8)]
enum Side {
    Buy,
    Sell,
}

fn main() {}
