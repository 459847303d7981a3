//! The table of mistakes.

use mapwright::{Error, ErrorKind, FileLock, HugePages, Map, MapOptions, Placement};
use std::fs::File;
use std::path::Path;

/// One mistake, and what the error must be.
pub(super) struct Case {
    pub(super) name: &'static str,
    pub(super) run: fn(&Path) -> Result<(), Error>,
    pub(super) kind: ErrorKind,
    /// What the message names.
    pub(super) says: &'static [&'static str],
}

impl Case {
    /// Checks the error, and prints its message.
    pub(super) fn check(&self, error: &Error) -> Result<(), String> {
        let message = error.to_string();
        println!("  {:<44}{message}", self.name);
        if error.kind() != self.kind {
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

macro_rules! cases {
    ($($name:literal: $run:expr => $kind:ident, says $says:expr;)*) => {
        &[$(Case { name: $name, run: $run, kind: ErrorKind::$kind, says: &$says }),*]
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
    "wipe shared memory in a child": |_| {
        MapOptions::new().fork(mapwright::ForkPolicy::Wipe).shared_memory(4096).map(drop)
    } => InvalidInput, says ["private", "wiped"];
    "huge pages of an odd size": |_| MapOptions::new().huge_pages(HugePages::Reserved(12_345)).memory(4096).map(drop)
        => InvalidInput, says ["12345"];
    "a place that is not a page": |_| MapOptions::new().placement(Placement::Exactly(12_345)).memory(4096).map(drop)
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
