//! Broadcast: every reader gets every message.
//!
//! ```text
//!  tail │ bells │ lock, limit, who is waited for │ readers: who, cursor │ publishers: who │ slots
//!
//!  slots      … 41 42 43 44 45 46 47 48 (49 being written) …     positions, modulo the ring's length
//!                 ▲        ▲        ▲
//!              a reader  another  a third      each knows its own position, and tells it in its own line
//! ```
//! One ring for all. A message is written once, however many read it, and publishing looks at no reader:
//! those who may lose messages find out by themselves, from the position in the slot; those who must not are
//! looked at once every quarter of the ring (`gate`).
//!
//! What a death leaves:
//!
//! | who dies | what is left | what becomes of it |
//! |---|---|---|
//! | a publisher within a message | a claimed slot with its name | a hole, made by the next who comes by |
//! | a publisher, after that | the message | it is delivered |
//! | the last publisher | nothing more will come | `ReceiveError::NoSender` for readers that wait |
//! | a reader that is waited for | its place with its name | the publisher that it holds up sees it off |
//! | any other reader | its place with its name | the next one to subscribe may take it |
//! | whoever holds the lock | it is let go of | nothing: every step under it is complete by itself |
//!
//! Modules: `ring` (the slots), `gate` (who is waited for), `board` (what lies where), `window` (readers that
//! drop the newest), `publisher`, `subscriber`.

mod board;
mod gate;
mod options;
mod publisher;
mod ring;
mod subscriber;
#[cfg(test)]
mod tests;
mod window;

use std::marker::PhantomData;
use std::sync::Arc;

use mapwright_core::{Plain, Result};

use self::board::Board;
pub use self::options::{Policy, Start, TopicOptions};
pub use self::publisher::Publisher;
pub use self::subscriber::Subscriber;
use crate::figure::Figure;
use crate::object::{Kind, Object, Plan, Site};
use crate::value::words_of;

/// A topic: what one publishes, all who subscribed receive.
///
/// Publishing costs the same for one reader and for hundreds. Readers that join late can begin with what is
/// still in the ring, and each says what becomes of messages that it is too slow for ([`Policy`]).
///
/// ```
/// use mapwright_share::{Policy, ReceiveError, Segment, Start, Topic, TopicOptions};
/// let segment =
///     Segment::anonymous("prices").with::<Topic<f64>>("gold", TopicOptions::new(1024)).create()?;
/// let gold: Topic<f64> = segment.get("gold")?;
/// let mut publisher = gold.publisher()?;
/// let mut careful = gold.subscribe(Policy::Block, Start::Newest)?;
/// for price in [1931.5, 1931.75] {
///     publisher.publish(&price)?;
/// }
/// let mut late = gold.subscribe(Policy::DropOldest, Start::Back(1))?;
/// assert_eq!((careful.receive()?, careful.receive()?), (1931.5, 1931.75));
/// assert_eq!(late.receive()?, 1931.75);
/// assert_eq!(late.try_receive(), Err(ReceiveError::Empty));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Death
/// | killed | others find |
/// |---|---|
/// | a publisher, before the message is whole | nothing: readers step over what it had claimed |
/// | a publisher, after it | the message |
/// | the last publisher | `NoSender` once all was read, until another one comes |
/// | a reader, at any time | nothing: a publisher that waits for it sees it off, and its place is free |
///
/// # Caveats
/// A reader that blocks publishers and neither reads nor dies blocks them for ever: give `publish_until` a
/// deadline. A publisher that is stopped (not killed) in the middle of a message holds readers up at that
/// message until it goes on.
#[derive(Debug)]
pub struct Topic<T> {
    board: Arc<Board>,
    marker: PhantomData<fn(T) -> T>,
}

impl<T> Clone for Topic<T> {
    fn clone(&self) -> Self {
        Self { board: Arc::clone(&self.board), marker: PhantomData }
    }
}

impl<T: Plain> Topic<T> {
    /// Becomes a publisher.
    ///
    /// # Errors
    /// `Busy` where as many as were planned publish already.
    pub fn publisher(&self) -> Result<Publisher<T>> {
        Publisher::new(&self.board)
    }

    /// Becomes a reader.
    ///
    /// # Errors
    /// `Busy` where as many as were planned read already.
    pub fn subscribe(&self, policy: Policy, start: Start) -> Result<Subscriber<T>> {
        Subscriber::new(&self.board, policy, start)
    }

    /// Returns how many messages the ring keeps.
    #[must_use]
    pub fn capacity(&self) -> u64 {
        self.board.ring.capacity()
    }

    /// Returns how many messages have been published since the topic was made.
    #[must_use]
    pub fn published(&self) -> u64 {
        self.board.tail()
    }
}

impl<T: Plain> Object for Topic<T> {
    const KIND: Kind = Kind::Topic;
    type Options = TopicOptions;

    fn plan(options: &TopicOptions) -> Result<Plan> {
        let body = words_of::<T>();
        let parameters = [
            options.capacity,
            options.readers,
            options.publishers,
            u64::try_from(body).unwrap_or(u64::MAX),
            0,
            0,
        ];
        Ok(Plan { kind: Kind::Topic, len: options.room(body)?, layout: Self::layout(), parameters })
    }

    fn create(site: &Site, _options: &TopicOptions) -> Result<()> {
        // All zeros is an empty topic.
        Self::attach(site).map(drop)
    }

    fn layout() -> String {
        T::STRUCTURE.to_string()
    }

    fn attach(site: &Site) -> Result<Self> {
        let [_, _, _, body, ..] = site.parameters();
        if usize::try_from(body) != Ok(words_of::<T>()) {
            let expected = words_of::<T>();
            return Err(site.damaged(format!("its messages have {body} words; {expected} were expected")));
        }
        Ok(Self { board: Arc::new(Board::at(site)?), marker: PhantomData })
    }
}

/// Tells what can be seen of a topic without knowing its type.
pub(crate) fn inspect(site: &Site) -> Result<Vec<Figure>> {
    Ok(Board::at(site)?.figures())
}
