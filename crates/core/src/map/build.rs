//! From checked options to an owned region.

#![allow(unsafe_code, reason = "adopts fresh mappings; listed in docs/SOUNDNESS.md")]

use std::fs::File;
use std::marker::PhantomData;

use super::access::{Access, ReadWrite};
use super::holder::Holder;
use super::memory::Memory;
use super::options::{Commitment, CoreDump, FileLock, ForkPolicy, HugePages, MapOptions, Placement, Unmap};
use super::origin::Origin;
use super::plan::{Mapped, Plan, refuse_misplaced};
use super::region::{Parts, Region, Release};
use super::source::{IntoSource, Source};
use super::{HeldLock, Map, registry};
use crate::error::{Error, ErrorKind, Result};
use crate::fault::handler;
use crate::sys::file::{self, Description, Kind};
use crate::sys::memory::{self as kernel, Backing};
use crate::sys::{fork, page};

/// Whether stores (and others' stores) pass through.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Sharing {
    Shared,
    Private,
}

/// Maps a file.
pub(super) fn file<A: Access>(options: &MapOptions, source: Source, sharing: Sharing) -> Result<Map<A>> {
    handler::install();
    let Description { kind, identity, block } = source.describe()?;
    let len = visible_len(options, &source, kind)?;
    let lock = options.lock.map(|lock| HeldLock::take(&source, lock)).transpose()?;
    let end = options.offset.saturating_add(u64::try_from(len).unwrap_or(u64::MAX));
    let ticket = Some(registry::enter(identity, end));
    let origin = Origin {
        source: Some(source),
        kind: Some(kind),
        offset: options.offset,
        private: sharing == Sharing::Private,
        has_copies: sharing == Sharing::Private && A::PROTECTION & libc::PROT_WRITE != 0,
    };
    if len == 0 && options.reserve == 0 {
        if options.len.is_none() {
            refuse_if_it_only_looks_empty(&origin, options.offset)?;
        }
        return Ok(Map::new(Region::empty(origin, ticket), lock));
    }
    let unit = file_page_size(&origin, block);
    refuse_misplaced(options, unit)?;
    if let HugePages::Reserved(size) = options.huge
        && size != unit
    {
        let why =
            format!("its pages are of {unit} bytes; a file has pages of {size} bytes on a hugetlbfs of them");
        return Err(Error::new(ErrorKind::InvalidInput, "map", name_of(&origin), why));
    }
    let unit_bytes = u64::try_from(unit).unwrap_or(u64::MAX);
    let aligned = options.offset - options.offset % unit_bytes;
    let before = usize::try_from(options.offset - aligned).unwrap_or(0);
    let backing = Backing { file: origin.source.as_ref().map(Source::fd), offset: aligned };
    let capacity = len.max(options.reserve);
    let plan = Plan { options, before, capacity, unit, protection: A::PROTECTION };
    let flags = match sharing {
        Sharing::Shared => libc::MAP_SHARED,
        Sharing::Private => libc::MAP_PRIVATE,
    };
    let first = plan.map(flags, backing);
    let (mapped, private) = match first {
        // Some network and FUSE file systems cannot share pages; reading works privately all the same.
        Err(error) if error.raw_os_error() == Some(libc::ENODEV) && A::PROTECTION == libc::PROT_READ => {
            (plan.map(libc::MAP_PRIVATE, backing), true)
        }
        result => (result, sharing == Sharing::Private),
    };
    let (base, start_of_range, owned) =
        mapped.map_err(|cause| refusal::<A>(&origin, sharing, capacity, cause))?;
    let origin = Origin { private, ..origin };
    let parts = Parts {
        base,
        owned,
        before: start_of_range + before,
        len,
        capacity,
        origin,
        ticket,
        release: release(options),
        unit,
        only_in: None,
    };
    // SAFETY: the plan has just mapped the range for us.
    let region = unsafe { Region::adopt(parts) };
    settle_in(options, &region, huge_advice(options.huge))?;
    let map = Map::new(region, lock);
    map.begin_populating(options.populate)?;
    Ok(map)
}

/// Maps private anonymous memory.
pub(super) fn memory(options: &MapOptions, len: usize) -> Result<Memory> {
    let region = anonymous(options, len, libc::MAP_PRIVATE)?;
    let memory = Memory::new_in(region);
    memory.begin_populating(options.populate)?;
    Ok(memory)
}

/// Maps anonymous memory that children share.
pub(super) fn shared_memory(options: &MapOptions, len: usize) -> Result<Map<ReadWrite>> {
    let map = Map::new(anonymous(options, len, libc::MAP_SHARED)?, None);
    map.begin_populating(options.populate)?;
    Ok(map)
}

/// Maps secret memory.
pub(super) fn secret_memory(options: &MapOptions, len: usize) -> Result<Map<ReadWrite>> {
    refuse_what_belongs_to_files(options, len)?;
    let fail = |cause| Error::os("make secret memory", "", cause);
    let secret = kernel::secret_file().map_err(|cause| {
        let error = fail(cause);
        let off = error.raw_os_error() == Some(libc::ENOSYS);
        if off { error.advice("this kernel has none, or was booted with secretmem.enable=0") } else { error }
    })?;
    let file = File::from(secret);
    file.set_len(u64::try_from(len).unwrap_or(u64::MAX)).map_err(fail)?;
    self::file(options, file.into_source()?, Sharing::Shared)
}

fn anonymous(options: &MapOptions, len: usize, sharing: i32) -> Result<Region> {
    handler::install();
    refuse_what_belongs_to_files(options, len)?;
    if options.fork == ForkPolicy::Wipe && sharing == libc::MAP_SHARED {
        let why = "only private memory can be wiped in a child";
        return Err(Error::new(ErrorKind::InvalidInput, "map shared memory", "", why));
    }
    refuse_misplaced(options, page::size())?;
    let private = sharing == libc::MAP_PRIVATE;
    let origin = Origin { private, has_copies: private, ..Origin::anonymous() };
    let capacity = len.max(options.reserve);
    if capacity == 0 {
        return Ok(Region::empty(origin, None));
    }
    let flags = sharing | libc::MAP_ANONYMOUS;
    let protection = libc::PROT_READ | libc::PROT_WRITE;
    let small = Plan { options, before: 0, capacity, unit: page::size(), protection };
    let small_pages = |advice| (small.map(flags, Backing::ANONYMOUS), page::size(), advice);
    let (mapped, unit, advice) = match options.huge {
        HugePages::Reserved(size) => (map_reserved(options, capacity, size, flags)?, size, None),
        HugePages::ReservedOrTransparent(size) => match map_reserved(options, capacity, size, flags)? {
            Ok(mapped) => (Ok(mapped), size, None),
            Err(_) => small_pages(Some(libc::MADV_HUGEPAGE)),
        },
        wanted => small_pages(huge_advice(wanted)),
    };
    let (base, before, owned) = mapped.map_err(|cause| {
        let error = Error::os("map", format!("{capacity} bytes of memory"), cause);
        match options.huge {
            HugePages::Reserved(size) if error.kind() == ErrorKind::OutOfMemory => error.advice(format!(
                "the pool of {size}-byte pages is empty; raise \
                 /sys/kernel/mm/hugepages/hugepages-{}kB/nr_hugepages",
                size / 1024
            )),
            _ => placement_advice(error, options.placement),
        }
    })?;
    let (ticket, release) = (None, release(options));
    let parts = Parts { base, owned, before, len, capacity, origin, ticket, release, unit, only_in: None };
    // SAFETY: the plan has just mapped the range for us.
    let region = unsafe { Region::adopt(parts) };
    settle_in(options, &region, advice)?;
    Ok(region)
}

fn refuse_what_belongs_to_files(options: &MapOptions, len: usize) -> Result<()> {
    if options.offset != 0 || options.len.is_some_and(|asked| asked != len) || options.lock.is_some() {
        let why = "an offset, a length and a lock belong to files; memory has none";
        return Err(Error::new(ErrorKind::InvalidInput, "map memory", "", why));
    }
    Ok(())
}

/// Most files of /proc and /sys say that they have no bytes, and have some.
fn refuse_if_it_only_looks_empty(origin: &Origin, offset: u64) -> Result<()> {
    let Some(source) = origin.source.as_ref() else { return Ok(()) };
    match file::probe_byte(source.fd(), offset) {
        Ok(1..) => {
            let why = "it says that it has no bytes, but it has some; read it with `load`";
            Err(Error::new(ErrorKind::Unsupported, "map", source.name(), why))
        }
        _ => Ok(()),
    }
}

/// Maps from the reserved pool of huge pages. The outer error is the caller's mistake, the inner one the
/// kernel's answer.
fn map_reserved(options: &MapOptions, capacity: usize, size: usize, flags: i32) -> Result<Mapped> {
    if !size.is_power_of_two() || size <= page::size() {
        let why = format!("{size} is not a size of huge pages; powers of two above {} are", page::size());
        return Err(Error::new(ErrorKind::InvalidInput, "map huge pages", "", why));
    }
    if options.commitment == Commitment::NotCharged {
        let why = "huge pages that are not set aside may be missing when they are touched; leave the \
                   commitment charged";
        return Err(Error::new(ErrorKind::InvalidInput, "map huge pages", "", why));
    }
    refuse_misplaced(options, size)?;
    let size_bits = i32::try_from(size.trailing_zeros()).unwrap_or(0) << libc::MAP_HUGE_SHIFT;
    let protection = libc::PROT_READ | libc::PROT_WRITE;
    let plan = Plan { options, before: 0, capacity, unit: size, protection };
    Ok(plan.map(flags | libc::MAP_HUGETLB | size_bits, Backing::ANONYMOUS))
}

/// Finds out how many bytes the map shows, and refuses what the file does not have.
fn visible_len(options: &MapOptions, source: &Source, kind: Kind) -> Result<usize> {
    let too_large = |bytes: u64| {
        let why = format!("{bytes} bytes do not fit into the address space");
        Error::new(ErrorKind::OutOfMemory, "map", source.name(), why)
    };
    let file_len = match kind {
        Kind::Regular { len } | Kind::Block { len } => len,
        _ => {
            return options.len.ok_or_else(|| {
                let why = "a character device has no length; say how many bytes with MapOptions::len";
                Error::new(ErrorKind::InvalidInput, "map", source.name(), why)
            });
        }
    };
    if options.len == Some(0) && options.reserve > 0 {
        // Room that begins behind the end: the file will grow to it.
        return Ok(0);
    }
    let available = file_len.checked_sub(options.offset).ok_or_else(|| {
        let why = format!("the offset {} lies beyond its end at {file_len}", options.offset);
        Error::new(ErrorKind::OutOfBounds, "map", source.name(), why)
    })?;
    match options.len {
        None => usize::try_from(available).map_err(|_| too_large(available)),
        Some(asked) if u64::try_from(asked).unwrap_or(u64::MAX) <= available => Ok(asked),
        Some(asked) => {
            let why = format!(
                "{asked} bytes from {} were asked for, but it ends at {file_len}; make it longer first \
                 (MapOptions::reserve \
                 plus Map::grow)",
                options.offset
            );
            Err(Error::new(ErrorKind::OutOfBounds, "map", source.name(), why))
        }
    }
}

/// The page size that offsets and lengths of this file's maps must be multiples of.
fn file_page_size(origin: &Origin, block: u64) -> usize {
    const HUGETLBFS_MAGIC: u64 = 0x9584_58f6;
    let small = page::size();
    let (Some(source), Ok(block)) = (&origin.source, usize::try_from(block)) else { return small };
    // Files on hugetlbfs and huge memfds say so by their block size; other file systems with large blocks
    // exist, and only for those does it cost one more call to find out.
    if block <= small || !block.is_power_of_two() {
        return small;
    }
    match rustix::fs::fstatfs(source.fd()) {
        Ok(stat) if u64::try_from(stat.f_type).is_ok_and(|magic| magic == HUGETLBFS_MAGIC) => block,
        _ => small,
    }
}

fn release(options: &MapOptions) -> Release {
    match options.unmap {
        Unmap::InBackground => Release::Background,
        Unmap::AtOnce => Release::Now,
    }
}

fn huge_advice(wanted: HugePages) -> Option<i32> {
    match wanted {
        // For files; memory tries its pool first.
        HugePages::Transparent | HugePages::ReservedOrTransparent(_) => Some(libc::MADV_HUGEPAGE),
        HugePages::Never => Some(libc::MADV_NOHUGEPAGE),
        HugePages::SystemDefault | HugePages::Reserved(_) => None,
    }
}

/// Gives the advice that belongs to a map's creation. Fork and dump policies must hold; huge pages are a
/// wish.
fn settle_in(options: &MapOptions, region: &Region, huge: Option<i32>) -> Result<()> {
    let mut must = Vec::new();
    match options.fork {
        ForkPolicy::Inherit => {}
        ForkPolicy::DontFork => {
            // SAFETY: the range is the region's, and nothing refers to it yet.
            let kept = unsafe { region.keep_to_this_process(region.base(), region.owned()) };
            kept.map_err(|cause| Error::os("keep from children", "a map", cause))?;
        }
        ForkPolicy::Wipe => must.push(libc::MADV_WIPEONFORK),
    }
    if options.dump == CoreDump::Exclude {
        must.push(libc::MADV_DONTDUMP);
    }
    for advice in must {
        // SAFETY: the range is the region's, fresh, and this advice discards nothing in this process.
        let given = unsafe { kernel::advise(region.base(), region.owned(), advice) };
        given.map_err(|cause| Error::os("set the fork or dump policy of", "a map", cause))?;
    }
    if let Some(advice) = huge {
        // SAFETY: as above. A kernel without transparent huge pages refuses; `huge_pages()` tells what there
        // is.
        let _refused = unsafe { kernel::advise(region.base(), region.owned(), advice) };
    }
    Ok(())
}

fn name_of(origin: &Origin) -> String {
    origin.source.as_ref().map_or_else(String::new, Source::name)
}

/// Explains why the kernel refused to map a file.
#[cold]
fn refusal<A: Access>(origin: &Origin, sharing: Sharing, capacity: usize, cause: std::io::Error) -> Error {
    let name = name_of(origin);
    let writes = A::PROTECTION & libc::PROT_WRITE != 0 && sharing == Sharing::Shared;
    let number = cause.raw_os_error();
    let error = Error::os("map", name, cause);
    match number {
        Some(libc::EACCES) if writes => {
            error.advice("open it for reading and writing, or map a private copy with map_copy")
        }
        Some(libc::EACCES) => error.advice("open it for reading"),
        Some(libc::EPERM) if writes => error.advice("it is sealed against writing"),
        Some(libc::ENODEV) => {
            error.with_kind(ErrorKind::Unsupported).advice("this file cannot be mapped; read it with `load`")
        }
        Some(libc::ENOMEM) => error
            .advice(format!("{capacity} bytes do not fit into what address space or memory limits leave")),
        _ => error,
    }
}

fn placement_advice(error: Error, placement: Placement) -> Error {
    match placement {
        Placement::Exactly(address) if error.kind() == ErrorKind::AlreadyExists => {
            error.advice(format!("something is mapped at {address:#x} already"))
        }
        _ => error,
    }
}

impl HeldLock {
    /// Takes the lock or says at once that somebody else has it.
    fn take(source: &Source, lock: FileLock) -> Result<Self> {
        use rustix::fs::FlockOperation;
        let operation = match lock {
            FileLock::Shared => FlockOperation::NonBlockingLockShared,
            FileLock::Exclusive => FlockOperation::NonBlockingLockExclusive,
        };
        // A description of its own: the caller's may carry another lock, or be shared with another map.
        let file = file::reopen(source.fd(), rustix::fs::OFlags::RDONLY)
            .map_err(|cause| Error::os("open again, to lock it,", source.name(), cause))?;
        rustix::fs::flock(&file, operation).map_err(|cause| {
            let error = Error::os("lock", source.name(), cause);
            if error.kind() == ErrorKind::Busy {
                error.advice("somebody else holds a lock on it")
            } else {
                error
            }
        })?;
        Ok(Self { file, owner: fork::generation() })
    }
}

impl<A: Access> Map<A> {
    pub(super) fn new(region: Region, lock: Option<HeldLock>) -> Self {
        Self { region: Holder::new(region), lock, access: PhantomData }
    }
}
