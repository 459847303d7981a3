//! File names, which are bytes: as people can read them, and as JSON can carry them without loss.

use std::ffi::OsStr;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

/// A name for people: as it is where it is plain text, else quoted with what is odd escaped, so that it
/// cannot do anything to the terminal.
pub(crate) fn name(path: impl AsRef<OsStr>) -> String {
    let path = path.as_ref();
    match path.to_str() {
        Some(text) if !text.is_empty() && !text.chars().any(char::is_control) => text.to_owned(),
        _ => format!("{path:?}"),
    }
}

/// A name in a message: always quoted, as the library does.
pub(crate) fn quoted(path: impl AsRef<OsStr>) -> String {
    format!("{:?}", path.as_ref())
}

/// A path in JSON, which knows only Unicode: other bytes are replaced in `path` and given exactly in
/// `path_hex`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct PathInJson {
    path: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    path_hex: Option<String>,
}

impl PathInJson {
    /// The path that was meant, byte for byte.
    ///
    /// # Errors
    /// Where `path_hex` is not hexadecimal.
    pub(crate) fn to_path(&self) -> Result<PathBuf, String> {
        let Some(hex) = &self.path_hex else { return Ok(PathBuf::from(&self.path)) };
        let malformed = || format!("`{hex}` is not a path in hexadecimal");
        let byte = |pair: &[u8]| {
            let pair = std::str::from_utf8(pair).ok()?;
            u8::from_str_radix(pair, 16).ok()
        };
        let bytes: Option<Vec<u8>> = hex.as_bytes().chunks(2).map(byte).collect();
        let bytes = bytes.filter(|_| hex.len().is_multiple_of(2)).ok_or_else(malformed)?;
        Ok(PathBuf::from(std::ffi::OsString::from_vec(bytes)))
    }
}

impl From<&Path> for PathInJson {
    fn from(path: &Path) -> Self {
        let hex = || path.as_os_str().as_bytes().iter().map(|byte| format!("{byte:02x}")).collect();
        let path_hex = if path.to_str().is_none() { Some(hex()) } else { None };
        Self { path: path.to_string_lossy().into_owned(), path_hex }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn odd_names_are_quoted_and_plain_ones_are_not() {
        assert_eq!(name("a b/ü"), "a b/ü");
        assert_eq!(name("two\nlines"), "\"two\\nlines\"");
        assert_eq!(name(OsStr::from_bytes(b"\xff\x1b[31m")), "\"\\xFF\\u{1b}[31m\"");
        assert_eq!(name(""), "\"\"");
    }

    #[test]
    fn every_path_survives_json() {
        for bytes in [&b"plain"[..], b"two\nlines", b"\xff\xfe", "ü".as_bytes()] {
            let path = Path::new(OsStr::from_bytes(bytes));
            let json = serde_json::to_string(&PathInJson::from(path)).unwrap();
            let back: PathInJson = serde_json::from_str(&json).unwrap();
            assert_eq!(back.to_path().unwrap(), path, "{json}");
        }
        let wrong = PathInJson { path: String::new(), path_hex: Some("fg".into()) };
        assert!(wrong.to_path().is_err());
    }
}
