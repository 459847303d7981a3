//! Waiting for a queue among other things.

use mapwright_core::Plain;
use mapwright_core::peer::{Bell, Ordering, Placed};

use super::receiver::Receiver;
use super::ring::{Control, Ring};
use super::sender::Sender;
use super::slots::{SlotReceiver, SlotSender};
use crate::waiting::Waitable;

/// Ready as soon as a call of a queue's receiver or sender has an answer; from [`Receiver::readiness`] and
/// [`Sender::readiness`], for [`wait_any`](crate::wait_any), [`Signal`](crate::Signal) and
/// [`Ready`](crate::Ready) while the receiver or the sender itself is used.
///
/// A receiver's is ready where there is a value, or where there is none and all senders are gone; a sender's
/// where there is room, or none and all receivers are gone. Where there are several receivers or senders,
/// another may be faster.
///
/// ```
/// use mapwright_share::{Deadline, Queue, QueueOptions, Segment, wait_any};
/// let segment = Segment::anonymous("bank").with::<Queue<u64>>("orders", QueueOptions::new(16)).create()?;
/// let orders: Queue<u64> = segment.get("orders")?;
/// let (mut sender, mut receiver) = (orders.sender()?, orders.receiver()?);
/// let ready = receiver.readiness();
/// assert_eq!(wait_any(&[&ready], Deadline::now())?, None);
/// sender.send(&7)?;
/// assert_eq!(wait_any(&[&ready], Deadline::never())?, Some(0));
/// assert_eq!(receiver.try_receive()?, 7);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
pub struct QueueReadiness {
    ring: Ring,
    side: Side,
}

/// What is waited for.
#[derive(Clone, Copy, Debug)]
enum Side {
    Items,
    Room,
}

impl Waitable for QueueReadiness {
    fn bell(&self) -> Placed<Bell> {
        bell(&self.ring, self.side)
    }

    fn is_ready(&self) -> bool {
        is_ready(&self.ring, self.side)
    }
}

impl<T: Plain> Receiver<T> {
    /// Returns what tells whether a call to receive has an answer.
    #[must_use]
    pub fn readiness(&self) -> QueueReadiness {
        QueueReadiness { ring: self.ring().clone(), side: Side::Items }
    }
}

impl<T: Plain> Waitable for Receiver<T> {
    fn bell(&self) -> Placed<Bell> {
        bell(self.ring(), Side::Items)
    }

    fn is_ready(&self) -> bool {
        is_ready(self.ring(), Side::Items)
    }
}

impl<T: Plain> Sender<T> {
    /// Returns what tells whether a call to send has an answer.
    #[must_use]
    pub fn readiness(&self) -> QueueReadiness {
        QueueReadiness { ring: self.ring().clone(), side: Side::Room }
    }
}

impl<T: Plain> Waitable for Sender<T> {
    fn bell(&self) -> Placed<Bell> {
        bell(self.ring(), Side::Room)
    }

    fn is_ready(&self) -> bool {
        is_ready(self.ring(), Side::Room)
    }
}

fn bell(ring: &Ring, side: Side) -> Placed<Bell> {
    match side {
        Side::Items => ring.control.part(Control::items_bell),
        Side::Room => ring.control.part(Control::room_bell),
    }
}

fn is_ready(ring: &Ring, side: Side) -> bool {
    if ring.control.check().is_err() {
        return true;
    }
    match side {
        Side::Items => {
            let (is_there, is_held) = look_for_item(ring);
            is_there || (!is_held && ring.control.senders.are_gone(&*ring.oracle))
        }
        Side::Room => has_room(ring) || ring.control.receivers.are_gone(&*ring.oracle),
    }
}

/// Whether there is an item, and if not, whether somebody's claim may still become one.
fn look_for_item(ring: &Ring) -> (bool, bool) {
    if ring.shape.is_lane() {
        let line = &ring.control.receiver;
        let position = line.position.load(Ordering::Acquire);
        let next = position.wrapping_add(1);
        let is_there = ring.ahead_of(position) > 0;
        let is_held = line.ahead.load(Ordering::Acquire) == next;
        return (is_there && !is_held, is_there && is_held);
    }
    // What one would find that came now.
    let mut probe = SlotReceiver::resume(ring);
    let is_there = probe.has_next(ring) || (probe.settle(ring) && probe.has_next(ring));
    (is_there, probe.has_passed())
}

fn has_room(ring: &Ring) -> bool {
    if ring.shape.is_lane() {
        let received = ring.control.receiver.position.load(Ordering::Acquire);
        return ring.sent().wrapping_sub(received) < ring.capacity;
    }
    let mut probe = SlotSender::resume(ring);
    probe.has_room(ring) || (probe.settle(ring) && probe.has_room(ring))
}
