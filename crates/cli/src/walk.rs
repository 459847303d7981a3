//! From paths to files: folders are walked, and a file with several names is counted once.

use std::collections::HashSet;
use std::ffi::{OsStr, OsString};
use std::fs::{self, Metadata};
use std::io::{self, Read};
use std::os::unix::ffi::OsStringExt;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};

use crate::outcome::Failure;
use crate::target::Target;
use crate::ui::quoted;

/// Which files.
#[derive(Debug, Default, clap::Args)]
pub(crate) struct Selection {
    /// Files, block devices, and folders with everything in them.
    #[arg(value_name = "PATH")]
    paths: Vec<OsString>,
    /// Read paths from a file too, one a line; `-` is stdin.
    #[arg(long, value_name = "FILE")]
    files_from: Option<PathBuf>,
    /// Paths in --files-from end with a zero byte instead of a line's end.
    #[arg(short = '0', long = "null", requires = "files_from")]
    null: bool,
    /// Stay on the file system of each PATH.
    #[arg(short = 'x', long)]
    one_file_system: bool,
}

/// What a path turned out to be.
#[derive(Debug)]
pub(crate) enum Entry {
    /// A file or block device.
    File(Found),
    /// A folder, with its entries in the order of their names.
    Folder {
        /// Its path.
        path: PathBuf,
        /// What is in it.
        entries: Vec<Entry>,
    },
    /// Something that cannot be looked at.
    Refused(Failure),
}

/// A file that was found.
#[derive(Clone, Debug)]
pub(crate) struct Found {
    /// Its path, as it was reached.
    pub(crate) path: PathBuf,
    /// Whether it was found under another name before.
    pub(crate) again: bool,
}

impl Selection {
    /// Whether nothing was selected at all.
    pub(crate) fn is_empty(&self) -> bool {
        self.paths.is_empty() && self.files_from.is_none()
    }

    /// Finds everything that was selected.
    ///
    /// # Errors
    /// Where the list of paths cannot be read, or nothing was selected. What is wrong with one path is an
    /// entry.
    pub(crate) fn find(&self) -> Result<Vec<Entry>, Failure> {
        if self.is_empty() {
            return Err(Failure::misuse("no PATH was given")
                .advice("name files or folders, or a list with --files-from"));
        }
        let listed = self.files_from.as_deref().map(|list| read_list(list, self.null)).transpose()?;
        let mut walk = Walk { seen: HashSet::new(), one_file_system: self.one_file_system };
        let paths = self.paths.iter().cloned().chain(listed.unwrap_or_default());
        Ok(paths.map(|path| walk.named(&path)).collect())
    }
}

/// The paths in a list.
fn read_list(list: &Path, null: bool) -> Result<Vec<OsString>, Failure> {
    let refused = |cause| Failure::os("read the paths in", quoted(list), cause);
    let mut bytes = Vec::new();
    if list == Path::new("-") {
        io::stdin().read_to_end(&mut bytes).map_err(refused)?;
    } else {
        bytes = fs::read(list).map_err(refused)?;
    }
    let end = if null { 0 } else { b'\n' };
    let paths = bytes.split(|&byte| byte == end).filter(|path| !path.is_empty());
    Ok(paths.map(|path| OsString::from_vec(path.to_owned())).collect())
}

/// All files of some entries, without the folders, and what could not be looked at.
pub(crate) fn flatten(entries: Vec<Entry>) -> Vec<Result<Found, Failure>> {
    let mut files = Vec::new();
    let mut waiting: Vec<Entry> = entries.into_iter().rev().collect();
    while let Some(entry) = waiting.pop() {
        match entry {
            Entry::File(found) => files.push(Ok(found)),
            Entry::Folder { entries, .. } => waiting.extend(entries.into_iter().rev()),
            Entry::Refused(failure) => files.push(Err(failure)),
        }
    }
    files
}

struct Walk {
    /// Files with several names, by device and inode.
    seen: HashSet<(u64, u64)>,
    one_file_system: bool,
}

impl Walk {
    /// A path that somebody named: symbolic links are followed, and what it is must make sense.
    fn named(&mut self, text: &OsStr) -> Entry {
        let path = match Target::parse(text) {
            Ok(target) => target.into_path(),
            Err(failure) => return Entry::Refused(failure),
        };
        let metadata = match fs::metadata(&path) {
            Ok(metadata) => metadata,
            Err(cause) => return Entry::Refused(Failure::os("open", quoted(&path), cause)),
        };
        let kind = metadata.file_type();
        let what = match kind {
            _ if kind.is_dir() => return self.folder(path, &metadata),
            _ if kind.is_file() || kind.is_block_device() => return self.file(path, &metadata),
            _ if kind.is_fifo() => "it is a pipe, whose bytes have no place",
            _ if kind.is_socket() => "it is a socket",
            _ => "it is a character device, whose bytes are in no cache",
        };
        Entry::Refused(Failure::new(format!("cannot look at {}: {what}", quoted(&path))))
    }

    fn file(&mut self, path: PathBuf, metadata: &Metadata) -> Entry {
        let again = metadata.nlink() > 1 && !self.seen.insert((metadata.dev(), metadata.ino()));
        Entry::File(Found { path, again })
    }

    fn folder(&mut self, path: PathBuf, metadata: &Metadata) -> Entry {
        let listed = fs::read_dir(&path).and_then(Iterator::collect::<io::Result<Vec<_>>>);
        let mut listed = match listed {
            Ok(listed) => listed,
            Err(cause) => return Entry::Refused(Failure::os("list", quoted(&path), cause)),
        };
        listed.sort_by_key(fs::DirEntry::file_name);
        let entries =
            listed.into_iter().filter_map(|entry| self.inside(entry.path(), metadata.dev())).collect();
        Entry::Folder { path, entries }
    }

    /// Something in a folder: links, devices and pipes are passed over.
    fn inside(&mut self, path: PathBuf, device: u64) -> Option<Entry> {
        let metadata = match path.symlink_metadata() {
            Ok(metadata) => metadata,
            // It was removed since the folder was listed.
            Err(cause) if cause.kind() == io::ErrorKind::NotFound => return None,
            Err(cause) => return Some(Entry::Refused(Failure::os("examine", quoted(&path), cause))),
        };
        match metadata.file_type() {
            kind if kind.is_file() => Some(self.file(path, &metadata)),
            kind if kind.is_dir() && (!self.one_file_system || metadata.dev() == device) => {
                Some(self.folder(path, &metadata))
            }
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    fn names(entries: Vec<Entry>) -> Vec<(String, bool)> {
        let file_name =
            |found: Found| (found.path.file_name().unwrap().to_string_lossy().into_owned(), found.again);
        flatten(entries).into_iter().map(|found| file_name(found.unwrap())).collect()
    }

    #[test]
    fn a_folder_is_walked_by_name_and_hard_links_are_counted_once() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        fs::create_dir(at("d")).unwrap();
        fs::write(at("b"), "b").unwrap();
        fs::write(at("d/c"), "c").unwrap();
        fs::hard_link(at("b"), at("d/b-again")).unwrap();
        symlink(at("b"), at("a-link")).unwrap();
        let selection = Selection { paths: vec![folder.path().into()], ..Selection::default() };
        let found = names(selection.find().unwrap());
        assert_eq!(found, [("b".into(), false), ("b-again".into(), true), ("c".into(), false)]);
    }

    #[test]
    fn lists_end_their_paths_with_lines_or_zero_bytes() {
        let folder = tempfile::tempdir().unwrap();
        let list = folder.path().join("list");
        fs::write(&list, "a\nb c\n\n").unwrap();
        assert_eq!(read_list(&list, false).unwrap(), ["a", "b c"]);
        fs::write(&list, "a\nb\0c\0").unwrap();
        assert_eq!(read_list(&list, true).unwrap(), ["a\nb", "c"]);
    }

    #[test]
    fn what_has_no_pages_is_refused_by_name() {
        let selection =
            Selection { paths: vec!["/dev/null".into(), "/no/such".into()], ..Selection::default() };
        let refused = |found: Result<Found, Failure>| found.unwrap_err().to_string();
        let refused: Vec<_> = flatten(selection.find().unwrap()).into_iter().map(refused).collect();
        assert!(refused[0].contains("\"/dev/null\": it is a character device"), "{refused:?}");
        assert_eq!(refused[1], "cannot open \"/no/such\": no such file or directory");
        assert!(Selection::default().find().is_err());
    }
}
