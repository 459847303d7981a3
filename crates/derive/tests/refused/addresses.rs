//! References and pointers mean something in one process only.

use mapwright_core::Plain;

#[derive(Clone, Copy, Plain)]
#[plain(crate = "mapwright_core")]
#[repr(C)]
struct Named {
    name: &'static str,
}

#[derive(Clone, Copy, Plain)]
#[plain(crate = "mapwright_core")]
#[repr(C)]
struct Linked {
    next: [*const u64; 2],
}

fn main() {}
