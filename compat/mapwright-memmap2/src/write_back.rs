//! Starting write-back, which msync(2) with `MS_ASYNC` has not done since Linux 2.6.19.
//!
//! sync_file_range(2) does it, but takes a descriptor, and a map has none: keeping one for each map would use
//! up the process's limit, and closing it would give up every POSIX lock that the process holds on the file
//! (fcntl(2)). So one helper thread finds the file again, by the address, in `/proc/self/maps`. It has a
//! descriptor table of its own, where opening and closing concerns nobody else.
//!
//! It is a service, not a promise: a deleted file cannot be found again without privileges, and then the
//! kernel writes when it always would. Errors of the write-back stay with the file for the next flush to
//! report.

#![allow(unsafe_code, reason = "calls that only libc has; a thread with its own descriptor table")]

use std::fs::{File, OpenOptions};
use std::io::{BufRead, BufReader};
use std::mem::MaybeUninit;
use std::ops::Range;
use std::os::fd::AsRawFd;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::sync::OnceLock;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};

/// How many requests may wait. Beyond that the disk is busy writing anyway.
const WAITING: usize = 64;

/// The way to the helper, and the process that it lives in.
struct Helper {
    requests: SyncSender<Range<usize>>,
    process: u32,
}

/// Asks for write-back of the shared files that are mapped at these addresses.
pub(crate) fn start(addresses: Range<usize>) {
    static HELPER: OnceLock<Option<Helper>> = OnceLock::new();
    let Some(helper) = HELPER.get_or_init(spawn) else { return };
    // A forked child has no helper.
    if helper.process == std::process::id() {
        // Too many requests, or no helper: the kernel writes when it always would.
        let _left_to_the_kernel = helper.requests.try_send(addresses);
    }
}

fn spawn() -> Option<Helper> {
    let (requests, inbox) = sync_channel(WAITING);
    let builder = std::thread::Builder::new().name("mapwright-sync".into()).stack_size(64 << 10);
    builder.spawn(move || serve(&inbox)).ok()?;
    Some(Helper { requests, process: std::process::id() })
}

fn serve(inbox: &Receiver<Range<usize>>) {
    // A signal handler of the program's must not run where the program's descriptors are missing.
    if !block_signals() || !leave_descriptor_table() {
        return;
    }
    while let Ok(addresses) = inbox.recv() {
        for piece in mapped_at(&addresses) {
            piece.write_back();
        }
    }
}

/// Blocks what others may send; what this thread's own faults raise stays.
fn block_signals() -> bool {
    let mut set = MaybeUninit::<libc::sigset_t>::uninit();
    // SAFETY: fills the local set.
    unsafe { libc::sigfillset(set.as_mut_ptr()) };
    for own in [libc::SIGBUS, libc::SIGFPE, libc::SIGILL, libc::SIGSEGV, libc::SIGSYS, libc::SIGTRAP] {
        // SAFETY: takes a valid signal out of the set that was filled above.
        unsafe { libc::sigdelset(set.as_mut_ptr(), own) };
    }
    // SAFETY: the set was filled above; nothing asks for the previous one.
    unsafe { libc::pthread_sigmask(libc::SIG_BLOCK, set.as_ptr(), std::ptr::null_mut()) == 0 }
}

/// Gives this thread an empty descriptor table of its own (Linux 5.9).
fn leave_descriptor_table() -> bool {
    let (first, last) = (0u32, u32::MAX);
    // SAFETY: with CLOSE_RANGE_UNSHARE the table is made this thread's own before anything is closed in it;
    // this thread owns no descriptor.
    let done = unsafe { libc::syscall(libc::SYS_close_range, first, last, libc::CLOSE_RANGE_UNSHARE) };
    done == 0
}

/// A part of a file that is mapped shared.
#[derive(Debug, PartialEq, Eq)]
struct Piece {
    /// The whole mapping's addresses, as the kernel writes them.
    mapping: String,
    path: String,
    inode: u64,
    offset: u64,
    len: u64,
}

fn mapped_at(addresses: &Range<usize>) -> Vec<Piece> {
    let Ok(maps) = File::open("/proc/self/maps") else { return Vec::new() };
    let lines = BufReader::new(maps).lines().map_while(Result::ok);
    lines.filter_map(|line| Piece::of_line(&line, addresses)).collect()
}

impl Piece {
    /// Reads `START-END rw-s OFFSET MAJOR:MINOR INODE      PATH`; `None` where no shared file lies in the
    /// range.
    fn of_line(line: &str, addresses: &Range<usize>) -> Option<Self> {
        let mut fields = line.split_ascii_whitespace();
        let (mapping, permissions, offset) = (fields.next()?, fields.next()?, fields.next()?);
        let (_device, inode) = (fields.next()?, fields.next()?.parse().ok()?);
        let path = line.find('/').map(|at| line[at..].to_owned())?;
        let (start, end) = mapping.split_once('-')?;
        let (start, end) = (usize::from_str_radix(start, 16).ok()?, usize::from_str_radix(end, 16).ok()?);
        let (from, to) = (start.max(addresses.start), end.min(addresses.end));
        if from >= to || !permissions.ends_with('s') {
            return None;
        }
        let skipped = u64::try_from(from - start).ok()?;
        let offset = u64::from_str_radix(offset, 16).ok()?.checked_add(skipped)?;
        let len = u64::try_from(to - from).ok()?;
        Some(Self { mapping: mapping.to_owned(), path, inode, offset, len })
    }

    fn write_back(&self) {
        let (Ok(offset), Ok(len)) = (self.offset.try_into(), self.len.try_into()) else { return };
        let Some(file) = self.open() else { return };
        // SAFETY: takes a descriptor and numbers only. Starting write-back changes no byte and forgets no
        // error.
        unsafe { libc::sync_file_range(file.as_raw_fd(), offset, len, libc::SYNC_FILE_RANGE_WRITE) };
    }

    /// Opens the mapped file: by the mapping itself, which needs privileges, else by the path it was opened
    /// by.
    fn open(&self) -> Option<File> {
        if let Ok(file) = File::open(format!("/proc/self/map_files/{}", self.mapping)) {
            return Some(file);
        }
        // Looked at before it is opened: opening something else may have effects.
        let flags = libc::O_PATH | libc::O_NOFOLLOW;
        let found = OpenOptions::new().read(true).custom_flags(flags).open(&self.path).ok()?;
        let description = found.metadata().ok()?;
        if !description.is_file() || description.ino() != self.inode {
            return None;
        }
        File::open(format!("/proc/thread-self/fd/{}", found.as_raw_fd())).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LINE: &str = "7f00-9f00 rw-s 00002000 fe:01 1234                       /a b/c: d";

    #[test]
    fn a_line_of_maps_is_cut_to_the_addresses_asked_for() {
        let piece = Piece::of_line(LINE, &(0x8000..0x8100)).unwrap();
        assert_eq!((piece.offset, piece.len, piece.inode), (0x2100, 0x100, 1234));
        assert_eq!((piece.path.as_str(), piece.mapping.as_str()), ("/a b/c: d", "7f00-9f00"));
        let whole = Piece::of_line(LINE, &(0..usize::MAX)).unwrap();
        assert_eq!((whole.offset, whole.len), (0x2000, 0x2000));
    }

    #[test]
    fn other_mappings_and_lines_that_make_no_sense_are_left_out() {
        assert_eq!(Piece::of_line(LINE, &(0x9f00..0xa000)), None);
        assert_eq!(Piece::of_line(&LINE.replace("rw-s", "rw-p"), &(0..usize::MAX)), None);
        assert_eq!(Piece::of_line("7f00-9f00 rw-s 0 00:01 77     ", &(0..usize::MAX)), None);
        for line in ["", "x", "7f00-9f00", "7f00-zz rw-s 0 0:0 1 /a", "7f00-9f00 rw-s ff zz:1 x /a"] {
            assert_eq!(Piece::of_line(line, &(0..usize::MAX)), None, "{line}");
        }
    }

    #[test]
    fn a_file_is_found_by_its_path_and_inode() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let inode = file.as_file().metadata().unwrap().ino();
        let path = file.path().to_str().unwrap().to_owned();
        // No mapping has these addresses, so only the path is left.
        let piece = Piece { mapping: "0-0".to_owned(), path, inode, offset: 0, len: 1 };
        assert_eq!(piece.open().unwrap().metadata().unwrap().ino(), inode);
        assert!(Piece { inode: inode + 1, ..piece }.open().is_none());
        let folder = Piece { mapping: "0-0".to_owned(), path: "/".to_owned(), inode: 2, offset: 0, len: 1 };
        assert!(folder.open().is_none());
    }
}
