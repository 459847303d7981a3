//! Readers and writers of a table under a model checker.

use std::sync::Arc;

use crate::orders::{self as thread, explore_with};
use mapwright_core::peer::{Identity, Oracle};

use super::store::{Expected, Store};

/// Somebody among others who all live but the first.
#[derive(Debug)]
struct Seat(usize);

impl Oracle for Seat {
    fn me(&self) -> Identity {
        Identity::new(self.0, 1)
    }

    fn is_alive(&self, who: Identity) -> bool {
        who.seat() != 0
    }

    fn is_short_alive(&self, short: u32) -> bool {
        short != Identity::new(0, 1).short()
    }

    fn knows_thread_ids(&self) -> bool {
        false
    }
}

type Wide = [u64; 2];

fn store(value_words: usize) -> [Store; 2] {
    let store = Store::model(1, value_words, Arc::new(Seat(1)));
    let other = store.seen_by(Arc::new(Seat(2)));
    [store, other]
}

fn set(store: &Store, key: u64, value: Wide) {
    store.exchange(&key, Expected::Anything, Some(&value)).unwrap().unwrap();
}

fn remove(store: &Store, key: u64) {
    store.exchange::<u64, Wide>(&key, Expected::Anything, None).unwrap().unwrap();
}

#[test]
fn model_a_get_beside_two_updates_is_whole() {
    explore_with(2, || {
        let [here, there] = store(2);
        set(&here, 1, [1, 1]);
        let writer = thread::spawn(move || {
            set(&there, 1, [2, 2]);
            set(&there, 1, [3, 3]);
        });
        let reader = thread::spawn(move || {
            let [one, two] = here.get::<u64, Wide>(&1).expect("it is never absent");
            assert!(one == two && (1..=3).contains(&one), "{one} {two}");
        });
        writer.join().unwrap();
        reader.join().unwrap();
    });
}

#[test]
fn model_a_get_beside_a_slot_that_another_key_takes_is_its_own_or_none() {
    explore_with(2, || {
        let [here, there] = store(2);
        set(&here, 1, [1, 1]);
        let writer = thread::spawn(move || {
            remove(&there, 1);
            set(&there, 2, [2, 2]);
        });
        let found = here.get::<u64, Wide>(&1);
        assert!(matches!(found, None | Some([1, 1])), "{found:?}");
        writer.join().unwrap();
        assert_eq!(here.get::<u64, Wide>(&2), Some([2, 2]));
    });
}

#[test]
fn model_two_updates_of_one_entry_are_both_counted() {
    explore_with(2, || {
        let [here, there] = store(1);
        let add = |store: &Store| {
            let mut current: Option<u64> = None;
            while let Err(other) = store
                .exchange(&1u64, Expected::Just(current.as_ref()), Some(&(current.unwrap_or(0) + 1)))
                .unwrap()
            {
                current = other;
            }
        };
        let writer = thread::spawn(move || add(&there));
        add(&here);
        writer.join().unwrap();
        assert_eq!((here.get::<u64, u64>(&1), here.len()), (Some(2), 1));
    });
}

#[test]
fn model_two_who_take_over_from_a_dead_one_do_not_undo_each_other() {
    explore_with(2, || {
        let [here, there] = store(1);
        let dead = here.seen_by(Arc::new(Seat(0)));
        std::mem::forget(super::group::Held::take::<u64>(&dead, 0));
        let put = |store: &Store, key: u64| {
            store.exchange(&key, Expected::Anything, Some(&key)).unwrap().unwrap();
        };
        let writer = thread::spawn(move || put(&there, 1));
        put(&here, 2);
        writer.join().unwrap();
        assert_eq!((here.get::<u64, u64>(&1), here.get::<u64, u64>(&2), here.len()), (Some(1), Some(2), 2));
    });
}
