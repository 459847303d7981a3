//! A file system without unnamed files: one folder in memory, served through FUSE.
//!
//! It is mounted nowhere: the mount is a descriptor, and gone with it, however the process ends.
//!
//! # Why in a process of its own
//! Who unmaps a file on it writes back what it has changed, and waits for the server's answer with its memory
//! map's lock held for reading (`fuse_vma_close` in the kernel). To read the request the kernel pins the
//! server's buffer, which takes the same lock where a fork has made the buffer copy on write. Were both in
//! one process, a thread that maps, unmaps or forks just then would be queued between the two, as tests that
//! run beside this one do all the time, and all three would wait for ever, beyond the reach of signals.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::path::PathBuf;
use std::process::{self, Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use fuser::{
    Errno, FileAttr, FileHandle, FileType, Filesystem, FopenFlags, Generation, INodeNo, LockOwner, OpenFlags,
    RenameFlags, ReplyAttr, ReplyCreate, ReplyData, ReplyDirectory, ReplyEmpty, ReplyEntry, ReplyWrite,
    Request, Session, SessionACL, TimeOrNow, WriteFlags,
};
use rustix::mount::{
    FsMountFlags, FsOpenFlags, MountAttrFlags, fsconfig_create, fsconfig_set_string, fsmount, fsopen,
};

use mapwright_core::peer::points::{Child, End};
use mapwright_core::{MapOptions, MemFile};

use crate::testing::skip;

/// The kernel asks each time.
const NEVER: Duration = Duration::ZERO;

/// Whether renaming can be told to replace nothing. Where it cannot, a second name is made instead.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Renaming {
    KnowsFlags,
    KnowsNone,
}

/// Tells a process of the tests that it is a server, and of which kind.
const SERVES: &str = "MAPWRIGHT_TEST_SERVES_FUSE";

/// What such a process runs.
const RUNS: &str = "segment::tests::fuse::whoever_unmaps_is_answered_while_others_fork_and_map";

/// The mount and its server; gone when it is dropped.
pub(super) struct Fuse {
    mount: OwnedFd,
    server: process::Child,
}

impl Fuse {
    /// Mounts an empty folder; says what is missing where that cannot be done here.
    pub(super) fn mount(renaming: Renaming) -> Result<Self, String> {
        let device = File::options().read(true).write(true).open("/dev/fuse");
        let device = device.map_err(|error| format!("/dev/fuse: {error}"))?;
        let mount = || {
            let context = fsopen("fuse", FsOpenFlags::FSOPEN_CLOEXEC)?;
            let (user, group) = (rustix::process::geteuid(), rustix::process::getegid());
            for (key, value) in [
                ("source", "mapwright".to_owned()),
                ("fd", device.as_raw_fd().to_string()),
                ("rootmode", "40000".to_owned()),
                ("user_id", user.as_raw().to_string()),
                ("group_id", group.as_raw().to_string()),
            ] {
                fsconfig_set_string(&context, key, value)?;
            }
            fsconfig_create(&context)?;
            fsmount(&context, FsMountFlags::FSMOUNT_CLOEXEC, MountAttrFlags::empty())
        };
        let mount = mount().map_err(|error| format!("mounting FUSE: {error}"))?;
        // Executed anew: it has no memory and no descriptor of this process but the device.
        let server = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "--nocapture", RUNS])
            .env(SERVES, format!("{renaming:?}"))
            .stdin(device)
            .stdout(Stdio::null())
            .spawn();
        let server = server.map_err(|error| format!("starting a server for FUSE: {error}"))?;
        Ok(Self { mount, server })
    }

    /// Returns the folder's path, for this process and its forked children.
    pub(super) fn path(&self) -> PathBuf {
        format!("/proc/self/fd/{}/.", self.mount.as_raw_fd()).into()
    }
}

impl Drop for Fuse {
    fn drop(&mut self) {
        // Not left to the mount's end: children of other tests may have it a while longer.
        self.server.kill().unwrap();
        self.server.wait().unwrap();
    }
}

/// Serves, in a process that was made to.
fn serve(renaming: &str) {
    let renaming =
        [Renaming::KnowsFlags, Renaming::KnowsNone].into_iter().find(|it| format!("{it:?}") == renaming);
    let files = Files { state: Mutex::default(), renaming: renaming.unwrap() };
    let device = std::io::stdin().as_fd().try_clone_to_owned().unwrap();
    let session = Session::from_fd(files, device, SessionACL::Owner, fuser::Config::default());
    // Until the mount is gone.
    session.unwrap().run().unwrap();
}

/// Also what a server runs, which has no other way in.
#[test]
fn whoever_unmaps_is_answered_while_others_fork_and_map() {
    if let Ok(renaming) = std::env::var(SERVES) {
        return serve(&renaming);
    }
    let fuse = match Fuse::mount(Renaming::KnowsFlags) {
        Ok(fuse) => fuse,
        Err(why) => return skip("fuse", &why),
    };
    let is_over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !is_over.load(Ordering::Relaxed) {
                assert_eq!(Child::fork(|| {}).wait(), End::Exited(0));
            }
        });
        scope.spawn(|| {
            let file = MemFile::new("mapped", 4096).unwrap();
            while !is_over.load(Ordering::Relaxed) {
                drop(MapOptions::new().map_mut(&file).unwrap());
            }
        });
        for round in 0..100 {
            let path = fuse.path().join(round.to_string());
            let file = File::options().read(true).write(true).create_new(true).open(&path).unwrap();
            file.set_len(1 << 16).unwrap();
            let map = MapOptions::new().map_mut(&file).unwrap();
            map.view().copy_from(0, &[7; 1 << 16]).unwrap();
            drop(map);
            assert_eq!(std::fs::read(&path).unwrap(), [7; 1 << 16]);
        }
        is_over.store(true, Ordering::Relaxed);
    });
}

#[derive(Clone, Debug)]
struct Node {
    bytes: Vec<u8>,
    mode: u32,
    modified: SystemTime,
    names: u32,
}

#[derive(Debug, Default)]
struct State {
    /// All files that ever were, beginning with number 2: whoever has one open may use it without a name.
    nodes: Vec<Node>,
    names: BTreeMap<OsString, u64>,
}

struct Files {
    state: Mutex<State>,
    renaming: Renaming,
}

impl State {
    fn node(&mut self, number: INodeNo) -> Result<&mut Node, Errno> {
        let index = usize::try_from(number.0).ok().and_then(|number| number.checked_sub(2));
        index.and_then(|index| self.nodes.get_mut(index)).ok_or(Errno::ENOENT)
    }

    fn attributes(&mut self, number: INodeNo) -> Result<FileAttr, Errno> {
        let folder = Node { bytes: Vec::new(), mode: 0o755, modified: UNIX_EPOCH, names: 2 };
        let is_folder = number == INodeNo::ROOT;
        let node = if is_folder { &folder } else { self.node(number)? };
        let size = u64::try_from(node.bytes.len()).unwrap();
        Ok(FileAttr {
            ino: number,
            size,
            blocks: size.div_ceil(512),
            atime: node.modified,
            mtime: node.modified,
            ctime: node.modified,
            crtime: node.modified,
            kind: if is_folder { FileType::Directory } else { FileType::RegularFile },
            perm: u16::try_from(node.mode & 0o7777).unwrap(),
            nlink: node.names,
            uid: rustix::process::geteuid().as_raw(),
            gid: rustix::process::getegid().as_raw(),
            rdev: 0,
            blksize: 4096,
            flags: 0,
        })
    }

    fn find(&self, name: &OsStr) -> Result<INodeNo, Errno> {
        self.names.get(name).copied().map(INodeNo).ok_or(Errno::ENOENT)
    }

    fn name(&mut self, name: &OsStr, number: INodeNo) -> Result<FileAttr, Errno> {
        if self.names.contains_key(name) {
            return Err(Errno::EEXIST);
        }
        self.node(number)?.names += 1;
        self.names.insert(name.to_owned(), number.0);
        self.attributes(number)
    }

    fn forget(&mut self, name: &OsStr) -> Result<INodeNo, Errno> {
        let number = INodeNo(self.names.remove(name).ok_or(Errno::ENOENT)?);
        self.node(number)?.names -= 1;
        Ok(number)
    }
}

impl Files {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }

    fn rename(&self, from: &OsStr, to: &OsStr, flags: RenameFlags) -> Result<(), Errno> {
        if !flags.is_empty() && self.renaming == Renaming::KnowsNone {
            return Err(Errno::EINVAL);
        }
        let mut state = self.state();
        state.find(from)?;
        if flags.contains(RenameFlags::RENAME_NOREPLACE) && state.find(to).is_ok() {
            return Err(Errno::EEXIST);
        }
        let number = state.forget(from)?;
        let _replaced = state.forget(to);
        state.name(to, number).map(drop)
    }
}

fn entry(reply: ReplyEntry, attributes: Result<FileAttr, Errno>) {
    match attributes {
        Ok(attributes) => reply.entry(&NEVER, &attributes, Generation(0)),
        Err(errno) => reply.error(errno),
    }
}

fn empty(reply: ReplyEmpty, result: Result<(), Errno>) {
    match result {
        Ok(()) => reply.ok(),
        Err(errno) => reply.error(errno),
    }
}

fn index(offset: u64) -> usize {
    usize::try_from(offset).unwrap()
}

impl Filesystem for Files {
    fn lookup(&self, _: &Request, _: INodeNo, name: &OsStr, reply: ReplyEntry) {
        let mut state = self.state();
        let found = state.find(name);
        entry(reply, found.and_then(|number| state.attributes(number)));
    }

    fn getattr(&self, _: &Request, number: INodeNo, _: Option<FileHandle>, reply: ReplyAttr) {
        match self.state().attributes(number) {
            Ok(attributes) => reply.attr(&NEVER, &attributes),
            Err(errno) => reply.error(errno),
        }
    }

    fn setattr(
        &self,
        _: &Request,
        number: INodeNo,
        mode: Option<u32>,
        _: Option<u32>,
        _: Option<u32>,
        size: Option<u64>,
        _: Option<TimeOrNow>,
        modified: Option<TimeOrNow>,
        _: Option<SystemTime>,
        _: Option<FileHandle>,
        _: Option<SystemTime>,
        _: Option<SystemTime>,
        _: Option<SystemTime>,
        _: Option<fuser::BsdFileFlags>,
        reply: ReplyAttr,
    ) {
        let mut state = self.state();
        if let Ok(node) = state.node(number) {
            node.mode = mode.unwrap_or(node.mode);
            if let Some(size) = size {
                node.bytes.resize(index(size), 0);
            }
            node.modified = match modified {
                Some(TimeOrNow::SpecificTime(time)) => time,
                Some(TimeOrNow::Now) => SystemTime::now(),
                None => node.modified,
            };
        }
        match state.attributes(number) {
            Ok(attributes) => reply.attr(&NEVER, &attributes),
            Err(errno) => reply.error(errno),
        }
    }

    fn create(
        &self,
        _: &Request,
        _: INodeNo,
        name: &OsStr,
        mode: u32,
        umask: u32,
        _: i32,
        reply: ReplyCreate,
    ) {
        let mut state = self.state();
        let modified = SystemTime::now();
        state.nodes.push(Node { bytes: Vec::new(), mode: mode & !umask, modified, names: 0 });
        let number = INodeNo(u64::try_from(state.nodes.len() + 1).unwrap());
        match state.name(name, number) {
            Ok(made) => {
                reply.created(&NEVER, &made, Generation(0), FileHandle(0), FopenFlags::FOPEN_KEEP_CACHE);
            }
            Err(errno) => reply.error(errno),
        }
    }

    fn read(
        &self,
        _: &Request,
        number: INodeNo,
        _: FileHandle,
        offset: u64,
        size: u32,
        _: OpenFlags,
        _: Option<LockOwner>,
        reply: ReplyData,
    ) {
        match self.state().node(number) {
            Ok(node) => {
                let end = index(offset + u64::from(size)).min(node.bytes.len());
                reply.data(node.bytes.get(index(offset)..end).unwrap_or_default());
            }
            Err(errno) => reply.error(errno),
        }
    }

    fn write(
        &self,
        _: &Request,
        number: INodeNo,
        _: FileHandle,
        offset: u64,
        data: &[u8],
        _: WriteFlags,
        _: OpenFlags,
        _: Option<LockOwner>,
        reply: ReplyWrite,
    ) {
        match self.state().node(number) {
            Ok(node) => {
                let end = index(offset) + data.len();
                node.bytes.resize(end.max(node.bytes.len()), 0);
                node.bytes[index(offset)..end].copy_from_slice(data);
                reply.written(u32::try_from(data.len()).unwrap());
            }
            Err(errno) => reply.error(errno),
        }
    }

    fn fallocate(
        &self,
        _: &Request,
        number: INodeNo,
        _: FileHandle,
        offset: u64,
        length: u64,
        _: i32,
        reply: ReplyEmpty,
    ) {
        let mut state = self.state();
        let grown = state.node(number).map(|node| {
            let end = index(offset + length);
            node.bytes.resize(end.max(node.bytes.len()), 0);
        });
        empty(reply, grown);
    }

    fn rename(
        &self,
        _: &Request,
        _: INodeNo,
        from: &OsStr,
        _: INodeNo,
        to: &OsStr,
        flags: RenameFlags,
        reply: ReplyEmpty,
    ) {
        empty(reply, Self::rename(self, from, to, flags));
    }

    fn link(&self, _: &Request, number: INodeNo, _: INodeNo, name: &OsStr, reply: ReplyEntry) {
        entry(reply, self.state().name(name, number));
    }

    fn unlink(&self, _: &Request, _: INodeNo, name: &OsStr, reply: ReplyEmpty) {
        empty(reply, self.state().forget(name).map(drop));
    }

    fn readdir(&self, _: &Request, _: INodeNo, _: FileHandle, offset: u64, mut reply: ReplyDirectory) {
        for (place, (name, number)) in (1..).zip(&self.state().names).skip(index(offset)) {
            if reply.add(INodeNo(*number), place, FileType::RegularFile, name) {
                break;
            }
        }
        reply.ok();
    }
}
