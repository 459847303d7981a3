//! The server's side: a directory of a file to test with and two to talk by, kept in memory.

use super::{Failure, Operation, When};
use crate::support::process::Parent;
use crate::support::scratch;
use fuser::{
    Errno, FileAttr, FileHandle, FileType, Filesystem, FopenFlags, Generation, INodeNo, LockOwner, OpenFlags,
    ReplyAttr, ReplyData, ReplyEmpty, ReplyEntry, ReplyOpen, ReplyWrite, Request, Session, SessionACL,
    TimeOrNow, WriteFlags,
};
use std::ffi::OsStr;
use std::os::fd::AsFd;
use std::sync::{Mutex, MutexGuard};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

pub(super) const DATA_NAME: &str = "data";
pub(super) const CONTROL_NAME: &str = "control";
pub(super) const LOG_NAME: &str = "log";
pub(super) const HEAL: &str = "heal";

const DATA: INodeNo = INodeNo(2);
const CONTROL: INodeNo = INodeNo(3);
const LOG: INodeNo = INodeNo(4);
/// Nothing changes behind the kernel's back, so it may remember everything.
const FOREVER: Duration = Duration::from_secs(3600);

/// The role: serves the FUSE connection that is its stdin until it is unmounted.
pub(super) fn serve(parent: &mut Parent) {
    let length = parent.arg(0).parse().unwrap();
    let state = State {
        bytes: scratch::pattern(length),
        failures: Vec::new(),
        failed_count: 0,
        log: Vec::new(),
        told: Vec::new(),
    };
    let connection = std::io::stdin().as_fd().try_clone_to_owned().unwrap();
    let files = Files { state: Mutex::new(state) };
    Session::from_fd(files, connection, SessionACL::All, fuser::Config::default()).unwrap().run().unwrap();
}

struct Files {
    state: Mutex<State>,
}

struct State {
    bytes: Vec<u8>,
    failures: Vec<Failure>,
    failed_count: u64,
    /// What was written and synced since the log was read last.
    log: Vec<String>,
    /// What is being read of it.
    told: Vec<u8>,
}

impl State {
    /// Whether this request fails, by the first plan that says so. Counts it towards every n-th.
    fn failure(&mut self, operation: Operation, end: u64) -> Option<Errno> {
        let mut chosen = None;
        for failure in self.failures.iter_mut().filter(|failure| failure.operation == operation) {
            let fails = match &mut failure.when {
                When::From(offset) => end > *offset,
                When::Nth(left) => {
                    *left = left.saturating_sub(1);
                    *left == 0
                }
            };
            if fails && chosen.is_none() {
                chosen = Some(Errno::from_i32(failure.errno));
            }
        }
        self.failures.retain(|failure| failure.when != When::Nth(0));
        self.failed_count += u64::from(chosen.is_some());
        chosen
    }

    fn obey(&mut self, line: &str) -> Result<(), String> {
        if line.trim() == HEAL {
            self.failures.clear();
        } else {
            self.failures.push(line.parse()?);
        }
        Ok(())
    }
}

impl Files {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }

    fn attributes(&self, inode: INodeNo) -> FileAttr {
        let is_folder = inode == INodeNo::ROOT;
        let length = if inode == DATA { self.state().bytes.len() } else { 0 };
        let size = u64::try_from(length).unwrap();
        FileAttr {
            ino: inode,
            size,
            blocks: size.div_ceil(512),
            atime: UNIX_EPOCH,
            mtime: UNIX_EPOCH,
            ctime: UNIX_EPOCH,
            crtime: UNIX_EPOCH,
            kind: if is_folder { FileType::Directory } else { FileType::RegularFile },
            perm: if is_folder { 0o755 } else { 0o666 },
            nlink: 1,
            uid: rustix::process::geteuid().as_raw(),
            gid: rustix::process::getegid().as_raw(),
            rdev: 0,
            blksize: 4096,
            flags: 0,
        }
    }
}

impl Filesystem for Files {
    fn lookup(&self, _request: &Request, _folder: INodeNo, name: &OsStr, reply: ReplyEntry) {
        match name.to_str() {
            Some(DATA_NAME) => reply.entry(&FOREVER, &self.attributes(DATA), Generation(0)),
            Some(CONTROL_NAME) => reply.entry(&FOREVER, &self.attributes(CONTROL), Generation(0)),
            Some(LOG_NAME) => reply.entry(&FOREVER, &self.attributes(LOG), Generation(0)),
            _ => reply.error(Errno::ENOENT),
        }
    }

    fn getattr(&self, _request: &Request, inode: INodeNo, _handle: Option<FileHandle>, reply: ReplyAttr) {
        reply.attr(&FOREVER, &self.attributes(inode));
    }

    fn setattr(
        &self,
        _request: &Request,
        inode: INodeNo,
        _mode: Option<u32>,
        _uid: Option<u32>,
        _gid: Option<u32>,
        size: Option<u64>,
        _atime: Option<TimeOrNow>,
        _mtime: Option<TimeOrNow>,
        _ctime: Option<SystemTime>,
        _handle: Option<FileHandle>,
        _crtime: Option<SystemTime>,
        _chgtime: Option<SystemTime>,
        _bkuptime: Option<SystemTime>,
        _flags: Option<fuser::BsdFileFlags>,
        reply: ReplyAttr,
    ) {
        if let (DATA, Some(size)) = (inode, size) {
            self.state().bytes.resize(usize::try_from(size).unwrap(), 0);
        }
        reply.attr(&FOREVER, &self.attributes(inode));
    }

    fn open(&self, _request: &Request, inode: INodeNo, _flags: OpenFlags, reply: ReplyOpen) {
        // What is said must arrive at once and in order, so the page cache stays out of it.
        let flags =
            if inode == CONTROL || inode == LOG { FopenFlags::FOPEN_DIRECT_IO } else { FopenFlags::empty() };
        reply.opened(FileHandle(0), flags);
    }

    fn read(
        &self,
        _request: &Request,
        inode: INodeNo,
        _handle: FileHandle,
        offset: u64,
        size: u32,
        _flags: OpenFlags,
        _owner: Option<LockOwner>,
        reply: ReplyData,
    ) {
        let mut state = self.state();
        if inode == CONTROL {
            let text = if offset == 0 { state.failed_count.to_string() } else { String::new() };
            return reply.data(text.as_bytes());
        }
        if inode == LOG {
            // A reader comes several times, each time for what follows.
            if offset == 0 {
                state.told = std::mem::take(&mut state.log).join("\n").into_bytes();
            }
            let start = usize::try_from(offset).unwrap().min(state.told.len());
            let end = state.told.len().min(start + usize::try_from(size).unwrap());
            return reply.data(&state.told[start..end]);
        }
        match state.failure(Operation::Read, offset + u64::from(size)) {
            Some(errno) => reply.error(errno),
            None => {
                let length = state.bytes.len();
                let start = usize::try_from(offset).unwrap().min(length);
                let end = (start + usize::try_from(size).unwrap()).min(length);
                reply.data(&state.bytes[start..end]);
            }
        }
    }

    fn write(
        &self,
        _request: &Request,
        inode: INodeNo,
        _handle: FileHandle,
        offset: u64,
        data: &[u8],
        _write_flags: WriteFlags,
        _flags: OpenFlags,
        _owner: Option<LockOwner>,
        reply: ReplyWrite,
    ) {
        let mut state = self.state();
        let size = u32::try_from(data.len()).unwrap();
        if inode == CONTROL {
            return match std::str::from_utf8(data)
                .map_err(|error| error.to_string())
                .and_then(|line| state.obey(line))
            {
                Ok(()) => reply.written(size),
                Err(why) => {
                    eprintln!("failing fs: {why}");
                    reply.error(Errno::EINVAL);
                }
            };
        }
        match state.failure(Operation::Write, offset + u64::from(size)) {
            Some(errno) => reply.error(errno),
            None => {
                let start = usize::try_from(offset).unwrap();
                let end = start + data.len();
                if end > state.bytes.len() {
                    state.bytes.resize(end, 0);
                }
                state.bytes[start..end].copy_from_slice(data);
                state.log.push(format!("write {offset} {size}"));
                reply.written(size);
            }
        }
    }

    fn fsync(
        &self,
        _request: &Request,
        _inode: INodeNo,
        _handle: FileHandle,
        datasync: bool,
        reply: ReplyEmpty,
    ) {
        let mut state = self.state();
        match state.failure(Operation::Sync, u64::MAX) {
            Some(errno) => reply.error(errno),
            None => {
                state.log.push(format!("sync {}", if datasync { "data" } else { "all" }));
                reply.ok();
            }
        }
    }
}
