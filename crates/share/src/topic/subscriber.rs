//! Receiving.

use std::marker::PhantomData;
use std::sync::Arc;

use mapwright_core::peer::{Bell, Deadline, Ordering, Placed, Waited};
use mapwright_core::{Error, ErrorKind, Plain, Result};

use super::board::Board;
use super::gate::{BLOCK, FAIL, LOSSY};
use super::options::{Policy, Start};
use super::publisher::ASK_AFTER;
use super::ring::Found;
use super::window::Window;
use crate::answers::ReceiveError;
use crate::spin;
use crate::waiting::Waitable;

/// One who reads a [`Topic`](crate::Topic), at its own pace; its place is free again when it is dropped, or
/// dies.
#[derive(Debug)]
pub struct Subscriber<T> {
    board: Arc<Board>,
    place: usize,
    position: u64,
    is_waited_for: bool,
    window: Option<Window>,
    marker: PhantomData<fn() -> T>,
}

impl<T: Plain> Subscriber<T> {
    pub(super) fn new(board: &Arc<Board>, policy: Policy, start: Start) -> Result<Self> {
        let number = match policy {
            Policy::Block => BLOCK,
            Policy::Fail => FAIL,
            Policy::DropOldest | Policy::DropNewest { .. } => LOSSY,
        };
        let wanted = |tail: u64| match start {
            Start::Newest => tail,
            Start::Oldest => 0,
            Start::Back(count) => tail.saturating_sub(u64::try_from(count).unwrap_or(u64::MAX)),
        };
        let Some((place, position)) = board.sit_down(number, wanted, Deadline::never()) else {
            let why = format!("all {} places of readers are taken by the living", board.readers.len());
            return Err(Error::new(ErrorKind::Busy, "subscribe to", "a topic", why)
                .advice("plan more with `TopicOptions::readers`, or wait until one goes"));
        };
        let window = match policy {
            Policy::DropNewest { places } => {
                Some(Window::new(u64::try_from(places).unwrap_or(u64::MAX).max(1), position))
            }
            _ => None,
        };
        let is_waited_for = number != LOSSY;
        Ok(Self { board: Arc::clone(board), place, position, is_waited_for, window, marker: PhantomData })
    }

    /// Returns the next message, waiting for it.
    ///
    /// # Errors
    /// [`ReceiveError::Missed`] once where messages were lost to it, and the next call goes on behind them;
    /// [`ReceiveError::NoSender`] where there were publishers, none is left alive, and all was read (one may
    /// come later: the next call waits or reads again); [`ReceiveError::Fault`].
    ///
    /// # Kernel
    /// None as long as messages come; futex(2) to sleep.
    #[inline]
    pub fn receive(&mut self) -> Result<T, ReceiveError> {
        self.receive_until(Deadline::never())
    }

    /// Returns the next message, waiting for it until a deadline at most.
    ///
    /// # Errors
    /// As [`receive`](Self::receive), and [`ReceiveError::TimedOut`].
    #[inline]
    pub fn receive_until(&mut self, until: Deadline) -> Result<T, ReceiveError> {
        match self.try_receive() {
            Err(ReceiveError::Empty) => self.receive_later(until),
            other => other,
        }
    }

    /// Returns the next message if there is one.
    ///
    /// # Errors
    /// [`ReceiveError::Empty`], [`ReceiveError::Missed`] as for [`receive`](Self::receive), and
    /// [`ReceiveError::Fault`].
    #[inline]
    pub fn try_receive(&mut self) -> Result<T, ReceiveError> {
        match self.look() {
            Err(ReceiveError::Empty) => self.look_past_the_dead(),
            answer => answer,
        }
    }

    /// Returns the next message if there is one, and no dead publisher's claim before it.
    #[inline]
    fn look(&mut self) -> Result<T, ReceiveError> {
        self.board.check()?;
        loop {
            if self.window.is_some() {
                self.look_through_window()?;
            }
            match self.board.ring.read(self.position) {
                Found::Message(message) => {
                    // The memory may have been cut between the slot's word and the message.
                    self.board.check()?;
                    self.pass();
                    return Ok(message);
                }
                Found::Hole => self.pass(),
                Found::NotYet => return Err(ReceiveError::Empty),
                Found::Lapped(by) => return Err(ReceiveError::Missed(self.skip(by))),
            }
        }
    }

    /// Returns how many messages have been published and not been read, at most.
    #[must_use]
    pub fn behind(&self) -> u64 {
        self.board.tail().saturating_sub(self.position)
    }

    /// Goes on behind a message.
    #[inline]
    fn pass(&mut self) {
        self.position = self.position.wrapping_add(1);
        self.say_position();
    }

    /// Releases what is before the position to publishers.
    #[inline]
    fn say_position(&mut self) {
        if let Some(window) = &mut self.window {
            window.pass(self.position);
        }
        if let Some(reader) = self.board.readers.get(self.place) {
            reader.cursor.store(self.position, Ordering::Release);
        }
        if self.is_waited_for {
            self.board.room().ring();
        }
    }

    /// Goes on with what is left; returns how many messages are not.
    #[cold]
    fn skip(&mut self, by: u64) -> u64 {
        let capacity = self.board.ring.capacity();
        let newest = self.board.tail().max(by);
        // The oldest is about to be overwritten: a little further on there is time to read.
        let oldest = newest.saturating_sub(capacity).saturating_add(1 + capacity / 8);
        let next = oldest.min(newest).max(self.position.wrapping_add(1));
        let missed = next.wrapping_sub(self.position);
        self.position = next;
        self.say_position();
        missed
    }

    /// Keeps the books of a reader that drops the newest: finds the next message that was let in.
    fn look_through_window(&mut self) -> Result<(), ReceiveError> {
        let Some(window) = &mut self.window else { return Ok(()) };
        window.look(self.board.tail());
        let next = window.next();
        if next > self.position {
            let missed = next - self.position;
            self.position = next;
            self.say_position();
            return Err(ReceiveError::Missed(missed));
        }
        if window.has_some() { Ok(()) } else { Err(ReceiveError::Empty) }
    }

    /// Returns the next message if there is one, making holes of what dead publishers claimed, and saying
    /// what they sent. Nobody else may ever do so: publishers that live wait for this reader.
    #[cold]
    fn look_past_the_dead(&mut self) -> Result<T, ReceiveError> {
        loop {
            let position = self.position;
            let is_settled = self.board.ring.settle(position, self.board.oracle());
            if self.window.is_some() {
                self.board.catch_up();
            }
            match self.look() {
                Err(ReceiveError::Empty) if is_settled || self.position != position => {}
                answer => return answer,
            }
        }
    }

    /// As [`try_receive`](Self::try_receive), and says whether anything can still come.
    fn look_for_the_last(&mut self) -> Result<T, ReceiveError> {
        // Asked first: what the last one sent before its end is seen below.
        let is_lost = self.board.lost_its_publishers();
        if is_lost {
            self.board.catch_up();
        }
        match self.try_receive() {
            Err(ReceiveError::Empty) if is_lost => Err(ReceiveError::NoSender),
            answer => answer,
        }
    }

    #[cold]
    fn receive_later(&mut self, until: Deadline) -> Result<T, ReceiveError> {
        loop {
            let found = spin::look(|| match self.look() {
                Err(ReceiveError::Empty) => None,
                other => Some(other),
            });
            if let Some(answer) = found {
                return answer;
            }
            match self.look_for_the_last() {
                Err(ReceiveError::Empty) if until.has_passed() => return Err(ReceiveError::TimedOut),
                Err(ReceiveError::Empty) => {}
                other => return other,
            }
            let ticket = self.board.ready().listen();
            match self.look_for_the_last() {
                Err(ReceiveError::Empty) => {}
                other => return other,
            }
            let slice = Deadline::after(ASK_AFTER).earlier(until);
            let waited = self.board.ready().sleep(ticket, slice);
            if waited == Waited::TimedOut && until.has_passed() {
                return Err(ReceiveError::TimedOut);
            }
        }
    }
}

impl<T: Plain> Waitable for Subscriber<T> {
    fn bell(&self) -> Placed<Bell> {
        self.board.head.part(|head| head.ready_bell())
    }

    fn is_ready(&self) -> bool {
        self.has_next() || self.board.check().is_err() || self.board.lost_its_publishers()
    }
}

impl<T> Subscriber<T> {
    /// Tells whether there is a message, or news of lost ones: holes are nothing that could be received, but
    /// where they fill the ring, publishers wait for this reader to go on.
    fn has_next(&self) -> bool {
        let ring = &self.board.ring;
        for position in (0..ring.capacity()).map(|offset| self.position.wrapping_add(offset)) {
            if self.window.as_ref().is_some_and(|window| window.misses(position)) {
                return true;
            }
            ring.settle(position, self.board.oracle());
            if !ring.is_hole(position) {
                return ring.is_over(position);
            }
        }
        true
    }
}

impl<T> Drop for Subscriber<T> {
    fn drop(&mut self) {
        // In a forked child the place is the parent's.
        if self.board.check().is_ok() {
            self.board.stand_up(self.place);
        }
    }
}
