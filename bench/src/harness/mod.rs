//! The machinery of every suite: rows of peers are measured in turn, compared, and reported.
//!
//! In reading order: a [`Row`] says what is done, by which [`Peer`]s, and what ours must reach ([`Target`]);
//! a peer times its work with a [`Meter`]; `run` takes the samples, alternating; `verdict` turns samples into
//! [`Comparison`]s; `report` prints them. `fixture`, `cache`, `usage` and `machine` are the files, the page
//! cache, the fault counters and the facts about the machine. A [`Duo`] is a peer of two processes, and a
//! [`Stage`] is what they share; `shared`, `processors` and `watchdog` are its memory, its two cores and
//! its end.

mod cache;
mod fixture;
mod machine;
mod meter;
mod processors;
mod report;
mod row;
mod run;
mod shared;
mod stage;
mod statistics;
mod unit;
mod usage;
mod verdict;
mod watchdog;

pub(crate) use fixture::{Fixture, Folder};
pub(crate) use machine::Machine;
pub(crate) use meter::{Meter, ONE_WAY_TRIPS, OfRounds};
pub(crate) use processors::{Pinned, Processors};
pub(crate) use report::{Format, Report};
pub(crate) use row::{Cache, Clock, Peer, Role, Row, RowPlan, Target};
pub(crate) use run::{Hop, Settings, run};
pub(crate) use shared::Shared;
pub(crate) use stage::{AREA, Call, Duo, SECOND, Stage};
pub(crate) use unit::Unit;
