//! One access through a view, beside what the model says of it.

use std::io::Read;
use std::sync::atomic::Ordering;

use arbitrary::Arbitrary;
use mapwright_core::{Fault, FaultKind, Readable, View, Writable};

use crate::file_model::{FileModel, MapModel};

/// A way to read.
#[derive(Arbitrary, Clone, Copy, Debug)]
pub(crate) enum Look {
    Load { width: u8, at: u16 },
    LoadMany { at: [u16; 3] },
    Copy { at: u16, len: u16 },
    Compare { differ: Option<u16> },
    Find { at: u16, len: u8 },
    FindByte(u8),
    Chunks(u16),
    Cursor { at: u16 },
    Atomic { at: u16 },
}

/// A way to write.
#[derive(Arbitrary, Clone, Copy, Debug)]
pub(crate) enum Change {
    Store { width: u8, at: u16, seed: u8 },
    Copy { at: u16, len: u16, seed: u8 },
    Fill { at: u16, len: u16, byte: u8 },
    FetchAdd { at: u16, add: u8 },
    Exchange { at: u16, seed: u8 },
}

/// A window on a map, in the model: `base` bytes into the map, `len` bytes long.
pub(crate) struct Window<'a> {
    pub(crate) file: &'a mut FileModel,
    pub(crate) map: &'a mut MapModel,
    pub(crate) base: usize,
    pub(crate) len: usize,
}

/// Bytes that differ from place to place and from seed to seed.
fn pattern(seed: u8, len: usize) -> Vec<u8> {
    (0..len).map(|place| u8::try_from(place % 251).unwrap_or(0).wrapping_mul(7).wrapping_add(seed)).collect()
}

impl Window<'_> {
    /// Compares how an access ended with how it must end, and returns how many of its bytes were touched.
    fn settle(&self, at: usize, len: usize, result: Result<(), Fault>) -> usize {
        if at.checked_add(len).is_none_or(|end| end > self.len) {
            let kind = result.expect_err("an access beyond the view is refused").kind();
            assert_eq!(kind, FaultKind::OutOfBounds);
            return 0;
        }
        match self.map.first_fault(self.file, self.base + at, len) {
            None => {
                result.unwrap_or_else(|fault| panic!("{at}+{len} of {} can be touched: {fault:?}", self.len));
                len
            }
            Some(first) => {
                let fault = result.expect_err("what the file does not reach cannot be touched");
                assert_eq!(fault.kind(), FaultKind::Truncated, "{fault:?}");
                assert_eq!(fault.offset(), first - self.base, "{fault:?}, file of {}", self.file.len());
                assert_eq!(fault.file_offset(), (self.map.offset + first) as u64);
                first - self.base - at
            }
        }
    }

    /// Compares bytes that were read with the model's.
    fn agree(&self, at: usize, bytes: &[u8]) {
        for (place, &byte) in (at..).zip(bytes) {
            let known = self.map.get(self.file, self.base + place);
            assert!(known.is_none_or(|known| known == byte), "byte {place}: {byte} instead of {known:?}");
        }
    }

    /// All bytes of the window, if all can be touched and are known.
    fn all(&self) -> Option<Vec<u8>> {
        if self.map.first_fault(self.file, self.base, self.len).is_some() {
            return None;
        }
        (0..self.len).map(|place| self.map.get(self.file, self.base + place)).collect()
    }

    fn load<const N: usize>(&self, view: View<'_, impl Readable>, at: usize) {
        let result = view.load::<[u8; N]>(at);
        self.settle(at, N, result.map(|_| ()));
        if let Ok(bytes) = result {
            self.agree(at, &bytes);
        }
    }

    /// Reads, and compares.
    pub(crate) fn look(&self, view: View<'_, impl Readable>, look: Look) {
        assert_eq!(view.len(), self.len);
        match look {
            Look::Load { width, at } => match width % 7 {
                0 => self.load::<1>(view, at.into()),
                1 => self.load::<2>(view, at.into()),
                2 => self.load::<4>(view, at.into()),
                3 => self.load::<8>(view, at.into()),
                4 => self.load::<3>(view, at.into()),
                5 => self.load::<16>(view, at.into()),
                _ => self.load::<0>(view, at.into()),
            },
            Look::LoadMany { at } => self.load_many(view, at.map(usize::from)),
            Look::Copy { at, len } => {
                let mut bytes = vec![0; len.into()];
                let result = view.copy_to(at.into(), &mut bytes);
                let touched = self.settle(at.into(), len.into(), result);
                self.agree(at.into(), &bytes[..touched]);
            }
            Look::Compare { differ } => self.compare(view, differ),
            Look::Find { at, len } => self.find(view, at.into(), len.into()),
            Look::FindByte(byte) => {
                let found = view.find_byte(byte);
                if let Some(all) = self.all() {
                    assert_eq!(found, Ok(all.iter().position(|&it| it == byte)));
                }
            }
            Look::Chunks(size) => self.chunks(view, usize::from(size).max(1)),
            Look::Cursor { at } => {
                let mut cursor = view.cursor();
                cursor.set_position(at.into());
                let mut bytes = Vec::new();
                let read = cursor.read_to_end(&mut bytes);
                let start = usize::from(at).min(self.len);
                self.agree(start, &bytes);
                match self.map.first_fault(self.file, self.base + start, self.len - start) {
                    None => assert_eq!(
                        (read.expect("nothing is missing"), bytes.len()),
                        (bytes.len(), self.len - start)
                    ),
                    Some(_) => assert!(read.is_err()),
                }
            }
            Look::Atomic { at } => {
                let at = usize::from(at);
                if let Some(word) = self.aligned(at, view.atomic::<u64>(at)) {
                    let loaded = word.load(Ordering::Acquire);
                    if self.settle(at, 8, loaded.map(|_| ())) == 8 {
                        self.agree(at, &loaded.expect("as settled").to_ne_bytes());
                    }
                }
            }
        }
    }

    fn load_many(&self, view: View<'_, impl Readable>, at: [usize; 3]) {
        let mut out = [0u64; 3];
        let result = view.load_many(&at, &mut out);
        let highest = at.iter().max().copied().unwrap_or(0);
        if highest + 8 > self.len {
            assert_eq!(result.map_err(Fault::kind), Err(FaultKind::OutOfBounds));
            return;
        }
        let missing = at.iter().find(|&&at| self.map.first_fault(self.file, self.base + at, 8).is_some());
        match missing {
            // The first that cannot be had is the one that is reported.
            Some(&at) => drop(self.settle(at, 8, result)),
            None => {
                result.expect("all of them can be touched");
                at.iter().zip(out).for_each(|(&at, value)| self.agree(at, &value.to_ne_bytes()));
            }
        }
    }

    fn compare(&self, view: View<'_, impl Readable>, differ: Option<u16>) {
        let Some(mut all) = self.all() else {
            // Nobody knows the bytes; that they can be walked over is all that is asked.
            let _fault_or_vector = view.to_vec();
            return;
        };
        assert_eq!(view.to_vec().as_ref(), Ok(&all));
        if let Some(byte) = differ.and_then(|place| all.get_mut(usize::from(place))) {
            *byte = byte.wrapping_add(1);
            let now = all.clone();
            let same = self.all().expect("it was all known");
            assert_eq!(view.compare(&now), Ok(same.cmp(&now)));
            assert_eq!(view.equals(&now), Ok(false));
        } else {
            assert_eq!(view.equals(&all), Ok(true));
        }
    }

    fn find(&self, view: View<'_, impl Readable>, at: usize, len: usize) {
        let Some(all) = self.all() else {
            let _fault_or_place = view.find(&[0, 1]);
            return;
        };
        let start = at.min(all.len());
        let needle = &all[start..(start + len).min(all.len())];
        let wanted = (0..=all.len() - needle.len()).find(|&place| all[place..].starts_with(needle));
        assert_eq!(view.find(needle), Ok(wanted));
    }

    fn chunks(&self, view: View<'_, impl Readable>, size: usize) {
        let (mut chunks, mut at) = (view.chunks(size), 0);
        while let Some(chunk) = chunks.next_chunk() {
            let len = size.min(self.len - at);
            match chunk {
                Ok(bytes) => {
                    assert_eq!((bytes.len(), self.settle(at, len, Ok(()))), (len, len));
                    self.agree(at, bytes);
                }
                Err(fault) => drop(self.settle(at, len, Err(fault))),
            }
            at += len;
        }
        assert_eq!(at, self.len);
    }

    /// Checks the answer to asking for a word, which must lie in the view at a multiple of its size.
    fn aligned<W>(&self, at: usize, word: Result<W, Fault>) -> Option<W> {
        let wanted = if at + 8 > self.len {
            Some(FaultKind::OutOfBounds)
        } else if !(self.map.offset + self.base + at).is_multiple_of(8) {
            Some(FaultKind::Misaligned)
        } else {
            None
        };
        assert_eq!(word.as_ref().err().map(|fault| fault.kind()), wanted);
        word.ok()
    }

    fn store<const N: usize>(&mut self, view: View<'_, impl Writable>, at: usize, seed: u8) {
        let value: [u8; N] = pattern(seed, N).try_into().expect("N bytes");
        let touched = self.settle(at, N, view.store(at, value));
        self.map.store(self.file, self.base + at, &value[..touched]);
    }

    /// Writes, and notes it in the model.
    pub(crate) fn change(&mut self, view: View<'_, impl Writable>, change: Change) {
        match change {
            Change::Store { width, at, seed } => match width % 6 {
                0 => self.store::<1>(view, at.into(), seed),
                1 => self.store::<2>(view, at.into(), seed),
                2 => self.store::<4>(view, at.into(), seed),
                3 => self.store::<8>(view, at.into(), seed),
                4 => self.store::<3>(view, at.into(), seed),
                _ => self.store::<16>(view, at.into(), seed),
            },
            Change::Copy { at, len, seed } => {
                let bytes = pattern(seed, len.into());
                let touched = self.settle(at.into(), len.into(), view.copy_from(at.into(), &bytes));
                self.map.store(self.file, self.base + usize::from(at), &bytes[..touched]);
            }
            Change::Fill { at, len, byte } => {
                let (at, len) = (usize::from(at), usize::from(len));
                let touched = self.settle(at, len, view.fill(at..at + len, byte));
                self.map.store(self.file, self.base + at, &vec![byte; touched]);
            }
            Change::FetchAdd { at, add } => {
                let at = usize::from(at);
                let Some(word) = self.aligned(at, view.atomic::<u64>(at)) else { return };
                let before = word.fetch_add(add.into());
                if self.settle(at, 8, before.map(|_| ())) == 8 {
                    let before = before.expect("as settled");
                    self.agree(at, &before.to_ne_bytes());
                    let after = before.wrapping_add(add.into()).to_ne_bytes();
                    self.map.store(self.file, self.base + at, &after);
                }
            }
            Change::Exchange { at, seed } => {
                let at = usize::from(at);
                let Some(word) = self.aligned(at, view.atomic::<u64>(at)) else { return };
                let new = u64::from_ne_bytes(pattern(seed, 8).try_into().expect("8 bytes"));
                let before = word.swap(new);
                if self.settle(at, 8, before.map(|_| ())) == 8 {
                    self.agree(at, &before.expect("as settled").to_ne_bytes());
                    self.map.store(self.file, self.base + at, &new.to_ne_bytes());
                    assert_eq!(word.compare_exchange(new.wrapping_add(1), 0), Ok(Err(new)));
                }
            }
        }
    }
}
