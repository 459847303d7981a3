//! Futures that are done when something is ready, for tokio.

use std::sync::Arc;

use mapwright_core::{Error, Result};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

use super::{LOOK_AFTER, Signal, Waitable};

/// Waits in async code until something is ready.
///
/// ```
/// use mapwright_share::{Event, Ready, Segment};
/// # tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(async {
/// let segment = Segment::anonymous("bell").with::<Event>("door", Default::default()).create()?;
/// let door: Event = segment.get("door")?;
/// let ready = Ready::new(door.clone())?;
/// door.set()?;
/// ready.wait().await?;
/// # Ok::<(), mapwright_share::Error>(())
/// # })?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct Ready {
    signal: AsyncFd<Signal>,
}

impl Ready {
    /// Registers something with the runtime that this is called in.
    ///
    /// # Errors
    /// Where no descriptor or thread is left.
    ///
    /// # Panics
    /// Outside of a tokio runtime, or in one without input and output.
    pub fn new(thing: impl Waitable + Send + Sync + 'static) -> Result<Self> {
        let signal = Signal::of(Arc::new(thing))?;
        let signal = AsyncFd::with_interest(signal, Interest::READABLE)
            .map_err(|cause| Error::os("register", "an eventfd", cause))?;
        Ok(Self { signal })
    }

    /// Waits until it is ready; a call on it then has an answer, unless somebody else was faster. Dropping the future
    /// loses nothing.
    ///
    /// # Errors
    /// Where the runtime is shutting down.
    pub async fn wait(&self) -> Result<()> {
        let failed = |cause| Error::os("wait for", "an eventfd", cause);
        loop {
            if self.signal.get_ref().arm() {
                return Ok(());
            }
            // Now and then it looks by itself: whoever should ring may have died.
            if let Ok(readable) = tokio::time::timeout(LOOK_AFTER, self.signal.readable()).await {
                readable.map_err(failed)?.clear_ready();
                self.signal.get_ref().clear();
            }
        }
    }
}
