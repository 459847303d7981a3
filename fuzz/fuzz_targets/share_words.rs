//! Segments that somebody has written over.

#![no_main]

use libfuzzer_sys::fuzz_target;
use mapwright_fuzz::share_words::{Scribble, check};

fuzz_target!(|scribble: Scribble| check(&scribble));
