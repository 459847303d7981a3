//! Attributes that do not exist, and a name that a file could not hold.

use mapwright_core::Plain;

#[derive(Clone, Copy, Plain)]
#[plain(krate = "mapwright_core")]
#[repr(C)]
struct Trade {
    id: u64,
}

#[derive(Clone, Copy, Plain)]
#[plain(crate = "mapwright_core")]
#[repr(C)]
struct Renamed {
    #[plain(name = "a,b")]
    id: u64,
}

#[derive(Clone, Copy, Plain)]
#[plain(crate = "mapwright_core")]
#[repr(C)]
struct Skipped {
    #[plain(skip)]
    id: u64,
}

fn main() {}
