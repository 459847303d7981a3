//! Files that get their name when they are whole: nobody ever opens half of one, and a killed process leaves
//! nothing.
//!
//! More than a thin door, and here because both maps and arrays are born this way.
//!
//! # Kernel
//! `O_TMPFILE` and linkat(2) through /proc. Where a file system has no unnamed files (network and FUSE file
//! systems), a hidden one that is moved to its place by rename(2), or removed; a process that is killed
//! leaves that one. linkat(2) never replaces, so a file that takes another one's place has a hidden name
//! between two system calls; if a process is killed there, the next writer removes it ([`sweep`]).

use std::ffi::{OsStr, OsString};
use std::fs::{File, OpenOptions};
use std::hash::{BuildHasher, DefaultHasher, Hasher, RandomState};
use std::io;
use std::os::fd::AsFd;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustix::fs::{AtFlags, CWD, RenameFlags};

use super::file;
use crate::peer::points;

/// How often another hidden name is tried where one is taken.
const ATTEMPTS: usize = 16;

/// A file that has no name yet.
#[derive(Debug)]
pub struct Unnamed {
    file: Arc<File>,
    hidden: Option<HiddenName>,
}

/// A name that nobody looks for; the file is removed with it.
#[derive(Debug)]
struct HiddenName(PathBuf);

impl Drop for HiddenName {
    fn drop(&mut self) {
        // Gone already where the file was moved to its place.
        points::step();
        let _gone = std::fs::remove_file(&self.0);
    }
}

impl Unnamed {
    /// Makes an empty file in a directory, readable and writable.
    ///
    /// # Errors
    /// What open(2) says.
    pub fn in_directory(directory: &Path) -> io::Result<Self> {
        Self::with_mode(directory, 0o666)
    }

    /// Makes an empty file that nobody but its owner can open, not even where it has a hidden name.
    ///
    /// # Errors
    /// What open(2) says.
    pub fn private_in_directory(directory: &Path) -> io::Result<Self> {
        Self::with_mode(directory, 0o600)
    }

    fn with_mode(directory: &Path, mode: u32) -> io::Result<Self> {
        let mut options = OpenOptions::new();
        options.read(true).write(true).mode(mode);
        match options.clone().custom_flags(libc::O_TMPFILE).open(directory) {
            Ok(file) => Ok(Self { file: Arc::new(file), hidden: None }),
            Err(error) if lacks_unnamed_files(&error) => {
                let (file, hidden) =
                    under_hidden_name(directory, |name| options.create_new(true).open(name))?;
                Ok(Self { file: Arc::new(file), hidden: Some(hidden) })
            }
            Err(error) => Err(error),
        }
    }

    /// Returns the file.
    #[must_use]
    pub const fn file(&self) -> &Arc<File> {
        &self.file
    }

    /// Leaves the file without a name: it lives until it is closed.
    pub(crate) fn into_scratch(self) -> Arc<File> {
        self.file
    }

    /// Gives the file a name that is free.
    ///
    /// # Errors
    /// `AlreadyExists` where the name is taken; else what linkat(2) says.
    pub fn link_as(self, path: &Path) -> io::Result<Arc<File>> {
        match &self.hidden {
            None => link(&self.file, path)?,
            Some(hidden) => move_to_free(&hidden.0, path)?,
        }
        Ok(self.file)
    }

    /// Puts the file in the place of another one, which lives on for those who have it open.
    pub(crate) fn replace(self, path: &Path) -> io::Result<Arc<File>> {
        let hidden = match self.hidden {
            Some(hidden) => hidden,
            None => link_beside(&self.file, path)?,
        };
        std::fs::rename(&hidden.0, path)?;
        Ok(self.file)
    }
}

/// Removes what a process that was killed within [`Unnamed::replace`] has left beside the path. For those who
/// hold the lock that such a process would need.
pub(crate) fn sweep(path: &Path) {
    // Nearly always there is nothing.
    let _not_there = std::fs::remove_file(beside(path));
}

/// The directory that a path's last part is in.
pub(crate) fn directory_of(path: &Path) -> &Path {
    match path.parent() {
        Some(directory) if !directory.as_os_str().is_empty() => directory,
        _ => Path::new("."),
    }
}

fn lacks_unnamed_files(error: &io::Error) -> bool {
    // EISDIR comes from file systems that take O_TMPFILE for the flag that it contains, O_DIRECTORY.
    matches!(error.raw_os_error(), Some(libc::EOPNOTSUPP | libc::EISDIR | libc::EINVAL))
}

/// Links an open file under a free name.
fn link(file: &File, path: &Path) -> io::Result<()> {
    let by_proc = file::proc_path(file.as_fd());
    match rustix::fs::linkat(CWD, &by_proc, CWD, path, AtFlags::SYMLINK_FOLLOW) {
        // Without /proc the kernel links a descriptor itself, where it trusts us.
        Err(rustix::io::Errno::NOENT) if !by_proc.exists() => {
            Ok(rustix::fs::linkat(file, "", CWD, path, AtFlags::EMPTY_PATH)?)
        }
        result => Ok(result?),
    }
}

/// Links an open file under the hidden name from which it takes the path's place.
fn link_beside(file: &File, path: &Path) -> io::Result<HiddenName> {
    let hidden = beside(path);
    let linked = match link(file, &hidden) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            sweep(path);
            link(file, &hidden)
        }
        result => result,
    };
    linked.map(|()| HiddenName(hidden))
}

/// The hidden name that belongs to a path: always the same, so that the next process finds it.
fn beside(path: &Path) -> PathBuf {
    /// With what is added, short enough for every file system.
    const KEPT: usize = 200;
    let name = path.file_name().unwrap_or_default().as_bytes();
    let mut hidden = OsString::from(".mapwright-");
    match name.get(..KEPT) {
        None => hidden.push(OsStr::from_bytes(name)),
        Some(kept) => {
            // Two long names that begin alike must not share one.
            let mut hash = DefaultHasher::new();
            hash.write(name);
            hidden.push(OsStr::from_bytes(kept));
            hidden.push(format!("-{:016x}", hash.finish()));
        }
    }
    directory_of(path).join(hidden)
}

/// Renames to a name that must be free.
fn move_to_free(from: &Path, to: &Path) -> io::Result<()> {
    match rustix::fs::renameat_with(CWD, from, CWD, to, RenameFlags::NOREPLACE) {
        // A file system that knows no flags of rename can still make a second name, of which the first is
        // then removed.
        Err(rustix::io::Errno::INVAL | rustix::io::Errno::NOSYS) => std::fs::hard_link(from, to),
        result => Ok(result?),
    }
}

/// Makes something under a name that is free and hidden.
fn under_hidden_name<T>(
    directory: &Path,
    mut make: impl FnMut(&Path) -> io::Result<T>,
) -> io::Result<(T, HiddenName)> {
    let mut last = io::Error::from_raw_os_error(libc::EEXIST);
    for _ in 0..ATTEMPTS {
        // Every RandomState has keys of its own: the hash of nothing is as good a random number as any.
        let number = RandomState::new().build_hasher().finish();
        let path = directory.join(format!(".mapwright-{number:016x}"));
        match make(&path) {
            Ok(made) => return Ok((made, HiddenName(path))),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => last = error,
            Err(error) => return Err(error),
        }
    }
    Err(last)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    fn names(directory: &Path) -> Vec<String> {
        let entries = std::fs::read_dir(directory).unwrap();
        let mut names: Vec<_> =
            entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    /// As `in_directory` does it where there are no unnamed files.
    fn hidden_in(directory: &Path) -> Unnamed {
        let make = |name: &Path| OpenOptions::new().read(true).write(true).create_new(true).open(name);
        let (file, hidden) = under_hidden_name(directory, make).unwrap();
        Unnamed { file: Arc::new(file), hidden: Some(hidden) }
    }

    #[test]
    fn a_file_appears_whole_or_not_at_all() {
        for make in [|directory: &Path| Unnamed::in_directory(directory).unwrap(), hidden_in] {
            let directory = tempfile::tempdir().unwrap();
            let path = directory.path().join("array");
            drop(make(directory.path()));
            assert_eq!(names(directory.path()), [""; 0]);
            let unnamed = make(directory.path());
            unnamed.file().as_ref().write_all(b"whole").unwrap();
            assert!(!path.exists());
            drop(unnamed.link_as(&path).unwrap());
            assert_eq!(std::fs::read(&path).unwrap(), b"whole");
            assert_eq!(names(directory.path()), ["array"]);
        }
    }

    #[test]
    fn a_private_file_is_its_owners_alone() {
        let directory = tempfile::tempdir().unwrap();
        let unnamed = Unnamed::private_in_directory(directory.path()).unwrap();
        let mode = std::os::unix::fs::MetadataExt::mode(&unnamed.file().metadata().unwrap());
        assert_eq!(mode & 0o777, 0o600);
    }

    #[test]
    fn a_name_that_is_taken_is_refused_and_nothing_is_left() {
        for make in [|directory: &Path| Unnamed::in_directory(directory).unwrap(), hidden_in] {
            let directory = tempfile::tempdir().unwrap();
            let path = directory.path().join("array");
            std::fs::write(&path, b"old").unwrap();
            let error = make(directory.path()).link_as(&path).unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::AlreadyExists);
            assert_eq!(std::fs::read(&path).unwrap(), b"old");
            assert_eq!(names(directory.path()), ["array"]);
        }
    }

    #[test]
    fn every_path_has_a_hidden_name_of_its_own() {
        let long = "x".repeat(250);
        let names = ["a", "b", &long, &long[1..], &format!("{}y", &long[1..])];
        let hidden: Vec<_> = names.iter().map(|name| beside(Path::new(name))).collect();
        for (index, name) in hidden.iter().enumerate() {
            assert!(name.as_os_str().len() <= 255 && !hidden[..index].contains(name), "{name:?}");
            assert_eq!(*name, beside(Path::new(names[index])));
        }
    }

    #[test]
    fn a_replaced_file_lives_on_for_those_who_have_it_open() {
        for make in [|directory: &Path| Unnamed::in_directory(directory).unwrap(), hidden_in] {
            let directory = tempfile::tempdir().unwrap();
            let path = directory.path().join("array");
            std::fs::write(&path, b"old").unwrap();
            let old = File::open(&path).unwrap();
            let unnamed = make(directory.path());
            unnamed.file().as_ref().write_all(b"new").unwrap();
            drop(unnamed.replace(&path).unwrap());
            assert_eq!(std::fs::read(&path).unwrap(), b"new");
            assert_eq!(io::read_to_string(old).unwrap(), "old");
            assert_eq!(names(directory.path()), ["array"]);
        }
    }

    #[test]
    fn what_a_kill_left_before_the_replacement_is_swept_or_replaced() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("n".repeat(255));
        let replaced = |bytes: &[u8]| {
            let unnamed = Unnamed::in_directory(directory.path()).unwrap();
            unnamed.file().as_ref().write_all(bytes).unwrap();
            drop(unnamed.replace(&path).unwrap());
            assert_eq!(std::fs::read(&path).unwrap(), bytes);
        };
        for _ in 0..2 {
            replaced(b"new");
            std::fs::write(beside(&path), b"left").unwrap();
        }
        sweep(&path);
        assert_eq!(names(directory.path()).len(), 1);
    }
}
