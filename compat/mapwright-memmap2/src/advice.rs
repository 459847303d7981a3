//! What the kernel can be told about a map, split by whether it may change the bytes.

#![allow(unsafe_code, reason = "asks the kernel whether it knows an advice")]

/// Advice that changes no byte: safe to give at any time.
///
/// # Kernel
/// madvise(2); each variant names its `MADV_…`. [`is_supported`](Self::is_supported) asks the running kernel.
#[repr(i32)]
#[derive(Clone, Copy, Debug, Eq, PartialEq, Hash)]
pub enum Advice {
    /// `MADV_NORMAL`: nothing special; undoes `Random` and `Sequential`.
    Normal = libc::MADV_NORMAL,
    /// `MADV_RANDOM`: pages are touched in no order, so reading ahead is of no use.
    Random = libc::MADV_RANDOM,
    /// `MADV_SEQUENTIAL`: pages are touched in order, so read far ahead and forget them soon.
    Sequential = libc::MADV_SEQUENTIAL,
    /// `MADV_WILLNEED`: begin to read the pages now.
    WillNeed = libc::MADV_WILLNEED,
    /// `MADV_DONTFORK`: a forked child does not get the pages. It must not drop the map either: by then
    /// something else may lie there.
    DontFork = libc::MADV_DONTFORK,
    /// `MADV_DOFORK`: undoes `DontFork`.
    DoFork = libc::MADV_DOFORK,
    /// `MADV_MERGEABLE`: pages of private memory with equal contents may be stored once.
    Mergeable = libc::MADV_MERGEABLE,
    /// `MADV_UNMERGEABLE`: undoes `Mergeable`.
    Unmergeable = libc::MADV_UNMERGEABLE,
    /// `MADV_HUGEPAGE`: use transparent huge pages here.
    HugePage = libc::MADV_HUGEPAGE,
    /// `MADV_NOHUGEPAGE`: use small pages only.
    NoHugePage = libc::MADV_NOHUGEPAGE,
    /// `MADV_DONTDUMP`: leave the pages out of core dumps.
    DontDump = libc::MADV_DONTDUMP,
    /// `MADV_DODUMP`: undoes `DontDump`.
    DoDump = libc::MADV_DODUMP,
    /// `MADV_HWPOISON`: treat the pages as broken memory. For root, to test what happens then.
    HwPoison = libc::MADV_HWPOISON,
    /// `MADV_POPULATE_READ` (Linux 5.14): bring all pages in now, as reading each of them would.
    PopulateRead = libc::MADV_POPULATE_READ,
    /// `MADV_POPULATE_WRITE` (Linux 5.14): bring all pages in now, as writing each of them would.
    PopulateWrite = libc::MADV_POPULATE_WRITE,
}

/// Advice that may throw bytes away, and is `unsafe` to give therefore.
///
/// # Kernel
/// madvise(2); each variant names its `MADV_…`.
#[repr(i32)]
#[derive(Clone, Copy, Debug, Eq, PartialEq, Hash)]
pub enum UncheckedAdvice {
    /// `MADV_DONTNEED`: forget the pages. Private ones read as zeros, or as the file, afterwards.
    DontNeed = libc::MADV_DONTNEED,
    /// `MADV_FREE` (Linux 4.5): the kernel may forget private pages whenever it likes, until they are written
    /// again.
    Free = libc::MADV_FREE,
    /// `MADV_REMOVE`: forget the pages and give back what is stored behind them, as punching a hole does.
    Remove = libc::MADV_REMOVE,
}

impl Advice {
    /// Asks the running kernel whether it knows this advice.
    pub fn is_supported(self) -> bool {
        is_known(self as i32)
    }
}

impl UncheckedAdvice {
    /// Asks the running kernel whether it knows this advice.
    pub fn is_supported(self) -> bool {
        is_known(self as i32)
    }
}

/// Gives the advice about no page at all, which the kernel refuses only where it does not know it.
fn is_known(advice: i32) -> bool {
    // SAFETY: an empty range at address 0 names no page.
    unsafe { libc::madvise(std::ptr::null_mut(), 0, advice) == 0 }
}
