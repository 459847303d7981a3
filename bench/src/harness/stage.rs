//! Two processes that do one job: the second is this program again, on another core.
//!
//! A [`Duo`] is two functions. The first runs in the process that measures; the second in a fresh process for
//! every sample. They get a [`Stage`] each: memory, sockets and event counters that both have, a folder in
//! memory, and a place to meet. Threads would share an address space, a page table and an allocator, and
//! that is not what is claimed here.

use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::rc::Rc;
use std::sync::atomic::{AtomicU64, Ordering};

use anyhow::{Context, Result, bail, ensure};

use super::meter::Meter;
use super::processors::{Pinned, Processors};
use super::row::{Peer, Role};
use super::shared::Shared;
use super::watchdog::Watchdog;

/// The first argument of a program that is the second process.
pub(crate) const SECOND: &str = "--as-second-process";

/// How much memory both have for their job, in bytes.
pub(crate) const AREA: usize = 4 << 20;

/// Where the control words lie: behind the job's memory.
const ARRIVALS: [usize; 2] = [AREA, AREA + 128];
const REPORTS: usize = AREA + 256;
const REPORT_COUNT: usize = 8;
const CONTROL: usize = 4096;

/// A job for two processes.
#[derive(Clone, Copy)]
pub(crate) struct Duo {
    pub(crate) name: &'static str,
    pub(crate) role: Role,
    /// Runs in the process that measures.
    pub(crate) first: fn(&mut Stage, &mut Meter) -> Result<()>,
    /// Runs in the other one.
    pub(crate) second: fn(&mut Stage) -> Result<()>,
}

impl Duo {
    /// The peer that calls a second process for each of its samples. `amount` is how much work both do.
    pub(crate) fn peer(self, row: &'static str, memory: &Path, amount: u64) -> Peer {
        let memory = memory.to_owned();
        Peer::new(self.role, self.name, move |meter| self.perform(row, &memory, amount, meter))
    }

    /// Takes one sample.
    ///
    /// # Errors
    /// Where one of the two fails.
    pub(crate) fn perform(self, row: &str, memory: &Path, amount: u64, meter: &mut Meter) -> Result<()> {
        let processors = Processors::two()?;
        let _pinned = Pinned::to(processors.first)?;
        let folder = tempfile::Builder::new().prefix("stage-").tempdir_in(memory)?;
        let mut stage = Stage::new(folder.path(), amount)?;
        let second = stage.call(row, self.name, processors.second)?;
        (self.first)(&mut stage, meter)?;
        second.finish()
    }
}

/// What one of the two has of what both share.
pub(crate) struct Stage {
    /// A folder in memory for this sample.
    pub(crate) folder: PathBuf,
    /// How much work both do.
    pub(crate) amount: u64,
    /// Memory of [`AREA`] bytes, present and zero.
    pub(crate) memory: Rc<Shared>,
    /// One end of a Unix socket of packets.
    pub(crate) packets: OwnedFd,
    /// One end of a Unix socket of bytes.
    pub(crate) bytes: OwnedFd,
    /// Event counters: the first signals the first one, the second the second one.
    pub(crate) events: [OwnedFd; 2],
    /// Which of the two this is: 0 or 1.
    pub(crate) side: usize,
    /// The other ends.
    theirs: Vec<OwnedFd>,
    met: u64,
}

impl Stage {
    fn new(folder: &Path, amount: u64) -> Result<Self> {
        let [packets, their_packets] = socket_pair(libc::SOCK_SEQPACKET)?;
        let [bytes, their_bytes] = socket_pair(libc::SOCK_STREAM)?;
        Ok(Self {
            folder: folder.to_owned(),
            amount,
            memory: Rc::new(Shared::new(AREA + CONTROL)?),
            packets,
            bytes,
            events: [event_counter()?, event_counter()?],
            side: 0,
            theirs: vec![their_packets, their_bytes],
            met: 0,
        })
    }

    /// Starts the second process, which inherits what was made for it.
    fn call(&mut self, row: &str, peer: &str, processor: usize) -> Result<Watchdog> {
        let descriptors = [self.memory.descriptor(), self.theirs[0].as_raw_fd(), self.theirs[1].as_raw_fd()]
            .into_iter()
            .chain(self.events.iter().map(AsRawFd::as_raw_fd));
        let mut command = Command::new(std::env::current_exe().context("find this program")?);
        command.args([SECOND, row, peer, &processor.to_string(), &self.amount.to_string()]);
        command.arg(&self.folder).args(descriptors.map(|descriptor| descriptor.to_string()));
        let first = std::process::id();
        let die_with_us = move || {
            // SAFETY: no pointers are passed.
            unsafe { libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL) };
            // SAFETY: no pointers are passed.
            let parent = unsafe { libc::getppid() };
            if parent as u32 == first { Ok(()) } else { Err(std::io::ErrorKind::NotFound.into()) }
        };
        // SAFETY: two system calls are all that is done between fork and exec.
        unsafe { command.pre_exec(die_with_us) };
        let child = command.spawn().context("start the second process")?;
        let watchdog = Watchdog::over(child, format!("{row}, {peer}"))?;
        self.theirs.clear();
        Ok(watchdog)
    }

    /// The name of this run: with it begins the name of everything in /dev/shm that the run removes.
    pub(crate) fn run(&self) -> Result<&str> {
        let name = self.folder.parent().and_then(Path::file_name).and_then(std::ffi::OsStr::to_str);
        name.context("a sample's folder is in the run's folder")
    }

    /// Waits until the other one has come here as often as this one.
    pub(crate) fn meet(&mut self) {
        self.met += 1;
        self.memory.word(ARRIVALS[self.side]).store(self.met, Ordering::Release);
        while self.memory.word(ARRIVALS[1 - self.side]).load(Ordering::Acquire) < self.met {
            std::hint::spin_loop();
        }
    }

    /// A word in which one tells the other what it has found.
    pub(crate) fn report(&self, number: usize) -> &AtomicU64 {
        assert!(number < REPORT_COUNT, "there are {REPORT_COUNT} reports");
        self.memory.word(REPORTS + number * 128)
    }
}

/// What this process is asked to do, where it is a second process.
pub(crate) struct Call {
    pub(crate) row: String,
    pub(crate) peer: String,
    processor: usize,
    amount: u64,
    folder: PathBuf,
    descriptors: Vec<RawFd>,
}

impl Call {
    /// # Errors
    /// Where the arguments are not those that [`Stage::call`] gives.
    pub(crate) fn parse(mut arguments: impl Iterator<Item = String>) -> Result<Self> {
        let mut next = || arguments.next().context("a second process is started by the first one only");
        let (row, peer, processor, amount) = (next()?, next()?, next()?.parse()?, next()?.parse()?);
        let folder = PathBuf::from(next()?);
        let descriptors: Vec<RawFd> = arguments.map(|text| text.parse()).collect::<Result<_, _>>()?;
        ensure!(descriptors.len() == 5, "the second process needs 5 files, not {}", descriptors.len());
        Ok(Self { row, peer, processor, amount, folder, descriptors })
    }

    /// Does it.
    ///
    /// # Errors
    /// Where the job fails.
    pub(crate) fn answer(self, duos: &[Duo]) -> Result<()> {
        let Some(duo) = duos.iter().find(|duo| duo.name == self.peer) else {
            bail!("no peer of {} is named {}", self.row, self.peer);
        };
        let _pinned = Pinned::to(self.processor)?;
        // SAFETY: the first process has made these files for us, and this is the only place that takes them.
        let mut owned = self.descriptors.iter().map(|&number| unsafe { OwnedFd::from_raw_fd(number) });
        let mut next = || owned.next().context("the second process needs all its files");
        let mut stage = Stage {
            memory: Rc::new(Shared::attach(next()?, AREA + CONTROL)?),
            packets: next()?,
            bytes: next()?,
            events: [next()?, next()?],
            folder: self.folder,
            amount: self.amount,
            side: 1,
            theirs: Vec::new(),
            met: 0,
        };
        (duo.second)(&mut stage).with_context(|| format!("{}, {}: the second process", self.row, self.peer))
    }
}

fn socket_pair(kind: i32) -> Result<[OwnedFd; 2]> {
    let mut ends = [0; 2];
    // SAFETY: the kernel writes two descriptors.
    let status = unsafe { libc::socketpair(libc::AF_UNIX, kind, 0, ends.as_mut_ptr()) };
    ensure!(status == 0, "make a pair of sockets: {}", std::io::Error::last_os_error());
    // SAFETY: the descriptors are new and nobody else's.
    Ok(ends.map(|end| unsafe { OwnedFd::from_raw_fd(end) }))
}

fn event_counter() -> Result<OwnedFd> {
    // SAFETY: no pointers are passed.
    let counter = unsafe { libc::eventfd(0, 0) };
    ensure!(counter >= 0, "make an event counter: {}", std::io::Error::last_os_error());
    // SAFETY: the descriptor is new and nobody else's.
    Ok(unsafe { OwnedFd::from_raw_fd(counter) })
}
