//! Mapwright between processes, written as its users would write it.
//!
//! Every sample has segments of its own, named files in the sample's folder in shared memory: they vanish
//! with it.

mod chunks;
mod letters;
mod locks;
mod queue;
mod table;

use std::path::Path;

use anyhow::Result;
use mapwright::share::{Builder, Directory, Object, Segment};

pub(crate) use chunks::Chunks;
pub(crate) use letters::Letters;
pub(crate) use locks::{Guarding, Keeping};
pub(crate) use queue::{Gathered, Values};
pub(crate) use table::{TABLE, table};

/// What the segments of a link are called, by the side that sends.
const DIRECTIONS: [&str; 2] = ["there", "back"];

/// The name of the only object of a segment.
const OBJECT: &str = "object";

/// Makes a segment with one object in a folder, and attaches to it.
///
/// # Errors
/// Where it cannot be made.
pub(crate) fn make<O: Object>(folder: &Path, name: &str, options: O::Options) -> Result<O>
where
    O::Options: 'static,
{
    Ok(builder::<O>(folder, name, options).create()?.get(OBJECT)?)
}

/// Attaches to what the other process has made.
///
/// # Errors
/// Where it is not there.
pub(crate) fn open<O: Object>(folder: &Path, name: &str) -> Result<O> {
    Ok(Directory::at(folder)?.open(name)?.get(OBJECT)?)
}

/// Attaches to what the other process has made, by a map for reading.
///
/// # Errors
/// Where it is not there.
pub(crate) fn look_at<O: Object>(folder: &Path, name: &str) -> Result<O> {
    Ok(Directory::at(folder)?.open_read_only(name)?.get(OBJECT)?)
}

fn builder<O: Object>(folder: &Path, name: &str, options: O::Options) -> Builder
where
    O::Options: 'static,
{
    Segment::builder(name).directory(folder).with::<O>(OBJECT, options)
}
