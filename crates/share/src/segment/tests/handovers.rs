//! A process is killed at every step of handing an anonymous segment over, at either end of the socket.

use std::cell::RefCell;
use std::os::unix::net::UnixStream;

use mapwright_core::peer::{Deadline, Ordering};

use super::{Attendance, Cell, ErrorKind, Segment};
use crate::testing::{at_every_pair, at_every_point};

/// A socket whose ends can be closed in this process, while a child has its own.
struct Ends(RefCell<Option<UnixStream>>, RefCell<Option<UnixStream>>);

impl Ends {
    fn new() -> Self {
        let (here, there) = UnixStream::pair().unwrap();
        Self(RefCell::new(Some(here)), RefCell::new(Some(there)))
    }

    fn here(&self) -> UnixStream {
        self.0.borrow().as_ref().unwrap().try_clone().unwrap()
    }

    fn there(&self) -> UnixStream {
        self.1.borrow().as_ref().unwrap().try_clone().unwrap()
    }
}

/// One seat for whoever made it, and one for all who receive it, one after the other.
fn make() -> Segment {
    Segment::anonymous("parcel").with::<Cell>("cell", 5).participants(2).create().unwrap()
}

fn alive(segment: &Segment) -> usize {
    segment.participants().iter().filter(|it| it.state == Attendance::Alive).count()
}

#[test]
fn a_sender_that_dies_has_sent_a_whole_segment_or_none() {
    at_every_point(
        "segment: make an anonymous one, send",
        Ends::new,
        |ends, begin| {
            let here = ends.here();
            begin();
            make().send(&here).unwrap();
        },
        |ends, point| {
            drop(ends.0.take());
            match Segment::receive_until(&ends.there(), Deadline::never()) {
                Ok(received) => {
                    assert_eq!(alive(&received), 1, "the sender is known to be gone");
                    assert_eq!(received.get::<Cell>("cell").unwrap().0.load(Ordering::Acquire), 5);
                    // The dead one's seat can be taken, and the segment be sent on.
                    let ends = Ends::new();
                    received.send(&ends.here()).unwrap();
                    let third = Segment::receive(&ends.there()).unwrap();
                    assert_eq!((alive(&received), alive(&third)), (2, 2));
                }
                Err(error) => {
                    assert_ne!(point, 0, "it was sent: {error}");
                    assert!(error.to_string().contains("was closed"), "{error}");
                }
            }
        },
    );
}

/// Passes a segment to somebody else and sees that it works.
fn hand_on(segment: &Segment) {
    let ends = Ends::new();
    segment.send(&ends.here()).unwrap();
    let received = Segment::receive(&ends.there()).unwrap();
    assert_eq!(alive(segment), 2);
    received.get::<Cell>("cell").unwrap().0.fetch_add(1, Ordering::AcqRel);
    drop(received);
    assert_eq!(alive(segment), 1);
}

fn receive(ends: &Ends, begin: &dyn Fn()) {
    let there = ends.there();
    begin();
    let received = Segment::receive(&there).unwrap();
    received.get::<Cell>("cell").unwrap().0.fetch_add(10, Ordering::AcqRel);
}

#[test]
fn a_receiver_that_dies_takes_no_seat_with_it_and_its_sender_goes_on() {
    at_every_point(
        "segment: receive, get, leave",
        || {
            let (ends, segment) = (Ends::new(), make());
            segment.send(&ends.here()).unwrap();
            (ends, segment)
        },
        |(ends, _), begin| receive(ends, begin),
        |(ends, segment), point| {
            assert_eq!(alive(segment), 1);
            hand_on(segment);
            let value = segment.get::<Cell>("cell").unwrap().0.load(Ordering::Acquire);
            assert!(value == 16 || (point != 0 && value == 6), "{value} at point {point}");
            // Nobody has the other end any more, as soon as other tests' children are gone: an answer, and no
            // signal.
            drop(ends.1.take());
            let error = loop {
                if let Err(error) = segment.send(&ends.here()) {
                    break error;
                }
            };
            assert_eq!(error.raw_os_error(), Some(rustix::io::Errno::PIPE.raw_os_error()), "{error}");
        },
    );
}

#[test]
fn after_a_receivers_death_and_its_successors_the_third_goes_on() {
    at_every_pair(
        "segment: receive twice",
        || {
            let (ends, segment) = (Ends::new(), make());
            for _ in 0..2 {
                segment.send(&ends.here()).unwrap();
            }
            (ends, segment)
        },
        |(ends, _), begin| receive(ends, begin),
        |(ends, _), begin| receive(ends, begin),
        |(_, segment), _| {
            assert_eq!(alive(segment), 1);
            hand_on(segment);
            let value = segment.get::<Cell>("cell").unwrap().0.load(Ordering::Acquire);
            assert!([6, 16, 26].contains(&value), "{value}");
        },
    );
}

#[test]
fn a_receiver_whose_sender_is_silent_comes_back() {
    let ends = Ends::new();
    let error = Segment::receive_until(&ends.there(), Deadline::now()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Busy);
}
