//! Ranges that do not fit, given to every access: refused before anything is touched.

use crate::support::suite::suite;
use mapwright::{Fault, FaultKind, MapOptions, ReadWrite, Span, View};
use std::ops::Bound;

suite!(tests: [range_that_does_not_fit_is_refused_by_every_access], roles: []);

/// One access to `size` bytes at an offset.
type Access = fn(View<'_, ReadWrite>, usize, usize) -> Result<(), Fault>;

/// Those that take a size.
const SIZED: &[(&str, Access)] = &[
    ("copy_to", |view, at, size| view.copy_to(at, &mut vec![0; size])),
    ("copy_from", |view, at, size| view.copy_from(at, &vec![1; size])),
    ("write_bulk", |view, at, size| view.write_bulk(at, &vec![1; size])),
    ("sub", |view, at, size| view.sub((Bound::Included(at), end(at, size))).map(drop)),
    ("fill", |view, at, size| view.fill((Bound::Included(at), end(at, size)), 1)),
    ("gather", |view, at, size| match Span::new(at, size) {
        Some(span) => view.gather(&[span], &mut vec![0; size]),
        None => view.load::<u8>(at).map(drop),
    }),
    ("load_slice", |view, at, size| view.load_slice(at, &mut vec![0u8; size])),
    ("store_slice", |view, at, size| view.store_slice(at, &vec![1u8; size])),
];

/// Those of a fixed size.
const FIXED: &[(&str, usize, Access)] = &[
    ("load u8", 1, |view, at, _| view.load::<u8>(at).map(drop)),
    ("load u16", 2, |view, at, _| view.load::<u16>(at).map(drop)),
    ("load u32", 4, |view, at, _| view.load::<u32>(at).map(drop)),
    ("load u64", 8, |view, at, _| view.load::<u64>(at).map(drop)),
    ("load [u8; 24]", 24, |view, at, _| view.load::<[u8; 24]>(at).map(drop)),
    ("load_many u64", 8, |view, at, _| view.load_many(&[0, at], &mut [0u64; 2])),
    ("load_many u32", 4, |view, at, _| view.load_many(&[at, 0], &mut [0u32; 2])),
    ("load_many [u8; 3]", 3, |view, at, _| view.load_many(&[0, at], &mut [[0u8; 3]; 2])),
    ("store u8", 1, |view, at, _| view.store(at, 1u8)),
    ("store u16", 2, |view, at, _| view.store(at, 1u16)),
    ("store u32", 4, |view, at, _| view.store(at, 1u32)),
    ("store u64", 8, |view, at, _| view.store(at, 1u64)),
    ("store [u8; 24]", 24, |view, at, _| view.store(at, [1u8; 24])),
    ("atomic u64", 8, |view, at, _| view.atomic::<u64>(at).map(drop)),
    ("atomic u8", 1, |view, at, _| view.atomic::<u8>(at).map(drop)),
];

/// The end of a range as a bound, even where it overflows.
fn end(at: usize, size: usize) -> Bound<usize> {
    match at.checked_add(size) {
        Some(end) => Bound::Excluded(end),
        None => Bound::Included(usize::MAX),
    }
}

fn range_that_does_not_fit_is_refused_by_every_access() {
    const LENGTH: usize = 2 * 4096;
    // Behind the view there is more of the map: an access that went too far would be seen, and would not
    // fault.
    let map = MapOptions::new().shared_memory(LENGTH + 2 * 4096).unwrap();
    let view = map.view().sub(..LENGTH).unwrap();
    for (name, access) in SIZED {
        for (at, size) in [
            (LENGTH, 1),
            (LENGTH - 1, 2),
            (0, LENGTH + 1),
            (LENGTH + 1, 0),
            (usize::MAX, 1),
            (usize::MAX - 7, 8),
        ] {
            refused(name, access(view, at, size), at);
        }
        access(view, LENGTH, 0).unwrap_or_else(|fault| panic!("{name}: nothing at the end: {fault}"));
    }
    for (name, size, access) in FIXED {
        for at in [LENGTH - size + 1, LENGTH, LENGTH + 4096, usize::MAX - size + 1, usize::MAX] {
            refused(name, access(view, at, 0), at);
        }
    }
    assert!(map.view().equals(&[0; LENGTH + 2 * 4096]).unwrap(), "a refused access wrote something");
}

#[track_caller]
fn refused(name: &str, result: Result<(), Fault>, at: usize) {
    let fault = result.expect_err(name);
    assert_eq!(fault.kind(), FaultKind::OutOfBounds, "{name} at {at}: {fault}");
}
