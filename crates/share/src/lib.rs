//! Processes talk over memory that they share: segments, locks that survive a death, queues, snapshots,
//! tables.
//!
//! ```
//! use mapwright_share::{LockError, Mutex, Queue, QueueOptions, Segment};
//! # let folder = tempfile::tempdir().unwrap();
//! # let builder = Segment::builder("shop").directory(folder.path());
//! // let builder = Segment::builder("shop");
//! let shop = builder
//!     .with::<Mutex<u64>>("stock", 100)
//!     .with::<Queue<u64>>("orders", QueueOptions::new(1024))
//!     .open_or_create()?;
//! shop.get::<Queue<u64>>("orders")?.sender()?.send(&3)?;
//!
//! // In another process:
//! # let open = || mapwright_share::Directory::at(folder.path())?.open("shop");
//! let shop = open()?; // Segment::open("shop")?
//! let order = shop.get::<Queue<u64>>("orders")?.receiver()?.receive()?;
//! let stock: Mutex<u64> = shop.get("stock")?;
//! let mut stock = match stock.lock() {
//!     Ok(stock) => stock,
//!     // Whoever held it was killed; the value is that of its last finished change.
//!     Err(LockError::OwnerDied(recovery)) => recovery.recover(),
//!     Err(error) => return Err(error.without_lock().into()),
//! };
//! stock.update(|count| *count -= order);
//! assert_eq!(stock.load(), 97);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! | you want | begin at |
//! |---|---|
//! | memory with a name, or passed through a socket | [`Segment`], [`Directory`] |
//! | one at a time | [`Mutex`], [`RwLock`], [`Condvar`] |
//! | so many at a time, all together, once, a sign | [`Semaphore`], [`Barrier`], [`Once`], [`Event`] |
//! | values, or bytes, from one process to another | [`Queue`], [`Records`] |
//! | messages to all who subscribe | [`Topic`] |
//! | large payloads without copies | [`Pool`] |
//! | the latest value of something | [`Snapshot`], [`SnapshotBytes`] |
//! | a map from keys to values | [`Table`] |
//! | what happened, in order | [`Log`] |
//! | to wait for several, by a descriptor, or in async code | [`wait_any`], [`Signal`], [`Ready`] |
//! | memory shared with somebody you do not trust | [`untrusted`] |
//!
//! Values are [`Plain`]: no pointers, no padding, every bit pattern a value; `#[derive(Plain)]` proves it for
//! a struct. Each type's page says what is left when a process is killed in the middle of it (*Death*).
//!
//! Memory that several processes write is worth what its synchronisation is worth when one of them is killed
//! at the worst moment. So every structure here is made of words that are changed one at a time, and each has
//! an answer for a death between any two of them: the tests kill a process before every single step of every
//! operation, and count what is left.
//!
//! Modules stand in the order in which they depend on each other: `value` (plain values in shared words) →
//! `object` (what can lie in a segment, and where) → the objects → `segment` (their file, its name, its
//! participants). There is no unsafe code here: all of it is in `mapwright_core::peer`.

mod answers;
mod claim;
mod figure;
mod lock;
mod log;
mod object;
#[cfg(all(test, any(loom, shuttle)))]
#[allow(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on fails")]
mod orders;
mod pool;
mod queue;
mod segment;
mod snapshot;
mod spin;
mod table;
#[cfg(all(test, not(any(loom, shuttle))))]
#[allow(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on fails")]
mod testing;
mod topic;
pub mod untrusted;
mod value;
mod waiting;

pub use answers::{LockError, ReceiveError, SendError};
pub use figure::{Figure, Value};
pub use lock::{
    Arrival, Barrier, BarrierError, BarrierOptions, Called, Condvar, Event, EventOptions, Member, Mutex,
    MutexGuard, MutexRecovery, Once, Permit, Poison, ReadGuard, RwLock, RwLockOptions, Semaphore,
    SemaphoreOptions, WaitError, WriteGuard, WriteRecovery,
};
pub use log::{Log, LogError, LogOptions, LogReader, Record};
pub use mapwright_core::peer::{Deadline, Identity};
pub use mapwright_core::{Error, ErrorKind, Fault, FaultKind, Plain, Result};
pub use object::{Kind, Object, Parameters, Plan, Site};
pub use pool::{Loan, LoanError, Parcel, Pool, PoolOptions, Published, Received, RedeemError};
pub use queue::{Lease, Orphans, Parties, Queue, QueueOptions, QueueReadiness, Receiver, Sender};
pub use queue::{RecordReceiver, RecordSender, Records, RecordsOptions, RecordsReadiness};
pub use segment::{
    Attendance, Builder, Directory, ObjectOverview, Overview, Participant, Pruned, Segment, SegmentReader,
    Sharing,
};
pub use snapshot::{
    Snapshot, SnapshotBytes, SnapshotBytesOptions, SnapshotBytesWriter, SnapshotChange, SnapshotError,
    SnapshotOptions, SnapshotWords, SnapshotWriter, WriterError,
};
pub use table::{Table, TableError, TableIter, TableKey, TableOptions};
pub use topic::{Policy, Publisher, Start, Subscriber, Topic, TopicOptions};
pub use waiting::{Ready, Signal, Waitable, wait_any};
