//! Files that claim to be arrays: damaged, of other types, or of noise.

#![no_main]

use libfuzzer_sys::fuzz_target;
use mapwright_fuzz::mapvec_header::{Forgery, check};

fuzz_target!(|forgery: Forgery| check(&forgery));
