//! Ranges of every kind against what slices make of them.

#![no_main]

use libfuzzer_sys::fuzz_target;
use mapwright_fuzz::span::{Question, check};

fuzz_target!(|question: Question| check(&question));
