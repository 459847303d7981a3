//! Files that claim to be arrays.
//!
//! An array is made, damaged, and sometimes given a checksum that fits again; or the file is noise. What
//! opening it must answer follows from the format as `docs/formats.md` states it, decoded here once more,
//! independently.

use std::fmt::Debug;
use std::fs;
use std::path::Path;

use arbitrary::Arbitrary;
use mapwright_core::zerocopy::FromZeros;
use mapwright_core::{ErrorKind, MapVec, MapVecOptions, Plain, Readable};

use crate::scratch::Scratch;

/// A file, and how it is opened.
#[derive(Arbitrary, Debug)]
pub struct Forgery {
    base: Base,
    damage: Vec<(u16, u8)>,
    /// Cuts the file, or makes it longer with zeros.
    len: Option<Length>,
    count: Option<Count>,
    is_summed_again: bool,
    element: Element,
    mode: Mode,
}

#[derive(Arbitrary, Debug)]
enum Base {
    Noise(Vec<u8>),
    Bytes { count: u8 },
    Words { count: u8 },
    Triples { count: u8 },
}

/// How long the file is: numbers beside the right one are where mistakes are.
#[derive(Arbitrary, Clone, Copy, Debug)]
enum Length {
    Of(u16),
    Beside(i8),
}

/// What the count says.
#[derive(Arbitrary, Debug)]
enum Count {
    /// Beside what the file has room for, with its check.
    Beside(i8),
    /// A number with the check that belongs to it.
    Checked(u64),
    Small(u16),
    Raw(u64),
}

#[derive(Arbitrary, Clone, Copy, Debug)]
enum Element {
    /// What the file was made with.
    TheSame,
    Byte,
    Word,
    Triple,
}

#[derive(Arbitrary, Clone, Copy, Debug)]
struct Mode {
    is_writer: bool,
    recovers: bool,
    is_headerless: bool,
}

const HEADER: usize = 4096;
const MAGIC: &[u8] = b"\x93MWVEC\r\n";

/// Makes the file, opens it, and compares.
pub fn check(forgery: &Forgery) {
    let scratch = Scratch::new();
    let path = scratch.path("array");
    let bytes = forgery.make(&path);
    fs::write(&path, &bytes).expect("room for a small file");
    let element = match forgery.element {
        Element::TheSame => forgery.base.element(),
        other => other,
    };
    match element {
        Element::TheSame | Element::Byte => open::<u8>(&scratch, &path, &bytes, forgery.mode),
        Element::Word => open::<u64>(&scratch, &path, &bytes, forgery.mode),
        Element::Triple => open::<[u8; 3]>(&scratch, &path, &bytes, forgery.mode),
    }
}

impl Base {
    /// What it is made with.
    fn element(&self) -> Element {
        match self {
            Self::Noise(_) | Self::Bytes { .. } => Element::Byte,
            Self::Words { .. } => Element::Word,
            Self::Triples { .. } => Element::Triple,
        }
    }
}

impl Forgery {
    /// The file's bytes.
    fn make(&self, path: &Path) -> Vec<u8> {
        let mut bytes = match &self.base {
            Base::Noise(noise) => noise.clone(),
            Base::Bytes { count } => array(path, (0..*count).collect()),
            Base::Words { count } => array(path, (0..*count).map(u64::from).collect()),
            Base::Triples { count } => array(path, (0..*count).map(|it| [it; 3]).collect()),
        };
        if let Some(len) = self.len {
            let len = match len {
                Length::Of(len) => len.into(),
                Length::Beside(change) => bytes.len().saturating_add_signed(change.into()),
            };
            bytes.resize(len, 0);
        }
        for &(place, change) in &self.damage {
            if let Some(byte) = bytes.get_mut(usize::from(place)) {
                *byte ^= change;
            }
        }
        let size = match self.base.element() {
            Element::TheSame | Element::Byte => 1,
            Element::Word => 8,
            Element::Triple => 3,
        };
        let held = u64::try_from(bytes.len().saturating_sub(HEADER) / size).expect("a small file");
        if let (Some(count), Some(word)) = (&self.count, bytes.get_mut(128..136)) {
            let count = match *count {
                Count::Beside(change) => checked(held.saturating_add_signed(change.into())),
                Count::Checked(number) => checked(number & NUMBER),
                Count::Small(number) => checked(number.into()),
                Count::Raw(word) => word,
            };
            word.copy_from_slice(&count.to_ne_bytes());
        }
        if self.is_summed_again && bytes.len() >= HEADER {
            let sum = sum_of(&bytes);
            bytes[120..128].copy_from_slice(&sum.to_ne_bytes());
        }
        bytes
    }
}

/// The bytes of a file that holds these elements.
fn array<T: Plain>(path: &Path, elements: Vec<T>) -> Vec<u8> {
    let mut array = MapVec::create(path).expect("a free path");
    array.extend_from_slice(&elements).expect("room for a small file");
    array.close().expect("room for a small file");
    let bytes = fs::read(path).expect("the file is there");
    fs::remove_file(path).expect("the file is there");
    bytes
}

fn open<T: Plain + Debug>(scratch: &Scratch, path: &Path, bytes: &[u8], mode: Mode) {
    let wanted = wanted::<T>(scratch, bytes, mode);
    let options = || {
        let options = MapVecOptions::new().reserve(1 << 20);
        let options = if mode.recovers { options.recover() } else { options };
        if mode.is_headerless { options.headerless() } else { options }
    };
    let first = if mode.is_headerless { 0 } else { HEADER };
    if mode.is_writer {
        let opened = options().open::<T>(path);
        assert_eq!(opened.as_ref().map(MapVec::len).map_err(|error| error.kind()), wanted);
        let Ok(mut array) = opened else {
            assert_eq!(fs::read(path).expect("the file is there"), bytes, "a refused file is left as it was");
            return;
        };
        compare(&array, &bytes[first..]);
        array.push(FromZeros::new_zeroed()).expect("room for a small file");
        array.close().expect("room for a small file");
        let again = options().open_read_only::<T>(path).expect("what was closed opens again");
        assert_eq!(again.len(), wanted.expect("it was opened") + 1);
        compare(&again, &fs::read(path).expect("the file is there")[first..]);
    } else {
        let opened = options().open_read_only::<T>(path);
        assert_eq!(opened.as_ref().map(MapVec::len).map_err(|error| error.kind()), wanted);
        if let Ok(array) = opened {
            compare(&array, &bytes[first..]);
        }
        assert_eq!(fs::read(path).expect("the file is there"), bytes, "a reader changes nothing");
    }
}

/// Compares all elements with the file's bytes.
fn compare<T: Plain + Debug, A: Readable>(array: &MapVec<T, A>, bytes: &[u8]) {
    let elements = array.to_vec(..).expect("the file has them");
    assert!(array.flushed_len() <= array.len());
    let size = size_of::<T>();
    for (element, bytes) in elements.iter().zip(bytes.chunks_exact(size)) {
        assert_eq!(element.as_bytes(), bytes);
    }
    assert!(bytes.len() / size >= elements.len());
    assert_eq!(array.get(array.len()).expect_err("there is no such element").kind(), ErrorKind::OutOfBounds);
}

/// What opening must answer, by the format.
fn wanted<T: Plain>(scratch: &Scratch, bytes: &[u8], mode: Mode) -> Result<usize, ErrorKind> {
    let size = size_of::<T>();
    if mode.is_headerless {
        let is_whole = bytes.len().is_multiple_of(size);
        return if is_whole || mode.recovers { Ok(bytes.len() / size) } else { Err(ErrorKind::Damaged) };
    }
    let number = |at: usize| u64::from_ne_bytes(bytes[at..at + 8].try_into().expect("8 bytes"));
    let half = |at: usize| u32::from_ne_bytes(bytes[at..at + 4].try_into().expect("4 bytes"));
    if bytes.len() < HEADER || &bytes[..8] != MAGIC {
        return Err(ErrorKind::Damaged);
    }
    match (half(8), half(12)) {
        (0x0102_0304, 1) => {}
        (0x0102_0304, _) | (0x0403_0201, _) => return Err(ErrorKind::Unsupported),
        _ => return Err(ErrorKind::Damaged),
    }
    if number(120) != sum_of(bytes) {
        return Err(ErrorKind::Damaged);
    }
    // Size, alignment and hash of the elements, as a fresh array has them.
    let fresh = array::<T>(&scratch.path("fresh"), Vec::new());
    if bytes[16..40] != fresh[16..40] {
        return Err(ErrorKind::TypeMismatch);
    }
    let held = (bytes.len() - HEADER) / size;
    let word = number(128);
    let count = (checked(word & NUMBER) == word).then(|| usize::try_from(word & NUMBER).expect("48 bits"));
    match count.filter(|&count| count <= held) {
        Some(count) => Ok(count),
        None if mode.recovers => Ok(held),
        None => Err(ErrorKind::Damaged),
    }
}

/// The bits of a count that are its number; the others are a CRC-16/CCITT of the number's six bytes.
const NUMBER: u64 = (1 << 48) - 1;

fn checked(number: u64) -> u64 {
    let bytes = number.to_be_bytes();
    let crc = bytes[2..].iter().fold(0xffff_u16, |crc, &byte| {
        (0..8).fold(crc ^ (u16::from(byte) << 8), |crc, _| {
            if crc & 0x8000 == 0 { crc << 1 } else { (crc << 1) ^ 0x1021 }
        })
    });
    number | u64::from(crc) << 48
}

/// FNV-1a of what the checksum covers.
fn sum_of(bytes: &[u8]) -> u64 {
    let covered = bytes[..120].iter().chain(&bytes[256..HEADER]);
    covered.fold(0xcbf2_9ce4_8422_2325, |sum, &byte| (sum ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3))
}
