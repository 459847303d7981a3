//! From the ranges that callers name to ranges that were checked, with errors that say whose range it was.

use std::fs::File;
use std::ops::{Range, RangeBounds};
use std::os::fd::BorrowedFd;

use crate::error::{Error, ErrorKind, Result, quoted};
use crate::map::{Access, Map};
use crate::span::Span;
use crate::sys::file::{self, Kind};

/// Checks a range against `available` bytes of something named by `name`.
pub(super) fn checked(
    range: impl RangeBounds<usize>,
    available: usize,
    action: &'static str,
    name: impl FnOnce() -> String,
) -> Result<Span> {
    Span::within(range, available)
        .map_err(|bounds| Error::new(ErrorKind::OutOfBounds, action, name(), bounds.to_string()))
}

/// Checks a range of a file or block device against its present length.
pub(super) fn of_file(
    fd: BorrowedFd<'_>,
    range: impl RangeBounds<u64>,
    action: &'static str,
) -> Result<Range<u64>> {
    let description = file::describe(fd).map_err(|cause| Error::os("examine", name_of(fd), cause))?;
    let (Kind::Regular { len } | Kind::Block { len }) = description.kind else {
        let why = "it is neither a file nor a block device";
        return Err(Error::new(ErrorKind::InvalidInput, action, name_of(fd), why));
    };
    let bounds = (range.start_bound().map(|&at| narrow(at)), range.end_bound().map(|&at| narrow(at)));
    let span = checked(bounds, narrow(len), action, || name_of(fd))?;
    Ok(wide(span.offset())..wide(span.end()))
}

/// Names a file in a message by what the kernel remembers of it.
pub(super) fn name_of(fd: BorrowedFd<'_>) -> String {
    file::remembered_path(fd).map_or_else(|| "a file".to_owned(), |path| quoted(&path))
}

/// Returns a map's file, or says that it has none.
pub(super) fn file_behind<'a, A: Access>(map: &'a Map<A>, action: &'static str) -> Result<&'a File> {
    map.file().map(AsRef::as_ref).ok_or_else(|| {
        Error::new(ErrorKind::InvalidInput, action, map.name(), "it shows memory, and no file is behind it")
    })
}

/// Widens a length in memory to one in a file: both are 64 bits wide on every platform that we build for.
pub(super) fn wide(bytes: usize) -> u64 {
    u64::try_from(bytes).unwrap_or(u64::MAX)
}

/// Narrows a length in a file to one in memory: both are 64 bits wide on every platform that we build for.
pub(super) fn narrow(bytes: u64) -> usize {
    usize::try_from(bytes).unwrap_or(usize::MAX)
}
