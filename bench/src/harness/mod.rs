//! The machinery of every suite: rows of peers are measured in turn, compared, and reported.
//!
//! In reading order: a [`Row`] says what is done, by which [`Peer`]s, and what ours must reach ([`Target`]);
//! a peer times its work with a [`Meter`]; `run` takes the samples, alternating; `verdict` turns samples into
//! [`Comparison`]s; `report` prints them. `fixture`, `cache`, `usage` and `machine` are the files, the page
//! cache, the fault counters and the facts about the machine.

mod cache;
mod fixture;
mod machine;
mod meter;
mod report;
mod row;
mod run;
mod statistics;
mod unit;
mod usage;
mod verdict;

pub(crate) use fixture::{Fixture, Folder};
pub(crate) use machine::Machine;
pub(crate) use meter::Meter;
pub(crate) use report::{Format, Report};
pub(crate) use row::{Cache, Clock, Peer, Role, Row, RowPlan, Target};
pub(crate) use run::{Settings, run};
pub(crate) use unit::Unit;
