//! A segment that is only looked at: by somebody who may not write it, or does not want to.

use std::fs::OpenOptions;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use mapwright_core::peer::{Area, Identity, Oracle};
use mapwright_core::{Error, ErrorKind, MapOptions, ReadOnly, Result};

use super::attach::{damaged, is_outdated, read, refuse_what_is_in_the_way};
use super::header::{Contents, Entry};
use super::name::{Directory, LONGEST, Name, quoted};
use super::{demand, entry, one};
use crate::object::{Object, Site};
use crate::snapshot::SnapshotBytes;
use crate::untrusted::memory::demand_whole;

/// A segment, mapped for reading: for snapshots and logs, by whoever may read its file.
///
/// It takes no seat, and nobody notices it.
///
/// ```
/// use mapwright_share::{Directory, Segment, Sharing, Snapshot, SnapshotOptions};
/// # let folder = tempfile::tempdir().unwrap();
/// # use std::os::unix::fs::PermissionsExt;
/// # std::fs::set_permissions(folder.path(), PermissionsExt::from_mode(0o755))?;
/// let weather = Segment::builder("weather")
///     .directory(folder.path())
///     .sharing(Sharing::EveryoneReads)
///     .with::<Snapshot<f64>>("temperature", SnapshotOptions::new(20.5))
///     .create()?;
/// // Another user:
/// let reader = Directory::at(folder.path())?.open_read_only("weather")?;
/// let temperature: Snapshot<f64> = reader.get("temperature")?;
/// assert_eq!(temperature.read()?, 20.5);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
pub struct SegmentReader {
    area: Area<ReadOnly>,
    path: PathBuf,
    /// Device and inode of its file.
    place: (u64, u64),
    contents: Arc<Contents>,
}

impl Directory {
    /// Looks at the segment of that name, mapped for reading.
    ///
    /// Another user's segment is accepted here: whatever it holds, it cannot be written through this.
    ///
    /// # Errors
    /// As [`open`](Self::open), but for the owner.
    pub fn open_read_only(&self, name: &str) -> Result<SegmentReader> {
        let path = self.file_of(&Name::new(name, LONGEST)?);
        SegmentReader::open(&path)
    }
}

impl SegmentReader {
    fn open(path: &Path) -> Result<Self> {
        const ACTION: &str = "look at the segment";
        let failed = |cause| Error::os(ACTION, quoted(path), cause);
        refuse_what_is_in_the_way(path)?;
        let flags = rustix::fs::OFlags::NOFOLLOW | rustix::fs::OFlags::NONBLOCK;
        let flags = i32::try_from(flags.bits()).unwrap_or(0);
        let opened = OpenOptions::new().read(true).custom_flags(flags).open(path).map_err(failed);
        let file = opened.map_err(|error| match error.kind() {
            ErrorKind::NotFound => error.advice("its maker has to come first"),
            _ => error,
        })?;
        let status = file.metadata().map_err(failed)?;
        if !status.is_file() {
            return Err(damaged(path, "it is no regular file"));
        }
        if status.uid() != rustix::process::geteuid().as_raw() {
            demand_whole(&status).map_err(|why| damaged(path, &why))?;
        }
        let contents = read(&file, status.len()).map_err(|why| damaged(path, &why))?;
        if is_outdated(&contents) {
            return Err(damaged(path, "it is from before this machine was started"));
        }
        let area = Area::read_only(MapOptions::new().len(contents.len()).map(file)?)?;
        let place = (status.dev(), status.ino());
        Ok(Self { area, path: path.to_owned(), place, contents: Arc::new(contents) })
    }

    /// Tells whether its file still has the name: `false` once it was removed or replaced, after which
    /// nothing new is to be expected.
    #[must_use]
    pub fn is_current(&self) -> bool {
        std::fs::symlink_metadata(&self.path).is_ok_and(|status| (status.dev(), status.ino()) == self.place)
    }

    /// Returns a handle of an object that can be used by looking: a snapshot, a log.
    ///
    /// # Errors
    /// As [`Segment::get`](super::Segment::get); `PermissionDenied` for what has to be written to be used.
    pub fn get<O: Object>(&self, name: &str) -> Result<O> {
        let target = quoted(&self.path);
        let entry = entry(&self.contents.entries, name, &target)?;
        demand::<O>(entry, &target)?;
        O::attach(&self.site(entry)?)
    }

    fn site(&self, entry: &Entry) -> Result<Site> {
        let room = (entry.offset, entry.len);
        Site::look(self.area.clone(), &entry.name, room, entry.parameters, Arc::new(Onlooker))
    }

    /// Returns a snapshot of whatever type as one of bytes, and the canonical text of its type's layout
    /// (`bytes` where it is one of bytes).
    ///
    /// # Errors
    /// As [`get`](Self::get).
    pub fn raw_snapshot(&self, name: &str) -> Result<(SnapshotBytes, String)> {
        let target = quoted(&self.path);
        let entry = entry(&self.contents.entries, name, &target)?;
        if entry.kind != SnapshotBytes::KIND {
            let why = format!("\"{name}\" is {}, and a snapshot was asked for", one(entry.kind));
            return Err(Error::new(ErrorKind::TypeMismatch, "use the segment", target, why));
        }
        Ok((SnapshotBytes::attach(&self.site(entry)?)?, entry.layout.clone()))
    }

    /// Returns the names and kinds of the objects.
    pub fn objects(&self) -> impl Iterator<Item = (&str, crate::Kind)> {
        self.contents.entries.iter().map(|entry| (entry.name.as_str(), entry.kind))
    }
}

/// One who takes no part: asks nobody, and is nobody.
#[derive(Debug)]
struct Onlooker;

impl Oracle for Onlooker {
    fn me(&self) -> Identity {
        Identity::nobody()
    }

    fn is_alive(&self, _: Identity) -> bool {
        true
    }

    fn is_short_alive(&self, _: u32) -> bool {
        true
    }

    fn knows_thread_ids(&self) -> bool {
        false
    }
}
