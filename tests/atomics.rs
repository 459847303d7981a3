//! Atomic operations on words of a map: the same values as the processor's own, at every width, and a fault
//! where the file was cut.

use crate::support::process::{self, Ended, Parent};
use crate::support::random::Random;
use crate::support::scratch;
use crate::support::suite::{role, suite};
use mapwright::{AtomicView, FaultKind, Map, MapOptions, ReadWrite};
use std::sync::atomic::Ordering::{self, SeqCst};
use std::sync::atomic::{AtomicU8, AtomicU16, AtomicU32, AtomicU64};

suite!(
    tests: [
        operations_give_what_the_standard_ones_give,
        threads_lose_no_operation,
        every_operation_on_a_truncated_file_is_a_fault,
        orderings_that_an_operation_does_not_have_are_refused,
    ],
    roles: [misuse_an_ordering],
);

/// One operation with an operand: on a mapped word, and on a standard one. Both return the value before.
struct Operation<W: mapwright::AtomicWord, S> {
    name: &'static str,
    ours: fn(&AtomicView<'_, W, ReadWrite>, W) -> Result<W, mapwright::Fault>,
    standard: fn(&S, W) -> W,
}

/// All operations of one width, and its interesting values.
macro_rules! operations {
    ($($table:ident: $word:ty, $standard:ty;)*) => {$(
        const $table: &[Operation<$word, $standard>] = &[
            Operation {
                name: "swap",
                ours: |word, value| word.swap(value),
                standard: |word, value| word.swap(value, SeqCst),
            },
            Operation {
                name: "fetch_add",
                ours: |word, value| word.fetch_add(value),
                standard: |word, value| word.fetch_add(value, SeqCst),
            },
            Operation {
                name: "fetch_sub",
                ours: |word, value| word.fetch_sub(value),
                standard: |word, value| word.fetch_sub(value, SeqCst),
            },
            Operation {
                name: "fetch_and",
                ours: |word, value| word.fetch_and(value),
                standard: |word, value| word.fetch_and(value, SeqCst),
            },
            Operation {
                name: "fetch_or",
                ours: |word, value| word.fetch_or(value),
                standard: |word, value| word.fetch_or(value, SeqCst),
            },
            Operation {
                name: "fetch_xor",
                ours: |word, value| word.fetch_xor(value),
                standard: |word, value| word.fetch_xor(value, SeqCst),
            },
            Operation {
                name: "fetch_max",
                ours: |word, value| word.fetch_max(value),
                standard: |word, value| word.fetch_max(value, SeqCst),
            },
            Operation {
                name: "fetch_min",
                ours: |word, value| word.fetch_min(value),
                standard: |word, value| word.fetch_min(value, SeqCst),
            },
            Operation {
                name: "fetch_update",
                ours: |word, value| word.fetch_update(|before| before.rotate_left(3) ^ value),
                standard: |word, value| {
                    let change = |before: $word| Some(before.rotate_left(3) ^ value);
                    word.fetch_update(SeqCst, SeqCst, change).unwrap()
                },
            },
            Operation {
                name: "compare_exchange, equal",
                ours: |word, value| {
                    let expected = word.load(Ordering::Relaxed)?;
                    word.compare_exchange(expected, value).map(|seen| seen.unwrap())
                },
                standard: |word, value| {
                    let expected = word.load(Ordering::Relaxed);
                    word.compare_exchange(expected, value, SeqCst, SeqCst).unwrap()
                },
            },
            Operation {
                name: "compare_exchange, other",
                ours: |word, value| {
                    let other = word.load(Ordering::Relaxed)?.wrapping_add(1);
                    word.compare_exchange(other, value).map(|seen| seen.unwrap_err())
                },
                standard: |word, value| {
                    let other = word.load(Ordering::Relaxed).wrapping_add(1);
                    word.compare_exchange(other, value, SeqCst, SeqCst).unwrap_err()
                },
            },
            Operation {
                name: "store",
                ours: |word, value| {
                    let before = word.load(Ordering::Acquire)?;
                    word.store(value, Ordering::Release)?;
                    Ok(before)
                },
                standard: |word, value| {
                    let before = word.load(Ordering::Acquire);
                    word.store(value, Ordering::Release);
                    before
                },
            },
            Operation {
                name: "store in one order",
                ours: |word, value| {
                    let before = word.load(SeqCst)?;
                    word.store(value, SeqCst)?;
                    Ok(before)
                },
                standard: |word, value| {
                    let before = word.load(SeqCst);
                    word.store(value, SeqCst);
                    before
                },
            },
        ];
    )*};
}

operations! {
    BYTES: u8, AtomicU8;
    SHORTS: u16, AtomicU16;
    WORDS: u32, AtomicU32;
    LONGS: u64, AtomicU64;
}

/// Applies every operation to every pair of interesting values, and to some at random, beside the standard
/// atomics. The words around the one in use keep what they hold.
macro_rules! compare {
    ($map:expr, $random:expr, $table:ident, $word:ty, $standard:ty) => {{
        const SIZE: usize = size_of::<$word>();
        const HIGH: $word = 1 << (<$word>::BITS - 1);
        let mut values = vec![0, 1, 2, HIGH - 1, HIGH, HIGH + 1, <$word>::MAX - 1, <$word>::MAX];
        values.extend(
            (0..8).map(|_| {
                <$word>::from_le_bytes(*$random.next().to_le_bytes().first_chunk::<SIZE>().unwrap())
            }),
        );
        let view = $map.view();
        let (at, mut count) = (4096 - SIZE, 0);
        for operation in $table {
            for &before in &values {
                for &operand in &values {
                    let what = format!("{} {before:#x} {operand:#x}", operation.name);
                    view.fill(at - SIZE..at + 2 * SIZE, 0xA5).unwrap();
                    view.store(at, before).unwrap();
                    let standard = <$standard>::new(before);
                    let word = view.atomic::<$word>(at).unwrap();
                    let returned = (operation.ours)(&word, operand).unwrap();
                    assert_eq!(returned, (operation.standard)(&standard, operand), "{what}");
                    assert_eq!(view.load::<$word>(at).unwrap(), standard.into_inner(), "{what}");
                    for beside in [at - SIZE, at + SIZE] {
                        assert_eq!(view.load::<[u8; SIZE]>(beside).unwrap(), [0xA5; SIZE], "{what}");
                    }
                    count += 1;
                }
            }
        }
        count
    }};
}

fn operations_give_what_the_standard_ones_give() {
    let folder = scratch::folder();
    let path = scratch::file(&folder, "words", &[0; 8192]);
    let mut random = Random::stream(0);
    let maps: [Map<ReadWrite>; 2] =
        [Map::open_mut(&path).unwrap(), MapOptions::new().shared_memory(8192).unwrap()];
    let mut count = 0;
    for map in &maps {
        count += compare!(map, random, BYTES, u8, AtomicU8);
        count += compare!(map, random, SHORTS, u16, AtomicU16);
        count += compare!(map, random, WORDS, u32, AtomicU32);
        count += compare!(map, random, LONGS, u64, AtomicU64);
    }
    println!("  {count} operations");
}

/// Two threads change the same words in ways whose order does not matter: an operation that was made twice,
/// or half, or got lost, shows.
fn threads_lose_no_operation() {
    const ROUNDS: u16 = 2_000;
    let map = MapOptions::new().shared_memory(4096).unwrap();
    let view = map.view();
    view.atomic::<u32>(12).unwrap().store(u32::MAX, SeqCst).unwrap();
    view.atomic::<u64>(32).unwrap().store(u64::MAX, SeqCst).unwrap();
    std::thread::scope(|scope| {
        for thread in 0..2u8 {
            scope.spawn(move || {
                for round in 0..ROUNDS {
                    let number = u64::from(round) * 2 + u64::from(thread);
                    let bit = 1 << (round % 16 + u16::from(thread) * 16);
                    let small_bit = 1 << (round % 4 + u16::from(thread) * 4);
                    view.atomic::<u16>(0).unwrap().fetch_sub(3).unwrap();
                    view.atomic::<u32>(4).unwrap().fetch_xor(bit).unwrap();
                    view.atomic::<u32>(12).unwrap().fetch_and(!bit).unwrap();
                    view.atomic::<u8>(16).unwrap().fetch_or(small_bit).unwrap();
                    view.atomic::<u64>(24).unwrap().fetch_max(number).unwrap();
                    view.atomic::<u64>(32).unwrap().fetch_min(number + 7).unwrap();
                    let sum = view.atomic::<u64>(40).unwrap();
                    sum.fetch_update(|before| before.wrapping_add(number)).unwrap();
                }
            });
        }
    });
    let rounds = u64::from(ROUNDS);
    assert_eq!(view.load::<u16>(0).unwrap(), 0u16.wrapping_sub(ROUNDS.wrapping_mul(6)));
    // Each bit was flipped 125 times.
    assert_eq!(view.load::<u32>(4).unwrap(), u32::MAX);
    assert_eq!(view.load::<u32>(12).unwrap(), 0);
    assert_eq!(view.load::<u8>(16).unwrap(), 0xFF);
    assert_eq!(view.load::<u64>(24).unwrap(), 2 * rounds - 1);
    assert_eq!(view.load::<u64>(32).unwrap(), 7);
    assert_eq!(view.load::<u64>(40).unwrap(), rounds * (2 * rounds - 1));
}

/// Every operation of one width on a word that the file does not have any more.
macro_rules! all_fault {
    ($map:expr, $table:ident, $word:ty) => {
        for operation in $table {
            for at in [4096, 8192 - size_of::<$word>()] {
                let word = $map.view().atomic::<$word>(at).unwrap();
                let fault = (operation.ours)(&word, 1).expect_err(operation.name);
                let what = format!("{} of {} bytes at {at}: {fault}", operation.name, size_of::<$word>());
                assert_eq!((fault.kind(), fault.offset()), (FaultKind::Truncated, at), "{what}");
            }
            let word = $map.view().atomic::<$word>(4096 - size_of::<$word>()).unwrap();
            (operation.ours)(&word, 1).expect(operation.name);
        }
    };
}

fn every_operation_on_a_truncated_file_is_a_fault() {
    let folder = scratch::folder();
    let path = scratch::file(&folder, "words", &[0; 8192]);
    let map = Map::open_mut(&path).unwrap();
    let file = std::fs::File::options().write(true).open(&path).unwrap();
    file.set_len(4096).unwrap();
    all_fault!(map, BYTES, u8);
    all_fault!(map, SHORTS, u16);
    all_fault!(map, WORDS, u32);
    all_fault!(map, LONGS, u64);
    assert_eq!(file.metadata().unwrap().len(), 4096);
    file.set_len(8192).unwrap();
    assert!(map.view().sub(4096..).unwrap().equals(&[0; 4096]).unwrap(), "a refused operation wrote");
}

/// A combination that makes no sense, by name.
fn misuse_an_ordering(parent: &mut Parent) {
    let map = MapOptions::new().shared_memory(8).unwrap();
    let word = map.view().atomic::<u32>(4).unwrap();
    match parent.arg(0) {
        "load Release" => drop(word.load(Ordering::Release)),
        "load AcqRel" => drop(word.load(Ordering::AcqRel)),
        "store Acquire" => drop(word.store(1, Ordering::Acquire)),
        "store AcqRel" => drop(word.store(1, Ordering::AcqRel)),
        other => parent.say(format!("what is {other:?}?")),
    }
}

fn orderings_that_an_operation_does_not_have_are_refused() {
    for (name, why) in [
        ("load Release", "a load has no release ordering"),
        ("load AcqRel", "a load has no release ordering"),
        ("store Acquire", "a store has no acquire ordering"),
        ("store AcqRel", "a store has no acquire ordering"),
    ] {
        let report = process::run(role!(misuse_an_ordering), &[name]);
        report.assert_ended(Ended::Exit(101));
        assert!(report.stderr.contains(why), "{name}: {report}");
    }
}
