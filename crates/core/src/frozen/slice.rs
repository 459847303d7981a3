//! [`Frozen`]: a slice that owns what keeps it.

#![allow(unsafe_code, reason = "references to bytes that nobody can change; listed in docs/SOUNDNESS.md")]

use std::fmt;
use std::ops::{Deref, RangeBounds};
use std::os::fd::AsRawFd;
use std::sync::Arc;

use crate::error::Fault;
use crate::fault::patch::{self, Action, Patch, Range};
use crate::map::region::Region;
use crate::span::{OutOfBounds, Span};

/// Bytes that nobody can change any more: a `&[u8]` that owns what it stands on.
///
/// Cloning and [`slice`](Self::slice) share the bytes and copy none; the last of them lets go. Where the
/// bytes come from is told by [`origin`](Self::origin), and the module's table says whose promise each
/// origin is.
///
/// ```
/// use mapwright_core::Frozen;
/// # let path = tempfile::NamedTempFile::new().unwrap();
/// # std::fs::write(&path, b"key=value").unwrap();
/// let frozen = Frozen::open(&path)?;
/// let value = frozen.slice(4..);
/// drop(frozen);
/// std::fs::write(&path, b"something else")?;
/// assert_eq!(value, *b"value");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Caveats
/// Where a disk fails under bytes that are read again from a file ([`FrozenBy::Verity`],
/// [`FrozenBy::Reflink`]), touching them ends the process by SIGBUS, after a line on standard error:
/// other bytes must not appear. See [`populate`](Self::populate).
//
// Invariants: 1. `start..start + len` lies inside of what `holding` keeps, for as long as `holding` lives.
// 2. Nobody writes those bytes while `holding` lives: by the constructor's argument (`docs/SOUNDNESS.md`).
#[derive(Clone)]
pub struct Frozen {
    start: *const u8,
    len: usize,
    holding: Arc<Holding>,
}

/// Why nobody can change the bytes.
///
/// ```
/// use mapwright_core::{Frozen, FrozenBy, Memory, MemFile};
/// assert_eq!(MemFile::new("sealed", 10)?.freeze()?.origin(), FrozenBy::Seal);
/// assert_eq!(Memory::new(10)?.freeze().origin(), FrozenBy::Memory);
/// assert_eq!(Frozen::copy_of(b"ten bytes!")?.origin(), FrozenBy::Copy);
/// # Ok::<(), mapwright_core::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum FrozenBy {
    /// A memory file that is sealed against writing ([`Seals::WRITE`](crate::Seals::WRITE)).
    Seal,
    /// A file with fs-verity.
    Verity,
    /// A clone that shares the file's blocks, and that nobody else can open.
    Reflink,
    /// A private copy.
    Copy,
    /// Memory that was ours alone, given up for writing.
    Memory,
}

impl fmt::Display for FrozenBy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Seal => "a write seal",
            Self::Verity => "fs-verity",
            Self::Reflink => "a reflink",
            Self::Copy => "a private copy",
            Self::Memory => "private memory",
        })
    }
}

struct Holding {
    by: FrozenBy,
    kept: Kept,
}

/// What is kept alive.
enum Kept {
    Heap {
        _bytes: Vec<u8>,
    },
    Mapped {
        /// Names the file if its disk fails. Stands first: fields are dropped in order, and the handler
        /// must have forgotten the range before it is unmapped.
        _explained: Option<Patch>,
        region: Region,
    },
}

// SAFETY: nobody writes the bytes (invariant 2), so any number of threads may read them; what keeps them
// (a vector, or a region and a patch) is Send and Sync itself.
unsafe impl Send for Frozen {}
// SAFETY: as above.
unsafe impl Sync for Frozen {}

impl Frozen {
    /// Takes over a region's visible bytes.
    ///
    /// # Safety
    /// Nobody writes them for as long as the region lives: not this process, not another, not a device,
    /// not the kernel. All of them are readable, or raise SIGBUS and never show anything else.
    pub(super) unsafe fn from_region(region: Region, by: FrozenBy) -> Self {
        let (start, len) = (region.start(), region.len());
        let source = region.origin().source.as_ref().filter(|_| len > 0);
        let explained = source.and_then(|source| {
            patch::register(Range {
                start: start.addr(),
                end: start.addr() + len,
                action: Action::Explain,
                file: source.fd().as_raw_fd(),
                offset: region.origin().offset,
            })
        });
        let kept = Kept::Mapped { _explained: explained, region };
        Self { start, len, holding: Arc::new(Holding { by, kept }) }
    }

    /// Takes over a vector, which nobody else can reach.
    pub(super) fn from_heap(bytes: Vec<u8>, by: FrozenBy) -> Self {
        let (start, len) = (bytes.as_ptr(), bytes.len());
        Self { start, len, holding: Arc::new(Holding { by, kept: Kept::Heap { _bytes: bytes } }) }
    }

    /// Returns why nobody can change the bytes.
    #[must_use]
    pub fn origin(&self) -> FrozenBy {
        self.holding.by
    }

    /// Lends the bytes to a function. The same as a reference, in the shape that bytes with fewer
    /// promises have elsewhere.
    ///
    /// ```
    /// use mapwright_core::Frozen;
    /// let numbers = Frozen::from(vec![1u8, 2, 3]);
    /// assert_eq!(numbers.scoped(|bytes| bytes.iter().sum::<u8>()), 6);
    /// ```
    pub fn scoped<R>(&self, look: impl FnOnce(&[u8]) -> R) -> R {
        look(self)
    }

    /// Returns a part of the bytes, which keeps all of them alive.
    ///
    /// # Panics
    /// Where the range ends beyond the bytes, as slicing does. [`sub`](Self::sub) returns an error instead.
    ///
    /// ```
    /// use mapwright_core::Frozen;
    /// let line = Frozen::copy_of(b"key=value")?;
    /// let value = line.slice(4..);
    /// drop(line);
    /// assert_eq!(value, *b"value");
    /// # Ok::<(), mapwright_core::Error>(())
    /// ```
    #[must_use]
    pub fn slice(&self, range: impl RangeBounds<usize>) -> Self {
        self.sub(range).expect("the range lies inside of the frozen bytes")
    }

    /// Returns a part of the bytes, which keeps all of them alive.
    ///
    /// # Errors
    /// Where the range ends beyond the bytes.
    ///
    /// ```
    /// use mapwright_core::Frozen;
    /// let line = Frozen::from(b"key=value".to_vec());
    /// assert_eq!(line.sub(..3)?, *b"key");
    /// assert_eq!(line.sub(4..40).unwrap_err().available, 9);
    /// # Ok::<(), mapwright_core::OutOfBounds>(())
    /// ```
    pub fn sub(&self, range: impl RangeBounds<usize>) -> Result<Self, OutOfBounds> {
        let span = Span::within(range, self.len)?;
        // SAFETY: the span lies inside the bytes (invariant 1).
        let start = unsafe { self.start.add(span.offset()) };
        Ok(Self { start, len: span.len(), holding: Arc::clone(&self.holding) })
    }

    /// Turns a borrowed part, found by some parser, into an owned one; `None` where it is no part of
    /// these bytes.
    ///
    /// ```
    /// use mapwright_core::Frozen;
    /// let text = Frozen::copy_of(b"two words")?;
    /// let word = text.split(|&byte| byte == b' ').nth(1).unwrap();
    /// assert_eq!(text.slice_of(word).unwrap(), *b"words");
    /// assert!(text.slice_of(b"words").is_none());
    /// # Ok::<(), mapwright_core::Error>(())
    /// ```
    #[must_use]
    pub fn slice_of(&self, part: &[u8]) -> Option<Self> {
        let offset = part.as_ptr().addr().checked_sub(self.start.addr())?;
        let span = Span::at(offset, part.len(), self.len).ok()?;
        self.sub(span.range()).ok()
    }

    /// Brings all pages in now, so that touching them soon is fast, and finds out here whether they can
    /// be read.
    ///
    /// It is no promise for later: a page that the kernel drops for lack of memory is read again. Private
    /// copies and memory are always there.
    ///
    /// # Errors
    /// What the file says about the first byte that cannot be read.
    ///
    /// # Kernel
    /// One guarded read a page. Not `MADV_POPULATE_READ`: before Linux 6.9 it never returns where the disk
    /// fails.
    ///
    /// ```
    /// use mapwright_core::Frozen;
    /// # let path = tempfile::NamedTempFile::new().unwrap();
    /// # std::fs::write(&path, vec![7u8; 1 << 20]).unwrap();
    /// let frozen = Frozen::open(&path)?;
    /// frozen.populate()?;                     // a disk that fails is an error here
    /// assert!(frozen.iter().all(|&byte| byte == 7));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn populate(&self) -> Result<(), Fault> {
        let Kept::Mapped { region, .. } = &self.holding.kept else { return Ok(()) };
        if region.origin().source.is_none() {
            return Ok(());
        }
        let base = self.start.addr() - region.start().addr();
        region.probe(base, self.len).map_err(|fault| fault.seen_from(base))
    }

    /// Gives the bytes up, for a foreign interface: they stay until [`from_raw`](Self::from_raw).
    #[must_use = "the bytes stay for ever unless from_raw takes them back"]
    pub fn into_raw(self) -> RawFrozen {
        let Self { start, len, holding } = self;
        RawFrozen { start, len, owner: Arc::into_raw(holding).cast() }
    }

    /// Takes back what [`into_raw`](Self::into_raw) gave up.
    ///
    /// # Safety
    /// `raw` came from `into_raw`, unchanged but for `start` and `len`, which may have been narrowed;
    /// each value is taken back once at most.
    ///
    /// ```
    /// use mapwright_core::Frozen;
    /// let raw = Frozen::from(b"lent to C".to_vec()).into_raw();
    /// // … a foreign library keeps the three fields …
    /// // SAFETY: it gives back what it got, once.
    /// let frozen = unsafe { Frozen::from_raw(raw) };
    /// assert_eq!(frozen, *b"lent to C");
    /// ```
    #[must_use]
    pub unsafe fn from_raw(raw: RawFrozen) -> Self {
        let RawFrozen { start, len, owner } = raw;
        // SAFETY: the pointer came from Arc::into_raw and is taken back once, by this function's contract.
        let holding = unsafe { Arc::from_raw(owner.cast::<Holding>()) };
        Self { start, len, holding }
    }
}

/// Frozen bytes taken apart: what [`Frozen::into_raw`] gives up and [`Frozen::from_raw`] takes back.
///
/// See [`Frozen::from_raw`] for an example.
#[derive(Debug)]
pub struct RawFrozen {
    /// The first byte.
    pub start: *const u8,
    /// How many bytes there are.
    pub len: usize,
    /// What keeps them; of use to `from_raw` only.
    pub owner: *const (),
}

impl Deref for Frozen {
    type Target = [u8];

    #[inline]
    #[allow(clippy::disallowed_methods, reason = "bytes that nobody can change are ordinary memory")]
    fn deref(&self) -> &[u8] {
        // SAFETY: the bytes are owned by `holding`, which outlives the reference (invariant 1),
        // initialised (by the kernel or a vector), and nobody writes them (invariant 2). A vector's
        // pointer is never null, nor is a region's.
        unsafe { std::slice::from_raw_parts(self.start, self.len) }
    }
}
