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
        let files = words::counted(sum.hidden, "file");
        remarks.push(format!("{files} of which the kernel tells only the owner what is in memory"));
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
        match (file.again, file.hidden) {
            (true, _) => self.table.row([
                Line::empty(),
                Line::empty(),
                Line::empty(),
                Line::empty(),
                text.and(Ink::Dim, "  (same file as above)"),
            ]),
            (_, Some(_)) => self.table.row([
                Line::of(Ink::Dim, "?"),
                words::bytes(file.sum.size).into(),
                Line::empty(),
                Line::empty(),
                text,
            ]),
            _ => self.row(&file.sum, text),
        }
    }

    fn row(&mut self, sum: &Sum, text: Line) {
        let (cached, all) = (words::approximately(sum.cached), words::approximately(sum.pages));
        let ink = if sum.cached == 0 { Ink::Dim } else { Ink::Plain };
        self.table.row([
            Line::of(ink, words::bytes(sum.cached)),
            Line::of(Ink::Dim, words::bytes(sum.pages)),
            Line::of(ink, words::share(sum.cached, sum.pages)),
            bar(Ink::Cached, cached, all, BAR, self.charset),
            text,
        ]);
    }
}

fn last_part(item: &Item) -> String {
    let path = item.path();
    name(path.file_name().unwrap_or(path.as_os_str()))
}
