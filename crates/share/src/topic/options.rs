//! What has to be decided before a topic is made, and before it is read.

use mapwright_core::peer::{Line, Word64};
use mapwright_core::{Error, ErrorKind, Result};

use super::board::Head;
use super::gate::{MAX_READERS, Reader};
use super::ring::Ring;
use crate::object::room;

const ACTION: &str = "plan a topic in";

/// The most messages that a ring can keep.
const MAX_CAPACITY: u64 = 1 << 31;

/// How large a topic is.
///
/// ```
/// use mapwright_share::TopicOptions;
/// let options = TopicOptions::new(1024).readers(200).publishers(8);
/// # let _options: TopicOptions = options;
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TopicOptions {
    pub(super) capacity: u64,
    pub(super) readers: u64,
    pub(super) publishers: u64,
}

impl TopicOptions {
    /// Keeps the last `capacity` messages, rounded up to a power of two; for 256 readers and one publisher.
    #[must_use]
    pub fn new(capacity: usize) -> Self {
        let capacity = u64::try_from(capacity).ok().filter(|&capacity| capacity > 0);
        let capacity = capacity.and_then(u64::checked_next_power_of_two).unwrap_or(0);
        Self { capacity, readers: 256, publishers: 1 }
    }

    /// Lets so many readers subscribe at once; 1024 at most.
    #[must_use]
    pub fn readers(mut self, readers: usize) -> Self {
        self.readers = u64::try_from(readers).unwrap_or(u64::MAX);
        self
    }

    /// Lets so many publish at once; 1024 at most. A single one is faster, and its messages of up to 56 bytes
    /// take one cache line each; of several publishers' messages, those of up to 48 bytes.
    #[must_use]
    pub fn publishers(mut self, publishers: usize) -> Self {
        self.publishers = u64::try_from(publishers).unwrap_or(u64::MAX);
        self
    }

    /// Returns the size of one, and how many there are, of each part of a topic of messages of so many words.
    pub(super) fn parts(&self, body: usize) -> Result<[(usize, usize); 4]> {
        let refuse = |why: String| Err(Error::new(ErrorKind::InvalidInput, ACTION, "shared memory", why));
        let most = u64::try_from(MAX_READERS).unwrap_or(0);
        if !self.capacity.is_power_of_two() || self.capacity > MAX_CAPACITY {
            return refuse(format!("it would keep {} messages, not 1 to {MAX_CAPACITY}", self.capacity));
        }
        for (what, count) in [("readers", self.readers), ("publishers", self.publishers)] {
            if count == 0 || count > most {
                return refuse(format!("{count} {what} were asked for; 1 to {most} there can be"));
            }
        }
        let count = |count: u64| usize::try_from(count).unwrap_or(usize::MAX);
        let words = body
            .checked_add(16)
            .and_then(|_| Ring::stride(body, self.publishers).checked_mul(count(self.capacity)));
        let Some(words) = words else {
            return refuse(format!("{} messages of {body} words are beyond any size", self.capacity));
        };
        Ok([
            (size_of::<Head>(), 1),
            (size_of::<Reader>(), count(self.readers)),
            (size_of::<Line<Word64>>(), count(self.publishers)),
            (size_of::<Word64>(), words),
        ])
    }

    pub(super) fn room(&self, body: usize) -> Result<usize> {
        room(ACTION, &self.parts(body)?)
    }
}

/// What becomes of messages that a reader does not read in time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Policy {
    /// Publishers wait for it, until it dies or goes.
    Block,
    /// The oldest are overwritten, and the reader is told how many.
    DropOldest,
    /// The newest pass it by, as if it had a queue of its own with so many places, and it is told how many.
    ///
    /// What it let in is still overwritten where it is slower than the whole ring.
    DropNewest {
        /// How many messages wait for it at most.
        places: usize,
    },
    /// Publishing fails with [`SendError::Full`](crate::SendError::Full) as long as it is a whole ring
    /// behind.
    Fail,
}

/// Where a reader begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Start {
    /// With the next message.
    Newest,
    /// With the oldest that is still there. Readers that publishers wait for get what has surely not been
    /// released to them: at least the last three quarters of the ring.
    Oldest,
    /// With so many of the last messages, or as many as there are.
    Back(usize),
}
