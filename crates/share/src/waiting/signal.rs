//! A file descriptor for a bell.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;

use mapwright_core::{Error, Result};
use rustix::event::{EventfdFlags, eventfd};

use super::Waitable;
use super::listener::{Listener, Registration, Target};

/// A file descriptor that becomes readable when something may have become ready.
///
/// ```
/// use mapwright_share::{Event, EventOptions, Segment, Signal};
/// use std::sync::Arc;
/// let segment = Segment::anonymous("bell").with::<Event>("door", EventOptions::Manual).create()?;
/// let door: Event = segment.get("door")?;
/// let signal = Signal::of(Arc::new(door.clone()))?;
/// // In an event loop: arm, and poll the descriptor unless it is ready already.
/// assert!(!signal.arm());
/// door.set()?;
/// let mut polled = [rustix::event::PollFd::new(&signal, rustix::event::PollFlags::IN)];
/// assert_eq!(rustix::event::poll(&mut polled, None)?, 1);
/// signal.clear();
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// It becomes readable, too, when a call has an answer without a ring: somebody has died on whom it depends.
/// That is found within 100 ms. A child that was forked has to make a `Signal` of its own.
///
/// # Kernel
/// eventfd(2), written by the one thread of this process that sleeps in futex_waitv(2) for all its signals.
pub struct Signal {
    thing: Arc<dyn Waitable + Send + Sync>,
    descriptor: Arc<OwnedFd>,
    registration: Registration,
}

impl Signal {
    /// Makes a descriptor for something.
    ///
    /// # Errors
    /// Where no descriptor or thread is left.
    pub fn of(thing: Arc<dyn Waitable + Send + Sync>) -> Result<Self> {
        let descriptor = eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)
            .map_err(|cause| Error::os("make", "an eventfd", std::io::Error::from(cause)))?;
        let descriptor = Arc::new(descriptor);
        let registration = Listener::register(&thing, Target::Descriptor(Arc::clone(&descriptor)))
            .map_err(|cause| Error::os("start", "the thread that listens to bells", cause))?;
        Ok(Self { thing, descriptor, registration })
    }

    /// Asks to be told of the next ring; `true` where it is ready already, so that there is nothing to wait
    /// for.
    #[must_use]
    pub fn arm(&self) -> bool {
        self.registration.arm(None);
        self.thing.is_ready()
    }

    /// Makes the descriptor unreadable until the next ring after the next [`arm`](Self::arm).
    pub fn clear(&self) {
        let mut count = [0; 8];
        // Nothing to read is what was wanted.
        let _cleared = rustix::io::read(&self.descriptor, &mut count);
    }
}

impl AsFd for Signal {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.descriptor.as_fd()
    }
}

impl std::fmt::Debug for Signal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Signal").field("descriptor", &self.descriptor).finish_non_exhaustive()
    }
}
