//! Did I get huge pages? What was asked for is a wish; this is what there is.

use std::fmt;
use std::ops::Range;
use std::path::Path;

use super::pages::{Pages, Rounding};
use super::range;
use crate::error::{Error, Result};
use crate::map::{Access, Map, Memory};
use crate::sys::{pagemap, smaps};

/// What huge pages a map or memory really has, at one moment: the kernel makes and splits them as it likes.
///
/// ```
/// use mapwright_core::{HugeWish, Memory};
/// let mut memory = Memory::new(1 << 20)?;
/// memory.fill(1);
/// let report = memory.huge_pages()?;
/// assert_eq!((report.wish, report.mapped_bytes), (HugeWish::SystemDefault, 1 << 20));
/// println!("{report}");
/// # Ok::<(), mapwright_core::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HugeReport {
    /// What the kernel was told.
    pub wish: HugeWish,
    /// The size in bytes of the pages that the mapping is made of: of small ones, or of those of a reserved
    /// pool. Transparent huge pages are made of small ones, so they do not show here.
    pub page_size: usize,
    /// How many bytes the mapping spans, in whole pages.
    pub mapped_bytes: usize,
    /// How many of them are in memory here.
    pub resident_bytes: usize,
    /// How many of those lie in huge pages. (Pages between the small and the huge size count as small.)
    pub huge_bytes: usize,
    /// Whether the two numbers above are exact. Before Linux 6.7 a neighbour with which the kernel has
    /// merged the mapping may be counted.
    pub is_exact: bool,
}

/// What the kernel was told about huge pages for a mapping.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum HugeWish {
    /// Nothing: it does what it does by default.
    SystemDefault,
    /// They are welcome (`MADV_HUGEPAGE`).
    Welcome,
    /// They are not welcome (`MADV_NOHUGEPAGE`).
    Unwelcome,
    /// They come from a reserved pool (hugetlb): everything that is in memory is huge.
    Reserved,
}

impl HugeReport {
    /// Returns whether all that is in memory lies in huge pages, and something is.
    ///
    /// ```
    /// use mapwright_core::Memory;
    /// let memory = Memory::new(1 << 20)?;
    /// assert!(!memory.huge_pages()?.is_all_huge());       // nothing was touched
    /// # Ok::<(), mapwright_core::Error>(())
    /// ```
    #[must_use]
    pub fn is_all_huge(&self) -> bool {
        self.huge_bytes > 0 && self.huge_bytes == self.resident_bytes
    }

    fn nothing() -> Self {
        Self {
            wish: HugeWish::SystemDefault,
            page_size: crate::sys::page::size(),
            mapped_bytes: 0,
            resident_bytes: 0,
            huge_bytes: 0,
            is_exact: true,
        }
    }
}

/// One sentence, with the likely reason where there are none.
impl fmt::Display for HugeReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { huge_bytes, resident_bytes, .. } = self;
        write!(f, "{huge_bytes} of {resident_bytes} bytes in memory lie in huge pages")?;
        if *huge_bytes > 0 {
            return Ok(());
        }
        let mode = transparent_mode("enabled");
        match (self.wish, mode.as_deref()) {
            _ if *resident_bytes == 0 => f.write_str(": nothing was touched yet"),
            (HugeWish::Unwelcome, _) => f.write_str(": they were asked not to"),
            (_, None) => f.write_str(": this kernel makes none by itself"),
            (_, Some("never")) => f.write_str(": /sys/kernel/mm/transparent_hugepage/enabled says never"),
            (HugeWish::SystemDefault, Some("madvise")) => {
                f.write_str(": nobody asked for them, and the system makes them only then")
            }
            _ => f.write_str(
                ": no whole huge page fits, the file cannot have them, or memory is too fragmented",
            ),
        }
    }
}

impl<A: Access> Map<A> {
    /// Tells what huge pages the map really has.
    ///
    /// # Errors
    /// Where `/proc` cannot be read.
    ///
    /// # Kernel
    /// `/proc/self/smaps`, and `PAGEMAP_SCAN` (Linux 6.7) for exact numbers. It walks page tables: for
    /// reports, not for hot paths.
    #[doc(alias = "is_hugepage_backed")]
    pub fn huge_pages(&self) -> Result<HugeReport> {
        let all = range::checked(.., self.len(), "ask about", || self.name())?;
        report(Pages::of_map(self, all, Rounding::Outward)?, || self.name())
    }
}

impl Memory {
    /// Tells what huge pages the memory really has.
    ///
    /// # Errors
    /// As [`Map::huge_pages`].
    ///
    /// # Kernel
    /// As [`Map::huge_pages`].
    ///
    /// ```
    /// use mapwright_core::{HugePages, HugeWish, MapOptions};
    /// let mut memory = MapOptions::new().huge_pages(HugePages::Transparent).memory(8 << 20)?;
    /// memory.fill(1);
    /// let report = memory.huge_pages()?;
    /// println!("{report}");
    /// assert!(report.huge_bytes <= report.resident_bytes);
    /// # Ok::<(), mapwright_core::Error>(())
    /// ```
    pub fn huge_pages(&self) -> Result<HugeReport> {
        let all = range::checked(.., self.len(), "ask about", || "memory".to_owned())?;
        report(Pages::of_memory(self, all, Rounding::Outward)?, || "memory".to_owned())
    }
}

fn report(pages: Pages<'_>, name: impl Fn() -> String) -> Result<HugeReport> {
    if pages.len() == 0 {
        return Ok(HugeReport::nothing());
    }
    let addresses = pages.addresses();
    let mappings = smaps::mappings(&addresses)
        .map_err(|cause| Error::os("read /proc/self/smaps to look at", name(), cause))?;
    let mut report = HugeReport { mapped_bytes: pages.len(), ..HugeReport::nothing() };
    for vma in &mappings {
        let (wish, page_size) = (wish(vma), vma.bytes("KernelPageSize"));
        report.wish = if report.wish == HugeWish::SystemDefault { wish } else { report.wish };
        report.page_size = report.page_size.max(page_size);
        let pool = vma.bytes("Private_Hugetlb") + vma.bytes("Shared_Hugetlb");
        let transparent =
            vma.bytes("AnonHugePages") + vma.bytes("ShmemPmdMapped") + vma.bytes("FilePmdMapped");
        let whole = addresses.start <= vma.addresses.start && vma.addresses.end <= addresses.end;
        report.is_exact &= whole;
        let inside = vma.addresses.end.min(addresses.end) - vma.addresses.start.max(addresses.start);
        report.resident_bytes += (vma.bytes("Rss") + pool).min(inside);
        report.huge_bytes += (transparent + pool).min(inside);
    }
    if !report.is_exact
        && let (Ok(resident), Ok(huge)) = (
            count(&addresses, pagemap::IS_PRESENT),
            count(&addresses, pagemap::IS_PRESENT | pagemap::IS_HUGE),
        )
    {
        (report.resident_bytes, report.huge_bytes, report.is_exact) = (resident, huge, true);
    }
    Ok(report)
}

fn wish(vma: &smaps::Vma) -> HugeWish {
    if vma.has_flag("ht") {
        HugeWish::Reserved
    } else if vma.has_flag("hg") {
        HugeWish::Welcome
    } else if vma.has_flag("nh") {
        HugeWish::Unwelcome
    } else {
        HugeWish::SystemDefault
    }
}

fn count(addresses: &Range<usize>, categories: u64) -> std::io::Result<usize> {
    let mut bytes = 0;
    pagemap::scan(addresses.clone(), categories, |found| bytes += found.len())?;
    Ok(bytes)
}

/// A reserved pool of huge pages of one size (hugetlb).
///
/// ```
/// let pools = mapwright_core::huge_page_pools();
/// assert!(pools.iter().all(|pool| pool.page_size.is_power_of_two() && pool.reserved <= pool.free));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HugePool {
    /// The size of its pages in bytes.
    pub page_size: usize,
    /// How many pages there are.
    pub total: u64,
    /// How many of them are not in use.
    pub free: u64,
    /// How many of the free ones are promised to mappings that have not touched them.
    pub reserved: u64,
    /// How many exist beyond the pool's own size, for as long as they are used.
    pub surplus: u64,
    /// How many may exist beyond the pool's own size.
    pub overcommit: u64,
}

impl HugePool {
    /// Returns how many pages a new mapping could have: free and promised to nobody, or made when asked for.
    #[must_use]
    pub fn available(&self) -> u64 {
        let unused = self.free.saturating_sub(self.reserved);
        unused.saturating_add(self.overcommit.saturating_sub(self.surplus))
    }
}

/// Lists the sizes of huge pages that this system has, smallest first, with their pools (which may be empty).
///
/// # Kernel
/// `/sys/kernel/mm/hugepages`. Without it the list is empty.
///
/// ```
/// for pool in mapwright_core::huge_page_pools() {
///     println!("{} pages of {} bytes, {} to be had", pool.total, pool.page_size, pool.available());
/// }
/// ```
#[must_use]
pub fn huge_page_pools() -> Vec<HugePool> {
    let Ok(folders) = std::fs::read_dir("/sys/kernel/mm/hugepages") else { return Vec::new() };
    let mut pools: Vec<HugePool> = folders.flatten().filter_map(|folder| pool(&folder.path())).collect();
    pools.sort_by_key(|pool| pool.page_size);
    pools
}

/// `…/hugepages-2048kB`
fn pool(folder: &Path) -> Option<HugePool> {
    let kib = folder.file_name()?.to_str()?.strip_prefix("hugepages-")?.strip_suffix("kB")?;
    let number = |name: &str| {
        std::fs::read_to_string(folder.join(name)).ok().and_then(|text| text.trim().parse().ok()).unwrap_or(0)
    };
    Some(HugePool {
        page_size: kib.parse::<usize>().ok()?.checked_mul(1024)?,
        total: number("nr_hugepages"),
        free: number("free_hugepages"),
        reserved: number("resv_hugepages"),
        surplus: number("surplus_hugepages"),
        overcommit: number("nr_overcommit_hugepages"),
    })
}

/// The word in brackets of a setting under `transparent_hugepage`; `None` where the kernel has no such pages.
pub(crate) fn transparent_mode(setting: &str) -> Option<String> {
    let text =
        std::fs::read_to_string(Path::new("/sys/kernel/mm/transparent_hugepage").join(setting)).ok()?;
    let (_, rest) = text.split_once('[')?;
    Some(rest.split_once(']')?.0.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::changes::testing::skip;
    use crate::map::{HugePages, MapOptions};

    #[test]
    fn transparent_huge_pages_are_counted_and_small_ones_are_not() {
        let mut small = MapOptions::new().huge_pages(HugePages::Never).memory(8 << 20).unwrap();
        small.fill(1);
        let report = small.huge_pages().unwrap();
        assert_eq!((report.huge_bytes, report.resident_bytes), (0, 8 << 20), "{report:?}");
        assert!(report.is_exact && !report.is_all_huge());

        let mut large = MapOptions::new().huge_pages(HugePages::Transparent).memory(8 << 20).unwrap();
        assert_eq!(large.huge_pages().unwrap().resident_bytes, 0);
        large.fill(1);
        let report = large.huge_pages().unwrap();
        assert_eq!(report.resident_bytes, 8 << 20);
        if transparent_mode("enabled").is_none_or(|mode| mode == "never") {
            return skip("transparent_huge_pages_are_counted_and_small_ones_are_not", report);
        }
        assert_eq!(report.wish, HugeWish::Welcome);
        assert!(report.huge_bytes.is_multiple_of(2 << 20) && report.huge_bytes <= 8 << 20, "{report:?}");
    }

    #[test]
    fn pages_of_a_pool_are_all_huge() {
        const NAME: &str = "pages_of_a_pool_are_all_huge";
        let Some(pool) = huge_page_pools().into_iter().find(|pool| pool.available() >= 2) else {
            return skip(NAME, "every pool of huge pages is empty (vm.nr_hugepages)");
        };
        let options = MapOptions::new().huge_pages(HugePages::Reserved(pool.page_size)).guard(4096);
        let mut memory = match options.memory(2 * pool.page_size) {
            Ok(memory) => memory,
            Err(error) => return skip(NAME, error),
        };
        memory[0] = 1;
        let report = memory.huge_pages().unwrap();
        assert_eq!((report.page_size, report.wish), (pool.page_size, HugeWish::Reserved));
        assert_eq!((report.huge_bytes, report.resident_bytes), (pool.page_size, pool.page_size));
        assert_eq!(report.mapped_bytes, 2 * pool.page_size);
        // What goes back to the pool may be somebody else's when it is touched again.
        let error = memory.advise(crate::Advice::DontNeed, ..).unwrap_err();
        assert_eq!((error.kind(), memory[0]), (crate::ErrorKind::InvalidInput, 1));
    }

    #[test]
    fn an_empty_map_has_nothing_to_report() {
        assert_eq!(Memory::new(0).unwrap().huge_pages().unwrap(), HugeReport::nothing());
    }
}
