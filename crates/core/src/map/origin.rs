//! What a fault means: found out afterwards, by asking the file.
//!
//! A signal says where it struck, not why. So a region keeps its source, and after a fault the file is asked:
//! does it still reach that far? Does reading the byte work now? Is there room for the page? Some answers
//! mean that the world has changed back meanwhile (the file was extended again, space was freed): then the
//! access is simply tried again.

use crate::error::FaultKind;
use crate::fault::raw::Trap;
use crate::map::source::Source;
use crate::sys::file::{self, Kind};
use crate::sys::{page, pagemap};

/// What an access wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Wanted {
    Read,
    Write,
}

/// What is behind a region's pages.
#[derive(Debug)]
pub(crate) struct Origin {
    /// The file, where there is one.
    pub(crate) source: Option<Source>,
    /// What the file was when it was mapped.
    pub(crate) kind: Option<Kind>,
    /// The file offset of the region's first visible byte.
    pub(crate) offset: u64,
    /// Whether stores go to private copies.
    pub(crate) private: bool,
    /// Whether there may be such copies, whose bytes are in no file: the map is private, and is or was
    /// writable.
    pub(crate) has_copies: bool,
}

/// What the file answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Diagnosis {
    /// The page can be had now: try again.
    Retry,
    /// It cannot.
    Fault(FaultKind, i32),
}

/// `si_code` of SIGSEGV: no mapping at the address.
const SEGV_MAPERR: i32 = 1;
/// `si_code` of SIGSEGV raised by the processor itself, for an address that cannot exist.
const SI_KERNEL: i32 = 0x80;
/// `si_code` of SIGBUS: the memory itself is broken.
const BUS_MCEERR_AR: i32 = 4;

impl Origin {
    pub(crate) const fn anonymous() -> Self {
        Self { source: None, kind: None, offset: 0, private: true, has_copies: true }
    }

    /// Translates an offset in the visible bytes into one in the file.
    pub(crate) fn file_offset(&self, offset: usize) -> u64 {
        self.offset.saturating_add(u64::try_from(offset).unwrap_or(u64::MAX))
    }

    /// Finds out what a fault at `offset` (counted from the first visible byte) means.
    ///
    /// `attempt` counts from 1: an answer that did not help is not believed for ever.
    pub(crate) fn diagnose(&self, offset: usize, wanted: Wanted, trap: Trap, attempt: usize) -> Diagnosis {
        if trap.signal() == Some(libc::SIGSEGV) {
            return match trap.si_code() {
                // The kernel reports a page guarded by MADV_GUARD_INSTALL as one that is not mapped.
                SEGV_MAPERR if pagemap::is_mapped(trap.address) => {
                    Diagnosis::Fault(FaultKind::Protected, libc::EACCES)
                }
                SEGV_MAPERR | SI_KERNEL => Diagnosis::Fault(FaultKind::Gone, 0),
                _ => Diagnosis::Fault(FaultKind::Protected, libc::EACCES),
            };
        }
        if trap.si_code() == BUS_MCEERR_AR {
            return Diagnosis::Fault(FaultKind::Poisoned, libc::EHWPOISON);
        }
        let Some(source) = &self.source else {
            // Memory without a file raises SIGBUS only where its pool of pages (huge pages, shared memory) is
            // empty.
            return Diagnosis::Fault(FaultKind::NoSpace, libc::ENOMEM);
        };
        let at = self.file_offset(offset);
        match self.kind {
            Some(Kind::Character) => Diagnosis::Fault(FaultKind::Gone, libc::ENODEV),
            _ if wanted == Wanted::Write && !self.private => ask_to_write(source, at),
            _ => match ask_to_read(source, at) {
                // Reading a hole of a shared memory file takes a page, too, which pread does not need.
                Diagnosis::Retry if attempt > 2 && !self.private && is_full(source) => {
                    Diagnosis::Fault(FaultKind::NoSpace, libc::ENOSPC)
                }
                answer => answer,
            },
        }
    }
}

/// Whether the file's file system has no room for one more page.
fn is_full(source: &Source) -> bool {
    let page_bytes = u64::try_from(page::size()).unwrap_or(4096);
    file::space_left(source.fd()).is_ok_and(|left| left < page_bytes)
}

fn ask_to_read(source: &Source, at: u64) -> Diagnosis {
    match file::probe_byte(source.fd(), at) {
        Ok(0) => Diagnosis::Fault(FaultKind::Truncated, 0),
        Ok(_) => Diagnosis::Retry,
        Err(error) => from_error(&error),
    }
}

fn ask_to_write(source: &Source, at: u64) -> Diagnosis {
    // A file opened for writing only cannot be probed, and cannot be mapped either.
    match ask_to_read(source, at) {
        Diagnosis::Retry => {}
        fault @ Diagnosis::Fault(..) => return fault,
    }
    // The page is there to be read, so what the store lacked is room.
    let page_bytes = u64::try_from(page::size()).unwrap_or(4096);
    let start = at & !(page_bytes - 1);
    match file::reserve_within(source.fd(), start, page_bytes) {
        Ok(()) => Diagnosis::Retry,
        Err(error) if error.raw_os_error() == Some(libc::EOPNOTSUPP) => {
            if is_full(source) {
                Diagnosis::Fault(FaultKind::NoSpace, libc::ENOSPC)
            } else {
                Diagnosis::Retry
            }
        }
        Err(error) => from_error(&error),
    }
}

fn from_error(error: &std::io::Error) -> Diagnosis {
    let number = error.raw_os_error().unwrap_or(libc::EIO);
    let kind = match number {
        libc::ENOSPC | libc::EDQUOT => FaultKind::NoSpace,
        libc::ENODEV | libc::ENXIO | libc::ESTALE | libc::EBADF | libc::ENOTCONN | libc::ESHUTDOWN => {
            FaultKind::Gone
        }
        libc::EHWPOISON => FaultKind::Poisoned,
        _ => FaultKind::Io,
    };
    Diagnosis::Fault(kind, number)
}
