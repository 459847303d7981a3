//! The shipped code under the model checkers: every interleaving of a few threads (loom), and many random
//! ones (shuttle). Each thread is a participant of its own.

use std::sync::Arc;

use mapwright_core::peer::{Deadline, Identity, Line, Oracle, Ordering, Placed, Word64};

use super::*;
use crate::answers::LockError;
use crate::orders::{explore, meet};

/// Participants that live for ever.
#[derive(Debug)]
struct Alive(usize);

impl Oracle for Alive {
    fn me(&self) -> Identity {
        Identity::new(self.0, 1)
    }

    fn is_alive(&self, who: Identity) -> bool {
        who.seat() < 8 && who.incarnation() == 1
    }

    fn is_short_alive(&self, _short: u32) -> bool {
        true
    }

    fn knows_thread_ids(&self) -> bool {
        false
    }
}

fn me(seat: usize) -> Arc<dyn Oracle> {
    Arc::new(Alive(seat))
}

/// Makes as many structures as there are.
fn many<T: Default + mapwright_core::peer::Shared>(count: usize) -> Placed<[T]> {
    Placed::own_many((0..count).map(|_| T::default()).collect())
}

fn words(count: usize) -> Placed<[Word64]> {
    many(count)
}

#[test]
fn model_mutex_excludes() {
    explore(|| {
        let (head, copies) = (Placed::own(mutex::Head::default()), words(4));
        let at = |seat| Mutex::<[u64; 2]>::at(head.clone(), copies.clone(), me(seat));
        let add = |mutex: &Mutex<[u64; 2]>| {
            mutex.lock().expect("nobody dies").update(|value| *value = [value[0] + 1, value[1] + 1]);
        };
        let (one, other) = (at(0), at(1));
        meet(move || add(&one), move || add(&other));
        assert_eq!(at(0).lock().expect("nobody dies").load(), [2, 2]);
    });
}

struct Read {
    writer: Placed<rwlock::WriterLine>,
    gate: Placed<readers::Gate>,
    slots: Placed<[readers::Slot]>,
    copies: Placed<[Word64]>,
}

impl Read {
    fn new(seats: usize) -> Self {
        let (writer, gate) = (Placed::own(Line::default()), Placed::own(readers::Gate::default()));
        Self { writer, gate, slots: many(seats), copies: words(4) }
    }

    fn at(&self, seat: usize) -> RwLock<[u64; 2]> {
        let (gate, slots, copies) = (self.gate.clone(), self.slots.clone(), self.copies.clone());
        RwLock::at(&self.writer, gate, slots, copies, me(seat)).expect("a slot")
    }
}

#[test]
fn model_rwlock_reader_never_sees_a_write_in_progress() {
    explore(|| {
        let lock = Read::new(2);
        let (reader, writer, after) = (lock.at(0), lock.at(1), lock.at(0));
        let write = move || {
            let mut guard = writer.write().expect("nobody dies");
            // Two stores: the second one goes to the copy that a reader may have begun to read.
            guard.store([1, 1]);
            guard.store([2, 2]);
        };
        let read = move || {
            let value = reader.read().expect("nobody dies").load();
            assert!(value == [0, 0] || value == [2, 2], "{value:?}");
        };
        meet(write, read);
        assert_eq!(after.read().expect("nobody dies").load(), [2, 2]);
    });
}

#[test]
fn model_rwlock_two_threads_of_one_process_count_into_one_slot() {
    explore(|| {
        let lock = Read::new(2);
        let (one, other, writer) = (lock.at(0), lock.at(0), lock.at(1));
        let read = |lock: RwLock<[u64; 2]>| move || drop(lock.read().expect("nobody dies"));
        meet(read(one), read(other));
        writer.try_write().expect("nobody reads").store([1, 1]);
    });
}

#[test]
fn model_semaphore_gives_no_permit_twice_and_loses_no_wake_up() {
    explore(|| {
        let (head, permits, inside) = (Placed::own(semaphore::Head::default()), words(1), words(1));
        let at = |seat| Semaphore::at(head.clone(), permits.clone(), me(seat));
        let enter = |semaphore: &Semaphore, inside: &[Word64]| {
            let permit = semaphore.acquire().expect("nothing is gone");
            let before = inside[0].load(Ordering::Relaxed);
            inside[0].store(before + 1, Ordering::Relaxed);
            drop(permit);
        };
        let (one, other) = (at(0), at(1));
        let (mine, theirs) = (inside.clone(), inside.clone());
        meet(move || enter(&one, &mine), move || enter(&other, &theirs));
        assert_eq!(inside[0].load(Ordering::Relaxed), 2, "two had the one permit");
        assert_eq!(at(0).available(), 1);
    });
}

#[test]
fn model_barrier_lets_both_through_with_one_leader() {
    explore(|| {
        let (head, places) = (Placed::own(barrier::Head::default()), many(2));
        let at = |seat| Barrier::at(head.clone(), places.clone(), me(seat));
        let done = words(2);
        let pass = |seat: usize| {
            let (barrier, done) = (at(seat), done.clone());
            move || {
                let mut place = barrier.join().expect("a place");
                done[seat].store(1, Ordering::Relaxed);
                let leads = place.wait().expect("nobody dies");
                // Where the other has joined: whoever is alone meets nobody.
                (leads, done[1 - seat].load(Ordering::Relaxed))
            }
        };
        let ((one, seen), (other, also_seen)) = meet(pass(0), pass(1));
        assert_ne!(one, other, "one leader");
        assert_eq!((seen, also_seen), (1, 1), "what was done before is seen after");
    });
}

#[test]
fn model_barrier_arrival_counts_for_both_or_for_none() {
    explore(|| {
        let (head, places) = (Placed::own(barrier::Head::default()), many(2));
        let at = |seat| Barrier::at(head.clone(), places.clone(), me(seat));
        let (one, other) = (at(0), at(1));
        let impatient = |barrier: &Barrier| barrier.join().expect("a place").wait_until(Deadline::now());
        let both: [_; 2] = meet(move || impatient(&one), move || impatient(&other)).into();
        let through = both.iter().filter(|result| result.is_ok()).count();
        assert!(through != 1, "{both:?}");
    });
}

#[test]
fn model_event_lets_a_sleeper_through() {
    for kind in [EventOptions::Manual, EventOptions::Auto] {
        explore(move || {
            let (head, work) = (Placed::own(event::Head::default()), words(1));
            let (event, theirs) = (Event::at(head.clone(), kind), Event::at(head.clone(), kind));
            let done = work.clone();
            let set = move || {
                done[0].store(1, Ordering::Relaxed);
                event.set().expect("nothing is gone");
            };
            let wait = move || {
                if theirs.is_set() {
                    assert_eq!(work[0].load(Ordering::Relaxed), 1, "what was done before");
                }
                theirs.wait().expect("nothing is gone");
                assert_eq!(work[0].load(Ordering::Relaxed), 1, "what was done before");
            };
            meet(set, wait);
            let event = Event::at(head, kind);
            assert_eq!(event.is_set(), kind == EventOptions::Manual);
        });
    }
}

#[test]
fn model_whoever_finds_an_event_set_and_resets_it_sees_what_was_done_before() {
    explore(|| {
        let (head, work) = (Placed::own(event::Head::default()), words(1));
        let at = || Event::at(head.clone(), EventOptions::Manual);
        let (event, theirs, done) = (at(), at(), work.clone());
        let set = move || {
            done[0].store(1, Ordering::Relaxed);
            event.set().expect("nothing is gone");
        };
        let reset = move || {
            if theirs.reset().expect("nothing is gone") {
                assert_eq!(work[0].load(Ordering::Relaxed), 1);
            }
        };
        meet(set, reset);
    });
}

#[test]
fn model_automatic_event_lets_one_through() {
    explore(|| {
        let head = Placed::own(event::Head::default());
        let at = || Event::at(head.clone(), EventOptions::Auto);
        let (event, theirs) = (at(), at());
        event.set().expect("nothing is gone");
        let (one, other) = meet(move || event.try_wait().is_ok(), move || theirs.try_wait().is_ok());
        assert!(one != other);
    });
}

#[test]
fn model_once_is_run_by_one_and_seen_by_both() {
    explore(|| {
        let (head, runs) = (Placed::own(once::Head::default()), words(1));
        let at = |seat| Once::at(head.clone(), me(seat));
        let (one, other, theirs) = (at(0), at(1), runs.clone());
        let run = |once: &Once, runs: &[Word64]| {
            let add = || runs[0].store(runs[0].load(Ordering::Relaxed) + 1, Ordering::Relaxed);
            once.call_once(add).expect("nothing is gone");
            assert_eq!(runs[0].load(Ordering::Relaxed), 1);
        };
        meet(move || run(&one, &runs), move || run(&other, &theirs));
    });
}

#[test]
fn model_condvar_loses_no_notification() {
    for all in [true, false] {
        explore(move || {
            let (head, copies) = (Placed::own(mutex::Head::default()), words(2));
            let condvar = Placed::own(condvar::Head::default());
            let at = |seat| Mutex::<u64>::at(head.clone(), copies.clone(), me(seat));
            let (mutex, theirs) = (at(0), at(1));
            let (notifier, waiter) = (Condvar::at(condvar.clone()), Condvar::at(condvar));
            let wait = move || {
                let guard = theirs.lock().expect("nobody dies");
                drop(waiter.wait_while(guard, Deadline::never(), |value| *value == 0).expect("nobody dies"));
            };
            let notify = move || {
                match mutex.lock() {
                    Ok(mut guard) => guard.store(1),
                    Err(LockError::TimedOut) => unreachable!("no deadline"),
                    Err(error) => panic!("{error}"),
                }
                if all { notifier.notify_all() } else { notifier.notify_one() }
            };
            meet(wait, notify);
        });
    }
}
