//! Sequences of operations on maps of one file against a model of the file.

#![no_main]

use libfuzzer_sys::fuzz_target;
use mapwright_fuzz::map_ops::{Session, run};

fuzz_target!(|session: Session| run(session));
