//! A folder as a tree with totals.

use super::survey::{FileItem, FolderItem, Item, Sum};
use crate::ui::{Align, Charset, Ink, Line, Table, bar, name, words};
use crate::width::wide;

/// How many entries of a folder are shown without being asked for all.
pub(super) const USUAL: usize = 20;

/// How wide the bars are.
const BAR: usize = 10;

/// Draws a folder down to a depth, with at most so many entries each.
pub(super) fn draw(
    folder: &FolderItem,
    depth: usize,
    most: usize,
    charset: Charset,
    width: usize,
) -> Vec<Line> {
    let columns = [
        ("in memory", Align::Right),
        ("of", Align::Right),
        ("", Align::Right),
        ("", Align::Left),
        ("", Align::Left),
    ];
    let mut tree = Tree { table: Table::new(columns), most, charset };
    tree.folder(folder, &name(&folder.path), Branch::default(), depth);
    let mut lines = tree.table.lines();
    lines.extend(remarks(&folder.sum, width));
    lines
}

fn remarks(sum: &Sum, width: usize) -> Vec<Line> {
    let mut remarks = vec![words::counted(sum.files, "file")];
    if sum.dirty > 0 {
        remarks.push(format!("{} dirty", words::bytes(sum.dirty)));
    }
    if sum.writeback > 0 {
        remarks.push(format!("{} in write-back", words::bytes(sum.writeback)));
    }
    if sum.hidden > 0 {
        let files = words::count(sum.hidden);
        remarks.push(format!("of {files} the kernel tells only the owner what is in memory"));
    }
    crate::ui::wrapped(Ink::Dim, &remarks.join(", "), width)
}

struct Tree {
    table: Table,
    most: usize,
    charset: Charset,
}

/// The lines in front of an entry's name, and in front of the names below it.
#[derive(Clone, Debug, Default)]
struct Branch {
    own: String,
    below: String,
}

impl Branch {
    fn of_child(&self, last: bool, charset: Charset) -> Self {
        let (own, below) = match (charset, last) {
            (Charset::Unicode, false) => ("├─ ", "│  "),
            (Charset::Unicode, true) => ("└─ ", "   "),
            (Charset::Ascii, false) => ("|- ", "|  "),
            (Charset::Ascii, true) => ("`- ", "   "),
        };
        Self { own: format!("{}{own}", self.below), below: format!("{}{below}", self.below) }
    }
}

impl Tree {
    fn folder(&mut self, folder: &FolderItem, name: &str, branch: Branch, depth: usize) {
        let slash = if name.ends_with('/') { "" } else { "/" };
        let text = Line::of(Ink::Dim, &branch.own).and(Ink::Strong, format!("{name}{slash}"));
        self.row(&folder.sum, text);
        if depth == 0 {
            return;
        }
        let shown = if folder.items.len() <= self.most { folder.items.len() } else { self.most };
        let (items, rest) = folder.items.split_at(shown);
        for (index, item) in items.iter().enumerate() {
            let branch = branch.of_child(rest.is_empty() && index + 1 == items.len(), self.charset);
            match item {
                Item::File(file) => self.file(file, &branch),
                Item::Folder(folder) => self.folder(folder, &last_part(item), branch, depth - 1),
            }
        }
        if !rest.is_empty() {
            let mut sum = Sum::default();
            rest.iter().for_each(|item| sum += item.sum());
            let branch = branch.of_child(true, self.charset);
            let text = format!("{}{} more (--all)", branch.own, words::count(wide(rest.len())));
            self.row(&sum, Line::of(Ink::Dim, text));
        }
    }

    fn file(&mut self, file: &FileItem, branch: &Branch) {
        let own = file.path.file_name().unwrap_or(file.path.as_os_str());
        let text = Line::of(Ink::Dim, &branch.own).and(Ink::Plain, name(own));
        if file.again {
            let nothing = std::iter::repeat_n(Line::empty(), 4);
            self.table.row(nothing.chain([text.and(Ink::Dim, "  (same file as above)")]));
        } else {
            self.row(&file.sum, text);
        }
    }

    fn row(&mut self, sum: &Sum, text: Line) {
        let all = Line::of(Ink::Dim, words::bytes(sum.pages));
        if sum.files > 0 && sum.hidden == sum.files {
            self.table.row([Line::of(Ink::Dim, "?"), all, Line::empty(), Line::empty(), text]);
            return;
        }
        let ink = if sum.cached == 0 { Ink::Dim } else { Ink::Plain };
        let (cached, pages) = (words::approximately(sum.cached), words::approximately(sum.pages));
        self.table.row([
            Line::of(ink, words::bytes(sum.cached)),
            all,
            Line::of(ink, words::share(sum.cached, sum.pages)),
            bar(Ink::Cached, cached, pages, BAR, self.charset),
            text,
        ]);
    }
}

fn last_part(item: &Item) -> String {
    let path = item.path();
    name(path.file_name().unwrap_or(path.as_os_str()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(path: &str, pages: u64, cached: u64, hidden: u64) -> Item {
        let sum = Sum { files: 1, size: pages, pages, cached, hidden, ..Sum::default() };
        Item::File(FileItem { path: path.into(), again: false, sum, survey: None, hidden: None })
    }

    fn folder(path: &str, items: Vec<Item>) -> FolderItem {
        let mut sum = Sum::default();
        items.iter().for_each(|item| sum += item.sum());
        FolderItem { path: path.into(), sum, items }
    }

    fn drawn(folder: &FolderItem, depth: usize, most: usize) -> Vec<String> {
        draw(folder, depth, most, Charset::Ascii, 80).iter().map(Line::plain).collect()
    }

    #[test]
    fn entries_hang_from_their_folders() {
        let inner = folder("top/in", vec![file("top/in/a", 8192, 4096, 0)]);
        let top = folder("top", vec![Item::Folder(inner), file("top/b", 4096, 0, 0)]);
        assert_eq!(
            drawn(&top, 2, 9),
            [
                "in memory      of",
                "    4 KiB  12 KiB  33 %  ####        top/",
                "    4 KiB   8 KiB  50 %  #####       |- in/",
                "    4 KiB   8 KiB  50 %  #####       |  `- a",
                "      0 B   4 KiB   0 %              `- b",
                "2 files",
            ]
        );
        assert_eq!(drawn(&top, 1, 9).len(), 5);
        assert!(drawn(&top, 1, 1)[3].ends_with("`- 1 more (--all)"));
    }

    #[test]
    fn what_the_kernel_hides_is_a_question_mark_and_not_nothing() {
        let lines = drawn(&folder("top", vec![file("top/a", 4096, 0, 1)]), 1, 9);
        assert_eq!(lines[1..3], ["        ?  4 KiB  top/", "        ?  4 KiB  `- a"]);
        assert!(lines[3].starts_with("1 file, of 1 the kernel tells only"), "{lines:?}");
    }
}
