//! What everything that is shown is made of: lines of inked text, numbers in words, bars, tables, progress.
//!
//! Drawing is pure: functions turn data into [`Line`]s, which tests compare and [`Screen`] prints. A command
//! never prints while it computes, so that other faces (a live view) can draw the same data with the same
//! functions.

mod bars;
mod chart;
mod ink;
mod line;
mod names;
mod progress;
mod screen;
mod table;
pub(crate) mod words;

pub(crate) use bars::bar;
pub(crate) use chart::{Bar, chart};
pub(crate) use ink::Ink;
pub(crate) use line::{Line, flowing, wrapped};
pub(crate) use names::{PathInJson, name, quoted};
pub(crate) use progress::Progress;
pub(crate) use screen::{Charset, Screen, complain, note};
pub(crate) use table::{Align, Table};
