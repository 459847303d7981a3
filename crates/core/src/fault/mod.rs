//! Signals turned into errors: guarded accesses, the table that lists them, and the handler that reads it.
//!
//! A page fault that cannot be served arrives as SIGBUS (the file was truncated, the disk is full, the device
//! failed) or SIGSEGV (a guard page, a range that was made inaccessible). Every access to mapped memory that
//! may do so is made by one of a few instructions that are *listed*: the linker section [`table::SECTION`]
//! holds, for each, where it is and where to go on. The handler looks at the program counter; if it stands in
//! the table, execution goes on at the exit, which reports the fault as a value. No thread-local state, no
//! longjmp, nothing to set up before an access, and no cost while nothing faults beyond one register set to
//! zero and tested.
//!
//! - [`raw`]: the accesses themselves (copy, fill, gather, load, store, atomics, scan), one file an
//!   architecture.
//! - [`table`]: where the listed instructions are.
//! - [`handler`]: installs itself once, chains to whoever was there before.
//! - [`patch`]: ranges under `unsafe` slices or frozen bytes, where the handler may act on the address
//!   instead.
//!
//! Deliberately absent: what a fault *means*. The signal does not say; `map::origin` asks the file
//! afterwards.

pub(crate) mod handler;
pub(crate) mod patch;
pub(crate) mod raw;
pub(crate) mod table;

pub use handler::{HandlerState, SignalReport, signal_report};
