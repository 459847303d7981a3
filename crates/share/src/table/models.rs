//! Readers and writers of a table under a model checker.

use std::sync::Arc;

use crate::orders::{explore_with, meet};
use mapwright_core::peer::{Identity, Oracle, Ordering};

use super::bucket::Bucket;
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
        let write = move || {
            set(&there, 1, [2, 2]);
            set(&there, 1, [3, 3]);
        };
        let read = move || {
            let [one, two] = here.get::<u64, Wide>(&1).expect("it is never absent");
            assert!(one == two && (1..=3).contains(&one), "{one} {two}");
        };
        meet(write, read);
    });
}

#[test]
fn model_a_get_beside_a_slot_that_another_key_takes_is_its_own_or_none() {
    explore_with(2, || {
        let [here, there] = store(2);
        set(&here, 1, [1, 1]);
        let after = here.clone();
        let write = move || {
            remove(&there, 1);
            set(&there, 2, [2, 2]);
        };
        let read = move || {
            let found = here.get::<u64, Wide>(&1);
            assert!(matches!(found, None | Some([1, 1])), "{found:?}");
        };
        meet(write, read);
        assert_eq!(after.get::<u64, Wide>(&2), Some([2, 2]));
    });
}

#[test]
fn model_whoever_sees_an_entry_sees_what_was_set_before_it() {
    explore_with(2, || {
        let [here, there] = store(2);
        let write = move || {
            set(&there, 1, [1, 1]);
            set(&there, 2, [2, 2]);
        };
        let read = move || {
            if here.get::<u64, Wide>(&2).is_some() {
                assert_eq!(here.get::<u64, Wide>(&1), Some([1, 1]));
            }
        };
        meet(write, read);
    });
}

#[test]
fn model_whoever_misses_an_entry_sees_what_was_set_before_it_went() {
    explore_with(2, || {
        let [here, there] = store(2);
        set(&here, 1, [1, 1]);
        let write = move || {
            set(&there, 2, [2, 2]);
            remove(&there, 1);
        };
        let read = move || {
            if here.get::<u64, Wide>(&1).is_none() {
                assert_eq!(here.get::<u64, Wide>(&2), Some([2, 2]));
            }
        };
        meet(write, read);
    });
}

#[test]
fn model_whoever_misses_an_entry_that_passed_a_full_bucket_sees_what_was_set_before_it_went() {
    explore_with(2, || {
        let store = Store::model(2, 1, Arc::new(Seat(1)));
        let there = store.seen_by(Arc::new(Seat(2)));
        let passed = || store.buckets.iter().any(|it| Bucket(it.load(Ordering::Relaxed)).passed() > 0);
        let put = |store: &Store, key: u64, value: u64| {
            store.exchange(&key, Expected::Anything, Some(&value)).unwrap().unwrap();
        };
        let late = (1u64..).find(|key| {
            put(&store, *key, 1);
            passed()
        });
        let late = late.unwrap();
        let write = move || {
            put(&there, 1, 2);
            there.exchange::<u64, u64>(&late, Expected::Anything, None).unwrap().unwrap();
        };
        let read = move || {
            if store.get::<u64, u64>(&late).is_none() {
                assert_eq!(store.get::<u64, u64>(&1), Some(2));
            }
        };
        meet(write, read);
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
        let after = here.clone();
        meet(move || add(&here), move || add(&there));
        assert_eq!((after.get::<u64, u64>(&1), after.len()), (Some(2), 1));
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
        let after = here.clone();
        meet(move || put(&there, 1), move || put(&here, 2));
        let found = [1, 2].map(|key: u64| after.get::<u64, u64>(&key));
        assert_eq!((found, after.len()), ([Some(1), Some(2)], 2));
    });
}
