//! Futures that are done when something is ready, for any runtime: the listener wakes their tasks itself.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use mapwright_core::{Error, Result};

use super::Waitable;
use super::listener::{Listener, Registration, Target, Thing};

/// Waits in async code until something is ready.
///
/// ```
/// use mapwright_share::{Event, EventOptions, Ready, Segment};
/// # tokio::runtime::Builder::new_current_thread().build()?.block_on(async {
/// let segment = Segment::anonymous("bell").with::<Event>("door", EventOptions::Manual).create()?;
/// let door: Event = segment.get("door")?;
/// let ready = Ready::new(door.clone())?;
/// door.set()?;
/// ready.wait().await;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// # })?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// Needs no runtime of a certain kind: one thread of this process sleeps for all of its futures.
pub struct Ready {
    thing: Thing,
    registration: Registration,
}

impl Ready {
    /// Has the process's listener take care of something.
    ///
    /// # Errors
    /// Where no thread can be started.
    pub fn new(thing: impl Waitable + Send + Sync + 'static) -> Result<Self> {
        let thing: Thing = Arc::new(thing);
        let registration = Listener::register(&thing, Target::Task)
            .map_err(|cause| Error::os("start", "the thread that listens to bells", cause))?;
        Ok(Self { thing, registration })
    }

    /// Waits until it is ready; a call on it then has an answer, unless somebody else was faster. Dropping
    /// the future loses nothing. One task waits at a time: the last one that was polled is woken.
    ///
    /// It is over, too, when somebody has died on whom the thing depends; that is found within 100 ms. A
    /// child that was forked has to make a `Ready` of its own.
    pub fn wait(&self) -> impl Future<Output = ()> + Send + '_ {
        UntilReady(self)
    }
}

impl std::fmt::Debug for Ready {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Ready").field("ready", &self.thing.is_ready()).finish_non_exhaustive()
    }
}

struct UntilReady<'a>(&'a Ready);

impl Future for UntilReady<'_> {
    type Output = ();

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        let Ready { thing, registration } = self.0;
        if thing.is_ready() {
            return Poll::Ready(());
        }
        registration.arm(Some(context.waker()));
        if thing.is_ready() { Poll::Ready(()) } else { Poll::Pending }
    }
}
