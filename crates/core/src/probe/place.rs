//! What a file system can do, tried on a small file there.

use std::fs::File;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, Mode, OFlags, StatxAttributes, StatxFlags};

use super::{Capability, Subject, Topic, bytes, setting, words};
use crate::map::MapOptions;
use crate::map::Memory;
use crate::sys::reflink::{self, Extent};
use crate::sys::{file, verity};

/// As large as the largest block that file systems here use.
const LEN: usize = 64 << 10;

pub(super) fn rows(place: &Path) -> Vec<Capability> {
    let folder = if place.is_dir() { place.to_owned() } else { parent(place) };
    let (nameless, refused) = match reflink::nameless(&folder) {
        Ok(file) => (Some(file), None),
        Err(error) => (None, Some(error)),
    };
    let had_no_name = nameless.is_some();
    let file = match nameless.map_or_else(|| named_and_unlinked(&folder), Ok) {
        Ok(fd) => File::from(fd),
        Err(error) => return vec![unusable(&folder, &error)],
    };
    if let Err(error) = file.write_all_at(&vec![1u8; LEN], 0) {
        return vec![unusable(&folder, &error)];
    }
    let mut rows = vec![
        tmpfile(had_no_name, refused),
        shared_maps(&file),
        fallocate(&file),
        holes(&file),
        direct(&file),
        reflinks(&folder, &file),
        dax(&file),
    ];
    rows.extend(read_ahead(&file));
    // Last: it makes the file unchangeable.
    rows.push(fs_verity(file));
    rows
}

fn parent(place: &Path) -> PathBuf {
    match place.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent.to_owned(),
        _ => PathBuf::from("."),
    }
}

/// Where files without a name are not to be had: one whose name is gone before anybody could miss it.
fn named_and_unlinked(folder: &Path) -> io::Result<OwnedFd> {
    let path = folder.join(format!(".mapwright-probe-{}", std::process::id()));
    let flags = OFlags::CREATE | OFlags::EXCL | OFlags::RDWR | OFlags::CLOEXEC;
    let file = rustix::fs::open(&path, flags, Mode::RUSR | Mode::WUSR)?;
    std::fs::remove_file(&path)?;
    Ok(file)
}

fn unusable(folder: &Path, error: &io::Error) -> Capability {
    let subject = Subject {
        name: "a file to try things on",
        topic: Topic::Place,
        purpose: "what follows is tried out, not looked up",
        without: "nothing is known about this place",
    };
    let writable = "name a folder that can be written, with a few kilobytes of room";
    subject.off(format!("none could be made in {folder:?}: {}", words(error)), writable)
}

fn tmpfile(works: bool, refused: Option<io::Error>) -> Capability {
    let subject = Subject {
        name: "O_TMPFILE",
        topic: Topic::Place,
        purpose: "files appear whole, under their name, or not at all",
        without: "a temporary name, and a rename",
    };
    match refused {
        None if works => subject.have("works"),
        refused => subject.missing(
            refused.map_or_else(|| "not to be had".to_owned(), |error| words(&error)),
            "ext4, xfs, btrfs, f2fs or tmpfs",
        ),
    }
}

fn shared_maps(file: &File) -> Capability {
    let subject = Subject {
        name: "shared maps",
        topic: Topic::Place,
        purpose: "stores through a map reach the file and everybody who maps it",
        without: "files are mapped privately, for reading; written by write(2)",
    };
    match MapOptions::new().map_mut(file) {
        Ok(_) => subject.have("works"),
        Err(error) => {
            subject.missing(error.to_string(), "another file system; for FUSE, a mount without direct_io")
        }
    }
}

fn fallocate(file: &File) -> Capability {
    let subject = Subject {
        name: "fallocate",
        topic: Topic::Place,
        purpose: "a full disk is an error when a map grows, not a fault when it is stored to",
        without: "free space is compared with what is needed; a store may still find none",
    };
    let end = u64::try_from(LEN).unwrap_or(0);
    answer(subject, file::reserve(file.as_fd(), end, end), "ext4, xfs, btrfs, f2fs, tmpfs, or NFS 4.2")
}

fn holes(file: &File) -> Capability {
    let subject = Subject {
        name: "punching holes",
        topic: Topic::Place,
        purpose: "gives the space of a part of a file back",
        without: "zeros are written",
    };
    answer(subject, file::punch(file.as_fd(), 0, 4096), "ext4, xfs, btrfs, f2fs, tmpfs, or NFS 4.2")
}

fn direct(file: &File) -> Capability {
    let subject = Subject {
        name: "O_DIRECT",
        topic: Topic::Place,
        purpose: "reads at the speed of the disk, past the page cache: streams, gathers, the pager",
        without: "reads through the page cache",
    };
    let read = || -> io::Result<()> {
        let direct = File::from(file::reopen(file.as_fd(), OFlags::RDONLY | OFlags::DIRECT)?);
        let mut page = Memory::new(4096)?;
        direct.read_exact_at(&mut page[..], 0)
    };
    let enable = "a file system on a disk";
    match read() {
        Ok(()) => {
            let flags = StatxFlags::DIOALIGN;
            let stat = rustix::fs::statx(file, "", AtFlags::EMPTY_PATH, flags).ok();
            let told = stat.filter(|stat| stat.stx_mask & flags.bits() != 0 && stat.stx_dio_offset_align > 0);
            subject.have(told.map_or_else(
                || "works".to_owned(),
                |stat| {
                    format!(
                        "works; offsets in multiples of {}, memory of {}",
                        stat.stx_dio_offset_align, stat.stx_dio_mem_align
                    )
                },
            ))
        }
        Err(error) => subject.missing(words(&error), enable),
    }
}

fn reflinks(folder: &Path, file: &File) -> Capability {
    let subject = Subject {
        name: "reflink",
        topic: Topic::Place,
        purpose: "a snapshot of a file that copies no byte",
        without: "snapshots are copies",
    };
    let share = || -> io::Result<()> {
        file.sync_data()?;
        let target = reflink::nameless(folder).or_else(|_| named_and_unlinked(folder))?;
        reflink::share(target.as_fd(), file.as_fd(), 0, Extent::ToTheEnd)
    };
    answer(subject, share(), "xfs (made with reflink=1) or btrfs")
}

fn dax(file: &File) -> Capability {
    let subject = Subject {
        name: "DAX",
        topic: Topic::Place,
        purpose: "maps show persistent memory itself, without a page cache",
        without: "the page cache",
    };
    let attributes = rustix::fs::statx(file, "", AtFlags::EMPTY_PATH, StatxFlags::BASIC_STATS)
        .map(|stat| stat.stx_attributes);
    match attributes {
        Ok(attributes) if attributes.contains(StatxAttributes::DAX) => {
            subject.have("files here are mapped directly")
        }
        Ok(_) => subject
            .missing("files here go through the page cache", "a file system on persistent memory, -o dax"),
        Err(error) => subject.missing(words(&error.into()), "a file system on persistent memory, -o dax"),
    }
}

/// The device's read-ahead: half of all differences between two measurements of mapped files.
fn read_ahead(file: &File) -> Option<Capability> {
    let subject = Subject {
        name: "read-ahead",
        topic: Topic::Place,
        purpose: "how much the kernel reads at once when pages are touched in order",
        without: "streams, which read ahead by themselves",
    };
    let stat = rustix::fs::fstat(file).ok()?;
    let (major, minor) = (rustix::fs::major(stat.st_dev), rustix::fs::minor(stat.st_dev));
    let kib: u64 = setting(format!("/sys/class/bdi/{major}:{minor}/read_ahead_kb"))?.parse().ok()?;
    Some(subject.have(bytes(kib.saturating_mul(1024))))
}

fn fs_verity(file: File) -> Capability {
    let subject = Subject {
        name: "fs-verity",
        topic: Topic::Place,
        purpose: "a file that nobody can ever change again: plain slices of it, without unsafe",
        without: "snapshots, or sealed memory files",
    };
    let enable = || -> io::Result<()> {
        let reader = file::reopen(file.as_fd(), OFlags::RDONLY)?;
        // The kernel refuses as long as anybody could write.
        drop(file);
        verity::enable(reader.as_fd())
    };
    let how = "ext4 (tune2fs -O verity), f2fs or btrfs, and a kernel built with CONFIG_FS_VERITY";
    answer(subject, enable(), how)
}

fn answer(subject: Subject, result: io::Result<()>, enable: &'static str) -> Capability {
    match result {
        Ok(()) => subject.have("works"),
        Err(error) => subject.missing(words(&error), enable),
    }
}
