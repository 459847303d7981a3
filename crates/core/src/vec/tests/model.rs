//! Random operations beside a `Vec`, with reopening in between.

use proptest::prelude::*;

use super::*;

#[derive(Clone, Debug)]
enum Step {
    Push(u64),
    Extend(usize),
    ExtendFromSlice(usize),
    Set(usize, u64),
    CopyFrom(usize, usize),
    Truncate(usize),
    Clear,
    Spill,
    Flush,
    Sort,
    SortUnstable,
    Reopen,
}

fn step() -> impl Strategy<Value = Step> {
    // Around the boundaries of the tail: 16,384 records.
    let count = prop_oneof![0usize..20, 16_380usize..16_390, 30_000usize..40_000];
    prop_oneof![
        4 => any::<u64>().prop_map(Step::Push),
        3 => count.clone().prop_map(Step::Extend),
        3 => count.clone().prop_map(Step::ExtendFromSlice),
        3 => (0usize..50_000, any::<u64>()).prop_map(|(index, value)| Step::Set(index, value)),
        3 => (0usize..50_000, count.clone()).prop_map(|(start, count)| Step::CopyFrom(start, count)),
        2 => (0usize..50_000).prop_map(Step::Truncate),
        1 => Just(Step::Clear),
        2 => Just(Step::Spill),
        1 => Just(Step::Flush),
        1 => Just(Step::Sort),
        1 => Just(Step::SortUnstable),
        3 => Just(Step::Reopen),
    ]
}

fn record(key: u64) -> Record {
    Record { key: key.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 58, serial: key }
}

fn records(from: usize, count: usize) -> Vec<Record> {
    (from..from + count).map(|key| record(crate::span::to_u64(key))).collect()
}

fn run(options: &MapVecOptions, steps: &[Step]) -> Result<(), TestCaseError> {
    let (_directory, path) = fresh_in_memory();
    let mut array = options.create::<Record>(&path).unwrap();
    let mut model: Vec<Record> = Vec::new();
    for step in steps {
        match *step {
            Step::Push(key) => {
                array.push(record(key)).unwrap();
                model.push(record(key));
            }
            Step::Extend(count) => {
                array.extend(records(model.len(), count)).unwrap();
                model.extend(records(model.len(), count));
            }
            Step::ExtendFromSlice(count) => {
                array.extend_from_slice(&records(model.len(), count)).unwrap();
                model.extend(records(model.len(), count));
            }
            Step::Set(index, key) => {
                let expected = model.get_mut(index).map(|slot| *slot = record(key));
                prop_assert_eq!(array.set(index, record(key)).ok(), expected);
            }
            Step::CopyFrom(start, count) => {
                let values = records(7, count);
                let expected =
                    model.get_mut(start..start + count).map(|slots| slots.copy_from_slice(&values));
                prop_assert_eq!(array.copy_from(start, &values).ok(), expected);
            }
            Step::Truncate(len) => {
                array.truncate(len).unwrap();
                model.truncate(len);
            }
            Step::Clear => {
                array.clear().unwrap();
                model.clear();
            }
            Step::Spill => array.spill().unwrap(),
            Step::Flush => {
                array.flush().unwrap();
                prop_assert_eq!(array.flushed_len(), model.len());
            }
            Step::Sort => {
                array.sort_by_key(|record| record.key).unwrap();
                model.sort_by_key(|record| record.key);
            }
            Step::SortUnstable => {
                array.sort_unstable_by_key(|record| (record.key, record.serial)).unwrap();
                model.sort_unstable_by_key(|record| (record.key, record.serial));
            }
            Step::Reopen => {
                array.close().unwrap();
                array = options.open::<Record>(&path).unwrap();
            }
        }
        prop_assert_eq!(array.len(), model.len());
        let last = array.len().checked_sub(1).map(|last| array.get(last).unwrap());
        prop_assert_eq!(last, model.last().copied());
    }
    prop_assert_eq!(&contents(&array), &model);
    prop_assert_eq!(&array.to_vec(..).unwrap(), &model);
    let (mut blocks, mut blockwise) = (array.blocks(1000), Vec::new());
    while let Some(block) = blocks.next_block() {
        blockwise.extend_from_slice(block.unwrap());
    }
    prop_assert_eq!(blockwise, model);
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    #[test]
    fn random_steps_agree_with_a_vector(
        steps in prop::collection::vec(step(), 1..30),
        headerless in any::<bool>(),
        // A page: every growth moves. 200 KiB of memory: most sorts go to the disk.
        small_reserve in any::<bool>(),
        small_memory in any::<bool>(),
    ) {
        let mut options = MapVecOptions::new();
        if headerless {
            options = options.headerless();
        }
        if small_reserve {
            options = options.reserve(4096);
        }
        if small_memory {
            options = options.sort_memory(200 << 10);
        }
        run(&options, &steps)?;
    }
}
