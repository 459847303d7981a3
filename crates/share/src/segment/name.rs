//! Where named segments are: a folder of this user's on shared memory, and names that are nothing but names.

use std::fmt;
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::{Path, PathBuf};

use mapwright_core::{Error, ErrorKind, Result};

/// The longest name in bytes.
pub(crate) const LONGEST: usize = 200;

/// The environment variable that names another folder.
pub(crate) const DIRECTORY_VARIABLE: &str = "MAPWRIGHT_SHARE_DIR";

/// A checked name of a segment or an object: no path, not hidden, fit to be printed.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Name(String);

impl Name {
    /// Checks a name.
    ///
    /// # Errors
    /// `InvalidInput`, with what is wrong with it.
    pub(crate) fn new(name: &str, longest: usize) -> Result<Self> {
        let why = match name {
            "" => "an empty name".to_owned(),
            _ if name.len() > longest => {
                format!("a name of {} bytes; the longest has {longest}", name.len())
            }
            _ if name.contains('/') => "a name with a slash, and a segment's name is no path".to_owned(),
            _ if name.starts_with('.') => "a name that begins with a dot".to_owned(),
            _ if name.chars().any(char::is_control) => "a name with a control character".to_owned(),
            _ => return Ok(Self(name.to_owned())),
        };
        let error = Error::new(ErrorKind::InvalidInput, "name something", format!("{name:?}"), why);
        Err(error.advice("use letters, digits and signs, and choose the folder by directory()"))
    }

    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

/// The folder of named segments.
///
/// A segment stays when nobody uses it any more, so that the next one finds what was left. It is gone when it
/// is [removed](Self::remove) or [pruned](Self::prune), or when the machine is restarted.
///
/// # Examples
/// ```
/// use mapwright_share::{Directory, ErrorKind, Mutex, Segment};
/// # let folder = tempfile::tempdir().unwrap();
/// # let path = folder.path();
/// // let directory = Directory::default_of_user()?;
/// let directory = Directory::at(path)?;
/// let shop = Segment::builder("shop").directory(path).with::<Mutex<u64>>("stock", 100).create()?;
/// assert_eq!(directory.segments()?, ["shop"]);
/// assert_eq!(directory.inspect("shop")?.participants.len(), 1);
/// assert_eq!(directory.remove("shop").unwrap_err().kind(), ErrorKind::Busy);
/// drop(shop);
/// directory.remove("shop")?;
/// assert_eq!(directory.open("shop").unwrap_err().kind(), ErrorKind::NotFound);
/// # Ok::<(), mapwright_share::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Directory {
    path: PathBuf,
    /// Groups whose members' segments are accepted where they let the group write.
    trusted: Vec<u32>,
}

impl Directory {
    /// Uses a folder, which has to exist.
    ///
    /// # Errors
    /// `NotFound` where it does not; `InvalidInput` where it is no folder.
    pub fn at(path: impl AsRef<Path>) -> Result<Self> {
        let path = path.as_ref();
        let status =
            std::fs::metadata(path).map_err(|cause| Error::os("use the folder", quoted(path), cause))?;
        if !status.is_dir() {
            return Err(Error::new(
                ErrorKind::InvalidInput,
                "use the folder",
                quoted(path),
                "it is no folder",
            ));
        }
        Ok(Self { path: path.to_owned(), trusted: Vec::new() })
    }

    /// Uses this user's own folder: `$MAPWRIGHT_SHARE_DIR`, or one on shared memory
    /// (`/dev/shm/mapwright-UID`) that is made with mode 0700 where it is missing; where there is no
    /// shared memory, one in `$XDG_RUNTIME_DIR` or in the folder for temporary files.
    ///
    /// # Errors
    /// `PermissionDenied` where somebody else could put something into it: it belongs to another user, is a
    /// link, or others may write it.
    pub fn default_of_user() -> Result<Self> {
        if is_chosen() {
            return Self::at(Self::default_path());
        }
        let path = Self::default_path();
        match std::fs::DirBuilder::new().mode(0o700).create(&path) {
            Err(cause) if cause.kind() != std::io::ErrorKind::AlreadyExists => {
                return Err(Error::os("make the folder", quoted(&path), cause)
                    .advice(format!("choose another folder by directory() or ${DIRECTORY_VARIABLE}")));
            }
            _ => {}
        }
        Self::owned(path)
    }

    /// Uses this user's own folder, as [`default_of_user`](Self::default_of_user), but makes none: `None`
    /// where it is missing, and no segment was ever made.
    ///
    /// # Errors
    /// As [`default_of_user`](Self::default_of_user).
    pub fn default_if_there() -> Result<Option<Self>> {
        let path = Self::default_path();
        match std::fs::symlink_metadata(&path) {
            Err(cause) if cause.kind() == std::io::ErrorKind::NotFound => Ok(None),
            _ if is_chosen() => Self::at(path).map(Some),
            _ => Self::owned(path).map(Some),
        }
    }

    /// Returns where this user's own folder is, or would be.
    #[must_use]
    pub fn default_path() -> PathBuf {
        match std::env::var_os(DIRECTORY_VARIABLE).filter(|path| !path.is_empty()) {
            Some(path) => path.into(),
            None => ground().join(format!("mapwright-{}", rustix::process::geteuid().as_raw())),
        }
    }

    /// Uses a folder into which nobody else could have put anything.
    fn owned(path: PathBuf) -> Result<Self> {
        let user = rustix::process::geteuid().as_raw();
        let status = std::fs::symlink_metadata(&path)
            .map_err(|cause| Error::os("use the folder", quoted(&path), cause))?;
        let why = if !status.is_dir() {
            "it is no folder (links are not followed here)".to_owned()
        } else if status.uid() != user {
            format!("it belongs to user {}, and this is user {user}", status.uid())
        } else if status.mode() & 0o022 != 0 {
            format!("others may write it (mode {:03o})", status.mode() & 0o777)
        } else {
            return Ok(Self { path, trusted: Vec::new() });
        };
        Err(Error::new(ErrorKind::PermissionDenied, "use the folder", quoted(&path), why)
            .advice(format!("remove it, or choose another one by directory() or ${DIRECTORY_VARIABLE}")))
    }

    /// Accepts segments of other users, too, where they share them with this group: all of its members may
    /// write them, and are trusted to cooperate.
    #[must_use]
    pub fn trust_group(mut self, group: u32) -> Self {
        self.trusted.push(group);
        self
    }

    pub(super) fn trusts(&self, group: u32) -> bool {
        self.trusted.contains(&group)
    }

    /// Returns the path.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    pub(crate) fn file_of(&self, name: &Name) -> PathBuf {
        self.path.join(name.as_str())
    }

    /// Returns the hidden files of segments that are being made, where the file system has no unnamed files,
    /// or whose makers were killed.
    ///
    /// # Errors
    /// Where the folder cannot be read.
    pub(super) fn hidden(&self) -> Result<Vec<String>> {
        let failed = |cause| Error::os("read the folder", quoted(&self.path), cause);
        let is_ours = |name: &String| {
            let digits = name.strip_prefix(".mapwright-").unwrap_or_default();
            digits.len() == 16 && digits.bytes().all(|byte| byte.is_ascii_hexdigit())
        };
        let mut hidden = Vec::new();
        for entry in std::fs::read_dir(&self.path).map_err(failed)? {
            let name = entry.map_err(failed)?.file_name();
            hidden.extend(name.into_string().ok().filter(is_ours));
        }
        hidden.sort();
        Ok(hidden)
    }

    /// Returns the names that could be segments' names, in order.
    ///
    /// # Errors
    /// Where the folder cannot be read.
    pub(crate) fn names(&self) -> Result<Vec<Name>> {
        let failed = |cause| Error::os("read the folder", quoted(&self.path), cause);
        let mut names = Vec::new();
        for entry in std::fs::read_dir(&self.path).map_err(failed)? {
            let name = entry.map_err(failed)?.file_name();
            names.extend(name.to_str().and_then(|name| Name::new(name, LONGEST).ok()));
        }
        names.sort_by(|one, other| one.as_str().cmp(other.as_str()));
        Ok(names)
    }
}

fn is_chosen() -> bool {
    std::env::var_os(DIRECTORY_VARIABLE).is_some_and(|path| !path.is_empty())
}

fn ground() -> PathBuf {
    let shared = Path::new("/dev/shm");
    if shared.is_dir() {
        return shared.to_owned();
    }
    let runtime = std::env::var_os("XDG_RUNTIME_DIR").filter(|path| Path::new(path).is_dir());
    runtime.map_or_else(std::env::temp_dir, PathBuf::from)
}

pub(crate) fn quoted(path: &Path) -> String {
    format!("{path:?}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_are_paths_hidden_empty_or_too_long_are_refused() {
        for bad in ["", ".", "..", ".hidden", "a/b", "/", "../x", "a\nb", "a\0b", &"n".repeat(201)] {
            let error = Name::new(bad, LONGEST).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::InvalidInput, "{bad:?}: {error}");
        }
        for good in ["a", "a.b", "with space", "größe", &"n".repeat(200)] {
            assert_eq!(Name::new(good, LONGEST).unwrap().as_str(), good);
        }
    }

    #[test]
    fn a_folder_that_is_missing_or_none_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(Directory::at(folder.path().join("no")).unwrap_err().kind(), ErrorKind::NotFound);
        let file = tempfile::NamedTempFile::new().unwrap();
        assert_eq!(Directory::at(file.path()).unwrap_err().kind(), ErrorKind::InvalidInput);
        assert_eq!(Directory::at(folder.path()).unwrap().path(), folder.path());
    }
}
