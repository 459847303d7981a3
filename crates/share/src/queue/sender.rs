//! Sending values.

use std::marker::PhantomData;

use mapwright_core::peer::Deadline;
use mapwright_core::{Plain, Result};

use super::lane::LaneSender;
use super::ring::Ring;
use super::roles::PLACES;
use super::slots::SlotSender;
use super::waiting::look_until;
use crate::answers::SendError;

/// Sends values to a [`Queue`](super::Queue). Leaves its place when dropped.
///
/// A value for which there is room is accepted, whether anybody is there to receive it or not.
#[derive(Debug)]
pub struct Sender<T> {
    ring: Ring,
    road: Road,
    place: usize,
    values: PhantomData<fn(T)>,
}

#[derive(Debug)]
enum Road {
    Lane(LaneSender),
    Slots(SlotSender),
}

impl<T: Plain> Sender<T> {
    pub(super) fn enter(ring: &Ring) -> Result<Self> {
        let limit = if ring.shape.many_senders { PLACES } else { 1 };
        let place = ring.control.senders.enter(limit, &*ring.oracle, "send to")?;
        let road = if ring.shape.is_lane() {
            Road::Lane(LaneSender::resume(ring))
        } else {
            Road::Slots(SlotSender::resume(ring))
        };
        Ok(Self { ring: ring.clone(), road, place, values: PhantomData })
    }

    pub(super) const fn ring(&self) -> &Ring {
        &self.ring
    }

    /// Sends a value if there is room.
    ///
    /// # Errors
    /// [`SendError::Full`]; [`SendError::NoReceiver`] where it is full and all receivers are gone;
    /// [`SendError::Fault`].
    #[inline]
    pub fn try_send(&mut self, value: &T) -> Result<(), SendError> {
        self.ring.control.check()?;
        if self.put(value) {
            return Ok(());
        }
        self.put_slowly(value)?.ok_or(SendError::Full)
    }

    /// Sends a value, and waits for room where there is none.
    ///
    /// # Errors
    /// [`SendError::NoReceiver`] where it is full and all receivers are gone; [`SendError::Fault`].
    #[inline]
    pub fn send(&mut self, value: &T) -> Result<(), SendError> {
        self.send_until(value, Deadline::never())
    }

    /// Sends a value, and waits for room until a deadline.
    ///
    /// # Errors
    /// [`SendError::TimedOut`], and as [`send`](Self::send).
    #[inline]
    pub fn send_until(&mut self, value: &T, until: Deadline) -> Result<(), SendError> {
        self.ring.control.check()?;
        if self.put(value) { Ok(()) } else { self.wait(value, until) }
    }

    /// Sends as many of the values as there is room for, and returns how many; wakes receivers once.
    ///
    /// # Errors
    /// As [`try_send`](Self::try_send), where there is room for none.
    pub fn send_many(&mut self, values: &[T]) -> Result<usize, SendError> {
        self.ring.control.check()?;
        let sent = match &mut self.road {
            Road::Lane(lane) => lane.put_many(&self.ring, values),
            Road::Slots(slots) => values.iter().take_while(|&value| slots.put(&self.ring, value)).count(),
        };
        if sent > 0 {
            self.ring.control.items.ring();
        } else if let Some(first) = values.first() {
            return self.try_send(first).map(|()| 1);
        }
        Ok(sent)
    }

    #[inline]
    fn put(&mut self, value: &T) -> bool {
        let done = match &mut self.road {
            Road::Lane(lane) => lane.put(&self.ring, value),
            Road::Slots(slots) => slots.put(&self.ring, value),
        };
        if done {
            self.ring.control.items.ring();
        }
        done
    }

    /// Tries again once dead ones' claims are out of the way.
    #[cold]
    fn put_slowly(&mut self, value: &T) -> Result<Option<()>, SendError> {
        self.ring.control.check()?;
        if self.put(value) {
            return Ok(Some(()));
        }
        if let Road::Slots(slots) = &self.road
            && slots.settle(&self.ring)
            && self.put(value)
        {
            return Ok(Some(()));
        }
        let gone = self.ring.control.receivers.are_gone(&*self.ring.oracle);
        if gone { Err(SendError::NoReceiver) } else { Ok(None) }
    }

    #[cold]
    fn wait(&mut self, value: &T, until: Deadline) -> Result<(), SendError> {
        let fast = |sender: &mut Self| sender.put(value).then_some(());
        look_until(self, |sender| &sender.ring.control.room, until, fast, |sender| sender.put_slowly(value))?
            .ok_or(SendError::TimedOut)
    }
}

impl<T> Drop for Sender<T> {
    fn drop(&mut self) {
        // In a forked child the place is its parent's.
        if self.ring.control.check().is_ok() {
            self.ring.control.senders.leave(self.place, &*self.ring.oracle);
            self.ring.control.items.ring();
        }
    }
}
