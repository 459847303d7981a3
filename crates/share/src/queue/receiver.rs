//! Receiving values: out at once, or held until they are done with.

use std::marker::PhantomData;

use mapwright_core::peer::Deadline;
use mapwright_core::{Fault, Plain, Result};

use super::lane::LaneReceiver;
use super::ring::Ring;
use super::roles::PLACES;
use super::slots::{Hold, SlotReceiver};
use super::waiting::look_until;
use crate::answers::ReceiveError;
use crate::value;

/// Receives values from a [`Queue`](super::Queue). Leaves its place when dropped.
#[derive(Debug)]
pub struct Receiver<T> {
    ring: Ring,
    road: Road,
    place: usize,
    values: PhantomData<fn() -> T>,
}

#[derive(Debug)]
enum Road {
    Lane(LaneReceiver),
    Slots(SlotReceiver),
}

impl<T: Plain> Receiver<T> {
    pub(super) fn enter(ring: &Ring) -> Result<Self> {
        let limit = if ring.shape.many_receivers { PLACES } else { 1 };
        let place = ring.control.receivers.enter(limit, &*ring.oracle, "receive from")?;
        let road = if ring.shape.is_lane() {
            Road::Lane(LaneReceiver::resume(ring))
        } else {
            Road::Slots(SlotReceiver::resume(ring))
        };
        Ok(Self { ring: ring.clone(), road, place, values: PhantomData })
    }

    pub(super) const fn ring(&self) -> &Ring {
        &self.ring
    }

    /// Takes the next value out, if there is one.
    ///
    /// # Errors
    /// [`ReceiveError::Empty`]; [`ReceiveError::NoSender`] where it is empty and all senders are gone;
    /// [`ReceiveError::Fault`].
    #[inline]
    pub fn try_receive(&mut self) -> Result<T, ReceiveError> {
        self.ring.control.check()?;
        let value = match self.take() {
            Some(value) => value,
            None => self.slowly(Self::take)?.ok_or(ReceiveError::Empty)?,
        };
        self.whole(value)
    }

    /// Takes the next value out, and waits for it.
    ///
    /// # Errors
    /// [`ReceiveError::NoSender`] where it is empty and all senders are gone; [`ReceiveError::Fault`].
    #[inline]
    pub fn receive(&mut self) -> Result<T, ReceiveError> {
        self.receive_until(Deadline::never())
    }

    /// Takes the next value out, and waits for it until a deadline.
    ///
    /// # Errors
    /// [`ReceiveError::TimedOut`], and as [`receive`](Self::receive).
    #[inline]
    pub fn receive_until(&mut self, until: Deadline) -> Result<T, ReceiveError> {
        self.ring.control.check()?;
        if let Road::Lane(lane) = &mut self.road
            && until != Deadline::now()
            && let Some(words) = lane.wait(&self.ring)
        {
            let value = value::load(words);
            lane.advance();
            lane.publish(&self.ring);
            self.ring.control.room.ring();
            return self.whole(value);
        }
        let value = match self.take() {
            Some(value) => value,
            None => self.wait(until, Self::take)?,
        };
        self.whole(value)
    }

    /// Returns what was copied out, unless the memory was cut while it was.
    #[inline]
    fn whole<R>(&self, copied: R) -> Result<R, ReceiveError> {
        self.ring.control.check()?;
        Ok(copied)
    }

    /// Takes out what there is, at most so many values, and appends them; returns how many. Wakes senders
    /// once.
    ///
    /// # Errors
    /// As [`try_receive`](Self::try_receive), where there is none.
    pub fn receive_many(&mut self, values: &mut Vec<T>, limit: usize) -> Result<usize, ReceiveError> {
        self.ring.control.check()?;
        let before = values.len();
        match &mut self.road {
            Road::Lane(lane) => {
                while values.len() - before < limit
                    && let Some(value) = lane.peek(&self.ring)
                {
                    values.push(value);
                    lane.advance();
                }
                lane.publish(&self.ring);
            }
            Road::Slots(slots) => {
                while values.len() - before < limit
                    && let Some(value) = slots.take(&self.ring)
                {
                    values.push(value);
                }
            }
        }
        if values.len() > before {
            self.ring.control.room.ring();
        } else if limit > 0 {
            values.push(self.try_receive()?);
        }
        if let Err(fault) = self.ring.control.check() {
            values.truncate(before);
            return Err(fault.into());
        }
        Ok(values.len() - before)
    }

    /// Holds the next value, if there is one: it is done with once the lease is
    /// [completed](Lease::complete).
    ///
    /// # Errors
    /// As [`try_receive`](Self::try_receive).
    pub fn try_lease(&mut self) -> Result<Lease<'_, T>, ReceiveError> {
        self.ring.control.check()?;
        let found = match self.hold() {
            Some(found) => found,
            None => self.slowly(Self::hold)?.ok_or(ReceiveError::Empty)?,
        };
        let found = self.whole(found)?;
        Ok(Lease::new(self, found))
    }

    /// Holds the next value, and waits for it.
    ///
    /// # Errors
    /// As [`receive`](Self::receive).
    pub fn lease(&mut self) -> Result<Lease<'_, T>, ReceiveError> {
        self.lease_until(Deadline::never())
    }

    /// Holds the next value, and waits for it until a deadline.
    ///
    /// # Errors
    /// As [`receive_until`](Self::receive_until).
    pub fn lease_until(&mut self, until: Deadline) -> Result<Lease<'_, T>, ReceiveError> {
        self.ring.control.check()?;
        let found = match self.hold() {
            Some(found) => found,
            None => self.wait(until, Self::hold)?,
        };
        let found = self.whole(found)?;
        Ok(Lease::new(self, found))
    }

    #[inline]
    fn take(&mut self) -> Option<T> {
        let value = match &mut self.road {
            Road::Lane(lane) => {
                let value = lane.peek(&self.ring)?;
                lane.advance();
                lane.publish(&self.ring);
                value
            }
            Road::Slots(slots) => slots.take(&self.ring)?,
        };
        self.ring.control.room.ring();
        Some(value)
    }

    fn hold(&mut self) -> Option<(T, Option<Hold>, bool)> {
        match &mut self.road {
            Road::Lane(lane) => {
                let value = lane.peek(&self.ring)?;
                Some((value, None, lane.hold(&self.ring)))
            }
            Road::Slots(slots) => {
                let (value, hold) = slots.hold(&self.ring)?;
                Some((value, Some(hold), hold.again))
            }
        }
    }

    /// Looks again once dead ones' claims are out of the way.
    #[cold]
    fn slowly<R>(&mut self, look: fn(&mut Self) -> Option<R>) -> Result<Option<R>, ReceiveError> {
        self.ring.control.check()?;
        if let Some(found) = look(self) {
            return Ok(Some(found));
        }
        self.settle();
        // First who is gone, then whether they have left anything.
        let gone = self.ring.control.senders.are_gone(&*self.ring.oracle);
        if let Some(found) = look(self) {
            return Ok(Some(found));
        }
        if gone && !self.waits_for_others() { Err(ReceiveError::NoSender) } else { Ok(None) }
    }

    fn settle(&mut self) {
        if let Road::Slots(slots) = &mut self.road {
            slots.settle(&self.ring);
        }
    }

    /// Whether somebody alive holds an item that may come back.
    fn waits_for_others(&self) -> bool {
        match &self.road {
            Road::Lane(lane) => lane.is_leased(),
            Road::Slots(slots) => slots.has_passed(),
        }
    }

    #[cold]
    fn wait<R>(&mut self, until: Deadline, look: fn(&mut Self) -> Option<R>) -> Result<R, ReceiveError> {
        look_until(
            self,
            |receiver| &receiver.ring.control.items,
            until,
            look,
            |receiver| receiver.slowly(look),
        )?
        .ok_or(ReceiveError::TimedOut)
    }

    fn end(&mut self, hold: Option<Hold>, is_done: bool) -> Result<(), Fault> {
        self.ring.control.check()?;
        match (&mut self.road, hold) {
            (Road::Lane(lane), _) if is_done => {
                lane.advance();
                lane.publish(&self.ring);
            }
            (Road::Lane(lane), _) => lane.give_back(&self.ring),
            (Road::Slots(slots), Some(hold)) if is_done => slots.complete(&self.ring, hold),
            (Road::Slots(_), Some(hold)) => SlotReceiver::give_back(&self.ring, hold),
            (Road::Slots(_), None) => {}
        }
        if is_done {
            self.ring.control.room.ring();
        }
        Ok(())
    }
}

impl<T> Drop for Receiver<T> {
    fn drop(&mut self) {
        // In a forked child the place is its parent's.
        if self.ring.control.check().is_ok() {
            self.ring.control.receivers.leave(self.place, &*self.ring.oracle);
            self.ring.control.room.ring();
        }
    }
}

/// A value that a receiver holds: nobody else gets it, and it stays in the queue until it is done with.
///
/// Dropped without [`complete`](Self::complete) it is the next one again. Where its holder dies, the queue's
/// [`Orphans`](super::Orphans) says what becomes of it. A lease that is leaked (`mem::forget`) is held until
/// the process ends; in a queue from one to one, which is passed through in order, nothing behind it is
/// received until then, or until its receiver is dropped.
#[derive(Debug)]
#[must_use = "dropped, the value is given back to the queue"]
pub struct Lease<'a, T: Plain> {
    receiver: &'a mut Receiver<T>,
    value: T,
    hold: Option<Hold>,
    again: bool,
    ended: bool,
}

impl<'a, T: Plain> Lease<'a, T> {
    const fn new(receiver: &'a mut Receiver<T>, (value, hold, again): (T, Option<Hold>, bool)) -> Self {
        Self { receiver, value, hold, again, ended: false }
    }

    /// Returns the value.
    #[must_use]
    pub const fn get(&self) -> &T {
        &self.value
    }

    /// Tells whether a receiver that has died held it before, and may have done with it what is to be done.
    #[must_use]
    pub const fn is_redelivered(&self) -> bool {
        self.again
    }

    /// Takes the value out of the queue: it is done with, and nobody will get it again.
    ///
    /// # Errors
    /// In a forked child, and where the memory was cut: then it is not taken out.
    pub fn complete(mut self) -> Result<T, Fault> {
        self.ended = true;
        self.receiver.end(self.hold, true)?;
        Ok(self.value)
    }
}

impl<T: Plain> std::ops::Deref for Lease<'_, T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.value
    }
}

impl<T: Plain> Drop for Lease<'_, T> {
    fn drop(&mut self) {
        if !self.ended {
            let _given_back = self.receiver.end(self.hold, false);
        }
    }
}
