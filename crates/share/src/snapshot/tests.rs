//! States and answers of snapshots; deaths at every step; real processes.

use std::sync::atomic::{AtomicBool, Ordering as Order};
use std::time::Duration;

use mapwright_core::ErrorKind;
use mapwright_core::peer::Deadline;
use mapwright_core::peer::points::{Child, End};

use super::*;
use crate::figure::Value;
use crate::testing::Ground;

type Numbers = [u64; 5];

fn ground() -> Ground {
    Ground::new::<Snapshot<Numbers>>(&SnapshotOptions::new([1; 5]))
}

fn soon() -> Deadline {
    Deadline::after(Duration::from_secs(60))
}

#[test]
fn one_who_sleeps_until_a_change_is_not_left_asleep_by_a_writer_that_dies_before_it_rings() {
    crate::testing::at_every_point(
        "publish to one who sleeps",
        || {
            let ground = ground();
            let snapshot = ground.attach::<Snapshot<Numbers>>();
            let waiting = std::thread::spawn(move || snapshot.changed(0));
            (ground, std::cell::Cell::new(Some(waiting)))
        },
        |(ground, _), arm| {
            let mut writer = ground.attach::<Snapshot<Numbers>>().writer().unwrap();
            arm();
            writer.publish(&[2; 5]).unwrap();
        },
        |(ground, waiting), _| {
            let snapshot = ground.attach::<Snapshot<Numbers>>();
            if snapshot.version() == 0 {
                snapshot.writer().unwrap().publish(&[3; 5]).unwrap();
            }
            assert_eq!(waiting.take().unwrap().join().unwrap(), Ok(1));
        },
    );
}

#[test]
fn the_latest_value_is_read_and_versions_count() {
    let ground = ground();
    let (here, there) = (ground.attach::<Snapshot<Numbers>>(), ground.attach::<Snapshot<Numbers>>());
    assert_eq!((there.read(), there.version()), (Ok([1; 5]), 0));
    let mut writer = here.writer().unwrap();
    for round in 1..20 {
        assert_eq!(writer.publish(&[round; 5]), Ok(round));
        assert_eq!((there.try_read(), there.version()), (Ok([round; 5]), round));
    }
    assert_eq!(writer.update(|value| value[4] = 77), Ok(20));
    let mut value = [0; 5];
    assert_eq!(there.read_into(&mut value), Ok(20));
    assert_eq!((value, writer.snapshot().version()), ([19, 19, 19, 19, 77], 20));
}

#[test]
fn pieces_make_up_the_value_whatever_its_size() {
    fn pieces<const LEN: usize>() -> Vec<usize> {
        let value: [u8; LEN] = std::array::from_fn(|at| u8::try_from(at % 251).unwrap());
        let ground = Ground::new::<Snapshot<[u8; LEN]>>(&SnapshotOptions::new(value));
        let found = ground.attach::<Snapshot<[u8; LEN]>>().fold_pieces(
            (Vec::new(), Vec::new()),
            |(mut lengths, mut bytes), piece| {
                lengths.push(piece.len());
                bytes.extend_from_slice(piece);
                (lengths, bytes)
            },
        );
        let (lengths, bytes) = found.unwrap();
        assert_eq!(bytes, value);
        lengths
    }
    assert_eq!(pieces::<1>(), [1]);
    assert_eq!(pieces::<4095>(), [4095]);
    assert_eq!(pieces::<4096>(), [4096]);
    assert_eq!(pieces::<4097>(), [4096, 1]);
    assert_eq!(pieces::<9001>(), [4096, 4096, 809]);
}

#[test]
fn a_fold_that_was_lapped_begins_anew() {
    type Large = [u64; 1000];
    let ground = Ground::new::<Snapshot<Large>>(&SnapshotOptions::new([0; 1000]));
    let snapshot = ground.attach::<Snapshot<Large>>();
    let mut writer = snapshot.writer().unwrap();
    let mut pieces = 0;
    let sum = snapshot.fold_pieces(0, |sum, piece| {
        pieces += 1;
        // As many values as there are cells, in the midst of the first look.
        if pieces == 1 {
            (1..=4).for_each(|round| assert_eq!(writer.publish(&[round; 1000]), Ok(round)));
        }
        sum + piece.iter().map(|&byte| u64::from(byte)).sum::<u64>()
    });
    assert_eq!((sum, pieces), (Ok(4000), 4));
}

#[test]
fn there_is_one_writer_until_it_leaves() {
    let ground = ground();
    let (one, two) = (ground.attach::<Snapshot<Numbers>>(), ground.attach::<Snapshot<Numbers>>());
    let writer = one.writer().unwrap();
    assert!(matches!(two.writer(), Err(WriterError::Taken(_))));
    assert!(matches!(one.clone().writer(), Err(WriterError::Taken(_))), "not twice in one process either");
    drop(writer);
    assert_eq!(two.writer().unwrap().publish(&[2; 5]), Ok(1));
    let writer = one.writer().unwrap();
    std::thread::scope(|scope| {
        let waits = scope.spawn(|| two.writer_until(soon()).map(|mut it| it.publish(&[3; 5])));
        drop(writer);
        assert_eq!(waits.join().unwrap().unwrap(), Ok(2));
    });
}

#[test]
fn a_panic_in_an_update_publishes_nothing_and_leaves_the_place() {
    let snapshot = ground().attach::<Snapshot<Numbers>>();
    let broken = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        let mut writer = snapshot.writer().unwrap();
        writer.update(|_| panic!("on purpose"))
    }));
    assert!(broken.is_err());
    assert_eq!((snapshot.read(), snapshot.version()), (Ok([1; 5]), 0));
    assert_eq!(snapshot.writer().unwrap().publish(&[2; 5]), Ok(1));
}

#[test]
fn a_reader_needs_nothing_but_a_mapping_for_reading() {
    let ground = ground();
    let reader = Snapshot::<Numbers>::attach(&ground.look()).unwrap();
    assert!(matches!(reader.writer(), Err(WriterError::ReadOnly)));
    assert_eq!(reader.changed_until(0, Deadline::now()), Err(SnapshotError::TimedOut));
    let snapshot = ground.attach::<Snapshot<Numbers>>();
    std::thread::scope(|scope| {
        let waits = scope.spawn(|| reader.changed_until(0, soon()));
        snapshot.writer().unwrap().publish(&[9; 5]).unwrap();
        assert_eq!(waits.join().unwrap(), Ok(1));
    });
    assert_eq!(reader.read(), Ok([9; 5]));
    assert_eq!(inspect(&ground.look()).unwrap()[0], Figure::number("version", 1));
}

#[test]
fn whoever_waits_for_a_change_is_woken_by_it() {
    let ground = ground();
    let (here, there) = (ground.attach::<Snapshot<Numbers>>(), ground.attach::<Snapshot<Numbers>>());
    assert_eq!(there.changed_until(0, Deadline::now()), Err(SnapshotError::TimedOut));
    std::thread::scope(|scope| {
        let waits = scope.spawn(|| {
            let mut version = 0;
            while version < 300 {
                version = there.changed(version).unwrap();
            }
            version
        });
        let mut writer = here.writer().unwrap();
        for round in 1..=300 {
            writer.publish(&[round; 5]).unwrap();
        }
        assert_eq!(waits.join().unwrap(), 300);
    });
}

#[test]
fn a_change_can_be_waited_for_among_other_things() {
    let ground = ground();
    let (here, there) = (ground.attach::<Snapshot<Numbers>>(), ground.attach::<Snapshot<Numbers>>());
    let looks = Snapshot::<Numbers>::attach(&ground.look()).unwrap();
    let (mut change, look) = (there.change_since(0), looks.change_since(0));
    assert_eq!(crate::wait_any(&[&change, &look], Deadline::now()).unwrap(), None);
    std::thread::scope(|scope| {
        scope.spawn(|| here.writer().unwrap().publish(&[2; 5]).unwrap());
        assert_eq!(crate::wait_any(&[&change], soon()).unwrap(), Some(0));
        assert_eq!(crate::wait_any(&[&look], soon()).unwrap(), Some(0));
    });
    assert_eq!(change.seen(), 1);
    assert_eq!(crate::wait_any(&[&change], Deadline::now()).unwrap(), None);
}

#[test]
fn bytes_have_any_length_up_to_the_planned_one() {
    let ground = Ground::new::<SnapshotBytes>(&SnapshotBytesOptions::new(1000).cells(3));
    let (here, there) = (ground.attach::<SnapshotBytes>(), ground.attach::<SnapshotBytes>());
    assert_eq!((there.read().unwrap(), there.max_bytes()), (Vec::new(), 1000));
    let mut writer = here.writer().unwrap();
    let mut buffer = Vec::new();
    for len in (0..40).chain([127, 128, 129, 999, 1000, 3]) {
        let bytes: Vec<u8> = (0..len).map(|index| u8::try_from((index + len) % 251).unwrap()).collect();
        let version = writer.publish(&bytes).unwrap();
        assert_eq!(there.try_read_into(&mut buffer), Ok(version));
        assert_eq!(buffer, bytes);
    }
    assert_eq!(writer.publish(&[0; 1001]), Err(SnapshotError::TooLarge));
    writer.update(|bytes| bytes.push(4)).unwrap();
    assert_eq!(there.read().unwrap(), [3, 4, 5, 4]);
}

#[test]
fn options_that_make_no_sense_and_rooms_that_do_not_fit_are_refused() {
    let plan = |cells| Snapshot::<u64>::plan(&SnapshotOptions::new(0).cells(cells));
    for cells in [0, 1, 2, usize::MAX] {
        assert_eq!(plan(cells).unwrap_err().kind(), ErrorKind::InvalidInput);
    }
    assert_eq!(plan(5).unwrap().parameters[0], 8);
    for max in [usize::MAX, usize::MAX / 2, isize::MAX as usize / 2] {
        assert!(SnapshotBytes::plan(&SnapshotBytesOptions::new(max)).is_err(), "{max}");
    }
    let ground = ground();
    assert_eq!(Snapshot::<u64>::attach(&ground.site()).unwrap_err().kind(), ErrorKind::Damaged);
    let larger = Ground::new::<SnapshotBytes>(&SnapshotBytesOptions::new(100));
    for parameters in [[4, 1 << 40, 0, 0, 0, 0], [4, u64::MAX, 0, 0, 0, 0], [6, 8, 0, 0, 0, 0], [0; 6]] {
        let site = larger.site_with(parameters);
        assert_eq!(SnapshotBytes::attach(&site).unwrap_err().kind(), ErrorKind::Damaged);
        assert!(inspect(&site).is_err());
    }
}

#[test]
fn scribbled_words_are_an_answer_and_the_next_publication_repairs_them() {
    let patterns: [fn(usize) -> u64; 4] = [
        |_| u64::MAX,
        |_| 0x0101_0101_0101_0101,
        |index| (index as u64).wrapping_mul(0x9E37_79B9_7F4A_7C15),
        |_| 1 << 63,
    ];
    for pattern in patterns {
        let ground = Ground::new::<SnapshotBytes>(&SnapshotBytesOptions::new(100));
        let snapshot = ground.attach::<SnapshotBytes>();
        ground.scribble(|index| Some(pattern(index)));
        let _read = snapshot.read().map(|bytes| assert!(bytes.len() <= 100));
        assert_ne!(snapshot.try_read_into(&mut Vec::new()), Err(SnapshotError::Lapped));
        let mut writer = snapshot.writer().expect("nobody who lives was named");
        let version = writer.publish(b"whole again").unwrap();
        assert_eq!((snapshot.read().unwrap(), snapshot.version()), (b"whole again".to_vec(), version));
    }
}

/// A value from which a torn copy can be told.
fn pattern(round: u64) -> [u64; 64] {
    std::array::from_fn(|index| round.wrapping_mul(0x9E37_79B9_7F4A_7C15) ^ index as u64)
}

#[test]
fn no_read_is_torn_and_none_goes_back_beside_a_busy_writer() {
    const READS: u32 = 100_000;
    let ground = Ground::new::<Snapshot<[u64; 64]>>(&SnapshotOptions::new(pattern(0)).cells(3));
    let done = AtomicBool::new(false);
    let snapshot = ground.attach::<Snapshot<[u64; 64]>>();
    let reader = Snapshot::<[u64; 64]>::attach(&ground.look()).unwrap();
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let mut writer = snapshot.writer().unwrap();
            let mut round = 1;
            while !done.load(Order::Relaxed) {
                assert_eq!(writer.publish(&pattern(round)), Ok(round));
                round += 1;
            }
        });
        let mut last = 0;
        let mut value = [0; 64];
        for _ in 0..READS {
            let version = reader.read_into(&mut value).unwrap();
            assert_eq!(value, pattern(version), "torn");
            assert!(version >= last, "{version} after {last}");
            last = version;
        }
        done.store(true, Order::Relaxed);
    });
}

#[test]
fn a_killed_writer_in_another_process_leaves_a_whole_value_and_its_place() {
    let ground = Ground::new::<Snapshot<[u64; 64]>>(&SnapshotOptions::new(pattern(0)));
    let snapshot = ground.attach::<Snapshot<[u64; 64]>>();
    for kill in 1..20 {
        let child = Child::fork(|| {
            let mut writer = ground.attach::<Snapshot<[u64; 64]>>().writer().unwrap();
            loop {
                let next = writer.snapshot().version() + 1;
                writer.publish(&pattern(next)).unwrap();
            }
        });
        let mut value = [0; 64];
        let before = snapshot.version();
        while snapshot.version() < before + kill * 17 {
            let version = snapshot.read_into(&mut value).unwrap();
            assert_eq!(value, pattern(version));
        }
        child.kill();
        assert_eq!(child.wait(), End::Killed(9));
        let version = snapshot.read_into(&mut value).unwrap();
        assert_eq!(value, pattern(version));
        let mut writer = snapshot.writer().expect("the dead one's place is free");
        assert_eq!(writer.publish(&pattern(version + 1)), Ok(version + 1));
    }
}

#[test]
fn a_forked_child_is_told_to_attach_and_does_not_leave_its_parents_place() {
    let snapshot = ground().attach::<Snapshot<Numbers>>();
    let mut writer = snapshot.writer().unwrap();
    let slot = std::cell::RefCell::new(Some(&mut writer));
    let child = Child::fork(|| {
        assert!(matches!(snapshot.read(), Err(SnapshotError::Fault(_))));
        let writer = slot.borrow_mut().take().unwrap();
        assert!(matches!(writer.publish(&[5; 5]), Err(SnapshotError::Fault(_))));
        drop(snapshot.clone());
    });
    assert_eq!(child.wait(), End::Exited(0));
    assert!(matches!(snapshot.writer(), Err(WriterError::Taken(_))));
    assert_eq!(writer.publish(&[6; 5]), Ok(1));
}

#[test]
fn inspection_names_the_writer_and_says_that_it_is_dead() {
    let ground = ground();
    let child = Child::fork(|| {
        std::mem::forget(ground.attach::<Snapshot<Numbers>>().writer().unwrap());
    });
    assert_eq!(child.wait(), End::Exited(0));
    let figures = inspect(&ground.site()).unwrap();
    assert!(figures.iter().any(|it| it.name == "writer" && matches!(it.value, Value::Who(_))));
    assert!(figures.contains(&Figure::text("writer is", "dead")), "{figures:?}");
}

mod deaths {
    use mapwright_core::peer::points;

    use super::*;
    use crate::testing::at_every_point;

    /// Claims, publishes and leaves.
    fn publish(ground: &Ground, value: u64, arm: impl Fn()) {
        let snapshot = ground.attach::<Snapshot<Numbers>>();
        arm();
        let mut writer = snapshot.writer().unwrap();
        writer.publish(&[value; 5]).unwrap();
        writer.update(|it| it.iter_mut().for_each(|number| *number += 100)).unwrap();
    }

    /// Whatever died, one whole value is there, and somebody else goes on.
    fn survives(ground: &Ground, allowed: &[u64]) {
        for look in [ground.look(), ground.site()] {
            let [first, rest @ ..] = Snapshot::<Numbers>::attach(&look).unwrap().try_read().unwrap();
            assert!(allowed.contains(&first) && rest == [first; 4], "{first} {rest:?}");
        }
        let snapshot = ground.attach::<Snapshot<Numbers>>();
        let before = snapshot.version();
        let mut writer = snapshot.writer().expect("nobody alive has it");
        for round in 1..10 {
            assert_eq!(writer.publish(&[round; 5]), Ok(before + round));
            assert_eq!(snapshot.try_read(), Ok([round; 5]));
        }
    }

    #[test]
    fn a_writer_that_dies_at_any_step_leaves_one_whole_value() {
        let operate = |ground: &Ground, arm: &dyn Fn()| publish(ground, 2, arm);
        at_every_point("snapshot publish", ground, operate, |ground, _| survives(ground, &[1, 2, 102]));
    }

    #[test]
    fn whoever_takes_over_from_a_dead_writer_may_die_at_any_step_too() {
        let mut first = 1;
        loop {
            let mut ended = false;
            let prepare = || {
                let ground = ground();
                let child = Child::fork(|| publish(&ground, 2, || points::arm(first)));
                (child.wait() == End::Exited(0), ground)
            };
            ended |= prepare().0;
            let operate = |(_, ground): &(bool, Ground), arm: &dyn Fn()| publish(ground, 3, arm);
            at_every_point("snapshot takeover", prepare, operate, |(_, ground), _| {
                survives(ground, &[1, 2, 102, 3, 103]);
            });
            if ended {
                break;
            }
            first += 1;
        }
    }

    #[test]
    fn one_who_dies_waiting_for_a_change_is_not_waited_for() {
        let prepare = || {
            let ground = ground();
            ground.attach::<Snapshot<Numbers>>().writer().unwrap().publish(&[2; 5]).unwrap();
            ground
        };
        let operate = |ground: &Ground, arm: &dyn Fn()| {
            let snapshot = ground.attach::<Snapshot<Numbers>>();
            arm();
            assert_eq!(
                snapshot.changed_until(1, Deadline::after(Duration::from_micros(1))),
                Err(SnapshotError::TimedOut)
            );
        };
        at_every_point("snapshot changed", prepare, operate, |ground, _| survives(ground, &[2]));
    }
}
