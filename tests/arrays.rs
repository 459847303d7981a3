//! Arrays in circumstances: elements aligned to more than a page, and a forked child beside its parent.
//! (Kills, truncations, full disks and mistakes have places of their own.)

use crate::support::process::{self, Ended, Parent};
use crate::support::suite::{role, suite};
use crate::support::{fork, scratch};
use mapwright::zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};
use mapwright::{ErrorKind, MapVecOptions, Plain};

suite!(
    tests: [
        elements_aligned_to_more_than_a_page_are_kept,
        forked_child_reads_and_drops_an_array_and_writes_nothing,
    ],
    roles: [fork_beside_an_array],
);

/// Both forms of file.
fn forms() -> [MapVecOptions; 2] {
    [MapVecOptions::new(), MapVecOptions::new().headerless()]
}

/// Twice the kernel's page, and aligned to that: neither the header nor the map are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout, Plain)]
#[zerocopy(crate = "mapwright::zerocopy")]
#[repr(C, align(8192))]
struct Vast {
    words: [u64; 1024],
}

/// A number whose 16 bytes are aligned as no word of a map has to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout, Plain)]
#[zerocopy(crate = "mapwright::zerocopy")]
#[repr(C, align(64))]
struct Line {
    words: [u64; 8],
}

fn elements_aligned_to_more_than_a_page_are_kept() {
    let vast =
        |number: u64| Vast { words: std::array::from_fn(|at| number << 32 | u64::try_from(at).unwrap()) };
    let line = |number: u64| Line { words: [number; 8] };
    for options in forms() {
        let folder = scratch::folder();
        let (vasts, lines) = (folder.path().join("vasts"), folder.path().join("lines"));
        let mut array = options.create::<Vast>(&vasts).unwrap();
        let mut small = options.create::<Line>(&lines).unwrap();
        for number in (0..100).rev() {
            array.push(vast(number)).unwrap();
            small.push(line(number)).unwrap();
        }
        array.set(3, vast(777)).unwrap();
        array.sort_by_key(|vast| vast.words[0]).unwrap();
        small.sort_by_key(|line| line.words[0]).unwrap();
        array.extend_from_slice(&[vast(778); 40]).unwrap();
        array.close().unwrap();
        small.close().unwrap();
        let array = options.open::<Vast>(&vasts).unwrap();
        assert_eq!(array.len(), 140);
        let expected: Vec<u64> = (0..100).filter(|&number| number != 96).chain([777]).collect();
        assert_eq!(array.to_vec(..100).unwrap(), expected.into_iter().map(vast).collect::<Vec<_>>());
        assert!(array.iter().skip(100).all(|element| element.unwrap() == vast(778)));
        assert_eq!(array.get(139).unwrap(), vast(778));
        let small = options.open_read_only::<Line>(&lines).unwrap();
        let found = small.binary_search_by_key(&42, |line| line.words[0]).unwrap();
        assert_eq!((found, small.get(42).unwrap()), (Ok(42), line(42)));
    }
}

/// The parent has an array with elements in the file and some that wait; a child does everything to it.
fn fork_beside_an_array(_parent: &mut Parent) {
    const WRITTEN: u64 = 50_000;
    const WAITING: u64 = 1_000;
    for options in forms() {
        let folder = scratch::folder();
        let path = folder.path().join("array");
        let mut array = options.create::<u64>(&path).unwrap();
        array.extend(0..WRITTEN).unwrap();
        array.spill().unwrap();
        array.extend(WRITTEN..WRITTEN + WAITING).unwrap();
        let before = std::fs::read(&path).unwrap();
        let mut inherited = Some(array);
        let in_child = fork::run(|| {
            let mut array = inherited.take().unwrap();
            assert!(
                array.iter().map(Result::unwrap).eq(0..WRITTEN + WAITING),
                "it reads what its parent had"
            );
            let refused = [
                ("set", array.set(5, 1)),
                ("set what waits", array.set(50_500, 1)),
                ("copy_from", array.copy_from(5, &[1, 2])),
                ("append", array.extend_from_slice(&vec![1; 100_000])),
                ("truncate", array.truncate(10)),
                ("clear", array.clear()),
                ("sort", array.sort()),
                ("spill", array.spill()),
                ("flush", array.flush()),
            ];
            for (name, result) in refused {
                let error = result.expect_err(name);
                assert_eq!(error.kind(), ErrorKind::InvalidInput, "{name}: {error}");
                assert!(error.to_string().contains("open it again here"), "{name}: {error}");
            }
            // It can be read through a handle of its own, while the parent's lock stands.
            let own = options.open_read_only::<u64>(&path).unwrap();
            assert!(own.iter().map(Result::unwrap).eq(0..WRITTEN));
            assert_eq!(options.open::<u64>(&path).unwrap_err().kind(), ErrorKind::Busy);
            // The waiting elements are the parent's to write.
            drop(array);
        });
        assert_eq!(in_child, Ended::Exit(0));
        assert!(std::fs::read(&path).unwrap() == before, "the child wrote into its parent's file");

        let in_child = fork::run(|| {
            let error = inherited.take().unwrap().close().unwrap_err();
            assert_eq!(error.kind(), ErrorKind::InvalidInput, "{error}");
        });
        assert_eq!(in_child, Ended::Exit(0));
        assert!(std::fs::read(&path).unwrap() == before, "the child wrote into its parent's file");

        // Neither the lock nor the map nor the count have suffered.
        let mut array = inherited.take().unwrap();
        assert_eq!(options.open::<u64>(&path).unwrap_err().kind(), ErrorKind::Busy);
        array.set(5, 555).unwrap();
        array.push(u64::MAX).unwrap();
        array.flush().unwrap();
        array.close().unwrap();
        let array = options.open::<u64>(&path).unwrap();
        let end = usize::try_from(WRITTEN + WAITING).unwrap();
        assert_eq!((array.len(), array.get(5).unwrap(), array.get(end).unwrap()), (end + 1, 555, u64::MAX));
    }
}

fn forked_child_reads_and_drops_an_array_and_writes_nothing() {
    process::run(role!(fork_beside_an_array), &[]).assert_ok();
}
