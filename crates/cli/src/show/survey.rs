//! What is in memory of files and folders, added up.

use std::cmp::Reverse;
use std::fs::File;
use std::ops::AddAssign;
use std::path::{Path, PathBuf};

use mapwright::{ToldBy, WhyUntold};
use serde::Serialize;

use super::Order;
use crate::cached::{Detail, Survey};
use crate::outcome::Failure;
use crate::range::ByteRange;
use crate::ui::quoted;
use crate::walk::{Entry, Found};

/// A file or a folder.
#[derive(Debug)]
pub(super) enum Item {
    File(FileItem),
    Folder(FolderItem),
}

/// A file and its pages.
#[derive(Debug)]
pub(super) struct FileItem {
    pub(super) path: PathBuf,
    /// It was counted under another name already.
    pub(super) again: bool,
    pub(super) sum: Sum,
    /// Page by page, where that was wanted.
    pub(super) survey: Option<Survey>,
    /// Why nothing is known of what is in memory.
    pub(super) hidden: Option<WhyUntold>,
}

/// A folder and what is in it.
#[derive(Debug)]
pub(super) struct FolderItem {
    pub(super) path: PathBuf,
    pub(super) sum: Sum,
    pub(super) items: Vec<Item>,
}

/// Amounts of several files together, in bytes but for the files.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub(super) struct Sum {
    pub(super) files: u64,
    /// How long the files are.
    #[serde(rename = "size_bytes")]
    pub(super) size: u64,
    /// All their pages.
    #[serde(rename = "pages_bytes")]
    pub(super) pages: u64,
    #[serde(rename = "cached_bytes")]
    pub(super) cached: u64,
    #[serde(rename = "dirty_bytes")]
    pub(super) dirty: u64,
    #[serde(rename = "writeback_bytes")]
    pub(super) writeback: u64,
    /// Files of which the kernel tells nothing.
    pub(super) hidden: u64,
}

impl AddAssign for Sum {
    fn add_assign(&mut self, other: Self) {
        self.files += other.files;
        self.size += other.size;
        self.pages += other.pages;
        self.cached += other.cached;
        self.dirty += other.dirty;
        self.writeback += other.writeback;
        self.hidden += other.hidden;
    }
}

/// Asks about files, and keeps what could not be looked at.
pub(super) struct Surveyor {
    range: ByteRange,
    /// Whether files in folders are looked at page by page too.
    closely: bool,
    refused: Vec<Failure>,
}

impl Surveyor {
    pub(super) const fn new(range: ByteRange, closely: bool) -> Self {
        Self { range, closely, refused: Vec::new() }
    }

    /// Asks about entries that were named.
    pub(super) fn items(&mut self, entries: Vec<Entry>) -> Vec<Item> {
        entries.into_iter().filter_map(|entry| self.item(entry, true)).collect()
    }

    /// What could not be looked at.
    pub(super) fn into_refused(self) -> Vec<Failure> {
        self.refused
    }

    fn item(&mut self, entry: Entry, named: bool) -> Option<Item> {
        match entry {
            Entry::File(found) => match self.file(&found, named) {
                Ok(item) => Some(Item::File(item)),
                Err(failure) => {
                    self.refused.push(failure);
                    None
                }
            },
            Entry::Folder { path, entries } => {
                let items: Vec<_> = entries.into_iter().filter_map(|entry| self.item(entry, false)).collect();
                let mut sum = Sum::default();
                items.iter().for_each(|item| sum += item.counted());
                Some(Item::Folder(FolderItem { path, sum, items }))
            }
            Entry::Refused(failure) => {
                self.refused.push(failure);
                None
            }
        }
    }

    fn file(&self, found: &Found, named: bool) -> Result<FileItem, Failure> {
        let path = &found.path;
        let file = File::open(path).map_err(|cause| Failure::os("open", quoted(path), cause))?;
        let (sum, survey, hidden) = if named || self.closely {
            let detail = if named { Detail::LookedAt } else { Detail::Counted };
            let survey = Survey::of(&file, path, self.range, detail)?;
            (sum_of_survey(&survey), Some(survey.clone()), survey.hidden())
        } else {
            let (sum, hidden) = counted(&file, path, self.range)?;
            (sum, None, hidden)
        };
        Ok(FileItem { path: path.clone(), again: found.again, sum, survey, hidden })
    }
}

fn sum_of_survey(survey: &Survey) -> Sum {
    let (totals, page) = (survey.totals, survey.page);
    Sum {
        files: 1,
        size: survey.range.end - survey.range.start,
        pages: totals.pages * page,
        cached: totals.cached * page,
        dirty: totals.dirty * page,
        writeback: totals.writeback * page,
        hidden: u64::from(survey.hidden().is_some()),
    }
}

/// Counts only, which is one call whatever the size.
fn counted(file: &File, path: &Path, range: ByteRange) -> Result<(Sum, Option<WhyUntold>), Failure> {
    let size = file.metadata().map_err(|cause| Failure::os("examine", quoted(path), cause))?.len();
    // A range that was asked of many files ends where a shorter file does.
    let (from, to) = (range.from.min(size), range.to.unwrap_or(size).min(size));
    let usage = mapwright::cache_usage(file, from..to)?;
    let bytes = |pages: Option<u64>| pages.unwrap_or(0) * usage.page_size;
    let hidden = match usage.told_by {
        ToldBy::Nobody(why) => Some(why),
        _ => None,
    };
    let sum = Sum {
        files: 1,
        size: to - from,
        pages: usage.pages * usage.page_size,
        cached: bytes(usage.cached),
        dirty: bytes(usage.dirty),
        writeback: bytes(usage.writeback),
        hidden: u64::from(hidden.is_some()),
    };
    Ok((sum, hidden))
}

impl Item {
    pub(super) fn path(&self) -> &Path {
        match self {
            Self::File(file) => &file.path,
            Self::Folder(folder) => &folder.path,
        }
    }

    pub(super) const fn sum(&self) -> Sum {
        match self {
            Self::File(file) => file.sum,
            Self::Folder(folder) => folder.sum,
        }
    }

    /// What it adds to the folder that it is in: nothing where it was counted under another name.
    fn counted(&self) -> Sum {
        match self {
            Self::File(file) if file.again => Sum::default(),
            _ => self.sum(),
        }
    }

    /// Takes out what is not in memory; says whether anything is left.
    pub(super) fn keep_cached(&mut self) -> bool {
        if let Self::Folder(folder) = self {
            folder.items.retain_mut(Self::keep_cached);
        }
        self.sum().cached > 0
    }

    /// Orders the entries of folders.
    pub(super) fn sort(&mut self, order: Order) {
        let Self::Folder(folder) = self else { return };
        folder.items.iter_mut().for_each(|item| item.sort(order));
        match order {
            Order::Cached => folder.items.sort_by_key(|item| Reverse(item.sum().cached)),
            Order::Size => folder.items.sort_by_key(|item| Reverse(item.sum().size)),
            Order::Share => folder.items.sort_by_key(|item| Reverse(item.sum().per_mille())),
            Order::Name => folder.items.sort_by(|left, right| left.path().cmp(right.path())),
        }
    }
}

impl Sum {
    fn per_mille(self) -> u128 {
        u128::from(self.cached) * 1000 / u128::from(self.pages.max(1))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    pub(crate) fn file(path: &str, size: u64, cached: u64) -> Item {
        let sum = Sum { files: 1, size, pages: size, cached, ..Sum::default() };
        Item::File(FileItem { path: path.into(), again: false, sum, survey: None, hidden: None })
    }

    fn order(order: Order) -> Vec<String> {
        let items = vec![file("b", 100, 50), file("a", 200, 60), file("c", 10, 10)];
        let mut folder = Item::Folder(FolderItem { path: "f".into(), sum: Sum::default(), items });
        folder.sort(order);
        let Item::Folder(folder) = folder else { unreachable!("it is a folder") };
        folder.items.iter().map(|item| item.path().display().to_string()).collect()
    }

    #[test]
    fn folders_are_ordered_as_asked() {
        assert_eq!(order(Order::Cached), ["a", "b", "c"]);
        assert_eq!(order(Order::Size), ["a", "b", "c"]);
        assert_eq!(order(Order::Share), ["c", "b", "a"]);
        assert_eq!(order(Order::Name), ["a", "b", "c"]);
    }

    #[test]
    fn what_is_not_in_memory_can_be_left_out() {
        let items = vec![file("x", 5, 0), file("y", 5, 1)];
        let sum = Sum { cached: 1, ..Sum::default() };
        let mut folder = Item::Folder(FolderItem { path: "f".into(), sum, items });
        assert!(folder.keep_cached());
        let Item::Folder(folder) = folder else { unreachable!("it is a folder") };
        assert_eq!(folder.items.len(), 1);
        assert!(!file("x", 5, 0).keep_cached());
    }
}
