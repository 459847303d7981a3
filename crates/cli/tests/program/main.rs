//! The program as people meet it: started with arguments, judged by what it prints and how it ends.
//!
//! `start` runs it; every other module is about one command. Nothing here needs root: what only root may do
//! skips itself out loud.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on fails")]

mod bench;
mod cat;
mod doctor;
mod evict;
mod generate;
mod lock;
mod progress;
mod share;
mod show;
mod start;
mod tour;
mod usage;
mod warm;
