//! States and answers of logs; a model; deaths at every step; real processes.

use std::time::Duration;

use mapwright_core::ErrorKind;
use mapwright_core::peer::Deadline;
use mapwright_core::peer::points::{Child, End};
use proptest::prelude::*;

use super::*;
use crate::testing::Ground;
use crate::waiting::{Waitable, wait_any};

fn ground(bytes: usize) -> Ground {
    Ground::new::<Log>(&LogOptions::new(bytes))
}

fn soon() -> Deadline {
    Deadline::after(Duration::from_secs(60))
}

/// Every record from the beginning on.
fn records(log: &Log) -> Vec<Vec<u8>> {
    let mut reader = log.read_from(0);
    let mut records = Vec::new();
    loop {
        match reader.try_next() {
            Ok(record) => records.push(record.bytes),
            Err(LogError::Empty | LogError::End) => return records,
            Err(error) => panic!("{error}"),
        }
    }
}

#[test]
fn records_are_read_in_order_by_everybody_from_any_position() {
    let ground = ground(1000);
    let (here, there) = (ground.attach::<Log>(), ground.attach::<Log>());
    let mut reader = there.read_from(0);
    assert_eq!((reader.try_next(), here.end(), here.capacity()), (Err(LogError::Empty), Ok(0), 1000));
    let first = here.append(b"first").unwrap();
    let second = there.append(b"").unwrap();
    let third = here.append(&[7; 100]).unwrap();
    assert_eq!((first, second, third, here.end()), (0, 16, 24, Ok(136)));
    assert_eq!(reader.try_next(), Ok(Record { position: 0, bytes: b"first".to_vec() }));
    assert_eq!(reader.position(), second);
    let mut again = here.read_from(reader.position());
    for reader in [&mut reader, &mut again] {
        assert_eq!(reader.next(), Ok(Record { position: second, bytes: Vec::new() }));
        assert_eq!(reader.next().unwrap().bytes, [7; 100]);
        assert_eq!(reader.next_until(Deadline::now()), Err(LogError::TimedOut));
    }
    assert_eq!(there.read_from(here.end().unwrap()).try_next(), Err(LogError::Empty));
}

#[test]
fn full_is_an_answer_and_so_is_the_end() {
    let log = ground(64).attach::<Log>();
    assert_eq!(log.append(&[0; 57]), Err(LogError::TooLarge));
    assert_eq!(log.append(&[1; 30]), Ok(0));
    assert_eq!(log.append(&[0; 17]), Err(LogError::Full));
    assert_eq!(log.append(&[2; 16]), Ok(40));
    assert_eq!((log.append(b""), log.end()), (Err(LogError::Full), Ok(64)));
    let mut reader = log.read_from(40);
    assert_eq!(reader.next().unwrap().bytes, [2; 16]);
    assert_eq!((reader.next(), reader.position()), (Err(LogError::End), 64));
    assert_eq!(ground(56 + 8).attach::<Log>().append(&[0; 56]), Ok(0), "as large as the room");
}

#[test]
fn positions_where_nothing_begins_are_refused_or_nonsense_but_never_a_panic() {
    let log = ground(512).attach::<Log>();
    log.append(&[0xff; 200]).unwrap();
    for position in (0..600).chain([1 << 40, 1 << 63, u64::MAX - 7, u64::MAX]) {
        let mut reader = log.read_from(position);
        let answer = reader.try_next();
        if position % 8 != 0 || position > 512 {
            assert_eq!(answer, Err(LogError::Damaged), "{position}");
        } else {
            assert!(reader.position() <= 512, "{position}");
        }
    }
}

#[test]
fn whoever_waits_is_woken_by_the_next_record() {
    let ground = ground(100_000);
    let (here, there) = (ground.attach::<Log>(), ground.attach::<Log>());
    std::thread::scope(|scope| {
        let waits = scope.spawn(|| {
            let mut reader = there.read_from(0);
            (0..500u32).all(|number| reader.next_until(soon()).unwrap().bytes == number.to_ne_bytes())
        });
        for number in 0..500u32 {
            here.append(&number.to_ne_bytes()).unwrap();
        }
        assert!(waits.join().unwrap());
    });
    let reader = here.read_from(here.end().unwrap());
    assert_eq!(wait_any(&[&reader], Deadline::now()).unwrap(), None);
    std::thread::scope(|scope| {
        scope.spawn(|| there.append(b"now").unwrap());
        assert_eq!(wait_any(&[&reader], soon()).unwrap(), Some(0));
    });
}

#[test]
fn a_reader_needs_nothing_but_a_mapping_for_reading() {
    let ground = ground(1000);
    let looks = Log::attach(&ground.look()).unwrap();
    assert_eq!(looks.append(b"no"), Err(LogError::ReadOnly));
    let mut reader = looks.read_from(0);
    std::thread::scope(|scope| {
        let waits = scope.spawn(|| reader.next_until(soon()).map(|record| record.bytes));
        ground.attach::<Log>().append(b"yes").unwrap();
        assert_eq!(waits.join().unwrap(), Ok(b"yes".to_vec()));
    });
    assert_eq!(
        (looks.end(), inspect(&ground.look()).unwrap()[0].clone()),
        (Ok(16), Figure::number("records", 1))
    );
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_log_keeps_what_a_vector_keeps(lens in prop::collection::vec(0usize..120, 1..60)) {
        let ground = ground(2048);
        let logs = [ground.attach::<Log>(), ground.attach::<Log>()];
        let (mut model, mut used) = (Vec::new(), 0);
        for (index, len) in lens.into_iter().enumerate() {
            let bytes = vec![u8::try_from(index).unwrap(); len];
            let takes = len.next_multiple_of(8) + 8;
            if used + takes <= 2048 {
                prop_assert_eq!(logs[index % 2].append(&bytes), Ok(used as u64));
                used += takes;
                model.push(bytes);
            } else {
                prop_assert_eq!(logs[index % 2].append(&bytes), Err(LogError::Full));
            }
        }
        prop_assert_eq!(records(&logs[0]), model);
        prop_assert_eq!(logs[1].end(), Ok(used as u64));
    }
}

#[test]
fn many_appenders_lose_nothing_and_readers_agree() {
    const THREADS: u32 = 4;
    const EACH: u32 = 3_000;
    let ground = ground(usize::try_from(THREADS * EACH).unwrap() * 40);
    let log = ground.attach::<Log>();
    let seen = std::thread::scope(|scope| {
        for thread in 0..THREADS {
            let log = &log;
            scope.spawn(move || {
                for number in 0..EACH {
                    let len = usize::try_from(8 + number % 20).unwrap();
                    let mut bytes = vec![u8::try_from(number % 251).unwrap(); len];
                    bytes[..4].copy_from_slice(&thread.to_ne_bytes());
                    bytes[4..8].copy_from_slice(&number.to_ne_bytes());
                    log.append(&bytes).unwrap();
                }
            });
        }
        let mut reader = log.read_from(0);
        (0..THREADS * EACH).map(|_| reader.next_until(soon()).unwrap().bytes).collect::<Vec<_>>()
    });
    let mut next = [0; THREADS as usize];
    for bytes in &seen {
        let number = |at: usize| u32::from_ne_bytes(bytes[at..at + 4].try_into().unwrap());
        let (thread, number) = (usize::try_from(number(0)).unwrap(), number(4));
        assert_eq!(number, next[thread], "in the order of its thread");
        assert!(bytes[8..].iter().all(|&byte| u32::from(byte) == number % 251));
        next[thread] += 1;
    }
    assert_eq!(seen, records(&log));
}

#[test]
fn killed_appenders_leave_holes_that_readers_step_over() {
    for round in 0..20 {
        let ground = ground(1 << 26);
        let log = ground.attach::<Log>();
        let work = |name: u8| {
            let log = ground.attach::<Log>();
            while log.append(&[name; 5000]).is_ok() {}
        };
        let children = [Child::fork(|| work(1)), Child::fork(|| work(2))];
        let mut reader = log.read_from(0);
        let mut buffer = Vec::new();
        for _ in 0..50 + round * 7 {
            reader.next_into_until(&mut buffer, soon()).unwrap();
            assert_eq!(buffer, [buffer[0]; 5000]);
        }
        for child in children {
            child.kill();
            assert!(matches!(child.wait(), End::Killed(9) | End::Exited(0)), "killed, or the log was full");
        }
        while reader.try_next_into(&mut buffer).is_ok() {
            assert_eq!(buffer, [buffer[0]; 5000]);
        }
        let position = log.append(b"still here").unwrap();
        assert_eq!(reader.next(), Ok(Record { position, bytes: b"still here".to_vec() }));
        let figures = inspect(&ground.site()).unwrap();
        assert!(figures.contains(&Figure::number("being written", 0)), "{figures:?}");
    }
}

#[test]
fn rooms_that_do_not_fit_are_refused() {
    assert_eq!(Log::plan(&LogOptions::new(0)).unwrap_err().kind(), ErrorKind::InvalidInput);
    assert!(Log::plan(&LogOptions::new(usize::MAX)).is_err());
    let ground = ground(100);
    for words in [0, 1000, 1 << 60, u64::MAX] {
        let site = ground.site_with([words, 0, 0, 0, 0, 0]);
        assert_eq!(Log::attach(&site).unwrap_err().kind(), ErrorKind::Damaged);
        assert!(inspect(&site).is_err());
    }
}

#[test]
fn scribbled_words_are_never_a_panic_and_every_call_comes_back() {
    for seed in 0u64..60 {
        let ground = ground(1000);
        let log = ground.attach::<Log>();
        for _ in 0..5 {
            log.append(&[1; 50]).unwrap();
        }
        let noise =
            |index: usize| (index as u64 + 1).wrapping_mul((seed + 1).wrapping_mul(0x9E37_79B9_7F4A_7C15));
        ground.scribble(|index| (noise(index) >> 62 == 0).then(|| noise(index).rotate_left(11)));
        let _answers = (log.end(), log.append(b"more"), inspect(&ground.site()).unwrap());
        let mut reader = log.read_from(0);
        let reads = (0..).take_while(|_| reader.try_next().is_ok()).count();
        assert!(reads <= 125, "more records than words");
    }
}

#[test]
fn a_forked_child_is_told_to_attach() {
    let log = ground(100).attach::<Log>();
    let child = Child::fork(|| {
        assert!(matches!(log.append(b"no"), Err(LogError::Fault(_))));
        assert!(matches!(log.read_from(0).try_next(), Err(LogError::Fault(_))));
    });
    assert_eq!(child.wait(), End::Exited(0));
}

mod deaths {
    use mapwright_core::peer::points;

    use super::*;
    use crate::testing::at_every_point;

    fn prepared() -> Ground {
        let ground = ground(1000);
        ground.attach::<Log>().append(b"zero").unwrap();
        ground
    }

    /// Appends two records.
    fn operate(ground: &Ground, name: u8, arm: impl Fn()) {
        let log = ground.attach::<Log>();
        arm();
        log.append(&[name; 20]).unwrap();
        log.append(&[name; 33]).unwrap();
    }

    /// A reader gets over what was left, and so does an appender; every word is accounted for.
    fn survives(ground: &Ground, names: &[u8]) {
        let log = ground.attach::<Log>();
        let before = records(&log);
        let (zero, rest) = before.split_first().unwrap();
        assert_eq!(zero, b"zero");
        for name in names {
            let lens: Vec<_> = rest.iter().filter(|it| it.first() == Some(name)).map(Vec::len).collect();
            assert!([20, 33].starts_with(&lens), "{lens:?}");
        }
        assert!(rest.iter().all(|it| names.iter().any(|&name| it.iter().all(|&byte| byte == name))));
        let position = log.append(b"after").unwrap();
        assert_eq!(records(&log).len(), before.len() + 1);
        let figures = inspect(&ground.site()).unwrap();
        assert!(figures.contains(&Figure::number("records", before.len() as u64 + 1)), "{figures:?}");
        assert!(figures.contains(&Figure::number("being written", 0)), "{figures:?}");
        assert_eq!(log.end(), Ok(position + 16));
    }

    #[test]
    fn an_appender_that_dies_at_any_step_leaves_a_record_or_a_hole() {
        at_every_point("log append", prepared, |it, arm| operate(it, 1, arm), |it, _| survives(it, &[1]));
    }

    #[test]
    fn a_reader_is_ready_exactly_where_there_is_a_record_behind_the_holes() {
        at_every_point(
            "log append to one who asks",
            prepared,
            |it, arm| operate(it, 1, arm),
            |it, point| {
                let mut reader = it.attach::<Log>().read_from(0);
                loop {
                    let is_ready = reader.is_ready();
                    let next = reader.try_next();
                    assert_eq!(is_ready, next.is_ok(), "{point}: {next:?}");
                    if next.is_err() {
                        break;
                    }
                }
            },
        );
    }

    #[test]
    fn whoever_steps_over_a_hole_may_die_at_any_step_too() {
        let mut first = 1;
        loop {
            let die = || {
                let ground = prepared();
                let end = Child::fork(|| operate(&ground, 1, || points::arm(first))).wait();
                (ground, end)
            };
            if die().1 == End::Exited(0) {
                break;
            }
            let go_on = |ground: &Ground, arm: &dyn Fn()| {
                let log = ground.attach::<Log>();
                arm();
                records(&log);
                log.append(&[2; 20]).unwrap();
                records(&log);
                log.append(&[2; 33]).unwrap();
            };
            at_every_point("log takeover", || die().0, go_on, |it, _| survives(it, &[1, 2]));
            first += 1;
        }
        assert!(first > 10);
    }

    #[test]
    fn one_who_dies_waiting_for_a_record_is_not_waited_for() {
        let wait = |ground: &Ground, arm: &dyn Fn()| {
            let log = ground.attach::<Log>();
            arm();
            let mut reader = log.read_from(16);
            assert_eq!(reader.next_until(Deadline::after(Duration::from_micros(1))), Err(LogError::TimedOut));
        };
        at_every_point("log wait", prepared, wait, |it, _| survives(it, &[]));
    }
}
