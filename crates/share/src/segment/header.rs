//! A segment's first bytes: what it is, and what is where.
//!
//! ```text
//!  0            header (128 bytes)
//!  128          entries of the catalogue (192 bytes each)
//!               texts: the layouts of the types, one after the other
//!  …4096·k      seats (128 bytes each)
//!               objects, each at a multiple of 128
//! ```
//! Everything before the seats is written once, before anybody else can see the segment, and never changes.
//! It is read into private memory first, and checked there. Numbers have the machine's byte order; another
//! one shows in `magic`.

use mapwright_core::peer::{MAX_SEATS, Seat};
use mapwright_core::{Error, ErrorKind, Result};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

use super::name::Name;
use crate::object::{ALIGNMENT, Kind, Parameters, Plan};

/// `mapwseg1` where numbers begin with their last byte.
pub(crate) const MAGIC: u64 = u64::from_le_bytes(*b"mapwseg1");
/// Counted up when the bytes of a segment or of any object change their meaning.
pub(crate) const VERSION: u32 = 1;
/// Objects in one segment at most.
pub(crate) const MAX_OBJECTS: usize = 1024;
/// The longest name of an object in bytes.
pub(crate) const LONGEST_OBJECT_NAME: usize = 56;
const PAGE: usize = 4096;
/// A header with its catalogue and texts is never longer.
pub(crate) const LONGEST: usize = 4 << 20;

/// The first 128 bytes.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub(crate) struct Header {
    pub(crate) magic: u64,
    pub(crate) version: u32,
    /// 1: made of cooperating processes.
    pub(crate) trust: u32,
    /// The whole segment's length in bytes.
    pub(crate) len: u64,
    /// Of everything from here on up to the seats, with this field zero.
    pub(crate) checksum: u64,
    /// A random number, other for each segment.
    pub(crate) nonce: u64,
    /// The first half of the machine's boot id: locks do not outlive the machine.
    pub(crate) boot: u64,
    /// The inode of the creator's pid namespace, in which thread ids in lock words are meant.
    pub(crate) namespace: u64,
    /// When it was made, in nanoseconds since 1970.
    pub(crate) created: u64,
    pub(crate) objects: u32,
    pub(crate) seats: u32,
    pub(crate) texts_at: u32,
    pub(crate) texts_len: u32,
    pub(crate) seats_at: u64,
    pub(crate) reserved: [u64; 5],
}

/// One object in the catalogue.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
struct RawEntry {
    name: [u8; 64],
    kind: u32,
    reserved: u32,
    offset: u64,
    len: u64,
    parameters: Parameters,
    text_at: u32,
    text_len: u32,
    more: [u64; 6],
}

const _: () = assert!(size_of::<Header>() == 128 && size_of::<RawEntry>() == 192);

/// One object in the catalogue, checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Entry {
    pub(crate) name: String,
    pub(crate) kind: Kind,
    pub(crate) offset: usize,
    pub(crate) len: usize,
    pub(crate) parameters: Parameters,
    pub(crate) layout: String,
}

/// A header and its catalogue, checked.
#[derive(Clone, Debug)]
pub(crate) struct Contents {
    pub(crate) header: Header,
    pub(crate) entries: Vec<Entry>,
}

/// What is the same for all segments that this process makes now.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Birth {
    pub(crate) nonce: u64,
    pub(crate) boot: u64,
    pub(crate) namespace: u64,
    pub(crate) created: u64,
}

/// Lays a segment out: the bytes of its header, and what they say.
///
/// # Errors
/// `InvalidInput` where it would be too large.
pub(crate) fn lay_out(objects: &[(Name, Plan)], seats: usize, birth: Birth) -> Result<(Vec<u8>, Contents)> {
    let refuse = |why: String| Err(Error::new(ErrorKind::InvalidInput, "lay out", "a segment", why));
    if objects.len() > MAX_OBJECTS {
        return refuse(format!("{} objects; the most is {MAX_OBJECTS}", objects.len()));
    }
    if seats == 0 || seats > MAX_SEATS {
        return refuse(format!("{seats} participants; 1 to {MAX_SEATS} are possible"));
    }
    let texts_at = size_of::<Header>() + objects.len() * size_of::<RawEntry>();
    let texts: String = objects.iter().map(|(_, plan)| plan.layout.as_str()).collect();
    let seats_at = (texts_at + texts.len()).next_multiple_of(PAGE);
    if seats_at > LONGEST {
        return refuse(format!("the types' layouts take {} bytes; the most is {LONGEST}", texts.len()));
    }
    let mut at = (seats_at + seats * size_of::<Seat>()).next_multiple_of(PAGE);
    let mut entries = Vec::with_capacity(objects.len());
    for (name, plan) in objects {
        let entry = Entry {
            name: name.as_str().to_owned(),
            kind: plan.kind,
            offset: at,
            len: plan.len,
            parameters: plan.parameters,
            layout: plan.layout.clone(),
        };
        let next = at.checked_add(plan.len).and_then(|end| end.checked_next_multiple_of(ALIGNMENT));
        let Some(next) = next.filter(|&end| i64::try_from(end).is_ok()) else {
            return refuse(format!("with \"{name}\" it is larger than a file can be"));
        };
        at = next;
        entries.push(entry);
    }
    let header = Header {
        magic: MAGIC,
        version: VERSION,
        trust: 1,
        len: to_u64(at.next_multiple_of(PAGE)),
        checksum: 0,
        nonce: birth.nonce,
        boot: birth.boot,
        namespace: birth.namespace,
        created: birth.created,
        objects: to_u32(objects.len()),
        seats: to_u32(seats),
        texts_at: to_u32(texts_at),
        texts_len: to_u32(texts.len()),
        seats_at: to_u64(seats_at),
        reserved: [0; 5],
    };
    let mut contents = Contents { header, entries };
    let bytes = contents.encode();
    contents.header.checksum = checksum(&bytes);
    let mut bytes = bytes;
    bytes[..size_of::<Header>()].copy_from_slice(contents.header.as_bytes());
    Ok((bytes, contents))
}

impl Contents {
    fn encode(&self) -> Vec<u8> {
        let mut bytes = self.header.as_bytes().to_vec();
        let mut text_at = 0;
        for entry in &self.entries {
            let mut name = [0; 64];
            name[..entry.name.len()].copy_from_slice(entry.name.as_bytes());
            let raw = RawEntry {
                name,
                kind: entry.kind.number(),
                reserved: 0,
                offset: to_u64(entry.offset),
                len: to_u64(entry.len),
                parameters: entry.parameters,
                text_at,
                text_len: to_u32(entry.layout.len()),
                more: [0; 6],
            };
            text_at += raw.text_len;
            bytes.extend_from_slice(raw.as_bytes());
        }
        self.entries.iter().for_each(|entry| bytes.extend_from_slice(entry.layout.as_bytes()));
        bytes.resize(to_usize(self.header.seats_at), 0);
        bytes
    }

    /// Returns where the seats are, and how many.
    pub(crate) fn seats(&self) -> (usize, usize) {
        (to_usize(self.header.seats_at), usize::try_from(self.header.seats).unwrap_or(0))
    }

    pub(crate) fn len(&self) -> usize {
        to_usize(self.header.len)
    }
}

/// Reads a header's first bytes: how long it is with catalogue and texts.
///
/// # Errors
/// What is wrong with it, as a sentence.
pub(crate) fn parse_header(bytes: &[u8], file_len: u64) -> Result<Header, String> {
    let Ok((header, _)) = Header::read_from_prefix(bytes) else {
        return Err(format!("it has {} bytes, and a segment has at least 4096", bytes.len()));
    };
    match header.magic {
        MAGIC => {}
        magic if magic == MAGIC.swap_bytes() => {
            return Err("it was made by a machine of the other byte order".to_owned());
        }
        _ => return Err("it does not begin as a segment does".to_owned()),
    }
    if header.version != VERSION {
        return Err(format!(
            "its format is version {}, and this program knows version {VERSION}",
            header.version
        ));
    }
    if header.trust != 1 {
        return Err(format!("its level of trust is {}, which this program does not know", header.trust));
    }
    if header.len > file_len {
        return Err(format!("it says that it has {} bytes, and the file has {file_len}", header.len));
    }
    let objects = usize::try_from(header.objects).unwrap_or(usize::MAX);
    let seats = usize::try_from(header.seats).unwrap_or(usize::MAX);
    let texts_at = size_of::<Header>().saturating_add(objects.saturating_mul(size_of::<RawEntry>()));
    let texts_end = texts_at.saturating_add(usize::try_from(header.texts_len).unwrap_or(usize::MAX));
    let seats_at = usize::try_from(header.seats_at).unwrap_or(usize::MAX);
    let seats_end = to_u64(seats_at).saturating_add(to_u64(seats.saturating_mul(size_of::<Seat>())));
    let fits = objects <= MAX_OBJECTS
        && (1..=MAX_SEATS).contains(&seats)
        && to_u64(texts_at) == u64::from(header.texts_at)
        && texts_end <= seats_at
        && seats_at <= LONGEST
        && seats_at.is_multiple_of(PAGE)
        && seats_end <= header.len;
    if fits { Ok(header) } else { Err("its header contradicts itself".to_owned()) }
}

/// Reads the header with catalogue and texts: all bytes before the seats.
///
/// # Errors
/// What is wrong with it, as a sentence.
pub(crate) fn parse(bytes: &[u8], file_len: u64) -> Result<Contents, String> {
    let header = parse_header(bytes, file_len)?;
    let before_seats = to_usize(header.seats_at);
    let Some(bytes) = bytes.get(..before_seats) else {
        return Err(format!("it ends within its catalogue, after {} bytes", bytes.len()));
    };
    let mut zeroed = bytes.to_vec();
    let unchecked = Header { checksum: 0, ..header };
    zeroed[..size_of::<Header>()].copy_from_slice(unchecked.as_bytes());
    if checksum(&zeroed) != header.checksum {
        return Err("its catalogue was overwritten: the checksum differs".to_owned());
    }
    let count = usize::try_from(header.objects).unwrap_or(0);
    let raw = &bytes[size_of::<Header>()..][..count * size_of::<RawEntry>()];
    let texts_at = usize::try_from(header.texts_at).unwrap_or(0);
    let texts = &bytes[texts_at..texts_at + usize::try_from(header.texts_len).unwrap_or(0)];
    let entries = raw
        .chunks_exact(size_of::<RawEntry>())
        .map(|raw| parse_entry(raw, texts, &header))
        .collect::<Result<Vec<_>, _>>()?;
    demand_order(&entries, &header)?;
    Ok(Contents { header, entries })
}

/// Refuses objects that lie in the seats or in each other, and two of one name.
fn demand_order(entries: &[Entry], header: &Header) -> Result<(), String> {
    let seats_len = usize::try_from(header.seats).unwrap_or(0) * size_of::<Seat>();
    let mut end = to_usize(header.seats_at).saturating_add(seats_len);
    let mut names = std::collections::HashSet::new();
    for Entry { name, offset, len, .. } in entries {
        if *offset < end {
            return Err(format!("\"{name}\" lies in what is before it"));
        }
        if !names.insert(name) {
            return Err(format!("two of its objects are named \"{name}\""));
        }
        end = offset.saturating_add(*len);
    }
    Ok(())
}

fn parse_entry(raw: &[u8], texts: &[u8], header: &Header) -> Result<Entry, String> {
    let raw = RawEntry::read_from_bytes(raw).map_err(|_| "its catalogue is cut".to_owned())?;
    let name = raw.name.split(|&byte| byte == 0).next().unwrap_or_default();
    let name = std::str::from_utf8(name).map_err(|_| "an object's name is no text".to_owned())?;
    let name = Name::new(name, LONGEST_OBJECT_NAME).map_err(|error| error.to_string())?;
    let kind = Kind::from_number(raw.kind)
        .ok_or_else(|| format!("\"{name}\" is of kind {}, which this program does not know", raw.kind))?;
    let text_at = usize::try_from(raw.text_at).unwrap_or(usize::MAX);
    let text_end = text_at.saturating_add(usize::try_from(raw.text_len).unwrap_or(usize::MAX));
    let layout = texts.get(text_at..text_end).and_then(|text| std::str::from_utf8(text).ok());
    let layout = layout.ok_or_else(|| format!("the layout of \"{name}\" is cut"))?.to_owned();
    let fits = raw.offset.is_multiple_of(to_u64(ALIGNMENT))
        && raw.offset >= header.seats_at
        && raw.offset.checked_add(raw.len).is_some_and(|end| end <= header.len);
    if !fits {
        return Err(format!("\"{name}\" lies outside of it"));
    }
    Ok(Entry {
        name: name.as_str().to_owned(),
        kind,
        offset: to_usize(raw.offset),
        len: to_usize(raw.len),
        parameters: raw.parameters,
        layout,
    })
}

/// Returns a header with the checksum of the bytes behind it.
#[cfg(test)]
pub(crate) fn sign(header: Header, bytes: &[u8]) -> Header {
    let unsigned = Header { checksum: 0, ..header };
    let mut bytes = bytes[..to_usize(header.seats_at)].to_vec();
    bytes[..size_of::<Header>()].copy_from_slice(unsigned.as_bytes());
    Header { checksum: checksum(&bytes), ..header }
}

/// FNV-1a over words: finds what was overwritten by accident. Against malice nothing in here helps.
fn checksum(bytes: &[u8]) -> u64 {
    bytes.chunks(8).fold(0xcbf2_9ce4_8422_2325, |hash, chunk| {
        let mut word = [0; 8];
        word[..chunk.len()].copy_from_slice(chunk);
        (hash ^ u64::from_le_bytes(word)).wrapping_mul(0x0000_0100_0000_01b3).rotate_left(29)
    })
}

fn to_u64(bytes: usize) -> u64 {
    u64::try_from(bytes).unwrap_or(u64::MAX)
}

fn to_u32(count: usize) -> u32 {
    u32::try_from(count).unwrap_or(u32::MAX)
}

fn to_usize(bytes: u64) -> usize {
    usize::try_from(bytes).unwrap_or(usize::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plan(len: usize, layout: &str) -> Plan {
        Plan { kind: Kind::Queue, len, layout: layout.to_owned(), parameters: [1, 2, 3, 4, 5, 6] }
    }

    fn example() -> (Vec<u8>, Contents) {
        let name = |name| Name::new(name, LONGEST_OBJECT_NAME).unwrap();
        let objects = [(name("one"), plan(1, "u64")), (name("other"), plan(300, "[u8;3]"))];
        lay_out(&objects, 3, Birth { nonce: 1, boot: 2, namespace: 3, created: 4 }).unwrap()
    }

    #[test]
    fn what_was_laid_out_is_read_back() {
        let (bytes, contents) = example();
        let back = parse(&bytes, contents.header.len).unwrap();
        assert_eq!(back.entries, contents.entries);
        assert_eq!(back.header.as_bytes(), contents.header.as_bytes());
        assert_eq!(back.entries[1].offset - back.entries[0].offset, ALIGNMENT);
        assert_eq!((back.entries[0].layout.as_str(), back.entries[1].layout.as_str()), ("u64", "[u8;3]"));
    }

    #[test]
    fn every_byte_that_is_flipped_is_noticed() {
        let (bytes, contents) = example();
        for index in 0..bytes.len() {
            for flip in [1, 0x80, 0xff] {
                let mut bytes = bytes.clone();
                bytes[index] ^= flip;
                let result = parse(&bytes, contents.header.len);
                assert!(result.is_err(), "byte {index} with {flip:#x} flipped");
            }
        }
    }

    #[test]
    fn what_is_short_other_or_newer_is_named() {
        let (bytes, contents) = example();
        let len = contents.header.len;
        assert!(parse(&bytes[..100], len).unwrap_err().contains("at least 4096"));
        assert!(parse(&bytes[..1000], len).unwrap_err().contains("ends within"));
        assert!(parse(&bytes, len - 1).unwrap_err().contains("the file has"));
        let swapped: Vec<u8> = bytes[..8].iter().rev().chain(&bytes[8..]).copied().collect();
        assert!(parse(&swapped, len).unwrap_err().contains("other byte order"));
        let mut newer = bytes.clone();
        newer[8] = 2;
        assert!(parse(&newer, len).unwrap_err().contains("version 2"));
        assert!(parse(&vec![0; 8192], len).unwrap_err().contains("does not begin"));
    }

    #[test]
    fn objects_in_the_seats_in_each_other_or_of_one_name_are_refused() {
        let forged = |change: &dyn Fn(&mut Contents)| {
            let (_, mut contents) = example();
            contents.header.checksum = 0;
            change(&mut contents);
            contents.header.checksum = checksum(&contents.encode());
            parse(&contents.encode(), contents.header.len)
        };
        assert!(forged(&|_| ()).is_ok());
        let in_seats = forged(&|contents| contents.entries[0].offset = to_usize(contents.header.seats_at));
        assert!(in_seats.unwrap_err().contains("\"one\" lies in what is before it"));
        let in_each_other = forged(&|contents| contents.entries[1].offset = contents.entries[0].offset);
        assert!(in_each_other.unwrap_err().contains("\"other\" lies in what is before it"));
        let unsorted = forged(&|contents| contents.entries.reverse());
        assert!(unsorted.unwrap_err().contains("lies in what is before it"));
        let same = forged(&|contents| contents.entries[1].name = "one".to_owned());
        assert!(same.unwrap_err().contains("two of its objects are named \"one\""));
    }

    #[test]
    fn too_many_and_too_large_are_refused() {
        let name = |name: &str| Name::new(name, LONGEST_OBJECT_NAME).unwrap();
        let birth = Birth { nonce: 1, boot: 2, namespace: 3, created: 4 };
        let huge = [(name("huge"), plan(usize::MAX - 1000, ""))];
        assert!(lay_out(&huge, 1, birth).unwrap_err().to_string().contains("\"huge\""));
        assert!(lay_out(&[], 0, birth).is_err() && lay_out(&[], MAX_SEATS + 1, birth).is_err());
        let many = vec![(name("x"), plan(1, "")); MAX_OBJECTS + 1];
        assert!(lay_out(&many, 1, birth).unwrap_err().to_string().contains("1025 objects"));
    }
}
