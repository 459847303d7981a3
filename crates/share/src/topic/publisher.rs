//! Publishing.

use std::marker::PhantomData;
use std::sync::Arc;
use std::time::Duration;

use mapwright_core::peer::{Deadline, Identity, Ordering, Waited, relax};
use mapwright_core::{Error, ErrorKind, Plain, Result};

use super::board::Board;
use super::gate::Room;
use super::ring::Claim;
use crate::answers::SendError;
use crate::spin;

/// After so long a sleeper asks whether those it waits for are still alive.
pub(super) const ASK_AFTER: Duration = Duration::from_millis(100);

/// One who publishes to a [`Topic`](crate::Topic); its place is free again when it is dropped, or dies.
#[derive(Debug)]
pub struct Publisher<T> {
    board: Arc<Board>,
    place: usize,
    alone: bool,
    /// Where to try next.
    next: u64,
    /// As far as nobody needs to be looked at; never more than the topic's own limit.
    limit: u64,
    marker: PhantomData<fn(T)>,
}

impl<T: Plain> Publisher<T> {
    pub(super) fn new(board: &Arc<Board>) -> Result<Self> {
        let place = take_place(board)?;
        board.note_change();
        let alone = board.publishers.len() == 1;
        let next = board.catch_up();
        Ok(Self { board: Arc::clone(board), place, alone, next, limit: 0, marker: PhantomData })
    }

    /// Publishes a message, waiting for the readers that want to be waited for.
    ///
    /// # Errors
    /// [`SendError::Full`] where a reader that subscribed with [`Policy::Fail`](crate::Policy::Fail) is a
    /// whole ring behind; [`SendError::Fault`].
    ///
    /// # Kernel
    /// None as long as nobody sleeps; futex(2) to wake readers, and to sleep.
    #[inline]
    pub fn publish(&mut self, message: &T) -> Result<(), SendError> {
        self.publish_until(message, Deadline::never())
    }

    /// Publishes a message, waiting until a deadline at most.
    ///
    /// # Errors
    /// As [`publish`](Self::publish), and [`SendError::TimedOut`].
    #[inline]
    pub fn publish_until(&mut self, message: &T, until: Deadline) -> Result<(), SendError> {
        match self.try_publish(message) {
            Err(SendError::Full) => self.publish_later(message, until),
            other => other,
        }
    }

    /// Publishes a message if that is possible at once.
    ///
    /// # Errors
    /// [`SendError::Full`] where a reader that is to be waited for is a whole ring behind, or another
    /// publisher is in the middle of the slot; [`SendError::Fault`].
    #[inline]
    pub fn try_publish(&mut self, message: &T) -> Result<(), SendError> {
        self.attempt(message).map_err(|obstacle| match obstacle {
            Obstacle::Fault(fault) => fault,
            _ => SendError::Full,
        })
    }

    #[inline]
    fn attempt(&mut self, message: &T) -> Result<(), Obstacle> {
        self.board.check().map_err(|fault| Obstacle::Fault(fault.into()))?;
        if self.alone { self.attempt_alone(message) } else { self.attempt_among_others(message) }
    }

    #[inline]
    fn attempt_alone(&mut self, message: &T) -> Result<(), Obstacle> {
        let position = self.next;
        if position >= self.limit {
            self.make_room(position)?;
        }
        self.board.ring.write(position, message);
        self.next = position.wrapping_add(1);
        self.board.set_tail(self.next);
        self.board.ready().ring();
        Ok(())
    }

    #[inline]
    fn attempt_among_others(&mut self, message: &T) -> Result<(), Obstacle> {
        let mut position = self.next.max(self.board.tail());
        // Once round the ring and everybody else was quicker: come again.
        let mut looks = self.board.ring.capacity().saturating_add(MOST_LOOKS);
        loop {
            if position >= self.limit {
                self.make_room(position)?;
            }
            match self.board.ring.claim(position, self.board.oracle()) {
                Claim::Mine => break,
                Claim::Taken => position = position.wrapping_add(1).max(self.board.tail()),
                Claim::Again => relax(),
                Claim::Contended => return Err(Obstacle::Contended),
            }
            looks -= 1;
            if looks == 0 {
                return Err(Obstacle::Contended);
            }
        }
        self.board.ring.write(position, message);
        self.board.ring.release(position);
        self.next = position.wrapping_add(1);
        self.board.raise_tail(self.next);
        self.board.ready().ring();
        Ok(())
    }

    #[cold]
    fn make_room(&mut self, position: u64) -> Result<(), Obstacle> {
        match self.board.make_room(position, Deadline::now()) {
            Room::Before(limit) => {
                self.limit = limit;
                Ok(())
            }
            Room::Behind { reader, cursor } => Err(Obstacle::Behind { reader, cursor }),
            Room::Refused => Err(Obstacle::Refused),
            Room::Busy => Err(Obstacle::Contended),
        }
    }

    #[cold]
    fn publish_later(&mut self, message: &T, until: Deadline) -> Result<(), SendError> {
        loop {
            match self.attempt(message) {
                Ok(()) => return Ok(()),
                Err(Obstacle::Fault(fault)) => return Err(fault),
                Err(Obstacle::Refused) => return Err(SendError::Full),
                // Others may take the room each time: that is no reason to try for ever.
                Err(Obstacle::Behind { reader, cursor })
                    if self.has_moved(reader, cursor) && !until.has_passed() =>
                {
                    continue;
                }
                Err(_) => {}
            }
            let ticket = self.board.room().listen();
            match self.attempt(message) {
                Ok(()) => return Ok(()),
                Err(Obstacle::Fault(fault)) => return Err(fault),
                Err(Obstacle::Refused) => return Err(SendError::Full),
                Err(obstacle) => {
                    // Nobody rings for a publisher that lets go of a slot or of the lock.
                    let longest = if matches!(obstacle, Obstacle::Contended) { BLIND } else { ASK_AFTER };
                    let slice = Deadline::after(longest).earlier(until);
                    let waited = self.board.room().sleep(ticket, slice);
                    if waited == Waited::TimedOut && until.has_passed() {
                        return Err(SendError::TimedOut);
                    }
                }
            }
        }
    }

    /// Spins until a reader has moved on; says whether it has.
    fn has_moved(&self, reader: usize, cursor: u64) -> bool {
        let Some(reader) = self.board.readers.get(reader) else { return false };
        spin::look(|| (reader.cursor.load(Ordering::Relaxed) != cursor).then_some(())).is_some()
    }
}

/// How long a publisher sleeps where nobody would ring.
const BLIND: Duration = Duration::from_millis(1);

/// How often one attempt finds that others were quicker.
const MOST_LOOKS: u64 = 1000;

/// Why a message is not published now.
enum Obstacle {
    Behind { reader: usize, cursor: u64 },
    Refused,
    Contended,
    Fault(SendError),
}

fn take_place(board: &Board) -> Result<usize> {
    let (oracle, me) = (board.oracle(), board.oracle().me().number());
    for (index, place) in board.publishers.iter().enumerate() {
        let seen = place.load(Ordering::Acquire);
        let lives = Identity::from_number(seen).is_some_and(|who| oracle.is_alive(who));
        if !lives && place.compare_exchange(seen, me, Ordering::AcqRel, Ordering::Relaxed).is_ok() {
            return Ok(index);
        }
    }
    let why = format!("all {} places of publishers are taken by the living", board.publishers.len());
    Err(Error::new(ErrorKind::Busy, "publish to", "a topic", why)
        .advice("plan more with `TopicOptions::publishers`, or wait until one goes"))
}

impl<T> Drop for Publisher<T> {
    fn drop(&mut self) {
        // In a forked child the place is the parent's.
        if self.board.check().is_ok() {
            self.board.note_change();
            if let Some(place) = self.board.publishers.get(self.place) {
                place.store(0, Ordering::Release);
            }
            self.board.ready().ring();
        }
    }
}
