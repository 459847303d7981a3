//! What this kernel, this process and this place really offer: tried out, never guessed from version numbers.
//!
//! The library asks where it needs an answer and takes another road where it gets none; this is the list of
//! all those answers, for people and for programs that decide how to run.
//!
//! - `calls`: kernel calls, tried without effect
//! - `pages`: page sizes, huge pages, memory files
//! - `limits`: what the process may use
//! - `place`: what a file system can do, tried on a nameless file there

mod calls;
mod limits;
mod pages;
mod place;

use std::fmt;
use std::path::Path;

/// One thing that a kernel, process or file system may offer.
///
/// ```
/// use mapwright_core::{Availability, Capabilities};
/// for row in Capabilities::probe().rows().iter().filter(|row| row.state != Availability::Have) {
///     println!("{}: {}. Without it: {}", row.name, row.detail, row.without);
///     if let Some(how) = &row.enable {
///         println!("    to get it: {how}");
///     }
///     assert!(!row.purpose.is_empty());
/// }
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Capability {
    /// Its name, in the kernel's words where it has some.
    pub name: &'static str,
    /// Which part of the world it belongs to.
    pub topic: Topic,
    /// Whether it can be used.
    pub state: Availability,
    /// What was found: sizes, limits, or why not.
    pub detail: String,
    /// What it is good for.
    pub purpose: &'static str,
    /// What is done without it.
    pub without: &'static str,
    /// How to get it, where that is known.
    pub enable: Option<String>,
}

/// Which part of the world a [`Capability`] belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Topic {
    /// What the kernel can do.
    Kernel,
    /// Pages and memory.
    Memory,
    /// What this process may do and use.
    Process,
    /// What the file system at the place that was asked about can do.
    Place,
}

/// Whether something can be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Availability {
    /// It works: it was tried, or read from the kernel.
    Have,
    /// It exists here, but is turned off, empty, or forbidden to this process.
    Off,
    /// The kernel, machine or file system has no such thing.
    Missing,
}

impl fmt::Display for Topic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Kernel => "kernel",
            Self::Memory => "memory",
            Self::Process => "process",
            Self::Place => "place",
        })
    }
}

impl fmt::Display for Availability {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Have => "have",
            Self::Off => "off",
            Self::Missing => "missing",
        })
    }
}

/// Everything that was found out.
///
/// ```
/// use mapwright_core::{Availability, Capabilities};
/// let found = Capabilities::probe();
/// let pages = found.find("page size").unwrap();
/// assert_eq!(pages.state, Availability::Have);
/// for row in found.rows() {
///     println!("{}: {} ({})", row.name, row.state, row.detail);
/// }
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Capabilities {
    rows: Vec<Capability>,
}

impl Capabilities {
    /// Tries out what the kernel and this process offer. Takes some milliseconds, and changes nothing.
    #[must_use]
    #[doc(alias = "doctor")]
    pub fn probe() -> Self {
        let mut rows = calls::rows();
        rows.extend(pages::rows());
        rows.extend(limits::rows());
        Self { rows }
    }

    /// Tries out the same, and what the file system at `place` (a folder, or a file in one) can do. For that
    /// a small file without a name is written there; nothing is left behind.
    ///
    /// ```
    /// use mapwright_core::Capabilities;
    /// let found = Capabilities::probe_at(std::env::temp_dir());
    /// println!("a snapshot here is {}", if found.has("reflink") { "free" } else { "a copy" });
    /// assert!(found.rows().len() > Capabilities::probe().rows().len());
    /// ```
    #[must_use]
    pub fn probe_at(place: impl AsRef<Path>) -> Self {
        let mut found = Self::probe();
        found.rows.extend(place::rows(place.as_ref()));
        found
    }

    /// Returns everything, grouped by topic.
    #[must_use]
    pub fn rows(&self) -> &[Capability] {
        &self.rows
    }

    /// Returns the capability of a name.
    #[must_use]
    pub fn find(&self, name: &str) -> Option<&Capability> {
        self.rows.iter().find(|row| row.name == name)
    }

    /// Returns whether a capability was probed and can be used.
    #[must_use]
    pub fn has(&self, name: &str) -> bool {
        self.find(name).is_some_and(|row| row.state == Availability::Have)
    }
}

/// What a row says whatever is found.
#[derive(Clone, Copy)]
struct Subject {
    name: &'static str,
    topic: Topic,
    purpose: &'static str,
    without: &'static str,
}

impl Subject {
    fn row(self, state: Availability, detail: impl Into<String>, enable: Option<String>) -> Capability {
        let Self { name, topic, purpose, without } = self;
        Capability { name, topic, state, detail: detail.into(), purpose, without, enable }
    }

    fn have(self, detail: impl Into<String>) -> Capability {
        self.row(Availability::Have, detail, None)
    }

    fn off(self, detail: impl Into<String>, enable: impl Into<String>) -> Capability {
        self.row(Availability::Off, detail, Some(enable.into()))
    }

    fn missing(self, detail: impl Into<String>, enable: impl Into<String>) -> Capability {
        self.row(Availability::Missing, detail, Some(enable.into()))
    }

    /// A row about something that is either there or belongs to a newer kernel.
    fn since(self, works: bool, first: &'static str) -> Capability {
        if works {
            self.have("works")
        } else {
            self.missing("this kernel lacks it", format!("{first} or newer"))
        }
    }
}

/// Reads a setting under `/proc` or `/sys`.
fn setting(path: impl AsRef<Path>) -> Option<String> {
    std::fs::read_to_string(path).ok().map(|text| text.trim().to_owned())
}

/// Writes an operating-system error without its number, which says nothing to people.
fn words(error: &std::io::Error) -> String {
    let text = error.to_string();
    text.split(" (os error").next().unwrap_or(&text).to_ascii_lowercase()
}

/// Writes a number of bytes for people, exactly: with a binary unit only where it divides.
fn bytes(count: u64) -> String {
    const UNITS: [(&str, u32); 4] = [("TiB", 40), ("GiB", 30), ("MiB", 20), ("KiB", 10)];
    let unit = UNITS.iter().find(|(_, shift)| count >= 1 << shift && count.trailing_zeros() >= *shift);
    match unit {
        Some((name, shift)) => format!("{} {name}", count >> shift),
        None => format!("{count} bytes"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_row_says_what_it_is_for_and_what_to_do_without_it() {
        let found = Capabilities::probe_at(std::env::temp_dir());
        let mut names = std::collections::HashSet::new();
        for row in found.rows() {
            assert!(names.insert(row.name), "{} stands there twice", row.name);
            assert!(!row.detail.is_empty() && !row.purpose.is_empty() && !row.without.is_empty(), "{row:?}");
            assert!(row.state == Availability::Have || row.enable.is_some(), "{row:?}");
        }
        let topics: Vec<_> = found.rows().iter().map(|row| row.topic).collect();
        let mut grouped = topics.clone();
        grouped.dedup();
        assert_eq!(grouped, [Topic::Kernel, Topic::Memory, Topic::Process, Topic::Place]);
    }

    #[test]
    fn probing_leaves_nothing_behind() {
        let folder = tempfile::tempdir().unwrap();
        let descriptors = || std::fs::read_dir("/proc/self/fd").unwrap().count();
        let _warm = Capabilities::probe_at(folder.path());
        // Other tests open and close files meanwhile: a leak would show every time, their traffic will not.
        let leaks = (0..20).all(|_| {
            let before = descriptors();
            let _found = Capabilities::probe_at(folder.path());
            descriptors() > before
        });
        assert!(!leaks, "each probe leaves a descriptor open");
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
    }

    #[test]
    fn what_is_missing_does_not_panic() {
        let found = Capabilities::probe_at("/no/such/place");
        assert!(found.rows().iter().any(|row| row.topic == Topic::Place));
        assert!(!found.has("O_DIRECT") && found.find("O_DIRECT").is_none());
    }

    #[test]
    fn sizes_are_written_exactly() {
        assert_eq!(bytes(4096), "4 KiB");
        assert_eq!(bytes(5000), "5000 bytes");
        assert_eq!(bytes(3 << 30), "3 GiB");
        assert_eq!(bytes(0), "0 bytes");
    }
}
