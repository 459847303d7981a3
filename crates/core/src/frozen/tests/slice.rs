//! The slice itself: sharing, comparing, what it turns into.

use std::cmp::Ordering;
use std::collections::{BTreeSet, HashMap, HashSet};
use std::fs::File;

use proptest::prelude::*;

use super::{forked, pattern, store_unguarded};
use crate::{Frozen, FrozenBy, Map, Memory, RawFrozen};

fn kinds() -> [Frozen; 3] {
    let bytes = pattern(200_000);
    let mut memory = Memory::new(bytes.len()).unwrap();
    memory.copy_from_slice(&bytes);
    [Frozen::from(bytes.clone()), Frozen::copy_of(&bytes).unwrap(), memory.freeze()]
}

#[test]
fn sub_slices_outlive_their_parent() {
    let bytes = pattern(200_000);
    for frozen in kinds() {
        let part = frozen.slice(70_000..=70_002);
        let part_of_part = part.sub(1..).unwrap();
        let start = frozen.as_ptr();
        drop(frozen);
        drop(part);
        assert_eq!(part_of_part, bytes[70_001..70_003]);
        assert_eq!(part_of_part.as_ptr().addr(), start.addr() + 70_001);
    }
}

#[test]
fn origins_are_told() {
    let [vector, copy, memory] = kinds();
    assert_eq!(
        [vector.origin(), copy.origin(), memory.origin()],
        [FrozenBy::Memory, FrozenBy::Copy, FrozenBy::Memory]
    );
    assert_eq!(Frozen::copy_of(b"small").unwrap().origin(), FrozenBy::Copy);
    assert_eq!(FrozenBy::Seal.to_string(), "a write seal");
}

#[test]
fn empty_bytes_are_fine_everywhere() {
    let file = tempfile::tempfile().unwrap();
    let map = Map::of(&file).unwrap();
    let all = [
        Frozen::default(),
        Frozen::copy_of(&[]).unwrap(),
        Memory::new(0).unwrap().freeze(),
        Frozen::snapshot(&file, ..).unwrap(),
        Frozen::of(&file).unwrap(),
        map.snapshot(..).unwrap(),
        Frozen::copy_of(b"x").unwrap().slice(1..),
    ];
    for frozen in all {
        assert_eq!(frozen, *b"");
        assert_eq!(frozen.slice(..), frozen);
        assert!(frozen.sub(..1).is_err());
    }
}

#[test]
fn a_part_is_found_by_its_place_and_not_by_its_bytes() {
    let frozen = Frozen::copy_of(b"abcabc").unwrap();
    let (first, second) = frozen.split_at(3);
    assert_eq!(first, second);
    assert_eq!(frozen.slice_of(second).unwrap().as_ptr(), second.as_ptr());
    let elsewhere = first.to_vec();
    assert!(frozen.slice_of(&elsewhere).is_none());
    assert!(frozen.slice(..4).slice_of(second).is_none(), "it ends beyond the part");
    assert!(frozen.slice(1..).slice_of(first).is_none(), "it begins before the part");
}

#[test]
#[allow(
    clippy::mutable_key_type,
    reason = "what keeps the bytes counts its users; the bytes themselves never change"
)]
fn a_hash_map_is_searched_by_slice() {
    let map = HashMap::from([(Frozen::copy_of(b"key").unwrap(), 1)]);
    assert_eq!(map.get(&b"key"[..]), Some(&1));
    let sorted: BTreeSet<_> = [b"b", b"a", b"c"].map(|byte| Frozen::copy_of(byte).unwrap()).into();
    assert_eq!(sorted.iter().map(|frozen| frozen[0]).collect::<Vec<_>>(), b"abc");
    let set: HashSet<_> = kinds().into();
    assert_eq!(set.len(), 1, "equal bytes are one key, whatever keeps them");
}

#[test]
fn threads_share_the_bytes_and_the_last_lets_go() {
    let sums = kinds().map(|frozen| {
        let threads: Vec<_> = (0..4)
            .map(|part| {
                let part = frozen.slice(part * 50_000..(part + 1) * 50_000);
                std::thread::spawn(move || part.iter().map(|&byte| u64::from(byte)).sum::<u64>())
            })
            .collect();
        drop(frozen);
        threads.into_iter().map(|thread| thread.join().unwrap()).sum::<u64>()
    });
    assert_eq!(sums, [pattern(200_000).iter().map(|&byte| u64::from(byte)).sum(); 3]);
}

#[test]
fn raw_parts_cross_a_thread_and_come_back() {
    struct Parts(RawFrozen);
    // SAFETY: the parts are those of a Frozen, which is Send.
    unsafe impl Send for Parts {}
    let parts = Parts(Frozen::copy_of(b"across").unwrap().slice(2..).into_raw());
    let back = std::thread::spawn(move || {
        let whole = parts;
        // SAFETY: just made by into_raw, taken back once.
        unsafe { Frozen::from_raw(whole.0) }
    });
    assert_eq!(back.join().unwrap(), *b"ross");
}

#[test]
fn mapped_bytes_come_back_from_raw_in_a_forked_child_too() {
    let raw = kinds().map(Frozen::into_raw);
    let bytes = pattern(200_000);
    let read = |raw: &RawFrozen| {
        let raw = RawFrozen { start: raw.start, len: raw.len, owner: raw.owner };
        // SAFETY: made by into_raw; the child's address space is its own, so each process takes the parts
        // back once.
        unsafe { Frozen::from_raw(raw) }
    };
    let ended = forked(|| raw.iter().for_each(|raw| assert_eq!(read(raw), bytes)));
    assert!(ended.status.success(), "{ended:?}");
    raw.iter().for_each(|raw| assert_eq!(read(raw), bytes));
}

#[test]
fn a_stray_store_into_frozen_memory_ends_the_process() {
    let [_, _, memory] = kinds();
    for frozen in [memory, Frozen::copy_of(&pattern(4 << 20)).unwrap()] {
        let ended = forked(|| {
            // SAFETY: this child is to die of it.
            unsafe { store_unguarded(frozen.as_ptr(), 1) };
        });
        ended.died_of(libc::SIGSEGV);
    }
}

#[test]
fn lost_bytes_end_the_process_and_it_says_which() {
    let file = tempfile::NamedTempFile::new().unwrap();
    file.as_file().set_len(1 << 20).unwrap();
    let region = Map::of(file.as_file()).unwrap().into_region();
    // SAFETY: in truth the file can be shortened, which is what this test does; nobody writes it.
    let frozen = unsafe { Frozen::from_region(region, FrozenBy::Verity) };
    assert_eq!(frozen.populate(), Ok(()));
    let shortened: File = file.reopen().unwrap();
    shortened.set_len(4096).unwrap();
    let fault = frozen.slice(100..).populate().unwrap_err();
    assert_eq!((fault.kind(), fault.file_offset()), (crate::FaultKind::Truncated, 4096));
    let ended = forked(|| {
        std::hint::black_box(frozen[70_000]);
    });
    ended.died_of(libc::SIGBUS);
    let path = file.path().display();
    let line = format!(
        "mapwright: byte 70000 of \"{path}\" is lost under frozen bytes, which must not change \
         (the file ends before it); the process ends here\n"
    );
    assert!(ended.stderr.starts_with(&line), "{ended:?}");
}

#[cfg(feature = "bytes")]
#[test]
fn bytes_share_what_is_mapped() {
    for frozen in kinds() {
        let (start, part) = (frozen.as_ptr(), frozen.slice(1..));
        let bytes = bytes::Bytes::from(frozen);
        drop(part);
        assert_eq!(bytes.as_ptr(), start);
        assert_eq!(bytes.slice(5..9), pattern(9)[5..]);
    }
}

#[cfg(feature = "stable_deref")]
#[test]
fn bytes_stay_where_they_are_when_the_owner_moves() {
    fn address<T: stable_deref_trait::StableDeref<Target = [u8]>>(owner: T) -> (usize, Box<T>) {
        (owner.as_ptr().addr(), Box::new(owner))
    }
    fn clone_of<T: stable_deref_trait::CloneStableDeref<Target = [u8]>>(owner: &T) -> T {
        owner.clone()
    }
    for frozen in kinds() {
        let clone = clone_of(&frozen);
        let (before, boxed) = address(frozen);
        assert_eq!((boxed.as_ptr().addr(), clone.as_ptr().addr()), (before, before));
    }
    let (before, boxed) = address(Memory::new(10).unwrap());
    assert_eq!(boxed.as_ptr().addr(), before);
}

proptest! {
    #[test]
    fn frozen_bytes_behave_as_slices(
        left: Vec<u8>, right: Vec<u8>, start in 0usize..100, end in 0usize..100,
    ) {
        let [a, b] = [&left, &right].map(|bytes| Frozen::copy_of(bytes).unwrap());
        prop_assert_eq!(a == b, left == right);
        prop_assert_eq!(a.cmp(&b), left.cmp(&right));
        prop_assert_eq!(a.partial_cmp(&a.clone()), Some(Ordering::Equal));
        prop_assert_eq!(format!("{a:?}"), format!("{left:?}"));
        let part = a.sub(start..end).ok();
        prop_assert_eq!(part.as_deref(), left.get(start..end));
        prop_assert_eq!(a.scoped(<[u8]>::len), left.len());
        prop_assert!(a.into_iter().eq(&left));
    }
}
