//! What a reader that drops the newest has let in: as if it had a queue of its own with so many places.
//!
//! The ring has everything; the reader keeps the books. Each time it looks, what was published since the last
//! time is let in as far as there are places, and the rest is passed over: exactly what a queue of that many
//! places, filled by a publisher that does not wait, would have kept. Publishers know nothing of it.

use std::collections::VecDeque;

/// The books. Positions only; no shared state.
#[derive(Clone, Debug)]
pub(super) struct Window {
    places: u64,
    /// Ranges of positions that were let in and not read yet, in order, never empty.
    let_in: VecDeque<(u64, u64)>,
    unread: u64,
    /// Everything before this was let in or passed over.
    seen: u64,
}

impl Window {
    pub(super) const fn new(places: u64, start: u64) -> Self {
        Self { places, let_in: VecDeque::new(), unread: 0, seen: start }
    }

    /// Lets in what was published up to `end`, as far as there are places.
    pub(super) fn look(&mut self, end: u64) {
        let free = self.places.saturating_sub(self.unread);
        let taken = free.min(end.saturating_sub(self.seen));
        if taken > 0 {
            let (from, to) = (self.seen, self.seen + taken);
            match self.let_in.back_mut() {
                Some((_, last)) if *last == from => *last = to,
                _ => self.let_in.push_back((from, to)),
            }
            self.unread += taken;
        }
        self.seen = self.seen.max(end);
    }

    /// Returns the next position to be read: the first that was let in, and if there is none, the one behind
    /// all that was passed over.
    pub(super) fn next(&self) -> u64 {
        self.let_in.front().map_or(self.seen, |&(from, _)| from)
    }

    /// Tells whether a position was passed over, or all before it were read and it was.
    pub(super) fn misses(&self, position: u64) -> bool {
        position < self.seen && !self.let_in.iter().any(|&(from, to)| (from..to).contains(&position))
    }

    pub(super) fn has_some(&self) -> bool {
        self.unread > 0
    }

    /// Gives up everything before a position: it was read, or overwritten.
    pub(super) fn pass(&mut self, position: u64) {
        while let Some((from, to)) = self.let_in.front_mut() {
            let until = position.clamp(*from, *to);
            self.unread = self.unread.saturating_sub(until - *from);
            *from = until;
            if *from < *to {
                break;
            }
            self.let_in.pop_front();
        }
        self.seen = self.seen.max(position);
    }
}

#[cfg(all(test, not(any(loom, shuttle))))]
#[allow(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on fails")]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[derive(Clone, Debug)]
    enum Step {
        Publish(u64),
        Read,
    }

    proptest! {
        #[test]
        fn it_lets_in_exactly_what_a_queue_of_its_own_would(
            places in 1u64..6,
            steps in prop::collection::vec(
                prop_oneof![(0u64..9).prop_map(Step::Publish), Just(Step::Read)], 1..200)
        ) {
            let (mut window, mut queue) = (Window::new(places, 0), VecDeque::new());
            let mut end = 0;
            for step in steps {
                match step {
                    Step::Publish(count) => {
                        for position in end..end + count {
                            if u64::try_from(queue.len()).unwrap() < places {
                                queue.push_back(position);
                            }
                        }
                        end += count;
                    }
                    Step::Read => {
                        window.look(end);
                        prop_assert_eq!(window.has_some(), !queue.is_empty());
                        if let Some(position) = queue.pop_front() {
                            prop_assert_eq!(window.next(), position);
                            window.pass(position + 1);
                        }
                    }
                }
            }
        }
    }

    #[test]
    fn what_was_overwritten_is_given_up_and_makes_room() {
        let mut window = Window::new(4, 0);
        window.look(10);
        window.pass(1);
        window.look(20);
        assert_eq!((window.unread, window.next()), (4, 1));
        window.pass(15);
        assert_eq!((window.unread, window.next(), window.has_some()), (0, 20, false));
    }
}
