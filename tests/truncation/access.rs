//! Every kind of access there is to a file's map, each checking what it got.

use crate::support::random::Random;
use crate::support::scratch;
use mapwright::{Fault, Finder, Map, MapOptions, ReadOnly, ReadWrite, Span, View};
use std::cmp::Ordering as Order;
use std::io::{self, BufRead, Read, Seek, SeekFrom, Write};
use std::path::Path;
use std::sync::OnceLock;
use std::sync::atomic::Ordering;

/// How long the file is while it is whole: many pages, and not a whole number of them.
pub(super) const LENGTH: usize = 24 * 4096 + 1_000;

/// The longest single copy.
const PIECE: usize = 3 * 4096;

/// What is written at once by a call.
const BULK: usize = 5 * 4096;

/// One kind of access. It panics on a wrong byte.
pub(super) struct Kind {
    pub(super) name: &'static str,
    pub(super) run: fn(&Maps, &mut Random) -> Result<(), Fault>,
}

/// The maps that are used: one that only reads, one that writes.
pub(super) struct Maps {
    read: Map<ReadOnly>,
    write: Map<ReadWrite>,
}

impl Maps {
    pub(super) fn of(path: &Path) -> Self {
        let write = MapOptions::new().len(LENGTH).open_mut(path).unwrap();
        Self { read: MapOptions::new().len(LENGTH).open(path).unwrap(), write }
    }
}

/// The byte that belongs at this place; never 0, which is what the kernel puts where a file was cut.
pub(super) fn content(at: usize) -> u8 {
    scratch::pattern_at(at).max(1)
}

/// The whole content, to compare with and to store from.
fn whole() -> &'static [u8] {
    static WHOLE: OnceLock<Vec<u8>> = OnceLock::new();
    WHOLE.get_or_init(|| (0..LENGTH).map(content).collect())
}

/// Asserts that each byte is the one that belongs there, or a zero.
#[track_caller]
fn check(offset: usize, bytes: &[u8]) {
    scratch::assert_right_or_zero(bytes, &whole()[offset..offset + bytes.len()]);
}

/// The fault inside an I/O error, which is what the standard traits return.
fn fault_in(error: &io::Error) -> Fault {
    *error.get_ref().and_then(|inner| inner.downcast_ref()).unwrap_or_else(|| panic!("no fault in {error:?}"))
}

/// A random place for `size` bytes, aligned to `align`.
fn place(random: &mut Random, size: usize, align: usize) -> usize {
    random.below((LENGTH - size) / align) * align
}

macro_rules! kinds {
    ($($name:literal => $run:expr),* $(,)?) => {
        pub(super) const KINDS: &[Kind] = &[$(Kind { name: $name, run: $run }),*];
    };
}

kinds! {
    "copy_to" => copy_to,
    "load u8" => load::<1>,
    "load u16" => load::<2>,
    "load u32" => load::<4>,
    "load u64" => load::<8>,
    "load [u8; 3]" => load::<3>,
    "load [u8; 24]" => load::<24>,
    "load [u8; 5000]" => load::<5000>,
    "load_many u32" => load_many::<4>,
    "load_many u64" => load_many::<8>,
    "load_many [u8; 16]" => load_many::<16>,
    "load_slice" => load_slice,
    "to_vec" => to_vec,
    "compare" => compare,
    "equals" => equals,
    "find" => find,
    "find a common byte" => find_byte,
    "find in copies" => find_in_copies,
    "find all" => find_all,
    "lines" => lines,
    "chunks" => chunks,
    "pieces" => pieces,
    "cursor read" => cursor_read,
    "cursor read_until" => cursor_read_until,
    "atomic load" => atomic_load,
    "stream" => stream,
    "gather" => gather,
    "prefetch and gather" => prefetch_and_gather,
    "copy_from" => copy_from,
    "store u8" => store::<1>,
    "store u16" => store::<2>,
    "store u32" => store::<4>,
    "store u64" => store::<8>,
    "store [u8; 24]" => store::<24>,
    "store_slice" => store_slice,
    "fill" => fill,
    "cursor write" => cursor_write,
    "write_bulk" => write_bulk,
    "atomic store" => atomic_store,
    "atomic fetch_add" => atomic_fetch_add,
    "atomic swap" => atomic_swap,
    "atomic compare_exchange" => atomic_compare_exchange,
}

fn copy_to(maps: &Maps, random: &mut Random) -> Result<(), Fault> {
    let size = random.below(PIECE) + 1;
    let offset = place(random, size, 1);
    // Bytes that belong nowhere, so that a byte reported as copied but not copied shows.
    let mut buffer: Vec<u8> =
        (offset..offset + size).map(|at| if content(at) == 1 { 2 } else { 1 }).collect();
    let result = maps.read.view().copy_to(offset, &mut buffer);
    let good = result.map_or_else(|fault| fault.offset() - offset, |()| buffer.len());
    check(offset, &buffer[..good]);
    result
}

fn load<const SIZE: usize>(maps: &Maps, random: &mut Random) -> Result<(), Fault> {
    let offset = place(random, SIZE, 1);
    check(offset, &maps.read.view().load::<[u8; SIZE]>(offset)?);
    Ok(())
}

fn load_many<const SIZE: usize>(maps: &Maps, random: &mut Random) -> Result<(), Fault> {
    let offsets: Vec<usize> = (0..16).map(|_| place(random, SIZE, 1)).collect();
    let mut values = [[0; SIZE]; 16];
    maps.read.view().load_many(&offsets, &mut values)?;
    for (offset, value) in offsets.into_iter().zip(values) {
        check(offset, &value);
    }
    Ok(())
}

fn load_slice(maps: &Maps, random: &mut Random) -> Result<(), Fault> {
    let mut values = [0u32; 700];
    let offset = place(random, size_of_val(&values), 1);
    maps.read.view().load_slice(offset, &mut values)?;
    let bytes: Vec<u8> = values.iter().flat_map(|value| value.to_ne_bytes()).collect();
    check(offset, &bytes);
    Ok(())
}

fn to_vec(maps: &Maps, random: &mut Random) -> Result<(), Fault> {
    let offset = place(random, PIECE, 1);
    let bytes =
        maps.read.view().sub(offset..offset + PIECE)?.to_vec().map_err(|fault| outer(fault, offset))?;
    check(offset, &bytes);
    Ok(())
}

/// A fault of a part counts from the part; here only its being inside matters.
fn outer(fault: Fault, offset: usize) -> Fault {
    assert!(fault.offset() + offset < LENGTH, "{fault:?} in a part that begins at {offset}");
    fault
}

/// Zeros are less than what belongs there, so the file never compares as greater.
fn compare(maps: &Maps, random: &mut Random) -> Result<(), Fault> {
    let offset = place(random, PIECE, 1);
    let order = maps.read.view().sub(offset..)?.compare(&whole()[offset..])?;
    assert_ne!(order, Order::Greater);
    Ok(())
}

fn equals(maps: &Maps, random: &mut Random) -> Result<(), Fault> {
    let offset = place(random, PIECE, 1);
    let part = offset..offset + PIECE;
    maps.read.view().sub(part.clone())?.equals(&whole()[part]).map(drop)
}

/// The part of a view that begins at a random place, and that place.
fn tail<'map>(maps: &'map Maps, random: &mut Random) -> (View<'map, ReadOnly>, usize) {
    let offset = place(random, 1, 1);
    (maps.read.view().sub(offset..).unwrap(), offset)
}

/// Searches for bytes that stand at one place only; where they are found, they are.
fn find(maps: &Maps, random: &mut Random) -> Result<(), Fault> {
    let target = place(random, 32, 1);
    let needle = &whole()[target..target + 32];
    if let Some(found) = maps.read.view().find(needle)? {
        assert_eq!(&whole()[found..found + 32], needle);
    }
    Ok(())
}

fn find_byte(maps: &Maps, random: &mut Random) -> Result<(), Fault> {
    let (view, offset) = tail(maps, random);
    let byte = content(offset);
    if let Some(found) = view.find_byte(byte)? {
        assert_eq!(content(offset + found), byte);
    }
    Ok(())
}

/// Zeros are everywhere, so the scan in place is given up and blocks are copied.
fn find_in_copies(maps: &Maps, random: &mut Random) -> Result<(), Fault> {
    // A view that is shorter than the literal is not looked at.
    let view = loop {
        let (view, _) = tail(maps, random);
        if view.len() >= 5_000 {
            break view;
        }
    };
    let mut needle = vec![0; 5_000];
    needle[2_500] = 1;
    needle[2_501] = 1;
    view.find(&needle).map(drop)
}

fn find_all(maps: &Maps, random: &mut Random) -> Result<(), Fault> {
    let (view, offset) = tail(maps, random);
    let needle = &whole()[offset..(offset + 2).min(LENGTH)];
    for found in Finder::new(needle).find_all(view).take(100) {
        let found = offset + found?;
        assert_eq!(&whole()[found..found + needle.len()], needle);
    }
    Ok(())
}

fn lines(maps: &Maps, random: &mut Random) -> Result<(), Fault> {
    let (view, mut offset) = tail(maps, random);
    let mut lines = view.lines();
    while let Some(line) = lines.next_line() {
        let line = line?;
        check(offset, line);
        offset += line.len() + 1;
    }
    Ok(())
}

fn chunks(maps: &Maps, random: &mut Random) -> Result<(), Fault> {
    let (view, mut offset) = tail(maps, random);
    let mut chunks = view.chunks(random.below(10_000) + 1);
    while let Some(chunk) = chunks.next_chunk() {
        let chunk = chunk?;
        check(offset, chunk);
        offset += chunk.len();
    }
    Ok(())
}

fn pieces(maps: &Maps, random: &mut Random) -> Result<(), Fault> {
    let (view, offset) = tail(maps, random);
    for (number, piece) in view.pieces(4096).enumerate() {
        check(offset + number * 4096, &[piece.load::<u8>(0)?]);
    }
    Ok(())
}

fn cursor_read(maps: &Maps, random: &mut Random) -> Result<(), Fault> {
    let offset = place(random, PIECE, 1);
    let mut cursor = maps.read.view().cursor();
    cursor.seek(SeekFrom::Start(u64::try_from(offset).unwrap())).unwrap();
    let mut buffer = [0; PIECE];
    cursor.read_exact(&mut buffer).map_err(|error| fault_in(&error))?;
    check(offset, &buffer);
    Ok(())
}

fn cursor_read_until(maps: &Maps, random: &mut Random) -> Result<(), Fault> {
    let offset = place(random, 1, 1);
    let mut cursor = maps.read.view().cursor();
    cursor.seek(SeekFrom::Start(u64::try_from(offset).unwrap())).unwrap();
    let mut bytes = Vec::new();
    let result = cursor.read_until(b'\n', &mut bytes);
    check(offset, &bytes);
    result.map(drop).map_err(|error| fault_in(&error))
}

/// So short a file is copied from the map; streams of long ones are cut elsewhere (`intent`).
fn stream(maps: &Maps, random: &mut Random) -> Result<(), Fault> {
    let (view, mut offset) = tail(maps, random);
    let mut stream = view.stream();
    while let Some(chunk) = stream.next_chunk() {
        let chunk = chunk?;
        check(offset, chunk);
        offset += chunk.len();
    }
    assert_eq!(offset, LENGTH, "a stream ended before the end and without a fault");
    Ok(())
}

/// Now and then enough places for a queue of direct reads to be worth its while. Not always: while such a
/// read has the file's dirty pages written first, nobody can truncate it.
fn places(random: &mut Random) -> Vec<Span> {
    let count = if random.below(8) == 0 { 20 } else { 1 + random.below(7) };
    let mut place = || {
        let size = random.below(1_000) + 1;
        Span::new(place(random, size, 1), size).unwrap()
    };
    (0..count).map(|_| place()).collect()
}

fn gather(maps: &Maps, random: &mut Random) -> Result<(), Fault> {
    gathered(maps, &places(random))
}

/// Reading ahead what is not there any more is no error; the bytes tell.
fn prefetch_and_gather(maps: &Maps, random: &mut Random) -> Result<(), Fault> {
    let places = places(random);
    maps.read.view().prefetch(&places).unwrap();
    gathered(maps, &places)
}

fn gathered(maps: &Maps, places: &[Span]) -> Result<(), Fault> {
    // Bytes that belong nowhere, so that one that was not delivered shows.
    let mut bytes: Vec<u8> = places
        .iter()
        .flat_map(|place| place.range().map(|at| if content(at) == 1 { 2 } else { 1 }))
        .collect();
    maps.read.view().gather(places, &mut bytes)?;
    let mut delivered = bytes.as_slice();
    for place in places {
        let (bytes, rest) = delivered.split_at(place.len());
        check(place.offset(), bytes);
        delivered = rest;
    }
    Ok(())
}

fn atomic_load(maps: &Maps, random: &mut Random) -> Result<(), Fault> {
    let offset = place(random, 8, 8);
    let value = maps.read.view().atomic::<u64>(offset)?.load(Ordering::Acquire)?;
    check(offset, &value.to_ne_bytes());
    Ok(())
}

fn copy_from(maps: &Maps, random: &mut Random) -> Result<(), Fault> {
    let size = random.below(PIECE) + 1;
    let offset = place(random, size, 1);
    maps.write.view().copy_from(offset, &whole()[offset..offset + size])
}

fn store<const SIZE: usize>(maps: &Maps, random: &mut Random) -> Result<(), Fault> {
    let offset = place(random, SIZE, 1);
    let value: [u8; SIZE] = whole()[offset..offset + SIZE].try_into().unwrap();
    maps.write.view().store(offset, value)
}

fn store_slice(maps: &Maps, random: &mut Random) -> Result<(), Fault> {
    let offset = place(random, 64 * 8, 1);
    let values: Vec<[u8; 8]> =
        whole()[offset..offset + 64 * 8].chunks(8).map(|word| word.try_into().unwrap()).collect();
    maps.write.view().store_slice(offset, &values)
}

fn fill(maps: &Maps, random: &mut Random) -> Result<(), Fault> {
    let size = random.below(PIECE) + 1;
    let offset = place(random, size, 1);
    maps.write.view().fill(offset..offset + size, 0)
}

fn cursor_write(maps: &Maps, random: &mut Random) -> Result<(), Fault> {
    let offset = place(random, PIECE, 1);
    let mut cursor = maps.write.view().cursor();
    cursor.seek(SeekFrom::Start(u64::try_from(offset).unwrap())).unwrap();
    cursor.write_all(&whole()[offset..offset + PIECE]).map_err(|error| fault_in(&error))
}

/// Long enough to be written by a call, which must not make the file longer.
fn write_bulk(maps: &Maps, random: &mut Random) -> Result<(), Fault> {
    let offset = place(random, BULK, 1);
    maps.write.view().write_bulk(offset, &whole()[offset..offset + BULK])
}

/// A word of the content.
fn word_at(offset: usize) -> u64 {
    u64::from_ne_bytes(whole()[offset..offset + 8].try_into().unwrap())
}

fn atomic_store(maps: &Maps, random: &mut Random) -> Result<(), Fault> {
    let offset = place(random, 8, 8);
    maps.write.view().atomic::<u64>(offset)?.store(word_at(offset), Ordering::Release)
}

fn atomic_fetch_add(maps: &Maps, random: &mut Random) -> Result<(), Fault> {
    let offset = place(random, 8, 8);
    check(offset, &maps.write.view().atomic::<u64>(offset)?.fetch_add(0)?.to_ne_bytes());
    Ok(())
}

fn atomic_swap(maps: &Maps, random: &mut Random) -> Result<(), Fault> {
    let offset = place(random, 8, 8);
    check(offset, &maps.write.view().atomic::<u64>(offset)?.swap(word_at(offset))?.to_ne_bytes());
    Ok(())
}

fn atomic_compare_exchange(maps: &Maps, random: &mut Random) -> Result<(), Fault> {
    let offset = place(random, 8, 8);
    let seen = maps.write.view().atomic::<u64>(offset)?.compare_exchange(0, word_at(offset))?;
    let (Ok(seen) | Err(seen)) = seen;
    check(offset, &seen.to_ne_bytes());
    Ok(())
}
