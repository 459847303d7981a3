//! Waiting for records among other things.

use mapwright_core::peer::{Bell, Placed};

use super::receiver::RecordReceiver;
use super::ring::{Control, Found, Head, Ring, blocks_of};
use super::sender::RecordSender;
use crate::waiting::Waitable;

/// Ready as soon as a call of a receiver or sender of records has an answer; from
/// [`RecordReceiver::readiness`] and [`RecordSender::readiness`], for [`wait_any`](crate::wait_any),
/// [`Signal`](crate::Signal) and [`Ready`](crate::Ready) while the receiver or the sender itself is used.
///
/// A receiver's is ready where there is a record, or where there is none and all senders are gone; a sender's
/// where there is room for a record of a certain length, or none and the receiver is gone. Now and then the
/// answer is that there is none, or no room, after all: the call has then passed over the end of the ring, or
/// over what a dead sender has left, and that is what the other side needed.
#[derive(Clone, Debug)]
pub struct RecordsReadiness {
    ring: Ring,
    side: Side,
}

/// What is waited for.
#[derive(Clone, Copy, Debug)]
enum Side {
    Items,
    /// So many blocks.
    Room(u64),
}

impl Waitable for RecordsReadiness {
    fn bell(&self) -> Placed<Bell> {
        bell(&self.ring, self.side)
    }

    fn is_ready(&self) -> bool {
        is_ready(&self.ring, self.side)
    }
}

impl RecordReceiver {
    /// Returns what tells whether a call to receive has an answer.
    #[must_use]
    pub fn readiness(&self) -> RecordsReadiness {
        RecordsReadiness { ring: self.ring().clone(), side: Side::Items }
    }
}

impl Waitable for RecordReceiver {
    fn bell(&self) -> Placed<Bell> {
        bell(self.ring(), Side::Items)
    }

    fn is_ready(&self) -> bool {
        is_ready(self.ring(), Side::Items)
    }
}

impl RecordSender {
    /// Returns what tells whether a call to send a record of so many bytes has an answer.
    #[must_use]
    pub fn readiness(&self, len_bytes: usize) -> RecordsReadiness {
        RecordsReadiness { ring: self.ring().clone(), side: Side::Room(blocks_of(len_bytes)) }
    }
}

/// Ready for the shortest record.
impl Waitable for RecordSender {
    fn bell(&self) -> Placed<Bell> {
        bell(self.ring(), Side::Room(1))
    }

    fn is_ready(&self) -> bool {
        is_ready(self.ring(), Side::Room(1))
    }
}

fn bell(ring: &Ring, side: Side) -> Placed<Bell> {
    match side {
        Side::Items => ring.control.part(Control::items_bell),
        Side::Room(_) => ring.control.part(Control::room_bell),
    }
}

fn is_ready(ring: &Ring, side: Side) -> bool {
    let oracle = &*ring.oracle;
    if ring.control.check().is_err() {
        return true;
    }
    match side {
        Side::Items => match ring.look(ring.received()) {
            Found::Head(Head::Writing { place, .. }, _) => !ring.control.senders.is_alive(place, oracle),
            Found::Head(..) | Found::Past => true,
            Found::Unclaimed(_) => ring.control.senders.are_gone(oracle),
        },
        Side::Room(blocks) => has_room(ring, blocks) || ring.control.receivers.are_gone(oracle),
    }
}

/// Whether a record of so many blocks can be claimed, or what is left before the ring's end.
fn has_room(ring: &Ring, blocks: u64) -> bool {
    let received = ring.received();
    let mut end = received;
    ring.walk(|position, head, _| end = position.wrapping_add(head.blocks()));
    let claim = blocks.min(ring.until_end(end));
    // Longer than the ring: the call says so.
    blocks > ring.capacity || end.wrapping_sub(received).saturating_add(claim) <= ring.capacity
}
