//! Types that everybody tries first.

use mapwright_core::Plain;

#[derive(Clone, Copy, Plain)]
#[plain(crate = "mapwright_core")]
#[repr(C)]
struct Order {
    open: bool,
}

#[derive(Clone, Copy, Plain)]
#[plain(crate = "mapwright_core")]
#[repr(C)]
struct Letters {
    letters: [char; 4],
}

#[derive(Plain)]
#[plain(crate = "mapwright_core")]
#[repr(C)]
struct Person {
    name: String,
}

fn main() {}
