//! The names of things that can be mapped.
//!
//! A target is a path, or a scheme and what it means there: `file:PATH`. A path that exists is always that
//! path, whatever it looks like. Other schemes come with the parts of the program that can serve them; until
//! then they are refused by a message that lists what there is.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use crate::outcome::Failure;
use crate::range::{self, ByteRange};
use crate::ui::quoted;

/// Something that can be mapped or read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Target {
    /// A file, device, or anything else that has a path.
    Path(PathBuf),
}

impl Target {
    /// Reads a target's name.
    ///
    /// # Errors
    /// Where it begins with a scheme that nobody here serves.
    pub(crate) fn parse(text: &OsStr) -> Result<Self, Failure> {
        let path = Path::new(text);
        let Some((scheme, rest)) = scheme_of(text).filter(|_| !exists(path)) else {
            return Ok(Self::Path(path.to_owned()));
        };
        match scheme {
            "file" => Ok(Self::Path(PathBuf::from(rest))),
            _ => {
                let what =
                    format!("cannot open {}: there is no such file, and no target `{scheme}:`", quoted(text));
                Err(Failure::new(what).advice("targets are PATH and file:PATH"))
            }
        }
    }

    /// Reads a target's name with an optional `:RANGE` behind it.
    ///
    /// # Errors
    /// As [`parse`](Self::parse).
    pub(crate) fn parse_with_range(text: &OsStr) -> Result<(Self, ByteRange), Failure> {
        let whole = || Ok((Self::parse(text)?, ByteRange::ALL));
        if exists(Path::new(text)) {
            return whole();
        }
        match split_at_last_colon(text) {
            Some((before, behind)) => match behind.to_str().map(range::parse) {
                Some(Ok(range)) => Ok((Self::parse(before)?, range)),
                _ => whole(),
            },
            None => whole(),
        }
    }

    /// The path that it stands for.
    pub(crate) fn into_path(self) -> PathBuf {
        let Self::Path(path) = self;
        path
    }
}

fn exists(path: &Path) -> bool {
    path.symlink_metadata().is_ok()
}

/// The scheme in front of a colon, and what follows.
fn scheme_of(text: &OsStr) -> Option<(&str, OsString)> {
    let bytes = text.as_bytes();
    let colon = bytes.iter().position(|&byte| byte == b':')?;
    let scheme = std::str::from_utf8(&bytes[..colon]).ok()?;
    let is_scheme = scheme.starts_with(|first: char| first.is_ascii_lowercase())
        && scheme
            .chars()
            .all(|letter| letter.is_ascii_lowercase() || letter.is_ascii_digit() || letter == '+');
    is_scheme.then(|| (scheme, OsStr::from_bytes(&bytes[colon + 1..]).to_owned()))
}

fn split_at_last_colon(text: &OsStr) -> Option<(&OsStr, &OsStr)> {
    let bytes = text.as_bytes();
    let colon = bytes.iter().rposition(|&byte| byte == b':')?;
    Some((OsStr::from_bytes(&bytes[..colon]), OsStr::from_bytes(&bytes[colon + 1..])))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn path_of(text: &str) -> PathBuf {
        Target::parse(OsStr::new(text)).unwrap().into_path()
    }

    #[test]
    fn paths_and_the_file_scheme_are_paths() {
        assert_eq!(path_of("a/b"), Path::new("a/b"));
        assert_eq!(path_of("file:a/b"), Path::new("a/b"));
        assert_eq!(path_of("/x:y"), Path::new("/x:y"));
        assert_eq!(path_of("Name: text"), Path::new("Name: text"));
    }

    #[test]
    fn an_unknown_scheme_is_refused_with_those_that_there_are() {
        let Err(Failure::Told { what, advice, .. }) = Target::parse(OsStr::new("s3://bucket/key")) else {
            panic!("nobody serves s3 here");
        };
        assert!(what.contains("`s3:`"), "{what}");
        assert!(advice.is_some_and(|advice| advice.contains("file:PATH")));
    }

    #[test]
    fn a_range_stands_behind_the_last_colon() {
        let (target, range) = Target::parse_with_range(OsStr::new("./a:b:4K+1")).unwrap();
        assert_eq!((target.into_path(), range.from, range.to), ("./a:b".into(), 4096, Some(4097)));
        let (target, range) = Target::parse_with_range(OsStr::new("file:a")).unwrap();
        assert_eq!((target.into_path(), range), ("a".into(), ByteRange::ALL));
    }

    #[test]
    fn a_file_that_exists_is_that_file_even_if_its_name_ends_like_a_range() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("log:1-2");
        std::fs::write(&path, "x").unwrap();
        let (target, range) = Target::parse_with_range(path.as_os_str()).unwrap();
        assert_eq!((target.into_path(), range), (path, ByteRange::ALL));
    }
}
