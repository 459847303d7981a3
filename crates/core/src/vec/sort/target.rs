//! Where the sorted elements go: a new file that takes the old one's place, or the old one.

use std::fs::File;
use std::os::unix::fs::{MetadataExt, fchown};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use zerocopy::IntoBytes;

use crate::error::{Error, ErrorKind, Result};
use crate::map::{ReadWrite, Source};
use crate::plain::Plain;
use crate::span::to_u64;
use crate::sys::file;
use crate::sys::unnamed::{Unnamed, directory_of};
use crate::vec::header::Header;
use crate::vec::options::{Form, SortInto};
use crate::vec::{MapVec, open};

const ACTION: &str = "sort";

/// Takes sorted elements in order.
pub(super) struct Target {
    file: Arc<File>,
    /// Set where a new file takes the old one's place.
    replaces: Option<(Unnamed, PathBuf)>,
    at: u64,
    /// What is being sorted, for messages.
    name: String,
}

impl Target {
    pub(super) fn new<T: Plain>(array: &mut MapVec<T>) -> Result<Self> {
        let source = array.body.source();
        let at = to_u64(array.body.places().start);
        let name = source.name();
        let fail = |cause| Error::os(ACTION, source.name(), cause);
        let metadata = source.file().metadata().map_err(fail)?;
        // A file without a name ends with its process anyway.
        let in_place = array.body.options().sort_into == SortInto::SameFile || metadata.nlink() == 0;
        if in_place {
            let file = Arc::clone(source.file());
            array.body.forget_flush(ACTION)?;
            return Ok(Self { file, replaces: None, at, name });
        }
        let path = path_to_replace(source, metadata.nlink())?;
        let unnamed = Unnamed::in_directory(directory_of(&path)).map_err(fail)?;
        let file = Arc::clone(unnamed.file());
        resemble(&file, &metadata).map_err(|cause| same_file_advice(fail(cause)))?;
        if array.body.options().form == Form::WithHeader {
            let header = Header::new(&T::STRUCTURE, array.len()).flushed_too();
            file::write_all_at(&file, header.as_bytes(), 0).map_err(fail)?;
        }
        // A disk that is too full is found out now; one that cannot reserve is found out by writing.
        let bytes = to_u64(array.len()).saturating_mul(to_u64(size_of::<T>()));
        match file::reserve_within(std::os::fd::AsFd::as_fd(&file), at, bytes) {
            Err(cause) if cause.raw_os_error() == Some(libc::ENOSPC) => return Err(fail(cause)),
            _ => {}
        }
        Ok(Self { file, replaces: Some((unnamed, path)), at, name })
    }

    /// Writes the next elements.
    pub(super) fn write<T: Plain>(&mut self, elements: &[T]) -> Result<()> {
        let bytes = elements.as_bytes();
        file::write_all_at(&self.file, bytes, self.at)
            .map_err(|cause| Error::os(ACTION, self.name.as_str(), cause))?;
        self.at += to_u64(bytes.len());
        Ok(())
    }

    /// Puts the new file in the old one's place, and the array on it.
    pub(super) fn finish<T: Plain>(self, array: &mut MapVec<T>) -> Result<()> {
        let Some((unnamed, path)) = self.replaces else { return Ok(()) };
        let fail = |cause| Error::os(ACTION, self.name.as_str(), cause);
        // The name must not lead to contents that are not on the disk yet.
        self.file.sync_all().map_err(fail)?;
        let options = array.body.options();
        let source = match array.body.source().path() {
            Some(known_as) => Source::with_path(Arc::clone(&self.file), known_as),
            None => Source::with_path(Arc::clone(&self.file), &path),
        };
        // Locked before anybody can find it.
        let lock = if array.body.is_locked() { open::lock::<ReadWrite>(options, &source)? } else { None };
        let body = open::adopt::<T>(options, source, lock, array.len())?;
        unnamed.replace(&path).map_err(fail)?;
        array.body = body;
        // Until then the old file may come back: what is flushed from here on is in the new one.
        array.body.name_is_unsynced_in(File::open(directory_of(&path)).ok());
        Ok(())
    }
}

/// The path of the only name of an open file.
fn path_to_replace(source: &Source, names: u64) -> Result<PathBuf> {
    let refuse =
        |why: String| Err(same_file_advice(Error::new(ErrorKind::Unsupported, ACTION, source.name(), why)));
    if names > 1 {
        return refuse(format!("it has {names} names, and a new file can take the place of one"));
    }
    // What the kernel remembers follows renames and has no symbolic links in it.
    let remembered = file::remembered_path(source.fd());
    let known = [remembered.as_deref(), source.path()];
    match known.into_iter().flatten().find(|path| open::names(path, source.file())) {
        Some(path) => Ok(std::fs::canonicalize(path).unwrap_or_else(|_| Path::to_owned(path))),
        None => refuse("its name cannot be found out, or another file has it now".into()),
    }
}

fn same_file_advice(error: Error) -> Error {
    error.advice("MapVecOptions::sort_into(SortInto::SameFile) does without")
}

/// Gives a new file the owner and the permissions of the old one.
fn resemble(file: &File, old: &std::fs::Metadata) -> std::io::Result<()> {
    let new = file.metadata()?;
    if (new.uid(), new.gid()) != (old.uid(), old.gid()) {
        fchown(file, Some(old.uid()), Some(old.gid()))?;
    }
    file.set_permissions(old.permissions())
}
