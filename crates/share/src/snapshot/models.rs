//! The cells under a model checker.

use crate::orders::{explore, explore_with, meet};

use super::SnapshotError;
use super::cells::{Eyes, copy_to, model};

fn look(eyes: &Eyes) -> Result<(u64, u64), SnapshotError> {
    let mut value = [0; 16];
    let version = eyes.look(2, |words, _| copy_to(words, &mut value)).ok_or_else(|| eyes.why())?;
    let [one, two] = [&value[..8], &value[8..]].map(|half| u64::from_ne_bytes(half.try_into().unwrap()));
    assert_eq!(one, two, "torn");
    Ok((version, one))
}

fn bytes_of(number: u64) -> [u8; 16] {
    let mut bytes = [0; 16];
    bytes[..8].copy_from_slice(&number.to_ne_bytes());
    bytes[8..].copy_from_slice(&number.to_ne_bytes());
    bytes
}

#[test]
fn model_a_look_beside_a_writer_is_whole_or_lapped_and_never_goes_back() {
    explore_with(2, || {
        let (hand, eyes) = model(2, 16);
        let looking = eyes.clone();
        let write = move || (1..=3).for_each(|round| assert_eq!(hand.publish(&bytes_of(round)), Ok(round)));
        let read = move || {
            let mut last = 0;
            for _ in 0..2 {
                match look(&looking) {
                    Ok((version, value)) => {
                        assert_eq!(version, value);
                        assert!(version >= last);
                        last = version;
                    }
                    Err(error) => assert_eq!(error, SnapshotError::Lapped),
                }
            }
        };
        meet(write, read);
        assert_eq!(look(&eyes), Ok((3, 3)));
    });
}

#[test]
fn model_what_a_dead_writer_left_unpublished_is_never_seen() {
    explore(|| {
        let (hand, eyes) = model(4, 16);
        hand.publish(&bytes_of(1)).unwrap();
        hand.leave_unpublished(&bytes_of(77));
        let looking = eyes.clone();
        let ((), version) = meet(
            move || assert_eq!(hand.publish(&bytes_of(2)), Ok(2)),
            move || {
                let (version, value) = look(&looking).unwrap();
                assert_eq!(version, value);
                version
            },
        );
        assert!((1..=2).contains(&version));
        assert_eq!(look(&eyes), Ok((2, 2)));
    });
}
