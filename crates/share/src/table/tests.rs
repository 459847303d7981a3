//! States and answers of tables; a model; deaths at every step; real processes.

use std::collections::HashMap;

use mapwright_core::ErrorKind;
use mapwright_core::peer::Ordering;
use mapwright_core::peer::points::{Child, End};
use proptest::prelude::*;

use super::group::Held;
use super::*;
use crate::testing::Ground;

type Wide = [u64; 3];

/// Every entry, sorted; what is counted and what is found must agree.
fn entries<V: Plain + Ord + fmt::Debug>(table: &Table<u64, V>) -> Vec<(u64, V)> {
    let mut entries: Vec<_> = table.iter().unwrap().collect();
    entries.sort_unstable();
    assert_eq!(entries.len(), table.len());
    for (key, value) in &entries {
        assert_eq!(table.get(key).unwrap().as_ref().map(V::as_bytes), Some(value.as_bytes()));
    }
    entries
}

/// Tags and counts are exactly what follows from the slots.
fn assert_counted<V: Plain>(table: &Table<u64, V>) {
    let words = || table.store.buckets.iter().map(|it| it.load(Ordering::Relaxed)).collect::<Vec<_>>();
    let (before, len) = (words(), table.len());
    for group in 0..table.store.shape.groups {
        Held::take::<u64>(&table.store, group).unwrap().recount::<u64>();
    }
    assert_eq!((words(), table.len()), (before, len));
}

#[test]
fn what_is_inserted_is_there_for_everybody_until_it_is_removed() {
    let ground = Ground::new::<Table<u64, Wide>>(&TableOptions::new(10));
    let (here, there) = (ground.attach::<Table<u64, Wide>>(), ground.attach::<Table<u64, Wide>>());
    assert_eq!((here.get(&1), here.remove(&1), here.len(), here.capacity()), (Ok(None), Ok(None), 0, 10));
    assert_eq!(here.insert(&1, &[1; 3]), Ok(None));
    assert_eq!((there.get(&1), there.insert(&1, &[2; 3])), (Ok(Some([1; 3])), Ok(Some([1; 3]))));
    assert_eq!((here.get(&1), here.insert(&1, &[3; 3])), (Ok(Some([2; 3])), Ok(Some([2; 3]))));
    assert_eq!((here.is_empty(), entries(&here)), (false, vec![(1, [3; 3])]));
    assert_eq!((there.remove(&1), here.get(&1), here.is_empty()), (Ok(Some([3; 3])), Ok(None), true));
}

#[test]
fn compare_and_update_change_only_what_is_expected() {
    let table = Ground::new::<Table<u64, u32>>(&TableOptions::new(10)).attach::<Table<u64, u32>>();
    assert_eq!(table.compare_exchange(&5, Some(&1), Some(&2)), Ok(Err(None)));
    assert_eq!(table.compare_exchange(&5, None, Some(&2)), Ok(Ok(())));
    assert_eq!(table.compare_exchange(&5, None, Some(&3)), Ok(Err(Some(2))));
    assert_eq!(table.compare_exchange(&5, Some(&2), Some(&3)), Ok(Ok(())));
    assert_eq!(table.update(&5, |value| value.map(|it| it + 1)), Ok(Some(4)));
    assert_eq!(table.update(&6, |value| Some(value.unwrap_or(0) + 1)), Ok(Some(1)));
    assert_eq!(table.update_if(&5, |value| (value > 100).then_some(0)), Ok(false));
    assert_eq!(table.update_if(&7, |_| Some(0)), Ok(false));
    assert_eq!(table.update_if(&5, |value| Some(value + 1)), Ok(true));
    assert_eq!(table.update(&6, |_| None), Ok(None));
    // The function may use the table: it holds nothing.
    assert_eq!(table.update(&5, |value| table.get(&5).unwrap().max(value)), Ok(Some(5)));
    assert_eq!(entries(&table), [(5, 5)]);
    assert_eq!(table.compare_exchange(&5, Some(&5), None), Ok(Ok(())));
    assert!(table.is_empty());
}

#[test]
fn an_entry_that_is_changed_each_time_it_is_copied_is_given_up() {
    let table = Ground::new::<Table<u64, Wide>>(&TableOptions::new(1)).attach::<Table<u64, Wide>>();
    table.insert(&1, &[1; 3]).unwrap();
    let store = &table.store;
    let find = |bucket| (0..bucket::LANES).filter_map(move |lane| store.slot(bucket, lane));
    let slot = (0..store.buckets.len()).flat_map(find).find(|slot| slot.holds(&1u64)).unwrap();
    let changed_meanwhile = slot.read(|_| table.insert(&1, &[2; 3]).is_ok(), |_, _| ());
    assert!(changed_meanwhile.is_err());
    assert!(slot.read(|_| true, |_, _| ()).unwrap().is_some());
}

#[test]
fn bytes_are_keys_of_any_length_up_to_the_planned_one() {
    let ground = Ground::new::<Table<[u8], u64>>(&TableOptions::new(200).key_bytes(20));
    let table = ground.attach::<Table<[u8], u64>>();
    let key = |len: u8| (0..len).map(|it| it ^ len).collect::<Vec<u8>>();
    for len in 0..=20 {
        assert_eq!(table.insert(&key(len), &u64::from(len)), Ok(None));
    }
    assert_eq!(table.insert(&[0; 21], &1), Err(TableError::TooLong));
    assert_eq!((table.get(&[0; 21]), table.remove(&[0; 21])), (Ok(None), Ok(None)));
    assert_eq!(table.compare_exchange(&[0; 21], Some(&1), None), Ok(Err(None)));
    assert_eq!(table.compare_exchange(&[0; 21], None, None), Ok(Ok(())));
    let mut found: Vec<_> = table.iter().unwrap().collect();
    found.sort_by_key(|it| it.1);
    assert_eq!(found, (0..=20).map(|len| (key(len), u64::from(len))).collect::<Vec<_>>());
    assert!((0..=20).all(|len| table.remove(&key(len)) == Ok(Some(u64::from(len)))));
}

#[test]
fn every_planned_entry_fits_and_full_is_an_answer_that_passes() {
    for capacity in [1, 20, 100, 1000, 30_000] {
        let options = TableOptions::new(capacity).seed(7);
        let table = Ground::new::<Table<u64, u64>>(&options).attach::<Table<u64, u64>>();
        let keys = |from: usize| (from as u64..).map(|it| it << 20);
        for key in keys(0).take(capacity) {
            assert_eq!(table.insert(&key, &!key), Ok(None));
        }
        let over = keys(capacity).find(|key| table.insert(key, &0) == Err(TableError::Full)).unwrap();
        assert!(table.len() > capacity && table.len() <= capacity * 2 + 56, "{} in {capacity}", table.len());
        // What is there can be changed; and one that goes makes room in its own group.
        assert_eq!(table.insert(&0, &5), Ok(Some(!0)));
        let group = |key: &u64| table.store.shape.probe(Key::hash(key, 7)).group;
        let neighbour = keys(1).find(|key| group(key) == group(&over)).unwrap();
        assert!(table.remove(&neighbour).unwrap().is_some());
        assert_eq!(table.insert(&over, &1), Ok(None));
        assert_counted(&table);
    }
}

#[test]
fn coming_and_going_leaves_no_trace() {
    let ground = Ground::new::<Table<u64, u64>>(&TableOptions::new(20).seed(1));
    let table = ground.attach::<Table<u64, u64>>();
    for round in 0..2000 {
        assert_eq!(table.insert(&round, &round), Ok(None));
        if round >= 50 {
            assert_eq!(table.remove(&(round - 50)), Ok(Some(round - 50)));
        }
    }
    assert_counted(&table);
    for key in 1950..2000 {
        assert_eq!(table.remove(&key), Ok(Some(key)));
    }
    assert!(table.store.buckets.iter().all(|it| it.load(Ordering::Relaxed) == 0));
}

#[test]
fn more_entries_than_can_be_counted_pass_a_bucket_and_leave_no_trace() {
    let table =
        Ground::new::<Table<u64, u64>>(&TableOptions::new(20_000).seed(5)).attach::<Table<u64, u64>>();
    let home = |key: &u64| table.store.shape.probe(Key::hash(key, 5)).next();
    let keys: Vec<u64> = (0u64..).filter(|key| home(key) == Some(3)).take(300).collect();
    for key in &keys {
        assert_eq!(table.insert(key, key), Ok(None));
    }
    assert_eq!(table.store.buckets[3].load(Ordering::Relaxed) >> 56, 255);
    assert_counted(&table);
    for key in &keys {
        assert_eq!((table.get(key), table.remove(key)), (Ok(Some(*key)), Ok(Some(*key))));
    }
    assert!(table.store.buckets.iter().all(|it| it.load(Ordering::Relaxed) == 0));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_table_does_what_a_hash_map_does(
        steps in prop::collection::vec((0u8..6, 0u64..80, any::<u8>()), 1..400),
    ) {
        let ground = Ground::new::<Table<u64, Wide>>(&TableOptions::new(20));
        let tables = [ground.attach::<Table<u64, Wide>>(), ground.attach::<Table<u64, Wide>>()];
        let mut model: HashMap<u64, Wide> = HashMap::new();
        for (index, (what, key, number)) in steps.into_iter().enumerate() {
            let (table, value) = (&tables[index % 2], [u64::from(number); 3]);
            match what {
                0 | 1 => match table.insert(&key, &value) {
                    Ok(old) => prop_assert_eq!(old, model.insert(key, value)),
                    Err(error) => prop_assert!(error == TableError::Full && model.len() == 56),
                },
                2 | 3 => prop_assert_eq!(table.remove(&key), Ok(model.remove(&key))),
                4 => {
                    let changed = table.update_if(&key, |it| (it < value).then_some(value)).unwrap();
                    let wanted = model.get_mut(&key).filter(|it| **it < value);
                    prop_assert_eq!(changed, wanted.is_some());
                    if let Some(it) = wanted { *it = value; }
                }
                _ => prop_assert_eq!(table.get(&key), Ok(model.get(&key).copied())),
            }
        }
        let mut wanted: Vec<_> = model.into_iter().collect();
        wanted.sort_unstable();
        prop_assert_eq!(entries(&tables[0]), wanted);
        assert_counted(&tables[1]);
    }
}

#[test]
fn many_threads_count_exactly_and_no_value_is_torn() {
    const THREADS: u64 = 4;
    const TURNS: u64 = 5_000;
    let ground = Ground::new::<Table<u64, Wide>>(&TableOptions::new(20).seed(3));
    let table = ground.attach::<Table<u64, Wide>>();
    std::thread::scope(|scope| {
        for thread in 0..THREADS {
            let table = &table;
            scope.spawn(move || {
                for turn in 0..TURNS {
                    let key = turn % 7;
                    table.update(&key, |it| Some(it.map_or([1; 3], |it| it.map(|one| one + 1)))).unwrap();
                    let [one, two, three] = table.get(&((turn + thread) % 7)).unwrap().unwrap_or_default();
                    assert!(one == two && two == three, "torn");
                    let mine = 100 + thread * 10 + turn % 3;
                    assert_eq!(table.insert(&mine, &[turn; 3]), Ok(None));
                    assert_eq!(table.remove(&mine), Ok(Some([turn; 3])));
                }
            });
        }
    });
    let total: u64 = entries(&table).iter().map(|(_, value)| value[0]).sum();
    assert_eq!(total, THREADS * TURNS);
    assert_counted(&table);
}

#[test]
fn reads_beside_a_busy_writer_of_another_process_are_whole() {
    const READS: u32 = 100_000;
    let ground = Ground::new::<Table<u64, [u64; 16]>>(&TableOptions::new(20));
    let table = ground.attach::<Table<u64, [u64; 16]>>();
    table.insert(&1, &[0; 16]).unwrap();
    let child = Child::fork(|| {
        let table = ground.attach::<Table<u64, [u64; 16]>>();
        for round in 1.. {
            table.insert(&1, &[round; 16]).unwrap();
            if round % 16 == 0 {
                table.remove(&1).unwrap();
                table.insert(&2, &[!0; 16]).unwrap();
                table.insert(&1, &[round; 16]).unwrap();
                table.remove(&2).unwrap();
            }
        }
    });
    let mut last = 0;
    for _ in 0..READS {
        if let Some(value) = table.get(&1).unwrap() {
            assert!(value == [value[0]; 16] && value[0] >= last, "{value:?} after {last}");
            last = value[0];
        }
    }
    child.kill();
    assert_eq!(child.wait(), End::Killed(9));
    assert_eq!(table.insert(&3, &[3; 16]), Ok(None), "the dead one's claim is taken");
}

#[test]
fn processes_that_are_killed_at_random_leave_counters_that_add_up() {
    let ground = Ground::new::<Table<u64, Wide>>(&TableOptions::new(20).seed(9));
    let table = ground.attach::<Table<u64, Wide>>();
    for round in 0..20 {
        let work = || {
            let table = ground.attach::<Table<u64, Wide>>();
            for turn in 0u64.. {
                table.update(&(turn % 5), |it| Some(it.map_or([1; 3], |it| it.map(|one| one + 1)))).unwrap();
                table.insert(&(10 + turn % 30), &[turn; 3]).unwrap();
                table.remove(&(10 + (turn + 15) % 30)).unwrap();
            }
        };
        let children = [Child::fork(work), Child::fork(work)];
        let count = || (0..5).filter_map(|key| table.get(&key).unwrap()).map(|it| it[0]).sum::<u64>();
        let before = count();
        while count() < before + 500 + round * 37 {
            assert!(table.iter().unwrap().all(|(_, value)| value == [value[0]; 3]));
        }
        for child in children {
            child.kill();
            assert_eq!(child.wait(), End::Killed(9));
        }
        table.insert(&99, &[round; 3]).unwrap();
        assert_counted(&table);
        entries(&table);
    }
}

#[test]
fn rooms_and_measures_that_do_not_fit_are_refused() {
    let ground = Ground::new::<Table<u64, u64>>(&TableOptions::new(100));
    assert_eq!(Table::<u32, u64>::attach(&ground.site()).unwrap_err().kind(), ErrorKind::Damaged);
    assert_eq!(Table::<u64, Wide>::attach(&ground.site()).unwrap_err().kind(), ErrorKind::Damaged);
    let good = ground.site().parameters();
    for index in [0, 1, 2, 3] {
        for number in [0, 3, 1 << 20, 1 << 47, 1 << 63, u64::MAX] {
            let mut parameters = good;
            if (index, number) == (0, 3) {
                // Fewer groups than were planned do fit.
                continue;
            }
            parameters[index] = number;
            let site = ground.site_with(parameters);
            assert!(Table::<u64, u64>::attach(&site).is_err(), "{parameters:?}");
            let _figures = inspect(&site);
        }
    }
    for options in [TableOptions::new(0), TableOptions::new(usize::MAX)] {
        assert!(Table::<u64, u64>::plan(&options).is_err());
    }
    assert!(Table::<[u8], u64>::plan(&TableOptions::new(1).key_bytes(usize::MAX)).is_err());
}

#[test]
fn scribbled_words_are_never_a_panic_and_the_table_can_be_used_on() {
    for seed in 1u64..40 {
        let ground = Ground::new::<Table<[u8], Wide>>(&TableOptions::new(20).key_bytes(16).seed(seed));
        let table = ground.attach::<Table<[u8], Wide>>();
        for key in 0..40u8 {
            table.insert(&[key], &[1; 3]).unwrap();
        }
        let noise = |index: usize| (index as u64 + 1).wrapping_mul(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15));
        ground.scribble(|index| {
            (noise(index) >> 60 != 0 || seed % 3 == 0).then(|| noise(index) ^ noise(index) >> 31)
        });
        let _figures = inspect(&ground.site()).unwrap();
        let _count = table.iter().unwrap().count();
        for key in 0..60u8 {
            let _answers = (table.get(&[key]), table.insert(&[key], &[2; 3]), table.remove(&[key]));
        }
        for (key, _) in table.iter().unwrap() {
            let _answer = table.remove(&key);
        }
        assert_eq!(table.insert(b"goes on", &[3; 3]), Ok(None));
        assert_eq!(table.get(b"goes on"), Ok(Some([3; 3])));
    }
}

#[test]
fn a_forked_child_is_told_to_attach() {
    let table = Ground::new::<Table<u64, u64>>(&TableOptions::new(10)).attach::<Table<u64, u64>>();
    let child = Child::fork(|| {
        assert!(table.get(&1).is_err() && table.iter().is_err());
        assert!(matches!(table.insert(&1, &1), Err(TableError::Fault(_))));
    });
    assert_eq!(child.wait(), End::Exited(0));
}

#[test]
fn inspection_tells_who_died_writing() {
    let ground = Ground::new::<Table<u64, u64>>(&TableOptions::new(10));
    ground.attach::<Table<u64, u64>>().insert(&1, &1).unwrap();
    let child = Child::fork(|| {
        let table = ground.attach::<Table<u64, u64>>();
        std::mem::forget(Held::take::<u64>(&table.store, 0).unwrap());
    });
    assert_eq!(child.wait(), End::Exited(0));
    let figures = inspect(&ground.site()).unwrap();
    assert_eq!(figures[0], Figure::number("entries", 1));
    assert!(figures.iter().any(|it| it.name == "died writing"), "{figures:?}");
}

mod deaths {
    use mapwright_core::peer::points;

    use super::*;
    use crate::testing::at_every_point;

    /// Forty entries in 56 slots, so that buckets are passed.
    fn ground<V: Plain + fmt::Debug>(value: impl Fn(u64) -> V) -> Ground {
        let ground = Ground::new::<Table<u64, V>>(&TableOptions::new(20).seed(11));
        let table = ground.attach::<Table<u64, V>>();
        for key in 0..48 {
            table.insert(&key, &value(key)).unwrap();
        }
        assert!(table.store.buckets.iter().any(|it| it.load(Ordering::Relaxed) >> 56 > 0));
        ground
    }

    /// Inserts a key, changes two, removes two; `done` is told after each.
    fn operate<V: Plain + Ord + fmt::Debug>(ground: &Ground, value: impl Fn(u64) -> V, arm: impl Fn()) {
        let table = ground.attach::<Table<u64, V>>();
        arm();
        table.insert(&100, &value(100)).unwrap();
        table.insert(&1, &value(1001)).unwrap();
        assert_eq!(table.compare_exchange(&1, Some(&value(1001)), Some(&value(1002))), Ok(Ok(())));
        assert_eq!(table.remove(&2), Ok(Some(value(2))));
        assert_eq!(table.update(&3, |_| None), Ok(None));
        table.update(&101, |_| Some(value(101))).unwrap();
    }

    /// Every state that lies between two of the steps, and no other.
    fn states<V: Plain + Ord + fmt::Debug>(value: impl Fn(u64) -> V) -> Vec<Vec<(u64, V)>> {
        let mut model: std::collections::BTreeMap<u64, V> = (0..48).map(|key| (key, value(key))).collect();
        let mut states = vec![model.clone()];
        let steps =
            [(100, Some(100)), (1, Some(1001)), (1, Some(1002)), (2, None), (3, None), (101, Some(101))];
        for (key, number) in steps {
            match number {
                Some(number) => model.insert(key, value(number)),
                None => model.remove(&key),
            };
            states.push(model.clone());
        }
        states.into_iter().map(|state| state.into_iter().collect()).collect()
    }

    fn survives<V: Plain + Ord + fmt::Debug>(ground: &Ground, value: impl Fn(u64) -> V) {
        let table = ground.attach::<Table<u64, V>>();
        // First as a reader finds it, who waits for nobody and repairs nothing.
        let mut found: Vec<_> = table.iter().unwrap().collect();
        found.sort_unstable();
        assert!(states(&value).contains(&found), "{found:?}");
        for (key, value) in &found {
            assert_eq!(table.get(key), Ok(Some(*value)));
        }
        // Then a writer takes over.
        let key = 200;
        assert_eq!(table.insert(&key, &value(key)), Ok(None));
        assert_eq!(table.len(), found.len() + 1);
        assert_counted(&table);
        assert_eq!(entries(&table).len(), found.len() + 1);
        for (key, _) in entries(&table) {
            assert!(table.remove(&key).unwrap().is_some());
        }
        assert!(table.store.buckets.iter().all(|it| it.load(Ordering::Relaxed) == 0), "a trace was left");
        for key in 0..56 {
            assert_eq!(table.insert(&key, &value(key)), Ok(None), "every slot can be used");
        }
    }

    fn wide(number: u64) -> Wide {
        [number; 3]
    }

    #[test]
    fn a_change_is_whole_or_absent_at_whatever_step_its_maker_dies() {
        at_every_point(
            "table wide",
            || ground(wide),
            |it, arm| operate(it, wide, arm),
            |it, _| survives(it, wide),
        );
        let one = |number: u64| number;
        at_every_point(
            "table word",
            || ground(one),
            |it, arm| operate(it, one, arm),
            |it, _| survives(it, one),
        );
    }

    #[test]
    fn whoever_takes_over_from_a_dead_one_may_die_at_any_step_too() {
        let mut first = 1;
        loop {
            let die = || {
                let ground = ground(wide);
                let end = Child::fork(|| operate(&ground, wide, || points::arm(first))).wait();
                (ground, end)
            };
            if die().1 == End::Exited(0) {
                break;
            }
            let take_over = |ground: &Ground, arm: &dyn Fn()| {
                let table = ground.attach::<Table<u64, Wide>>();
                arm();
                drop(Held::take::<u64>(&table.store, 0));
            };
            at_every_point("table takeover", || die().0, take_over, |it, _| survives(it, wide));
            first += 1;
        }
        assert!(first > 10);
    }
}
