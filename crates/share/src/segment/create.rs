//! Making a segment: where nobody sees it, whole, and only then under its name.
//!
//! 1. an unnamed file (`O_TMPFILE`) or a memory file, all of whose pages are reserved: no room is an error
//!    now, and never a signal later
//! 2. header, catalogue, and every object's first state; the creator takes its seat
//! 3. linkat(2): from here on it is there, for all at once. A creator that is killed before has made nothing.

use std::fs::File;
use std::os::unix::fs::{FileExt, MetadataExt, PermissionsExt};
use std::path::Path;
use std::sync::Arc;
use std::time::SystemTime;

use mapwright_core::peer::{Area, Life, Oracle, Roster, Unnamed, pid_namespace, points};
use mapwright_core::{Error, ErrorKind, MapOptions, MemFile, Result, Seals};
use rustix::fs::FallocateFlags;

use super::attach::boot_id;
use super::header::{self, Birth, Contents, LONGEST_OBJECT_NAME};
use super::name::{Directory, LONGEST, Name, quoted};
use super::{Inner, Segment};
use crate::object::{Object, Parameters, Plan, Site};

const ACTION: &str = "make the segment";
/// Seats where nothing else is asked for.
const PARTICIPANTS: usize = 64;

/// Who may use a named segment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Sharing {
    /// The user who made it (mode 0600).
    #[default]
    Owner,
    /// A group, too (mode 0660).
    Group(u32),
    /// A group may read (mode 0640): snapshots and logs, by [`Directory::open_read_only`].
    GroupReads(u32),
    /// Everybody may read (mode 0644): snapshots and logs, by [`Directory::open_read_only`].
    EveryoneReads,
}

impl Sharing {
    const fn mode(self) -> u32 {
        match self {
            Self::Owner => 0o600,
            Self::Group(_) => 0o660,
            Self::GroupReads(_) => 0o640,
            Self::EveryoneReads => 0o644,
        }
    }

    const fn group(self) -> Option<u32> {
        match self {
            Self::Group(group) | Self::GroupReads(group) => Some(group),
            Self::Owner | Self::EveryoneReads => None,
        }
    }
}

/// What an object does with its room before anybody sees it.
type Fill = Box<dyn Fn(&Site) -> Result<()>>;

/// A segment that is about to be made; from [`Segment::builder`].
#[must_use = "a builder makes nothing until create() or open_or_create()"]
pub struct Builder {
    name: String,
    is_named: bool,
    directory: Option<std::path::PathBuf>,
    participants: usize,
    sharing: Sharing,
    objects: Vec<(Name, Plan)>,
    fills: Vec<Fill>,
    /// Whether one that is there will do.
    accepts: Vec<fn(&Parameters, &Parameters) -> bool>,
    /// What went wrong on the way; said when it is made.
    refused: Option<Error>,
}

impl std::fmt::Debug for Builder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Builder")
            .field("name", &self.name)
            .field("objects", &self.objects)
            .finish_non_exhaustive()
    }
}

impl Builder {
    pub(super) fn named(name: &str) -> Self {
        Self {
            name: name.to_owned(),
            is_named: true,
            directory: None,
            participants: PARTICIPANTS,
            sharing: Sharing::Owner,
            objects: Vec::new(),
            fills: Vec::new(),
            accepts: Vec::new(),
            refused: None,
        }
    }

    pub(super) fn anonymous(label: &str) -> Self {
        Self { is_named: false, ..Self::named(label) }
    }

    /// Puts the segment's file into a folder, instead of this user's own on shared memory.
    pub fn directory(mut self, path: impl AsRef<Path>) -> Self {
        self.directory = Some(path.as_ref().to_owned());
        self
    }

    /// Chooses how many can take part at once, 64 otherwise and 1024 at most.
    pub fn participants(mut self, most: usize) -> Self {
        self.participants = most;
        self
    }

    /// Chooses who may use it.
    pub fn sharing(mut self, sharing: Sharing) -> Self {
        self.sharing = sharing;
        self
    }

    /// Puts an object into it.
    pub fn with<O: Object>(mut self, name: &str, options: O::Options) -> Self
    where
        O::Options: 'static,
    {
        let planned = Name::new(name, LONGEST_OBJECT_NAME).and_then(|name| {
            if self.objects.iter().any(|(other, _)| *other == name) {
                let why = format!("two of its objects are named \"{name}\"");
                return Err(Error::new(ErrorKind::InvalidInput, ACTION, format!("\"{}\"", self.name), why));
            }
            Ok((name, O::plan(&options)?))
        });
        match planned {
            Ok(object) => {
                self.objects.push(object);
                self.fills.push(Box::new(move |site| O::create(site, &options)));
                self.accepts.push(O::accepts);
            }
            Err(error) => self.refused = self.refused.or(Some(error)),
        }
        self
    }

    /// Makes the segment and attaches to it.
    ///
    /// # Errors
    /// `AlreadyExists` where the name is taken; `InvalidInput` where a name or an option makes no sense;
    /// `NoSpace` where shared memory has no room for all of it.
    ///
    /// # Kernel
    /// open(2) with `O_TMPFILE`, fallocate(2), linkat(2); memfd_create(2) for an anonymous one.
    pub fn create(mut self) -> Result<Segment> {
        self.take_refusal()?;
        if self.is_named {
            let directory = self.folder()?;
            self.create_in(&directory)
        } else {
            self.create_anonymous()
        }
    }

    /// Attaches to the segment of that name, and makes it where there is none. One that is older than the
    /// machine's last start is replaced: no lock in it means anything.
    ///
    /// # Errors
    /// As [`create`](Self::create) and [`Directory::open`]; `TypeMismatch` where the one that is there lacks
    /// an object that was asked for, has it with other options, or is shared otherwise.
    pub fn open_or_create(mut self) -> Result<Segment> {
        self.take_refusal()?;
        if !self.is_named {
            return self.create_anonymous();
        }
        let directory = self.folder()?;
        let mut was_replaced = false;
        loop {
            match directory.open(&self.name) {
                Ok(segment) => {
                    self.demand(&segment)?;
                    return Ok(segment);
                }
                Err(error) if error.kind() == ErrorKind::NotFound => {}
                Err(error) => {
                    // Nobody can have it if it is from before the machine's start.
                    if !directory.remove_outdated(&self.name)? {
                        // Somebody else may have replaced it since: that one will do.
                        if was_replaced || error.kind() != ErrorKind::Damaged {
                            return Err(error);
                        }
                        was_replaced = true;
                        continue;
                    }
                }
            }
            match self.create_in(&directory) {
                // Somebody else was faster.
                Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
                result => return result,
            }
        }
    }

    fn take_refusal(&mut self) -> Result<()> {
        self.refused.take().map_or(Ok(()), Err)
    }

    fn folder(&self) -> Result<Directory> {
        let folder = self.directory.as_ref().map_or_else(Directory::default_of_user, Directory::at)?;
        Ok(match self.sharing {
            Sharing::Group(group) => folder.trust_group(group),
            _ => folder,
        })
    }

    fn create_in(&self, directory: &Directory) -> Result<Segment> {
        let name = Name::new(&self.name, LONGEST)?;
        let path = directory.file_of(&name);
        let failed = |cause: std::io::Error| Error::os(ACTION, quoted(&path), cause);
        if std::fs::symlink_metadata(&path).is_ok() {
            let error = Error::new(ErrorKind::AlreadyExists, ACTION, quoted(&path), "the name is taken");
            return Err(error.advice("use open() or open_or_create(), or remove it"));
        }
        self.demand_that_others_enter(directory)?;
        points::step();
        let unnamed = Unnamed::private_in_directory(directory.path()).map_err(failed)?;
        self.permit(unnamed.file()).map_err(failed)?;
        let (bytes, contents) = self.lay_out()?;
        reserve(unnamed.file(), &contents, &quoted(&path))?;
        unnamed.file().write_all_at(&bytes, 0).map_err(failed)?;
        let (area, roster) = self.fill(unnamed.file(), &contents)?;
        points::step();
        let file = unnamed.link_as(&path).map_err(failed)?;
        points::step();
        let inner = Inner { name: self.name.clone(), path: Some(path), file, area, contents, roster };
        Ok(Segment { inner: Arc::new(inner) })
    }

    fn create_anonymous(&self) -> Result<Segment> {
        let name = Name::new(&self.name, LONGEST)?;
        let (bytes, contents) = self.lay_out()?;
        let memory = MemFile::new(name.as_str(), contents.len())?;
        let file = Arc::clone(memory.file());
        let quoted = super::quoted(&self.name, None);
        reserve(&file, &contents, &quoted)?;
        file.write_all_at(&bytes, 0).map_err(|cause| Error::os(ACTION, &*quoted, cause))?;
        points::step();
        memory.seal(Seals::SHRINK | Seals::GROW | Seals::SEAL)?;
        let (area, roster) = self.fill(&file, &contents)?;
        let inner = Inner { name: self.name.clone(), path: None, file, area, contents, roster };
        Ok(Segment { inner: Arc::new(inner) })
    }

    /// Refuses to share what nobody else could reach.
    fn demand_that_others_enter(&self, directory: &Directory) -> Result<()> {
        let failed = |cause| Error::os(ACTION, quoted(directory.path()), cause);
        let status = std::fs::metadata(directory.path()).map_err(failed)?;
        let everyone = status.mode() & 0o001 != 0;
        let can_enter = match self.sharing {
            Sharing::Owner => true,
            Sharing::EveryoneReads => everyone,
            Sharing::Group(group) | Sharing::GroupReads(group) => {
                everyone || (status.gid() == group && status.mode() & 0o010 != 0)
            }
        };
        if can_enter {
            return Ok(());
        }
        let why = format!(
            "it is to be shared, and others cannot enter its folder (mode {:03o})",
            status.mode() & 0o777
        );
        Err(Error::new(
            ErrorKind::InvalidInput,
            ACTION,
            quoted(&directory.file_of(&Name::new(&self.name, LONGEST)?)),
            why,
        )
        .advice("choose a folder that they can enter by directory()"))
    }

    fn lay_out(&self) -> Result<(Vec<u8>, Contents)> {
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        let birth = Birth {
            nonce: random(),
            boot: boot_id(),
            namespace: pid_namespace(),
            created: u64::try_from(now.as_nanos()).unwrap_or(u64::MAX),
        };
        header::lay_out(&self.objects, self.participants, birth)
    }

    fn permit(&self, file: &File) -> std::io::Result<()> {
        if let Some(group) = self.sharing.group() {
            std::os::unix::fs::fchown(file, None, Some(group))?;
        }
        file.set_permissions(std::fs::Permissions::from_mode(self.sharing.mode()))
    }

    /// Gives every object its first state, and takes the first seat.
    fn fill(&self, file: &Arc<File>, contents: &Contents) -> Result<(Area, Arc<Roster>)> {
        let area = Area::new(MapOptions::new().map_mut(Arc::clone(file))?)?;
        let (at, count) = contents.seats();
        let failed = |cause| Error::os(ACTION, format!("\"{}\"", self.name), cause);
        let life = Life::open(file.as_ref()).map_err(failed)?;
        let seats = area.place_many(at, count)?;
        let roster = Roster::join(seats, life, contents.header.namespace).map_err(failed)?;
        let roster = Arc::new(roster.ok_or_else(|| {
            Error::new(ErrorKind::Busy, ACTION, format!("\"{}\"", self.name), "its first seat is taken")
        })?);
        for (entry, fill) in contents.entries.iter().zip(&self.fills) {
            let oracle: Arc<dyn Oracle> = Arc::clone(&roster) as _;
            let room = (entry.offset, entry.len);
            fill(&Site::new(area.clone(), &entry.name, room, entry.parameters, oracle)?)?;
        }
        Ok((area, roster))
    }

    /// Checks that a segment that is there has what was asked for.
    fn demand(&self, segment: &Segment) -> Result<()> {
        let failed = |cause| Error::os("open the segment", segment.quoted(), cause);
        let status = segment.inner.file.metadata().map_err(failed)?;
        let (mode, asked) = (status.mode() & 0o777, self.sharing.mode());
        if mode != asked || self.sharing.group().is_some_and(|group| group != status.gid()) {
            let group = self.sharing.group().map_or_else(String::new, |group| format!(" of group {group}"));
            let why = format!(
                "it is there with mode {mode:03o} of group {}, and {asked:03o}{group} was asked for",
                status.gid()
            );
            return Err(Error::new(ErrorKind::TypeMismatch, "open the segment", segment.quoted(), why)
                .advice("ask for the same sharing(), or remove the segment when nobody uses it"));
        }
        for ((name, plan), accepts) in self.objects.iter().zip(&self.accepts) {
            let entry = segment.entry(name.as_str())?;
            let differs = |what: &str, there: String, asked: String| {
                let why = format!("\"{name}\" is there with {what} {there}, and {asked} was asked for");
                let error = Error::new(ErrorKind::TypeMismatch, "open the segment", segment.quoted(), why);
                Err(error.advice("ask for the same, or remove the segment when nobody uses it"))
            };
            if entry.kind != plan.kind {
                return differs("the kind", entry.kind.to_string(), plan.kind.to_string());
            }
            if entry.layout != plan.layout {
                return differs("the type", entry.layout.clone(), plan.layout.clone());
            }
            if !accepts(&plan.parameters, &entry.parameters) || entry.len != plan.len {
                let show = |parameters: &[u64], len: usize| format!("{parameters:?} in {len} bytes");
                return differs(
                    "the options",
                    show(&entry.parameters, entry.len),
                    show(&plan.parameters, plan.len),
                );
            }
        }
        Ok(())
    }
}

/// Takes all the memory now: later there would be a signal where there is none.
fn reserve(file: &File, contents: &Contents, quoted: &str) -> Result<()> {
    points::step();
    let len = contents.header.len;
    let reserved = rustix::io::retry_on_intr(|| rustix::fs::fallocate(file, FallocateFlags::empty(), 0, len));
    reserved.map_err(|cause| {
        let error = Error::os(ACTION, quoted, std::io::Error::from(cause));
        if error.kind() != ErrorKind::NoSpace {
            return error;
        }
        let left =
            rustix::fs::fstatvfs(file).map_or(0, |status| status.f_bavail.saturating_mul(status.f_frsize));
        error.advice(format!("it needs {len} bytes, and {left} are free; prune segments that nobody holds"))
    })?;
    let status = file.metadata().map_err(|cause| Error::os(ACTION, quoted, cause))?;
    assert!(status.size() >= len, "fallocate says that {len} bytes are there");
    Ok(())
}

fn random() -> u64 {
    use std::hash::{BuildHasher, Hasher, RandomState};
    // Every RandomState has keys of its own.
    RandomState::new().build_hasher().finish()
}
