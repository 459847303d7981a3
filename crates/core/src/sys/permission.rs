//! What this thread may do to a file, asked without doing it.

use std::os::fd::BorrowedFd;

use rustix::fs::{Access, AtFlags};

use super::file;

/// Tells whether the thread owns the file or may write it: the kernel's own test before it reveals what is
/// cached.
pub(crate) fn owns_or_may_write(fd: BorrowedFd<'_>) -> bool {
    let may_write = || {
        rustix::fs::accessat(rustix::fs::CWD, file::proc_path(fd), Access::WRITE_OK, AtFlags::EACCESS).is_ok()
    };
    owns(fd).unwrap_or(false) || may_write()
}

/// Tells whether the thread's file-system identity is the file's owner, or may act as any owner
/// (`CAP_FOWNER`).
fn owns(fd: BorrowedFd<'_>) -> Option<bool> {
    const CAP_FOWNER: u32 = 3;
    let owner = rustix::fs::fstat(fd).ok()?.st_uid;
    let status = std::fs::read_to_string("/proc/thread-self/status").ok()?;
    let field = |name| status.lines().find_map(|line: &str| line.strip_prefix(name)).map(str::trim);
    // Real, effective, saved, file system.
    let identity: u32 = field("Uid:")?.split_ascii_whitespace().nth(3)?.parse().ok()?;
    let capabilities = u64::from_str_radix(field("CapEff:")?, 16).ok()?;
    Some(identity == owner || capabilities & (1 << CAP_FOWNER) != 0)
}
