//! The ways to read a file, each as somebody would write it who knows it well.

use std::fs::{File, OpenOptions};
use std::io;
use std::ops::ControlFlow;
use std::os::unix::fs::{FileExt, FileTypeExt, OpenOptionsExt};
use std::path::Path;

use mapwright::{DirectOptions, DirectQueue, Map, MapOptions, Span, Unmap};
use serde::Serialize;

use super::run::{Order, Turn};
use crate::outcome::{Failure, reason};
use crate::ui::quoted;
use crate::width::{narrow, wide};

/// What one call reads in order.
const PIECE: usize = 1 << 20;

/// What is read at a random place.
pub(super) const BLOCK: usize = 4096;

/// What is copied from a map at once in order: fits into a core's own cache.
const CHUNK: usize = 64 << 10;

/// How many random places are asked for together, where a way can.
const TOGETHER: usize = 2048;

/// The most that a way reads at once.
pub(super) const LARGEST: usize = TOGETHER * BLOCK;

/// A way to read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Way {
    /// read(2) through the page cache.
    Read,
    /// A map without advice, touched as it comes.
    Mmap,
    /// Direct reads past the page cache, one after the other.
    Direct,
    /// Direct reads, many in flight.
    #[serde(rename = "io_uring")]
    IoUring,
    /// The library: it is told what will be read.
    Mapwright,
}

impl Way {
    /// All of them, in the order in which they are shown.
    pub(super) const ALL: [Self; 5] = [Self::Read, Self::Mmap, Self::Direct, Self::IoUring, Self::Mapwright];

    /// Its name.
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Read => "read(2)",
            Self::Mmap => "plain mmap",
            Self::Direct => "O_DIRECT",
            Self::IoUring => "io_uring",
            Self::Mapwright => "mapwright",
        }
    }

    /// Whether it takes what is in memory from there.
    pub(super) const fn uses_memory(self) -> bool {
        !matches!(self, Self::Direct | Self::IoUring)
    }

    /// Whether it needs a map.
    pub(super) const fn maps(self) -> bool {
        matches!(self, Self::Mmap | Self::Mapwright)
    }

    /// How it maps.
    pub(super) fn options(self) -> MapOptions {
        MapOptions::new().unmap(if self == Self::Mmap { Unmap::AtOnce } else { Unmap::InBackground })
    }

    /// Sets up what it needs beside a map.
    pub(super) fn queue(self, subject: &Subject, order: Order) -> Result<Option<DirectQueue>, Failure> {
        let options = match order {
            Order::Sequential => DirectOptions::new().depth(16).block_len(PIECE),
            Order::Random => DirectOptions::new().depth(64).block_len(BLOCK),
        };
        if self == Self::IoUring { Ok(Some(options.open(&subject.file)?)) } else { Ok(None) }
    }

    /// Reads the subject from its beginning, for as long as the turn lasts.
    pub(super) fn in_order(
        self,
        subject: &Subject,
        tools: Tools<'_>,
        turn: &mut Turn,
    ) -> Result<(), Failure> {
        match self {
            Self::Read => subject.pread_in_order(&subject.file, turn),
            Self::Direct => subject.pread_in_order(subject.direct()?, turn),
            Self::IoUring => {
                let pieces = (0..subject.size).step_by(PIECE);
                subject.read_queued(given(tools.queue), pieces, turn)
            }
            Self::Mmap => {
                let (view, mut at) = (given(tools.map).view(), 0);
                while at < view.len() {
                    let len = CHUNK.min(view.len() - at);
                    if turn.fill(len, |chunk| view.copy_to(at, chunk))? {
                        break;
                    }
                    at += len;
                }
                Ok(())
            }
            Self::Mapwright => {
                let mut stream = given(tools.map).view().stream();
                while let Some(chunk) = stream.next_chunk() {
                    if turn.took(chunk?) {
                        break;
                    }
                }
                Ok(())
            }
        }
    }

    /// Reads blocks at random places, for as long as the turn lasts.
    pub(super) fn at_random(
        self,
        subject: &Subject,
        tools: Tools<'_>,
        turn: &mut Turn,
    ) -> Result<(), Failure> {
        match self {
            Self::Read => subject.pread_at_random(&subject.file, turn),
            Self::Direct => subject.pread_at_random(subject.direct()?, turn),
            Self::IoUring => {
                let places = turn.places();
                subject.read_queued(given(tools.queue), places, turn)
            }
            Self::Mmap => {
                let view = given(tools.map).view();
                while let Some(at) = turn.next_place() {
                    turn.fill(BLOCK, |block| view.copy_to(narrow(at), block))?;
                }
                Ok(())
            }
            Self::Mapwright => {
                let view = given(tools.map).view();
                loop {
                    let places = (0..TOGETHER).map_while(|_| turn.next_place());
                    let spans: Vec<Span> = places.filter_map(|at| Span::new(narrow(at), BLOCK)).collect();
                    if spans.is_empty()
                        || turn.fill(spans.len() * BLOCK, |blocks| view.gather(&spans, blocks))?
                    {
                        return Ok(());
                    }
                }
            }
        }
    }
}

/// What a way works with, as far as it needs it.
pub(super) struct Tools<'a> {
    pub(super) map: Option<&'a Map>,
    pub(super) queue: Option<&'a mut DirectQueue>,
}

fn given<T>(tool: Option<T>) -> T {
    tool.expect("a way is given what it needs")
}

/// The file that is read.
pub(super) struct Subject {
    file: File,
    direct: io::Result<File>,
    /// Why there can be no queue of direct reads.
    queue: Option<String>,
    size: u64,
    path: String,
}

impl Subject {
    /// Opens a file; no more than `most` bytes of it are read.
    pub(super) fn open(path: &Path, most: u64) -> Result<Self, Failure> {
        let quoted = quoted(path);
        let refused = |cause| Failure::os("open", &quoted, cause);
        let file = File::open(path).map_err(refused)?;
        let kind = file.metadata().map_err(refused)?.file_type();
        if !kind.is_file() && !kind.is_block_device() {
            let what = format!("cannot measure {quoted}: it is neither a file nor a block device");
            return Err(Failure::new(what));
        }
        let len = wide(Map::of(&file)?.len());
        let block = wide(BLOCK);
        let size = len.min(most) / block * block;
        if len < block {
            let what = format!("cannot measure {quoted}: it has {len} bytes, and {BLOCK} are needed");
            return Err(Failure::new(what).advice("name a file of at least some megabytes"));
        }
        if size == 0 {
            let what = format!("cannot measure {most} bytes of {quoted}: at least {BLOCK} are needed");
            return Err(Failure::misuse(what));
        }
        let direct = OpenOptions::new().read(true).custom_flags(direct_flag()).open(path);
        let queue = DirectQueue::open(&file).err().map(|error| error.to_string());
        Ok(Self { file, direct, queue, size, path: quoted })
    }

    /// How much of it is read.
    pub(super) const fn size(&self) -> u64 {
        self.size
    }

    /// The open file.
    pub(super) const fn file(&self) -> &File {
        &self.file
    }

    /// Why a way cannot read it at all, where that is so.
    pub(super) fn forbids(&self, way: Way) -> Option<String> {
        match way {
            Way::Direct => self.direct.as_ref().err().map(|cause| match cause.kind() {
                io::ErrorKind::InvalidInput => "the file system has no direct reads".to_owned(),
                _ => reason(cause),
            }),
            Way::IoUring => self.queue.clone(),
            Way::Read | Way::Mmap | Way::Mapwright => None,
        }
    }

    fn direct(&self) -> Result<&File, Failure> {
        let refused = |cause: &io::Error| {
            Failure::os("open", format!("{} with O_DIRECT", self.path), io::Error::from(cause.kind()))
        };
        self.direct.as_ref().map_err(refused)
    }

    /// Maps it.
    pub(super) fn map(&self, options: &MapOptions) -> Result<Map, Failure> {
        Ok(options.clone().len(narrow(self.size)).map(&self.file)?)
    }

    fn pread_in_order(&self, file: &File, turn: &mut Turn) -> Result<(), Failure> {
        let mut at = 0;
        while at < self.size {
            let len = PIECE.min(narrow(self.size - at));
            if turn.fill(len, |piece| self.pread(file, piece, at))? {
                break;
            }
            at += wide(len);
        }
        Ok(())
    }

    fn pread_at_random(&self, file: &File, turn: &mut Turn) -> Result<(), Failure> {
        while let Some(at) = turn.next_place() {
            turn.fill(BLOCK, |block| self.pread(file, block, at))?;
        }
        Ok(())
    }

    fn read_queued(
        &self,
        queue: &mut DirectQueue,
        places: impl Iterator<Item = u64>,
        turn: &mut Turn,
    ) -> Result<(), Failure> {
        let (block, mut ends_at) = (queue.block_len(), None);
        queue.read(places, |at, bytes| {
            // The last piece may reach beyond what is measured.
            match bytes.get(..block.min(narrow(self.size - at))) {
                Some(bytes) if !turn.took(bytes) => return ControlFlow::Continue(()),
                Some(_) => {}
                None => ends_at = Some(at + wide(bytes.len())),
            }
            ControlFlow::Break(())
        })?;
        let cut = |end| Failure::new(format!("cannot read {}: it ends at byte {end} now", self.path));
        ends_at.map_or(Ok(()), |end| Err(cut(end)))
    }

    fn pread(&self, file: &File, bytes: &mut [u8], at: u64) -> Result<(), Failure> {
        file.read_exact_at(bytes, at).map_err(|cause| Failure::os("read", &self.path, cause))
    }
}

fn direct_flag() -> i32 {
    i32::try_from(rustix::fs::OFlags::DIRECT.bits()).unwrap_or(0)
}
