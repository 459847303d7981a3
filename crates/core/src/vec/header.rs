//! The first page of an array's file: what the elements are, and how many.
//!
//! ```text
//!  offset                                                          checked by
//!     0  magic          8 bytes, not text, so that no text editor's file has it
//!     8  byte order     u32, 0x01020304 as the writer's processor lays it out
//!    12  version        u32
//!    16  element size   u64                                        ┐
//!    24  element align  u64                                        │
//!    32  layout hash    u64, FNV-1a of the whole layout text       │ checksum
//!    40  text length    u64, of the whole layout text              │
//!    48  zeros          72 bytes                                   │
//!   120  checksum       u64, FNV-1a of bytes 0..120 and 256..4096  ┘
//!   128  count          u64 ┐ a number below 2^48, and above it    ┐ a CRC of
//!   136  flushed        u64 ┘ 16 bits of CRC                       ┘ each word
//!   144  zeros          112 bytes: the two words have their cache lines for themselves
//!   256  layout text    3840 bytes, cut off or padded with zeros   (checksum)
//!  4096  the first element
//! ```
//! Everything above the line at 128 is written once. The two words below change while others look, so each
//! carries its own check and is stored by one instruction. `count` is what readers see and what a killed
//! writer leaves behind; `flushed` is what was on the disk at the last flush.

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

use crate::error::{Error, ErrorKind, Result};
use crate::plain::{Fnv, Layout};
use crate::span::to_u64;

/// How long the header is, whatever the size of a page of memory: files travel between machines.
pub(super) const LEN: usize = 4096;
/// Where the count stands.
pub(super) const COUNT: usize = 128;
/// Where the count of the last flush stands.
pub(super) const FLUSHED: usize = 136;

/// What every array begins with.
pub(super) const MAGIC: [u8; 8] = *b"\x93MWVEC\r\n";
const VERSION: u32 = 1;
const ORDER: u32 = 0x0102_0304;
const TEXT: usize = 256;

/// The header as it lies in the file.
#[derive(Clone, Copy, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub(super) struct Header {
    magic: [u8; 8],
    order: u32,
    version: u32,
    element_size: u64,
    element_align: u64,
    layout_hash: u64,
    text_len: u64,
    zeros: [u8; 72],
    checksum: u64,
    count: u64,
    flushed: u64,
    more_zeros: [u8; 112],
    text: [u8; LEN - TEXT],
}

const _: () = assert!(size_of::<Header>() == LEN && std::mem::offset_of!(Header, text) == TEXT);
const _: () = assert!(std::mem::offset_of!(Header, count) == COUNT);
const _: () = assert!(std::mem::offset_of!(Header, flushed) == FLUSHED);

impl Header {
    /// Describes an array of `count` elements, none of which are on the disk yet.
    pub(super) fn new(layout: &Layout, count: usize) -> Self {
        let whole = layout.to_string();
        let mut text = [0; LEN - TEXT];
        let kept = whole.len().min(text.len());
        text[..kept].copy_from_slice(&whole.as_bytes()[..kept]);
        let mut header = Self {
            magic: MAGIC,
            order: ORDER,
            version: VERSION,
            element_size: to_u64(layout.size),
            element_align: to_u64(layout.align),
            layout_hash: layout.hash(),
            text_len: to_u64(whole.len()),
            zeros: [0; 72],
            checksum: 0,
            count: word_of(count),
            flushed: word_of(0),
            more_zeros: [0; 112],
            text,
        };
        header.checksum = header.sum();
        header
    }

    /// Checks everything but the counts: that this is an array, whole, and of elements of this layout.
    pub(super) fn check(&self, layout: &Layout, name: &str) -> Result<()> {
        let fail = |kind, why: String| Err(Error::new(kind, "open", name, why));
        if self.magic != MAGIC {
            let why = format!("it is no array: it begins with {:02x?} instead of {MAGIC:02x?}", self.magic);
            return fail(ErrorKind::Damaged, why).map_err(|error| {
                error.advice("an array without a header is opened with MapVecOptions::headerless")
            });
        }
        if self.order == ORDER.swap_bytes() {
            let why = "it was written by a processor of the other byte order";
            return fail(ErrorKind::Unsupported, why.into());
        }
        if self.order != ORDER {
            let why =
                format!("its header is damaged: its byte order is {:#x} instead of {ORDER:#x}", self.order);
            return fail(ErrorKind::Damaged, why);
        }
        if self.version != VERSION {
            let why =
                format!("it has version {} of the format, and this program knows {VERSION}", self.version);
            return fail(ErrorKind::Unsupported, why);
        }
        let sum = self.sum();
        if self.checksum != sum {
            let why =
                format!("its header is damaged: its checksum is {sum:#x} instead of {:#x}", self.checksum);
            return fail(ErrorKind::Damaged, why);
        }
        self.check_type(layout).or_else(|why| fail(ErrorKind::TypeMismatch, why))
    }

    /// Compares the type of the elements; the error says what differs.
    fn check_type(&self, layout: &Layout) -> std::result::Result<(), String> {
        let ours = (to_u64(layout.size), to_u64(layout.align), layout.hash());
        let theirs = (self.element_size, self.element_align, self.layout_hash);
        if ours == theirs {
            return Ok(());
        }
        let (text, theirs) = (layout.to_string(), self.layout_text());
        let difference = difference(&theirs, &text);
        Err(format!(
            "its elements are `{theirs}` ({} bytes, aligned to {}), not `{text}` ({} bytes, aligned to \
             {}){difference}",
            self.element_size, self.element_align, layout.size, layout.align
        ))
    }

    /// Returns how many elements the header says there are, or `None` where the word is damaged.
    pub(super) fn count(&self) -> Option<usize> {
        count_of(self.count)
    }

    /// Returns how many elements the last flush made durable; 0 where the word is damaged.
    pub(super) fn flushed(&self) -> usize {
        count_of(self.flushed).unwrap_or(0)
    }

    /// Says that the elements are on the disk as well.
    pub(super) fn flushed_too(self) -> Self {
        Self { flushed: self.count, ..self }
    }

    /// As much of the elements' layout as the header had room for.
    fn layout_text(&self) -> String {
        let whole = usize::try_from(self.text_len).unwrap_or(usize::MAX);
        let kept = String::from_utf8_lossy(&self.text[..whole.min(self.text.len())]).into_owned();
        if whole > self.text.len() { kept + "…" } else { kept }
    }

    fn sum(&self) -> u64 {
        let bytes = self.as_bytes();
        let mut sum = Fnv::new();
        let checked = bytes[..std::mem::offset_of!(Self, checksum)].iter().chain(&bytes[TEXT..]);
        checked.for_each(|&byte| sum.byte(byte));
        sum.finish()
    }
}

/// Says where two layouts part ways; nothing where that is at their beginning.
fn difference(theirs: &str, ours: &str) -> String {
    let common = ours.bytes().zip(theirs.bytes()).take_while(|(ours, theirs)| ours == theirs).count();
    let before = ours.get(..common).unwrap_or_default();
    let Some(from) = before.rfind(['{', ',', '[', ';']).map(|place| place + 1) else { return String::new() };
    let (there, here) = (first_part(&theirs[from..]), first_part(&ours[from..]));
    if there != here {
        return format!("; they differ where it has `{there}` and `{here}` was asked for");
    }
    // One goes on where the other ends.
    let more =
        |text: &str| text[from + there.len()..].strip_prefix(',').map(|rest| first_part(rest).to_owned());
    match (more(theirs), more(ours)) {
        (None, Some(more)) => format!("; it has nothing after `{there}`, where `{more}` was asked for"),
        (Some(more), None) => format!("; after `{there}` it has `{more}`, which was not asked for"),
        _ => String::new(),
    }
}

/// The part of a layout's text up to the next comma of its own level.
fn first_part(text: &str) -> &str {
    let mut depth = 0usize;
    for (place, letter) in text.char_indices() {
        match letter {
            '{' | '[' => depth += 1,
            ',' | ';' if depth == 0 => return &text[..place],
            '}' | ']' if depth == 0 => return &text[..place],
            '}' | ']' => depth -= 1,
            _ => {}
        }
    }
    text
}

/// Bits of a word that hold the number. No file has 2^48 elements: no address space has room for them.
const NUMBER_BITS: u32 = 48;

/// Makes the word that holds a count: the number, and its CRC above it.
pub(super) fn word_of(count: usize) -> u64 {
    let number = to_u64(count);
    assert!(number >> NUMBER_BITS == 0, "{count} elements are more than an address space holds");
    number | u64::from(crc(number)) << NUMBER_BITS
}

/// Takes a word apart, or returns `None` where number and CRC disagree.
pub(super) fn count_of(word: u64) -> Option<usize> {
    let number = word & ((1 << NUMBER_BITS) - 1);
    let count = usize::try_from(number).ok()?;
    (word_of(count) == word).then_some(count)
}

/// CRC-16/CCITT of the number's six bytes: finds every damage within 16 neighbouring bits. It begins with
/// ones, so that a word of zeros (a lost sector) is no count.
fn crc(number: u64) -> u16 {
    let mut crc = u16::MAX;
    for bit in (0..NUMBER_BITS).rev() {
        let differs = (u64::from(crc >> 15) ^ (number >> bit)) & 1 == 1;
        crc = (crc << 1) ^ if differs { 0x1021 } else { 0 };
    }
    crc
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plain::Plain;

    #[test]
    fn a_fresh_header_is_accepted() {
        let header = Header::new(&u64::STRUCTURE, 5);
        header.check(&u64::STRUCTURE, "x").unwrap();
        assert_eq!((header.count(), header.flushed()), (Some(5), 0));
        assert_eq!(header.flushed_too().flushed(), 5);
    }

    #[test]
    fn every_changed_byte_of_the_constant_part_is_found() {
        let header = Header::new(&<[u16; 3]>::STRUCTURE, 5);
        for place in (0..COUNT).chain(TEXT..LEN) {
            for change in [0x01, 0x80, 0xff] {
                let mut bytes = [0u8; LEN];
                bytes.copy_from_slice(header.as_bytes());
                bytes[place] ^= change;
                let damaged = Header::read_from_bytes(&bytes).unwrap();
                let error = damaged.check(&<[u16; 3]>::STRUCTURE, "x").unwrap_err();
                assert!(
                    matches!(error.kind(), ErrorKind::Damaged | ErrorKind::Unsupported),
                    "byte {place}: {error}"
                );
            }
        }
    }

    #[test]
    fn every_damage_to_one_byte_of_a_count_is_found() {
        for count in [0, 1, 255, 256, 0x0123_4567_89ab, (1 << NUMBER_BITS) - 1] {
            let word = word_of(count);
            assert_eq!(count_of(word), Some(count));
            for (byte, change) in (0..8).flat_map(|byte| (1..=255u64).map(move |change| (byte, change))) {
                assert_eq!(count_of(word ^ change << (byte * 8)), None, "{count}, byte {byte}, {change:#x}");
            }
        }
        assert_eq!(count_of(0), None);
    }

    #[test]
    fn another_type_is_refused_by_what_differs() {
        #[derive(Clone, Copy, FromBytes, IntoBytes, Immutable, Plain)]
        #[plain(crate = "crate")]
        #[repr(C)]
        struct Old {
            id: u64,
            price: f64,
        }
        #[derive(Clone, Copy, FromBytes, IntoBytes, Immutable, Plain)]
        #[plain(crate = "crate")]
        #[repr(C)]
        struct New {
            id: u64,
            price: [f32; 2],
        }
        let error = Header::new(&Old::STRUCTURE, 0).check(&New::STRUCTURE, "\"x\"").unwrap_err();
        assert_eq!(error.kind(), ErrorKind::TypeMismatch);
        assert_eq!(
            error.to_string(),
            "cannot open \"x\": its elements are `{id:u64@0,price:f64@8;size=16,align=8}` (16 bytes, \
             aligned to 8), not `{id:u64@0,price:[f32;2]@8;size=16,align=8}` (16 bytes, aligned to 8); they \
             differ where it has `price:f64@8` and `price:[f32;2]@8` was asked for"
        );
        let says = |there: &Layout, here: &Layout| {
            let message = Header::new(there, 0).check(here, "\"x\"").unwrap_err().to_string();
            message.rsplit_once("; ").unwrap().1.to_owned()
        };
        type Shorter = [Old; 2];
        type Longer = [Old; 3];
        assert_eq!(
            says(&Shorter::STRUCTURE, &Longer::STRUCTURE),
            "they differ where it has `2` and `3` was asked for"
        );
        #[derive(Clone, Copy, FromBytes, IntoBytes, Immutable, Plain)]
        #[plain(crate = "crate")]
        #[repr(C)]
        struct More {
            id: u64,
            price: f64,
            venue: [u8; 8],
        }
        assert_eq!(
            says(&Old::STRUCTURE, &More::STRUCTURE),
            "it has nothing after `price:f64@8`, where `venue:[u8;8]@16` was asked for"
        );
        assert_eq!(
            says(&More::STRUCTURE, &Old::STRUCTURE),
            "after `price:f64@8` it has `venue:[u8;8]@16`, which was not asked for"
        );
        let error = Header::new(&u64::STRUCTURE, 0).check(&i64::STRUCTURE, "\"x\"").unwrap_err();
        assert_eq!(
            error.to_string(),
            "cannot open \"x\": its elements are `u64` (8 bytes, aligned to 8), not `i64` (8 bytes, aligned \
             to 8)"
        );
    }

    #[test]
    fn the_format_of_version_1_does_not_move() {
        // A file written today must open for ever: these numbers may only change together with the version.
        let header = Header::new(&u32::STRUCTURE, 7);
        let at = |place: usize| u64::from_ne_bytes(header.as_bytes()[place..place + 8].try_into().unwrap());
        assert_eq!(&header.as_bytes()[..8], b"\x93MWVEC\r\n");
        assert_eq!((at(16), at(24), at(40)), (4, 4, 3));
        assert_eq!(at(128) & 0xffff_ffff_ffff, 7);
        assert_eq!(&header.as_bytes()[256..260], b"u32\0");
    }
}
