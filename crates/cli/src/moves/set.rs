//! A residency set: what was in memory of which files, saved to be brought back later.

use std::fs::{self, File};
use std::io::{BufReader, BufWriter, Write};
use std::ops::Range;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::stretches::{self, Stretches};
use crate::outcome::{Failure, reason};
use crate::ui::{PathInJson, quoted};

/// What the file says that it is.
const SCHEMA: &str = "mapwright.set/1";

/// Some bytes of some files.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct ResidencySet {
    schema: String,
    files: Vec<Member>,
}

#[derive(Debug, Serialize, Deserialize)]
struct Member {
    #[serde(flatten)]
    path: PathInJson,
    /// First byte and the byte behind the last, in order.
    ranges: Vec<(u64, u64)>,
}

impl ResidencySet {
    /// A set of nothing.
    pub(super) fn new() -> Self {
        Self { schema: SCHEMA.into(), files: Vec::new() }
    }

    /// Adds bytes of a file, under a path that will mean the same from everywhere.
    pub(super) fn add(&mut self, path: &Path, ranges: &[Range<u64>]) {
        let path = fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
        let ranges = ranges.iter().map(|range| (range.start, range.end)).collect();
        self.files.push(Member { path: path.as_path().into(), ranges });
    }

    /// The files and their bytes.
    pub(super) fn files(&self) -> Result<Vec<(PathBuf, Stretches)>, Failure> {
        let file = |member: &Member| {
            let ranges = member.ranges.iter().map(|&(from, to)| from..to).collect();
            Ok((member.path.to_path().map_err(Failure::new)?, stretches::in_order(ranges)))
        };
        self.files.iter().map(file).collect()
    }

    /// Writes the set into a file; one that exists is replaced only by a whole one.
    pub(super) fn save(&self, path: &Path) -> Result<(), Failure> {
        let refused = |cause| Failure::os("save the set", quoted(path), cause);
        let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
        let mut file = tempfile::NamedTempFile::new_in(folder).map_err(refused)?;
        let mut out = BufWriter::new(&mut file);
        serde_json::to_writer_pretty(&mut out, self).map_err(|error| refused(error.into()))?;
        out.write_all(b"\n").and_then(|()| out.flush()).map_err(refused)?;
        drop(out);
        file.persist(path).map(drop).map_err(|error| refused(error.error))
    }

    /// Reads a set.
    ///
    /// # Errors
    /// Where the file cannot be read, or is not a set of this version.
    pub(super) fn load(path: &Path) -> Result<Self, Failure> {
        let file = File::open(path).map_err(|cause| Failure::os("open the set", quoted(path), cause))?;
        let refused = |why: String| {
            let what = format!("cannot read the set {}: {why}", quoted(path));
            Failure::new(what).advice("a set is what --save writes")
        };
        let set: Self =
            serde_json::from_reader(BufReader::new(file)).map_err(|error| match error.io_error_kind() {
                Some(_) => refused(reason(&error.into())),
                None => refused(error.to_string()),
            })?;
        if set.schema != SCHEMA {
            return Err(refused(format!("its schema is {:?}, and {SCHEMA:?} is expected", set.schema)));
        }
        Ok(set)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_set_comes_back_as_it_was_saved() {
        let folder = tempfile::tempdir().unwrap();
        let (file, saved) = (folder.path().join("a\nb"), folder.path().join("set.json"));
        fs::write(&file, "x").unwrap();
        let mut set = ResidencySet::new();
        set.add(&file, &[0..10, 20..30]);
        set.save(&saved).unwrap();
        let files = ResidencySet::load(&saved).unwrap().files().unwrap();
        assert_eq!(files, [(fs::canonicalize(&file).unwrap(), vec![0..10, 20..30])]);
    }

    #[test]
    fn what_is_no_set_is_refused_with_what_is_wrong() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("set.json");
        for (text, why) in
            [("{", "EOF"), (r#"{"schema":"other/9","files":[]}"#, "other/9"), ("[]", "invalid")]
        {
            fs::write(&path, text).unwrap();
            let error = ResidencySet::load(&path).unwrap_err().to_string();
            assert!(error.contains("set.json") && error.contains(why), "{error}");
        }
    }
}
