//! Sequences of operations on an array, reopened in between, against a vector.

#![no_main]

use libfuzzer_sys::fuzz_target;
use mapwright_fuzz::mapvec_ops::{Session, run};

fuzz_target!(|session: Session| run(session));
