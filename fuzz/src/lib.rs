//! What the fuzz targets do, as a library: each target's file only hands its input over.
//!
//! - `span`: ranges against slices
//! - `map_ops`: maps of one file, with `file_model` saying what must be seen and `access` comparing
//! - `mapvec_header`: files that claim to be arrays, against the format as `docs/formats.md` states it
//! - `mapvec_ops`: an array against a vector
//! - `share_words`: segments that somebody has written over
//! - `scratch`: where the files lie

pub mod map_ops;
pub mod mapvec_header;
pub mod mapvec_ops;
pub mod share_words;
pub mod span;

mod access;
mod file_model;
mod scratch;
