//! Structs of every form, through a path of the user's choice.

mod prelude {
    pub use mapwright_core as mapped;
}

use mapwright_core::Plain as _;
use mapwright_core::zerocopy::{self, FromBytes, Immutable, IntoBytes, KnownLayout};

#[derive(Clone, Copy, FromBytes, IntoBytes, Immutable, KnownLayout, mapwright_core::Plain)]
#[plain(crate = "crate::prelude::mapped")]
#[repr(C)]
struct Trade {
    id: u64,
    #[plain(name = "cost")]
    price: f64,
}

#[derive(Clone, Copy, FromBytes, IntoBytes, Immutable, KnownLayout, mapwright_core::Plain)]
#[plain(crate = "mapwright_core")]
#[repr(transparent)]
struct Metres(f32);

#[derive(Clone, Copy, FromBytes, IntoBytes, Immutable, KnownLayout, mapwright_core::Plain)]
#[plain(crate = "mapwright_core")]
#[repr(C, packed(1))]
struct Pair<A, B: Copy, const N: usize>
where
    A: Copy,
{
    one: A,
    many: [B; N],
}

fn main() {
    assert_eq!(Trade::STRUCTURE.to_string(), "{id:u64@0,cost:f64@8;size=16,align=8}");
    assert_eq!(Metres::STRUCTURE.to_string(), "{0:f32@0;size=4,align=4}");
    assert_eq!(Pair::<u8, u32, 2>::STRUCTURE.to_string(), "{one:u8@0,many:[u32;2]@1;size=9,align=1}");
}
