//! What is in memory of files: asked, counted, folded into cells and drawn. The commands that show, warm,
//! evict and lock all see files through this.

mod cells;
pub(crate) mod picture;
mod survey;

pub(crate) use cells::Cell;
pub(crate) use survey::{Detail, Survey};
