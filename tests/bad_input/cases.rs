//! The table of mistakes.

use mapwright::zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};
use mapwright::{
    Error, ErrorKind, FileLock, Frozen, HugePages, Map, MapOptions, MapVec, MapVecOptions, Placement, Plain,
};
use std::fs::File;
use std::path::Path;

/// One mistake, and what the error must be.
pub(super) struct Case {
    pub(super) name: &'static str,
    pub(super) run: fn(&Path) -> Result<(), Error>,
    /// Its kind, where that does not depend on the machine.
    pub(super) kind: Option<ErrorKind>,
    /// What the message names.
    pub(super) says: &'static [&'static str],
}

impl Case {
    /// Checks the error, and prints its message.
    pub(super) fn check(&self, error: &Error) -> Result<(), String> {
        let message = error.to_string();
        println!("  {:<44}{message}", self.name);
        if self.kind.is_some_and(|kind| error.kind() != kind) {
            return Err(format!("{:?}, not {:?}: {message}", error.kind(), self.kind));
        }
        if let Some(missing) = self.says.iter().find(|needed| !message.contains(*needed)) {
            return Err(format!("it does not say {missing:?}: {message}"));
        }
        if message.ends_with('.') || !message.starts_with(char::is_lowercase) {
            return Err(format!("not the style of messages: {message}"));
        }
        Ok(())
    }
}

macro_rules! kind {
    (Any) => {
        None
    };
    ($kind:ident) => {
        Some(ErrorKind::$kind)
    };
}

macro_rules! cases {
    ($($name:literal: $run:expr => $kind:ident, says $says:expr;)*) => {
        &[$(Case { name: $name, run: $run, kind: kind!($kind), says: &$says }),*]
    };
}

/// More than any address space holds.
const TOO_MUCH: usize = 1 << 60;

/// A file that claims this many bytes and has none.
fn huge_file() -> File {
    let file = File::from(rustix::fs::memfd_create("huge", rustix::fs::MemfdFlags::CLOEXEC).unwrap());
    file.set_len(u64::try_from(TOO_MUCH).unwrap()).unwrap();
    file
}

fn read_only(path: &Path) -> File {
    File::open(path).unwrap()
}

/// A record, as an array has it, and as later versions of a program would like to read it.
#[derive(Clone, Copy, FromBytes, IntoBytes, Immutable, KnownLayout, Plain)]
#[zerocopy(crate = "mapwright::zerocopy")]
#[repr(C)]
pub(super) struct Trade {
    pub(super) id: u64,
    pub(super) price: f64,
}

#[derive(Clone, Copy, FromBytes, IntoBytes, Immutable, KnownLayout, Plain)]
#[zerocopy(crate = "mapwright::zerocopy")]
#[repr(C)]
struct Renamed {
    id: u64,
    cost: f64,
}

#[derive(Clone, Copy, FromBytes, IntoBytes, Immutable, KnownLayout, Plain)]
#[zerocopy(crate = "mapwright::zerocopy")]
#[repr(C)]
struct Longer {
    id: u64,
    price: f64,
    venue: [u8; 8],
}

pub(super) const MAPS: &[Case] = cases! {
    "open a missing file": |at| Map::open(at.join("missing")).map(drop)
        => NotFound, says ["open", "missing", "no such file"];
    "open a file in a missing folder": |at| Map::open(at.join("no/file")).map(drop)
        => NotFound, says ["no/file"];
    "open below a file": |at| Map::open(at.join("ten/file")).map(drop)
        => InvalidInput, says ["ten/file", "not a directory"];
    "open a link to itself": |at| Map::open(at.join("loop")).map(drop)
        => InvalidInput, says ["loop"];
    "open a name that is too long": |at| Map::open(at.join("n".repeat(300))).map(drop)
        => InvalidInput, says ["nnn", "too long"];
    "open a directory": |at| Map::open(at.join("folder")).map(drop)
        => InvalidInput, says ["folder", "directory"];
    "open a directory for writing": |at| Map::open_mut(at.join("folder")).map(drop)
        => InvalidInput, says ["folder", "directory"];
    "open a pipe": |at| Map::open(at.join("pipe")).map(drop)
        => InvalidInput, says ["pipe", "load"];
    "open a pipe for writing": |at| Map::open_mut(at.join("pipe")).map(drop)
        => InvalidInput, says ["pipe"];
    "open a socket": |at| Map::open(at.join("socket")).map(drop)
        => Unsupported, says ["socket"];
    "map a pipe's end": |_| Map::of(rustix::pipe::pipe().unwrap().0).map(drop)
        => InvalidInput, says ["pipe", "load"];
    "map a terminal-like device": |_| Map::open("/dev/null").map(drop)
        => InvalidInput, says ["/dev/null", "length"];
    "map a file of /proc": |_| Map::open("/proc/self/status").map(drop)
        => Unsupported, says ["/proc/self/status", "load"];
    "write a file opened for reading": |at| MapOptions::new().map_mut(read_only(&at.join("ten"))).map(drop)
        => PermissionDenied, says ["ten", "reading and writing"];
    "read a file opened for writing": |at| {
        Map::of(File::options().write(true).open(at.join("ten")).unwrap()).map(drop)
    } => PermissionDenied, says ["ten", "reading"];
    "offset beyond the end": |at| MapOptions::new().offset(11).open(at.join("ten")).map(drop)
        => OutOfBounds, says ["ten", "11", "10"];
    "offset at the end of all offsets": |at| MapOptions::new().offset(u64::MAX).open(at.join("ten")).map(drop)
        => OutOfBounds, says ["ten", "18446744073709551615", "10"];
    "length beyond the end": |at| MapOptions::new().len(11).open(at.join("ten")).map(drop)
        => OutOfBounds, says ["ten", "11", "10"];
    "offset and length beyond the end": |at| MapOptions::new().offset(8).len(3).open(at.join("ten")).map(drop)
        => OutOfBounds, says ["ten", "8", "3", "10"];
    "length that overflows": |at| MapOptions::new().offset(8).len(usize::MAX).open(at.join("ten")).map(drop)
        => OutOfBounds, says ["ten", "18446744073709551615"];
    "a file larger than the address space": |_| Map::of(huge_file()).map(drop)
        => OutOfMemory, says ["huge", "1152921504606846976"];
    "reserve more than the address space": |at| {
        MapOptions::new().reserve(TOO_MUCH).open(at.join("ten")).map(drop)
    } => OutOfMemory, says ["ten", "1152921504606846976"];
    "reserve more than can be counted": |at| {
        MapOptions::new().reserve(usize::MAX).open(at.join("ten")).map(drop)
    } => OutOfMemory, says ["ten", "18446744073709551615"];
    "memory beyond the address space": |_| MapOptions::new().memory(TOO_MUCH).map(drop)
        => OutOfMemory, says ["memory", "1152921504606846976"];
    "memory beyond counting": |_| MapOptions::new().shared_memory(usize::MAX).map(drop)
        => OutOfMemory, says ["memory", "18446744073709551615"];
    "guards beyond counting": |_| MapOptions::new().guard(usize::MAX).memory(4096).map(drop)
        => OutOfMemory, says ["memory"];
    "memory with an offset": |_| MapOptions::new().offset(1).memory(4096).map(drop)
        => InvalidInput, says ["offset", "memory"];
    "secret memory with a length of a file": |_| MapOptions::new().len(1).secret_memory(4096).map(drop)
        => InvalidInput, says ["length", "memory"];
    "pages of the pool for a file that has others": |at| {
        MapOptions::new().huge_pages(HugePages::Reserved(2 << 20)).open(at.join("ten")).map(drop)
    } => InvalidInput, says ["4096", "2097152", "hugetlbfs"];
    "a guard before the first address": |_| {
        MapOptions::new().placement(Placement::Exactly(65_536)).guard(1 << 20).memory(4096).map(drop)
    } => InvalidInput, says ["0x10000", "guard"];
    "wipe shared memory in a child": |_| {
        MapOptions::new().fork(mapwright::ForkPolicy::Wipe).shared_memory(4096).map(drop)
    } => InvalidInput, says ["private", "wiped"];
    "huge pages of an odd size": |_| {
        MapOptions::new().huge_pages(HugePages::Reserved(12_345)).memory(4096).map(drop)
    }
        => InvalidInput, says ["12345"];
    "a place that is not a page": |_| {
        MapOptions::new().placement(Placement::Exactly(12_345)).memory(4096).map(drop)
    }
        => InvalidInput, says ["0x3039", "4096"];
    "a place that is taken": |_| {
        let taken = MapOptions::new().memory(4096).unwrap();
        MapOptions::new().placement(Placement::Exactly(taken.as_ptr().addr())).memory(4096).map(drop)
    } => AlreadyExists, says ["memory"];
    "create what exists": |at| Map::create(at.join("ten"), 100).map(drop)
        => AlreadyExists, says ["ten"];
    "create in a missing folder": |at| Map::create(at.join("no/file"), 100).map(drop)
        => NotFound, says ["no/file"];
    "create more than there is room": |at| Map::create(at.join("new"), TOO_MUCH).map(drop)
        => NoSpace, says ["new"];
    "lock what is locked": |at| {
        let _held = MapOptions::new().lock_file(FileLock::Exclusive).open(at.join("ten")).unwrap();
        MapOptions::new().lock_file(FileLock::Shared).open(at.join("ten")).map(drop)
    } => Busy, says ["ten", "lock"];
    "split between pages": |at| Map::open(at.join("ten")).unwrap().split(5).map(drop)
        => InvalidInput, says ["5", "10", "page"];
    "split beyond the end": |at| Map::open(at.join("ten")).unwrap().split(4096).map(drop)
        => InvalidInput, says ["4096", "10"];
    "load a missing file": |at| mapwright::load(at.join("missing")).map(drop)
        => NotFound, says ["missing"];
    "load a directory": |at| mapwright::load(at.join("folder")).map(drop)
        => InvalidInput, says ["folder", "directory"];
};

/// The folder has an array of ten numbers, one of trades, and arrays that somebody has damaged.
pub(super) const ARRAYS: &[Case] = cases! {
    "a missing array": |at| MapVec::<u64>::open(at.join("missing")).map(drop)
        => NotFound, says ["missing", "no such file"];
    "a folder as an array": |at| MapVec::<u64>::open(at.join("folder")).map(drop)
        => InvalidInput, says ["folder", "directory"];
    "a pipe as an array": |at| MapVec::<u64>::open(at.join("pipe")).map(drop)
        => InvalidInput, says ["pipe"];
    "a device as an array": |_| MapVec::<u64>::open("/dev/null").map(drop)
        => InvalidInput, says ["/dev/null", "device"];
    "a folder as a raw array": |at| {
        MapVecOptions::new().headerless().open_read_only::<u64>(at.join("folder")).map(drop)
    } => InvalidInput, says ["folder", "directory"];
    "read a pipe as an array": |at| MapVec::<u64>::open_read_only(at.join("pipe")).map(drop)
        => InvalidInput, says ["pipe"];
    "a pipe as a raw array": |at| {
        MapVecOptions::new().headerless().open::<u64>(at.join("pipe")).map(drop)
    } => InvalidInput, says ["pipe"];
    "a socket as an array": |at| MapVec::<u64>::open(at.join("socket")).map(drop)
        => Unsupported, says ["socket"];
    "an array below a file": |at| MapVec::<u64>::open(at.join("ten/array")).map(drop)
        => InvalidInput, says ["ten/array", "not a directory"];
    "create an array below a file": |at| MapVec::<u64>::create(at.join("ten/array")).map(drop)
        => InvalidInput, says ["ten/array", "not a directory"];
    "a link to itself as an array": |at| MapVec::<u64>::open(at.join("loop")).map(drop)
        => InvalidInput, says ["loop"];
    "no path at all": |_| MapVec::<u64>::open("").map(drop)
        => NotFound, says ["\"\""];
    "create at no path at all": |_| MapVec::<u64>::create("").map(drop)
        => NotFound, says ["\"\""];
    "a name that is too long": |at| MapVec::<u64>::create(at.join("n".repeat(300))).map(drop)
        => InvalidInput, says ["nnn", "too long"];
    "create an array where a folder is": |at| MapVec::<u64>::create(at.join("folder")).map(drop)
        => AlreadyExists, says ["folder"];
    "open or create where a folder is": |at| MapVec::<u64>::open_or_create(at.join("folder")).map(drop)
        => InvalidInput, says ["folder", "directory"];
    "open or create on a link to itself": |at| MapVec::<u64>::open_or_create(at.join("loop")).map(drop)
        => InvalidInput, says ["loop"];
    "a file of /proc as an array": |_| MapVec::<u64>::open_read_only("/proc/self/status").map(drop)
        => Damaged, says ["/proc/self/status", "0 bytes"];
    "a file of /proc as a raw array": |_| {
        MapVecOptions::new().headerless().open_read_only::<u8>("/proc/self/status").map(drop)
    } => Unsupported, says ["/proc/self/status"];
    "an array in a missing folder": |at| MapVec::<u64>::create(at.join("no/array")).map(drop)
        => NotFound, says ["no/array"];
    "create over an array": |at| MapVec::<u64>::create(at.join("numbers")).map(drop)
        => AlreadyExists, says ["numbers"];
    "create over a text": |at| MapVec::<u64>::create(at.join("text")).map(drop)
        => AlreadyExists, says ["text"];
    "an empty file as an array": |at| MapVec::<u64>::open(at.join("empty")).map(drop)
        => Damaged, says ["empty", "0 bytes", "4096"];
    "a short file as an array": |at| MapVec::<u64>::open(at.join("ten")).map(drop)
        => Damaged, says ["ten", "10 bytes", "4096"];
    "a long text as an array": |at| MapVec::<u64>::open(at.join("long text")).map(drop)
        => Damaged, says ["long text", "no array", "headerless"];
    "open or create on a long text": |at| MapVec::<u64>::open_or_create(at.join("long text")).map(drop)
        => Damaged, says ["long text", "no array"];
    "numbers of another type": |at| MapVec::<f64>::open(at.join("numbers")).map(drop)
        => TypeMismatch, says ["numbers", "`u64`", "`f64`"];
    "numbers of another size": |at| MapVec::<u32>::open_read_only(at.join("numbers")).map(drop)
        => TypeMismatch, says ["numbers", "8 bytes", "4 bytes"];
    "trades as numbers": |at| MapVec::<u64>::open(at.join("trades")).map(drop)
        => TypeMismatch, says ["trades", "price:f64@8", "`u64`"];
    "trades with a renamed field": |at| MapVec::<Renamed>::open(at.join("trades")).map(drop)
        => TypeMismatch, says ["trades", "`price:f64@8`", "`cost:f64@8`", "differ"];
    "trades with a new field": |at| MapVec::<Longer>::open(at.join("trades")).map(drop)
        => TypeMismatch, says [
            "trades", "16 bytes", "24 bytes", "nothing after `price:f64@8`, where `venue:[u8;8]@16`",
        ];
    "a damaged magic number": |at| MapVec::<u64>::open(at.join("magic")).map(drop)
        => Damaged, says ["magic", "no array"];
    "a later version of the format": |at| MapVec::<u64>::open(at.join("version")).map(drop)
        => Unsupported, says ["version", "1"];
    "a damaged header": |at| MapVec::<u64>::open(at.join("header")).map(drop)
        => Damaged, says ["header", "checksum"];
    "a damaged count": |at| MapVec::<u64>::open(at.join("count")).map(drop)
        => Damaged, says ["count", "room for 10", "recover"];
    "an array that was cut": |at| MapVec::<u64>::open(at.join("cut")).map(drop)
        => Damaged, says ["cut", "10 elements", "ends after 7", "recover"];
    "a raw array with a half element": |at| {
        MapVecOptions::new().headerless().open::<u64>(at.join("ten")).map(drop)
    } => Damaged, says ["ten", "10 bytes", "1 elements and 2 bytes", "recover"];
    "a raw array with a half element, read": |at| {
        MapVecOptions::new().headerless().open_read_only::<u64>(at.join("ten")).map(drop)
    } => Damaged, says ["ten", "10 bytes", "1 elements and 2 bytes", "recover"];
    "a raw array shorter than an element": |at| {
        MapVecOptions::new().headerless().open::<Longer>(at.join("ten")).map(drop)
    } => Damaged, says ["ten", "10 bytes", "24", "0 elements and 10 bytes"];
    "a lock on an array in use": |at| {
        let _first = MapVec::<u64>::open(at.join("numbers"))?;
        let options = MapVecOptions::new().lock_file(FileLock::Shared);
        options.open_read_only::<u64>(at.join("numbers")).map(drop)
    } => Busy, says ["numbers"];
    "two writers": |at| {
        let _first = MapVec::<u64>::open(at.join("numbers"))?;
        MapVec::<u64>::open(at.join("numbers")).map(drop)
    } => Busy, says ["numbers", "one writer"];
    "an element beyond the end": |at| MapVec::<u64>::open(at.join("numbers"))?.get(10).map(drop)
        => OutOfBounds, says ["numbers", "element 10", "10"];
    "change beyond the end": |at| MapVec::<u64>::open(at.join("numbers"))?.set(usize::MAX, 1)
        => OutOfBounds, says ["numbers", "18446744073709551615", "10"];
    "elements beyond the end": |at| MapVec::<u64>::open(at.join("numbers"))?.to_vec(5..12).map(drop)
        => OutOfBounds, says ["numbers", "5..12", "10"];
    "freeze beyond the end": |at| Frozen::snapshot(read_only(&at.join("ten")), 5..12).map(drop)
        => OutOfBounds, says ["ten", "12", "10"];
    "freeze a folder": |at| Frozen::open(at.join("folder")).map(drop)
        => InvalidInput, says ["folder", "directory"];
    "verity where there is none": |at| Frozen::from_verity(read_only(&at.join("ten"))).map(drop)
        => Any, says ["ten", "snapshot"];
    "seals of a file on the disk": |at| Frozen::from_sealed(read_only(&at.join("ten"))).map(drop)
        => Any, says ["ten"];
};
