//! The hand-over between a reader that moves forward and a helper that works ahead of it.
//!
//! ```text
//!  0        consumed            prepared          consumed + ahead      end
//!  ├────────┼───────────────────┼─────────────────┼──────────────────────┤
//!    done     ready for reader    helper may work    not yet
//! ```
//! The helper asks for its next piece and sleeps while it is far enough ahead; the reader reports how far it
//! came, and ends the work. Nobody waits for the helper: what is not ready yet is simply slower.

use crate::sync::{Condvar, Mutex};

/// Shared by one reader and one helper.
pub(super) struct Window {
    state: Mutex<State>,
    moved: Condvar,
    end: usize,
    ahead: usize,
}

struct State {
    consumed: usize,
    prepared: usize,
    ended: bool,
}

impl Window {
    pub(super) fn new(end: usize, ahead: usize) -> Self {
        let state = State { consumed: 0, prepared: 0, ended: false };
        Self { state: Mutex::new(state), moved: Condvar::new(), end, ahead }
    }

    /// The helper's side: waits for room, and returns the next piece to prepare (offset and length), or
    /// `None` at the end.
    pub(super) fn next_piece(&self, piece: usize) -> Option<(usize, usize)> {
        let mut state = lock(&self.state);
        loop {
            // What the reader has passed needs no preparing any more.
            state.prepared = state.prepared.max(state.consumed);
            if state.ended || state.prepared >= self.end {
                return None;
            }
            if state.prepared < state.consumed.saturating_add(self.ahead) {
                let offset = state.prepared;
                let len = piece.min(self.end - offset);
                state.prepared = offset + len;
                return Some((offset, len));
            }
            state = match self.moved.wait(state) {
                Ok(state) => state,
                Err(poisoned) => poisoned.into_inner(),
            };
        }
    }

    /// The reader's side: everything before `offset` was used.
    pub(super) fn consumed(&self, offset: usize) {
        lock(&self.state).consumed = offset;
        self.moved.notify_one();
    }

    /// The reader's side: no more will be used.
    pub(super) fn end(&self) {
        lock(&self.state).ended = true;
        self.moved.notify_one();
    }
}

fn lock<T>(mutex: &Mutex<T>) -> crate::sync::MutexGuard<'_, T> {
    match mutex.lock() {
        Ok(guard) => guard,
        Err(poisoned) => poisoned.into_inner(),
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn helper_stays_within_the_window_and_skips_what_was_passed() {
        let window = Window::new(100, 20);
        assert_eq!(window.next_piece(15), Some((0, 15)));
        assert_eq!(window.next_piece(15), Some((15, 15)));
        window.consumed(60);
        assert_eq!(window.next_piece(15), Some((60, 15)));
        window.consumed(95);
        assert_eq!(window.next_piece(15), Some((95, 5)));
        assert_eq!(window.next_piece(15), None);
    }
}

#[cfg(all(test, loom))]
mod loom_tests {
    use super::*;
    use loom::sync::Arc;

    #[test]
    fn loom_the_helper_always_ends() {
        loom::model(|| {
            let window = Arc::new(Window::new(3, 1));
            let theirs = Arc::clone(&window);
            let helper = loom::thread::spawn(move || {
                let mut last = 0;
                while let Some((offset, len)) = theirs.next_piece(1) {
                    assert!(offset >= last && offset + len <= 3);
                    last = offset + len;
                }
            });
            window.consumed(1);
            window.end();
            helper.join().unwrap();
        });
    }

    #[test]
    fn loom_a_reader_that_reaches_the_end_lets_the_helper_finish() {
        loom::model(|| {
            let window = Arc::new(Window::new(2, 1));
            let theirs = Arc::clone(&window);
            let helper = loom::thread::spawn(move || while theirs.next_piece(1).is_some() {});
            window.consumed(1);
            window.consumed(2);
            helper.join().unwrap();
        });
    }
}
